"""The record over HTTP, the same for every service (contract section 6): checkpoints, proofs, receipts and the entries.

Checkpoints and proofs are for everybody: they hold hashes and nothing else. Entries, exact to the byte, are for
auditors; personal texts in them are sealed.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from shared.engine.notarising import PUBLISHED
from shared.engine.runtime import Running
from shared.eventlog.notes import checkpoint_in
from shared.eventlog.tree import StoredTree
from shared.web.asking import Asking, PublicAsking, reads
from shared.web.identity import Scope
from shared.web.media import Octets, also
from shared.web.problems import Problem

MOST_ENTRIES = 1_000
MOST_LEAVES = 100_000
NDJSON, HASHES = "application/x-ndjson", "application/octet-stream"
EARLIER = """
    SELECT number, note FROM checkpoints WHERE number > $1 AND (NOT $2 OR number IN (
        SELECT max(number) FROM checkpoints WHERE number > $1 GROUP BY date_trunc('hour', published_at)))
    ORDER BY number LIMIT 500"""
CanAudit = Annotated[Asking, Depends(reads(Scope.AUDIT))]
router = APIRouter()
Place = Annotated[int, Query(ge=0, lt=2**62)]


@router.get("/v1/log/key", response_class=PlainTextResponse, summary="The key of checkpoints (C2SP verifier key)")
async def key(asking: PublicAsking) -> Response:
    return PlainTextResponse(asking.running.signer.verifier_key + "\n")


@router.get(
    "/v1/log/checkpoint",
    response_class=PlainTextResponse,
    summary="The latest signed checkpoint (C2SP tlog-checkpoint)",
)
async def checkpoint(asking: PublicAsking) -> Response:
    return PlainTextResponse(await _note(asking.running))


@router.get(
    "/v1/log/proof", responses=also("text/plain"),
    summary="That an event stands in the log; text/plain: a receipt (C2SP tlog-proof)",
)  # fmt: skip
async def proof(request: Request, asking: PublicAsking, event_id: UUID) -> Response:
    place = await _tree(request).place_of(str(event_id))
    if place is None:
        raise Problem("NOT_FOUND")
    index, leaf = place
    note = await _note(asking.running)
    size = checkpoint_in(note).size
    if index is None or index >= size:
        raise Problem("TOO_EARLY", "no checkpoint covers this event yet")
    hashes = [b64encode(one).decode() for one in await _tree(request).inclusion(index, size)]
    if "text/plain" in request.headers.get("accept", ""):
        lines = "".join(f"{one}\n" for one in hashes)
        return PlainTextResponse(f"c2sp.org/tlog-proof@v1\nindex {index}\n{lines}\n{note}")
    return JSONResponse({"log_index": index, "leaf_hash": leaf.hex(), "proof": hashes, "checkpoint": note})


@router.get("/v1/log/consistency", summary="That the first entries of the log are still what they were")
async def consistency(
    request: Request, asking: PublicAsking, old: Annotated[int, Query(alias="from", ge=1, lt=2**62)], to: Place
) -> Response:
    if not old <= to <= checkpoint_in(await _note(asking.running)).size:
        raise Problem("NOT_FOUND", "from and to are sizes that a checkpoint covers, the smaller first")
    hashes = [b64encode(one).decode() for one in await _tree(request).consistency(old, to)]
    return JSONResponse({"from": old, "to": to, "proof": hashes})


@router.get(
    "/v1/log/entries", responses=also(NDJSON),
    summary="The entries in their order, as stored; x-ndjson: exact bytes, one a line",
)  # fmt: skip
async def entries(
    request: Request, asking: CanAudit, after: Annotated[int, Query(ge=-1, lt=2**62)] = -1,
    limit: Annotated[int, Query(ge=1, le=MOST_ENTRIES)] = 200,
) -> Response:  # fmt: skip
    found = await _tree(request).entries(after + 1, after + 1 + limit)
    if NDJSON in request.headers.get("accept", ""):
        return Response(b"".join(one.body + b"\n" for one in found), media_type=NDJSON)
    items: list[dict[str, Any]] = [
        {"log_index": one.place, "leaf_hash": one.leaf_hash.hex(), "event": orjson.Fragment(one.body)} for one in found
    ]
    return Response(orjson.dumps({"items": items}), media_type="application/json")


@router.get("/v1/log/leaves", response_class=Octets, summary="The leaf hashes as integrated, 32 bytes each")
async def leaves(request: Request, asking: CanAudit, after: Annotated[int, Query(ge=-1, lt=2**62)] = -1) -> Response:
    found = await _tree(request).leaves(after + 1, after + 1 + MOST_LEAVES)
    return Response(b"".join(found), media_type=HASHES)


@router.get("/v1/log/checkpoints", summary="What was published, oldest first")
async def checkpoints(asking: CanAudit, after: Place = 0, hourly: bool = False) -> Response:
    """There may be one a second; `hourly`: the last of every hour, each of which covers what those before it did."""
    rows = await asking.running.pool.fetch(EARLIER, after, hourly)
    return JSONResponse({"items": [{"number": row["number"], "checkpoint": row["note"]} for row in rows]})


def _tree(request: Request) -> StoredTree:
    """The service's, which remembers the tiles that it has read."""
    tree: StoredTree = request.app.state.tree
    return tree


async def _note(running: Running) -> str:
    note: str | None = await running.pool.fetchval(PUBLISHED)
    if note is None:
        raise Problem("NOT_FOUND", "no checkpoint has been published yet")
    return note
