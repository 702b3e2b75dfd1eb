"""What every bus promises, on the logs themselves and on a real Kafka behind a relay."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio

from shared.eventlog.log import Recorded
from shared.eventlog.postgres import PostgresLog
from shared.messaging.bus import Bell, Bus, Subscription
from shared.messaging.kafka import KafkaBus
from shared.messaging.pglog import PgLogBus
from tests.support.database import PARTITIONS, TestServer
from tests.support.events import append
from tests.support.kafka import fresh_topics, relaying
from tests.support.waiting import PATIENCE_SECONDS, until

STREAMS = 40


@dataclass
class Source:
    """A log, and a bus that carries it."""

    log: PostgresLog
    bus: Bus

    async def write(self, name: str, streams: int = STREAMS, each: int = 3) -> None:
        await asyncio.gather(*(self.log.append(append(f"{name}-{n}", 0, each)) for n in range(streams)))

    async def open(self, consumer: str, after: Mapping[int, int] | None = None, **more: int) -> Subscription:
        async def reached() -> Mapping[int, int]:
            return after or {}

        return await self.bus.subscribe(consumer, "intake", reached, **more)  # type: ignore[arg-type]

    async def all_of(self, subscription: Subscription, after: Mapping[int, int] | None = None) -> list[Recorded]:
        """Read until the log's end has been delivered in every partition; checks the order on the way."""
        goal, seen = await self.log.heads(), defaultdict(int, after or {})
        events: list[Recorded] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while any(seen[partition] < head for partition, head in enumerate(goal)):
                for batch in await subscription.next():
                    for event in batch.events:
                        assert (event.partition, event.position) == (batch.partition, seen[batch.partition] + 1)
                        seen[batch.partition] = event.position
                    events += batch.events
        return events


@pytest.fixture(params=["pglog", "kafka"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "kafka":
        request.getfixturevalue("kafka")
    return str(request.param)


@pytest_asyncio.fixture
async def source(server: TestServer, kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Source]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(server.fresh())
        session = {"search_path": "intake"}
        pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, server_settings=session))
        bell = Bell()
        log = PostgresLog(pool, PARTITIONS, bell.ring)
        await stack.enter_async_context(log.running())
        if kind == "pglog":
            yield Source(log, PgLogBus({"intake": log}, {"intake": bell}))
            return
        options = await fresh_topics(request.getfixturevalue("kafka"))
        await stack.enter_async_context(relaying(options, "intake", log, pool, bell))
        bus = KafkaBus(options, "routing", lambda source, reason: None)
        stack.push_async_callback(bus.close)
        yield Source(log, bus)


def ids(events: Sequence[Recorded]) -> list[bytes]:
    return sorted(event.body for event in events)


async def test_every_event_arrives_in_order_with_its_exact_bytes(source: Source) -> None:
    await source.write("a")
    subscription = await source.open("reader")
    events = await source.all_of(subscription)
    stored = [e for p in range(PARTITIONS) for e in await source.log.read_partition(p, 0, 1000)]
    assert ids(events) == ids(stored) and len(events) == STREAMS * 3
    assert {(e.position, e.partition, e.type, e.version) for e in events} == {
        (e.position, e.partition, e.type, e.version) for e in stored
    }
    await subscription.close()


async def test_a_reader_waits_for_what_has_not_happened_yet(source: Source) -> None:
    subscription = await source.open("reader")
    waiting = asyncio.ensure_future(subscription.next())
    await source.log.append(append("late", 0))
    async with asyncio.timeout(PATIENCE_SECONDS):
        batches = await waiting
    assert [event.version for batch in batches for event in batch.events] == [1]
    await subscription.close()


async def test_a_reader_starts_after_what_it_has_taken(source: Source) -> None:
    await source.write("a")
    heads = await source.log.heads()
    after = {partition: head // 2 for partition, head in enumerate(heads)}
    subscription = await source.open("reader", after)
    events = await source.all_of(subscription, after)
    assert len(events) == sum(heads) - sum(after.values())
    await subscription.close()


async def test_batches_are_no_larger_than_asked_for(source: Source) -> None:
    await source.write("a")
    subscription = await source.open("reader", batch_limit=7)
    goal, seen, largest = await source.log.heads(), 0, 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while seen < sum(goal):
            count = sum(len(batch.events) for batch in await subscription.next())
            seen, largest = seen + count, max(largest, count)
    assert 1 <= largest <= 7
    await subscription.close()


async def test_rewinding_delivers_again(source: Source) -> None:
    await source.write("a")
    subscription = await source.open("reader")
    first = await source.all_of(subscription)
    for partition in range(PARTITIONS):
        subscription.rewind(partition, 0)
    assert ids(await source.all_of(subscription)) == ids(first)
    await subscription.close()


async def test_the_heads_are_the_logs_own(source: Source) -> None:
    assert await source.bus.heads("intake") == [0] * PARTITIONS
    for name in ("a", "b"):
        await source.write(name, 5)
        goal = await source.log.heads()
        await until(lambda: source.bus.heads("intake"), goal.__eq__)


async def test_who_reads_alone_gets_every_partition_beside_others(source: Source) -> None:
    await source.write("a")
    beside = await source.open("reader")
    await beside.next()
    alone = await source.open("reader", alone=True)
    assert len(await source.all_of(alone)) == STREAMS * 3
    await alone.close()
    await beside.close()


async def test_two_processes_of_one_name_miss_nothing_together(source: Source) -> None:
    await source.write("a")
    members = [await source.open("reader") for _ in range(2)]
    seen: set[tuple[int, int]] = set()

    async def read(member: Subscription) -> None:
        while True:
            batches = await member.next()
            seen.update((event.partition, event.position) for batch in batches for event in batch.events)

    tasks = [asyncio.ensure_future(read(member)) for member in members]
    await source.write("b")
    goal = {(p, n) for p, head in enumerate(await source.log.heads()) for n in range(1, head + 1)}

    async def read_all() -> bool:
        return seen == goal

    await until(read_all)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for member in members:
        await member.close()
