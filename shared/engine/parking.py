"""What cannot be handled waits aside, in order, so that the others can go on.

An event is parked with its reason; later events of the same subject are parked behind it. `Reacting.replay` hands them
to the reactions again, oldest first, all or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from shared.engine.telemetry import PARKED
from shared.eventlog.log import Recorded
from shared.eventlog.postgres import Connection

PARK = """
    INSERT INTO parked (consumer, source, partition, sequence, subject, reason, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7)"""
SUBJECTS = "SELECT DISTINCT subject FROM parked WHERE consumer = $1 AND subject = ANY($2)"
LISTED = """
    SELECT consumer, source, subject, count(*) AS events, min(parked_at) AS since,
           (array_agg(reason ORDER BY partition, sequence))[1] AS reason
    FROM parked GROUP BY consumer, source, subject ORDER BY since, source, subject LIMIT $1"""
BODIES = "SELECT source, sequence, body FROM parked WHERE subject = $1 ORDER BY parked_at, source, partition, sequence"
HOLD_CURSORS = """
    SELECT 1 FROM cursors WHERE consumer = $1 AND source = $2 AND partition IN (
        SELECT partition FROM parked WHERE consumer = $1 AND source = $2 AND subject = $3
    ) ORDER BY partition FOR UPDATE"""
TAKE_PARKED = """
    WITH taken AS (
        DELETE FROM parked WHERE consumer = $1 AND source = $2 AND subject = $3 RETURNING partition, sequence, body
    )
    SELECT partition, sequence, body FROM taken ORDER BY partition, sequence"""
BEHIND = "behind an earlier parked event"


async def park(connection: Connection, consumer: str, source: str, event: Recorded, subject: str, reason: str) -> None:
    """Put one event aside, in the transaction that moves the cursor past it."""
    PARKED.labels(consumer, reason.split(":", maxsplit=1)[0]).inc()
    await connection.execute(PARK, consumer, source, event.partition, event.position, subject, reason, event.body)


async def subjects_waiting(connection: Connection, consumer: str, subjects: Sequence[str]) -> set[str]:
    """Which of these subjects have something parked at this consumer."""
    return {row["subject"] for row in await connection.fetch(SUBJECTS, consumer, list(subjects))}


@dataclass(frozen=True, slots=True)
class Parked:
    """What one subject has parked from one source; the reason is that of the first event."""

    consumer: str
    source: str
    subject: str
    events: int
    since: datetime
    reason: str


async def listed(pool: asyncpg.Pool, limit: int = 1000) -> list[Parked]:
    """What is parked, longest first, without bodies."""
    return [Parked(**row) for row in await pool.fetch(LISTED, limit)]


async def parked_body(pool: asyncpg.Pool, subject: str) -> list[tuple[str, int, bytes]]:
    """Source, position and bytes of a subject's parked events, in order."""
    return [(row["source"], row["sequence"], row["body"]) for row in await pool.fetch(BODIES, subject)]
