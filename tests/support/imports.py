"""Bulk files as partners send them over HTTP, what became of them, and imports whose worker is in a test's hands."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from shared.eventlog.log import Recorded
from tests.support.city import City, Reply

IMPORTS = "/intake/v1/imports"
CSV, NDJSON = "text/csv", "application/x-ndjson"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def csv(*rows: str, header: str = "content,source_ref") -> bytes:
    return "\n".join((header, *rows, "")).encode()


async def upload(
    city: City,
    data: bytes,
    sub: str,
    media_type: str = CSV,
    map: Any = None,
    role: str | None = "INTEGRATOR",
    headers: dict[str, str] | None = None,
    **query: str,
) -> Reply:
    """Send a file; `map` is sent as JSON unless it is a text."""
    if map is not None:
        query["map"] = map if isinstance(map, str) else json.dumps(map)
    sent = {"Content-Type": media_type} | (headers or {})
    return await city.send("POST", f"{IMPORTS}?{urlencode(query)}", role, data=io.BytesIO(data), headers=sent, sub=sub)


async def started(city: City, data: bytes, sub: str, *args: Any, **more: Any) -> str:
    """The same, when the file must be taken; the import's id."""
    reply = await upload(city, data, sub, *args, **more)
    assert reply.status == 202, reply.raw
    return str(reply.body["import_id"])


async def progress(city: City, import_id: str, sub: str, role: str = "INTEGRATOR") -> dict[str, Any]:
    reply = await city.get(f"{IMPORTS}/{import_id}", role, sub=sub)
    return reply.body if reply.status == 200 else {"state": None, "row": -1}


async def ended(city: City, import_id: str, sub: str, role: str = "INTEGRATOR") -> dict[str, Any]:
    """How far it is, once there is nothing more to be done and its file is gone."""
    over = await city.until(
        lambda: progress(city, import_id, sub, role), lambda one: one["state"] not in {None, "RUNNING"}
    )

    async def kept_() -> Sequence[Path]:
        return kept(city, import_id)

    await city.until(kept_, lambda files: not files)
    return dict(over)


async def imported(city: City, data: bytes, sub: str, *args: Any, **more: Any) -> dict[str, Any]:
    """Send a file and wait until it has been read."""
    return await ended(city, await started(city, data, sub, *args, **more), sub)


def counts(over: dict[str, Any]) -> tuple[int, ...]:
    """registered, already there, refused, warned"""
    return tuple(over[name] for name in ("registered", "already_there", "refused", "warned"))


async def problems(city: City, import_id: str, sub: str, role: str = "INTEGRATOR") -> list[dict[str, Any]]:
    """What is listed, once every row that was counted as refused or noted is."""
    over = await progress(city, import_id, sub, role)
    reply = await city.until(
        lambda: city.get(f"{IMPORTS}/{import_id}/problems?limit=200", role, sub=sub),
        lambda reply: len({one["row"] for one in reply.body["items"]}) >= over["refused"] + over["warned"],
    )
    return list(reply.body["items"])


def told(items: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(one["row"], one["code"]) for one in items]


def kept(city: City, import_id: str = "") -> Sequence[Path]:
    """What the store holds of an import (of all), half-written files included."""
    folder = city.running["intake"].settings.home / "objects" / "imports"
    return sorted(path for path in folder.glob("*") if import_id in path.name)


async def events(city: City) -> list[Recorded]:
    """Every event of intake, as it is stored."""
    log = city.running["intake"].log
    found = [await log.read_partition(partition, 0, 100_000) for partition in range(log.partitions)]
    return [event for partition in found for event in partition]


async def registered(city: City, sub: str) -> int:
    """How many appeals are on record for a client."""
    envelopes = [event.envelope for event in await events(city) if ".appeal-registered." in event.type]
    return sum(one.data["client"] == sub for one in envelopes)
