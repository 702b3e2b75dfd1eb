"""Due times that were worked out with days nobody knew yet: once the official calendar knows them, they are corrected.

Looked at when a process starts, which is when a new calendar arrives, and once a day.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from services.routing_service.limits import Limits, shipped_limits
from services.routing_service.order import ORDER
from services.routing_service.postponing import CorrectDueTime
from shared.contracts.envelope import Actor
from shared.engine.consume import TRANSIENT
from shared.engine.execute import Intention
from shared.engine.runtime import Running

EVERY_SECONDS = 24 * 3600
TOGETHER = 500
PROVISIONAL = "SELECT appeal_id FROM orders WHERE provisional AND appeal_id > $1 ORDER BY appeal_id LIMIT $2"
log = structlog.get_logger()


async def correct_for_ever(running: Running) -> None:
    """The background work of a routing process."""
    while True:
        try:
            if count := await correct_due_times(running, shipped_limits()):
                log.info("due times corrected", orders=count)
        except TRANSIENT as error:
            log.debug("again", work="correcting", reason=type(error).__name__)
            await asyncio.sleep(1)
        else:
            await asyncio.sleep(EVERY_SECONDS)


async def correct_due_times(running: Running, limits: Limits) -> int:
    """Work every provisional due time out again; answers with how many are final now."""
    count, after = 0, ""
    while appeals := await _provisional(running, after):
        for appeal_id in appeals:
            command = CorrectDueTime(at=running.clock.now(), actor=Actor("ROUTING"), limits=limits)
            decision = await running.executor.execute(Intention(ORDER, appeal_id, command))
            count += decision.appended is not None
        after = appeals[-1]
    return count


async def _provisional(running: Running, after: str) -> Sequence[str]:
    return [row["appeal_id"] for row in await running.pool.fetch(PROVISIONAL, after, TOGETHER)]
