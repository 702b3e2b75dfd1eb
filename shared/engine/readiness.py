"""Whether a service may be given work: what is wrong, by name. Being behind is no reason; being unsafe is one."""

from __future__ import annotations

import asyncio
from typing import Any

from shared.engine.clock import SystemClock
from shared.engine.runtime import Running

SECONDS = 2.0
CLOCK_OFF_SECONDS = 2.0
SAFE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
LOOK = """
    SELECT clock_timestamp() AS now, (SELECT count(*) FROM log_heads) AS partitions,
           current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
           current_setting('synchronous_commit') AS synchronous_commit"""


async def why_not_ready(running: Running) -> dict[str, str]:
    """Reason by name; empty when the service is ready. Never raises."""
    reasons = dict(running.stopped) | ({"draining": "shutting down"} if running.draining else {})
    try:
        async with asyncio.timeout(SECONDS):  # waiting for a connection included
            seen: Any = await running.pool.fetchrow(LOOK)
    except Exception as error:  # whatever it is, it is a reason
        return reasons | {"database": type(error).__name__}
    unsafe = [name for name, value in SAFE.items() if seen[name] != value]
    if unsafe:
        reasons["unsafe"] = f"PostgreSQL can lose what it acknowledged: {', '.join(unsafe)} must be on"
    if seen["partitions"] != running.log.partitions:
        reasons["partitions"] = f"the log has {seen['partitions']}, JIESU_PARTITIONS is {running.log.partitions}"
    if isinstance(running.clock, SystemClock) and running.clock.scale == 1.0:
        off = abs((running.clock.now() - seen["now"]).total_seconds())
        if off > CLOCK_OFF_SECONDS:
            reasons["clock"] = f"{off:.0f} s away from the database"
    return reasons
