"""The log alone, beside what one would write without it: the same rows, the same number of writers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg

from shared.eventlog.log import Append
from shared.eventlog.postgres import PostgresLog
from tests.support.events import append

WRITERS, EVENTS, CONNECTIONS = 64, 20_000, 32
LOCKED = """
    SELECT position FROM log_heads WHERE partition = $1 FOR UPDATE"""
INSERT = """
    INSERT INTO bench_events (partition, position, stream, version, event_id, type, body, leaf_hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"""


@dataclass(frozen=True)
class Speed:
    """Per second, and milliseconds."""

    rate: float
    p50: float
    p99: float


async def measured(work: list[Append], writers: int, write: Callable[[Append], Awaitable[object]]) -> Speed:
    """Each writer takes the next piece of work when it is done with the last."""
    todo, seconds = iter(work), []

    async def writer() -> None:
        for one in todo:
            started = time.perf_counter()
            await write(one)
            seconds.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(writer() for _ in range(writers)))
    took = time.perf_counter() - started
    seconds.sort()
    return Speed(len(work) / took, seconds[len(seconds) // 2] * 1000, seconds[len(seconds) * 99 // 100] * 1000)


async def compare(url: str, partitions: int) -> dict[str, Speed]:
    """Plain INSERTs, a transaction and a lock for each, and ours."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            asyncpg.create_pool(
                url, min_size=CONNECTIONS, max_size=CONNECTIONS, server_settings={"search_path": "intake"}
            )
        )
        await pool.execute("CREATE TABLE IF NOT EXISTS bench_events (LIKE events INCLUDING ALL)")
        numbers = iter(range(10**9))

        async def insert(one: Append) -> None:
            entry = one.entries[0]
            await pool.execute(
                INSERT, 0, next(numbers), one.stream, 1, entry.event_id, entry.type, entry.body, entry.leaf_hash
            )

        async def locked(one: Append) -> None:
            entry = one.entries[0]
            async with pool.acquire() as connection, connection.transaction():
                position = 1 + await connection.fetchval(LOCKED, 0)
                await connection.execute(
                    INSERT, 1, position, one.stream, 1, entry.event_id, entry.type, entry.body, entry.leaf_hash
                )
                await connection.execute("UPDATE log_heads SET position = $2 WHERE partition = $1", 0, position)

        log = PostgresLog(pool, partitions, lambda: None)
        await stack.enter_async_context(log.running())
        fewer = EVENTS // 4
        speeds = {
            "plain INSERT each, 32 connections": await measured(_work("plain", EVENTS), WRITERS, insert),
            "transaction and lock each": await measured(_work("locked", fewer), WRITERS, locked),
        }
        await pool.execute("UPDATE log_heads SET position = 0")
        speeds["log.append (group commit)"] = await measured(_work("log", EVENTS), WRITERS, log.append)
        return speeds


def _work(name: str, count: int) -> list[Append]:
    return [append(f"{name}-{number}", 0) for number in range(count)]
