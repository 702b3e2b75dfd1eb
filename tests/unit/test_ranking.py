"""四类排名: nobody leads on a handful of callbacks, ties are for the policy, and a label says no more than it may."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scoring_service.counting import Counts
from services.scoring_service.formula import Score
from services.scoring_service.founding import shipped
from services.scoring_service.policy import Policy, read_policy
from services.scoring_service.ranking import band_of, league_table
from shared.contracts.codes import League

BRIEFLY = settings(max_examples=25, deadline=None)
SHRUNK = {"by": "SHRUNK", "strength": 10}


def policy(base: str = "BJ-HR-2025", **changes: Any) -> Policy:
    return read_policy(dict(shipped()[base]) | changes)


def ranking(**changes: Any) -> Policy:
    return policy(ranking={"mode": "RANKING"} | changes)


def unit(unit_id: str, valid: int, good: int, received: int | None = None) -> Counts:
    """Of so many valid callbacks so many were good in every way: the composite is their percentage."""
    said = {"contacted": good, "resolved": good, "satisfied": good, "dissatisfied": valid - good}
    return Counts(unit_id, unit_id.upper(), valid if received is None else received, valid, **said)


def places(table: list[Score]) -> list[tuple[str, int | None]]:
    return [(one.counts.unit_id, one.rank) for one in table]


def names(table: list[Score]) -> list[str]:
    return [one.counts.unit_id for one in table]


FEW, MANY, WORST = unit("few", 29, 29), unit("many", 30, 27), unit("worst", 500, 1)


def test_who_has_too_few_callbacks_stands_behind_everybody_that_has_enough() -> None:
    table = league_table([FEW, MANY, WORST], ranking(minimum=30))
    assert places(table) == [("many", 1), ("worst", 2), ("few", 3)]
    assert [one.provisional for one in table] == [False, False, True]


@pytest.mark.parametrize("units", [[unit("one", 1, 1)], [FEW, unit("b", 3, 3), unit("a", 2, 1)]])
@pytest.mark.parametrize("ties", ["ORDERED", "SHARED"])
def test_where_all_have_too_few_callbacks_nobody_has_a_place(units: list[Counts], ties: str) -> None:
    table = league_table(units, ranking(minimum=30, ties=ties), League.STREET_TOWN)
    assert places(table) == [(one.unit_id, None) for one in sorted(units, key=lambda one: one.unit_id == "a")]
    assert {(one.rated, one.provisional, one.label) for one in table} == {(True, True, None)}
    assert [one.rank for one in league_table([*units, WORST], ranking(minimum=30))] == [*range(1, len(units) + 2)]


def test_without_a_minimum_the_better_figure_leads() -> None:
    assert names(league_table([FEW, MANY, WORST], ranking(minimum=1))) == ["few", "many", "worst"]


def test_among_those_with_too_few_the_better_figure_leads() -> None:
    assert names(league_table([unit("a", 2, 1), unit("b", 3, 3), MANY], ranking(minimum=30))) == ["many", "b", "a"]


def test_a_unit_that_is_not_rated_has_no_place_and_is_not_compared() -> None:
    (last,) = league_table([unit("none", 0, 0)], ranking(minimum=30))
    assert (last.rank, last.label, last.shrunk, last.provisional) == (None, None, None, False)


TIED = [unit("b", 10, 9, received=20), unit("a", 10, 9, received=20), unit("c", 100, 90, received=10)]
NEXT = unit("d", 10, 8)


def test_ordered_ties_take_the_places_one_after_the_other() -> None:
    assert places(league_table([NEXT, *TIED], ranking(ties="ORDERED"))) == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]


def test_shared_ties_share_a_place_and_the_next_leaves_it_out() -> None:
    table = league_table([NEXT, *TIED, unit("e", 10, 8), unit("f", 10, 7)], ranking(ties="SHARED"))
    assert places(table) == [("a", 1), ("b", 1), ("c", 1), ("d", 4), ("e", 4), ("f", 6)]


def test_whoever_has_too_few_callbacks_shares_no_place_with_those_that_have_enough() -> None:
    table = league_table([unit("few", 10, 9), unit("many", 30, 27)], ranking(ties="SHARED", minimum=30))
    assert places(table) == [("many", 1), ("few", 2)]


@pytest.mark.parametrize(
    ("tie_break", "order"),
    [
        ([], ["a", "b", "c"]),
        (["unit_id_asc"], ["a", "b", "c"]),
        (["received_desc"], ["c", "a", "b"]),
        (["received_desc", "unit_id_asc"], ["c", "a", "b"]),
        (["unit_id_asc", "received_desc"], ["a", "b", "c"]),
    ],
)
def test_the_policy_says_how_a_tie_is_broken(tie_break: list[str], order: list[str]) -> None:
    tied = [unit("b", 10, 9), unit("a", 10, 9), unit("c", 10, 9, received=30)]
    assert names(league_table(tied, policy(tie_break=tie_break))) == order


def test_figures_that_are_shown_alike_are_a_tie() -> None:
    close, more = unit("close", 1000, 901), unit("more", 10_000, 9012)
    assert places(league_table([more, close], ranking(ties="SHARED"))) == [("more", 1), ("close", 1)]


def test_a_single_good_callback_does_not_lead_when_figures_are_drawn_towards_the_league() -> None:
    lucky, steady, poor = unit("lucky", 1, 1), unit("steady", 400, 390), unit("poor", 400, 300)
    assert names(league_table([lucky, steady, poor], ranking(by="COMPOSITE")))[0] == "lucky"
    assert names(league_table([lucky, steady, poor], ranking(**SHRUNK))) == ["steady", "lucky", "poor"]


def test_the_figure_is_drawn_as_if_so_many_further_callbacks_had_been_average() -> None:
    """(1·100 + 10·80) / 11 and (19·(1500/19) + 10·80) / 29 with a league mean of (1 + 15) / 20 = 80."""
    table = league_table([unit("a", 1, 1), unit("b", 19, 15)], ranking(**SHRUNK))
    drawn = {one.counts.unit_id: Fraction(one.shrunk or 0) for one in table}
    expected = {"a": Fraction(900, 11), "b": Fraction(2300, 29)}
    assert all(abs(drawn[name] - expected[name]) < Fraction(1, 10**20) for name in expected)


def test_without_strength_nothing_is_drawn() -> None:
    table = league_table([unit("a", 1, 1), unit("b", 20, 15)], ranking(by="SHRUNK", strength=0))
    assert [one.shrunk for one in table] == [one.composite for one in table] == [100, 75]


@st.composite
def some_units(draw: st.DrawFn) -> list[Counts]:
    valids = draw(st.lists(st.integers(0, 60), min_size=1, max_size=9))
    return [unit(f"u{n}", valid, draw(st.integers(0, valid))) for n, valid in enumerate(valids)]


@BRIEFLY
@given(some_units(), st.sampled_from(["ORDERED", "SHARED"]), st.sampled_from(["COMPOSITE", "SHRUNK"]))
def test_a_ranking_is_everybody_once_and_its_places_are_those_of_a_race(
    units: list[Counts], ties: str, by: str
) -> None:
    table = league_table(units, ranking(minimum=30, ties=ties, by=by, strength=10))
    assert sorted(names(table)) == sorted(one.unit_id for one in units)
    ranks = [one.rank for one in table if one.rated]
    if any(one.valid_callbacks >= 30 for one in units):
        assert all(rank is not None and rank <= place for place, rank in enumerate(ranks, 1))
        assert all(rank in {place, ranks[place - 2]} for place, rank in enumerate(ranks, 1))
    else:
        assert set(ranks) <= {None}
    assert all(one.rank is None for one in table[len(ranks) :])


@BRIEFLY
@given(some_units(), st.sampled_from(["COMPOSITE", "SHRUNK"]))
def test_nobody_with_too_few_callbacks_stands_before_anybody_with_enough(units: list[Counts], by: str) -> None:
    table = league_table(units, ranking(minimum=30, by=by, strength=10))
    enough = [one.counts.valid_callbacks >= 30 for one in table]
    assert enough == sorted(enough, reverse=True)


@BRIEFLY
@given(some_units(), st.integers(0, 50))
def test_drawing_moves_every_figure_towards_the_league_and_past_nobody(units: list[Counts], strength: int) -> None:
    table = [one for one in league_table(units, ranking(by="SHRUNK", strength=strength)) if one.rated]
    callbacks = sum(one.counts.valid_callbacks for one in table)
    mean = Decimal(100) * sum(one.counts.satisfied for one in table) / max(callbacks, 1)
    for one in table:
        low, high = sorted((one.composite or Decimal(0), mean))
        assert low - Decimal("1e-20") <= (one.shrunk or Decimal(0)) <= high + Decimal("1e-20")


STREETS = [unit(f"s{n}", 100, 100 - n) for n in range(1, 7)]
LABELS = {"leagues": ["STREET_TOWN"], "advanced": 2, "improved": 2, "rectify": 2, "governance": True}


def labels_of(units: list[Counts], league: League | None = League.STREET_TOWN, **changes: Any) -> dict[str, str | None]:
    """The labels, with `before` and `governed` as given."""
    told = {name: changes.pop(name) for name in ("before", "governed") if name in changes}
    rules = policy(ranking={"minimum": 30}, labels=LABELS | changes)
    return {one.counts.unit_id: one.label for one in league_table(units, rules, league, **told)}


def test_the_first_are_advanced_and_the_last_are_to_rectify() -> None:
    expected = {"s1": "ADVANCED", "s2": "ADVANCED", "s3": None, "s4": None, "s5": "RECTIFY", "s6": "RECTIFY"}
    assert labels_of(STREETS) == expected


def test_the_most_improved_are_those_that_gained_most_and_not_those_that_lost() -> None:
    before = {"s3": Decimal(90), "s4": Decimal(80), "s5": Decimal("94.5")}
    assert labels_of(STREETS, before=before, improved=1, rectify=1)["s4"] == "IMPROVED"
    found = labels_of(STREETS, before=before, rectify=1)
    assert list(found.values()) == ["ADVANCED", "ADVANCED", "IMPROVED", "IMPROVED", None, "RECTIFY"]
    assert "IMPROVED" not in labels_of(STREETS, before={"s3": Decimal(97), "s4": Decimal(99)}).values()


def test_whoever_is_advanced_takes_no_place_from_the_most_improved() -> None:
    before = {"s1": Decimal(10), "s2": Decimal(20), "s3": Decimal(90), "s4": Decimal(94), "s5": Decimal("94.5")}
    found = labels_of(STREETS, before=before, rectify=1)
    assert list(found.values()) == ["ADVANCED", "ADVANCED", "IMPROVED", "IMPROVED", None, "RECTIFY"]
    assert labels_of(STREETS, before=before, advanced=1, improved=1)["s2"] == "IMPROVED"


def test_the_managed_list_counts_more_than_a_place() -> None:
    found = labels_of(STREETS, governed={"s1", "s6", "elsewhere"})
    assert (found["s1"], found["s2"], found["s6"]) == ("GOVERNANCE", "ADVANCED", "GOVERNANCE")
    assert "elsewhere" not in found
    assert "GOVERNANCE" not in labels_of(STREETS, governed={"s1"}, governance=False).values()


def test_whoever_is_not_compared_has_no_place_to_be_praised_or_blamed_for() -> None:
    few = [unit("best", 29, 29), unit("worst", 29, 0)]
    found = labels_of([*STREETS, *few], before={"best": Decimal(1)})
    assert (found["best"], found["worst"], found["s1"], found["s6"]) == (None, None, "ADVANCED", "RECTIFY")
    assert labels_of([*STREETS, *few], governed={"best"})["best"] == "GOVERNANCE"


@pytest.mark.parametrize("league", [None, *(one for one in League if one is not League.STREET_TOWN)])
def test_labels_are_for_the_leagues_that_the_policy_names(league: League | None) -> None:
    assert set(labels_of(STREETS, league).values()) == {None}


@pytest.mark.parametrize("name", ["advanced", "improved", "rectify"])
def test_a_label_that_the_policy_does_not_give_is_not_given(name: str) -> None:
    found = labels_of(STREETS, before={"s3": Decimal(1)}, **{name: None})
    assert set(found.values()) - {None} == {"ADVANCED", "IMPROVED", "RECTIFY"} - {name.upper()}


def test_a_policy_without_labels_gives_none() -> None:
    assert {one.label for one in league_table(STREETS, policy(), League.STREET_TOWN, governed={"s1"})} == {None}


BANDS = policy("CN-BANDS-2025")


@pytest.mark.parametrize(
    ("composite", "band"),
    [
        ("100", "EXCELLENT"),
        ("95", "EXCELLENT"),
        ("94.9", "GOOD"),
        ("88", "GOOD"),
        ("87.9", "FAIR"),
        ("75", "FAIR"),
        ("74.9", "POOR"),
        ("0", "POOR"),
    ],
)
def test_a_band_begins_at_its_least_and_a_hundred_belongs_to_the_highest(composite: str, band: str) -> None:
    assert band_of(Decimal(composite), BANDS) == band
    turned = BANDS.model_copy(update={"bands": tuple(reversed(BANDS.bands))})
    assert band_of(Decimal(composite), turned) == band


def test_graded_by_bands_nobody_has_a_place_and_only_enough_callbacks_give_a_band() -> None:
    table = league_table([unit("a", 1000, 990), unit("b", 1000, 760), unit("c", 29, 29)], BANDS)
    assert [(one.counts.unit_id, one.rank, one.label) for one in table] == [
        ("a", None, "EXCELLENT"),
        ("b", None, "FAIR"),
        ("c", None, None),
    ]


def test_a_band_goes_by_the_figure_that_is_shown() -> None:
    (one,) = league_table([unit("a", 2000, 1899)], BANDS)
    assert (one.composite, one.shown, one.label) == (Decimal("94.95"), Decimal("95.0"), "EXCELLENT")


def test_a_band_goes_by_the_figure_that_is_drawn_where_the_policy_says_so() -> None:
    """30 of 30 are drawn by ten average ones below 95."""
    units = [unit("a", 30, 30), unit("b", 3000, 2000)]
    assert league_table(units, BANDS)[0].label == "GOOD"
    plain = policy("CN-BANDS-2025", ranking={"mode": "BANDS", "minimum": 30, "by": "COMPOSITE"})
    assert league_table(units, plain)[0].label == "EXCELLENT"
