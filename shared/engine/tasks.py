"""Ending what runs for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_SECONDS = 5.0
"""As long as cleaning up takes at most."""


async def end_all(tasks: Iterable[asyncio.Task[Any]], again_seconds: float = AGAIN_SECONDS) -> None:
    """Cancel until all have ended.

    An error while a task cleans up takes the place of its cancellation, and one that goes on after errors then goes on.
    """
    going = every = set(tasks)
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=again_seconds)
    await asyncio.gather(*every, return_exceptions=True)
