"""Waiting for a condition, never for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

PATIENCE_SECONDS = 120
"""How long anything may take before a test gives up on it; nothing is slower for that."""
PAUSE_SECONDS = 0.01
T = TypeVar("T")


def seen(look: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    """Something to look at, as a question for `until`."""

    async def ask() -> T:
        return look()

    return ask


async def until(
    ask: Callable[[], Awaitable[T]], met: Callable[[T], bool] = bool, patience_seconds: float | None = None
) -> T:
    """Ask again until the answer meets the condition; the answer that did. Raises TimeoutError."""
    async with asyncio.timeout(patience_seconds or PATIENCE_SECONDS):
        while not met(answer := await ask()):
            await asyncio.sleep(PAUSE_SECONDS)
    return answer
