"""`jiesu score`: an auditor's counts go in, the service's own figures come out; and a table on paper."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from openpyxl import load_workbook

from services.auditing import WrongCounts, policy_named, read_counts, write_table
from services.scoring_service.counting import Counts
from services.scoring_service.documents import COLUMNS, columns_of, document_of, rows_of, sheet_of, workbook
from services.scoring_service.founding import shipped
from shared.engine.clock import ManualClock
from tests.support.city import START
from tests.unit.test_opening import BIG, NONE, OTHER, items, table, unit

VECTORS = """unit,received,valid_callbacks,contacted,resolved,satisfied,basically_satisfied
V1,120,100,100,90,80,10
V2,40,37,36,30,25,6
V3,260,250,249,240,220,22
V4,420,400,396,380,352,38
V5,3,3,3,1,0,3
V6,0,0,0,0,0,0
V7,170,160,160,152,151,0
"""
HEAD = "unit,received,valid_callbacks,contacted,resolved,satisfied"
SHOWN = {"V3": "96.3", "V4": "96.0", "V7": "95.3", "V1": "90.6", "V2": "83.1", "V5": "62.7", "V6": ""}


def scored(text: str, policy: str = "BJ-HR-2025") -> list[dict[str, str]]:
    out = io.StringIO()
    rules = policy_named(policy)
    write_table(read_counts(io.StringIO(text), rules), rules, None, "", ManualClock(START), out)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def test_the_vectors_of_the_specification_come_out_ranked() -> None:
    rows = scored(VECTORS)
    assert {row["unit"]: row["composite_shown"] for row in rows} == SHOWN
    assert [row["unit"] for row in rows] == list(SHOWN), "ranked, the unrated last"
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5", "6", ""]
    assert [row["provisional"] for row in rows] == ["false"] * 5 + ["true", "false"]


def test_a_unit_with_three_callbacks_never_leads() -> None:
    rows = scored("unit,valid_callbacks,contacted,resolved,satisfied\nfew,3,3,3,3\nmany,100,90,80,80\n")
    assert [row["unit"] for row in rows] == ["many", "few"]


def test_a_policy_may_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "draft.json"
    draft = dict(shipped()["BJ-HR-2025"]) | {"version": "draft"}
    draft["weights"] = {"response": "0", "resolution": "1", "satisfaction": "0"}
    file.write_text(json.dumps(draft), encoding="utf-8")
    assert all(row["composite"] == row["resolution_rate"] for row in scored(VECTORS, str(file)))
    file.write_text(json.dumps(draft | {"weights": {"response": "0.5", "resolution": "1"}}), encoding="utf-8")
    with pytest.raises(WrongCounts, match=r"/weights: .*sum to 1"):
        policy_named(str(file))
    file.write_text("[]", encoding="utf-8")
    with pytest.raises(WrongCounts):
        policy_named(str(file))
    with pytest.raises(WrongCounts, match="BJ-HR-2025"):
        policy_named("nothing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("received\n1\n", "no column unit"),
        ("unit,solved\na,1\n", "unknown columns solved"),
        (f"{HEAD}\na,1,1,1,1,1\na,2,2,2,2,2\n", "row 3: the unit a is there twice"),
        (f"{HEAD}\n,1\n", "row 2: no unit"),
        (f"{HEAD}\na,1,1,1,1,1,2\n", "row 2: too many cells"),
        (f"{HEAD}\na,-1,0,0,0,0\n", "row 2: received is no whole number"),
        (f"{HEAD}\na,1.5,0,0,0,0\n", "row 2: received is no whole number"),
        (f"{HEAD}\na,١,0,0,0,0\n", "row 2: received is no whole number"),
        (f"{HEAD}\na,1000000000,0,0,0,0\n", "row 2: received is no whole number"),
        (f"{HEAD}\na,{'9' * 5000},0,0,0,0\n", "row 2: received is no whole number"),
        (f"{HEAD}\na,1,1,0,2,0\n", "row 2: more answers than valid callbacks"),
        (f"{HEAD},not_stated\na,1,1,0,0,1,1\n", "row 2: more answers than valid callbacks"),
        (f"{HEAD},dissatisfied\na,3,3,0,0,1,1\n", "row 2: the four answers do not add up"),
        (f"{HEAD}\na,2,3,0,0,0\n", "row 2: more than were received"),
        (f"{HEAD}\na,1,1\n", "row 2: nothing under contacted, resolved, satisfied"),
        (f"{HEAD}\na,1,1,1, ,1\n", "row 2: nothing under resolved"),
        (f"{HEAD},received\na,1\n", "a column is there twice"),
        (f"{HEAD}, received \na,1\n", "a column is there twice"),
        ("unit,valid_callbacks,satisfied\na,1,1\n", "BJ-HR-2025 rests on contacted, resolved, and there is no such"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(text: str, said: str) -> None:
    with pytest.raises(WrongCounts, match=said):
        read_counts(io.StringIO(text), policy_named("BJ-HR-2025"))


@pytest.mark.parametrize("name", ["closed", "callbacks", "signed_in_time", "contacted_in_time", "feedback_in_time"])
def test_nothing_is_counted_more_often_than_appeals_were_received(name: str) -> None:
    rules = policy_named("BJ-HR-2025")
    (one,) = read_counts(io.StringIO(f"{HEAD},{name}\na,2,1,0,0,0,2\n"), rules)
    assert getattr(one, name) == 2
    with pytest.raises(WrongCounts, match="row 2: more than were received"):
        read_counts(io.StringIO(f"{HEAD},{name}\na,2,1,0,0,0,3\n"), rules)


def test_spaces_around_names_and_numbers_mean_nothing_and_a_count_has_nine_digits() -> None:
    text = f" {HEAD.replace(',', ' , ')} \na, 999999999 , 10 , 7 , 6 , 5 \n"
    (one,) = read_counts(io.StringIO(text), policy_named("BJ-HR-2025"))
    assert (one.unit_id, one.received, one.valid_callbacks, one.contacted) == ("a", 999999999, 10, 7)
    assert (one.resolved, one.satisfied, one.dissatisfied) == (6, 5, 5)


@pytest.mark.parametrize(
    ("policy", "columns"),
    [
        ("BJ-HR-2025", ["contacted", "resolved", "satisfied", "valid_callbacks"]),
        ("PJ-RATES-2023", ["callbacks", "closed", "feedback_in_time", "received", "satisfied", "valid_callbacks"]),
    ],
)
def test_the_columns_that_the_weights_rest_on_must_be_there_and_no_others(policy: str, columns: list[str]) -> None:
    rules = policy_named(policy)
    assert read_counts(io.StringIO(f"unit,{','.join(columns)}\n"), rules) == []
    for name in columns:
        others = ",".join(one for one in columns if one != name)
        with pytest.raises(WrongCounts, match=f"{policy} rests on {name}, and there is no such column"):
            read_counts(io.StringIO(f"unit,{others}\n"), rules)


def test_who_was_asked_is_taken_to_have_answered() -> None:
    text = "unit,name,valid_callbacks,contacted,resolved,satisfied,not_stated\na,甲街道,10,8,7,6,1\n"
    (one,) = read_counts(io.StringIO(text), policy_named("BJ-HR-2025"))
    assert (one.name, one.dissatisfied, one.contact_stated, one.satisfaction_stated) == ("甲街道", 3, 10, 9)


def test_a_policys_own_rates_stand_between_the_three_and_the_composite() -> None:
    columns = columns_of(document_of(table(unit("u", 1, 0, 0, 0, callbacks=1), rules=policy_named("PJ-RATES-2023"))))
    at = columns.index("satisfaction_rate")
    assert columns[at + 1 : at + 5] == ["completion_rate", "feedback_rate", "reached_rate", "composite"]
    assert columns_of(document_of(table(rules=policy_named("PJ-RATES-2023")))) == columns
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


@pytest.mark.parametrize(
    ("version", "own"),
    [("PJ-RATES-2023", ["completion", "feedback", "reached"]), ("CN-BANDS-2025", ["reporting", "justified"])],
)
def test_a_workbook_has_the_policys_own_rates_as_numbers_and_nothing_where_there_are_none(
    version: str, own: list[str]
) -> None:
    over = {"called": 8, "whistles": 8, "callbacks": 101, "received": 100, "closed": 50}
    document = document_of(table(unit("big", 50, 20, 20, 10, **over), NONE, rules=policy_named(version)))
    assert {items(document)["none"][f"{name}_rate"] for name in own} == {None}
    *_, head, big, none, total = load_workbook(io.BytesIO(workbook([sheet_of(document, "A")])))["A"].iter_rows()
    columns = [str(cell.value) for cell in head]
    for name in own:
        at = columns.index(f"{name}_rate")
        assert float(items(document)["big"][f"{name}_rate"]) == pytest.approx(big[at].value)
        assert [big[at].data_type, none[at].value, total[at].data_type] == ["n", None, "n"]
