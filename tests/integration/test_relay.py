"""What the relay says of its lag: the truth, also while nothing can be published, and no more than that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest
import pytest_asyncio

from shared.eventlog.log import Recorded, partition_of
from shared.eventlog.postgres import PostgresLog
from shared.messaging.bus import Bell, BusUnavailable
from shared.messaging.ends import Place
from shared.messaging.pglog import Readable
from shared.messaging.relay import Lag, Relay
from tests.support.database import PARTITIONS, TestServer
from tests.support.events import append
from tests.support.running import job
from tests.support.waiting import until

SUBJECT = "a-1"
PARTITION = partition_of(SUBJECT, PARTITIONS)


class Shelf:
    """A topic in memory that can be out of reach."""

    def __init__(self, partitions: int = PARTITIONS) -> None:
        self.held: list[list[int]] = [[] for _ in range(partitions)]
        self.away = False

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[Shelf]:
        await self.places()
        yield self

    async def places(self) -> list[Place]:
        if self.away:
            raise BusUnavailable("Kafka: nobody answers")
        return [Place(held[-1] if held else 0, 0, len(held)) for held in self.held]

    async def first_position(self, partition: int) -> int:
        return self.held[partition][0] if self.held[partition] else 0

    async def publish(self, partition: int, events: Sequence[Recorded]) -> int:
        await self.places()
        self.held[partition] += [event.position for event in events]
        return len(self.held[partition]) - len(events)


@dataclass
class Relayed:
    """A log, a relay that runs when told to, and what it has said."""

    log: PostgresLog
    pool: asyncpg.Pool
    bell: Bell
    topic: Shelf = field(default_factory=Shelf)
    lags: list[Lag] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def relay(self, log: Readable | None = None) -> Relay:
        said = (self.lags.append, self.troubles.append)
        return Relay("intake", log or self.log, self.pool, self.bell, self.topic.publishing, *said)

    async def until(self, met: Callable[[Lag], bool]) -> Lag:
        """Wait until a lag is told that meets this; the one that did."""
        told = len(self.lags)

        async def found() -> list[Lag]:
            return [lag for lag in self.lags[told:] if met(lag)]

        return (await until(found))[0]


@pytest_asyncio.fixture
async def relayed(server: TestServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Relayed]:
    for name in ("RETRY_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(f"shared.messaging.relay.{name}", 0.01)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(server.fresh())
        session = {"search_path": "intake"}
        pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, server_settings=session))
        bell = Bell()
        log = PostgresLog(pool, PARTITIONS, bell.ring)
        await stack.enter_async_context(log.running())
        yield Relayed(log, pool, bell)


async def test_while_the_bus_is_away_the_lag_is_told_from_where_the_topic_was_and_grows(relayed: Relayed) -> None:
    await relayed.log.append(append(SUBJECT, 0, 3))
    async with job(relayed.relay().run()):
        await relayed.until(lambda lag: lag.events == 0 and relayed.topic.held[PARTITION] == [1, 2, 3])
        relayed.topic.away = True
        await relayed.log.append(append(SUBJECT, 3, 2))
        first = await relayed.until(lambda lag: lag.events == 2)
        await relayed.until(lambda lag: lag.events == 2 and lag.seconds > first.seconds)
        assert set(relayed.troubles) == {"Kafka: nobody answers"}
        await relayed.log.append(append(SUBJECT, 5, 4))
        await relayed.until(lambda lag: lag.events == 6)
        relayed.topic.away = False
        await relayed.until(lambda lag: lag == Lag(0, 0.0))
    assert relayed.topic.held[PARTITION] == list(range(1, 10))


async def test_a_relay_that_has_never_reached_the_bus_tells_what_another_noted(relayed: Relayed) -> None:
    await relayed.log.append(append(SUBJECT, 0, 5))
    relayed.topic.away = True
    async with job(relayed.relay().run()):
        await relayed.until(lambda lag: lag.events == 5)
        note = "INSERT INTO cursors (consumer, source, partition, sequence) VALUES ('relay', 'intake', $1, 4)"
        await relayed.pool.execute(note, PARTITION)
        await relayed.until(lambda lag: lag.events == 1)


class Busy:
    """A log of one partition that holds one event more whenever somebody looks."""

    partitions = 1

    def __init__(self) -> None:
        self.head = 0

    async def heads(self) -> list[int]:
        self.head += 1
        return [self.head]

    async def read_partition(self, partition: int, after: int, limit: int) -> list[Recorded]:
        return [Recorded(0, after + n, "a-1", after + n, "", b"") for n in range(1, self.head - after + 1)]

    async def read_partitions(self, after: Mapping[int, int], limit: int) -> list[Recorded]:
        return await self.read_partition(0, after[0], limit)


async def test_under_steady_traffic_nothing_is_said_to_be_late(
    relayed: Relayed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.messaging.relay.LOOK_SECONDS", 0.0)
    relayed.topic = Shelf(1)
    async with job(relayed.relay(Busy()).run()):
        await relayed.until(lambda lag: len(relayed.lags) > 50)
    assert all(lag.events > 0 for lag in relayed.lags)
    assert {lag.seconds for lag in relayed.lags} == {0.0} and relayed.troubles == []
