"""A real Kafka for the tests: the one that JIESU_KAFKA_BOOTSTRAP names, or a broker of our own as a Java process."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from deploy.kafka.broker import JARS, Cluster, cluster, resolve_jars, what_is_missing
from services.topics import declared
from shared.messaging.brokers import KafkaOptions, Topic
from shared.messaging.bus import Bell
from shared.messaging.kafka import create_topics, publishing
from shared.messaging.pglog import Readable
from shared.messaging.relay import Relay
from tests.support.database import PARTITIONS
from tests.support.missing import missing
from tests.support.ports import free_ports
from tests.support.running import job

_numbers = itertools.count(1)


def needs_java() -> None:
    """Skips the test by name where no broker can be started."""
    if (reason := what_is_missing()) is not None:
        missing(f"real Kafka: {reason}")


def jars() -> None:
    """Kafka itself, fetched once: tests that run in several processes do not all fetch it."""
    JARS.parent.mkdir(exist_ok=True)
    with (JARS.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        resolve_jars()


@contextmanager
def own_cluster(size: int = 1, **properties: str) -> Iterator[Cluster]:
    """Brokers of the test's own, to be killed and paused; skipped by name where Java or Maven is missing."""
    needs_java()
    jars()
    folder = Path(tempfile.mkdtemp(prefix="jiesu-kafka-", dir="/tmp"))
    try:
        with cluster(folder, size, free_ports(2 * size), **properties) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def any_kafka() -> Iterator[str]:
    """The bootstrap servers of a Kafka that tests share."""
    if bootstrap := os.environ.get("JIESU_KAFKA_BOOTSTRAP"):
        yield bootstrap
        return
    with own_cluster() as made:
        yield made.bootstrap


async def fresh_topics(bootstrap: str, partitions: int = PARTITIONS) -> KafkaOptions:
    """Topics that no other test uses."""
    options = KafkaOptions(bootstrap, prefix=f"t{os.getpid()}-{next(_numbers)}.")
    await make_topics(options, partitions)
    return options


async def make_topics(options: KafkaOptions, partitions: int = PARTITIONS) -> None:
    await create_topics(
        options, [Topic(options.prefix + name, partitions, 1, settings) for name, settings in declared().items()]
    )


@asynccontextmanager
async def relaying(
    options: KafkaOptions, service: str, log: Readable, pool: asyncpg.Pool, bell: Bell
) -> AsyncIterator[Callable[[], int]]:
    """A relay that publishes this log for as long as the block runs; gives its lag in events."""
    behind = 0

    def note(lag: object) -> None:
        nonlocal behind
        behind = lag.events  # type: ignore[attr-defined]

    relay = Relay(service, log, pool, bell, lambda: publishing(options, service), note, print)
    async with job(relay.run()):
        yield lambda: behind
