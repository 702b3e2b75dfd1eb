"""Tells strangers what has happened: Standard Webhooks 1.0, one event at a time, with a cursor that never skips.

A delivery that fails is tried again by the plan in data/webhooks.toml, and the webhook waits; when the plan is at its
end, or the receiver answers 410, it is disabled where it stands and goes on from there when it is enabled again. A
crash between the receiver's answer and our cursor repeats one delivery under the same `webhook-id`.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import tomllib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import orjson
import structlog

from shared.engine.clock import Clock
from shared.engine.consume import OPEN_CURSORS, TRANSIENT
from shared.engine.outbound import ForbiddenAddress, Guard
from shared.engine.telemetry import DELIVERED
from shared.eventlog.log import Recorded
from shared.eventlog.sealing import Keyring
from shared.messaging.bus import Bell
from shared.messaging.pglog import Readable

WEBHOOKS_KEY = "system:webhooks"
ACTIVE, DISABLED = "ACTIVE", "DISABLED"
GONE = 410
BATCH = 100
LOOK_SECONDS = 1.0
TRY_LOCK = "SELECT pg_try_advisory_lock(hashtext('webhook'), hashtext($1))"
READ_ACTIVE = "SELECT * FROM webhooks WHERE state = 'ACTIVE'"
READ_ONE = "SELECT * FROM webhooks WHERE id = $1 AND state = 'ACTIVE'"
READ_CURSOR = "SELECT partition, sequence FROM cursors WHERE consumer = $1 ORDER BY partition"
ADVANCE = "UPDATE cursors SET sequence = $3 WHERE consumer = $1 AND partition = $2"
SUCCEEDED = "UPDATE webhooks SET attempts = 0, next_try_at = NULL WHERE id = $1"
FAILED = "UPDATE webhooks SET attempts = $2, next_try_at = $3, state = $4, reason = $5 WHERE id = $1"
START_AT = "UPDATE cursors SET sequence = $3 WHERE consumer = $1 AND partition = $2"
log = structlog.get_logger()

Told = Callable[[Mapping[str, Any], Sequence[Recorded]], Awaitable[Sequence[Mapping[str, Any] | None] | None]]
"""What the owner of a webhook is told of each of these events; None while that cannot be said yet."""


@dataclass(frozen=True, slots=True)
class DeliveryPlan:
    """data/webhooks.toml"""

    version: str
    retry_after_seconds: Sequence[int]
    timeout_seconds: int
    largest_answer_bytes: int
    old_secret_hours: int


@cache
def delivery_plan() -> DeliveryPlan:
    """The plan that is shipped."""
    return DeliveryPlan(**tomllib.loads((Path(__file__).parent / "data" / "webhooks.toml").read_text("utf-8")))


def consumer_of(webhook_id: str) -> str:
    """The name that a webhook's cursor rows have."""
    return f"webhook:{webhook_id}"


async def open_cursor(connection: Any, service: str, webhook_id: str, heads: Sequence[int]) -> None:
    """A new webhook is told what happens from now on."""
    await connection.execute(OPEN_CURSORS, consumer_of(webhook_id), service, len(heads))
    for partition, head in enumerate(heads):
        await connection.execute(START_AT, consumer_of(webhook_id), partition, head)


