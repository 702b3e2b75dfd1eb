"""One process of a city: the services and roles it was asked for, on one port, until a signal; then a clean end."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog
import uvicorn
from fastapi import APIRouter
from starlette.types import ASGIApp

from services.city import APIS
from services.patience import PatientProtocol
from shared.engine.ids import SystemIds
from shared.engine.runtime import EVERY_ROLE, Role, Running, Service, running_city
from shared.engine.secrets import Secrets
from shared.engine.settings import Settings
from shared.engine.tracing import flush_traces, send_traces_to
from shared.web.app import Api, Face, create_app, create_city
from shared.web.doors import Doors
from shared.web.tokens import Tokens
from shared.web.webhooks import delivering

STOP_SECONDS = 20
BACKLOG = 2048
COLLECT_AFTER = 100_000
KEEP_ALIVE_SECONDS = 75
"""Longer than gateways and clients keep a connection they do not use: whoever closes first must be the one who asks,
or a request meets a connection that is being closed."""
log = structlog.get_logger()


class CannotStart(Exception):
    """The message is the one line that an operator needs."""


class Server(uvicorn.Server):
    """Signals are ours: they begin with readiness going false."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    services: Sequence[Service],
    database_url: str,
    settings: Settings,
    secrets: Secrets,
    started: Callable[[Tokens], None] = lambda tokens: None,
    roles: Collection[Role] = EVERY_ROLE,
    listener: socket.socket | None = None,
) -> None:
    """Run until SIGINT or SIGTERM. Raises CannotStart with one line when the port is taken."""
    if settings.otlp_endpoint is not None:
        send_traces_to(settings.otlp_endpoint, services[0].name if len(services) == 1 else "city")
    with listening(settings) if listener is None else listener as bound:
        async with running_city(services, database_url, settings, secrets, roles=roles) as city:
            tokens = Tokens(secrets.token, next(iter(city.values())).clock)
            doors = doors_of(city, tokens)
            server = Server(configuration(create_city(faces(city, doors, roles), SystemIds(), settings), settings))
            _stop_on_signal(server, city, settings.drain_seconds)
            calm_collector()
            started(tokens)
            async with delivering(city if Role.RELAY in roles else {}, {name: APIS[name].owners for name in city}):
                await server.serve(sockets=[bound])
    flush_traces()


def doors_of(city: Mapping[str, Running], tokens: Tokens) -> Doors:
    """Who may come in; all services of a process share one look at it."""
    one = next(iter(city.values()))
    return Doors(tokens, one.settings, one.pool, one.clock)


def faces(city: Mapping[str, Running], doors: Doors, roles: Collection[Role] = EVERY_ROLE) -> dict[str, Face]:
    """What each service shows; a process that answers no requests still shows its health and metrics."""
    nothing = {name: Api(APIS[name].title, APIRouter(), (), APIS[name].owners) for name in city}
    shown = APIS if Role.API in roles else nothing
    return {name: create_app(shown[name], running, doors) for name, running in city.items()}


def configuration(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """How the city is served over HTTP."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=PatientProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        ssl_certfile=settings.tls_cert_file,
        ssl_keyfile=settings.tls_key_file,
    )


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """The port, taken before anything else is started. Raises CannotStart."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(BACKLOG)
        except OSError as error:
            where = f"{settings.host}:{settings.port}"
            raise CannotStart(f"cannot listen on {where} ({error.strerror}); choose another with --port") from None
        yield listener


def _stop_on_signal(server: uvicorn.Server, city: Mapping[str, Running], drain_seconds: float) -> None:
    """Unready at once, so that gateways look elsewhere; closed a little later; what has begun is finished."""
    loop = asyncio.get_running_loop()

    def close() -> None:
        server.should_exit = True

    def stop() -> None:
        log.info("draining", seconds=drain_seconds)
        for running in city.values():
            running.draining = True
        loop.call_later(drain_seconds, close)

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop)
    loop.add_signal_handler(signal.SIGUSR1, _say_what_is_going_on)


def _say_what_is_going_on() -> None:
    """For an operator at night: `kill -USR1` logs where every task stands, at whatever level."""
    for task in asyncio.all_tasks():
        frames = [f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" for frame in task.get_stack(limit=8)]
        log.critical("task", name=task.get_name(), stack=" ".join(frames))


def calm_collector() -> None:
    """What was made at start stays for ever; looking through it again and again only makes requests wait."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 50, 50)
