"""How events of a neighbour take effect here exactly once.

A consumer owns one cursor row per source partition. The rows are locked first and advanced in the transaction that
holds the effect, so a repeat is recognised for ever by `position <= sequence`, two processes never do the same work,
and a hole (`position > sequence + 1`) stops the consumer instead of being skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import asyncpg
import structlog

from shared.engine.telemetry import CONSUMED, CONSUMER_STOPPED
from shared.eventlog.log import LogUnavailable, Recorded, WrongVersion
from shared.eventlog.postgres import LOST, Connection
from shared.messaging.bus import BATCH_LIMIT, Batch, Bus, BusUnavailable, Hole, Subscription

LOCK_CURSORS = """
    SELECT partition, sequence FROM cursors WHERE consumer = $1 AND source = $2 AND partition = ANY($3)
    ORDER BY partition FOR UPDATE"""
OPEN_CURSORS = """
    INSERT INTO cursors (consumer, source, partition) SELECT $1, $2, generate_series(0, $3::int - 1)
    ON CONFLICT DO NOTHING"""
READ_CURSORS = "SELECT partition, sequence FROM cursors WHERE consumer = $1 AND source = $2"
ADVANCE_CURSORS = """
    UPDATE cursors c SET sequence = moved.sequence FROM unnest($3::int[], $4::bigint[]) AS moved (partition, sequence)
    WHERE c.consumer = $1 AND c.source = $2 AND c.partition = moved.partition"""

RETRY_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
TRANSIENT = (
    *LOST,
    WrongVersion,
    LogUnavailable,
    BusUnavailable,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
)
"""Worth trying again as it is: the partition waits."""

OURS = ("shared.", "services.")


def told(error: BaseException) -> str:
    """The kind of an error, and its message only where it is one of ours: others may repeat what a person wrote."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(told(one) for one in error.exceptions)
    kind = type(error)
    return f"{kind.__name__}: {error}" if kind.__module__.startswith(OURS) else kind.__name__


Handler = Callable[[Connection, Sequence[Recorded]], Awaitable[None]]
log = structlog.get_logger()


def _quiet() -> None:
    """Nobody needs to be told."""


class Retired(Exception):
    """The cursor rows of this consumer are gone: another generation of the view has taken over."""


