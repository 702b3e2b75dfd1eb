"""What happens after the unit: rework, callbacks, and the clocks that move a case on whatever the unit does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest_asyncio

from services.feedback_service.policy import callback_policy
from tests.e2e.test_state_machine import GAS, _attempt, _called, _handling, _is, _order
from tests.support.city import AFTER_HOLD, WATER, City

TICK = timedelta(milliseconds=1)


@pytest_asyncio.fixture(scope="module")
async def own(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    """A city whose clock nobody else looks at."""
    async with new_city() as made:
        yield made


async def test_an_unsolved_appeal_goes_round_three_times_and_then_closes(city: City) -> None:
    case, due = await city.dispatched(), []
    ask = partial(city.case, case["appeal_id"])
    for number in (1, 2, 3):
        case = await city.until(ask, lambda c, n=number: (c["state"], c["round"]) == ("DISPATCHED", n))
        due.append(case["due_at"])
        city.clock.advance(timedelta(seconds=1))
        await city.handle(case)
        said = {"resolved": number == 2, "satisfaction": "DISSATISFIED"}
        assert (await city.callback(case, **said)).body["state"] == ("REWORK" if number < 3 else "CLOSED")
    closed = await city.until_state(case["appeal_id"], "CLOSED")
    assert due == sorted(set(due)) and closed["round"] == 3 and closed["lead_unit"] == WATER
    file = (await city.get(f"/feedback/v1/cases/{case['appeal_id']}")).body
    assert file["rounds"] == [1, 2, 3] and [one["round"] for one in file["rework"]] == [1, 2]


async def test_a_callback_is_invalid_only_after_two_failed_attempts_at_different_hours(city: City) -> None:
    case = await _called(city)
    invalid = {"valid": False, "contacted": None, "resolved": None, "satisfaction": "NOT_STATED"}
    assert _is(await city.callback(case, **invalid), 409, "MORE_ATTEMPTS_NEEDED")
    for outcome in ("NO_ANSWER", "REACHED", "NO_ANSWER"):
        assert (await _attempt(city, case, outcome)).status == 200
        assert _is(await city.callback(case, **invalid), 409, "MORE_ATTEMPTS_NEEDED")
    city.clock.advance(callback_policy().attempts_apart)
    assert (await _attempt(city, case, "REFUSED")).status == 200
    assert (await city.callback(case, **invalid)).body["state"] == "CLOSED"


async def test_the_hotline_may_call_as_soon_as_both_results_are_in(city: City) -> None:
    case = await _handling(city)
    for _ in range(2):
        assert (await city.feedback(case, "RESULT", "HOTLINE")).status == 200
    assert _is(await city.callback(case), 409, "ILLEGAL_TRANSITION")
    assert (await city.feedback(case, "RESULT", "APPELLANT")).body["state"] == "FEEDBACK_DONE"
    assert (await city.callback(case)).body["state"] == "CLOSED"


async def test_nobody_of_the_unit_that_handled_a_case_calls_back_about_it(city: City) -> None:
    case = await _called(city)
    path, body = (
        f"/feedback/v1/cases/{case['appeal_id']}/callback",
        dict.fromkeys(("valid", "contacted", "resolved"), True),
    )
    refused = [await city.post(path, body, "CALLBACK_OFFICER", unit=WATER), await _attempt(city, case, unit=WATER)]
    assert all(_is(reply, 403, "OWN_CASE") for reply in refused)
    assert (await city.post(path, body, "CALLBACK_OFFICER", unit=GAS)).status == 200


async def _events(city: City, case: dict[str, Any]) -> list[str]:
    """What routing's log, not a view, says about an order."""
    recorded = await city.running["routing"].log.read_stream(f"order-{case['appeal_id']}")
    return [event.type.split(".")[-2] for event in recorded]


async def _swept(city: City, at: datetime) -> None:
    """Let every deadline up to this moment fire; the sentinel's own is swept together with them."""
    sentinel = await city.register()
    await _order(city, sentinel)
    city.clock.set(at)
    await city.until(lambda: _events(city, sentinel), lambda events: "order-dispatched" in events)


