"""Looks, once in a while, at what an operator must be able to see: how far consumers are behind, and what is parked."""

from __future__ import annotations

import asyncio
from typing import Never

import asyncpg
import structlog
from prometheus_client import Gauge

from shared.engine.consume import TRANSIENT
from shared.engine.telemetry import CONSUMER_LAG, PARKED_NOW
from shared.messaging.bus import Bus
from shared.messaging.relay import RELAY

LOOK_SECONDS = 5.0
log = structlog.get_logger()
READ_CURSORS = (
    "SELECT consumer, source, partition, sequence FROM cursors WHERE consumer <> $1 AND consumer NOT LIKE 'webhook:%'"
)
COUNT_PARKED = "SELECT consumer, count(*) AS events FROM parked GROUP BY consumer"


async def watch(service: str, pool: asyncpg.Pool, bus: Bus) -> Never:
    """Keep the gauges of one service true, for ever."""
    while True:
        try:
            await look(service, pool, bus)
        except TRANSIENT as error:
            log.debug("cannot look", service=service, reason=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)


async def look(service: str, pool: asyncpg.Pool, bus: Bus) -> None:
    """Set the gauges to what is the case now; those of consumers that are gone are taken down."""
    behind: dict[tuple[str, str], int] = {}
    rows = await pool.fetch(READ_CURSORS, RELAY)
    heads = {source: await bus.heads(source) for source in {row["source"] for row in rows}}
    for row in rows:
        key = (row["consumer"], row["source"])
        missing = heads[row["source"]][row["partition"]] - row["sequence"]
        behind[key] = behind.get(key, 0) + max(0, missing)
    for (consumer, source), events in behind.items():
        CONSUMER_LAG.labels(service, consumer, source).set(events)
    parked = {row["consumer"]: row["events"] for row in await pool.fetch(COUNT_PARKED)}
    for consumer in {consumer for consumer, _ in behind} | set(parked):
        PARKED_NOW.labels(service, consumer).set(parked.get(consumer, 0))
    _take_down(CONSUMER_LAG, service, {consumer for consumer, _ in behind})
    _take_down(PARKED_NOW, service, {consumer for consumer, _ in behind} | set(parked))


def _take_down(gauge: Gauge, service: str, kept: set[str]) -> None:
    """A view that was rebuilt has another name; its old one must not look as if it stood still."""
    labels = [sample.labels for metric in gauge.collect() for sample in metric.samples]
    for one in labels:
        if one["service"] == service and one["consumer"] not in kept:
            gauge.remove(*one.values())
