"""Events that cannot be what they say, straight in a neighbour's log: put aside by name or skipped, without effect."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from tests.integration.test_parking import parked, put
from tests.support.bad_records import UNKNOWN, UNREADABLE
from tests.support.city import City

NewCity = Callable[..., AbstractAsyncContextManager[City]]


async def test_an_event_that_cannot_be_read_waits_by_name_and_changes_nothing(
    new_city: NewCity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.engine.reacting.PARKED_IN_A_ROW", 1000)  # or the third would stop the consumer
    async with new_city() as city:
        intake, routing = city.running["intake"], city.running["routing"]
        before = sum(await routing.log.heads())
        for number, (type_, data) in enumerate(UNREADABLE.values()):
            await put(intake, f"bad-{number}", 1, type_, data)
        for number, type_ in enumerate(UNKNOWN):
            await put(intake, f"unknown-{number}", 1, type_, {"x": 1})

        async def aside() -> dict[str, str]:
            return dict(await parked(routing))

        reasons = await city.until(aside, lambda found: len(found) >= len(UNREADABLE))
        named = {f"bad-{number}": reasons.get(f"bad-{number}", "") for number in range(len(UNREADABLE))}
        assert set(reasons) == set(named), reasons
        assert all(reason.startswith("unreadable: ") for reason in named.values()), reasons
        assert sum(await routing.log.heads()) == before and not routing.stopped
        made = await city.register()
        await city.until(lambda: city.get(f"/routing/v1/orders/{made['appeal_id']}"), lambda reply: reply.status == 200)
