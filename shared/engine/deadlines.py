"""A deadline is a projection plus a clock.

Rows in `deadlines` appear and go because of the service's own events. The sweeper claims what is due, oldest first, and
carries out the command that belongs to it; the decider has the last word and answers with nothing when the obligation
was met in the meantime. Claim, events and removal share one transaction, so a deadline fires exactly once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import structlog

from shared.contracts.envelope import Envelope, Payload
from shared.contracts.upcasters import UnknownEvent, UnknownVersion, payload_of
from shared.engine.clock import Clock
from shared.engine.consume import TRANSIENT
from shared.engine.decider import Refused
from shared.engine.execute import Executor, Intention
from shared.engine.telemetry import DEADLINE_LATENESS, DEADLINES_FIRED
from shared.eventlog.log import Recorded
from shared.eventlog.postgres import Connection
from shared.eventlog.sealing import SubjectErased
from shared.messaging.bus import Bell

CLAIM_DUE = """
    SELECT stream, name, subject, due_at FROM deadlines
    WHERE due_at <= $1 AND split_part(name, ':', 1) = ANY($3)
    ORDER BY due_at, stream LIMIT $2 FOR UPDATE SKIP LOCKED"""
REMOVE = """
    DELETE FROM deadlines d USING unnest($1::text[], $2::text[]) AS gone (stream, name)
    WHERE d.stream = gone.stream AND d.name = gone.name"""
SET = """
    INSERT INTO deadlines (stream, name, subject, due_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])
    ON CONFLICT (stream, name) DO UPDATE SET due_at = excluded.due_at"""

CLAIM_LIMIT = 200
SWEEP_SECONDS = 0.2
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Deadline:
    """Something must have happened by `due_at`, or the command named here is carried out."""

    name: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Met:
    """The obligation of this name no longer exists."""

    name: str


@dataclass(frozen=True, slots=True)
class Due:
    """A deadline that has passed."""

    name: str
    subject: str
    due_at: datetime
    now: datetime


@dataclass(frozen=True)
class Deadlines:
    """`changes` says which deadlines an event (and its time) sets or meets, `commands` what to do when one passes.

    A name may go on after a colon where a subject has several of a kind; `commands` has the part before it. What only a
    newer process knows is left to it.
    """

    changes: Mapping[type[Payload], Callable[[Any, datetime], Sequence[Deadline | Met]]]
    commands: Mapping[str, Callable[[Due], Intention[Any]]]


class DeadlineProjection:
    """The handler of the consumer that keeps the rows, on the service's own log."""

    def __init__(self, deadlines: Deadlines) -> None:
        self._by_type = {payload.event_type(): change for payload, change in deadlines.changes.items()}

    async def __call__(self, connection: Connection, events: Sequence[Recorded]) -> None:
        final: dict[tuple[str, str], tuple[str, datetime] | None] = {}
        for event in events:
            if event.type in self._by_type:
                envelope = event.envelope
                for change in self._changes(envelope):
                    due = (envelope.subject, change.due_at) if isinstance(change, Deadline) else None
                    final[envelope.stream, change.name] = due
        met = [key for key, value in final.items() if value is None]
        await _remove(connection, met)
        rows = [(*key, *value) for key, value in final.items() if value is not None]
        if rows:
            await connection.execute(SET, *map(list, zip(*rows, strict=True)))

    def _changes(self, envelope: Envelope) -> Sequence[Deadline | Met]:
        try:
            return self._by_type[envelope.type](payload_of(envelope.type, envelope.data), envelope.time)
        except (UnknownEvent, UnknownVersion):
            return ()


class Sweeper:
    """Carries out what is due. Any number of them may run; a row is claimed by one."""

    def __init__(
        self, service: str, deadlines: Deadlines, pool: asyncpg.Pool, executor: Executor, clock: Clock
    ) -> None:
        self._service, self._commands = service, deadlines.commands
        self._pool, self._executor, self._clock = pool, executor, clock

    async def run(self, bell: Bell) -> None:
        """Sweep for ever; the bell rings when something was appended, so that what is due at once fires at once."""
        while True:
            try:
                while await self.sweep():
                    bell.ring()
                await bell.wait(SWEEP_SECONDS)
            except TRANSIENT as error:
                log.debug("sweep again", service=self._service, reason=type(error).__name__)
                await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self) -> int:
        """One round: fire up to CLAIM_LIMIT due deadlines in one transaction; answers with their number."""
        now = self._clock.now()
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(CLAIM_DUE, now, CLAIM_LIMIT, list(self._commands))
            if not rows:
                return 0
            within = self._executor.within(connection)
            due = [Due(row["name"], row["subject"], row["due_at"], now) for row in rows]
            intentions = [self._commands[one.name.partition(":")[0]](one) for one in due]
            await within.load(intentions)
            for intention in intentions:
                try:
                    await within.decide([intention])
                except (Refused, SubjectErased) as refusal:
                    reason = refusal.code if isinstance(refusal, Refused) else type(refusal).__name__
                    log.error("deadline refused", service=self._service, subject=intention.subject, code=reason)
            await within.append()
            await _remove(connection, [(row["stream"], row["name"]) for row in rows])
        for one in due:
            DEADLINES_FIRED.labels(self._service).inc()
            DEADLINE_LATENESS.labels(self._service).observe((now - one.due_at).total_seconds())
        return len(rows)


async def _remove(connection: Connection, keys: Sequence[tuple[str, str]]) -> None:
    if keys:
        await connection.execute(REMOVE, [stream for stream, _ in keys], [name for _, name in keys])