class Consumer:
    """One handler on one source. With opens=False its cursor rows must be there: somebody else creates them."""

    def __init__(
        self,
        name: str,
        source: str,
        bus: Bus,
        pool: asyncpg.Pool,
        handler: Handler,
        on_commit: Callable[[], None] = _quiet,
        opens: bool = True,
    ) -> None:
        self.name, self.source, self._opens = name, source, opens
        self._bus, self._pool, self._handler, self._on_commit = bus, pool, handler, on_commit

    async def run(self) -> None:
        """Consume for ever. Raises Retired when the cursor rows are gone, anything else when a person must look."""
        pause = RETRY_PAUSE_SECONDS
        try:
            while True:
                try:
                    async with self._subscribed() as subscription:
                        while True:
                            await self._until_done(await subscription.next(), subscription)
                            pause = RETRY_PAUSE_SECONDS
                except TRANSIENT as error:
                    log.debug("again", consumer=self.name, source=self.source, reason=type(error).__name__)
                    pause = await rest(pause)
        except Retired:
            raise
        except Exception as error:
            CONSUMER_STOPPED.labels(self.name, self.source).set(1)
            log.error("consumer stopped", consumer=self.name, source=self.source, reason=told(error))
            raise

    async def catch_up(self, batch_limit: int) -> int:
        """Consume up to the heads of now and stop; answers with the number of events delivered, repeats included."""
        goal: Sequence[int] = ()
        count, pause = 0, RETRY_PAUSE_SECONDS
        while True:
            try:
                goal = goal or await self._bus.heads(self.source)
                async with self._subscribed(batch_limit, alone=True) as subscription:
                    while await self._short_of(goal):
                        batches = await subscription.next()
                        await self._until_done(batches, subscription)
                        count += sum(len(batch.events) for batch in batches)
                        pause = RETRY_PAUSE_SECONDS
                return count
            except TRANSIENT as error:
                log.debug("again", consumer=self.name, source=self.source, reason=type(error).__name__)
                pause = await rest(pause)

    @asynccontextmanager
    async def _subscribed(self, batch_limit: int = BATCH_LIMIT, alone: bool = False) -> AsyncIterator[Subscription]:
        if self._opens:
            heads = await self._bus.heads(self.source)
            await self._pool.execute(OPEN_CURSORS, self.name, self.source, len(heads))
        if not await self._reached():
            raise Retired
        subscription = await self._bus.subscribe(self.name, self.source, self._reached, batch_limit, alone)
        try:
            yield subscription
        finally:
            await subscription.close()

    async def _short_of(self, goal: Sequence[int]) -> bool:
        reached = await self._reached()
        return any(head > reached[partition] for partition, head in enumerate(goal))

    async def _reached(self) -> dict[int, int]:
        """The last position taken in every partition."""
        rows = await self._pool.fetch(READ_CURSORS, self.name, self.source)
        return {row["partition"]: row["sequence"] for row in rows}

    async def _until_done(self, batches: Sequence[Batch], subscription: Subscription) -> None:
        pause = RETRY_PAUSE_SECONDS
        while True:
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    await self._take(connection, batches, subscription)
                return self._on_commit()
            except TRANSIENT as error:
                log.debug("trying again", consumer=self.name, source=self.source, reason=type(error).__name__)
                pause = await rest(pause)

    async def _take(self, connection: Connection, batches: Sequence[Batch], subscription: Subscription) -> None:
        partitions = [batch.partition for batch in batches]
        rows = await connection.fetch(LOCK_CURSORS, self.name, self.source, partitions)
        if len(rows) < len(partitions):
            raise Retired
        reached = {row["partition"]: row["sequence"] for row in rows}
        fresh = [event for batch in batches for event in await self._fresh(batch, reached, subscription)]
        if not fresh:
            return
        await self._handler(connection, fresh)
        moved = {event.partition: event.position for event in fresh}
        await connection.execute(ADVANCE_CURSORS, self.name, self.source, list(moved), list(moved.values()))
        CONSUMED.labels(self.name, self.source).inc(len(fresh))

    async def _fresh(self, batch: Batch, reached: Mapping[int, int], subscription: Subscription) -> list[Recorded]:
        """What of a batch has not taken effect yet."""
        sequence = reached[batch.partition]
        fresh = [event for event in batch.events if event.position > sequence]
        if not fresh or fresh[0].position == sequence + 1:
            _without_holes(fresh)
            return fresh
        if fresh[0] is not batch.events[0]:
            raise Hole(f"{self.name} on {self.source}/{batch.partition}: {fresh[0].position} after {sequence}")
        await self._missing(batch, sequence, subscription)
        return []

    async def _missing(self, batch: Batch, sequence: int, subscription: Subscription) -> None:
        """The batch starts beyond our cursor: ask for the missing ones once; if they do not exist it is a hole."""
        heads = await self._bus.heads(self.source)
        if sequence >= heads[batch.partition]:
            raise Hole(f"{self.name}: {self.source}/{batch.partition} ends at {heads[batch.partition]}")
        subscription.rewind(batch.partition, sequence)


def _without_holes(events: Sequence[Recorded]) -> None:
    for before, after in pairwise(events):
        if after.position != before.position + 1:
            raise Hole(f"{after.position} after {before.position} in partition {after.partition}")


async def rest(pause: float) -> float:
    """Wait a little; answers with how long to wait the next time."""
    await asyncio.sleep(pause)
    return min(pause * 2, LONGEST_PAUSE_SECONDS)


async def position_reached(
    pool: asyncpg.Pool, consumers: Sequence[str], source: str, partition: int, position: int
) -> bool:
    """Whether all these consumers have taken everything up to a position. False while one has no cursor yet."""
    lowest = """
        SELECT count(*) = cardinality($1::text[]) AND min(sequence) >= $4 FROM cursors
        WHERE consumer = ANY($1) AND source = $2 AND partition = $3"""
    answer: Any = await pool.fetchval(lowest, list(consumers), source, partition, position)
    return bool(answer)
