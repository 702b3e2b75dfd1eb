"""Everything that a city does beside answering requests, as a process of its own that a test may kill.

python -m tests.support.jobs DATABASE_URL TIME SETTINGS_AS_JSON - its clock stands still at TIME, as the test's does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import structlog

from services.city import SERVICES
from shared.engine.clock import ManualClock
from shared.engine.runtime import Role, running_city
from shared.engine.settings import Settings
from tests.support.city import SECRETS

READY = b"at work\n"


async def work(url: str, at: str, settings: dict[str, Any]) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    clock, roles = ManualClock(datetime.fromisoformat(at)), {Role.REACT, Role.CLOCK}
    async with running_city(SERVICES, url, Settings(**settings), SECRETS, clock, roles=roles):
        print(READY.decode(), end="", flush=True)  # noqa: T201 - read by the test that started us
        await asyncio.Event().wait()


@asynccontextmanager
async def jobs(url: str, at: datetime, settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """Such a process, at work; killed at the end of the block."""
    told = settings.model_dump_json(exclude_unset=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.jobs", url, at.isoformat(), told, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout and await process.stdout.readuntil(b"\n") == READY
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
