"""The log in PostgreSQL, through asyncpg: group commit of concurrent appends over one connection.

One appender per process takes whatever is waiting and stores it with one call of append_batch, which is one
transaction. While that commit is under way the next batch gathers, so the slower the disk the larger the batches.
Encoding, sealing and validation are done by the callers, before; nothing is computed while a head is locked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from shared.eventlog.log import (
    Append,
    Appended,
    KeyTaken,
    LogUnavailable,
    Recorded,
    StoredAnswer,
    WrongVersion,
    partition_of,
)

Connection = Any
"""An asyncpg connection, pooled or not: the library gives the two no common type."""

APPEND = """
    SELECT outcome, log_partition, log_position
    FROM append_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"""
READ_STREAM = """
    SELECT partition, position, stream, version, type, body FROM events WHERE stream = $1 ORDER BY version"""
READ_STREAMS = """
    SELECT partition, position, stream, version, type, body FROM events WHERE stream = ANY($1) ORDER BY version"""
READ_PARTITION = """
    SELECT partition, position, stream, version, type, body FROM events
    WHERE partition = $1 AND position > $2 ORDER BY position LIMIT $3"""
READ_PARTITIONS = """
    SELECT e.* FROM unnest($1::integer[], $2::bigint[]) AS wanted (partition, after)
    CROSS JOIN LATERAL (
        SELECT partition, position, stream, version, type, body FROM events
        WHERE partition = wanted.partition AND position > wanted.after ORDER BY position LIMIT $3
    ) e ORDER BY e.partition, e.position"""
READ_HEADS = "SELECT position FROM log_heads ORDER BY partition"
READ_FINGERPRINTS = "SELECT key, fingerprint FROM idempotency WHERE client = $1 AND key = ANY($2)"
READ_ANSWER = "SELECT fingerprint, answer, partition, position FROM idempotency WHERE client = $1 AND key = $2"

LARGEST_BATCH = 256
RETRY_PAUSE_SECONDS = 0.1
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    OSError,
)
"""What a lost or refused connection looks like. It says nothing about whether the last COMMIT happened."""


AGAIN = (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""Another process was in the way, e.g. took one of our keys in this moment: the next look shows what it did."""


async def append_within(connection: Connection, partitions: int, appends: Sequence[Append]) -> list[Appended]:
    """Append inside the caller's transaction, all or nothing. Raises WrongVersion or KeyTaken for the first refused.

    No stream and no key may occur twice. Lock order in the whole system: cursor row, then heads ascending.
    """
    if not appends:
        return []
    done = []
    for append, row in zip(appends, await _call(connection, partitions, appends), strict=True):
        outcome = _outcome(append, row)
        if isinstance(outcome, Exception):
            raise outcome
        done.append(outcome)
    return done


async def _call(connection: Connection, partitions: int, appends: Sequence[Append]) -> list[Any]:
    entries = [
        (number, append.expected_version + offset, entry)
        for number, append in enumerate(appends, 1)
        for offset, entry in enumerate(append.entries, 1)
    ]
    claims = [(number, claim) for number, append in enumerate(appends, 1) for claim in append.claims]
    rows: list[Any] = await connection.fetch(
        APPEND,
        [partition_of(append.routing_key, partitions) for append in appends],
        [append.stream for append in appends],
        [append.expected_version for append in appends],
        [append.entries[0].event_id if append.entries else None for append in appends],
        [append.expected_version + len(append.entries) for append in appends],
        [number for number, _, _ in entries],
        [version for _, version, _ in entries],
        [entry.event_id for _, _, entry in entries],
        [entry.type for _, _, entry in entries],
        [entry.body for _, _, entry in entries],
        [entry.leaf_hash for _, _, entry in entries],
        [number for number, _ in claims],
        [claim.client for _, claim in claims],
        [claim.key for _, claim in claims],
        [claim.fingerprint for _, claim in claims],
        [claim.answer for _, claim in claims],
    )
    return rows


def _outcome(append: Append, row: Any) -> Appended | Exception:
    match row["outcome"]:
        case "conflict":
            return WrongVersion(append.stream, append.expected_version)
        case "claimed":
            return KeyTaken()
    return Appended(row["log_partition"], row["log_position"])


