"""Whoever is cancelled while a client stops is cancelled, whatever the client does with it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from shared.messaging.ending import end


async def test_a_client_that_swallows_the_cancellation_does_not_keep_us() -> None:
    stopping, stopped = asyncio.Event(), asyncio.Event()

    async def swallowing() -> None:
        stopping.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.01)
        stopped.set()

    task = asyncio.create_task(end(swallowing))
    await stopping.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped.is_set()


async def test_a_client_may_fail_as_expected_but_not_otherwise() -> None:
    async def failing() -> None:
        raise KeyError

    await end(failing, KeyError)
    with pytest.raises(KeyError):
        await end(failing, ValueError)
