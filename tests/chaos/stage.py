"""A city to be broken: real PostgreSQL, real Kafka, four processes under a supervisor, and whoever breaks them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import asyncpg
from aiokafka.admin import AIOKafkaAdminClient

from deploy.kafka.broker import Broker, cluster
from services.addresses import Addresses
from services.city import SERVICES
from services.split import Child, environment, when_ready
from services.topics import make_topics
from services.up import database
from shared.engine.buses import kafka_options
from shared.engine.secrets import read_secrets
from shared.engine.settings import Settings
from tests.support.kafka import jars
from tests.support.ports import free_ports
from tests.support.running import job
from tests.support.waiting import until

PARTITIONS = 8
ANSWERS_WITHIN_SECONDS = 1.0


@dataclass
class Stage:
    """What stands on it."""

    settings: Settings
    url: str
    broker: Broker
    children: Mapping[str, Child]
    ports: Mapping[str, int]
    faults: Counter[str] = field(default_factory=Counter)

    def at(self) -> Addresses:
        return lambda path: f"http://127.0.0.1:{self.ports[path.split('/')[1]]}{path}"

    async def up(self) -> list[str]:
        """The services that answer: they have come further than to listen."""
        return [name for name, port in self.ports.items() if await _answers(port, name)]

    def tell(self, service: str, how: signal.Signals) -> None:
        """A signal to a service's process, if it lives."""
        process = self.children[service].process
        if process is not None and process.returncode is None:
            process.send_signal(how)
            self.faults[f"{how.name} {service}"] += 1

    async def without_broker(self, seconds: float) -> None:
        """Kill the broker and start it again after a while."""
        self.faults["SIGKILL broker"] += 1
        await asyncio.to_thread(self.broker.kill)
        await asyncio.sleep(seconds)
        self.broker.start()
        await asyncio.to_thread(self.broker.wait)

    async def pause_broker(self, seconds: float) -> None:
        self.faults["SIGSTOP broker"] += 1
        os.kill(self.broker.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(self.broker.pid, signal.SIGCONT)

    async def cut_connections(self, service: str) -> None:
        """End every database session of a service."""
        self.faults[f"sessions of {service}"] += 1
        connection = await asyncpg.connect(self.url)
        try:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
            await connection.execute(ended, f"jiesu-{service}")
        finally:
            await connection.close()

    async def make_topic_anew(self, service: str) -> None:
        """Delete a topic with everything in it, and create it empty."""
        self.faults[f"topic of {service} made anew"] += 1
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka_bootstrap)
        await admin.start()
        topic = kafka_options(self.settings).topic(service)
        await admin.delete_topics([topic])
        await until(admin.list_topics, lambda topics: topic not in topics)
        await admin.close()
        await make_topics(self.settings)


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """A city of four processes over a broker and a database of its own, all in `folder`, all gone afterwards."""
    mine = free_ports(2 + len(SERVICES))
    ports = {service.name: port for service, port in zip(SERVICES, mine[2:], strict=True)}
    jars()
    with cluster(folder / "kafka", ports=mine[:2]) as kafka:
        settings = Settings(
            home=folder, partitions=PARTITIONS, log_level="error", kafka_bootstrap=kafka.bootstrap, instance="chaos"
        )
        read_secrets(settings.keys_dir, create=True)
        async with database(settings) as url:
            await make_topics(settings)
            told = {
                "JIESU_HOME": str(folder),
                "JIESU_KAFKA_BOOTSTRAP": kafka.bootstrap,
                "JIESU_PARTITIONS": str(PARTITIONS),
                "JIESU_LOG_LEVEL": settings.log_level,
            }
            children = {
                name: Child(name, port, environment(settings, url, name) | told) for name, port in ports.items()
            }
            stopping = asyncio.Event()
            made = Stage(settings, url, kafka.brokers[0], children, ports)
            async with job(_all(children, stopping)) as running:
                await when_ready(settings, stopping, ports)
                yield made
                stopping.set()
                await running


async def _all(children: Mapping[str, Child], stopping: asyncio.Event) -> None:
    await asyncio.gather(*(child.keep(stopping) for child in children.values()))


async def trouble(made: Stage, chance: random.Random, every_seconds: float) -> None:
    """One fault after another, each kind once before any comes again, until cancelled."""
    names = list(made.ports)
    faults: list[Callable[[], Awaitable[None]]] = [
        lambda: _tell(made, chance, signal.SIGKILL),
        lambda: _tell(made, chance, signal.SIGKILL),
        lambda: _tell(made, chance, signal.SIGTERM),
        lambda: made.cut_connections(chance.choice(names)),
        lambda: made.without_broker(chance.random() * 2),
        lambda: made.pause_broker(chance.random() * 3),
    ]
    while True:
        for fault in chance.sample(faults, len(faults)):
            await asyncio.sleep(every_seconds * (0.5 + chance.random()))
            await fault()


async def _tell(made: Stage, chance: random.Random, how: signal.Signals) -> None:
    """To one that is up: on a slow machine nobody who is killed while starting would ever come back."""
    made.tell(chance.choice(await until(made.up)), how)


async def _answers(port: int, name: str) -> bool:
    patience = aiohttp.ClientTimeout(total=ANSWERS_WITHIN_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=patience) as http,
            http.get(f"http://127.0.0.1:{port}/{name}/health/live") as reply,
        ):
            return reply.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def without_kafka(settings: Settings) -> Settings:
    """For looking at the logs themselves afterwards."""
    return settings.model_copy(update={"kafka_bootstrap": None})
