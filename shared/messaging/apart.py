"""Waiting for a client that handles cancellation badly.

aiokafka cancels futures of its own that we may be waiting for (then we would end in silence), and swallows a
cancellation that is meant for us while it stops. So its work is done in a task of its own, and the two are told apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar, cast

from shared.messaging.bus import BusUnavailable

T = TypeVar("T")
Question = TypeVar("Question", bound=Callable[..., Coroutine[Any, Any, Any]])
STOP_SECONDS = 5.0


async def apart(work: Coroutine[Any, Any, T], to_the_end: bool = False) -> T:
    """What the work comes to. When we are cancelled so is the work, unless it is to be done to the end.

    Raises BusUnavailable when the work was cancelled by somebody else than us.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        if not to_the_end:
            task.cancel()
        await asyncio.wait({task})
        with suppress(asyncio.CancelledError):
            task.exception()  # nobody will ask for it any more
        raise
    if task.cancelled():
        raise BusUnavailable("the client gave up")
    return task.result()


def asking(*failures: type[Exception]) -> Callable[[Question], Question]:
    """Decorates what asks a client: it is asked apart, and what the client raises becomes BusUnavailable."""

    def decorated(question: Question) -> Question:
        @wraps(question)
        async def asked(*args: Any, **kwargs: Any) -> Any:
            try:
                return await apart(question(*args, **kwargs))
            except failures as error:
                raise BusUnavailable(f"Kafka: {type(error).__name__}") from error

        return cast(Question, asked)

    return decorated


async def end(stop: Callable[[], Awaitable[None]], *expected: type[Exception]) -> None:
    """Let a client stop; one that cannot (its topic may be gone) is left."""
    with suppress(TimeoutError, BusUnavailable, *expected):
        await apart(_in_time(stop), to_the_end=True)


async def _in_time(stop: Callable[[], Awaitable[None]]) -> None:
    async with asyncio.timeout(STOP_SECONDS):
        await stop()
