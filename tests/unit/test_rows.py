"""Rows of bulk files become registrations, or a reason why not; a bad row never takes its neighbours with it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
import pytest
from openpyxl import Workbook

from services.intake_service.policy import import_policy
from services.intake_service.rows import CSV, NDJSON, XLSX, Row, RowMap, WrongFile, rows_of

POLICY = import_policy()
TIMED = RowMap({"content": "c", "raised_at": "t", "zone": "z"})


def read(data: bytes | str, form: str = CSV, charset: str | None = None, given: RowMap | None = None) -> list[Row]:
    raw = data.encode() if isinstance(data, str) else data
    return list(rows_of(io.BytesIO(raw), form, charset, given, POLICY))


def body(row: Row) -> dict[str, Any]:
    """What a good row amounts to."""
    assert row.problem is None, row
    read_: dict[str, Any] = orjson.loads(row.body)
    return read_


def contents(rows: Sequence[Row]) -> list[str]:
    return [body(row)["content"] for row in rows]


def codes(rows: Sequence[Row]) -> list[str | None]:
    """The code of each row's problem, None for good rows."""
    return [row.problem and row.problem[0] for row in rows]


def one(**cells: str) -> Row:
    """A single row under these column names, quoted where need be."""
    header, values = ",".join(cells), ",".join(f'"{value}"' for value in cells.values())
    (row,) = read(f"{header}\n{values}\n", charset="utf-8")
    return row


def workbook(*rows: Sequence[Any]) -> bytes:
    book, made = Workbook(), io.BytesIO()
    for row in rows:
        book.worksheets[0].append(row)
    book.save(made)
    return made.getvalue()


def test_usual_column_names_are_understood_without_a_map() -> None:
    row = one(description="灯坏了", request_id="r-1", category="市政->路灯", user_id="王芳", lon="116.4", lat="39.9")
    assert row.source_ref == "r-1"
    assert body(row) == {
        "kind": "COMPLAINT",
        "channel": "IMPORT",
        "content": "灯坏了",
        "source_ref": "r-1",
        "category_path": ["市政", "路灯"],
        "appellant": {"name": "王芳"},
        "location": {"longitude": 116.4, "latitude": 39.9},
    }


def test_chinese_column_names_are_usual_too() -> None:
    cells = {"标题": "路灯", "主要内容": "灯坏了", "来电时间": "2026/11/23 9:05", "工单编号": "G1", "来电人": "李明"}
    made = body(one(**cells, 来电人电话="13800138000", 被反映区="朝阳区", 被反映街乡镇="望京街道", 小区点位="东园"))
    assert made["title"] == "路灯" and made["raised_at"] == "2026-11-23T09:05:00.000+08:00"
    assert made["appellant"] == {"name": "李明", "phone": "13800138000"}
    assert made["location"] == {"district": "朝阳区", "township": "望京街道", "site": "东园"}


def test_the_first_usual_name_that_a_file_has_is_taken_and_unknown_columns_are_left_alone() -> None:
    assert body(one(detail="二", content="一", votes="3"))["content"] == "一"


def test_a_map_writes_texts_from_columns_and_gives_constants() -> None:
    given = RowMap({"content": "{a} / {b}", "source_ref": "x-{n}"}, {"kind": "HELP", "location.district": "110105"})
    rows = read("a,b,n\n路灯,不亮,1\n井盖,,2\n", given=given)
    assert contents(rows) == ["路灯 / 不亮", "井盖 /"]
    assert [row.source_ref for row in rows] == ["x-1", "x-2"]
    made = body(rows[0])
    assert (made["kind"], made["channel"]) == ("HELP", "IMPORT") and made["location"] == {"district": "110105"}


def test_a_column_goes_before_a_constant() -> None:
    (row,) = read("c,k\nx,PRAISE\n", given=RowMap({"content": "c", "kind": "k"}, {"kind": "HELP"}))
    assert body(row)["kind"] == "PRAISE"


@pytest.mark.parametrize(("text", "missing"), [("nowhere", "nowhere"), ("{c} {nowhere} {c}", "nowhere")])
def test_a_map_with_a_column_that_is_not_there_names_it(text: str, missing: str) -> None:
    with pytest.raises(WrongFile, match=f"no column {missing} among its 2"):
        read("c,d\nx,y\n", given=RowMap({"content": text}))


@pytest.mark.parametrize("given", [None, RowMap({"title": "a"}), RowMap({}, {"kind": "HELP"})])
def test_without_a_column_for_content_a_file_is_refused(given: RowMap | None) -> None:
    with pytest.raises(WrongFile, match="no column gives `content`"):
        read("a,b\nx,y\n", given=given)


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(data: bytes) -> None:
    with pytest.raises(WrongFile, match="empty"):
        read(data)
    with pytest.raises(WrongFile, match="empty"):
        read(workbook(), XLSX)


def test_a_file_with_nothing_but_a_header_has_no_rows() -> None:
    assert read("content\n") == [] and read(workbook(["content"]), XLSX) == [] and read("\n\n", NDJSON) == []


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    assert contents(read("\ufeffcontent\n停水\n")) == ["停水"]


@pytest.mark.parametrize("charset", [None, "gb18030", "GBK"])
def test_what_spreadsheet_programs_in_china_write_is_read_declared_or_not(charset: str | None) -> None:
    assert contents(read("content\n路灯坏了\n".encode("gbk"), charset=charset)) == ["路灯坏了"]


