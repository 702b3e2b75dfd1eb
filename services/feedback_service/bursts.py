"""突击办结: units that complete many rounds in the last days of a period, seen over all their cases.

Looked at once for every period that ends, from the counts of a view; what is found is one lead a unit and period.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Never

import structlog
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.feedback_service.detecting import DETECTOR
from services.feedback_service.lead import LEADS, RaiseLead
from services.feedback_service.policy import DetectorPolicy, detector_policy
from services.feedback_service.views import ANSWERED
from shared.contracts.codes import LeadKind
from shared.contracts.envelope import BEIJING
from shared.contracts.notices import SupervisionLeadRaised
from shared.engine.consume import TRANSIENT
from shared.engine.execute import Intention
from shared.engine.runtime import Running

LOOK_SECONDS = 5.0
log = structlog.get_logger()


def last_end(now: datetime, policy: DetectorPolicy) -> date:
    """The day with which the last period ended: it belongs to the next one."""
    today = now.astimezone(BEIJING).date()
    if today.day >= policy.period_day:
        return today.replace(day=policy.period_day)
    return (today.replace(day=1) - timedelta(days=1)).replace(day=policy.period_day)


def bursts(counts: Mapping[date, int], end: date, policy: DetectorPolicy) -> SupervisionFigures | None:
    """The figures of a unit whose last days stand out; None where they do not."""
    begin = end - timedelta(days=policy.burst_days)
    last = sum(count for day, count in counts.items() if begin <= day < end)
    before = begin - timedelta(days=policy.burst_mean_days)
    mean = Decimal(sum(count for day, count in counts.items() if before <= day < begin)) / policy.burst_mean_days
    if last < policy.burst_least or last <= policy.burst_times * mean * policy.burst_days:
        return None
    return {"period_end": str(end), "completed": str(last), "daily_mean_before": str(round(mean, 2))}


SupervisionFigures = dict[str, str]


async def keep_watching(running: Running) -> Never:
    """Look once after every end of a period, and again after every start."""
    looked_at: date | None = None
    while True:
        try:
            end = last_end(running.clock.now(), detector_policy())
            if end != looked_at:
                await running.views_settled()
                await look(running, end, detector_policy())
                looked_at = end
        except (*TRANSIENT, PoolTimeout, DBAPIError) as error:
            log.warning("watching again", reason=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)


async def look(running: Running, end: date, policy: DetectorPolicy) -> None:
    """Raise what this period's end shows."""
    begin = end - timedelta(days=policy.burst_days + policy.burst_mean_days)
    query = select(ANSWERED).where(ANSWERED.c.day >= str(begin), ANSWERED.c.day < str(end))
    by_unit: dict[str, Counter[date]] = {}
    async with running.reads.connect() as connection:
        for row in (await connection.execute(query)).mappings():
            by_unit.setdefault(row["unit_id"], Counter())[date.fromisoformat(row["day"])] += row["count"]
    for unit, counts in by_unit.items():
        if figures := bursts(counts, end, policy):
            key = f"{LeadKind.CLOSING_BURST}:{unit}:{end}"
            facts = SupervisionLeadRaised(
                key=key, kind=LeadKind.CLOSING_BURST, unit_id=unit, figures=figures, policy=policy.version
            )
            command = RaiseLead(at=running.clock.now(), actor=DETECTOR, facts=facts)
            await running.executor.execute(Intention(LEADS, unit, command))
