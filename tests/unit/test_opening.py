"""What a table says, and the table for everybody: few people's answers are withheld, and no total gives them away."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.scoring_service.counting import Counts
from services.scoring_service.documents import COLUMNS, COUNTS, document_of
from services.scoring_service.formula import Score, score
from services.scoring_service.founding import shipped
from services.scoring_service.opening import opened
from services.scoring_service.policy import Policy, read_policy
from services.scoring_service.tables import LeagueTable, made
from shared.contracts.codes import Basis, League
from shared.contracts.envelope import BEIJING

BRIEFLY = settings(max_examples=25, deadline=None)
AT = datetime(2026, 12, 24, 9, 0, tzinfo=BEIJING)
ANSWERS = ("satisfied", "basically_satisfied", "dissatisfied", "not_stated")
SMALL = 10


def policy(base: str = "BJ-HR-2025", **changes: Any) -> Policy:
    return read_policy(dict(shipped()[base]) | changes)


def unit(unit_id: str, *levels: int, **more: int) -> Counts:
    """So many answers of each level; contacted and resolved, as many as are content."""
    said = dict(zip(ANSWERS, levels, strict=True)) | {"valid_callbacks": sum(levels), "received": sum(levels) + 1}
    content = levels[0] + levels[1]
    return Counts(unit_id, f"N{unit_id}", **said | {"contacted": content, "resolved": content} | more)


def table(*units: Counts, rules: Policy | None = None, **frame: Any) -> LeagueTable:
    head = (rules or policy(), "2026-12", League.STREET_TOWN, Basis.ALL, AT, ())
    return made(LeagueTable(*head, **frame), units)


BIG, OTHER, NONE = unit("big", 50, 20, 20, 10), unit("other", 30, 10, 15, 0), unit("none", 0, 0, 0, 0, received=0)
ONE = unit("one", 2, 1, 0, 0)


def items(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["unit_id"]: item for item in document["items"]}


def withheld(*units: Counts, small_cell: int = SMALL, below: Mapping[str, Any] | None = None) -> set[str]:
    found = opened(document_of(table(*units)), small_cell, below)
    names = {item["unit_id"] for item in found["items"] if item["withheld"]}
    assert found["withheld"] == len(names)
    return names


def summary(*units: Counts) -> set[Any]:
    """The totals that are told."""
    return {value for value in opened(document_of(table(*units)), SMALL)["summary"].values() if value is not None}


SHOWN = {
    *("unit_id", "name", "received", "valid_callbacks", "response_rate", "resolution_rate", "satisfaction_rate"),
    *("rank", "composite_shown", "low", "high", "label", "rated", "provisional", "expected_resolution_rate"),
}
OF_ALL = SHOWN - {"unit_id", "name", "rank", "low", "high", "label", "provisional"}


def test_open_data_has_neither_counts_of_answers_nor_changes() -> None:
    found = opened(document_of(table(BIG, OTHER, before=before("65", 3), expected={"big": Decimal(61)})), SMALL)
    assert [set(item) for item in found["items"]] == [SHOWN | {"withheld"}] * 2
    assert set(found["summary"]) == OF_ALL
    own = {"completion_rate", "feedback_rate", "reached_rate"}
    of_panjin = opened(document_of(table(BIG, rules=policy("PJ-RATES-2023"))), SMALL)
    assert (set(of_panjin["items"][0]), set(of_panjin["summary"])) == (SHOWN | own | {"withheld"}, OF_ALL | own)


def coarse(item: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """These members, the rates to one place."""
    shown = {name: item[name] for name in names}
    rates = [name for name in names if (name in ("low", "high") or name.endswith("_rate")) and item[name]]
    return shown | {name: str(Decimal(item[name]).quantize(Decimal("0.1"), "ROUND_HALF_UP")) for name in rates}


def test_what_is_shown_is_what_the_table_says_with_the_rates_to_one_place() -> None:
    document = document_of(table(BIG, OTHER, NONE, expected={"big": Decimal("61.25")}))
    found, known = opened(document, SMALL), items(document)
    assert items(found) == {one: coarse(known[one], SHOWN) | {"withheld": False} for one in known}
    assert found["summary"] == coarse(document["summary"], OF_ALL)
    rates = [items(found)[name]["resolution_rate"] for name in ("big", "other", "none")]
    assert (rates, found["summary"]["resolution_rate"]) == (["70.0", "72.7", None], "71.4")
    assert items(found)["big"]["expected_resolution_rate"] == "61.3"


def test_a_unit_with_few_callbacks_shows_its_code_and_name_and_nothing_else() -> None:
    shown = items(opened(document_of(table(BIG, OTHER, ONE, unit("few", 1, 0, 0, 0))), SMALL))["one"]
    kept = {name: value for name, value in shown.items() if value is not None}
    assert kept == {"unit_id": "one", "name": "None", "withheld": True}
    assert set(shown) == SHOWN | {"withheld"}


def silent(received: int) -> Counts:
    """So many appeals and not one callback."""
    return unit("silent", 0, 0, 0, 0, received=received)


def test_a_unit_without_appeals_has_nothing_to_withhold() -> None:
    assert withheld(BIG, NONE) == set()
    assert items(opened(document_of(table(BIG, NONE)), SMALL))["none"]["valid_callbacks"] == 0


def test_few_appeals_are_as_small_as_few_callbacks() -> None:
    assert withheld(BIG, OTHER, silent(9)) == {"silent", "other"}
    assert withheld(BIG, OTHER, silent(10)) == set()
    assert withheld(BIG, silent(9), unit("few", 1, 0, 0, 0)) == {"silent", "few", "big"}, "one callback would be left"


def test_the_withheld_stand_last_by_their_code() -> None:
    document = document_of(table(unit("a", 4, 0, 0, 9), unit("z", 8, 0, 0, 0), ONE, BIG, OTHER))
    assert [item["unit_id"] for item in document["items"]] == ["other", "big", "z", "one", "a"]
    assert [item["unit_id"] for item in opened(document, SMALL)["items"]] == ["other", "big", "a", "one", "z"]


def street(received: int, valid: int, *, hidden: bool = False) -> dict[str, Any]:
    """What is open of one that rolls up."""
    figures = (
        {"received": None, "valid_callbacks": None} if hidden else {"received": received, "valid_callbacks": valid}
    )
    return figures | {"withheld": hidden}


@pytest.mark.parametrize(
    ("streets", "told"),
    [
        ([street(60, 60), street(41, 40)], False),
        ([street(60, 60), street(31, 30), *[street(0, 0, hidden=True)] * 2], False),
        ([street(60, 60), street(31, 30), street(0, 0, hidden=True)], True),
        ([street(60, 60), street(31, 31), street(0, 0, hidden=True)], True),
        ([street(60, 60), street(32, 30), street(0, 0, hidden=True)], True),
        ([street(0, 0, hidden=True), street(0, 0, hidden=True)], False),
        ([], False),
    ],
    ids=["all", "enough", "one alone", "few callbacks", "few appeals", "none open", "none"],
)
def test_a_district_that_is_told_by_what_is_left_of_its_open_streets_is_withheld(
    streets: list[dict[str, Any]], told: bool
) -> None:
    """The district has 101 appeals and 100 callbacks."""
    assert withheld(BIG, OTHER, unit("third", 70, 0, 0, 0), below={"big": streets}) == (
        {"big", "other"} if told else set()
    )
    assert withheld(BIG, OTHER, below={"elsewhere": streets}) == set()


@pytest.mark.parametrize(("callbacks", "names"), [(9, {"few", "other"}), (10, set()), (1, {"few", "other"})])
def test_the_limit_itself_is_enough(callbacks: int, names: set[str]) -> None:
    assert withheld(BIG, OTHER, unit("few", callbacks, 0, 0, 0)) == names


def test_where_one_is_withheld_the_next_smallest_is_as_well_or_the_total_would_tell() -> None:
    assert withheld(BIG, OTHER, ONE, NONE) == {"one", "other"}
    assert withheld(BIG, ONE) == {"one", "big"}
    assert 105 in summary(BIG, ONE)


def test_two_that_are_few_together_take_the_next_smallest_with_them() -> None:
    seven, six = unit("seven", 7, 0, 0, 0), unit("six", 6, 0, 0, 0)
    assert withheld(BIG, OTHER, ONE, seven) == {"one", "seven"}
    assert withheld(BIG, OTHER, ONE, six) == {"one", "six", "other"}
    assert withheld(BIG, OTHER, ONE, unit("two", 1, 0, 0, 0)) == {"one", "two", "other"}


@pytest.mark.parametrize("few", [(ONE,), (ONE, NONE), (unit("nine", 9, 0, 0, 0), NONE), (ONE, unit("six", 6, 0, 0, 0))])
def test_where_no_others_can_be_withheld_the_totals_are(few: tuple[Counts, ...]) -> None:
    assert withheld(*few) == {one.unit_id for one in few if one.received}
    assert summary(*few) == set()
    assert set(opened(document_of(table(*few)), SMALL)["summary"]) == OF_ALL


def test_of_two_that_are_next_smallest_one_is_enough() -> None:
    assert withheld(unit("b", 20, 0, 0, 0), unit("a", 20, 0, 0, 0), ONE) == {"one", "a"}


def test_nothing_is_withheld_where_the_policy_sees_no_cell_as_small() -> None:
    assert withheld(BIG, ONE, NONE, small_cell=1) == set()
    document = document_of(table(BIG, ONE, NONE))
    head = {name: document[name] for name in ("period", "league", "basis", "policy", "as_of")}
    found = opened(document, 1)
    assert {name: found[name] for name in found.keys() - {"items", "summary"}} == head | {
        "small_cell": 1,
        "withheld": 0,
    }


def test_the_table_itself_stays_as_it_was() -> None:
    document = document_of(table(BIG, ONE))
    opened(document, SMALL)
    assert document == document_of(table(BIG, ONE))


sizes = st.one_of(st.just(0), st.integers(1, SMALL - 1), st.integers(SMALL, 60))
answers = st.tuples(sizes, st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)).map(
    lambda levels: levels if levels[0] else (0, 0, 0, 0)
)
some_units = st.lists(st.tuples(answers, sizes), min_size=1, max_size=7).map(
    lambda found: [unit(f"u{n}", *levels, received=sum(levels) + more) for n, (levels, more) in enumerate(found)]
)
one_alone = st.builds(
    lambda few, none: [unit("few", few, 0, 0, 0), *(unit(f"u{n}", 0, 0, 0, 0, received=0) for n in range(none))],
    st.integers(1, SMALL - 1),
    st.integers(0, 4),
)
RULES = [policy(), policy(aggregation="POOLED"), policy("PJ-RATES-2023"), policy("CN-BANDS-2025")]


@BRIEFLY
@given(st.one_of(some_units, one_alone), st.sampled_from(RULES))
@example([BIG, OTHER, unit("silent", 0, 0, 0, 0, received=9), unit("few", 1, 0, 0, 0)], RULES[0])
def test_no_total_gives_away_the_figures_of_a_single_unit(units: list[Counts], rules: Policy) -> None:
    """Whoever takes what is shown from a total is left with two units at least, and enough people, or has no total."""
    found = opened(document_of(table(*units, rules=rules)), SMALL)
    hidden = [item for item in found["items"] if item["withheld"]]
    totals = {name: value for name, value in found["summary"].items() if value is not None}
    if len(hidden) == 1:
        assert totals == {}
    for name in {"received", "valid_callbacks"} & totals.keys():
        left = totals[name] - sum(item[name] for item in found["items"] if not item["withheld"])
        assert left == 0 if not hidden else left >= SMALL or (left == 0 and name == "valid_callbacks")
    assert all(set(item) - {"unit_id", "name", "withheld"} <= {n for n in item if item[n] is None} for item in hidden)


def _enough(units: list[Counts]) -> bool:
    """Together of enough people, or of nobody."""
    left = (sum(getattr(one, name) for one in units) for name in ("received", "valid_callbacks"))
    return all(number == 0 or number >= SMALL for number in left)


@BRIEFLY
@given(st.one_of(some_units, one_alone))
def test_no_more_are_withheld_than_must_be_and_the_smallest_first(units: list[Counts]) -> None:
    callbacks = {one.unit_id: one.valid_callbacks or one.received for one in units if one.received}
    small = {name for name, number in callbacks.items() if number < SMALL}
    hidden = withheld(*units)
    enough = len(hidden) > 1 and _enough([one for one in units if one.unit_id in hidden])
    assert small <= hidden <= callbacks.keys()
    assert enough or hidden in ({*callbacks}, set())
    assert bool(summary(*units)) is (enough or not hidden)
    for last in sorted(hidden - small, key=lambda name: (callbacks[name], name))[-1:]:
        rest = [one for one in units if one.unit_id in hidden - {last}]
        assert len(rest) < 2 or not _enough(rest), "one after the other, until it is enough"
    shown = [callbacks[name] for name in callbacks.keys() - hidden]
    assert all(callbacks[name] <= number for name in hidden for number in shown)


@BRIEFLY
@given(some_units)
def test_whoever_is_shown_stands_for_enough_people_or_for_none(units: list[Counts]) -> None:
    for item in opened(document_of(table(*units)), SMALL)["items"]:
        for name in ("received", "valid_callbacks"):
            assert item["withheld"] or item[name] == 0 or item[name] >= SMALL


def before(composite: str | None, rank: int | None) -> dict[str, Score]:
    last = score(unit("big", 1, 0, 0, 0), policy())
    figure = None if composite is None else Decimal(composite)
    return {"big": Score(last.counts, rated=figure is not None, composite=figure, rank=rank)}


def test_an_item_has_every_column_of_the_table() -> None:
    (item,) = document_of(table(BIG))["items"]
    assert set(item) == set(COLUMNS)
    assert {name: item[name] for name in ("unit_id", "name", *COUNTS)} == {
        **{"unit_id": "big", "name": "Nbig", "received": 101, "valid_callbacks": 100},
        **{"contacted": 70, "resolved": 70, "satisfied": 50, "basically_satisfied": 20},
        **{"dissatisfied": 20, "not_stated": 10},
    }


def test_figures_are_texts_and_say_what_the_unit_reached() -> None:
    (item,) = document_of(table(BIG, expected={"big": Decimal("61.25")}))["items"]
    rates = [item[f"{name}_rate"] for name in ("response", "resolution", "satisfaction")]
    assert (rates, item["composite"], item["composite_shown"]) == (["70", "70", "68"], "69.2", "69.2")
    assert (item["rank"], item["rated"], item["provisional"], item["label"]) == (1, True, False, None)
    assert (item["points"], item["hard"], item["expected_resolution_rate"]) == ("0", 0, "61.25")
    assert Decimal(item["low"]) < Decimal("69.2") < Decimal(item["high"])


@pytest.mark.parametrize(
    ("last", "columns"),
    [
        ({}, (None, None, None)),
        (before("65", 3), (3, 2, "4.2")),
        (before("70.5", 1), (1, 0, "-1.3")),
        (before("65", None), (None, None, "4.2")),
        (before(None, None), (None, None, None)),
    ],
    ids=["none", "gained", "lost", "graded by bands", "not rated"],
)
def test_an_item_is_compared_with_the_period_before(last: dict[str, Score], columns: tuple[Any, ...]) -> None:
    (item,) = document_of(table(BIG, before=last))["items"]
    assert (item["previous_rank"], item["rank_change"], item["composite_change"]) == columns


def test_progress_is_the_place_by_what_was_gained_among_those_that_can_be_compared() -> None:
    few = unit("few", 5, 0, 0, 0)
    figures = {"big": "60", "other": "69", "few": "1"}
    last = {name: Score(unit(name, 1, 0, 0, 0), rated=True, composite=Decimal(n)) for name, n in figures.items()}
    found = items(document_of(table(BIG, OTHER, few, unit("new", 30, 0, 0, 0), NONE, before=last)))
    places = {name: item["progress_rank"] for name, item in found.items()}
    assert places == {"big": 1, "other": 2, "few": None, "new": None, "none": None}


def test_a_unit_that_is_not_rated_has_no_figures() -> None:
    item = items(document_of(table(NONE)))["none"]
    names = ("rank", "composite", "composite_shown", "points", "low", "high", "response_rate", "composite_change")
    assert {item[name] for name in names} == {None}
    assert (item["rated"], item["received"]) == (False, 0)


def test_points_are_shown_as_one_sum() -> None:
    rewarded = unit("big", 50, 20, 20, 10, hard=8, hard_resolved=5, proactive_credits=2)
    (item,) = document_of(table(rewarded, rules=policy("BJ-LABELS-2025")))["items"]
    assert (item["points"], item["composite"], item["hard"]) == ("0.5", "69.7", 8)


def test_the_document_says_what_it_is_a_table_of() -> None:
    document = document_of(table(BIG))
    head = {name: document[name] for name in ("period", "league", "basis", "policy", "as_of")}
    assert head == {
        **{"period": "2026-12", "league": "STREET_TOWN", "basis": "ALL", "policy": "BJ-HR-2025"},
        "as_of": "2026-12-24T09:00:00.000+08:00",
    }


def test_the_summary_has_sums_and_means_and_nothing_that_only_one_unit_has() -> None:
    summary = document_of(table(BIG, OTHER, before=before("1", 1)))["summary"]
    assert (summary["valid_callbacks"], summary["resolved"], summary["not_stated"]) == (155, 110, 10)
    assert summary["resolution_rate"] == "71.3636"
    only_of_one = {"unit_id", "name", "rank", "label", "provisional", "previous_rank", "rank_change", "low", "high"}
    assert not summary.keys() & (only_of_one | {"composite_change", "progress_rank", "points"})
