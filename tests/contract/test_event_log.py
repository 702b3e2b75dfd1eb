"""What every log promises, asked of each adapter: the one in memory and the one in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import asyncpg
import pytest
import pytest_asyncio

from shared.eventlog.log import Append, KeyTaken, Log, LogUnavailable, WrongVersion, partition_of
from shared.eventlog.memory import MemoryLog
from shared.eventlog.postgres import PostgresLog
from tests.support.database import PARTITIONS, TestServer
from tests.support.events import append, claim, entry


async def postgres_log(stack: AsyncExitStack, server: TestServer) -> PostgresLog:
    url = await stack.enter_async_context(server.fresh())
    pool = await stack.enter_async_context(
        asyncpg.create_pool(
            url, min_size=1, max_size=4, server_settings={"search_path": "intake", "role": "jiesu_intake"}
        )
    )
    log = PostgresLog(pool, PARTITIONS, lambda: None)
    await stack.enter_async_context(log.running())
    return log


@pytest_asyncio.fixture(params=["memory", "postgres"])
async def log(request: pytest.FixtureRequest, server: TestServer) -> AsyncIterator[Log]:
    async with AsyncExitStack() as stack:
        yield MemoryLog(PARTITIONS) if request.param == "memory" else await postgres_log(stack, server)


async def test_a_stream_gives_back_the_exact_bytes_in_version_order(log: Log) -> None:
    first, second = append("a-1", 0, 2), append("a-1", 2, 1)
    await log.append(first)
    await log.append(second)
    stream = await log.read_stream("a-1")
    assert [event.body for event in stream] == [e.body for e in (*first.entries, *second.entries)]
    assert [event.version for event in stream] == [1, 2, 3]
    assert stream[0].envelope.data["note"] == "中文 1"


async def test_an_unknown_stream_is_empty(log: Log) -> None:
    assert await log.read_stream("nobody") == []
    assert await log.heads() == [0] * PARTITIONS


async def test_positions_are_contiguous_in_every_partition(log: Log) -> None:
    await asyncio.gather(*(log.append(append(f"a-{number}", 0, 1 + number % 3)) for number in range(60)))
    heads = await log.heads()
    assert sum(heads) == sum(1 + number % 3 for number in range(60))
    for partition, head in enumerate(heads):
        events = await log.read_partition(partition, 0, 1000)
        assert [event.position for event in events] == list(range(1, head + 1))
        assert all(event.partition == partition for event in events)


async def test_the_routing_key_picks_the_partition(log: Log) -> None:
    appended = await log.append(append("order-9", 0, key="appeal-9"))
    assert appended.partition == partition_of("appeal-9", PARTITIONS)
    assert [e.stream for e in await log.read_partition(appended.partition, appended.position - 1, 10)] == ["order-9"]


async def test_a_stale_expectation_is_refused_and_leaves_nothing(log: Log) -> None:
    await log.append(append("a-1", 0, 2))
    for expected in (0, 1, 3):
        with pytest.raises(WrongVersion):
            await log.append(append("a-1", expected))
    assert len(await log.read_stream("a-1")) == sum(await log.heads()) == 2


async def test_of_many_writers_on_one_stream_exactly_one_wins(log: Log) -> None:
    outcomes = await asyncio.gather(*(log.append(append("a-1", 0)) for _ in range(20)), return_exceptions=True)
    assert Counter(type(outcome).__name__ for outcome in outcomes) == {"Appended": 1, "WrongVersion": 19}
    assert len(await log.read_stream("a-1")) == 1


async def test_a_conflict_fails_one_append_and_not_its_neighbours(log: Log) -> None:
    await log.append(append("taken", 0))
    await log.append(append("other", 0, claims=(claim("used"),)))
    good = [append(f"good-{number}", 0) for number in range(5)]
    bad = [append("taken", 0), append("new", 0, claims=(claim("used"),))]
    outcomes = await asyncio.gather(*(log.append(one) for one in (*good, *bad)), return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == ["Appended"] * 5 + ["WrongVersion", "KeyTaken"]
    assert await log.read_stream("new") == []


async def test_an_idempotency_key_is_stored_with_its_events_and_found_again(log: Log) -> None:
    appended = await log.append(append("a-1", 0, claims=(claim("k", answer=b"first"), claim("k", "other"))))
    stored = await log.stored_answer("partner", "k")
    assert stored is not None
    assert (stored.answer, stored.fingerprint, stored.appended) == (b"first", b"f" * 32, appended)
    assert await log.stored_answer("somebody else", "k") is None
    assert await log.fingerprints("partner", ["k", "other"]) == {"k": stored.fingerprint}
    assert await log.fingerprints("somebody else", ["k"]) == {}


async def test_a_taken_key_stores_no_event_and_a_refused_append_takes_no_key(log: Log) -> None:
    await log.append(append("a-1", 0, claims=(claim("k"),)))
    with pytest.raises(KeyTaken):
        await log.append(append("a-2", 0, claims=(claim("k"),)))
    with pytest.raises(WrongVersion):
        await log.append(append("a-1", 0, claims=(claim("k2"),)))
    assert await log.read_stream("a-2") == []
    assert await log.stored_answer("partner", "k2") is None


async def test_of_many_requests_with_one_key_exactly_one_is_stored(log: Log) -> None:
    requests = [log.append(append(f"a-{number}", 0, claims=(claim("k"),))) for number in range(20)]
    outcomes = await asyncio.gather(*requests, return_exceptions=True)
    assert Counter(type(outcome).__name__ for outcome in outcomes) == {"Appended": 1, "KeyTaken": 19}
    assert sum(await log.heads()) == 1


async def test_reading_a_partition_goes_on_where_it_stopped(log: Log) -> None:
    await asyncio.gather(*(log.append(append(f"s-{number}", 0, key="one")) for number in range(10)))
    partition = partition_of("one", PARTITIONS)
    first = await log.read_partition(partition, 0, 4)
    rest = await log.read_partition(partition, first[-1].position, 100)
    assert [event.position for event in (*first, *rest)] == list(range(1, 11))


async def test_the_same_append_again_is_found_not_stored_twice(server: TestServer) -> None:
    """What a retry after a lost COMMIT answer does: the events are there, under their own ids."""
    async with AsyncExitStack() as stack:
        log = await postgres_log(stack, server)
        first = append("a-1", 0, 2, claims=(claim("k"),))
        appended = await log.append(first)
        await log.append(append("a-1", 2))
        assert await log.append(first) == appended
        assert len(await log.read_stream("a-1")) == 3


async def test_two_processes_share_one_log_without_gap_or_fork(server: TestServer) -> None:
    async with AsyncExitStack() as stack:
        one = await postgres_log(stack, server)
        url = one._pool._connect_args[0]
        pool = await stack.enter_async_context(
            asyncpg.create_pool(url, min_size=1, max_size=2, server_settings={"search_path": "intake"})
        )
        two = PostgresLog(pool, PARTITIONS, lambda: None)
        await stack.enter_async_context(two.running())
        work: list[tuple[PostgresLog, Append]] = []
        for number in range(120):
            work.append((one, append(f"a-{number}", 0, 2)))
            work.append((two, append(f"a-{number}", 0, 2, claims=(claim(f"k-{number % 7}"),))))
        outcomes = await asyncio.gather(*(log.append(a) for log, a in work), return_exceptions=True)
        assert {type(outcome).__name__ for outcome in outcomes} <= {"Appended", "WrongVersion", "KeyTaken"}
        won = sum(1 for outcome in outcomes if type(outcome).__name__ == "Appended")
        heads = await one.heads()
        assert sum(heads) == 2 * won
        for partition, head in enumerate(heads):
            positions = [event.position for event in await two.read_partition(partition, 0, 1000)]
            assert positions == list(range(1, head + 1))


async def test_who_believes_in_partitions_that_are_not_there_is_told_so_and_stores_nothing(server: TestServer) -> None:
    async with AsyncExitStack() as stack:
        log = await postgres_log(stack, server)
        wide = PostgresLog(log._pool, 4 * PARTITIONS, lambda: None)
        await stack.enter_async_context(wide.running())
        beyond = (name for name in map(str, range(100)) if partition_of(name, wide.partitions) >= PARTITIONS)
        first = replace(append("a-1", 0), routing_key=next(beyond))
        with pytest.raises(LogUnavailable):
            await wide.append(first)
        assert await log.read_stream("a-1") == []


FORBIDDEN = [
    "UPDATE events SET body = 'x'",
    "DELETE FROM events",
    "TRUNCATE events",
    "DROP TABLE events",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "UPDATE log_heads SET position = 0",
    "INSERT INTO log_heads VALUES (99, 0)",
    "UPDATE idempotency SET answer = 'x'",
    "DELETE FROM idempotency",
    "SET session_replication_role = replica",
    "INSERT INTO events SELECT 0, 99, 's', 1, gen_random_uuid(), 't', 'b', 'l', now() - interval '1 day'",
    "MERGE INTO events e USING (SELECT 1) x ON true WHEN MATCHED THEN DELETE",
    "SELECT * FROM routing.events",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "ALTER TABLE events RENAME TO gone",
]


async def test_the_services_role_can_read_and_append_and_nothing_else(server: TestServer) -> None:
    async with AsyncExitStack() as stack:
        log = await postgres_log(stack, server)
        await log.append(append("a-1", 0))
        for statement in FORBIDDEN:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await log._pool.execute(statement)
        assert len(await log.read_stream("a-1")) == 1


async def test_even_the_owner_is_stopped_by_triggers(server: TestServer) -> None:
    async with AsyncExitStack() as stack:
        log = await postgres_log(stack, server)
        await log.append(append("a-1", 0))
        connection = await asyncpg.connect(log._pool._connect_args[0])
        try:
            for statement in (
                "UPDATE intake.events SET body = ''",
                "DELETE FROM intake.events",
                "TRUNCATE intake.events",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                    await connection.execute(statement)
        finally:
            await connection.close()


async def test_entries_keep_their_hash(server: TestServer) -> None:
    async with AsyncExitStack() as stack:
        log = await postgres_log(stack, server)
        one = entry("a-1", 1)
        await log.append(Append("a-1", "a-1", 0, [one]))
        assert await log._pool.fetchval("SELECT leaf_hash FROM events") == one.leaf_hash
