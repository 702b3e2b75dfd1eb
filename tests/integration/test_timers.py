"""Twenty thousand timers through kills, a two-day outage and a clock that jumps: each fires once, and none early."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from services.routing_service.service import SERVICE as ROUTING
from shared.engine.consume import Consumer
from shared.engine.deadlines import DeadlineProjection, Sweeper
from shared.engine.runtime import DEADLINES
from shared.messaging.bus import BATCH_LIMIT
from tests.support.city import START, City
from tests.support.orders import dispatch_many

ORDERS = 4000
NAMES = {
    "sign-overdue": timedelta(hours=2),
    "order-reminded": timedelta(days=5, hours=6),
    "ladder-step-taken SUPERVISION": timedelta(hours=26),
    "handling-limit-expired": timedelta(days=7),
    "ladder-step-taken ESCALATION": timedelta(days=45),
}
"""The clocks of an order that nobody touches, and how long after dispatch each is due."""
FIRED = """
    SELECT stream, type, convert_from(body, 'utf8')::json AS body FROM events
    WHERE type ~ '(sign-overdue|order-reminded|ladder-step-taken|handling-limit-expired)'"""
BACKENDS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND xact_start IS NOT NULL AND query ~ 'deadlines'"""


def sweeper(city: City) -> Sweeper:
    routing = city.running["routing"]
    assert ROUTING.deadlines is not None
    return Sweeper("routing", ROUTING.deadlines, routing.pool, routing.executor, city.clock)


async def follow(city: City) -> None:
    """Take what the log holds into the rows of deadlines."""
    routing = city.running["routing"]
    assert ROUTING.deadlines is not None
    handler = DeadlineProjection(ROUTING.deadlines)
    await Consumer(DEADLINES, "routing", routing.bus, routing.pool, handler).catch_up(BATCH_LIMIT)


async def swept(city: City, chance: random.Random) -> None:
    """Two sweepers until nothing is due; one of them is killed again and again, and so are their sessions."""

    async def until_done() -> None:
        while True:
            try:
                if await sweeper(city).sweep() == 0:
                    return
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                continue  # its session was killed: what it had begun was not done

    async def killed() -> None:
        for _ in range(6):
            task = asyncio.create_task(sweeper(city).sweep())
            await asyncio.wait({task}, timeout=chance.random() / 50)
            task.cancel()
            with suppress(asyncio.CancelledError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await task
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await city.running["routing"].pool.execute(BACKENDS)

    await asyncio.gather(until_done(), killed())
    await until_done()
    await follow(city)


async def fired(city: City) -> dict[tuple[str, str], datetime]:
    """(order, clock) -> when its event says that it happened. Each once, or the test has failed."""
    rows: list[Any] = await city.running["routing"].pool.fetch(FIRED)
    seen: Counter[tuple[str, str]] = Counter()
    when: dict[tuple[str, str], datetime] = {}
    for row in rows:
        body = json.loads(row["body"])
        step = body["data"].get("step")
        name = row["type"].split(".")[-2] + (f" {step}" if step else "")
        seen[row["stream"], name] += 1
        when[row["stream"], name] = datetime.fromisoformat(body["time"])
    assert not seen or max(seen.values()) == 1
    return when


async def test_every_timer_fires_once_and_none_early_through_kills_an_outage_and_clock_jumps(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    chance = random.Random(11)
    async with new_city(jobs=False) as city:
        routing = city.running["routing"]
        await dispatch_many(routing, ORDERS, START)
        await follow(city)
        city.clock.set(START + timedelta(hours=2) - timedelta(milliseconds=1))
        await swept(city, chance)
        assert await fired(city) == {}
        for moment in (
            timedelta(hours=2),
            timedelta(minutes=5),  # the clock jumps back
            timedelta(hours=3),
            timedelta(days=3),  # two days of outage: nobody swept
            timedelta(days=2),
            timedelta(days=5, hours=7),
            timedelta(days=8),
            timedelta(days=46),
        ):
            city.clock.set(START + moment)
            await swept(city, chance)
        when = await fired(city)
        assert Counter(name for _, name in when) == dict.fromkeys(NAMES, ORDERS)
        assert all(at >= START + NAMES[name] for (_, name), at in when.items())
        assert await routing.pool.fetchval("SELECT count(*) FROM deadlines") == 0
