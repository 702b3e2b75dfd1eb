"""Webhooks, managed by those who receive them: made, listed, rotated, enabled again, removed. Standard Webhooks 1.0."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from shared.contracts.catalogue import CATALOGUE
from shared.contracts.envelope import rfc3339
from shared.engine.outbound import ForbiddenAddress, Guard
from shared.engine.runtime import Running
from shared.engine.tasks import end_all
from shared.engine.webhooks import ACTIVE, WEBHOOKS_KEY, Deliverer, consumer_of, delivery_plan, open_cursor
from shared.eventlog.log import Recorded
from shared.web.asking import Asking, reads
from shared.web.bodies import parse_body, read_body
from shared.web.identity import Scope
from shared.web.problems import Problem
from shared.web.visibility import Owners, Told, principal_of, reach_of, told

SECRET_BYTES = 32
MOST_PER_OWNER = 20
INSERT = """
    INSERT INTO webhooks (id, owner, reach, url, types, secret, created_at)
    VALUES ($1, $2, $3::jsonb, $4, $5, $6, $7)"""
LISTED = "SELECT * FROM webhooks WHERE owner = $1 OR $2 ORDER BY id"
ONE = "SELECT * FROM webhooks WHERE (owner = $1 OR $2) AND id = $3"
ROTATE = "UPDATE webhooks SET old_secret = secret, old_until = $2, secret = $3 WHERE id = $1"
ENABLE = "UPDATE webhooks SET state = $2, reason = NULL, attempts = 0, next_try_at = NULL WHERE id = $1"
REMOVE = "DELETE FROM webhooks WHERE id = $1"
DROP_CURSOR = "DELETE FROM cursors WHERE consumer = $1"

Subscribing = Annotated[Asking, Depends(reads(Scope.SUBSCRIBE))]


class WebhookBody(BaseModel):
    """What is asked for: where to, and which event types (none: all that the caller may see)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    url: Annotated[str, Field(min_length=8, max_length=2000)]
    types: Annotated[list[str], Field(max_length=100)] = []


def guard_of(running: Running) -> Guard:
    """Which networks may be called, by setting."""
    return Guard([one.strip() for one in running.settings.webhook_networks.split(",") if one.strip()])


def webhook_router() -> APIRouter:
    """The routes, the same for every service."""
    router = APIRouter()
    document = {"requestBody": {"content": {"application/json": {"schema": WebhookBody.model_json_schema()}}}}

    @router.post("/v1/webhooks", status_code=201, summary="Be told of events", openapi_extra=document)
    async def make(request: Request, asking: Subscribing) -> Response:
        """The answer shows the secret, once."""
        body = parse_body(await read_body(request, asking.running.settings.max_body_bytes), WebhookBody)
        return JSONResponse(await _make(asking, body), 201, {"Cache-Control": "no-store"})

    @router.get("/v1/webhooks", summary="One's own webhooks; an administrator sees all")
    async def listed(asking: Subscribing) -> Response:
        """Where each stands, without secrets."""
        rows = await asking.running.pool.fetch(LISTED, asking.principal.sub, _keeps_all(asking))
        return JSONResponse({"items": [_shown(row) for row in rows], "next_cursor": None})

    @router.post("/v1/webhooks/{webhook_id}/rotate", summary="A new secret")
    async def rotate(webhook_id: str, asking: Subscribing) -> Response:
        """Both secrets sign for a while, so that the receiver can change over."""
        row = await _mine(asking, webhook_id)
        secret, until = _secret(asking.running), asking.running.clock.now() + _overlap()
        await asking.running.pool.execute(ROTATE, row["id"], until, _sealed(asking.running, row["id"], secret))
        shown = {"secret": _written(secret), "old_secret_until": rfc3339(until)}
        return JSONResponse(_shown(row) | shown, headers={"Cache-Control": "no-store"})

    @router.post("/v1/webhooks/{webhook_id}/enable", summary="Go on where it was disabled")
    async def enable(webhook_id: str, asking: Subscribing) -> Response:
        """Nothing that happened in between is left out."""
        row = await _mine(asking, webhook_id)
        await asking.running.pool.execute(ENABLE, row["id"], ACTIVE)
        return JSONResponse(_shown(await _mine(asking, webhook_id)))

    @router.delete("/v1/webhooks/{webhook_id}", status_code=204, summary="Be told no more")
    async def remove(webhook_id: str, asking: Subscribing) -> Response:
        """The webhook and its cursor are gone."""
        row = await _mine(asking, webhook_id)
        async with asking.running.pool.acquire() as connection, connection.transaction():
            await connection.execute(REMOVE, row["id"])
            await connection.execute(DROP_CURSOR, consumer_of(str(row["id"])))
        return Response(status_code=204)

    return router


