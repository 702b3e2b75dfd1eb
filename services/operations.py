"""What operators run: one service, migrations, topics, rebuilds, and the events that could not be handled."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated

import asyncpg
import orjson
import structlog
import typer
from rich.table import Table

from services.beside import all_beside, beside
from services.city import SERVICES, ports
from services.rekeying import allowed
from services.screen import bar, run, screen
from services.serving import CannotStart, calm_collector, serve
from services.topics import check_topics, make_topics
from services.up import migrate
from shared.engine.parking import Parked, listed, parked_body
from shared.engine.reacting import StillParked
from shared.engine.runtime import EVERY_ROLE, Role, Running, Service
from shared.engine.secrets import read_secrets
from shared.engine.settings import Settings, read_settings
from shared.engine.telemetry import configure_logging
from shared.messaging.bus import BusUnavailable

START_SECONDS = 60
app = typer.Typer()
parked = typer.Typer(help="Events that could not be handled, and those that wait behind them.", no_args_is_help=True)
app.add_typer(parked, name="parked")
log = structlog.get_logger()
ServiceArgument = Annotated[str, typer.Argument(help="intake, routing, feedback or scoring")]


@app.command("serve")
def serve_command(
    service: ServiceArgument,
    role: Annotated[str, typer.Option(help="what it does, of: api,relay,react,clock")] = "api,relay,react,clock",
    port: Annotated[int | None, typer.Option(help="[default: JIESU_PORT, or 8001 to 8004 by service]")] = None,
) -> None:
    """Run one service against JIESU_DATABASE_URL: what a container runs. Roles can be split over processes."""
    known = _known(service)
    roles = _roles(role)
    asked = read_settings(port=port)
    settings = asked if {"port"} & asked.model_fields_set else read_settings(port=ports()[service])
    if settings.database_url is None:
        raise CannotStart("JIESU_DATABASE_URL is not set; `jiesu up` is for a machine without a database")
    configure_logging(settings.log_level)
    structlog.contextvars.bind_contextvars(process=f"{service}:{settings.port}")
    run(_serve(known, settings, roles))


async def _serve(service: Service, settings: Settings, roles: frozenset[Role]) -> None:
    url = await _database_in_place(settings, service)
    secrets = read_secrets(settings.keys_dir, create=False)
    log.info("serving", service=service.name, roles=sorted(roles), port=settings.port)
    await serve((service,), url, settings, secrets, roles=roles)


async def _database_in_place(settings: Settings, service: Service) -> str:
    """Services start in any order: wait for the database, its migrations and the topics, but not for ever."""
    give_up = asyncio.get_running_loop().time() + START_SECONDS
    while True:
        try:
            await _look_around(settings, service)
            return settings.database_url or ""
        except (OSError, asyncpg.PostgresError, BusUnavailable, CannotStart) as error:
            reason = str(error) or type(error).__name__
            if asyncio.get_running_loop().time() > give_up:
                raise CannotStart(f"gave up after {START_SECONDS} s: {reason}") from None
            log.warning("waiting", service=service.name, reason=reason)
            await asyncio.sleep(1)


async def _look_around(settings: Settings, service: Service) -> None:
    connection = await asyncpg.connect(settings.database_url, timeout=10)
    try:
        there = await connection.fetchval("SELECT to_regclass($1)", f"{service.name}.log_heads")
        if there is None:
            raise CannotStart(f"the schema of {service.name} is not there; run `jiesu migrate`")
    finally:
        await connection.close()
    if settings.kafka_bootstrap is not None:
        await check_topics(settings, service.sources | {service.name})


@app.command("migrate")
def migrate_command() -> None:
    """Create or upgrade all schemas in JIESU_DATABASE_URL; safe at every deployment, before the services start."""
    settings = read_settings()
    if settings.database_url is None:
        raise CannotStart("JIESU_DATABASE_URL is not set; the embedded database migrates itself")
    run(migrate(settings.database_url, settings))
    screen.print("  schemas are up to date")


@app.command("topics")
def topics_command() -> None:
    """Create the Kafka topics that are missing, and check those that are there."""
    settings = read_settings()
    if settings.kafka_bootstrap is None:
        raise CannotStart("JIESU_KAFKA_BOOTSTRAP is not set; without Kafka services read each other's logs")
    made = run(make_topics(settings))
    screen.print(f"  created {', '.join(made)}" if made else "  every topic is there")


@app.command()
def rebuild(
    service: ServiceArgument,
    view: Annotated[str | None, typer.Argument(help="one view [default: all of the service]")] = None,
) -> None:
    """Fold a service's views anew from the log, beside the live ones, and swap. The city may be running or not."""
    known = _known(service)
    if view and view not in {one.name for one in known.views}:
        raise CannotStart(f"there is no view {view}; {service} has {', '.join(one.name for one in known.views)}")
    run(_rebuild(read_settings(), known, view))


