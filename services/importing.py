"""Bulk intake from a file: hands it to the city as it is, with a map that says which column is what, and watches.

A second run changes nothing: rows on record are recognised by their `source_ref`.
"""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from services.addresses import Addresses
from services.intake_service.importing import FORMS
from services.intake_service.policy import import_policy
from services.intake_service.rows import CSV, NDJSON, XLSX, RowMap, WrongFile, rows_of

LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 60
BLOCK = 1 << 20
ENDINGS = {".csv": CSV, ".ndjson": NDJSON, ".jsonl": NDJSON, ".xlsx": XLSX}
MEDIA_TYPES = {form: media_type for media_type, form in FORMS.items()}
EXAMPLE_MAP = """
# field = "column"; every field of POST /intake/v1/appeals can be named, inner ones with a dot
[columns]
content = "{category}: {detail}"   # a column, or a text with columns in it
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
    """The file or its map cannot be used; the message says why."""


@dataclass
class Report:
    """How far an import is, as the city tells it; what is wrong with its rows, by code, and some of each kind."""

    import_id: str = ""
    state: str = "RUNNING"
    total: int = 0
    row: int = 0
    registered: int = 0
    already_there: int = 0
    refused: int = 0
    warned: int = 0
    reason: str | None = None
    codes: Counter[str] = field(default_factory=Counter)
    problems: list[dict[str, Any]] = field(default_factory=list)


def read_map(file: Path | None) -> RowMap | None:
    """The map from a TOML file. Raises WrongMap."""
    if file is None:
        return None
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        return RowMap(dict(table["columns"]), dict(table.get("constants", {})))
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise WrongMap(f"{file}: {error}; an example:\n{EXAMPLE_MAP}") from None


def bodies_of(file: Path) -> Iterator[dict[str, Any]]:
    """The registrations that the rows of a file amount to; rows that amount to none are left out. Raises WrongMap."""
    with file.open("rb") as opened:
        try:
            for row in rows_of(opened, _form(file), None, None, import_policy()):
                if row.problem is None:
                    yield json.loads(row.body)
        except WrongFile as error:
            raise WrongMap(str(error)) from None


def _form(file: Path) -> str:
    if (form := ENDINGS.get(file.suffix.lower())) is None:
        raise WrongMap(f"{file}: the name ends in {', '.join(ENDINGS)}")
    return form


async def import_file(
    at: Addresses,
    token: str,
    file: Path,
    mapping: RowMap | None,
    all_or_none: bool,
    progress: Callable[[Report], None],
    shown: int,
) -> Report:
    """Upload a file and watch until it has been read. Ctrl-C ends the watching, not the import. Raises WrongMap."""
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(
        headers=headers, timeout=aiohttp.ClientTimeout(sock_read=PATIENCE_SECONDS)
    ) as http:
        import_id = await _upload(http, at, file, mapping, all_or_none)
        progress(Report(import_id=import_id))
        where = at(f"/intake/v1/imports/{import_id}")
        report = await _watched(http, where, progress)
        await _note_problems(http, where, report, shown)
        return report


async def _note_problems(http: aiohttp.ClientSession, where: str, report: Report, shown: int) -> None:
    """Count all, keep some of each kind."""
    query: dict[str, str] = {"limit": "200"}
    while True:
        async with http.get(f"{where}/problems", params=query) as answer:
            page = await answer.json()
        for one in page["items"]:
            report.codes[one["code"]] += 1
            if report.codes[one["code"]] <= shown:
                report.problems.append(one)
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


async def _upload(
    http: aiohttp.ClientSession, at: Addresses, file: Path, mapping: RowMap | None, all_or_none: bool
) -> str:
    query = {"mode": "all" if all_or_none else "good"}
    if mapping is not None:
        query["map"] = json.dumps({"columns": mapping.columns, "constants": mapping.constants}, ensure_ascii=False)
    headers = {"Content-Type": MEDIA_TYPES[_form(file)]}
    async with http.post(at("/intake/v1/imports"), params=query, data=_blocks(file), headers=headers) as answer:
        body = await answer.json(content_type=None)
        if answer.status != 202:
            told = "; ".join(f"{one['pointer']} {one['message']}" for one in body.get("errors", ()))
            raise WrongMap(f"{file}: {told.strip() or body.get('detail')}; a map:\n{EXAMPLE_MAP}")
        return str(body["import_id"])


async def _blocks(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as opened:
        while block := await asyncio.to_thread(opened.read, BLOCK):
            yield block


async def _watched(http: aiohttp.ClientSession, where: str, progress: Callable[[Report], None]) -> Report:
    """Ask again until it has ended; a city that is away for a while is waited for."""
    names = Report.__dataclass_fields__.keys() - {"problems", "codes"}
    failures = 0
    while True:
        try:
            async with http.get(where) as answer:
                if answer.status == 200:
                    failures = 0
                    body = await answer.json()
                    report = Report(**{name: body[name] for name in names})
                    progress(report)
                    if report.state != "RUNNING":
                        return report
        except aiohttp.ClientConnectionError:
            failures += 1
            if failures * LOOK_SECONDS > PATIENCE_SECONDS:
                raise
        await asyncio.sleep(LOOK_SECONDS)
