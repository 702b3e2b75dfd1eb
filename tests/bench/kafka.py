"""From an append to its effect at a neighbour over a real Kafka, beside bare aiokafka carrying the same bytes.

Both run in this one process, against the same broker. Raw: records are produced and read again. Ours: events are
appended to the log, relayed, read in order, and take effect in a transaction that moves the cursor.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from services.topics import declared
from shared.engine.consume import Consumer
from shared.eventlog.log import Recorded
from shared.eventlog.postgres import PostgresLog
from shared.messaging.brokers import KafkaOptions, Topic
from shared.messaging.bus import Bell
from shared.messaging.cloudevents import to_message
from shared.messaging.kafka import KafkaBus, create_topics
from tests.support.events import append
from tests.support.kafka import own_cluster, relaying
from tests.support.running import job

PARTITIONS = 16
EVENTS, WRITERS = 40_000, 64
RATE, LATENCY_EVENTS = 1000, 5000


@dataclass
class Measured:
    """How one way did: events per second of wall clock and of our CPU, and latencies in milliseconds."""

    rate: float = 0.0
    per_cpu_second: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        return sorted(self.latencies)[int(len(self.latencies) * share)] if self.latencies else 0.0


class Watch:
    """Counts effects, and the time from handing over to effect."""

    def __init__(self, expected: int) -> None:
        self._expected, self._seen = expected, 0
        self.sent: dict[str, float] = {}
        self.latencies: list[float] = []
        self.done = asyncio.Event()

    def saw(self, keys: Sequence[str]) -> None:
        now = time.perf_counter()
        self._seen += len(keys)
        self.latencies += [(now - self.sent[key]) * 1000 for key in keys if key in self.sent]
        if self._seen >= self._expected:
            self.done.set()


@asynccontextmanager
async def stopwatch(into: Measured, events: int) -> AsyncIterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    into.rate = events / (time.perf_counter() - wall)
    into.per_cpu_second = events / (time.process_time() - cpu)


async def compare_over_kafka(database_url: str) -> dict[str, Measured]:
    """Raw and ours, on a broker started for this."""
    with own_cluster() as cluster:
        prepared = [append(f"warm-{n}", 0) for n in range(EVENTS)]
        records = [
            Recorded(0, n + 1, a.stream, 1, a.entries[0].type, a.entries[0].body) for n, a in enumerate(prepared)
        ]
        raw, ours = Measured(), Measured()
        await _raw(await _topics(cluster.bootstrap, "raw."), records, raw)
        await _ours(database_url, await _topics(cluster.bootstrap, "ours."), ours)
    return {"aiokafka alone": raw, "log to effect": ours}


async def _topics(bootstrap: str, prefix: str) -> KafkaOptions:
    options = KafkaOptions(bootstrap, prefix=prefix)
    await create_topics(options, [Topic(prefix + name, PARTITIONS, 1, more) for name, more in declared().items()])
    return options


async def _raw(options: KafkaOptions, records: Sequence[Recorded], into: Measured) -> None:
    messages = [to_message(record) for record in records]
    topic = options.topic("intake")
    producer = AIOKafkaProducer(
        bootstrap_servers=options.bootstrap, enable_idempotence=True, acks="all", max_batch_size=512 * 1024
    )
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=options.bootstrap, auto_offset_reset="earliest")
    await producer.start()
    await consumer.start()
    partitions = itertools.cycle(range(PARTITIONS))

    async def produce(message: Any) -> None:
        await producer.send_and_wait(
            topic, message.value, key=message.key, headers=list(message.headers), partition=next(partitions)
        )

    async def read(watch: Watch) -> None:
        while True:
            for found in (await consumer.getmany(timeout_ms=500)).values():
                watch.saw([record.key.decode() for record in found])

    watch = Watch(len(messages))
    async with job(read(watch)), stopwatch(into, len(messages)):
        queue = iter(messages)
        await asyncio.gather(*(_drain(queue, produce) for _ in range(WRITERS * 4)))
        await watch.done.wait()
    watch = Watch(LATENCY_EVENTS)
    async with job(read(watch)):
        await _paced([(m.key.decode(), m) for m in messages[:LATENCY_EVENTS]], produce, watch)
    into.latencies = watch.latencies
    await consumer.stop()
    await producer.stop()


async def _ours(database_url: str, options: KafkaOptions, into: Measured) -> None:
    async with AsyncExitStack() as stack:
        here, there = [await stack.enter_async_context(_pool(database_url, name)) for name in ("intake", "routing")]
        bell = Bell()
        log = PostgresLog(here, PARTITIONS, bell.ring)
        await stack.enter_async_context(log.running())
        await stack.enter_async_context(relaying(options, "intake", log, here, bell))
        bus = KafkaBus(options, "routing", lambda *_: None)
        stack.push_async_callback(bus.close)
        await there.execute("CREATE TABLE effects (position bigint, partition int, subject text)")
        watch = Watch(EVENTS)
        taken: list[str] = []

        async def effect(connection: Any, events: Sequence[Recorded]) -> None:
            rows = [(event.position, event.partition, event.stream) for event in events]
            await connection.copy_records_to_table("effects", records=rows)
            taken.extend(event.stream for event in events)

        def committed() -> None:
            watch.saw(taken)
            taken.clear()

        consumer = Consumer("bench", "intake", bus, there, effect, committed)
        await stack.enter_async_context(job(consumer.run()))
        queue = iter([append(f"load-{n}", 0) for n in range(EVENTS)])
        async with stopwatch(into, EVENTS):
            await asyncio.gather(*(_drain(queue, log.append) for _ in range(WRITERS)))
            await watch.done.wait()
        watch = Watch(LATENCY_EVENTS)
        await _paced([(f"paced-{n}", append(f"paced-{n}", 0)) for n in range(LATENCY_EVENTS)], log.append, watch)
        into.latencies = watch.latencies


def _pool(database_url: str, schema: str) -> asyncpg.Pool:
    return asyncpg.create_pool(database_url, min_size=2, max_size=8, server_settings={"search_path": schema})


async def _drain(queue: Any, send: Any) -> None:
    for item in queue:
        await send(item)


async def _paced(items: Sequence[tuple[str, Any]], send: Any, watch: Watch) -> None:
    """Open loop: each at its time, whatever has become of the ones before."""
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, (key, item) in enumerate(items):
            due = start + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            watch.sent[key] = time.perf_counter()
            group.create_task(send(item))
    await watch.done.wait()
