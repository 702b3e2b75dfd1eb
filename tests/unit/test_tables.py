"""Tables out and in: what is written comes back, no cell runs in a spreadsheet, and what is no table is refused."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Sequence

import pytest
from openpyxl import Workbook, load_workbook
from starlette.requests import Request

from shared.web.problems import Problem
from shared.web.tables import CSV, LONGEST_CELL, MOST_ROWS, XLSX, asks_for_table, read_table, table_response

COLUMNS = ("unit_id", "name", "aliases")
NEEDED = ("unit_id", "name")
BOTH = pytest.mark.parametrize("media_type", [CSV, XLSX])


def written(media_type: str, *rows: Sequence[object]) -> bytes:
    return bytes(table_response(media_type, "units", COLUMNS, rows).body)


def read(body: bytes, media_type: str) -> list[dict[str, str]]:
    return read_table(io.BytesIO(body), media_type, COLUMNS, NEEDED)


def back(media_type: str, *rows: Sequence[object]) -> list[tuple[str, ...]]:
    """What comes back of rows that went out."""
    return [tuple(row[name] for name in COLUMNS) for row in read(written(media_type, *rows), media_type)]


def refused(body: bytes, media_type: str) -> str:
    """What is said about a file that is no table of ours."""
    with pytest.raises(Problem) as problem:
        read(body, media_type)
    assert problem.value.code == "VALIDATION_FAILED" and problem.value.status == 422
    (error,) = problem.value.errors
    return error["message"]


def sheet(*rows: Sequence[object]) -> bytes:
    """A spreadsheet as somebody else makes it."""
    book, file = Workbook(), io.BytesIO()
    for row in rows:
        book.worksheets[0].append(list(row))
    book.save(file)
    return file.getvalue()


def without(body: bytes, damage: Callable[[str, bytes], bytes | None]) -> bytes:
    """A spreadsheet of which parts are damaged or gone."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as before, zipfile.ZipFile(file, "w") as after:
        for name in before.namelist():
            if (part := damage(name, before.read(name))) is not None:
                after.writestr(name, part)
    return file.getvalue()


def asking(*accept: str) -> Request:
    headers = [(b"accept", value.encode()) for value in accept]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers})


@BOTH
@pytest.mark.parametrize(
    "cell",
    [
        *("=1+1", "+86", "-5", "@x", "=", "-", '=HYPERLINK("http://x")'),  # what a spreadsheet would run
        *("'", "''", "'quoted", "'quoted'", "it's", "' =1"),  # apostrophes that are nobody's mark
        *("\tx", "a\tb", "a\nb", "\nb", "一\n二"),
        *('say "hi", ok', '"', "a,b", "a;b", "|"),
        *("望京街道", "臺北", "“引号”", "😀", "é", "\ufeffx"),
        *(" x ", "  ", "007", "1.0", "1e5", "TRUE", "None", "#N/A", "2026-11-23", "_x0041_", "<b>&amp;</b>"),
    ],
)
def test_every_cell_comes_back_as_it_went_out(media_type: str, cell: str) -> None:
    assert back(media_type, ("u1", cell, "x")) == [("u1", cell, "x")]
    assert back(media_type, (cell, "n", "")) == [(cell, "n", "")]


@BOTH
@pytest.mark.parametrize("cell", ["'=1+1", "'-", "'@x", "''=1", "'+'"])
def test_a_cell_that_really_begins_with_an_apostrophe_keeps_it(media_type: str, cell: str) -> None:
    assert back(media_type, ("u1", cell, "x")) == [("u1", cell, "x")]


@pytest.mark.parametrize("cell", ["a\r\nb", "a\rb", "\rx", "\r=x"])
def test_line_ends_of_every_kind_come_back_and_in_a_spreadsheet_at_least_as_line_ends(cell: str) -> None:
    assert back(CSV, ("u1", cell, "x")) == [("u1", cell, "x")]
    assert back(XLSX, ("u1", cell, "x"))[0][1].splitlines() == cell.splitlines()


@BOTH
@pytest.mark.parametrize("cell", ["a\x0bb", "a\x07b", "\x1b[0m"])
def test_one_letter_that_nobody_sees_does_not_keep_the_whole_table_back(media_type: str, cell: str) -> None:
    """A name may hold such a letter: bodies refuse NUL, surrogates and non-characters alone."""
    assert [row[0] for row in back(media_type, ("u1", cell, "x"), ("u2", "n", ""))] == ["u1", "u2"]


