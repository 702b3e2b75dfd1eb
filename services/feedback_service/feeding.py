"""Art 28: the units' own data, pushed back to them in full. A feed that never skips, and digests against drift.

The same events are on Kafka, in the SSE stream and in webhooks, within the unit's reach; here are whole records.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from sqlalchemy import select
from starlette.responses import JSONResponse, Response

from services.feedback_service.case import CASE
from services.feedback_service.reading import case_row, file_of, outside, owned, seen_case
from services.feedback_service.views import CASES
from shared.engine.decider import NotYours
from shared.engine.joined import split
from shared.engine.runtime import Running
from shared.eventlog.canonical import leaf_hash
from shared.web.asking import Asking, reads
from shared.web.identity import Reach, Scope
from shared.web.paging import next_cursor, read_cursor

router = APIRouter()
CanRead = Annotated[Asking, Depends(reads(Scope.READ))]
LOOKED_AT = 500
"""Events of each partition that one page goes through at most."""


@router.get("/v1/units/{unit_id}/feed", summary="Whole records of a unit's cases, as they change (Art 28)")
async def feed(
    unit_id: str,
    asking: CanRead,
    cursor: Annotated[str | None, Query(max_length=20_000, description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Every case once it has changed, from the beginning; nothing is skipped, the latest state is given.

    `gone`: another unit has it now. Digests cover what feedback has on record of a case, not due times and erasures.

    `next_cursor` is always there; ask again with it. `more`: there is more already.
    """
    running, principal = asking.running, asking.principal
    reach = principal.reach(Scope.READ)
    mine = reach in {Reach.UNIT, Reach.DISTRICT} and principal.unit_id == unit_id
    if reach is not Reach.ALL and not mine:
        raise NotYours
    what = f"feed:{unit_id}"
    held = read_cursor(running.secrets.index, what, cursor)
    heads = await running.log.heads()
    after = [int(one) for one in held] if held else [0] * len(heads)
    changed, after, more = await _changed(running, after, heads, limit, unit_id)
    items = [await _record(running, appeal_id, unit_id, outside(principal)) for appeal_id in changed]
    following = next_cursor(running.secrets.index, what, after)
    return JSONResponse({"items": items, "next_cursor": following, "more": more}, headers={"Cache-Control": "no-store"})


async def _changed(
    running: Running, after: list[int], heads: list[int], limit: int, unit_id: str
) -> tuple[list[str], list[int], bool]:
    """The unit's appeals that something has happened to, partition by partition; and how far that was looked."""
    changed: dict[str, None] = {}
    more = False
    for partition, head in enumerate(heads):
        if head <= after[partition]:
            continue
        events = await running.log.read_partition(partition, after[partition], LOOKED_AT)
        if len(changed) >= limit or not await running.views_reached("feedback", partition, events[-1].position):
            more = True
            continue
        theirs = await _theirs(running, {event.envelope.subject for event in events}, unit_id)
        for event in events:
            subject = event.envelope.subject
            if event.envelope.stream.startswith("case-") and subject in theirs and subject not in changed:
                if len(changed) >= limit:
                    break
                changed[subject] = None
            after[partition] = event.position
        more = more or after[partition] < head
    return list(changed), after, more


async def _theirs(running: Running, subjects: set[str], unit_id: str) -> set[str]:
    """Which of these are, or were, the unit's."""
    columns = (CASES.c.appeal_id, CASES.c.lead_unit, CASES.c.co_units, CASES.c.former_units)
    query = select(*columns).where(CASES.c.appeal_id.in_(sorted(subjects)))
    async with running.reads.connect() as connection:
        rows = (await connection.execute(query)).all()
    return {row.appeal_id for row in rows if unit_id in {row.lead_unit, *split(row.co_units), *split(row.former_units)}}


async def _record(running: Running, appeal_id: str, unit_id: str, hide: bool) -> dict[str, Any]:
    row = await case_row(running, appeal_id)
    shown: dict[str, Any] = {"appeal_id": appeal_id, "version": row["version"]}
    if unit_id not in owned(row).units:
        return shown | {"gone": True}
    shown["digest"] = await digest_of(running, appeal_id, row["version"])
    return shown | {"record": await file_of(running, row, hide)}


@router.get("/v1/cases/{appeal_id}/digest", summary="What a copy of the case is compared with")
async def digest(
    appeal_id: str,
    asking: CanRead,
    version: Annotated[int | None, Query(ge=1, le=10**9, description="the latest when it is left out")] = None,
) -> Response:
    """SHA-256 over the RFC 6962 leaf hashes of the case's events up to a version, in order."""
    row = await seen_case(asking, appeal_id)
    at = version or row["version"]
    if at > row["version"]:
        raise NotYours
    shown = {"appeal_id": appeal_id, "version": at, "digest": await digest_of(asking.running, appeal_id, at)}
    return JSONResponse(shown, headers={"Cache-Control": "no-store"})


async def digest_of(running: Running, appeal_id: str, version: int) -> str:
    """Lowercase hex."""
    recorded = await running.log.read_stream(CASE.stream(appeal_id))
    return sha256(b"".join(leaf_hash(event.body) for event in recorded if event.version <= version)).hexdigest()
