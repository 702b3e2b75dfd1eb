"""The topics as strangers meet them, and what becomes of records that our relay did not write."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace

import asyncpg
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event
from cloudevents.core.formats.json import JSONFormat

from shared.eventlog.log import partition_of
from shared.eventlog.postgres import PostgresLog
from shared.messaging.brokers import KafkaOptions
from shared.messaging.bus import Bell, BusUnavailable, Hole, Subscription
from shared.messaging.cloudevents import to_message
from shared.messaging.kafka import KafkaBus, partition_counts
from tests.support.database import PARTITIONS, TestServer
from tests.support.events import append
from tests.support.kafka import fresh_topics, make_topics, relaying
from tests.support.waiting import PATIENCE_SECONDS, until

SUBJECT = "a-1"
PARTITION = partition_of(SUBJECT, PARTITIONS)


@dataclass
class Published:
    """A log whose relay runs as long as the test."""

    options: KafkaOptions
    log: PostgresLog
    pool: asyncpg.Pool
    bell: Bell
    behind: Callable[[], int] = lambda: 0
    foreign: list[str] = field(default_factory=list)

    @property
    def topic(self) -> str:
        return self.options.topic("intake")

    def bus(self) -> KafkaBus:
        return KafkaBus(self.options, "routing", lambda source, reason: self.foreign.append(reason))

    async def in_topic(self) -> None:
        """Wait until the topic has everything."""
        bus = self.bus()
        heads = await self.log.heads()
        await until(lambda: bus.heads("intake"), lambda published: published == heads)
        await bus.close()

    async def read(self, count: int, after: int = 0) -> list[int]:
        """The positions that a consumer gets from the subject's partition."""

        async def reached() -> dict[int, int]:
            return {PARTITION: after}

        bus = self.bus()
        subscription = await bus.subscribe("reader", "intake", reached)
        positions: list[int] = []
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(positions) < count:
                    positions += [event.position for batch in await subscription.next() for event in batch.events]
        finally:
            await subscription.close()
            await bus.close()
        return positions

    async def again(self, bus: KafkaBus, after: int, alone: bool) -> Subscription:
        """Subscribe anew, as a consumer does."""

        async def reached() -> dict[int, int]:
            return {PARTITION: after}

        async def subscribed() -> Subscription | None:
            with suppress(BusUnavailable):
                return await bus.subscribe("reader", "intake", reached, alone=alone)
            return None

        subscription = await until(subscribed)
        assert subscription is not None
        return subscription

    async def produce(self, *records: tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]) -> None:
        """As somebody who is not our relay."""
        producer = AIOKafkaProducer(bootstrap_servers=self.options.bootstrap, max_request_size=2**21)
        await producer.start()
        try:
            for key, value, headers in records:
                await producer.send_and_wait(self.topic, value, key=key, headers=headers, partition=PARTITION)
        finally:
            await producer.stop()


