"""Saying goodbye to a client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

STOP_SECONDS = 5.0


async def end(stop: Callable[[], Awaitable[None]], *expected: type[Exception]) -> None:
    """Let a client stop; one that cannot (its topic may be gone) is left.

    In a task of its own, because clients that stop swallow a cancellation that is meant for us.
    """
    ending = asyncio.create_task(_in_time(stop, expected))
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await ending
        raise


async def _in_time(stop: Callable[[], Awaitable[None]], expected: tuple[type[Exception], ...]) -> None:
    with suppress(TimeoutError, *expected):
        async with asyncio.timeout(STOP_SECONDS):
            await stop()
