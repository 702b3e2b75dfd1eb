"""What cannot be handled waits aside, in order, so that the others can go on.

An event is parked with its reason; later events of the same subject are parked behind it. `Reacting.replay` hands them
to the reactions again, oldest first, all or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.engine.telemetry import PARKED
from shared.eventlog.log import Recorded
from shared.eventlog.postgres import Connection

PARK = """
    INSERT INTO parked (consumer, source, partition, sequence, subject, reason, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7)"""
SUBJECTS = "SELECT DISTINCT subject FROM parked WHERE consumer = $1 AND subject = ANY($2)"
LISTED = """
    SELECT consumer, source, partition, sequence, subject, reason, parked_at FROM parked
    ORDER BY consumer, subject, partition, sequence LIMIT $1"""
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


async def listed(connection: Connection, limit: int = 200) -> list[dict[str, Any]]:
    """What is parked, without bodies."""
    return [dict(row) for row in await connection.fetch(LISTED, limit)]