@pytest_asyncio.fixture
async def unpublished(server: TestServer, kafka: str) -> AsyncIterator[Published]:
    """A log and an empty topic; no relay runs."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(server.fresh())
        session = {"search_path": "intake"}
        pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, server_settings=session))
        bell = Bell()
        log = PostgresLog(pool, PARTITIONS, bell.ring)
        await stack.enter_async_context(log.running())
        yield Published(await fresh_topics(kafka), log, pool, bell)


def relay(made: Published):  # type: ignore[no-untyped-def]
    return relaying(made.options, "intake", made.log, made.pool, made.bell)


async def test_the_cloudevents_sdk_reads_what_was_published(unpublished: Published) -> None:
    async with relay(unpublished):
        await unpublished.log.append(append(SUBJECT, 0, 2))
        await unpublished.in_topic()
    client = AIOKafkaConsumer(
        unpublished.topic, bootstrap_servers=unpublished.options.bootstrap, auto_offset_reset="earliest"
    )
    await client.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        records = [await client.getone() for _ in range(2)]
    await client.stop()
    stored = await unpublished.log.read_stream(SUBJECT)
    for number, (record, kept) in enumerate(zip(records, stored, strict=True), 1):
        message = KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value)
        event = from_binary_event(message, JSONFormat())
        attributes = event.get_attributes()
        assert record.value == kept.body and record.partition == PARTITION
        assert attributes["source"] == "/services/intake" and attributes["subject"] == SUBJECT
        assert attributes["type"] == kept.type and attributes["id"] == kept.envelope.id
        assert attributes["time"] == kept.envelope.time and attributes["datacontenttype"] == "application/json"
        assert (int(attributes["sequence"]), int(attributes["streamversion"])) == (number, number)
        assert attributes["partitionkey"] == SUBJECT and attributes["correlationid"] == "c"
        assert event.get_data()["subject"] == SUBJECT


async def test_kcat_reads_what_was_published(unpublished: Published) -> None:
    if shutil.which("kcat") is None:
        pytest.skip("kcat is not installed")
    async with relay(unpublished):
        await unpublished.log.append(append(SUBJECT, 0, 3))
        await unpublished.in_topic()
    words = ["kcat", "-b", unpublished.options.bootstrap, "-C", "-t", unpublished.topic, "-e", "-J", "-q"]
    done = await asyncio.to_thread(subprocess.run, words, capture_output=True, check=True, timeout=PATIENCE_SECONDS)
    read = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["key"] for record in read] == [SUBJECT] * 3
    headers = [dict(zip(record["headers"][::2], record["headers"][1::2], strict=True)) for record in read]
    assert [one["ce_streamversion"] for one in headers] == ["1", "2", "3"]
    assert {one["ce_specversion"] for one in headers} == {"1.0"}
    bodies = [event.body.decode() for event in await unpublished.log.read_stream(SUBJECT)]
    assert [record["payload"] for record in read] == bodies


async def test_a_relay_that_begins_again_sends_nothing_twice(unpublished: Published) -> None:
    for version in range(3):
        async with relay(unpublished):
            await unpublished.log.append(append(SUBJECT, version))
            await unpublished.in_topic()
    assert await offsets(unpublished) == 3


async def test_of_two_relays_one_publishes_and_the_other_takes_over(unpublished: Published) -> None:
    async with relay(unpublished):
        await unpublished.log.append(append(SUBJECT, 0))
        await unpublished.in_topic()
        async with relay(unpublished):
            await unpublished.log.append(append(SUBJECT, 1))
            await unpublished.in_topic()
    async with relay(unpublished):
        await unpublished.log.append(append(SUBJECT, 2))
        await unpublished.in_topic()
    assert await offsets(unpublished) == 3


async def test_a_topic_made_anew_is_filled_from_the_start_and_repeats_are_dropped(unpublished: Published) -> None:
    async with relay(unpublished):
        await unpublished.log.append(append(SUBJECT, 0, 5))
        await unpublished.in_topic()
        await gone(unpublished)
        await unpublished.log.append(append(SUBJECT, 5, 5))
        await make_topics(unpublished.options)
        await unpublished.in_topic()
        assert await unpublished.read(10) == list(range(1, 11))
        assert await unpublished.read(7, after=3) == list(range(4, 11))


@pytest.mark.parametrize("alone", [False, True])
async def test_who_reads_a_topic_while_it_is_made_anew_goes_on(
    unpublished: Published, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.messaging.kafka.IDLE_SECONDS", 1.0)

    async def reached() -> dict[int, int]:
        return {}

    unpublished.options = replace(unpublished.options, instance="here")
    async with relay(unpublished), asyncio.timeout(PATIENCE_SECONDS):
        bus = unpublished.bus()
        subscription = await bus.subscribe("reader", "intake", reached, alone=alone)
        positions: list[int] = []
        for version in (0, 5):
            await unpublished.log.append(append(SUBJECT, version, 5))
            while len(positions) < version + 5:
                try:
                    positions += [event.position for batch in await subscription.next() for event in batch.events]
                except BusUnavailable:
                    await subscription.close()
                    subscription = await unpublished.again(bus, len(positions), alone)
            if version == 0:
                await gone(unpublished)
                await make_topics(unpublished.options)
        assert positions == list(range(1, 11))
        await subscription.close()
        await bus.close()


async def test_offsets_that_an_operator_reset_change_nothing(unpublished: Published) -> None:
    async with relay(unpublished):
        await unpublished.log.append(append(SUBJECT, 0, 5))
        await unpublished.in_topic()
        assert await unpublished.read(5) == [1, 2, 3, 4, 5]
        group = unpublished.options.membership("routing.reader.intake")["group_id"]
        place = TopicPartition(unpublished.topic, PARTITION)
        for offset in (0, 5):  # to the earliest, to the latest
            client = AIOKafkaConsumer(
                bootstrap_servers=unpublished.options.bootstrap, group_id=group, enable_auto_commit=False
            )
            await client.start()
            client.assign([place])
            await client.commit({place: offset})
            await client.stop()
            assert await unpublished.read(2, after=3) == [4, 5]


async def test_a_topic_that_was_emptied_goes_on_where_the_log_was(unpublished: Published) -> None:
    async with relay(unpublished):
        await unpublished.log.append(append(SUBJECT, 0, 5))
        await unpublished.in_topic()
        await until(lambda: noted(unpublished), lambda position: position == 5)
    await emptied(unpublished)
    async with relay(unpublished):
        await unpublished.log.append(append(SUBJECT, 5, 2))
        assert await unpublished.read(2, after=5) == [6, 7]


async def test_what_is_missing_in_a_topic_is_a_hole_and_never_skipped(
    unpublished: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.messaging.sequence.PATIENCE_SECONDS", 0.5)
    await unpublished.log.append(append(SUBJECT, 0, 3))
    events = await unpublished.log.read_partition(PARTITION, 0, 10)
    first, _, third = map(to_message, events)
    await unpublished.produce(*((one.key, one.value, list(one.headers)) for one in (first, third)))
    assert await unpublished.read(1) == [1]
    with pytest.raises(Hole, match="does not hold position 2"):
        await unpublished.read(3)


async def test_records_of_strangers_are_skipped_and_counted(unpublished: Published) -> None:
    await unpublished.log.append(append(SUBJECT, 0, 2))
    one, two = (to_message(event) for event in await unpublished.log.read_stream(SUBJECT))
    good = dict(one.headers)
    forged = list((good | {"ce_source": b"/services/scoring"}).items())
    elsewhere = next(f"b-{n}" for n in range(99) if partition_of(f"b-{n}", PARTITIONS) != PARTITION).encode()
    strangers = [
        (None, b"hello", []),
        (b"\xff", b"\x00" * 2**20, [("ce_type", b"\xff")]),
        (one.key, one.value, forged),
        (elsewhere, one.value, list(good.items())),
        (one.key, one.value, list((good | {"ce_sequence": b"-1"}).items())),
        (one.key, None, []),
        (one.key, b'{"a":1}', list((good | {"ce_sequence": b"99"}).items())),
    ]
    await unpublished.produce(
        *strangers, (one.key, one.value, list(one.headers)), *strangers, (two.key, two.value, list(two.headers))
    )
    assert await unpublished.read(2) == [1, 2]
    expected = {"not a CloudEvent of ours": 6, "forged source": 2, "wrong key": 2, "no position": 2}
    expected |= {"headers and body disagree": 2}
    assert {reason: unpublished.foreign.count(reason) for reason in expected} == expected


async def test_a_missing_topic_is_said_and_not_created(kafka: str) -> None:
    options = KafkaOptions(kafka, prefix="nowhere.")
    bus = KafkaBus(options, "routing", lambda source, reason: None)
    with pytest.raises(BusUnavailable, match="jiesu topics"):
        await bus.heads("intake")
    assert await partition_counts(options, [options.topic("intake")]) == {}


async def gone(made: Published) -> None:
    """Delete the topic with everything in it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=made.options.bootstrap)
    await admin.start()
    await admin.delete_topics([made.topic])
    await until(lambda: partition_counts(made.options, [made.topic]), lambda counts: made.topic not in counts)
    await admin.close()


async def offsets(made: Published) -> int:
    client = AIOKafkaConsumer(made.topic, bootstrap_servers=made.options.bootstrap)
    await client.start()
    ends = await client.end_offsets(list(client.assignment()))
    await client.stop()
    return int(sum(ends.values()))


async def noted(made: Published) -> int:
    row = "SELECT sequence FROM cursors WHERE consumer = 'relay' AND partition = $1"
    return await made.pool.fetchval(row, PARTITION) or 0


async def emptied(made: Published) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=made.options.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(made.topic, PARTITION): RecordsToDelete(before_offset=-1)})
    await admin.close()
