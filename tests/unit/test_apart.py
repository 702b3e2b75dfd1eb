"""Clients that cancel themselves, or swallow what is meant for us, do neither unnoticed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from shared.messaging.apart import apart, end
from shared.messaging.bus import BusUnavailable


async def test_a_client_that_cancels_what_we_wait_for_is_unavailable_and_we_go_on() -> None:
    async def cancels_itself() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    with pytest.raises(BusUnavailable):
        await apart(cancels_itself())


async def test_when_we_are_cancelled_the_work_is_too() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def works() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(apart(works()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_client_that_swallows_the_cancellation_while_it_stops_does_not_keep_us() -> None:
    stopping, going_on, stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def swallowing() -> None:
        stopping.set()
        with suppress(asyncio.CancelledError):
            await going_on.wait()
        stopped.set()

    task = asyncio.create_task(end(swallowing))
    await stopping.wait()
    task.cancel()
    going_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped.is_set()


async def test_a_client_may_fail_to_stop_as_expected_but_not_otherwise() -> None:
    async def failing() -> None:
        raise KeyError

    await end(failing, KeyError)
    with pytest.raises(KeyError):
        await end(failing, ValueError)
