"""Bulk files, row by row in constant memory: CSV, NDJSON and XLSX become registrations, or a reason why not.

A map says which column is what; without one the usual column names are understood. What looks wrong in a good row is
noted by name, and the row is registered all the same.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import IO, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from services.intake_service.policy import ImportPolicy
from shared.contracts.envelope import rfc3339

CSV, NDJSON, XLSX = "CSV", "NDJSON", "XLSX"
SNIFFED_BYTES = 1 << 16
FEW_BAD = 10
_WITH_MARK = {"utf8": "utf-8-sig"}
SOURCE_REF = re.compile(r"[\x21-\x7e]{1,200}")
ONLY_CHECKED = frozenset({"closed_at", "zone"})
"""Fields of a map that no registration has."""
_NAMED = re.compile(r"\{([^{}]+)\}")
_SLASHES = ("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d")
_TRUE, _FALSE = frozenset({"true", "1", "yes", "是"}), frozenset({"false", "0", "no", "否", ""})
Cells = Mapping[str, Any]


class WrongFile(Exception):
    """The file as a whole cannot be read, or not with this map; the message says why."""


@dataclass(frozen=True)
class RowMap:
    """Field -> column, or a text with {column} in it; and the fields that are the same in every row."""

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)

    def used(self) -> set[str]:
        """The columns that must be there."""
        return {name for text in self.columns.values() for name in (_NAMED.findall(text) or [text])}


@dataclass(frozen=True)
class Row:
    """One row: the JSON of a registration, or a problem as code and message; and what looks wrong, by code."""

    number: int
    body: bytes = b""
    source_ref: str | None = None
    problem: tuple[str, str | None] | None = None
    warnings: tuple[str, ...] = ()


class _Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.problem = (code, message)


def map_for(header: Sequence[str], given: RowMap | None, policy: ImportPolicy) -> RowMap:
    """The map that a file is read with. Raises WrongFile."""
    if given is None or not given.columns:
        found = {name: next((one for one in usual if one in header), None) for name, usual in policy.usual.items()}
        columns = {name: column for name, column in found.items() if column}
    else:
        columns = dict(given.columns)
    constants = {**policy.constants, **(given.constants if given else {})}
    made = RowMap(columns, {name: value for name, value in constants.items() if name not in columns})
    if missing := sorted(made.used() - set(header)):
        raise WrongFile(f"the file has no column {', '.join(missing)} among its {len(header)}")
    if "content" not in columns:
        usual = ", ".join(policy.usual["content"])
        raise WrongFile(
            f"no column gives `content` (usually: {usual}); say which, or write a text with {{column}} in it"
        )
    return made


def header_of(file: IO[bytes], form: str, charset: str | None, policy: ImportPolicy) -> list[str]:
    """The names of a file's columns; none for NDJSON, whose rows are registrations already. Raises WrongFile."""
    if form == NDJSON:
        return []
    first = next(_records(file, form, charset, policy), None)
    if first is None:
        raise WrongFile("the file is empty")
    return [str(one) if one is not None else "" for one in first]


def rows_of(
    file: IO[bytes], form: str, charset: str | None, given: RowMap | None, policy: ImportPolicy
) -> Generator[Row]:
    """Every row, the first one is number 1. Raises WrongFile."""
    if form == NDJSON:
        yield from (_line(number, line) for number, line in enumerate(_lines(file, policy.longest_cell), 1))
        return
    header = header_of(file, form, charset, policy)
    mapping = map_for(header, given, policy)
    records = _records(file, form, charset, policy)
    next(records)
    for number, record in enumerate((one for one in records if any(cell not in (None, "") for cell in one)), 1):
        if len(record) > len(header):
            yield Row(number, problem=("TOO_MANY_CELLS", f"{len(record)} cells under {len(header)} columns"))
        else:
            yield _row(number, dict(zip(header, record, strict=False)), mapping, policy)


def _records(file: IO[bytes], form: str, charset: str | None, policy: ImportPolicy) -> Iterator[Sequence[Any]]:
    file.seek(0)
    return _sheet(file, policy) if form == XLSX else _csv(file, charset, policy)


def _csv(file: IO[bytes], charset: str | None, policy: ImportPolicy) -> Iterator[Sequence[Any]]:
    csv.field_size_limit(policy.longest_cell)
    encoding = _WITH_MARK.get((charset or "").lower().replace("-", ""), charset) or _guessed(file)
    try:
        text = io.TextIOWrapper(file, encoding, errors="surrogateescape", newline="")
    except LookupError:
        raise WrongFile("there is no such charset") from None
    try:
        yield from csv.reader(text)
    except csv.Error as error:
        raise WrongFile(f"not CSV: {error}") from None
    except UnicodeError:
        raise WrongFile(f"not {encoding}: say which charset it is") from None
    finally:
        text.detach()  # or the file would be closed with it


def _guessed(file: IO[bytes]) -> str:
    """UTF-8, or what spreadsheet programs in China write; a few bad bytes among good letters do not change that."""
    head = file.read(SNIFFED_BYTES)
    file.seek(0)
    read = codecs.getincrementaldecoder("utf-8")("replace").decode(head)  # the head may end within a letter
    bad, beyond_ascii = read.count("\ufffd"), sum(letter > "\x7f" for letter in read)
    return "gb18030" if bad * FEW_BAD > beyond_ascii else "utf-8-sig"


