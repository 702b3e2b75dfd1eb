"""Times, points, yes and no: what cells of a bulk file are taken for, and what is noted about a row all the same."""

from __future__ import annotations

from typing import Any

import pytest

from services.intake_service.rows import RowMap
from tests.unit.test_rows import TIMED, body, codes, one, read


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-23T09:00:00+08:00", "2026-11-23T09:00:00.000+08:00"),
        ("2026-11-23T01:00:00Z", "2026-11-23T09:00:00.000+08:00"),
        ("2026-11-23 09:00:00", "2026-11-23T09:00:00.000+08:00"),
        ("2026-11-23 09:00", "2026-11-23T09:00:00.000+08:00"),
        ("2026-11-23", "2026-11-23T00:00:00.000+08:00"),
        ("2026/11/23 09:00:30", "2026-11-23T09:00:30.000+08:00"),
        ("2026/1/2 9:00", "2026-01-02T09:00:00.000+08:00"),
        ("2026/11/23", "2026-11-23T00:00:00.000+08:00"),
        (" 2026-11-23 09:00 ", "2026-11-23T09:00:00.000+08:00"),
    ],
)
def test_times_are_read_as_they_are_usually_written(text: str, moment: str) -> None:
    assert body(one(content="x", created_at=text))["raised_at"] == moment


@pytest.mark.parametrize(
    ("zone", "moment"),
    [
        ("", "2026-07-01T09:00:00.000+08:00"),
        ("+08:00", "2026-07-01T09:00:00.000+08:00"),
        ("-05:30", "2026-07-01T22:30:00.000+08:00"),
        ("UTC as exported by BigQuery", "2026-07-01T17:00:00.000+08:00"),
        ("America/New_York", "2026-07-01T21:00:00.000+08:00"),
    ],
)
def test_a_time_without_a_zone_is_of_the_zone_that_its_row_names(zone: str, moment: str) -> None:
    (row,) = read(f"c,t,z\nx,2026-07-01T09:00:00,{zone}\n", given=TIMED)
    assert body(row)["raised_at"] == moment and "zone" not in body(row)


def test_a_time_with_a_zone_keeps_it_and_a_constant_zone_is_for_the_whole_file() -> None:
    given = RowMap({"content": "c", "raised_at": "t"}, {"zone": "UTC"})
    rows = read("c,t\nx,2026-07-01T09:00:00\nx,2026-07-01T09:00:00-01:00\n", given=given)
    assert [body(row)["raised_at"][11:16] for row in rows] == ["17:00", "18:00"]


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Asia", "+99:99", "CANARY", "\0"])
def test_a_zone_that_does_not_exist_costs_the_row_and_is_not_repeated(zone: str) -> None:
    rows = read(f"c,t,z\nx,2026-07-01,{zone}\nx,2026-07-01,UTC\n", given=TIMED)
    assert codes(rows) == ["ZONE_UNKNOWN", None]
    assert zone not in str(rows[0].problem) or zone == "Asia"


@pytest.mark.parametrize("text", ["CANARY", "23.11.2026", "2026-13-01", "2026-02-30", "45000", "25:00", "2026-11-23T9"])
def test_a_time_that_cannot_be_read_costs_the_row_and_is_not_repeated(text: str) -> None:
    row = one(content="x", created_at=text, source_ref="r")
    assert row.problem is not None and row.problem[0] == "TIME_UNREADABLE" and row.source_ref == "r"
    assert text not in str(row.problem) and row.body == b""


@pytest.mark.parametrize(
    ("raised", "closed", "warnings"),
    [
        ("2026-11-23 09:00", "2026-11-23 08:59", ("CLOSED_BEFORE_RAISED",)),
        ("2026-11-23 09:00", "2026-11-23 09:00", ()),
        ("2026-11-23 09:00", "2026-11-23T01:30:00Z", ()),
        ("2026-11-23 09:00", "CANARY", ("CLOSED_AT_UNREADABLE",)),
        ("2026-11-23 09:00", "", ()),
        ("", "2026-11-23 09:00", ()),
    ],
)
def test_what_was_closed_before_it_was_raised_is_noted_and_registered(
    raised: str, closed: str, warnings: tuple[str, ...]
) -> None:
    row = one(content="x", created_at=raised, closed_at=closed)
    assert row.warnings == warnings and "closed_at" not in body(row)


@pytest.mark.parametrize(
    ("lon", "lat", "warnings", "point"),
    [
        ("116.4", "39.9", (), {"longitude": 116.4, "latitude": 39.9}),
        ("0", "0", ("POINT_IS_ZERO",), None),
        ("0.0", "-0.000", ("POINT_IS_ZERO",), None),
        ("0", "39.9", (), {"longitude": 0.0, "latitude": 39.9}),
        ("116.4", "", ("HALF_A_POINT",), None),
        ("", "0", ("HALF_A_POINT",), None),
        ("", "", (), None),
    ],
)
def test_a_point_that_stands_for_not_known_is_noted_and_left_out(
    lon: str, lat: str, warnings: tuple[str, ...], point: Any
) -> None:
    row = one(content="x", lon=lon, lat=lat)
    assert row.warnings == warnings and body(row).get("location") == point


def test_the_rest_of_a_place_stays_when_its_point_is_left_out() -> None:
    assert body(one(content="x", lon="0", lat="0", address="某路1号"))["location"] == {"address": "某路1号"}


def test_a_point_that_is_no_number_costs_the_row() -> None:
    row = one(content="x", lon="CANARY", lat="39.9")
    assert row.problem == ("NOT_A_NUMBER", "longitude and latitude are numbers")


def test_one_row_may_be_noted_twice() -> None:
    row = one(content="x", created_at="2026-11-23", closed_at="2026-11-22", lon="0", lat="0")
    assert row.warnings == ("CLOSED_BEFORE_RAISED", "POINT_IS_ZERO")


FLAGS = RowMap({"content": "c", "appellant.confidential": "f", "appellant.anonymous": "g"})


@pytest.mark.parametrize("pair", ["true,false", "TRUE,False", "1,0", "yes,no", "是,否"])
def test_yes_and_no_are_understood(pair: str) -> None:
    (row,) = read(f"c,f,g\nx,{pair}\n", given=FLAGS)
    assert body(row)["appellant"] == {"confidential": True, "anonymous": False}


@pytest.mark.parametrize("cells", ["CANARY,", ",CANARY", "2,", "真,"])
def test_what_is_neither_yes_nor_no_costs_the_row(cells: str) -> None:
    rows = read(f"c,f,g\nx,{cells}\nx,是,否\n", given=FLAGS)
    assert codes(rows) == ["NOT_YES_OR_NO", None] and "CANARY" not in str(rows[0].problem)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a->b->c", ["a", "b", "c"]),
        ("a > b", ["a", "b"]),
        ("a>b > c", ["a", "b", "c"]),
        ("城市管理->->路灯->", ["城市管理", "路灯"]),
        ("a-b", ["a-b"]),
        ("a/b", ["a/b"]),
    ],
)
def test_a_category_is_a_path(text: str, path: list[str]) -> None:
    assert body(one(content="x", category=text))["category_path"] == path


def test_tags_stand_between_commas_of_either_width() -> None:
    (row,) = read('c,t\nx,"夜间, 噪声；施工;，工地"\n', given=RowMap({"content": "c", "tags": "t"}))
    assert body(row)["tags"] == ["夜间", "噪声", "施工", "工地"]
