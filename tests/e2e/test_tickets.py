"""Ticket numbers: one after the other, however many come at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from services.intake_service.registration import TICKET_BLOCK
from tests.support.city import City


async def test_many_at_once_share_one_block_of_numbers(city: City) -> None:
    made = await asyncio.gather(*(city.register() for _ in range(60)))
    numbers = sorted(int(one["ticket_no"].split("-")[1]) for one in made)
    assert len(set(numbers)) == 60 and numbers[-1] - numbers[0] < 1100  # at most one block ends meanwhile


async def test_each_city_gives_the_numbers_of_its_own_database(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city(jobs=False) as one, new_city(jobs=False) as other:
        for city in (one, other, one):
            number = int((await city.register())["ticket_no"].split("-")[1])
            given = await city.running["intake"].pool.fetchval("SELECT pg_sequence_last_value('ticket_numbers')")
            assert given <= number < given + TICKET_BLOCK