class PostgresLog:
    """One service's log. Start and stop it with `running()`; `on_append` is called after every commit."""

    def __init__(
        self, pool: asyncpg.Pool, partitions: int, on_append: Callable[[], None], patience_seconds: float = 5.0
    ) -> None:
        self.partitions = partitions
        self._pool = pool
        self._on_append = on_append
        self._patience = patience_seconds
        self._waiting: list[tuple[Append, asyncio.Future[Appended]]] = []
        self._arrived = asyncio.Event()
        self._closing = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The appender's life. At the end everything that was handed in is committed first."""
        appender = asyncio.create_task(self._commit_forever(), name="appender")
        try:
            yield
        finally:
            self._closing = True
            self._arrived.set()
            await appender

    async def append(self, append: Append) -> Appended:
        if self._closing:
            raise LogUnavailable("closing")
        waiter: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._waiting.append((append, waiter))
        self._arrived.set()
        return await waiter

    async def read_stream(self, stream: str) -> list[Recorded]:
        return await self._read(READ_STREAM, stream)

    async def read_partition(self, partition: int, after: int, limit: int) -> list[Recorded]:
        return await self._read(READ_PARTITION, partition, after, limit)

    async def read_partitions(self, after: Mapping[int, int], limit: int) -> list[Recorded]:
        """What comes after these positions, by partition and position, shared out between the partitions."""
        each = max(1, limit // len(after))
        return await self._read(READ_PARTITIONS, list(after), list(after.values()), each)

    async def heads(self) -> list[int]:
        return [row["position"] for row in await self._pool.fetch(READ_HEADS)]

    async def stored_answer(self, client: str, key: str) -> StoredAnswer | None:
        row = await self._pool.fetchrow(READ_ANSWER, client, key)
        if row is None:
            return None
        return StoredAnswer(row["fingerprint"], row["answer"], Appended(row["partition"], row["position"]))

    async def fingerprints(self, client: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        rows = await self._pool.fetch(READ_FINGERPRINTS, client, list(keys))
        return {row["key"]: row["fingerprint"] for row in rows}

    async def _read(self, statement: str, *arguments: object) -> list[Recorded]:
        return [Recorded(*row) for row in await self._pool.fetch(statement, *arguments)]

    async def _commit_forever(self) -> None:
        while not (self._closing and not self._waiting):
            await self._arrived.wait()
            if not (batch := self._take()):
                continue
            outcomes = await self._commit([append for append, _ in batch])
            for (_, waiter), outcome in zip(batch, outcomes, strict=True):
                if waiter.done():
                    continue  # the caller has gone away; its events are stored all the same
                if isinstance(outcome, Appended):
                    waiter.set_result(outcome)
                else:
                    waiter.set_exception(outcome)
            self._on_append()

    def _take(self) -> list[tuple[Append, asyncio.Future[Appended]]]:
        """What is waiting, but no stream and no key twice: a second one waits for the next batch."""
        batch: list[tuple[Append, asyncio.Future[Appended]]] = []
        later: list[tuple[Append, asyncio.Future[Appended]]] = []
        seen: set[object] = set()
        for item in self._waiting:
            marks = {item[0].stream, *((claim.client, claim.key) for claim in item[0].claims)}
            if len(batch) == LARGEST_BATCH or marks & seen:
                later.append(item)
            else:
                batch.append(item)
            seen |= marks
        self._waiting = later
        if not later and not self._closing:
            self._arrived.clear()
        return batch

    async def _commit(self, appends: list[Append]) -> list[Appended | Exception]:
        """One transaction. After a lost connection the same call is safe: what was stored is found by event id."""
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            try:
                async with self._pool.acquire() as connection:
                    rows = await _call(connection, self.partitions, appends)
                return [_outcome(append, row) for append, row in zip(appends, rows, strict=True)]
            except LOST as error:
                refusal: Exception = error
            except Exception as error:
                if len(appends) > 1:  # one of them is at fault; the others are not to suffer for it
                    return [(await self._commit([append]))[0] for append in appends]
                if not isinstance(error, AGAIN):
                    return [_unavailable(error)]
                refusal = error
            if asyncio.get_running_loop().time() > deadline:
                return [_unavailable(refusal)] * len(appends)
            await asyncio.sleep(RETRY_PAUSE_SECONDS)


def _unavailable(error: Exception) -> LogUnavailable:
    unavailable = LogUnavailable(type(error).__name__)
    unavailable.__cause__ = error
    return unavailable
