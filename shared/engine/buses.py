"""Which way events travel: a log that this process holds is read directly, the others over Kafka where there is one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import get_args

import asyncpg
import structlog

from shared.contracts.envelope import ServiceName
from shared.engine.databases import writing_pool
from shared.engine.settings import Settings
from shared.engine.telemetry import FOREIGN, RELAY_AGE, RELAY_LAG
from shared.eventlog.postgres import PostgresLog
from shared.messaging.brokers import KafkaOptions
from shared.messaging.bus import BATCH_LIMIT, Bell, Bus, Reached, Subscription
from shared.messaging.kafka import KafkaBus, publishing
from shared.messaging.pglog import PgLogBus
from shared.messaging.relay import Lag, Relay

NEIGHBOUR_POLL_SECONDS = 0.05
log = structlog.get_logger()


class TwoWays:
    """Some sources near, the others far."""

    def __init__(self, near: Bus, sources: Collection[str], far: Bus) -> None:
        self._near, self._sources, self._far = near, frozenset(sources), far
        self.settle_seconds = max(near.settle_seconds, far.settle_seconds)

    async def subscribe(
        self, consumer: str, source: str, reached: Reached, batch_limit: int = BATCH_LIMIT, alone: bool = False
    ) -> Subscription:
        return await self._way(source).subscribe(consumer, source, reached, batch_limit, alone)

    async def heads(self, source: str) -> list[int]:
        return await self._way(source).heads(source)

    def _way(self, source: str) -> Bus:
        return self._near if source in self._sources else self._far


@asynccontextmanager
async def buses(
    settings: Settings, database_url: str, held: Mapping[str, PostgresLog], bells: Mapping[str, Bell], direct: bool
) -> AsyncIterator[Callable[[str], Bus]]:
    """Gives the bus of each service in this process. Without `direct` even held logs are read over Kafka.

    A process that only reacts is one of several: Kafka's groups then share the partitions out between them.
    """
    async with AsyncExitStack() as stack:
        near = PgLogBus(held, bells)
        if settings.kafka_bootstrap is None:
            far = await _neighbours(settings, database_url, held, stack)
            yield lambda _: TwoWays(near, held, far)
            return
        sources = held if direct else ()
        made: dict[str, KafkaBus] = {}

        def bus_of(service: str) -> Bus:
            if service not in made:
                made[service] = KafkaBus(kafka_options(settings), service, _note_foreign)
                stack.push_async_callback(made[service].close)
            return TwoWays(near, sources, made[service])

        yield bus_of


async def _neighbours(settings: Settings, database_url: str, held: Collection[str], stack: AsyncExitStack) -> PgLogBus:
    """The logs of services that run elsewhere, on the same database server."""
    logs: dict[str, PostgresLog] = {}
    for name in set(get_args(ServiceName)) - set(held):
        pool = await stack.enter_async_context(writing_pool(database_url, name, 4))
        logs[name] = PostgresLog(pool, settings.partitions, lambda: None)
    return PgLogBus(logs, {name: Bell() for name in logs}, NEIGHBOUR_POLL_SECONDS)


def relay(service: str, events: PostgresLog, pool: asyncpg.Pool, bell: Bell, settings: Settings) -> Relay:
    """The relay of one service's log."""

    def note_lag(lag: Lag) -> None:
        RELAY_LAG.labels(service).set(lag.events)
        RELAY_AGE.labels(service).set(lag.seconds)

    def note_trouble(reason: str) -> None:
        log.warning("relay begins again", service=service, reason=reason)

    options = kafka_options(settings)
    return Relay(service, events, pool, bell, lambda: publishing(options, service), note_lag, note_trouble)


def kafka_options(settings: Settings) -> KafkaOptions:
    """How the settings say that the brokers are reached."""
    password = settings.kafka_password_file
    return KafkaOptions(
        bootstrap=settings.kafka_bootstrap or "",
        security=settings.kafka_security,
        mechanism=settings.kafka_mechanism,
        username=settings.kafka_username,
        password=password.read_text().strip() if password else None,
        ca_file=_path(settings.kafka_ca_file),
        cert_file=_path(settings.kafka_cert_file),
        key_file=_path(settings.kafka_key_file),
        prefix=settings.kafka_prefix,
        instance=settings.instance,
    )


def _path(file: object) -> str | None:
    return None if file is None else str(file)


def _note_foreign(source: str, reason: str) -> None:
    FOREIGN.labels(source, reason).inc()
    log.warning("foreign record", source=source, reason=reason)
