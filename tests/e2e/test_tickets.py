"""Ticket numbers: one after the other, however many come at once."""

from __future__ import annotations

import asyncio

from tests.support.city import City


async def test_many_at_once_share_one_block_of_numbers(city: City) -> None:
    made = await asyncio.gather(*(city.register() for _ in range(60)))
    numbers = sorted(int(one["ticket_no"].split("-")[1]) for one in made)
    assert len(set(numbers)) == 60 and numbers[-1] - numbers[0] < 1100  # at most one block ends meanwhile
