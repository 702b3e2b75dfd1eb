"""Tables as people keep them: CSV (RFC 4180, UTF-8 with a mark, as spreadsheets expect) and XLSX, out and in.

A cell that a spreadsheet would take for a formula goes out with an apostrophe before it, and comes in without.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import IO, Any

from starlette.requests import Request
from starlette.responses import Response

from shared.web.bodies import NO_TEXT
from shared.web.problems import Problem

CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
TABLES = (CSV, XLSX)
_ENDINGS = {CSV: "csv", XLSX: "xlsx"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_UNSEEN = re.compile("[\x01-\x08\x0b-\x1f]")
_LOOKS_ESCAPED = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
MOST_UNPACKED = 64 * 1024 * 1024
MOST_ROWS, LONGEST_CELL = 50_000, 32_000
UNREADABLE = (
    *(UnicodeDecodeError, csv.Error, ValueError, KeyError, OSError, zipfile.BadZipFile, zlib.error, SyntaxError),
    *(IndexError, AttributeError, NotImplementedError, UserWarning),
)
"""What a file that is no table makes its readers raise."""


ANSWERS = {"yes": True, "true": True, "是": True, "no": False, "false": False, "否": False, "": False}
"""What people write into a column of yes and no, in small letters."""


def asks_for_table(request: Request) -> str | None:
    """The media type of the table that is wanted; None for JSON. The first of `Accept` that we have counts."""
    for wanted in request.headers.get("accept", "").lower().split(","):
        media_type = wanted.partition(";")[0].strip()
        if re.search(r";\s*q=0(\.0*)?\s*$", wanted):
            continue
        if media_type in TABLES:
            return media_type
        if media_type in {"application/json", "*/*"}:
            return None
    return None


def table_response(media_type: str, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Response:
    """A table to be kept as a file."""
    cells = [[_safe(cell) for cell in row] for row in rows]
    body = _csv(columns, cells) if media_type == CSV else _xlsx(columns, cells)
    disposition = f'attachment; filename="{name}.{_ENDINGS[media_type]}"'
    headers = {"Content-Disposition": disposition, "Cache-Control": "no-store", "Vary": "Accept"}
    return Response(body, headers=headers, media_type=f"{CSV}; charset=utf-8" if media_type == CSV else media_type)


class Row(dict[str, str]):
    """A row by column name. `number` is its place in the sheet, whose first row is 1."""

    number: int = 0


def read_table(file: IO[bytes], media_type: str, columns: Sequence[str], needed: Sequence[str]) -> list[Row]:
    """The rows that are not empty; cells that are not there are empty. Raises VALIDATION_FAILED."""
    file.seek(0)
    try:
        with _records(file, media_type) as records:
            header = next(iter(_few(records, 10 * len(columns))), [])
            _check_header(header, columns, needed)
            rows = list(_few(records, len(header)))
    except UNREADABLE:
        raise _wrong(
            "the file cannot be read; send XLSX, or CSV in UTF-8 (convert it first, e.g. iconv -f GB18030 -t UTF-8)"
        ) from None
    return [_row(number, header, cells, columns) for number, cells in enumerate(rows, 2) if any(cells)]


def _row(number: int, header: Sequence[str], cells: Sequence[str], columns: Sequence[str]) -> Row:
    row = Row(dict.fromkeys(columns, ""))
    row.update({name: cell for name, cell in zip(header, cells, strict=False) if name})
    row.number = number
    return row


def _check_header(header: Sequence[str], columns: Sequence[str], needed: Sequence[str]) -> None:
    names = [name for name in header if name]
    if len(set(names)) < len(names):
        raise _wrong("a column is named twice")
    if len(names) == 1 and re.search("[;\t]", names[0]):
        raise _wrong("the cells are not separated by commas; save the table as CSV (comma) or XLSX")
    if unknown := set(names) - set(columns):
        raise _wrong(f"{len(unknown)} unknown columns; known are {', '.join(columns)}")
    if missing := [name for name in needed if name not in names]:
        raise _wrong(f"the file has no column {', '.join(missing)}")


def _wrong(message: str) -> Problem:
    return Problem("VALIDATION_FAILED", errors=[{"pointer": "", "message": message}])


def _csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def _xlsx(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    from openpyxl import Workbook  # noqa: PLC0415 - few answers are spreadsheets, and it is heavy

    book = Workbook(write_only=True)
    sheet = book.create_sheet("jiesu")
    for row in (columns, *rows):
        sheet.append([_escaped(cell) for cell in row])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


@contextmanager
def _records(file: IO[bytes], media_type: str) -> Iterator[Iterator[list[str]]]:
    """Row by row, as plain cells."""
    if media_type == CSV:
        text = io.TextIOWrapper(file, "utf-8-sig", newline="")
        try:
            yield ([_plain(cell) for cell in row] for row in csv.reader(text))
        finally:
            text.detach()
        return
    from openpyxl import load_workbook  # noqa: PLC0415
    from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415

    with zipfile.ZipFile(file) as archive:
        if sum(one.file_size for one in archive.infolist()) > MOST_UNPACKED:
            raise _wrong(f"a spreadsheet has at most {MOST_UNPACKED} bytes when unpacked")
    try:
        book = load_workbook(file, read_only=True, data_only=True)
    except InvalidFileException as error:
        raise ValueError from error
    try:
        rows = book.worksheets[0].iter_rows(values_only=True)
        yield ([_plain("" if cell is None else _unescaped(str(cell))) for cell in _filled(row)] for row in rows)
    finally:
        book.close()


def _few(rows: Iterator[list[str]], most_cells: int) -> Iterator[list[str]]:
    for number, row in enumerate(rows):
        if len(row) > most_cells:
            raise _wrong("a row has more cells than the first row has names")
        if number >= MOST_ROWS or any(len(cell) > LONGEST_CELL for cell in row):
            raise _wrong(f"at most {MOST_ROWS} rows, and {LONGEST_CELL} letters in a cell")
        if any(NO_TEXT.search(cell) for cell in row):
            raise _wrong(f"row {number + 1} contains a character that is not text (NUL, surrogate or non-character)")
        yield row


def _filled(row: Sequence[Any]) -> Sequence[Any]:
    """Without the empty cells at the end, which spreadsheets add."""
    last = max((place for place, cell in enumerate(row, 1) if cell not in (None, "")), default=0)
    return row[:last]


def _escaped(cell: str) -> str:
    """What XML cannot hold, as workbooks write it (ECMA-376 part 1, 22.9.2.19)."""
    return _UNSEEN.sub(lambda letter: f"_x{ord(letter.group()):04X}_", _LOOKS_ESCAPED.sub("_x005F_", cell))


def _unescaped(cell: str) -> str:
    return _ESCAPED.sub(lambda code: chr(int(code.group(1), 16)), cell)


def _safe(cell: Any) -> str:
    if isinstance(cell, int | Decimal) and not isinstance(cell, bool):
        return str(cell)
    text = "" if cell is None else {True: "yes", False: "no"}[cell] if isinstance(cell, bool) else str(cell)
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA) else cell