async def _rebuild(settings: Settings, service: Service, view: str | None) -> None:
    calm_collector()
    async with beside(settings, service) as running:
        for projection in running.projections:
            if view in {None, projection.view.name}:
                with bar() as progress:
                    heads = [sum(await running.bus.heads(source)) for source in projection.view.sources]
                    task = progress.add_task(projection.view.name, total=sum(heads))
                    await projection.rebuild(partial(progress.advance, task))


@parked.command("list")
def parked_list(service: Annotated[str | None, typer.Argument(help="one service [default: all]")] = None) -> None:
    """What waits aside, and why."""
    run(_list([_known(service)] if service else list(SERVICES)))


@parked.command("show")
def parked_show(service: ServiceArgument, subject: Annotated[str, typer.Argument(help="appeal or unit")]) -> None:
    """The parked events of one subject, as stored; personal texts stay sealed."""
    run(_show(_known(service), subject))


@parked.command("replay")
def parked_replay(
    service: ServiceArgument,
    subject: Annotated[str | None, typer.Argument(help="appeal or unit [default: all, with --operation]")] = None,
    operation: Annotated[str | None, typer.Option(help="of kind REPLAY, approved by two officers; for all")] = None,
) -> None:
    """Hand parked events to the service again, each subject's in order, all of a subject's or none."""
    if subject is None and operation is None:
        raise CannotStart("replaying all takes two officers: name a subject, or --operation (see the README)")
    run(_replay(_known(service), subject, operation))


async def _list(services: list[Service]) -> None:
    table = Table("service", "consumer", "subject", "source", "events", "since", "reason", box=None)
    count = 0
    for service in services:
        async with beside(read_settings(), service) as running:
            for one in await listed(running.pool):
                count += 1
                since = f"{one.since:%Y-%m-%d %H:%M}"
                table.add_row(service.name, one.consumer, one.subject, one.source, str(one.events), since, one.reason)
    screen.print(table if count else "  nothing is parked")


async def _show(service: Service, subject: str) -> None:
    async with beside(read_settings(), service) as running:
        for source, sequence, body in await parked_body(running.pool, subject):
            screen.print(f"[bold]{source} {sequence}[/]")
            try:
                screen.print_json(data=orjson.loads(body))
            except orjson.JSONDecodeError:
                screen.out(repr(body[:1000]))


async def _replay(service: Service, subject: str | None, operation: str | None) -> None:
    failed = 0
    async with all_beside(read_settings()) as city:
        running = city[service.name]
        if subject is None:
            await allowed(city, operation or "", "REPLAY", service.name, len(await listed(running.pool)))
        for one in await listed(running.pool):
            if subject in {None, one.subject}:
                failed += not await _replayed(running, one)
    if failed:
        raise typer.Exit(1)


async def _replayed(running: Running, one: Parked) -> bool:
    try:
        async with running.pool.acquire() as connection, connection.transaction():
            count = await running.reacting(one.source).replay(connection, one.subject)
    except StillParked as reason:
        screen.print(f"  {one.subject}: [red]still parked[/] ({reason})")
        return False
    screen.print(f"  {one.subject}: {count} from {one.source}")
    return True


def _known(name: str) -> Service:
    for service in SERVICES:
        if service.name == name:
            return service
    raise CannotStart(f"there is no service {name}; there are {', '.join(ports())}")


def _roles(text: str) -> frozenset[Role]:
    try:
        return frozenset(Role(part.strip()) for part in text.split(","))
    except ValueError:
        raise CannotStart(f"--role takes {','.join(sorted(EVERY_ROLE))} or some of them") from None
