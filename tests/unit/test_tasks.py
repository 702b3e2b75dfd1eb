"""What runs for ever ends all the same when it is told to."""

from __future__ import annotations

import asyncio

from shared.engine.tasks import end_all


async def test_a_job_whose_cleaning_up_fails_and_which_goes_on_after_errors_ends() -> None:
    begun = asyncio.Event()
    cleanings = 0

    async def holding_what_is_gone() -> None:
        nonlocal cleanings
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            cleanings += 1
            if cleanings == 1:
                raise ConnectionError

    async def for_ever() -> None:
        while True:
            try:
                await holding_what_is_gone()
            except ConnectionError:
                continue

    job = asyncio.create_task(for_ever())
    await begun.wait()
    async with asyncio.timeout(10):
        await end_all([job], again_seconds=0.01)
    assert job.cancelled() and cleanings == 2


async def test_what_has_ended_with_an_error_ends_nothing_else() -> None:
    async def fails() -> None:
        raise ValueError

    task = asyncio.create_task(fails())
    await end_all([task])
    assert task.done()
    await end_all([])
