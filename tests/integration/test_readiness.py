"""Readiness says what is wrong by name, and liveness asks nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime, timedelta

import asyncpg
import pytest

from shared.engine.clock import SystemClock
from shared.engine.readiness import why_not_ready
from tests.support.city import City
from tests.support.waiting import PATIENCE_SECONDS

NewCity = Callable[..., AbstractAsyncContextManager[City]]


async def test_a_good_city_is_ready(city: City) -> None:
    for name in city.running:
        assert (await city.get(f"/{name}/health/ready", None)).body["reasons"] == {}


async def test_draining_comes_first(new_city: NewCity) -> None:
    async with new_city(jobs=False) as city:
        city.running["intake"].draining = True
        reply = await city.get("/intake/health/ready", None)
        assert reply.status == 503 and set(reply.body["reasons"]) == {"draining"}
        assert (await city.get("/intake/health/live", None)).status == 200
        assert (await city.post("/intake/v1/appeals", city.appeal(), "AGENT")).status == 201


@pytest.mark.parametrize("setting", ["synchronous_commit"])
async def test_a_database_that_may_forget_is_no_database(new_city: NewCity, setting: str) -> None:
    async with new_city(jobs=False) as city:
        pool = city.running["intake"].pool
        name = await pool.fetchval("SELECT current_database()")
        owner = await asyncpg.connect(str(pool._connect_args[0]))
        await owner.execute(f'ALTER DATABASE "{name}" SET {setting} = off')
        await owner.close()
        await pool.expire_connections()
        reasons = await why_not_ready(city.running["intake"])
        assert setting in reasons["unsafe"]


async def test_a_clock_away_from_the_databases_is_said(new_city: NewCity) -> None:
    async with new_city(jobs=False) as city:
        running = city.running["intake"]
        clock = SystemClock()

        async def ahead() -> datetime:
            return clock.now() + timedelta(minutes=5)

        await clock.agree_with(ahead)
        running.clock = clock
        assert set(await why_not_ready(running)) == {"clock"}


async def test_another_number_of_partitions_is_said(new_city: NewCity) -> None:
    async with new_city(jobs=False) as city:
        city.running["intake"].log.partitions = 99
        assert set(await why_not_ready(city.running["intake"])) == {"partitions"}


async def test_a_database_whose_every_connection_is_taken_is_said_in_time(
    new_city: NewCity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.engine.readiness.SECONDS", 0.1)
    async with new_city(jobs=False, pool_size=4) as city:
        running = city.running["intake"]
        async with AsyncExitStack() as stack:
            for _ in range(running.pool.get_max_size()):
                await stack.enter_async_context(running.pool.acquire())
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await why_not_ready(running) == {"database": "TimeoutError"}
        assert await why_not_ready(running) == {}
