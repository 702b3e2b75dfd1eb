"""What cannot be handled waits aside in order, later events of the same appeal wait behind it, others go on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from shared.contracts import upcasters
from shared.contracts.catalogue import EventType
from shared.contracts.intake import AppealWithdrawn
from shared.engine.reacting import Reacting, StillParked
from shared.engine.runtime import REACT, Running
from shared.eventlog.canonical import canonical, leaf_hash
from shared.eventlog.log import Append, Entry
from tests.support.city import City
from tests.support.events import envelope
from tests.support.views import settled

NewCity = Callable[..., AbstractAsyncContextManager[City]]
WITHDRAWN_V2 = "cn.gov.appeals.intake.appeal-withdrawn.v2"
CLOSED = "cn.gov.appeals.intake.appeal-closed.v1"


async def put(running: Running, subject: str, version: int, type_: str, data: dict[str, Any]) -> None:
    """An event straight into a log, as a neighbour of another version would have written it."""
    one = envelope(f"appeal-{subject}", version, subject, type_=type_)._replace(data=data)
    body = canonical(one.as_json())
    entry = Entry(one.id, one.type, body, leaf_hash(body))
    await running.log.append(Append(one.stream, subject, version - 1, [entry]))


async def parked(running: Running) -> list[tuple[str, str]]:
    rows = await running.pool.fetch("SELECT subject, reason FROM parked ORDER BY partition, sequence")
    return [(row["subject"], row["reason"]) for row in rows]


def reacting(running: Running) -> Reacting:
    return Reacting(REACT, "intake", running.service.reactions, running.executor, running.clock, running.objects)


async def test_an_unreadable_event_holds_back_its_own_appeal_only(
    new_city: NewCity, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with new_city() as city:
        routing = city.running["routing"]
        case, other = await city.dispatched(), await city.dispatched()
        appeal_id = case["appeal_id"]
        await put(city.running["intake"], appeal_id, 2, WITHDRAWN_V2, {"why": "later"})
        await put(city.running["intake"], appeal_id, 3, CLOSED, {"round": 1})
        assert (await city.post(f"/intake/v1/appeals/{other['appeal_id']}/withdraw")).status == 200
        await city.until_state(other["appeal_id"], "WITHDRAWN")
        await settled(city)
        reasons = [reason for subject, reason in await parked(routing) if subject == appeal_id]
        assert reasons == ["unreadable: UnknownVersion", "behind an earlier parked event"]
        order = (await city.get(f"/routing/v1/orders/{appeal_id}")).body
        assert order["state"] == "DISPATCHED"

        async with routing.pool.acquire() as connection:
            with pytest.raises(StillParked):
                async with connection.transaction():
                    await reacting(routing).replay(connection, appeal_id)
            assert len(await parked(routing)) == 2
            monkeypatch.setitem(upcasters.CATALOGUE, WITHDRAWN_V2, EventType(AppealWithdrawn, ()))
            async with connection.transaction():
                assert await reacting(routing).replay(connection, appeal_id) == 2
        assert await parked(routing) == []
        await settled(city)
        order = (await city.get(f"/routing/v1/orders/{appeal_id}")).body
        assert order["state"] == "CLOSED"


async def test_an_event_of_an_unknown_type_is_skipped(new_city: NewCity) -> None:
    async with new_city() as city:
        await put(city.running["intake"], "s-1", 1, "cn.gov.appeals.intake.appeal-sung.v1", {})
        await settled(city)
        assert await parked(city.running["routing"]) == []


async def test_three_appeals_in_a_row_that_cannot_be_handled_stop_the_consumer(new_city: NewCity) -> None:
    async with new_city() as city:
        for number in range(9):
            await put(city.running["intake"], f"s-{number}", 1, WITHDRAWN_V2, {})
        routing = city.running["routing"]

        async def stopped() -> dict[str, str]:
            return dict(routing.stopped)

        reasons = await city.until(stopped, bool)
        assert "TooManyParked" in reasons["react:intake"]
        ready = await city.get("/routing/health/ready", None)
        assert ready.status == 503 and "react:intake" in ready.body["reasons"]
        assert (await city.get("/intake/health/ready", None)).status == 200
