"""What a policy may say, part by part: a wrong one is refused, and the message says what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.scoring_service.counting import MEASURES
from services.scoring_service.founding import shipped
from services.scoring_service.policy import Policy, read_policy
from shared.contracts.codes import League

BRIEFLY = settings(max_examples=25, deadline=None)


def document(base: str = "BJ-HR-2025", **changes: Any) -> dict[str, Any]:
    return dict(shipped()[base]) | changes


def policy(base: str = "BJ-HR-2025", **changes: Any) -> Policy:
    return read_policy(document(base, **changes))


def refused(**changes: Any) -> str:
    """What the refusal says."""
    with pytest.raises(ValidationError) as refusal:
        policy(**changes)
    return "; ".join(error["msg"] for error in refusal.value.errors())


def weights(response: str = "0.10", resolution: str = "0.50", satisfaction: str = "0.40", **own: str) -> dict[str, str]:
    return {"response": response, "resolution": resolution, "satisfaction": satisfaction} | own


def change(first: str = "2025-01", last: str | None = None, *leagues: str, **own: Any) -> dict[str, Any]:
    said = {"leagues": list(leagues), "from_period": first, "until_period": last, "weights": weights(), "source": "[P]"}
    return said | own


def band(code: str, least: str, below: str) -> dict[str, str]:
    return {"code": code, "zh": "档", "en": "band", "least": least, "below": below}


def incentive(**changes: Any) -> dict[str, Any]:
    known = {"id": "hard", "zh": "疑难", "en": "hard", "measure": "hard_resolved", "points": "0.1", "cap": "1"}
    return known | {"source": "[P]"} | changes


RATE = {"of": {"closed": "1"}, "over": "received"}
LOWER, UPPER = band("LOWER", "0", "60"), band("UPPER", "60", "100")


@pytest.mark.parametrize("version", shipped())
def test_every_shipped_policy_is_whole_and_says_where_its_figures_are_from(version: str) -> None:
    assert policy(version).version == version
    assert "[" in policy(version).source


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"weights": weights("0.11")}, "the weights must sum to 1"),
        ({"weight_changes": [change(weights=weights("0.09"))]}, "the weights must sum to 1"),
        ({"weights": weights(response="0.1e0")}, 'write figures from 0 to 1 as decimal strings, e.g. "0.40"'),
        ({"weights": weights("0.05", speed="0.05")}, "weights names speed, which is no rate here"),
        ({"weight_changes": [change(weights=weights("0.05", speed="0.05"))]}, "weights names speed, which is no rate"),
        ({"weights": {"resolution": "0.6", "satisfaction": "0.4"}}, "weights names response, resolution, satisfaction"),
        ({"rates": {"resolution": RATE}}, "resolution is a rate that every table has; give yours another name"),
        ({"rates": {"expected_resolution": RATE}}, "expected_resolution is a rate that every table has; give yours"),
        ({"rates": {"own": {"of": {"speed": "1"}, "over": "received"}}}, "no such measure; there are received, valid"),
        ({"rates": {"own": {"of": {"closed": "1"}, "over": "speed"}}}, "no such measure; there are received, valid"),
        ({"rates": {"own": {"of": {}, "over": "received"}}}, "at least 1 item"),
        ({"rates": {"Own": RATE}}, "should match pattern"),
        ({"weight_changes": [change("2025-07", "2025-06")]}, "a change of weights ends before it begins"),
        ({"weight_changes": [change("2025-13")]}, "should match pattern"),
        ({"ranking": {"mode": "BANDS"}}, "a policy that grades by bands needs bands"),
        ({"bands": [LOWER]}, "the bands must begin at 0 and end at 100"),
        ({"bands": [UPPER]}, "the bands must begin at 0 and end at 100"),
        ({"bands": [LOWER, band("UPPER", "61", "100")]}, "there is a gap between the bands LOWER and UPPER"),
        ({"bands": [band("UPPER", "59", "100"), LOWER]}, "there is an overlap between the bands LOWER and UPPER"),
        ({"bands": [LOWER, band("LOWER", "60", "100")]}, "two bands have the same code"),
        ({"bands": [LOWER, band("EMPTY", "60", "60"), UPPER]}, "a band ends above its beginning"),
        ({"bands": [band("EMPTY", "0", "0"), LOWER, UPPER]}, "a band ends above its beginning"),
        ({"bands": [LOWER, UPPER, band("EMPTY", "100", "100")]}, "a band ends above its beginning"),
        ({"bands": [LOWER, band("BACK", "60", "50"), UPPER]}, "a band ends above its beginning"),
        ({"bands": [LOWER, band("UPPER", "60", "100.5")]}, "less than or equal to 100"),
        ({"incentives": [incentive(), incentive(points="0.2")]}, "two incentives have the same id"),
        ({"incentives": [incentive(measure="kindness")]}, "no such measure; there are received, valid_callbacks"),
        ({"incentives": [incentive(points="-1")]}, 'write points as decimal strings, e.g. "0.5"'),
        ({"incentives": [incentive(cap=1)]}, 'write points as decimal strings, e.g. "0.5"'),
        ({"incentives": [incentive(id="Hard Cases")]}, "should match pattern"),
        ({"interval": {"z": "0"}}, "an interval needs a width"),
        ({"labels": {"leagues": ["STREETS"]}}, "'STREET_TOWN'"),
        ({"labels": {"leagues": [], "advanced": 0}}, "greater than or equal to 1"),
        ({"exclusions": {"grounds": {"no code": {"zh": "一", "en": "a", "source": "b"}}}}, "should match pattern"),
        ({"exclusions": {"grounds": {"A": {"zh": "", "en": "a", "source": "b"}}}}, "at least 1 character"),
        ({"exclusions": {"decide_days": 0}}, "greater than or equal to 1"),
        ({"publishing": {"small_cell": 0}}, "greater than or equal to 1"),
        ({"ranking": {"minimum": 0}}, "greater than or equal to 1"),
        ({"ranking": {"by": "LUCK"}}, "'COMPOSITE' or 'SHRUNK'"),
        ({"districts": "BOTH"}, "'ROLL_UP' or 'OWN'"),
        ({"aggregation": "MEDIAN"}, "'MEAN_OF_UNITS' or 'POOLED'"),
        ({"response": "ANY"}, "'CALLBACK' or 'FIRST_CONTACT'"),
        ({"ranking": {"surprise": 1}}, "Extra inputs are not permitted"),
    ],
    ids=str,
)
def test_a_wrong_part_is_refused_in_words_that_help(changes: dict[str, Any], says: str) -> None:
    assert says in refused(**changes)


LEVELS = {"SATISFIED": "1", "BASICALLY_SATISFIED": "0.9", "DISSATISFIED": "0", "NOT_STATED": "0"}


@pytest.mark.parametrize(
    ("levels", "fits"),
    [
        ({"BASICALLY_SATISFIED": "1"}, True),
        ({"BASICALLY_SATISFIED": "0"}, True),
        ({"NOT_STATED": "1"}, True),
        ({"SATISFIED": "0.8"}, False),
        ({"DISSATISFIED": "0.91"}, False),
        ({"SATISFIED": "0", "BASICALLY_SATISFIED": "0", "DISSATISFIED": "1"}, False),
    ],
)
def test_nobody_counts_more_for_being_less_satisfied(levels: dict[str, str], fits: bool) -> None:
    if fits:
        assert policy(levels=LEVELS | levels).levels
    else:
        assert "levels: satisfied counts at least as much as basically" in refused(levels=LEVELS | levels)


def letters(number: int) -> str:
    return f"{'ABCDE'[number // 26]}{chr(ord('A') + number % 26)}"


GROUND = {"zh": "一", "en": "a", "source": "b"}
MANY: dict[str, Callable[[int], Any]] = {
    "rates": lambda number: {f"own_{letters(n).lower()}": RATE for n in range(number)},
    "weight_changes": lambda number: [change(f"{1900 + n}-01", f"{1900 + n}-12") for n in range(number)],
    "bands": lambda number: [band(letters(n), str(n), "100" if n == number - 1 else str(n + 1)) for n in range(number)],
    "exclusions": lambda number: {"grounds": {letters(n): GROUND for n in range(number)}},
    "incentives": lambda number: [incentive(id=f"hard-{n}") for n in range(number)],
}


@pytest.mark.parametrize("part", MANY)
def test_there_are_at_most_fifty_of_any_kind_of_part(part: str) -> None:
    assert policy(**{part: MANY[part](50)})
    assert "at most 50 items" in refused(**{part: MANY[part](51)})


def test_levels_that_lack_an_answer_are_named() -> None:
    assert "levels lacks DISSATISFIED, NOT_STATED" in refused(levels={"SATISFIED": "1", "BASICALLY_SATISFIED": "0.9"})


@pytest.mark.parametrize("measure", MEASURES)
def test_every_measure_may_be_counted_divided_by_and_rewarded(measure: str) -> None:
    own = {"own": {"of": {measure: "0.5"}, "over": measure}}
    found = policy(rates=own, incentives=[incentive(measure=measure)])
    assert (found.rates["own"].over, found.incentives[0].measure) == (measure, measure)


@pytest.mark.parametrize("points", ["0", "0.02", "1.5", "99.999999", "100"])
def test_points_are_decimal_strings_up_to_a_hundred(points: str) -> None:
    assert policy(most_points=points).most_points == Decimal(points)


@pytest.mark.parametrize(
    "points", ["", "01", "1.", ".5", "+1", "1e2", "100.1", "1000", "0.0000001", "٠", "1\n", 1, 0.5]
)
def test_points_written_otherwise_are_refused(points: Any) -> None:
    assert refused(most_points=points)


def test_what_a_policy_does_not_say_changes_nothing() -> None:
    bare = document()
    for name in ("ranking", "aggregation", "districts", "exclusions", "publishing", "interval", "response"):
        del bare[name]
    found = read_policy(bare)
    assert (found.ranking.mode, found.ranking.minimum, found.ranking.by) == ("RANKING", 1, "COMPOSITE")
    assert (found.response, found.aggregation, found.districts) == ("CALLBACK", "MEAN_OF_UNITS", "OWN")
    assert (found.exclusions.grounds, found.incentives, found.most_points, found.labels) == ({}, (), 0, None)


@pytest.mark.parametrize(
    ("changes", "overlap"),
    [
        ([change("2025-01", "2025-06"), change("2025-07", "2025-12")], False),
        ([change("2025-07"), change("2025-01", "2025-06")], False),
        ([change("2025-01", "2025-06"), change("2025-06", "2025-12")], True),
        ([change("2025-01"), change("2025-07")], True),
        ([change("2025-01"), change("2025-01")], True),
        ([change("2025-01", "2025-01"), change("2025-01", "2025-01")], True),
        ([change("2025-01", None, "DISTRICT"), change("2025-01", None, "STREET_TOWN")], False),
        ([change("2025-01", None, "DISTRICT", "STREET_TOWN"), change("2025-07", None, "STREET_TOWN")], True),
        ([change("2025-01", None, "DISTRICT"), change("2025-07")], True),
        ([change("2025-01"), change("2024-07", "2025-02", "PUBLIC_ENTERPRISE")], True),
    ],
)
def test_two_weights_for_one_league_and_month_are_refused(changes: list[dict[str, Any]], overlap: bool) -> None:
    if overlap:
        assert "two changes of weights overlap for" in refused(weight_changes=changes)
    else:
        assert len(policy(weight_changes=changes).weight_changes) == len(changes)


def test_the_message_names_the_league_and_the_month_of_an_overlap() -> None:
    two = [change("2025-01", "2025-08", "MUNICIPAL_DEPT"), change("2025-07", None, "MUNICIPAL_DEPT")]
    assert "overlap for MUNICIPAL_DEPT in 2025-07" in refused(weight_changes=two)


NEW = weights("0", "0.60", "0.40")
CHANGED = policy(weight_changes=[change("2025-03", "2025-05", "MUNICIPAL_DEPT", weights=NEW)])
FOR_ALL = policy(weight_changes=[change("2025-03", weights=NEW)])


@pytest.mark.parametrize(
    ("found", "league", "period", "changed"),
    [
        (CHANGED, League.MUNICIPAL_DEPT, "2025-02", False),
        (CHANGED, League.MUNICIPAL_DEPT, "2025-03", True),
        (CHANGED, League.MUNICIPAL_DEPT, "2025-05", True),
        (CHANGED, League.MUNICIPAL_DEPT, "2025-06", False),
        (CHANGED, League.STREET_TOWN, "2025-04", False),
        (CHANGED, None, "2025-04", False),
        (CHANGED, League.MUNICIPAL_DEPT, None, False),
        (FOR_ALL, League.STREET_TOWN, "2025-02", False),
        (FOR_ALL, League.STREET_TOWN, "2031-01", True),
        (FOR_ALL, None, "2025-03", True),
    ],
)
def test_weights_are_those_of_the_league_and_the_month(
    found: Policy, league: League | None, period: str | None, changed: bool
) -> None:
    assert (found.weights_for(league, period)["response"] == 0) is changed


@BRIEFLY
@given(st.lists(st.integers(1, 9999), unique=True, max_size=6), st.randoms(use_true_random=False))
def test_bands_without_gap_or_overlap_are_accepted_in_any_order(cuts: list[int], chance: Any) -> None:
    ends = [str(Decimal(cut) / 100) for cut in (0, *sorted(cuts), 10_000)]
    bands = [band(f"B{'A' * n}", *pair) for n, pair in enumerate(pairwise(ends))]
    chance.shuffle(bands)
    assert len(policy(bands=bands).bands) == len(cuts) + 1


@BRIEFLY
@given(st.lists(st.integers(0, 100), min_size=3, max_size=3))
def test_three_weights_are_accepted_when_and_only_when_they_sum_to_one(parts: list[int]) -> None:
    written = weights(*(str(Decimal(part) / 100) for part in parts))
    if sum(parts) == 100:
        assert policy(weights=written).weights["resolution"] == Decimal(parts[1]) / 100
    else:
        assert "the weights must sum to 1" in refused(weights=written)
    assert policy(weights=weights(*(str(Decimal(n) / 100) for n in (parts[0], 100 - parts[0], 0)))).weights
