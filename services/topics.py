"""The topics of a city: declared in deploy/topics.yml, created by `jiesu topics`, checked when a service starts."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from services.city import SERVICES
from services.serving import CannotStart
from shared.engine.buses import kafka_options
from shared.engine.settings import Settings
from shared.messaging.brokers import Topic
from shared.messaging.bus import BusUnavailable
from shared.messaging.kafka import create_topics, partition_counts

DECLARED = Path(__file__).parents[1] / "deploy" / "topics.yml"


def declared() -> dict[str, dict[str, str]]:
    """Topic name -> its settings, as they are declared."""
    document: Any = yaml.safe_load(DECLARED.read_text(encoding="utf-8"))
    common = document["settings"]
    return {
        name: {key: str(value) for key, value in (common | more).items()} for name, more in document["topics"].items()
    }


async def make_topics(settings: Settings) -> list[str]:
    """Create what is missing; answers with the names. Raises CannotStart when brokers refuse or cannot be reached."""
    options = kafka_options(settings)
    wanted = [
        Topic(settings.kafka_prefix + name, settings.partitions, settings.kafka_replicas, configured)
        for name, configured in declared().items()
    ]
    try:
        made = await create_topics(options, wanted)
    except BusUnavailable as error:
        raise CannotStart(f"JIESU_KAFKA_BOOTSTRAP: {error}") from None
    await check_topics(settings, [service.name for service in SERVICES])
    return made


async def check_topics(settings: Settings, sources: Collection[str]) -> None:
    """Raises CannotStart unless these topics have as many partitions as the logs; BusUnavailable when out of reach."""
    options = kafka_options(settings)
    names = [options.topic(source) for source in sorted(sources)]
    found = await partition_counts(options, names)
    for name in names:
        if name not in found:
            raise CannotStart(f"Kafka has no topic {name}; run `jiesu topics`")
        if found[name] != settings.partitions:
            raise CannotStart(
                f"topic {name} has {found[name]} partitions, the log has {settings.partitions}: order per appeal needs"
                " the same number; make the topic anew with `jiesu topics`, it is filled from the log"
            )
