"""The city under load, in a process of its own, with two endpoints to compare intake with.

`/intake/bench/validate` checks the token, reads and validates the body, and answers. `/intake/bench/insert` does that
and one committed INSERT of the body. They are routes of the same application, as lean as the real one.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import uvicorn
import uvloop
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.city import APIS, SERVICES
from services.intake_service.registration import AppealBody
from services.serving import Server, calm_collector, doors_of
from services.up import database
from shared.engine.ids import SystemIds
from shared.engine.runtime import EVERY_ROLE, Role, Running, running_city
from shared.engine.settings import Settings
from shared.engine.telemetry import configure_logging
from shared.web.app import Face, create_app, create_city
from shared.web.bodies import parse_body, read_body
from shared.web.doors import Doors
from shared.web.identity import Scope
from shared.web.tokens import Tokens
from tests.support.city import SECRETS

ANSWER = b'{"appeal_id":"01a207ae-4a84-71ca-bb2f-374c59711662","state":"REGISTERED","version":1}'


def baselines(running: Running, doors: Doors) -> list[Route]:
    async def read(request: Request) -> bytes:
        await doors.admit(request, Scope.REGISTER)
        raw = await read_body(request, running.settings.max_body_bytes)
        parse_body(raw, AppealBody)
        return raw

    async def validate(request: Request) -> Response:
        await read(request)
        return Response(ANSWER, 201, media_type="application/json")

    async def insert(request: Request) -> Response:
        raw = await read(request)
        await running.pool.execute("INSERT INTO bench (body) VALUES ($1)", raw)
        return Response(ANSWER, 201, media_type="application/json")

    return [Route("/bench/validate", validate, methods=["POST"]), Route("/bench/insert", insert, methods=["POST"])]


@asynccontextmanager
async def prepared(settings: Settings) -> AsyncIterator[str]:
    async with database(settings) as url:
        owner = await asyncpg.connect(url)
        await owner.execute("CREATE TABLE IF NOT EXISTS intake.bench (id bigserial PRIMARY KEY, body bytea)")
        await owner.execute("GRANT ALL ON intake.bench, intake.bench_id_seq TO jiesu_intake")
        await owner.close()
        yield url


async def main(home: Path, jobs: bool) -> None:
    settings = Settings(home=home)
    roles = EVERY_ROLE if jobs else {Role.API}
    async with (
        prepared(settings) as url,
        running_city(SERVICES, url, settings, SECRETS, roles=roles) as city,
    ):
        doors = doors_of(city, Tokens(SECRETS.token, city["intake"].clock))
        apps = {name: create_app(APIS[name], running, doors) for name, running in city.items()}
        intake = apps["intake"]
        apps["intake"] = Face([*baselines(city["intake"], doors), *intake.commands], intake.app)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1024)
            config = uvicorn.Config(
                create_city(apps, SystemIds(), settings),
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                http="httptools",
            )
            server = Server(config)
            calm_collector()
            sys.stdout.write(f"{listener.getsockname()[1]}\n")
            sys.stdout.flush()
            watcher = asyncio.create_task(_stop_with_parent(server))
            await server.serve(sockets=[listener])
            await watcher


async def _stop_with_parent(server: uvicorn.Server) -> None:
    """Ends when standard input closes."""
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.should_exit = True


if __name__ == "__main__":
    configure_logging("error")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(Path(sys.argv[1]), sys.argv[2] == "jobs"))