async def test_at_the_handling_limit_the_hotline_calls_whatever_the_unit_has_done(own: City) -> None:
    tiers = {"EMERGENCY": timedelta(hours=2), "LIFELINE": timedelta(hours=24)}
    tiers |= {"GENERAL": timedelta(days=7), "COMPLEX": timedelta(days=15)}
    cases = {tier: await own.dispatched(urgency=tier) for tier in tiers}
    for tier in ("LIFELINE", "GENERAL", "COMPLEX"):
        assert (await own.sign(cases[tier])).status == 200
    for tier in ("GENERAL", "COMPLEX"):
        assert (await own.contact(cases[tier])).status == 200
    assert (await own.feedback(cases["COMPLEX"], "RESULT", "HOTLINE")).status == 200
    orders = {tier: await _order(own, case) for tier, case in cases.items()}
    for tier, limit in tiers.items():
        case, due = cases[tier], datetime.fromisoformat(orders[tier]["due_at"])
        assert due - datetime.fromisoformat(orders[tier]["dispatched_at"]) == limit
        await _swept(own, due - TICK)
        assert "handling-limit-expired" not in await _events(own, case), tier
        own.clock.set(due)
        await own.until_state(case["appeal_id"], "CALLBACK_DUE")
        assert (await _events(own, case)).count("handling-limit-expired") == 1
        assert ("sign-overdue" in await _events(own, case)) is (tier == "EMERGENCY")
        assert (await own.sign(case)).status == 409
    assert (await own.callback(cases["COMPLEX"], resolved=False)).body["state"] == "REWORK"


async def test_an_unsigned_order_is_noted_once_and_can_still_be_signed(own: City) -> None:
    case = await own.dispatched()
    signed_by = datetime.fromisoformat((await _order(own, case))["dispatched_at"]) + timedelta(hours=2)
    await _swept(own, signed_by - TICK)
    assert "sign-overdue" not in await _events(own, case)
    own.clock.set(signed_by)
    await own.until(lambda: _events(own, case), lambda events: "sign-overdue" in events)
    await _swept(own, own.clock.now() + AFTER_HOLD)
    assert (await _events(own, case)).count("sign-overdue") == 1
    assert (await own.sign(case)).status == 200


async def test_a_callback_without_answers_is_no_verdict_and_one_with_answers_is_valid(city: City) -> None:
    case = await _called(city)
    path = f"/feedback/v1/cases/{case['appeal_id']}/callback"
    for body in ({"valid": True}, {"valid": True, "resolved": True}, {"valid": False, "resolved": False}):
        assert _is(await city.post(path, body, "CALLBACK_OFFICER"), 422, "VALIDATION_FAILED"), body


async def test_who_cannot_be_reached_in_the_second_round_keeps_the_first_verdict(city: City) -> None:
    case = await _called(city)
    query = "/scoring/v1/scores?period=2026-12&league=PUBLIC_ENTERPRISE"

    async def valid() -> int:
        return next(i["valid_callbacks"] for i in (await city.get(query)).body["items"] if i["unit_id"] == WATER)

    before = await valid()
    assert (await city.callback(case, resolved=False, satisfaction="DISSATISFIED")).body["state"] == "REWORK"
    await city.until(valid, lambda now: now == before + 1)
    await city.until(lambda: city.case(case["appeal_id"]), lambda c: c["round"] == 2 and c["state"] == "DISPATCHED")
    await city.handle(case)
    for _ in range(2):
        city.clock.advance(callback_policy().attempts_apart)
        assert (await _attempt(city, case)).status == 200
    path = f"/feedback/v1/cases/{case['appeal_id']}/callback"
    assert (await city.post(path, {"valid": False}, "CALLBACK_OFFICER")).body["state"] == "CLOSED"
    closed = await city.until(lambda: city.case(case["appeal_id"]), lambda c: (c["assessment"] or {}).get("round") == 2)
    assert closed["assessment"]["valid"] is False
    assert await valid() == before + 1
