"""The composition root: what a service is, and how it is put together and kept running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, partial
from typing import Any

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts.envelope import Envelope, ServiceName
from shared.engine.buses import buses, relay
from shared.engine.clock import Clock, SystemClock
from shared.engine.consume import RETRY_PAUSE_SECONDS, TRANSIENT, Consumer, Handler, position_reached, rest, told
from shared.engine.databases import reading_engine, same_partitions, writing_pool
from shared.engine.deadlines import DeadlineProjection, Deadlines, Sweeper
from shared.engine.execute import Executor
from shared.engine.forgetting import forgetting
from shared.engine.gauges import watch
from shared.engine.ids import Ids, SystemIds
from shared.engine.notarising import notarise, signer_of
from shared.engine.objects import Objects, objects_of
from shared.engine.projections import Projection, View, active_consumers, retire
from shared.engine.reacting import Reacting, Reactions
from shared.engine.scanning import ClamAV, Scanner
from shared.engine.secrets import Secrets
from shared.engine.settings import Settings
from shared.engine.tasks import end_all
from shared.engine.webhooks import WEBHOOKS_KEY
from shared.eventlog.kms import FileMasterKeys
from shared.eventlog.log import Recorded, partition_of
from shared.eventlog.notes import Signer
from shared.eventlog.postgres import Connection, PostgresLog
from shared.eventlog.sealing import Keyring
from shared.eventlog.vault import PostgresVault
from shared.messaging.bus import Bell, Bus, BusUnavailable
from shared.messaging.pglog import PgLogBus

REACT, DEADLINES = "react", "deadlines"


class Role(StrEnum):
    """What a process does for its services. All of them, unless an operator splits them."""

    API = "api"
    RELAY = "relay"
    REACT = "react"
    CLOCK = "clock"


Effect = Callable[["Running", Connection, list[Envelope]], Awaitable[None]]
Work = Callable[["Running"], Coroutine[Any, Any, None]]
EVERY_ROLE = frozenset(Role)
ANSWERS_KEY = "system:answers"
"""The key that stored idempotent answers are sealed with."""
READ_POLL_SECONDS = 0.01
log = structlog.get_logger()


@dataclass(frozen=True)
class Service:
    """What a service is made of.

    `decides_on` names the views that its commands look at. `founding` writes what must exist before it can work.
    `effects` are what its own events bring about outside the log, each in the transaction that notes it as done.
    `work` is what goes on in the background for ever; any number of processes may do it.
    """

    name: ServiceName
    reactions: Reactions
    views: Sequence[View]
    deadlines: Deadlines | None = None
    decides_on: tuple[str, ...] = ()
    founding: Callable[[Running], Awaitable[None]] | None = None
    effects: Mapping[str, Effect] = field(default_factory=dict)
    work: Mapping[str, Work] = field(default_factory=dict)

    @property
    def sources(self) -> frozenset[str]:
        """Whose events it reads."""
        return frozenset({*self.reactions.sources, *(source for view in self.views for source in view.sources)})


@dataclass(eq=False)
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
    near: Bus
    projections: Sequence[Projection]
    objects: Objects
    scanner: Scanner | None
    stopped: dict[str, str] = field(default_factory=dict)
    draining: bool = False

    @property
    def keyring(self) -> Keyring:
        return self.executor.keyring

    @cached_property
    def signer(self) -> Signer:
        """Whose signature stands under our log."""
        return signer_of(self.settings, self.service.name, self.secrets.signing)

    @property
    def ids(self) -> Ids:
        return self.executor.ids

    @property
    def _neighbours(self) -> frozenset[str]:
        """Whom we react to, beside ourselves: what follows from our own events is nothing that these have said."""
        return frozenset(self.service.reactions.sources) - {self.service.name}

    async def views_reached(self, source: str, partition: int, position: int) -> bool:
        """Whether our views show what follows from a source up to a position; waits a little.

        Where we react to the source, what follows stands in our own log first: views must have taken that as well.
        """
        if source in self._neighbours:
            if not await self._reached([REACT], source, partition, position):
                return False
            own = self.service.name
            if not await self._views_took(own, partition, (await self.log.heads())[partition]):
                return False
        return await self._views_took(source, partition, position)

    async def _views_took(self, source: str, partition: int, position: int) -> bool:
        shown = [p for p in self.projections if source in p.view.sources]
        return await self._reached(await active_consumers(self.pool, shown), source, partition, position)

    async def own_views_settled(self, subject: str) -> bool:
        """Whether our views have taken what our own log holds about a subject; waits a little."""
        partition = partition_of(subject, self.log.partitions)
        return await self.views_reached(self.service.name, partition, (await self.log.heads())[partition])

    async def views_settled(self) -> None:
        """Wait until our views have taken all that our own log holds now, however long that is."""
        source = self.service.name
        for partition, position in enumerate(await self.log.heads()):
            while not await self.views_reached(source, partition, position):
                log.info("waiting for views", service=source, partition=partition)

    async def views_caught_up(self) -> bool:
        """Whether our views have taken all that our own log holds now; waits a little, not for ever."""
        heads = await self.log.heads()
        reached = [await self.views_reached(self.service.name, *at) for at in enumerate(heads)]
        return all(reached)

    async def heard_everything(self) -> bool:
        """Whether our views know what everybody, ourselves included, had said when this was asked; waits a little."""
        await asyncio.sleep(self.bus.settle_seconds)
        every = range(self.log.partitions)
        heard = [await self.heard(partition, self.service.decides_on) for partition in every]
        return all(heard) and await self.views_caught_up()

    async def heard_neighbours(self, subject: str) -> bool:
        """Wait until we know what neighbours had said about a subject when this was asked; False when it took too long.

        A refusal is final only then: a command may overtake the event that makes it legal.
        """
        await asyncio.sleep(self.bus.settle_seconds)
        return await self.heard(partition_of(subject, self.log.partitions), self.service.decides_on)

    async def heard(self, partition: int, views: Collection[str]) -> bool:
        """The same for our reactions and these views, about a whole partition."""
        consulted = [p for p in self.projections if p.view.name in views]
        sources = {*self._neighbours, *(source for p in consulted for source in p.view.sources)}
        for source in sorted(sources):
            try:
                async with asyncio.timeout(self.settings.read_wait_seconds):
                    position = (await self.bus.heads(source))[partition]
            except (BusUnavailable, TimeoutError):
                return False
            names = await active_consumers(self.pool, [p for p in consulted if source in p.view.sources])
            names += [REACT] if source in self._neighbours else []
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

    def jobs(self, roles: Collection[Role]) -> Mapping[str, Coroutine[Any, Any, None]]:
        """Everything that these roles do beside answering requests."""
        jobs: dict[str, Coroutine[Any, Any, None]] = {"forgetting": forgetting(PostgresVault(self.pool), self.keyring)}
        if Role.REACT in roles:
            jobs |= self._consumers()
            jobs |= {name: work(self) for name, work in self.service.work.items()}
            jobs["gauges"] = watch(self.service.name, self.pool, self.bus)
        if Role.CLOCK in roles and self.service.deadlines is not None:
            sweeper = Sweeper(self.service.name, self.service.deadlines, self.pool, self.executor, self.clock)
            jobs["sweeper"] = sweeper.run(self.bell)
        if Role.CLOCK in roles:
            jobs["notary"] = notarise(self.service.name, self.pool, self.settings, self.signer, self.bell)
        if Role.RELAY in roles and self.settings.kafka_bootstrap is not None:
            jobs["relay"] = relay(self.service.name, self.log, self.pool, self.bell, self.settings).run()
        return jobs

    def _consumers(self) -> dict[str, Coroutine[Any, Any, None]]:
        jobs: dict[str, Coroutine[Any, Any, None]] = {}
        for source in self.service.reactions.sources:
            jobs[f"{REACT}:{source}"] = self._consumer(REACT, source, self.reacting(source))
        for projection in self.projections:
            jobs[f"view:{projection.view.name}"] = projection.follow()
        for name, effect in self.service.effects.items():
            jobs[f"effect:{name}"] = self._consumer(name, self.service.name, self._effecting(effect))
        if self.service.deadlines is not None:
            jobs[DEADLINES] = self._consumer(DEADLINES, self.service.name, DeadlineProjection(self.service.deadlines))
        return jobs

    def _effecting(self, effect: Effect) -> Handler:
        async def handle(connection: Connection, events: Sequence[Recorded]) -> None:
            await effect(self, connection, [event.envelope for event in events])

        return handle

    def _consumer(self, name: str, source: str, handler: Handler) -> Coroutine[Any, Any, None]:
        return Consumer(name, source, self.bus, self.pool, handler, self.bell.ring).run()

    def reacting(self, source: str) -> Reacting:
        """What carries out our reactions to one source."""
        return Reacting(REACT, source, self.service.reactions, self.executor, self.clock, self.objects)

    async def keep(self, name: str, job: Coroutine[Any, Any, None]) -> None:
        """Run one job; when it must stop, say so where readiness and metrics see it, and let the others go on."""
        try:
            await job
        except Exception as error:
            self.stopped[name] = told(error)
            log.error("stopped", service=self.service.name, job=name, reason=self.stopped[name])


@asynccontextmanager
async def running_city(
    services: Sequence[Service],
    database_url: str,
    settings: Settings,
    secrets: Secrets,
    clock: Clock | None = None,
    ids: Ids | None = None,
    roles: Collection[Role] = EVERY_ROLE,
    through: Callable[[Bus], Bus] = lambda bus: bus,
) -> AsyncIterator[dict[str, Running]]:
    """These services in this process, started in order and stopped in reverse. `through` may put another bus before.

    Raises KeyFileMissing, WrongMasterKey, PartitionsFixed, and what a database or bus that cannot be reached raises.
    """
    clock = clock or SystemClock(settings.time_scale)
    async with AsyncExitStack() as stack:
        bells: dict[str, Bell] = {service.name: Bell() for service in services}
        pools: dict[str, asyncpg.Pool] = {}
        logs: dict[str, PostgresLog] = {}
        for name, bell in bells.items():
            pools[name] = await stack.enter_async_context(writing_pool(database_url, name, settings.pool_size))
            logs[name] = PostgresLog(pools[name], settings.partitions, bell.ring)
            await stack.enter_async_context(logs[name].running())
        if isinstance(clock, SystemClock):
            pool = next(iter(pools.values()))
            await clock.agree_with(lambda: pool.fetchval("SELECT clock_timestamp()"))
        bus_of = await stack.enter_async_context(buses(settings, database_url, logs, bells, Role.API in roles))
        objects = await stack.enter_async_context(objects_of(settings))
        scanner = ClamAV(settings.clamav) if settings.clamav else None
        city: dict[str, Running] = {}
        for service in services:
            name, pool = service.name, pools[service.name]
            bus = through(bus_of(name))
            reads = reading_engine(database_url, name, settings.pool_size)
            stack.push_async_callback(reads.dispose)
            keyring = await _keyring(pool, secrets)
            executor = Executor(f"/services/{name}", logs[name], keyring, ids or SystemIds())
            near = PgLogBus({name: logs[name]}, {name: bells[name]})
            projections = [Projection(view.prepared(keyring, secrets.index), pool, bus) for view in service.views]
            city[name] = Running(
                service, settings, secrets, clock, executor, logs[name], pool,
                reads, bells[name], bus, near, projections, objects, scanner,
            )  # fmt: skip
        await _start(city, stack, roles)
        yield city


async def _start(city: Mapping[str, Running], stack: AsyncExitStack, roles: Collection[Role]) -> None:
    for running in city.values():
        await _once_there(partial(same_partitions, running.service.name, running.log))
        await _once_there(partial(retire, running.pool, [one.view.name for one in running.projections]))
        for projection in running.projections:
            await _once_there(projection.ensure)
    work = [(running, name, job) for running in city.values() for name, job in running.jobs(roles).items()]
    tasks = [asyncio.create_task(running.keep(name, job), name=name) for running, name, job in work]
    stack.push_async_callback(end_all, tasks)
    if Role.REACT in roles:
        for running in city.values():
            if running.service.founding:
                await _found(running, running.service.founding)


async def _once_there(step: Callable[[], Awaitable[object]]) -> None:
    """Services start in any order: what is not there yet is waited for."""
    pause = RETRY_PAUSE_SECONDS
    while True:
        try:
            await step()
        except TRANSIENT as error:
            log.warning("waiting", reason=str(error) or type(error).__name__)
            pause = await rest(pause)
        else:
            return


async def _found(running: Running, founding: Callable[[Running], Awaitable[None]]) -> None:
    """One process at a time; the others find that it is done."""
    async with running.pool.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock(hashtext('founding'))")
        try:
            await founding(running)
        finally:
            await connection.execute("SELECT pg_advisory_unlock(hashtext('founding'))")
    await running.views_settled()


async def _keyring(pool: asyncpg.Pool, secrets: Secrets) -> Keyring:
    vault, master = PostgresVault(pool), FileMasterKeys(secrets.master, secrets.folder)
    keyring = Keyring(vault, master)
    if (sample := await vault.any_key()) is not None:
        await master.unwrap(dict([sample]))
    for ref in (ANSWERS_KEY, WEBHOOKS_KEY):
        await keyring.pin(ref)
    return keyring
