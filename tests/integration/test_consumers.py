"""Catching up in spite of a bus that fails, and gauges that show the consumers there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import asyncpg
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from shared.engine.consume import Consumer
from shared.engine.gauges import look
from shared.engine.projections import retire
from shared.eventlog.log import Recorded
from shared.eventlog.postgres import Connection, PostgresLog
from shared.messaging.bus import BATCH_LIMIT, Batch, Bell, BusUnavailable, Reached, Subscription
from shared.messaging.pglog import PgLogBus
from tests.support.city import City
from tests.support.database import PARTITIONS, TestServer
from tests.support.events import append
from tests.support.waiting import PATIENCE_SECONDS

NewCity = Callable[..., AbstractAsyncContextManager[City]]
STREAMS, EACH = 20, 3


class Failing(PgLogBus):
    """Fails for whoever asks for what comes next, at these times of asking; delivers all again to who comes back."""

    failures: frozenset[int] = frozenset()
    asked = subscribed = 0

    async def subscribe(  # type: ignore[override]
        self, consumer: str, source: str, reached: Reached, batch_limit: int = BATCH_LIMIT, alone: bool = False
    ) -> Subscription:
        async def nothing() -> Mapping[int, int]:
            return {}

        self.subscribed += 1
        return _FailingSubscription(await super().subscribe(consumer, source, nothing, batch_limit, alone), self)


class _FailingSubscription:
    def __init__(self, inner: Subscription, bus: Failing) -> None:
        self._inner, self._bus = inner, bus
        self.rewind, self.close = inner.rewind, inner.close

    async def next(self) -> Sequence[Batch]:
        self._bus.asked += 1
        if self._bus.asked in self._bus.failures:
            raise BusUnavailable("Kafka: nobody answers")
        return await self._inner.next()


@pytest_asyncio.fixture
async def log(server: TestServer) -> AsyncIterator[tuple[PostgresLog, asyncpg.Pool]]:
    """A log with events in every partition."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(server.fresh())
        session = {"search_path": "intake"}
        pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, server_settings=session))
        made = PostgresLog(pool, PARTITIONS, Bell().ring)
        await stack.enter_async_context(made.running())
        for number in range(STREAMS):
            await made.append(append(f"a-{number}", 0, EACH))
        yield made, pool


@pytest.mark.parametrize("failures", [{1}, {3}, {2, 3, 5}])
async def test_catching_up_goes_on_when_the_bus_fails_on_the_way_and_nothing_takes_effect_twice(
    log: tuple[PostgresLog, asyncpg.Pool], failures: set[int]
) -> None:
    stored, pool = log
    bus = Failing({"intake": stored}, {"intake": Bell()})
    bus.failures = frozenset(failures)
    taken: list[tuple[int, int]] = []

    async def take(connection: Connection, events: Sequence[Recorded]) -> None:
        taken.extend((event.partition, event.position) for event in events)

    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await Consumer("reader", "intake", bus, pool, take).catch_up(batch_limit=10) >= STREAMS * EACH
    heads = await stored.heads()
    assert sorted(taken) == [(p, n) for p, head in enumerate(heads) for n in range(1, head + 1)]
    assert bus.subscribed == len(failures) + 1


def lag(service: str, consumer: str) -> float | None:
    labels = {"service": service, "consumer": consumer, "source": "intake"}
    return REGISTRY.get_sample_value("jiesu_consumer_lag_events", labels)


async def test_the_gauge_of_a_consumer_that_is_gone_is_taken_down_and_no_other(new_city: NewCity) -> None:
    async with new_city(jobs=False) as city:
        await city.register()
        for service in ("routing", "feedback"):
            running = city.running[service]
            for consumer in ("view:old", "view:new"):
                opened = "INSERT INTO cursors (consumer, source, partition) SELECT $1, 'intake', generate_series(0, 3)"
                await running.pool.execute(opened, consumer)
            await look(service, running.pool, running.bus)
        routing = city.running["routing"]
        behind = lag("routing", "view:new")
        assert behind is not None and behind > 0
        assert [lag(service, "view:old") for service in ("routing", "feedback")] == [behind] * 2
        await routing.pool.execute("DELETE FROM cursors WHERE consumer = 'view:old'")
        await look("routing", routing.pool, routing.bus)
        assert lag("routing", "view:old") is None
        assert [lag("routing", "view:new"), lag("feedback", "view:old")] == [behind] * 2


async def test_a_view_that_its_service_no_longer_has_goes_with_its_cursors(new_city: NewCity) -> None:
    async with new_city(jobs=False) as city:
        pool = city.running["scoring"].pool
        kept = await pool.fetch("SELECT view FROM view_generations ORDER BY view")
        await pool.execute("CREATE TABLE old_v3_g2 (key text); CREATE VIEW old AS SELECT * FROM old_v3_g2")
        await pool.execute("INSERT INTO view_generations (view, version, generation) VALUES ('old', 3, 2)")
        await pool.execute("INSERT INTO cursors (consumer, source, partition) VALUES ('old_v3_g2', 'routing', 0)")
        await retire(pool, [row["view"] for row in kept])
        assert await pool.fetch("SELECT view FROM view_generations ORDER BY view") == kept
        assert await pool.fetchval("SELECT to_regclass('old') IS NULL AND to_regclass('old_v3_g2') IS NULL")
        assert not await pool.fetchval("SELECT count(*) FROM cursors WHERE consumer = 'old_v3_g2'")
        assert await pool.fetchval("SELECT count(*) FROM cursors WHERE consumer LIKE 'lives%'")