@BOTH
def test_rows_keep_their_order_and_cells_that_are_not_there_are_empty(media_type: str) -> None:
    rows = [("u2", "b", ""), ("u1", "a", "x"), ("u3", "c", None), ("u1", "a", "x")]
    assert back(media_type, *rows) == [("u2", "b", ""), ("u1", "a", "x"), ("u3", "c", ""), ("u1", "a", "x")]
    assert back(media_type) == []


@BOTH
def test_numbers_and_truths_go_out_as_they_are_written(media_type: str) -> None:
    assert back(media_type, (110105, 1.5, True)) == [("110105", "1.5", "yes")]
    assert back(media_type, (-5, 0, False)) == [("-5", "0", "no")]


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_no_cell_leaves_as_a_formula(cell: str) -> None:
    text = written(CSV, ("u1", cell, "")).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text, newline="")))[1][1] == f"'{cell}"
    book = load_workbook(io.BytesIO(written(XLSX, ("u1", cell, ""))))
    assert (book.worksheets[0]["B2"].data_type, str(book.worksheets[0]["B2"].value)[0]) == ("s", "'")


def test_csv_begins_with_the_mark_that_spreadsheets_expect_and_is_read_with_or_without_it() -> None:
    body = written(CSV, ("u1", "望京", ""))
    assert body == "\ufeffunit_id,name,aliases\r\nu1,望京,\r\n".encode()
    assert read(body, CSV) == read(body[3:], CSV) == read(body.replace(b"\r\n", b"\n"), CSV)


@pytest.mark.parametrize(
    ("media_type", "content_type", "ending"), [(CSV, "text/csv; charset=utf-8", "csv"), (XLSX, XLSX, "xlsx")]
)
def test_a_table_is_an_attachment_that_nobody_keeps(media_type: str, content_type: str, ending: str) -> None:
    headers = table_response(media_type, "units", COLUMNS, []).headers
    assert headers["content-type"] == content_type
    assert headers["content-disposition"] == f'attachment; filename="units.{ending}"'
    assert (headers["cache-control"], headers["vary"]) == ("no-store", "Accept")


def test_columns_may_stand_in_any_order_and_those_not_needed_may_be_missing() -> None:
    assert read(b"name,unit_id\nA,u1\n", CSV) == [{"unit_id": "u1", "name": "A", "aliases": ""}]
    assert read(sheet(["name", "unit_id"], ["A", "u1"]), XLSX) == [{"unit_id": "u1", "name": "A", "aliases": ""}]


def test_a_short_row_is_filled_up_and_an_empty_one_passed_over() -> None:
    rows = [{"unit_id": "u1", "name": "", "aliases": ""}, {"unit_id": "u2", "name": "B", "aliases": "x"}]
    assert read(b"unit_id,name,aliases\nu1\n\n,,\nu2,B,x\n", CSV) == rows
    assert read(sheet(COLUMNS, ["u1"], [], [None, "", None], ["u2", "B", "x", None, ""]), XLSX) == rows


def test_cells_that_a_spreadsheet_took_for_numbers_are_read_as_text() -> None:
    assert read(sheet(COLUMNS, [110105026, 1.5, True]), XLSX)[0] == {
        "unit_id": "110105026",
        "name": "1.5",
        "aliases": "True",
    }


def test_unknown_columns_are_counted_and_not_repeated() -> None:
    for body, media_type in (
        (b"unit_id,name,wangfang,x\nu1,A,1,2\n", CSV),
        (sheet([*NEEDED, "wangfang", "x"], ["u1", "A"]), XLSX),
    ):
        message = refused(body, media_type)
        assert message == "2 unknown columns; known are unit_id, name, aliases"


def test_columns_that_are_needed_are_named() -> None:
    assert refused(b"aliases\nx\n", CSV) == "the file has no column unit_id, name"
    assert refused(sheet(["aliases", "name"], ["x", "y"]), XLSX) == "the file has no column unit_id"


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"unit_id,name\nu1,A,more\n", CSV),
        (b"unit_id,name\nu1,A,\n", CSV),
        (b"unit_id,name\nu1,A\nu2,B,,x\n", CSV),
        (sheet(NEEDED, ["u1", "A"], ["u2", "B", "more"]), XLSX),
    ],
)
def test_a_row_with_more_cells_than_names_is_refused(body: bytes, media_type: str) -> None:
    assert refused(body, media_type) == "a row has more cells than the first row has names"


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        ("unit_id,name\nu1,望京\n".encode("gb18030"), CSV),
        ("unit_id,name\nu1,A\n".encode("utf-16"), CSV),
        (b"", XLSX),
        (b"unit_id,name\nu1,A\n", XLSX),
        (b"PK\3\4" + bytes(100), XLSX),
        (written(XLSX, ("u1", "A", ""))[:2000], XLSX),
        (written(XLSX, ("u1", "A", ""))[:-10], XLSX),
        (without(sheet(COLUMNS), lambda name, part: part if name == "xl/workbook.xml" else None), XLSX),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(body: bytes, media_type: str) -> None:
    assert refused(body, media_type).startswith("the file cannot be read; send XLSX, or CSV in UTF-8")


