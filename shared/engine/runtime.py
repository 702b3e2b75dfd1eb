"""The composition root: what a service is, and how it is put together and kept running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.contracts.envelope import ServiceName
from shared.engine.clock import Clock, SystemClock
from shared.engine.consume import Consumer, position_reached
from shared.engine.deadlines import DeadlineProjection, Deadlines, Sweeper
from shared.engine.execute import Executor
from shared.engine.ids import Ids, SystemIds
from shared.engine.projections import Projection, View
from shared.engine.reacting import Reacting, Reactions
from shared.engine.secrets import Secrets
from shared.engine.settings import Settings
from shared.eventlog.log import partition_of
from shared.eventlog.migrate import role_of
from shared.eventlog.postgres import PostgresLog
from shared.eventlog.sealing import Keyring, check_master_key
from shared.eventlog.vault import PostgresVault
from shared.messaging.bus import Bell, Bus
from shared.messaging.pglog import PgLogBus

REACT, DEADLINES = "react", "deadlines"
ANSWERS_KEY = "system:answers"
"""The key that stored idempotent answers are sealed with."""
READ_POLL_SECONDS = 0.01
log = structlog.get_logger()


@dataclass(frozen=True)
class Service:
    """What a service is made of.

    `decides_on` names the views that its commands look at. `founding` writes what must exist before it can work.
    """

    name: ServiceName
    reactions: Reactions
    views: Sequence[View]
    deadlines: Deadlines | None = None
    decides_on: tuple[str, ...] = ()
    founding: Callable[[Running], Awaitable[None]] | None = None


@dataclass
class Running:
    """One service, put together over its database."""

    service: Service
    settings: Settings
    secrets: Secrets
    clock: Clock
    executor: Executor
    log: PostgresLog
    pool: asyncpg.Pool
    reads: AsyncEngine
    bell: Bell
    bus: Bus
    projections: Sequence[Projection]
    stopped: dict[str, str] = field(default_factory=dict)
    draining: bool = False

    @property
    def keyring(self) -> Keyring:
        return self.executor.keyring

    @property
    def ids(self) -> Ids:
        return self.executor.ids

    async def views_reached(self, source: str, partition: int, position: int) -> bool:
        """Whether our views show what follows from a source up to a position; waits a little.

        Where we react to the source, what follows stands in our own log first: views must have taken that as well.
        """
        if source in self.service.reactions.sources:
            if not await self._reached([REACT], source, partition, position):
                return False
            own = self.service.name
            if not await self._views_took(own, partition, (await self.log.heads())[partition]):
                return False
        return await self._views_took(source, partition, position)

    async def _views_took(self, source: str, partition: int, position: int) -> bool:
        names = [await p.active_consumer() for p in self.projections if source in p.view.sources]
        return await self._reached(names, source, partition, position)

    async def views_settled(self) -> None:
        """Wait until our views have taken all that our own log holds now, however long that is."""
        source = self.service.name
        for partition, position in enumerate(await self.log.heads()):
            while not await self.views_reached(source, partition, position):
                log.info("waiting for views", service=source, partition=partition)

    async def heard_neighbours(self, subject: str) -> bool:
        """Wait until we know what neighbours had said about a subject when this was asked; False when it took too long.

        A refusal is final only then: a command may overtake the event that makes it legal.
        """
        partition = partition_of(subject, self.log.partitions)
        consulted = [p for p in self.projections if p.view.name in self.service.decides_on]
        sources = {*self.service.reactions.sources, *(source for p in consulted for source in p.view.sources)}
        for source in sorted(sources):
            position = (await self.bus.heads(source))[partition]
            names = [await p.active_consumer() for p in consulted if source in p.view.sources]
            names += [REACT] if source in self.service.reactions.sources else []
            if not await self._reached(names, source, partition, position):
                return False
        return True

    async def _reached(self, consumers: Sequence[str], source: str, partition: int, position: int) -> bool:
        if not consumers:
            return True
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self.settings.read_wait_seconds
        while not await position_reached(self.pool, consumers, source, partition, position):
            if loop.time() > give_up:
                return False
            await asyncio.sleep(READ_POLL_SECONDS)
        return True

    def jobs(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """Everything that goes on beside answering requests."""
        jobs: dict[str, Coroutine[Any, Any, None]] = {}
        for source in self.service.reactions.sources:
            handler = Reacting(REACT, source, self.service.reactions, self.executor, self.clock)
            jobs[f"{REACT}:{source}"] = Consumer(REACT, source, self.bus, self.pool, handler, self.bell.ring).run()
        for projection in self.projections:
            jobs[f"view:{projection.view.name}"] = projection.follow()
        if self.service.deadlines is not None:
            name = self.service.name
            keep = DeadlineProjection(self.service.deadlines)
            jobs[DEADLINES] = Consumer(DEADLINES, name, self.bus, self.pool, keep, self.bell.ring).run()
            sweeper = Sweeper(name, self.service.deadlines, self.pool, self.executor, self.clock)
            jobs["sweeper"] = sweeper.run(self.bell)
        return jobs

    async def keep(self, name: str, job: Coroutine[Any, Any, None]) -> None:
        """Run one job; when it must stop, say so where readiness and metrics see it, and let the others go on."""
        try:
            await job
        except Exception as error:
            self.stopped[name] = f"{type(error).__name__}: {error}"
            log.error("stopped", service=self.service.name, job=name, reason=self.stopped[name])


@asynccontextmanager
async def running_city(
    services: Sequence[Service],
    database_url: str,
    settings: Settings,
    secrets: Secrets,
    clock: Clock | None = None,
    ids: Ids | None = None,
    jobs: bool = True,
    through: Callable[[Bus], Bus] = lambda bus: bus,
) -> AsyncIterator[dict[str, Running]]:
    """These services in this process, started in order and stopped in reverse. With jobs=False nothing consumes.

    `through` may put another bus before the logs themselves.
    """
    clock = clock or SystemClock(settings.time_scale)
    async with AsyncExitStack() as stack:
        bells: dict[str, Bell] = {service.name: Bell() for service in services}
        pools = {s.name: await stack.enter_async_context(_pool(database_url, s.name, settings)) for s in services}
        logs: dict[str, PostgresLog] = {
            s.name: PostgresLog(pools[s.name], settings.partitions, bells[s.name].ring) for s in services
        }
        for one in logs.values():
            await stack.enter_async_context(one.running())
        if isinstance(clock, SystemClock):
            clock.agree_with(await next(iter(pools.values())).fetchval("SELECT clock_timestamp()"))
        bus = through(PgLogBus(logs, bells))
        city: dict[str, Running] = {}
        for service in services:
            name, pool = service.name, pools[service.name]
            reads = _reading_engine(database_url, name, settings)
            stack.push_async_callback(reads.dispose)
            executor = Executor(f"/services/{name}", logs[name], await _keyring(pool, secrets), ids or SystemIds())
            projections = [Projection(view, pool, bus) for view in service.views]
            city[name] = Running(
                service, settings, secrets, clock, executor, logs[name], pool, reads, bells[name], bus, projections
            )
        await _start(city, stack, jobs)
        yield city


async def _start(city: Mapping[str, Running], stack: AsyncExitStack, jobs: bool) -> None:
    for running in city.values():
        for projection in running.projections:
            await projection.ensure()
    if not jobs:
        return
    work = [(running, name, job) for running in city.values() for name, job in running.jobs().items()]
    tasks = [asyncio.create_task(running.keep(name, job), name=name) for running, name, job in work]
    stack.push_async_callback(_stop, tasks)
    for running in city.values():
        if running.service.founding:
            await running.service.founding(running)
            await running.views_settled()


def sqlalchemy_url(database_url: str) -> str:
    """The same database for SQLAlchemy."""
    return "postgresql+asyncpg://" + database_url.split("://", 1)[1]


def _session(schema: str) -> dict[str, str]:
    return {"search_path": f'"{schema}"', "role": role_of(schema), "application_name": f"jiesu-{schema}"}


def _pool(database_url: str, schema: str, settings: Settings) -> asyncpg.Pool:
    return asyncpg.create_pool(
        database_url,
        min_size=1,
        max_size=settings.pool_size,
        command_timeout=60,
        reset=_nothing_to_reset,
        server_settings=_session(schema),
    )


def _reading_engine(database_url: str, schema: str, settings: Settings) -> AsyncEngine:
    """For the views' queries: every statement by itself, never part of a write."""
    return create_async_engine(
        sqlalchemy_url(database_url),
        isolation_level="AUTOCOMMIT",
        pool_size=settings.pool_size,
        connect_args={"server_settings": _session(schema)},
    )


async def _nothing_to_reset(_: object) -> None:
    """Our sessions never change their state, so giving a connection back costs no round trip."""


async def _keyring(pool: asyncpg.Pool, secrets: Secrets) -> Keyring:
    vault = PostgresVault(pool)
    keyring = Keyring(vault, secrets.master)
    if (sample := await vault.any_key()) is not None:
        check_master_key(keyring, *sample)
    await keyring.pin(ANSWERS_KEY)
    return keyring


async def _stop(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