def _sheet(file: IO[bytes], policy: ImportPolicy) -> Iterator[Sequence[Any]]:
    """The first sheet of a workbook."""
    from openpyxl import load_workbook  # noqa: PLC0415 - few files are spreadsheets, and it is heavy
    from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415

    try:
        with zipfile.ZipFile(file) as archive:
            if sum(one.file_size for one in archive.infolist()) > policy.most_unpacked_bytes:
                raise WrongFile(f"the spreadsheet is larger than {policy.most_unpacked_bytes} bytes when unpacked")
        workbook = load_workbook(file, read_only=True, data_only=True)
        yield from workbook.worksheets[0].iter_rows(values_only=True)
    except (zipfile.BadZipFile, zlib.error, InvalidFileException, SyntaxError, LookupError, ValueError, EOFError):
        raise WrongFile("this is no XLSX workbook, or it is damaged") from None


def _line(number: int, line: bytes) -> Row:
    """A line of NDJSON is the registration itself; it is looked at when it is registered."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return Row(number, problem=("MALFORMED_JSON", "the line is not JSON"))
    return Row(number, line, _ref(value.get("source_ref") if isinstance(value, dict) else None))


def _ref(value: Any) -> str | None:
    """A row's own id, as far as it is one: it is repeated in reports."""
    return value if isinstance(value, str) and SOURCE_REF.fullmatch(value) else None


def _lines(file: IO[bytes], longest: int) -> Iterator[bytes]:
    """Lines that say something; of one that is too long only the beginning, which is no JSON."""
    file.seek(0)
    file.seek(len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0)
    while line := file.readline(longest):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(longest)
        if line.strip():
            yield line.strip()


def _row(number: int, cells: Cells, mapping: RowMap, policy: ImportPolicy) -> Row:
    texts = {name: _cell(text, cells) for name, text in mapping.columns.items()}
    fields = {name: text for name, text in {**mapping.constants, **texts}.items() if text != ""}
    ref = _ref(fields.get("source_ref"))
    try:
        zone = _zone(fields.get("zone") or policy.zone)
        warnings = list(_warnings(fields, zone))
        body: dict[str, Any] = {"appellant": {}}
        for name, text in fields.items():
            if name not in ONLY_CHECKED:
                _put(body, name.split("."), _READ.get(name, _as_it_is)(text, zone))
        raw = orjson.dumps(body)
    except _Refused as refusal:
        return Row(number, source_ref=ref, problem=refusal.problem)
    except OverflowError:
        return Row(number, source_ref=ref, problem=("TIME_UNREADABLE", "a time lies outside the years that there are"))
    except TypeError:  # what orjson says of bytes that were no text in this charset
        return Row(number, problem=("NOT_TEXT", "the row is not text in the file's charset"))
    return Row(number, raw, ref, warnings=tuple(warnings))


def _cell(text: str, cells: Cells) -> str:
    if _NAMED.search(text):
        return _NAMED.sub(lambda found: _text(cells.get(found[1])), text).strip()
    return _text(cells.get(text)).strip()


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _warnings(fields: dict[str, str], zone: tzinfo) -> Iterator[str]:
    """What looks wrong. A point that stands for "not known" is left out."""
    if (closed := fields.get("closed_at")) and (raised := fields.get("raised_at")):
        try:
            if _moment(closed, zone) < _moment(raised, zone):
                yield "CLOSED_BEFORE_RAISED"
        except _Refused:
            yield "CLOSED_AT_UNREADABLE"
    point = [fields.get(f"location.{name}") for name in ("longitude", "latitude")]
    if any(point) and not all(point):
        yield "HALF_A_POINT"
    elif all(one is not None and re.fullmatch(r"-?0+(\.0+)?", one) for one in point):
        yield "POINT_IS_ZERO"
    else:
        return
    for name in ("longitude", "latitude"):
        fields.pop(f"location.{name}", None)


def _zone(text: str) -> tzinfo:
    """+08:00, or a name such as Asia/Shanghai; what follows a space is a remark."""
    name = text.split(" ", maxsplit=1)[0]
    try:
        if re.fullmatch(r"[+-]\d\d:\d\d", name):
            return datetime.fromisoformat(f"2000-01-01T00:00:00{name}").tzinfo or UTC
        return ZoneInfo(name)
    except (ValueError, ZoneInfoNotFoundError, OSError):
        raise _Refused("ZONE_UNKNOWN", "zone is an offset such as +08:00 or a name such as Asia/Shanghai") from None


def _moment(text: str, zone: tzinfo) -> datetime:
    for read in (datetime.fromisoformat, *(_by(form) for form in _SLASHES)):
        try:
            moment = read(text)
        except ValueError:
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)
    raise _Refused("TIME_UNREADABLE", "a time is 2026-11-23T09:00:00+08:00, or the same without T or zone")


def _by(form: str) -> Callable[[str], datetime]:
    return lambda text: datetime.strptime(text, form)  # noqa: DTZ007 - the zone is added by whoever asked


def _degrees(text: str, _: tzinfo) -> float:
    try:
        degrees = float(text)
    except ValueError:
        degrees = math.nan
    if not math.isfinite(degrees):
        raise _Refused("NOT_A_NUMBER", "longitude and latitude are numbers")
    return degrees


def _yes_or_no(text: str, _: tzinfo) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise _Refused("NOT_YES_OR_NO", "write true or false")


def _as_it_is(text: str, _: tzinfo) -> str:
    return text


_READ: dict[str, Callable[[str, tzinfo], Any]] = {
    "raised_at": lambda text, zone: rfc3339(_moment(text, zone)),
    "location.longitude": _degrees,
    "location.latitude": _degrees,
    "appellant.confidential": _yes_or_no,
    "appellant.anonymous": _yes_or_no,
    "category_path": lambda text, _: [part.strip() for part in re.split(r"\s*-?>\s*", text) if part.strip()],
    "tags": lambda text, _: [part.strip() for part in re.split("[,，;；]", text) if part.strip()],
}


def _put(body: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        body = body.setdefault(name, {})
    body[path[-1]] = value
