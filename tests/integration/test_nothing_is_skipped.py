"""The experiment that shaped the log: many writers, random pauses and rollbacks, and a reader at the tail.

A reader that polls a sequence misses events whose transactions commit after later numbers are visible; it runs here
beside ours, on a table of its own, and must be caught. Ours reads positions that a head row gave out, and misses none.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import asyncpg

from shared.eventlog.postgres import append_within
from tests.support.database import PARTITIONS, TestServer
from tests.support.events import append

WRITERS, PER_WRITER, ROLLED_BACK = 12, 50, 0.1
NAIVE_TABLE = "CREATE TABLE naive (id bigserial PRIMARY KEY, stream text)"


async def write(pool: asyncpg.Pool, writer: int, chance: random.Random, committed: set[str]) -> None:
    """Appends to both logs in one transaction, with random pauses inside; some transactions are rolled back."""
    for number in range(PER_WRITER):
        stream = f"w{writer}-{number}"
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("INSERT INTO naive (stream) VALUES ($1)", stream)
            await connection.execute("SELECT pg_sleep($1)", chance.random() * 0.005)
            await append_within(connection, PARTITIONS, [append(stream, 0)])
            if chance.random() < ROLLED_BACK:
                await transaction.rollback()
            else:
                await transaction.commit()
                committed.add(stream)


async def tail_ours(pool: asyncpg.Pool, seen: list[str], done: asyncio.Event) -> None:
    after = [0] * PARTITIONS
    last_look = False
    while not last_look:
        last_look = done.is_set()
        for partition in range(PARTITIONS):
            rows = await pool.fetch(
                "SELECT position, stream FROM events WHERE partition = $1 AND position > $2 ORDER BY position",
                partition, after[partition],
            )  # fmt: skip
            for row in rows:
                assert row["position"] == after[partition] + 1, "a hole"
                after[partition] = row["position"]
                seen.append(row["stream"])


async def tail_naively(pool: asyncpg.Pool, seen: list[str], done: asyncio.Event) -> None:
    after, last_look = 0, False
    while not last_look:
        last_look = done.is_set()
        for row in await pool.fetch("SELECT id, stream FROM naive WHERE id > $1 ORDER BY id", after):
            after = row["id"]
            seen.append(row["stream"])


async def test_a_tailing_reader_misses_nothing_and_a_naive_one_is_caught(server: TestServer) -> None:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(server.fresh())
        pool = await stack.enter_async_context(
            asyncpg.create_pool(url, min_size=4, max_size=WRITERS + 4, server_settings={"search_path": "intake"})
        )
        await pool.execute(NAIVE_TABLE)
        committed: set[str] = set()
        ours: list[str] = []
        naive: list[str] = []
        done = asyncio.Event()
        readers = [
            asyncio.create_task(tail_ours(pool, ours, done)),
            asyncio.create_task(tail_naively(pool, naive, done)),
        ]
        await asyncio.gather(*(write(pool, writer, random.Random(writer), committed) for writer in range(WRITERS)))
        done.set()
        await asyncio.gather(*readers)
    assert len(committed) < WRITERS * PER_WRITER, "some transactions must have been rolled back"
    assert len(ours) == len(set(ours)) and set(ours) == committed
    assert set(naive) < committed, "the naive reader should have missed events; the experiment proves nothing"