def test_a_letter_cut_by_the_end_of_the_look_ahead_is_no_reason_to_guess_another_charset() -> None:
    for shift in range(3):
        text = "content\n" + "x" * shift + "水" * 40_000
        assert contents(read(text))[0].endswith("水")


@pytest.mark.parametrize("charset", ["klingon", "base64", "rot13"])
def test_a_charset_that_does_not_exist_is_said(charset: str) -> None:
    with pytest.raises(WrongFile, match="no such charset"):
        read("content\nx\n", charset=charset)


def test_bytes_that_are_no_text_cost_their_own_row_alone() -> None:
    rows = read("content,source_ref\n停水,a\n".encode() + b"\xff\xfe,b\n" + "路灯,c\n".encode(), charset="utf-8")
    assert codes(rows) == [None, "NOT_TEXT", None] and [row.number for row in rows] == [1, 2, 3]


def test_line_ends_may_be_mixed() -> None:
    assert contents(read("content,x\r\na,1\nb,2\rc,3\r\n")) == ["a", "b", "c"]


def test_quotes_hold_line_ends_commas_and_quotes() -> None:
    rows = read('content,title\n"a\nb, ""c""\r\nd",t\n"e",u\n')
    assert contents(rows) == ['a\nb, "c"\r\nd', "e"] and [row.number for row in rows] == [1, 2]


def test_a_nul_stays_in_its_row_and_is_left_to_the_registration() -> None:
    assert contents(read("content\na\0b\nc\n")) == ["a\0b", "c"]


def test_too_many_cells_cost_the_row_and_too_few_are_empty() -> None:
    rows = read("content,title\na,b,c\na\n")
    assert codes(rows) == ["TOO_MANY_CELLS", None] and "title" not in body(rows[1])


@pytest.mark.parametrize("form", [CSV, NDJSON, XLSX])
def test_rows_are_numbered_without_the_blank_ones(form: str) -> None:
    files: Mapping[str, bytes] = {
        CSV: b"content,x\n\na,1\n,\n\nb,2\n",
        NDJSON: b'\n{"content":"a"}\n\n  \n{"content":"b"}',
        XLSX: workbook(["content", "x"], [], ["a", 1], [None, ""], ["b", 2]),
    }
    rows = read(files[form], form)
    assert [(row.number, body(row)["content"]) for row in rows] == [(1, "a"), (2, "b")]


def test_a_cell_beyond_the_limit_is_no_csv() -> None:
    with pytest.raises(WrongFile, match="not CSV"):
        read("content\n" + "x" * (POLICY.longest_cell + 1))
    assert len(contents(read("content\n" + "x" * POLICY.longest_cell))[0]) == POLICY.longest_cell


def test_a_line_of_ndjson_is_the_registration_as_it_is() -> None:
    rows = read('{"content": "停水", "source_ref": "a", "kind": "HELP"}\r\nnot json\n[1]\n{"source_ref": 7}\n', NDJSON)
    assert codes(rows) == [None, "MALFORMED_JSON", None, None]
    assert rows[0].body == '{"content": "停水", "source_ref": "a", "kind": "HELP"}'.encode()
    assert [row.source_ref for row in rows] == ["a", None, None, None]


@pytest.mark.parametrize("line", [b'{"content": "\xff"}', b'{"a": NaN}', b'{"a": "\\ud800"}', b"{", b"\xff"])
def test_a_line_that_is_no_json_says_nothing_of_what_it_holds(line: bytes) -> None:
    (row,) = read(line, NDJSON)
    assert row.problem == ("MALFORMED_JSON", "the line is not JSON") and row.body == b""


def test_cells_of_a_workbook_become_texts_and_times() -> None:
    moment = datetime(2026, 11, 23, 9, 5)
    header = ["content", "created_at", "phone", "request_id", "lon", "lat", "title"]
    row, large = read(
        workbook(header, ["停水", moment, 13800138000, 7, 116.4, 39.9, None], ["路灯", None, None, 1e16]), XLSX
    )
    made = body(row)
    assert large.source_ref == "10000000000000000", "as it is shown, not 1e+16"
    assert made["raised_at"] == "2026-11-23T09:05:00.000+08:00" and row.source_ref == "7"
    assert made["appellant"] == {"phone": "13800138000"} and "title" not in made
    assert made["location"] == {"longitude": 116.4, "latitude": 39.9}


def archive(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as zipped:
        for name in names:
            zipped.writestr(name, "x")
    return made.getvalue()


@pytest.mark.parametrize("data", [b"", b"content\nx\n", archive(), archive("a.txt"), workbook(["content"])[:-40]])
def test_what_is_no_workbook_is_said(data: bytes) -> None:
    with pytest.raises(WrongFile, match="no XLSX workbook"):
        read(data, XLSX)


def test_a_workbook_that_would_fill_the_memory_is_refused_before_it_is_unpacked() -> None:
    data = workbook(["content"], ["x" * 30_000])
    with pytest.raises(WrongFile, match="when unpacked"):
        list(rows_of(io.BytesIO(data), XLSX, None, None, replace(POLICY, most_unpacked_bytes=30_000)))
    assert len(data) < 30_000, "it is small as it comes"