async def _make(asking: Asking, body: WebhookBody) -> dict[str, Any]:
    running = asking.running
    unknown = [number for number, type_ in enumerate(body.types) if not _is_ours(running, type_)]
    if unknown:
        errors = [{"pointer": f"/types/{number}", "message": "not an event of this service"} for number in unknown]
        raise Problem("VALIDATION_FAILED", errors=errors)
    try:
        await guard_of(running).check(body.url)
    except ForbiddenAddress as reason:
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "/url", "message": str(reason)}]) from None
    if len(await running.pool.fetch(LISTED, asking.principal.sub, False)) >= MOST_PER_OWNER:
        raise Problem("CONFLICT", f"at most {MOST_PER_OWNER} webhooks; remove one first")
    webhook_id, secret = uuid.UUID(running.ids.uuid7()), _secret(running)
    reach = orjson.dumps(reach_of(asking.principal)).decode()
    values = (reach, body.url, body.types, _sealed(running, webhook_id, secret), running.clock.now())
    heads = await running.log.heads()
    async with running.pool.acquire() as connection, connection.transaction():
        await connection.execute(INSERT, webhook_id, asking.principal.sub, *values)
        await open_cursor(connection, running.service.name, str(webhook_id), heads)
    return _shown(await _mine(asking, str(webhook_id))) | {"secret": _written(secret)}


def _is_ours(running: Running, type_: str) -> bool:
    return type_ in CATALOGUE and CATALOGUE[type_].owner == running.service.name


async def _mine(asking: Asking, webhook_id: str) -> Any:
    try:
        row = await asking.running.pool.fetchrow(ONE, asking.principal.sub, _keeps_all(asking), uuid.UUID(webhook_id))
    except ValueError:
        row = None
    if row is None:
        raise Problem("NOT_FOUND")
    return row


def _keeps_all(asking: Asking) -> bool:
    """Whoever administers the city also lists and ends what others have subscribed to."""
    return asking.principal.may(Scope.KEEP_WEBHOOKS)


def _shown(row: Any) -> dict[str, Any]:
    next_try = row["next_try_at"]
    return {
        "id": str(row["id"]),
        "owner": row["owner"],
        "url": row["url"],
        "types": list(row["types"]),
        "state": row["state"],
        "reason": row["reason"],
        "attempts": row["attempts"],
        "next_try_at": rfc3339(next_try) if next_try else None,
        "created_at": rfc3339(row["created_at"]),
    }


def _secret(running: Running) -> bytes:
    return running.ids.random_bytes(SECRET_BYTES)


def _written(secret: bytes) -> str:
    return "whsec_" + base64.b64encode(secret).decode()


def _sealed(running: Running, webhook_id: uuid.UUID, secret: bytes) -> bytes:
    return running.keyring.encrypt(WEBHOOKS_KEY, secret, str(webhook_id))


def _overlap() -> timedelta:
    return timedelta(hours=delivery_plan().old_secret_hours)


@asynccontextmanager
async def delivering(city: Mapping[str, Running], owners: Mapping[str, Owners]) -> AsyncIterator[None]:
    """Deliver the webhooks of these services for as long as the block runs."""
    tasks = [
        asyncio.create_task(running.keep("webhooks", _deliverer(running, owners[name]).run(running.bell)))
        for name, running in city.items()
    ]
    try:
        yield
    finally:
        await end_all(tasks)


def _deliverer(running: Running, owners: Owners) -> Deliverer:
    async def told_to(reach: Mapping[str, Any], events: Sequence[Recorded]) -> Told | None:
        return await told(running, owners, principal_of(reach), events)

    name, guard = running.service.name, guard_of(running)
    return Deliverer(name, running.log, running.pool, running.keyring, running.clock, guard, told_to)
