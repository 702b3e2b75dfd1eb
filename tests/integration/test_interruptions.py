"""What goes away comes back: the database under a running city, a view swapped under its consumers, a busy city."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from services.addresses import gateway
from services.simulation import Actors
from services.up import EmbeddedPostgres
from tests.support.city import City, a_city
from tests.support.database import TestServer
from tests.support.views import dump, settled

NewCity = Callable[..., AbstractAsyncContextManager[City]]


@asynccontextmanager
async def own_server() -> AsyncIterator[tuple[EmbeddedPostgres, TestServer]]:
    home = Path(tempfile.mkdtemp(prefix="jiesu-own-", dir="/tmp"))
    home.chmod(0o755)
    try:
        with EmbeddedPostgres(home) as server:
            made = TestServer(server, home)
            await made.prepare()
            yield server, made
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def test_a_city_goes_on_by_itself_after_its_database_was_killed() -> None:
    async with own_server() as (server, made), a_city(made) as city:
        before = await city.dispatched()
        server.kill()
        refused = await city.post("/intake/v1/appeals", city.appeal(), "AGENT")
        assert (refused.status, refused.code) == (503, "UNAVAILABLE") and "Retry-After" in refused.headers
        reads = await city.get(f"/intake/v1/appeals/{before['appeal_id']}")
        assert (reads.status, reads.code) == (503, "UNAVAILABLE")
        assert (await city.get("/intake/health/ready", None)).status == 503
        server._end_orphan()
        server._start()
        ready = await city.until(lambda: city.get("/routing/health/ready", None), lambda reply: reply.status == 200)
        assert ready.body["reasons"] == {}
        after = await city.dispatched()
        for case in (before, after):
            await city.handle(case)
            await city.until_state(case["appeal_id"], "CALLBACK_DUE")
            assert (await city.callback(case)).body["state"] == "CLOSED"
            await city.until_state(case["appeal_id"], "CLOSED")
        await settled(city)
        assert all(running.stopped == {} for running in city.running.values())


async def test_a_view_rebuilt_under_a_running_city_stays_alive_on_all_its_sources(new_city: NewCity) -> None:
    async with new_city() as city:
        first = await city.dispatched()
        intake = city.running["intake"]
        for projection in intake.projections:
            await projection.rebuild()
        second = await city.register()
        seen = await city.get(f"/intake/v1/appeals/{second['appeal_id']}", headers={"If-Position": second["position"]})
        assert seen.status == 200
        await city.sign(first)
        await city.until_state(first["appeal_id"], "SIGNED")
        assert len(await dump(intake, intake.projections[0].view)) == 2


async def test_an_error_that_nobody_foresaw_is_still_a_problem(new_city: NewCity) -> None:
    async with new_city(jobs=False) as city:
        city.running["intake"].executor.ids = None  # type: ignore[assignment]
        reply = await city.post("/intake/v1/appeals", city.appeal(), "AGENT")
        assert (reply.status, reply.code) == (500, "INTERNAL")
        assert reply.headers["Content-Type"] == "application/problem+json"


async def test_the_simulator_asks_again_when_a_city_is_busy() -> None:
    answers = iter((503, 425, 429, 200))

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"code": "BUSY"}, status=next(answers))

    app = web.Application()
    app.router.add_get("/thing", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        async with asyncio.timeout(20), aiohttp.ClientSession() as http:
            actors = Actors(gateway(f"http://127.0.0.1:{port}"), lambda role, unit: "token", http)
            assert await actors.ask("GET", "/thing", "AUDITOR") == {"code": "BUSY"}
    finally:
        await runner.cleanup()
