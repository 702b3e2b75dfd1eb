"""A table on paper, and the table for everybody: few people's answers are withheld, and no total gives them away."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from services.scoring_service.counting import MEASURES, Counts
from services.scoring_service.documents import (
    COLUMNS,
    COUNTS,
    columns_of,
    document_of,
    measures_of,
    rows_of,
    sheet_of,
    workbook,
)
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


BIG, OTHER, NONE = unit("big", 50, 20, 20, 10), unit("other", 30, 10, 15, 0), unit("none", 0, 0, 0, 0)
ONE = unit("one", 2, 1, 0, 0)


def items(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["unit_id"]: item for item in document["items"]}


def withheld(*units: Counts, small_cell: int = SMALL) -> set[str]:
    found = opened(document_of(table(*units)), small_cell)
    names = {item["unit_id"] for item in found["items"] if item["withheld"]}
    assert found["withheld"] == len(names)
    return names


def test_a_unit_with_few_callbacks_shows_no_answers_but_that_it_was_there() -> None:
    shown = items(opened(document_of(table(BIG, OTHER, ONE, unit("few", 1, 0, 0, 0))), SMALL))["one"]
    kept = {name: value for name, value in shown.items() if value is not None}
    assert kept == {"unit_id": "one", "name": "None", "received": 4, "rated": True, "withheld": True}
    assert set(COLUMNS) < set(shown)


def test_a_unit_without_callbacks_has_nothing_to_withhold() -> None:
    assert withheld(BIG, NONE) == set()
    assert items(opened(document_of(table(BIG, NONE)), SMALL))["none"]["valid_callbacks"] == 0


@pytest.mark.parametrize(("callbacks", "names"), [(9, {"few", "other"}), (10, set()), (1, {"few", "other"})])
def test_the_limit_itself_is_enough(callbacks: int, names: set[str]) -> None:
    assert withheld(BIG, OTHER, unit("few", callbacks, 0, 0, 0)) == names


def test_where_one_is_withheld_the_next_smallest_is_as_well_or_the_total_would_tell() -> None:
    assert withheld(BIG, OTHER, ONE, NONE) == {"one", "other"}
    assert withheld(BIG, ONE) == {"one", "big"}


def test_where_two_are_withheld_nobody_else_need_be() -> None:
    assert withheld(BIG, OTHER, ONE, unit("two", 1, 0, 0, 0)) == {"one", "two"}


def test_of_two_that_are_next_smallest_one_is_enough() -> None:
    assert withheld(unit("b", 20, 0, 0, 0), unit("a", 20, 0, 0, 0), ONE) == {"one", "a"}


def test_counts_of_few_answers_are_left_out_by_themselves() -> None:
    shown = items(opened(document_of(table(unit("u", 80, 10, 9, 0))), SMALL))["u"]
    assert [shown[name] for name in ANSWERS] == [80, 10, None, 0]
    assert (shown["valid_callbacks"], shown["contacted"], shown["received"], shown["withheld"]) == (99, 90, 100, False)
    assert shown["composite"] is not None


def test_nothing_is_withheld_where_the_policy_sees_no_cell_as_small() -> None:
    document = document_of(table(BIG, ONE, NONE))
    shown = opened(document, 1)
    assert shown == document | {
        "items": [item | {"withheld": False} for item in document["items"]],
        "small_cell": 1,
        "withheld": 0,
    }


def test_the_table_itself_stays_as_it_was() -> None:
    document = document_of(table(BIG, ONE))
    opened(document, SMALL)
    assert document == document_of(table(BIG, ONE))


some_units = st.lists(
    st.tuples(*[st.integers(0, 12)] * 4).map(lambda levels: unit("", *levels)), min_size=2, max_size=7
).map(lambda units: [unit(f"u{n}", *(getattr(one, name) for name in ANSWERS)) for n, one in enumerate(units)])


@BRIEFLY
@given(some_units)
def test_no_total_gives_away_the_answers_of_a_single_unit(units: list[Counts]) -> None:
    """Whoever takes what is shown from the total is left with the sum of two units at least, or with nothing."""
    some = {one.unit_id for one in units if one.valid_callbacks}
    small = {one.unit_id for one in units if 0 < one.valid_callbacks < SMALL}
    hidden = withheld(*units)
    assert small <= hidden <= some
    if len(some) > 1:
        assert len(hidden) != 1
    if len(small) != 1:
        assert hidden == small


@BRIEFLY
@given(some_units)
def test_the_second_that_is_withheld_is_the_smallest_of_the_others(units: list[Counts]) -> None:
    sizes = {one.unit_id: one.valid_callbacks for one in units if one.valid_callbacks}
    hidden = withheld(*units)
    shown = [sizes[name] for name in sizes.keys() - hidden]
    assert all(sizes[name] <= least for name in hidden for least in ([min(shown)] if shown else []))


@BRIEFLY
@given(some_units)
def test_no_count_of_few_answers_is_shown(units: list[Counts]) -> None:
    for item in opened(document_of(table(*units)), SMALL)["items"]:
        figures = [item[name] for name in COUNTS[1:] if item[name] is not None]
        assert all(figure == 0 or figure >= SMALL for figure in figures)
        assert item["withheld"] is (item["composite_shown"] is None and item["valid_callbacks"] is None)


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
    assert (item["rated"], item["received"]) == (False, 1)


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
    assert not summary.keys() & (only_of_one | {"composite_change", "progress_rank"})


def test_every_measure_of_a_unit_can_be_had() -> None:
    found = measures_of(table(unit("u", 1, 0, 0, 0, reworked=3)).scores[0])
    assert (tuple(found), found["reworked"], found["satisfied"]) == (MEASURES, 3, 1)


def test_a_policys_own_rates_stand_between_the_three_and_the_composite() -> None:
    columns = columns_of(document_of(table(unit("u", 1, 0, 0, 0, callbacks=1), rules=policy("PJ-RATES-2023"))))
    at = columns.index("satisfaction_rate")
    assert columns[at + 1 : at + 5] == ["completion_rate", "feedback_rate", "reached_rate", "composite"]
    assert columns_of(document_of(table(BIG))) == columns_of(document_of(table())) == list(COLUMNS)


def test_rows_are_the_units_and_a_sheet_ends_with_the_summary() -> None:
    document = document_of(table(BIG, OTHER))
    rows = rows_of(document, ["rank", "unit_id", "name", "valid_callbacks"])
    assert rows == [[1, "other", "Nother", 55], [2, "big", "Nbig", 100]]
    sheet = sheet_of(document, "街乡镇")
    *units, last = sheet.rows
    assert units == rows_of(document, sheet.columns)
    total = dict(zip(sheet.columns, last, strict=True))
    assert (total["name"], total["valid_callbacks"], total["rank"]) == ("汇总", 155, None)


def test_a_workbook_has_numbers_as_numbers_and_no_text_becomes_a_formula() -> None:
    tricky = Counts("=1+1", "=HYPERLINK()", 101, 100, 70, 70, 50, 20, 20, 10)
    document = document_of(table(tricky))
    book = load_workbook(io.BytesIO(workbook([sheet_of(document, "街乡镇")])))
    title, origin, head, row, total = book["街乡镇"].iter_rows()
    assert (title[0].value, origin[0].value) == (
        "STREET_TOWN 2026-12 ALL",
        "BJ-HR-2025 2026-12-24T09:00:00.000+08:00",
    )
    cells = dict(zip((cell.value for cell in head), row, strict=True))
    names = ("单位 name", "单位编码 unit_id")
    assert [(cells[name].value, cells[name].data_type) for name in names] == [("=HYPERLINK()", "s"), ("=1+1", "s")]
    assert (cells["受理量 received"].value, cells["解决率 resolution_rate"].value) == (101, 70)
    assert (cells["综合成绩 composite"].data_type, cells["计分 rated"].value) == ("n", "是")
    assert [cell.value for cell in total[:3]] == [None, None, "汇总"]
