"""Something that goes on beside a test, and is ended with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from shared.engine.tasks import end_all


@asynccontextmanager
async def job(work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """Run this beside the block; an error of its own is raised at the end of the block."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        await end_all([task])
        with suppress(asyncio.CancelledError):
            await task