PARTS = ("xl/workbook.xml", "xl/worksheets/sheet1.xml", "xl/styles.xml", "[Content_Types].xml")


@pytest.mark.parametrize("part", PARTS)
def test_a_spreadsheet_with_a_broken_part_is_refused(part: str) -> None:
    broken = without(sheet(COLUMNS, ["u1", "A"]), lambda name, content: content[:-9] if name == part else content)
    assert refused(broken, XLSX).startswith("the file cannot be read; send XLSX, or CSV in UTF-8")


def test_a_spreadsheet_that_was_damaged_on_the_way_is_refused() -> None:
    body = bytearray(written(XLSX, ("u1", "A", "")))
    with zipfile.ZipFile(io.BytesIO(body)) as whole:
        part = whole.getinfo("xl/worksheets/sheet1.xml")
    begins = part.header_offset + 30 + len(part.filename)
    body[begins : begins + 8] = bytes([0xFF]) * 8  # no block of deflated data begins so
    assert refused(bytes(body), XLSX).startswith("the file cannot be read; send XLSX, or CSV in UTF-8")


def test_a_book_without_a_sheet_is_refused() -> None:
    gone = without(sheet(COLUMNS), lambda name, part: None if name == "xl/worksheets/sheet1.xml" else part)
    assert refused(gone, XLSX)


@pytest.mark.parametrize(("body", "media_type"), [(b"", CSV), (b"\xef\xbb\xbf", CSV), (b"\n\n", CSV), (sheet(), XLSX)])
def test_an_empty_file_has_none_of_the_columns(body: bytes, media_type: str) -> None:
    assert refused(body, media_type) == "the file has no column unit_id, name"


def test_a_letter_that_no_text_of_ours_may_hold_is_refused_in_a_table_too() -> None:
    """NUL, as in a JSON body: the database takes it in no text."""
    assert refused(b"unit_id,name\nu1,a\0b\n", CSV)


def test_a_table_has_an_end() -> None:
    rows = b"u1,A\n" * MOST_ROWS
    assert len(read(b"unit_id,name\n" + rows, CSV)) == MOST_ROWS
    assert refused(b"unit_id,name\n" + rows + b"u2,B\n", CSV).startswith("at most 50000 rows")


@BOTH
def test_a_cell_has_an_end(media_type: str) -> None:
    longest = "长" * LONGEST_CELL
    assert back(media_type, ("u1", longest, "")) == [("u1", longest, "")]
    assert "32000 letters in a cell" in refused(written(media_type, ("u1", longest + "长", "")), media_type)
    assert refused(b"unit_id,name\nu1," + b"x" * 2_000_000, CSV)


def test_a_file_is_read_from_its_beginning_and_stays_open() -> None:
    file = io.BytesIO(written(CSV, ("u1", "A", "")))
    file.seek(7)
    assert len(read_table(file, CSV, COLUMNS, NEEDED)) == 1
    assert len(read_table(file, CSV, COLUMNS, NEEDED)) == 1


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/csv", CSV),
        (XLSX, XLSX),
        ("TEXT/CSV", CSV),
        ("text/csv; charset=utf-8; q=0.9", CSV),
        (f"{XLSX}, text/csv", XLSX),
        (f"text/csv, {XLSX}", CSV),
        ("text/html, text/csv", CSV),
        ("text/csv, application/json", CSV),
        ("application/json, text/csv", None),
        ("*/*, text/csv", None),
        ("*/*", None),
        ("application/json", None),
        ("text/html", None),
        ("text/csvx", None),
        ("", None),
    ],
)
def test_the_first_kind_of_answer_that_we_have_counts(accept: str, media_type: str | None) -> None:
    assert asks_for_table(asking(accept)) == media_type


def test_whoever_asks_for_nothing_in_particular_gets_json() -> None:
    assert asks_for_table(asking()) is None
