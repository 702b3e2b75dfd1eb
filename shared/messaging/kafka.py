"""The bus of a city: Apache Kafka. The only file that knows aiokafka.

Log partition i is Kafka partition i, in order, so a consumer knows which position comes next: a lower one is a repeat,
a higher one means searching for what is missing. Cursor rows are the truth about what was consumed; Kafka's committed
offsets are written for an operator's tools and used as hints only.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, TopicAuthorizationFailedError, for_code

from shared.eventlog.log import Recorded
from shared.messaging.apart import asking, end
from shared.messaging.brokers import KafkaOptions, Topic
from shared.messaging.bus import BATCH_LIMIT, Batch, BusUnavailable, Reached
from shared.messaging.cloudevents import Foreign, from_message, to_message
from shared.messaging.ends import Ends, Place
from shared.messaging.sequence import Ordered

LARGEST_RECORD = 2 * 1024 * 1024
PRODUCER_BATCH = 512 * 1024
FETCH_BYTES = 4 * 1024 * 1024
POLL_MS, SESSION_MS, REQUEST_MS = 500, 6_000, 10_000
START_SECONDS, CREATED_SECONDS, MADE = 30.0, 0.05, {0, TopicAlreadyExistsError.errno}
SETTLE_SECONDS, HINT_SECONDS, IDLE_SECONDS = 0.05, 1.0, 5.0
JOIN_SECONDS = 18.0  # a group waits a session long for a member it lost, and again as long to rebalance

Noted = Callable[[str, str], None]
_asking = asking(KafkaError, OSError)


class KafkaBus:
    """Reads the topics of other services on behalf of one service. Close it with `close()`."""

    settle_seconds = SETTLE_SECONDS

    def __init__(self, options: KafkaOptions, service: str, on_foreign: Noted) -> None:
        self._options, self._service, self._on_foreign = options, service, on_foreign
        self._ends: dict[str, Ends] = {}
        self._one_at_a_time = asyncio.Lock()
        self._stalls: Counter[str] = Counter()

    @_asking
    async def subscribe(
        self, consumer: str, source: str, reached: Reached, batch_limit: int = BATCH_LIMIT, alone: bool = False
    ) -> KafkaSubscription:
        topic = self._options.topic(source)
        name = f"{self._service}.{consumer}.{source}"
        group = {} if alone else self._options.membership(name, self._stalls[name])
        partitions = await _partitions(self._options, topic)
        client = AIOKafkaConsumer(
            **self._options.client(),
            **group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        subscription = KafkaSubscription(
            client, source, topic, partitions, reached, batch_limit, self._on_foreign, partial(self._stalled, name)
        )
        try:
            await client.start()
            await subscription.open(alone)
        except BaseException:
            await _end(client.stop)
            raise
        return subscription

    def _stalled(self, name: str) -> None:
        """A group gives a static member that comes back what it had, even if that was nothing: come as another."""
        self._stalls[name] += 1

    @_asking
    async def heads(self, source: str) -> list[int]:
        async with self._one_at_a_time:
            if source not in self._ends:
                self._ends[source] = await _ends_of(self._options, source)
        ends = self._ends[source]
        try:
            return [place.position for place in await ends.places()]
        except (KafkaError, OSError):  # a client may lose a topic that was made anew: take another
            if self._ends.get(source) is ends:
                del self._ends[source]
                await _end(ends.close)
            raise

    async def close(self) -> None:
        """Give the connections back."""
        for one in self._ends.values():
            await _end(one.close)


class KafkaSubscription(ConsumerRebalanceListener):  # type: ignore[misc]
    """One consumer's view of one topic.

    The client fetches ahead by a bounded number of bytes and stops fetching a partition while we are busy with it; its
    heartbeat goes on, so a slow database does not cost us the partition.
    """

    def __init__(
        self,
        client: AIOKafkaConsumer,
        source: str,
        topic: str,
        partitions: int,
        reached: Reached,
        batch_limit: int,
        on_foreign: Noted,
        on_stall: Callable[[], None],
    ) -> None:
        self._client, self._source, self._topic, self._partitions = client, source, topic, partitions
        self._reached, self._limit, self._on_foreign, self._on_stall = reached, batch_limit, on_foreign, on_stall
        self._sequence = Ordered(self._topic)
        self._begins: dict[Any, int] = {}
        self._ready: list[Batch] = []
        self._done: dict[Any, int] = {}
        self._hinted, self._heard = 0.0, asyncio.get_running_loop().time()
        self._waits_at: dict[Any, int] | None = None
        self._grouped = False
        self._failed: Exception | None = None

    async def open(self, alone: bool) -> None:
        """Begin to read: all partitions, or those that the group gives us."""
        if alone:
            places = [TopicPartition(self._topic, number) for number in range(self._partitions)]
            self._client.assign(places)
            await self._begin(places)
        else:
            self._grouped = True
            self._client.subscribe([self._topic], listener=self)

    @_asking
    async def next(self) -> list[Batch]:
        await self._hint()
        while not self._ready:
            if self._failed:
                raise self._failed
            await self._check_when_idle()
            fetched = await self._client.getmany(timeout_ms=POLL_MS, max_records=self._limit)
            for place, records in fetched.items():
                self._take(place, records)
            self._sequence.give_up(asyncio.get_running_loop().time())
        batches, self._ready = self._ready, []
        return batches

    def _take(self, place: Any, records: Sequence[Any]) -> None:
        now = asyncio.get_running_loop().time()
        events, missing_after = self._sequence.take(place.partition, self._events(place, records), now)
        self._heard, self._waits_at = now, None
        if events:
            self._ready.append(Batch(place.partition, events))
        if missing_after is None:
            self._done[place] = records[-1].offset + 1
        else:
            self._seek(place, missing_after)

    def rewind(self, partition: int, after: int) -> None:
        self._ready = [batch for batch in self._ready if batch.partition != partition]
        self._sequence.begin(partition, after)
        self._seek(TopicPartition(self._topic, partition), after)

    async def close(self) -> None:
        await _end(self._client.stop)

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Another process goes on with these."""
        gone = {place.partition for place in revoked}
        self._ready = [batch for batch in self._ready if batch.partition not in gone]
        self._done = {place: offset for place, offset in self._done.items() if place.partition not in gone}
        for partition in gone:
            self._sequence.forget(partition)

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Go on where the cursor rows say, whatever the group has committed."""
        try:
            await self._begin(list(assigned))
        except Exception as error:  # it would be lost in the client: next() raises it
            self._failed = error

    async def _begin(self, places: Sequence[Any]) -> None:
        reached = await self._reached()
        self._begins = await self._client.beginning_offsets(places) if places else {}
        for place in places:
            self._sequence.begin(place.partition, after := reached.get(place.partition, 0))
            self._seek(place, after)

    def _seek(self, place: Any, after: int) -> None:
        """Position p is never before offset p - 1: repeats and strangers only push it back."""
        with suppress(KafkaError):  # a partition that was taken from us a moment ago is let go
            self._client.seek(place, max(self._begins.get(place, 0), after))

    def _events(self, place: Any, records: Sequence[Any]) -> Iterator[Recorded]:
        for record in records:
            headers = dict(record.headers)
            try:
                yield from_message(self._source, place.partition, self._partitions, record.key, record.value, headers)
            except Foreign as foreign:
                self._on_foreign(self._source, str(foreign))

    async def _check_when_idle(self) -> None:
        """Silence may mean that nothing happens, or that the client has lost a topic that was made anew."""
        now = asyncio.get_running_loop().time()
        assigned = self._client.assignment()
        if now - self._heard < (IDLE_SECONDS if assigned else JOIN_SECONDS):
            return
        self._heard, waited = now, self._waits_at
        async with asyncio.timeout(IDLE_SECONDS):
            ends = await self._client.end_offsets(list(assigned)) if assigned else {}
            at = {place: await self._client.position(place) for place in ends}
        self._waits_at = at if at != ends else None
        if not assigned or (at != ends and at == waited):
            self._on_stall()
            raise BusUnavailable(f"Kafka: nothing arrives from {self._topic}")

    async def _hint(self) -> None:
        """Tell the group, if there is one, once in a while, how far we are."""
        now = asyncio.get_running_loop().time()
        if self._grouped and self._done and now - self._hinted > HINT_SECONDS and not self._ready:
            self._hinted, done, self._done = now, self._done, {}
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(HINT_SECONDS):
                    await self._client.commit(done)


async def _ends_of(options: KafkaOptions, source: str) -> Ends:
    """Open one. Raises KafkaError."""
    topic = options.topic(source)
    partitions = await _partitions(options, topic)
    client = AIOKafkaConsumer(**options.client(), enable_auto_commit=False, fetch_max_wait_ms=10)
    try:
        await client.start()
        return Ends(client, source, [TopicPartition(topic, number) for number in range(partitions)])
    except BaseException:
        await _end(client.stop)
        raise


class KafkaPublisher:
    """Writes one service's topic: idempotent, acknowledged by all replicas, each partition in order."""

    def __init__(self, producer: AIOKafkaProducer, ends: Ends, topic: str) -> None:
        self._producer, self._ends, self._topic = producer, ends, topic

    @_asking
    async def places(self) -> list[Place]:
        """Where every partition ends. Raises BusUnavailable."""
        return await self._ends.places()

    @_asking
    async def first_position(self, partition: int) -> int:
        """The first position that a partition holds. Raises BusUnavailable."""
        return await self._ends.first_position(partition)

    @_asking
    async def publish(self, partition: int, events: Sequence[Recorded]) -> int:
        """Write consecutive events; answers with the offset of the first. May fail halfway: BusUnavailable."""
        sent = []
        batch = self._producer.create_batch()
        for message in map(to_message, events):
            while not _added(batch, message):
                sent.append(await self._producer.send_batch(batch, self._topic, partition=partition))
                batch = self._producer.create_batch()
        sent.append(await self._producer.send_batch(batch, self._topic, partition=partition))
        done = await asyncio.gather(*sent)
        return int(done[0].offset)


