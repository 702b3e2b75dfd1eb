"""三率: the published and computed vectors of the domain specification, section 6, exactly; then what always holds."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scoring_service.counting import Counts
from services.scoring_service.formula import Score, mean_of_units, score, text
from services.scoring_service.founding import shipped
from services.scoring_service.policy import Policy, read_policy
from services.scoring_service.ranking import league_table

DOCUMENT: dict[str, Any] = dict(shipped()["BJ-HR-2025"])
POLICY = read_policy(DOCUMENT)
BRIEFLY = settings(max_examples=50, deadline=None)


def policy(**changes: Any) -> Policy:
    return read_policy(DOCUMENT | changes)


def counts(
    valid: int, contacted: int, resolved: int, satisfied: int, basic: int, unit_id: str = "u", received: int = 0
) -> Counts:
    rest = valid - satisfied - basic
    return Counts(unit_id, unit_id.upper(), received, valid, contacted, resolved, satisfied, basic, rest, 0)


VECTORS = {
    "V1": (counts(100, 100, 90, 80, 10), "100", "90", "89", "90.6", "90.6"),
    "V2": (counts(37, 36, 30, 25, 6), "97.2973", "81.0811", "82.1622", "83.1351", "83.1"),
    "V3": (counts(250, 249, 240, 220, 22), "99.6", "96", "95.92", "96.328", "96.3"),
    "V4": (counts(400, 396, 380, 352, 38), "99", "95", "96.55", "96.02", "96.0"),
    "V5": (counts(3, 3, 1, 0, 3), "100", "33.3333", "90", "62.6667", "62.7"),
    "V7": (counts(160, 160, 152, 151, 0), "100", "95", "94.375", "95.25", "95.3"),
}


@pytest.mark.parametrize("vector", VECTORS)
def test_the_vectors_of_the_specification_come_out_exactly(vector: str) -> None:
    counted, response, resolution, satisfaction, composite, shown = VECTORS[vector]
    result = score(counted, POLICY)
    rates = (result.response_rate, result.resolution_rate, result.satisfaction_rate)
    assert tuple(map(text, rates)) == (response, resolution, satisfaction)
    assert text(result.composite) == composite
    assert str(result.shown) == shown


@pytest.mark.parametrize("vector", ["V1", "V3", "V4", "V7"])
def test_a_composite_that_has_an_end_is_exact_and_not_rounded(vector: str) -> None:
    assert score(VECTORS[vector][0], POLICY).composite == Decimal(VECTORS[vector][4])


def test_v6_without_valid_callbacks_a_unit_is_not_rated() -> None:
    assert score(counts(0, 0, 0, 0, 0), POLICY) == Score(counts(0, 0, 0, 0, 0), rated=False)


PUBLISHED = {
    "city 2019-01": ("100", "53.09", "64.61", "62.389"),
    "city 2019-10": ("100", "74.36", "85.39", "81.336"),
    "E-Town 2022": ("98.01", "96.20", "95.99", "96.297"),
    "enterprises to 2021-11": ("99.7", "92.3", "94.5", "93.92"),
}


@pytest.mark.parametrize("line", PUBLISHED)
def test_v13_published_rates_give_the_composite_of_the_specification(line: str) -> None:
    response, resolution, satisfaction, composite = PUBLISHED[line]
    contacted, resolved, satisfied = (int(Decimal(rate) * 100) for rate in (response, resolution, satisfaction))
    result = score(counts(10_000, contacted, resolved, satisfied, 0), POLICY)
    assert result.composite == Decimal(composite)


def test_half_up_is_pinned_and_half_even_is_a_policy_of_its_own() -> None:
    half = VECTORS["V7"][0]
    even = policy(rounding={"places": 1, "mode": "HALF_EVEN"})
    assert (str(score(half, POLICY).shown), str(score(half, even).shown)) == ("95.3", "95.2")


@pytest.mark.parametrize(("places", "shown"), [(0, "83"), (2, "83.14"), (6, "83.135135")])
def test_a_policy_says_with_how_many_places_a_composite_is_shown(places: int, shown: str) -> None:
    rounded = policy(rounding={"places": places, "mode": "HALF_UP"})
    assert str(score(VECTORS["V2"][0], rounded).shown) == shown


def test_silence_is_not_satisfaction_but_a_policy_may_value_it() -> None:
    silent = replace(counts(10, 10, 10, 0, 0), dissatisfied=0, not_stated=10)
    assert score(silent, POLICY).satisfaction_rate == 0
    kind = policy(levels=DOCUMENT["levels"] | {"NOT_STATED": "0.5"})
    assert score(silent, kind).satisfaction_rate == 50


@pytest.mark.parametrize(("valid", "rated"), [(29, False), (30, True)])
def test_under_the_minimum_sample_a_unit_is_not_rated(valid: int, rated: bool) -> None:
    assert score(counts(valid, valid, valid, valid, 0), policy(minimum_sample=30)).rated is rated


def test_units_are_ranked_by_composite_and_the_unrated_come_last_without_a_rank() -> None:
    low, high = counts(40, 40, 4, 4, 0, "low"), counts(40, 40, 36, 36, 0, "high")
    none_b, none_a = counts(0, 0, 0, 0, 0, "b"), counts(0, 0, 0, 0, 0, "a")
    table = league_table([none_b, low, none_a, high], POLICY)
    assert [(one.counts.unit_id, one.rank) for one in table] == [("high", 1), ("low", 2), ("a", None), ("b", None)]


def test_ties_of_the_shown_composite_go_to_the_unit_that_received_more() -> None:
    """V7 is 95.25 and shows 95.3, as 95.3 itself does: the exact figure does not break the tie."""
    half = replace(VECTORS["V7"][0], unit_id="half", received=9)
    more = replace(counts(2000, 2000, 1900, 1890, 0), unit_id="more", received=8)
    assert score(more, POLICY).composite == Decimal("95.3")
    assert [one.counts.unit_id for one in league_table([more, half], POLICY)] == ["half", "more"]


def test_ties_that_remain_go_by_unit_id_and_the_policy_may_ask_for_that_alone() -> None:
    b, a = counts(10, 10, 9, 9, 0, "b", received=20), counts(10, 10, 9, 9, 0, "a", received=10)
    assert [one.counts.unit_id for one in league_table([a, b], POLICY)] == ["b", "a"]
    assert [one.counts.unit_id for one in league_table([b, a], policy(tie_break=["unit_id_asc"]))] == ["a", "b"]
    assert [one.counts.unit_id for one in league_table([b, replace(a, received=20)], POLICY)] == ["a", "b"]


def test_the_summary_is_the_mean_over_rated_units_and_not_pooled() -> None:
    big, small, none = counts(900, 900, 900, 900, 0, "b"), counts(100, 0, 0, 0, 0, "s"), counts(0, 0, 0, 0, 0, "n")
    mean = mean_of_units(league_table([big, small, none], POLICY))
    assert mean == dict.fromkeys(("response_rate", "resolution_rate", "satisfaction_rate", "composite"), Decimal(50))


def test_the_mean_of_nobody_is_unknown_and_not_nought() -> None:
    assert set(mean_of_units(league_table([counts(0, 0, 0, 0, 0)], POLICY)).values()) == {None}


@pytest.mark.parametrize(
    ("figure", "shown"),
    [
        (None, None),
        ("0", "0"),
        ("100", "100"),
        ("10", "10"),
        ("0.00005", "0.0001"),
        ("0.00004", "0"),
        ("9.5000", "9.5"),
    ],
)
def test_figures_are_written_with_four_places_half_up_and_no_trailing_noughts(
    figure: str | None, shown: str | None
) -> None:
    assert text(None if figure is None else Decimal(figure)) == shown


@st.composite
def some_counts(draw: st.DrawFn) -> Counts:
    answers = [draw(st.integers(0, 300)) for _ in range(4)]
    valid = sum(answers)
    number = st.integers(0, valid)
    received = valid + draw(st.integers(0, 5))
    return Counts(draw(st.uuids()).hex, "", received, valid, draw(number), draw(number), *answers)


units = st.lists(some_counts(), max_size=12, unique_by=lambda one: one.unit_id)


@BRIEFLY
@given(units, st.randoms(use_true_random=False))
def test_the_order_in_which_units_are_counted_does_not_matter(listed: list[Counts], chance: Any) -> None:
    shuffled = list(listed)
    chance.shuffle(shuffled)
    assert league_table(shuffled, POLICY) == league_table(listed, POLICY)


@BRIEFLY
@given(some_counts())
def test_rates_and_composite_lie_between_nought_and_a_hundred(counted: Counts) -> None:
    result = score(counted, POLICY)
    figures = (result.response_rate, result.resolution_rate, result.satisfaction_rate, result.composite, result.shown)
    if result.rated:
        assert all(figure is not None and 0 <= figure <= 100 for figure in figures)
    else:
        assert counted.valid_callbacks == 0
        assert figures == (None,) * 5


@BRIEFLY
@given(units)
def test_ranks_run_from_one_without_gaps_and_never_against_the_composite(listed: list[Counts]) -> None:
    rated = [one for one in league_table(listed, POLICY) if one.rated]
    all_too_small = all(one.provisional for one in rated)
    assert [one.rank for one in rated] == [None if all_too_small else place for place in range(1, len(rated) + 1)]
    places = [(one.provisional, -(one.shown or 0)) for one in rated]
    assert places == sorted(places)


@BRIEFLY
@given(some_counts().filter(lambda one: one.resolved < one.valid_callbacks))
def test_solving_one_more_never_lowers_a_score(counted: Counts) -> None:
    better = score(replace(counted, resolved=counted.resolved + 1), POLICY)
    assert better.composite is not None
    assert better.composite > (score(counted, POLICY).composite or 0)
