"""Repeats, shuffles and odd batches change nothing: every effect happens once, and views equal a fresh rebuild."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from shared.messaging.bus import Bus
from tests.support.chaos import TiresomeBus
from tests.support.city import AFTER_HOLD, City
from tests.support.views import dump, rebuilt, settled

LIVES = 12
NewCity = Callable[..., AbstractAsyncContextManager[City]]


async def one_life(city: City, number: int) -> str:
    """Every fourth resident is not content and gets a second round; every fifth withdraws."""
    case = {"appeal_id": (await city.register())["appeal_id"], "lead_unit": "bj-water"}
    appeal_id = case["appeal_id"]
    order = f"/routing/v1/orders/{appeal_id}"
    await city.until(lambda: city.get(order), lambda reply: reply.status == 200)
    city.clock.advance(AFTER_HOLD)
    await city.until_state(appeal_id, "DISPATCHED")
    if number % 5 == 4:
        assert (await city.post(f"/intake/v1/appeals/{appeal_id}/withdraw")).status == 200
        return appeal_id
    await city.handle(case)
    if number % 4 == 3:
        assert (await city.callback(case, resolved=False, satisfaction="DISSATISFIED")).body["state"] == "REWORK"
        await city.until(lambda: city.case(appeal_id), lambda c: c["round"] == 2 and c["state"] == "DISPATCHED")
        await city.handle(case)
    assert (await city.callback(case)).body["state"] == "CLOSED"
    return appeal_id


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_tiresome_bus_changes_nothing(new_city: NewCity, seed: int) -> None:
    buses: list[TiresomeBus] = []

    def through(bus: Bus) -> Bus:
        buses.append(TiresomeBus(bus, seed))
        return buses[0]

    async with new_city(through=through) as city:
        appeals = await asyncio.gather(*(one_life(city, number) for number in range(LIVES)))
        await settled(city)
        stories = [await city.case(appeal_id) for appeal_id in appeals]
        assert Counter(story["state"] for story in stories) == {"WITHDRAWN": 2, "CLOSED": 10}
        for story in stories:
            _each_effect_once(story)
        for running in city.running.values():
            for projection in running.projections:
                before = await dump(running, projection.view)
                assert before == await rebuilt(running, projection), projection.view.name
        assert buses[0].repeats > LIVES


def _each_effect_once(story: dict[str, Any]) -> None:
    """Versions of every service run 1, 2, 3, and what may happen once in a round happened once."""
    for service in ("intake", "routing", "feedback", "scoring"):
        versions = [event["version"] for event in story["timeline"] if event["service"] == service]
        assert versions == list(range(1, len(versions) + 1)), (service, versions)
    once = (
        "order-dispatched",
        "case-opened",
        "order-signed",
        "case-signed",
        "callback-scheduled",
        "assessment-recorded",
    )
    seen = Counter((e["type"].split(".")[-2], e["data"]["round"]) for e in story["timeline"] if "round" in e["data"])
    assert all(count == 1 for (name, _), count in seen.items() if name in once), seen