def _added(batch: Any, message: Any) -> bool:
    added = batch.append(key=message.key, value=message.value, timestamp=message.timestamp_ms, headers=message.headers)
    return added is not None


@asynccontextmanager
async def publishing(options: KafkaOptions, service: str) -> AsyncIterator[KafkaPublisher]:
    """A publisher for one service's topic. Raises BusUnavailable."""
    async with AsyncExitStack() as stack:
        yield await _publisher(options, service, stack)


@_asking
async def _publisher(options: KafkaOptions, service: str, stack: AsyncExitStack) -> KafkaPublisher:
    ends = await _ends_of(options, service)
    stack.push_async_callback(_end, ends.close)
    sizes = {"max_batch_size": PRODUCER_BATCH, "max_request_size": LARGEST_RECORD}
    producer = AIOKafkaProducer(
        **options.client(), **sizes, enable_idempotence=True, acks="all", request_timeout_ms=REQUEST_MS
    )
    stack.push_async_callback(_end, producer.client.close)
    stack.push_async_callback(_end, producer.stop)
    await producer.start()
    return KafkaPublisher(producer, ends, options.topic(service))


async def _end(stop: Callable[[], Awaitable[None]]) -> None:
    await end(stop, KafkaError, OSError)


@_asking
async def create_topics(options: KafkaOptions, topics: Sequence[Topic]) -> list[str]:
    """Create those that are missing; answers with their names. Raises BusUnavailable."""
    async with _admin(options) as admin:
        missing = [topic for topic in topics if topic.name not in await admin.list_topics()]
        wanted = [NewTopic(one.name, one.partitions, one.replicas, topic_configs=dict(one.settings)) for one in missing]
        answer = await admin.create_topics(wanted)
        if refused := {name: for_code(code) for name, code, *_ in answer.topic_errors if code not in MADE}:
            raise BusUnavailable(f"Kafka refuses to create topics: {refused}")
        async with asyncio.timeout(START_SECONDS):
            while not {topic.name for topic in missing} <= set(await admin.list_topics()):  # noqa: ASYNC110
                await asyncio.sleep(CREATED_SECONDS)
        return [topic.name for topic in missing]


@_asking
async def partition_counts(options: KafkaOptions, names: Sequence[str]) -> dict[str, int]:
    """How many partitions these topics have; those that are not there are left out. Raises BusUnavailable."""
    async with _admin(options) as admin:
        found = await admin.describe_topics(list(names))
        if hidden := [one["topic"] for one in found if one["error_code"] == TopicAuthorizationFailedError.errno]:
            raise BusUnavailable(f"Kafka does not let us see {', '.join(hidden)}: look at its ACLs")
        return {one["topic"]: len(one["partitions"]) for one in found if one["partitions"]}


async def _partitions(options: KafkaOptions, topic: str) -> int:
    if (count := (await partition_counts(options, [topic])).get(topic)) is None:
        raise BusUnavailable(f"Kafka has no topic {topic}: run `jiesu topics`")
    return count


@asynccontextmanager
async def _admin(options: KafkaOptions) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**options.client())
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
