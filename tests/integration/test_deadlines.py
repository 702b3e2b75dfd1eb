"""Deadlines fire exactly once: none early, none doubled by a second sweeper, none lost, none when met in time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any

from services.routing_service.service import SERVICE as ROUTING
from shared.engine.deadlines import Sweeper
from tests.support.city import AFTER_HOLD, City
from tests.support.views import settled

NewCity = Callable[..., AbstractAsyncContextManager[City]]
APPEALS = 24
SIGN_LIMIT, HANDLING_LIMIT = timedelta(hours=2), timedelta(hours=24)
FIRED = """
    SELECT convert_from(body, 'utf8')::json->>'time' AS at, type, stream FROM events
    WHERE type ~ '(sign-overdue|handling-limit-expired)' ORDER BY stream, version"""


async def fired(city: City) -> list[Any]:
    """Every deadline event of routing."""
    rows: list[Any] = await city.running["routing"].pool.fetch(FIRED)
    return rows


async def sweep_twice(city: City) -> None:
    """Two sweepers at once, beside the city's own, until nothing is due."""
    routing = city.running["routing"]
    assert ROUTING.deadlines is not None
    sweepers = [Sweeper("routing", ROUTING.deadlines, routing.pool, routing.executor, city.clock) for _ in range(2)]
    await asyncio.gather(*(sweeper.sweep() for sweeper in sweepers), return_exceptions=True)
    await settled(city)


async def test_every_deadline_fires_once_and_none_early(new_city: NewCity) -> None:
    async with new_city() as city:
        await asyncio.gather(*(city.register() for _ in range(APPEALS)))
        await settled(city)
        city.clock.advance(AFTER_HOLD)

        async def dispatched() -> int:
            page = await city.get("/routing/v1/orders?state=DISPATCHED&limit=200")
            return len(page.body["items"])

        await city.until(dispatched, lambda count: count == APPEALS)
        await settled(city)
        city.clock.advance(SIGN_LIMIT - timedelta(seconds=1))
        await sweep_twice(city)
        assert await fired(city) == []

        city.clock.advance(timedelta(seconds=1))
        await city.until(lambda: fired(city), lambda events: len(events) >= APPEALS)
        await sweep_twice(city)
        city.clock.advance(HANDLING_LIMIT + timedelta(days=2))
        await city.until(lambda: fired(city), lambda events: len(events) >= 2 * APPEALS)
        await sweep_twice(city)
        seen = Counter((event["stream"], event["type"].split(".")[-2]) for event in await fired(city))
        assert len(seen) == 2 * APPEALS and set(seen.values()) == {1}
        for event in await fired(city):
            limit = SIGN_LIMIT if "sign-overdue" in event["type"] else HANDLING_LIMIT
            assert datetime.fromisoformat(event["at"]) >= city.clock.now() - timedelta(days=4) + limit


async def test_a_deadline_that_was_met_does_not_fire(new_city: NewCity) -> None:
    async with new_city() as city:
        case = await city.dispatched()
        await city.handle(case)
        await city.until_state(case["appeal_id"], "CALLBACK_DUE")
        assert (await city.callback(case)).status == 200
        await city.until_state(case["appeal_id"], "CLOSED")
        await settled(city)
        city.clock.advance(timedelta(days=30))
        await sweep_twice(city)
        assert await fired(city) == []
        assert await city.running["routing"].pool.fetchval("SELECT count(*) FROM deadlines") == 0


async def test_a_clock_that_jumps_back_fires_nothing_again(new_city: NewCity) -> None:
    async with new_city() as city:
        await city.dispatched()
        await settled(city)
        start = city.clock.now()
        city.clock.advance(SIGN_LIMIT)
        await city.until(lambda: fired(city), lambda events: len(events) == 1)
        city.clock.set(start)
        await sweep_twice(city)
        city.clock.set(start + SIGN_LIMIT)
        await sweep_twice(city)
        assert len(await fired(city)) == 1


async def test_limit_expiry_calls_back_without_any_answer_of_the_unit(new_city: NewCity) -> None:
    async with new_city() as city:
        case = await city.dispatched()
        await settled(city)
        city.clock.advance(HANDLING_LIMIT)
        await city.until_state(case["appeal_id"], "CALLBACK_DUE")
        page = await city.until(
            lambda: city.get("/feedback/v1/callbacks", "CALLBACK_OFFICER"), lambda reply: reply.body["items"]
        )
        assert [item["appeal_id"] for item in page.body["items"]] == [case["appeal_id"]]
        said = {"contacted": False, "resolved": False, "satisfaction": "DISSATISFIED"}
        assert (await city.callback(case, **said)).body["state"] == "REWORK"
        again = await city.until(lambda: city.case(case["appeal_id"]), lambda c: c["round"] == 2)
        assert again["lead_unit"] == case["lead_unit"]
