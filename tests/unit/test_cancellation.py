"""A cancellation that a library swallowed while it closed is still heeded."""

from __future__ import annotations

import asyncio

import pytest

from shared.engine.consume import rest


async def test_a_swallowed_cancellation_ends_the_loop_at_the_next_rest() -> None:
    started = asyncio.Event()

    async def swallows() -> None:
        while True:
            try:
                started.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
            await rest(0)

    task = asyncio.create_task(swallows())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
