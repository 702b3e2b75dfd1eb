"""What a 201 gives: ticket numbers, one after the other however many come at once, and our word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from services.intake_service.registration import TICKET_BLOCK
from shared.contracts.envelope import rfc3339
from shared.eventlog.notes import PROMISE
from shared.eventlog.verify import key_of, signers
from tests.support.city import City


async def test_many_at_once_share_one_block_of_numbers(city: City) -> None:
    made = await asyncio.gather(*(city.register() for _ in range(60)))
    numbers = sorted(int(one["ticket_no"].split("-")[1]) for one in made)
    assert len(set(numbers)) == 60 and numbers[-1] - numbers[0] < 1100  # at most one block ends meanwhile


async def test_the_201_gives_our_signed_word_for_what_it_promises(city: City) -> None:
    made = await city.register()
    receipt, signer = made["receipt"], city.running["intake"].signer
    text, good = signers(receipt["promise"], [key_of(signer.verifier_key)])
    origin, kind, event_id, leaf_hash, time = text.splitlines()
    assert good and (origin, kind) == (signer.name, PROMISE)
    assert (event_id, leaf_hash) == (receipt["event_id"], receipt["leaf_hash"])
    assert time == rfc3339(city.clock.now())


async def test_each_city_gives_the_numbers_of_its_own_database(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city(jobs=False) as one, new_city(jobs=False) as other:
        for city in (one, other, one):
            number = int((await city.register())["ticket_no"].split("-")[1])
            given = await city.running["intake"].pool.fetchval("SELECT pg_sequence_last_value('ticket_numbers')")
            assert given <= number < given + TICKET_BLOCK