def signatures(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: one `v1` signature per secret that is valid."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(secret, signed, "sha256").digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


class Deliverer:
    """Delivers for all webhooks of one service; any number of processes may run one, a webhook is served by one."""

    def __init__(
        self, service: str, log_: Readable, pool: asyncpg.Pool, keyring: Keyring, clock: Clock, guard: Guard, told: Told
    ) -> None:
        self._service, self._log, self._pool, self._keyring = service, log_, pool, keyring
        self._clock, self._guard, self._told = clock, guard, told

    async def run(self, bell: Bell) -> None:
        """Deliver for ever."""
        while True:
            try:
                async with self._pool.acquire() as locks, self._guard.session(delivery_plan().timeout_seconds) as http:
                    try:
                        await self._serve(locks, http, bell)
                    finally:
                        if not locks.is_closed():
                            await locks.execute("SELECT pg_advisory_unlock_all()")
            except* TRANSIENT as errors:
                log.debug("webhooks again", service=self._service, reason=type(errors.exceptions[0]).__name__)
            await asyncio.sleep(LOOK_SECONDS)

    async def _serve(self, locks: Any, http: aiohttp.ClientSession, bell: Bell) -> None:
        """A task for every webhook that nobody else serves."""
        serving: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                for row in await self._pool.fetch(READ_ACTIVE):
                    key = str(row["id"])
                    idle = key not in serving or serving[key].done()
                    if idle and (key in serving or await locks.fetchval(TRY_LOCK, key)):
                        serving[key] = group.create_task(self._serve_one(row["id"], http, bell))
                await asyncio.sleep(LOOK_SECONDS)
                await locks.execute("SELECT 1")

    async def _serve_one(self, webhook_id: Any, http: aiohttp.ClientSession, bell: Bell) -> None:
        """Whatever goes wrong with one webhook, the others go on; it begins again where its cursor stands."""
        try:
            await self._follow(webhook_id, http, bell)
        except Exception as error:
            kind = type(error).__name__
            log.warning("webhook begins again", service=self._service, webhook=str(webhook_id), reason=kind)

    async def _follow(self, webhook_id: Any, http: aiohttp.ClientSession, bell: Bell) -> None:
        """Deliver to one webhook until it is gone, disabled, or has to wait."""
        while (row := await self._pool.fetchrow(READ_ONE, webhook_id)) is not None:
            if row["next_try_at"] is not None and row["next_try_at"] > self._clock.now():
                return
            rung = bell.next_ring()
            if not await self._deliver_what_is_new(row, http):
                await bell.wait(LOOK_SECONDS, rung)

    async def _deliver_what_is_new(self, row: Any, http: aiohttp.ClientSession) -> bool:
        """One batch of every partition; False when there was nothing, or the webhook has to wait."""
        name, delivered = consumer_of(str(row["id"])), False
        heads = await self._log.heads()
        for cursor in await self._pool.fetch(READ_CURSOR, name):
            partition, after = cursor["partition"], cursor["sequence"]
            if heads[partition] <= after:
                continue
            events = await self._log.read_partition(partition, after, BATCH)
            if (told := await self._told(orjson.loads(row["reach"]), events)) is None:
                continue
            for event, one in zip(events, told, strict=True):
                due = one is not None and (not row["types"] or event.type in row["types"])
                if due and not await self._delivered(row, event, orjson.dumps(one), http):
                    return False
                if due and not await self._moved(name, partition, event):
                    return False
            await self._moved(name, partition, events[-1])
            delivered = True
        return delivered

    async def _moved(self, name: str, partition: int, event: Recorded) -> bool:
        """Advance the cursor; False when it is gone, and the webhook with it."""
        return bool((await self._pool.execute(ADVANCE, name, partition, event.position)) != "UPDATE 0")

    async def _delivered(self, row: Any, event: Recorded, body: bytes, http: aiohttp.ClientSession) -> bool:
        """One attempt; notes how it went."""
        status = await self._attempt(row, event.envelope.id, body, http)
        DELIVERED.labels(self._service, "delivered" if status // 100 == 2 else "failed").inc()
        if status // 100 == 2:
            if row["attempts"]:
                await self._pool.execute(SUCCEEDED, row["id"])
            return True
        attempts, plan = row["attempts"] + 1, delivery_plan().retry_after_seconds
        state, reason = ACTIVE, None
        if status == GONE or attempts > len(plan):
            state, reason = DISABLED, "the receiver said 410 Gone" if status == GONE else "every attempt failed"
            log.warning("webhook disabled", service=self._service, webhook=str(row["id"]), reason=reason)
        wait = timedelta(seconds=plan[min(attempts, len(plan)) - 1])
        await self._pool.execute(FAILED, row["id"], attempts, self._clock.now() + wait, state, reason)
        return False

    async def _attempt(self, row: Any, message_id: str, body: bytes, http: aiohttp.ClientSession) -> int:
        """The status of the answer; 0 when there was none that counts."""
        now = self._clock.now()
        timestamp = int(now.timestamp())
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "User-Agent": "jiesu-webhooks/1",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(self._secrets(row, now), message_id, timestamp, body),
        }
        try:
            await self._guard.check(row["url"])
            async with http.post(row["url"], data=body, headers=headers, allow_redirects=False) as answer:
                await answer.content.read(delivery_plan().largest_answer_bytes)
                return answer.status
        except (aiohttp.ClientError, OSError, ForbiddenAddress, ValueError) as error:
            log.info("not delivered", service=self._service, webhook=str(row["id"]), reason=type(error).__name__)
            return 0

    def _secrets(self, row: Any, now: datetime) -> list[bytes]:
        sealed = [row["secret"]]
        if row["old_secret"] is not None and row["old_until"] > now:
            sealed.append(row["old_secret"])
        return [self._keyring.decrypt(WEBHOOKS_KEY, one, str(row["id"])) for one in sealed]
