"""Bulk intake from a CSV file, over HTTP like everybody else; a second run changes nothing.

Each row becomes one registration whose `source_ref` is the row's own id, so that a row already on record is recognised.
A mapping file (TOML) says which column is what; without one the usual column names are understood.
"""

from __future__ import annotations

import asyncio
import csv
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from services.addresses import Addresses

CONCURRENCY = 32
ATTEMPTS = 5
RETRY_SECONDS = 0.5
RETRIED = frozenset({425, 429, 503})

USUAL_COLUMNS = {
    "content": ("content", "detail"),
    "title": ("title",),
    "raised_at": ("raised_at", "posted_at", "created_at"),
    "source_ref": ("source_ref", "message_no", "appeal_id", "request_id"),
    "appellant.name": ("appellant_name", "user_id"),
    "appellant.phone": ("phone",),
    "location.address": ("address",),
}
"""Field -> the columns it is taken from, the first one that the file has."""

EXAMPLE_MAP = """
# field = "column"; every field of POST /intake/v1/appeals can be named, inner ones with a dot
[columns]
content = "detail"
title = "title"
raised_at = "posted_at"
source_ref = "message_no"
"appellant.name" = "user_id"
# the same value for every row
[constants]
kind = "COMPLAINT"
channel = "IMPORT"
"""


class WrongMap(Exception):
    """The mapping file cannot be used; the message says why."""


@dataclass(frozen=True)
class Mapping:
    """Which column is what, and what every row has in common."""

    columns: dict[str, str]
    constants: dict[str, Any] = field(default_factory=lambda: {"kind": "COMPLAINT", "channel": "IMPORT"})

    def body(self, row: dict[str, str]) -> dict[str, Any]:
        """The registration that a row amounts to; empty cells are left out."""
        body: dict[str, Any] = {"appellant": {}}
        cells = {name: row.get(column, "") for name, column in self.columns.items()}
        for name, value in (*self.constants.items(), *cells.items()):
            if value != "":
                _put(body, name.split("."), value)
        return body


@dataclass
class Report:
    """What came of an import. `refused` has row number and reason, never the row's text."""

    outcomes: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[int, str]] = field(default_factory=list)


def read_map(file: Path | None, header: list[str]) -> Mapping:
    """The mapping from a file, or the usual one for these columns. Raises WrongMap."""
    if file is None:
        found = {name: next((c for c in usual if c in header), None) for name, usual in USUAL_COLUMNS.items()}
        mapping = Mapping({name: column for name, column in found.items() if column})
    else:
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
            mapping = Mapping(dict(table["columns"]), dict(table.get("constants", {})))
        except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
            raise WrongMap(f"{file}: {error}; an example:\n{EXAMPLE_MAP}") from None
    if missing := [column for column in mapping.columns.values() if column not in header]:
        raise WrongMap(f"the file has no column {', '.join(missing)}; it has {', '.join(header)}")
    if "content" not in mapping.columns:
        raise WrongMap(f"no column gives `content`; name one with --map, for example:\n{EXAMPLE_MAP}")
    return mapping


def rows_of(file: Path, map_file: Path | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row number (the first data row is 1) and registration body of every row."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        try:
            mapping = read_map(map_file, list(reader.fieldnames or []))
            for number, row in enumerate(reader, 1):
                yield number, mapping.body(row)
        except UnicodeDecodeError:
            raise WrongMap(f"{file} is not UTF-8; convert it first, e.g. iconv -f GB18030 -t UTF-8") from None


async def import_file(
    at: Addresses, token: str, file: Path, map_file: Path | None, progress: Callable[[Report], None]
) -> Report:
    """Register every row; `progress` is called after each. Ctrl-C is safe: run it again to go on."""
    report, slots = Report(), asyncio.Semaphore(CONCURRENCY)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as http, asyncio.TaskGroup() as group:
        for number, body in rows_of(file, map_file):
            await slots.acquire()
            group.create_task(_row(http, at("/intake/v1/appeals"), number, body, report, slots, progress))
    return report


async def _row(
    http: aiohttp.ClientSession,
    url: str,
    number: int,
    body: dict[str, Any],
    report: Report,
    slots: asyncio.Semaphore,
    progress: Callable[[Report], None],
) -> None:
    try:
        await _register(http, url, number, body, report)
    finally:
        slots.release()
    progress(report)


async def _register(http: aiohttp.ClientSession, url: str, number: int, body: dict[str, Any], report: Report) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with http.post(url, json=body) as response:
                answer = await response.json(content_type=None)
                if response.status not in RETRIED:
                    _note(report, number, response.status, "Idempotent-Replayed" in response.headers, answer)
                    return
        except aiohttp.ClientConnectionError:
            if attempt == ATTEMPTS:
                raise
        await asyncio.sleep(RETRY_SECONDS * attempt)
    report.refused.append((number, f"no answer after {ATTEMPTS} attempts"))
    report.outcomes["refused"] += 1


def _note(report: Report, number: int, status: int, replayed: bool, answer: dict[str, Any]) -> None:
    if status == 201:
        report.outcomes["already there" if replayed else "registered"] += 1
        return
    pointers = ", ".join(f"{e['pointer']} {e['message']}" for e in answer.get("errors", ()))
    report.refused.append((number, f"{answer.get('code')} {pointers or answer.get('detail')}"))
    report.outcomes["refused"] += 1


def _put(body: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        body = body.setdefault(name, {})
    body[path[-1]] = value
