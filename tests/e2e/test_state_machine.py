"""The state machine of the domain specification (section 4), over HTTP: every command in every state is either carried
out or refused with a 409 that names both; the guards of merge, dispatch and callback hold; rework ends after three
rounds, and clocks move a case on whatever the unit does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.contracts.codes import CaseState, Route
from tests.support.city import WATER, City, Reply

GAS = "bj-gas"
NOWHERE = "01890000-0000-7000-8000-000000000000"
TICK = timedelta(milliseconds=1)


def _is(reply: Reply, status: int, code: str) -> bool:
    return (reply.status, reply.body.get("code")) == (status, code)


async def _order(city: City, case: dict[str, Any], *states: str) -> dict[str, Any]:
    """The order, once it is in one of these states."""
    path = f"/routing/v1/orders/{case['appeal_id']}"
    states = states or tuple(CaseState)
    return (await city.until(lambda: city.get(path), lambda reply: reply.body.get("state") in states)).body


async def _waiting(city: City, **changes: Any) -> dict[str, Any]:
    """A consultation that waits for somebody to do something."""
    case = await city.register(kind="CONSULT", **changes)
    await _order(city, case)
    return case | await city.until_state(case["appeal_id"], "REGISTERED")


async def _settled(city: City, case: dict[str, Any], state: str) -> dict[str, Any]:
    """The case, once intake and routing agree on this state."""
    await _order(city, case, state)
    return await city.until_state(case["appeal_id"], state)


async def _ended(city: City, command: str, state: str, case: dict[str, Any] | None = None) -> dict[str, Any]:
    case = case or await _waiting(city)
    assert (await COMMANDS[command](city, case)).status == 200
    return await _settled(city, case, state)


async def _signed(city: City) -> dict[str, Any]:
    return await _ended(city, "sign", "SIGNED", await city.dispatched())


async def _handling(city: City) -> dict[str, Any]:
    case = await _signed(city)
    assert (await city.contact(case)).status == 200
    return await city.until_state(case["appeal_id"], "HANDLING")


async def _called(city: City) -> dict[str, Any]:
    case = await city.dispatched()
    await city.handle(case)
    return await _settled(city, case, "CALLBACK_DUE")


async def _closed(city: City) -> dict[str, Any]:
    return await _ended(city, "callback", "CLOSED", await _called(city))


async def _merged(city: City) -> dict[str, Any]:
    return await _ended(city, "merge", "MERGED", await _with_phone(city))


async def _withdrawn(city: City) -> dict[str, Any]:
    return await _ended(city, "withdraw", "WITHDRAWN", await city.dispatched())


async def _merge(city: City, case: dict[str, Any]) -> Reply:
    again = {"appellant": {"name": "王芳", "phone": case["phone"]}} if "phone" in case else {}
    target = await city.register(kind="CONSULT", **again)
    return await _triage(city, case, "merge", {"into": target["appeal_id"], "reason": "同一诉求"})


async def _triage(city: City, case: dict[str, Any], command: str, body: dict[str, Any]) -> Reply:
    return await city.post(f"/intake/v1/appeals/{case['appeal_id']}/{command}", body)


async def _dispatch(city: City, case: dict[str, Any], unit_id: str = WATER, **more: Any) -> Reply:
    return await city.post(f"/routing/v1/orders/{case['appeal_id']}/dispatch", {"unit_id": unit_id} | more)


async def _attempt(city: City, case: dict[str, Any], outcome: str = "NO_ANSWER", **who: Any) -> Reply:
    path = f"/feedback/v1/cases/{case['appeal_id']}/callback/attempts"
    return await city.post(path, {"outcome": outcome}, "CALLBACK_OFFICER", **who)


def _by_water(send: Callable[..., Awaitable[Reply]], *more: str) -> Callable[[City, dict[str, Any]], Awaitable[Reply]]:
    return lambda city, case: send(city, case | {"lead_unit": WATER}, *more)


_phones = iter(range(13_900_000_000, 13_900_010_000))


async def _with_phone(city: City) -> dict[str, Any]:
    """A waiting appeal of somebody whose phone is known, so that it can be merged."""
    phone = str(next(_phones))
    return (await _waiting(city, appellant={"name": "王芳", "phone": phone})) | {"phone": phone}


COMMANDS: dict[str, Callable[[City, dict[str, Any]], Awaitable[Reply]]] = {
    "answer": lambda city, case: _triage(city, case, "answer", {"text": "已答复"}),
    "redirect": lambda city, case: _triage(city, case, "redirect", {"route": "UNLAWFUL", "reason": "违法"}),
    "merge": _merge,
    "withdraw": lambda city, case: _triage(city, case, "withdraw", {}),
    "dispatch": _dispatch,
    "sign": _by_water(City.sign),
    "contact": _by_water(City.contact),
    "feedback": _by_water(City.feedback, "PROGRESS", "HOTLINE"),
    "callback attempt": _attempt,
    "callback": City.callback,
}
STATES: dict[str, Callable[[City], Awaitable[dict[str, Any]]]] = {
    "REGISTERED": _waiting,
    "ANSWERED": lambda city: _ended(city, "answer", "ANSWERED"),
    "REDIRECTED": lambda city: _ended(city, "redirect", "REDIRECTED"),
    "MERGED": _merged,
    "DISPATCHED": City.dispatched,
    "SIGNED": _signed,
    "HANDLING": _handling,
    "CALLBACK_DUE": _called,
    "CLOSED": _closed,
    "WITHDRAWN": _withdrawn,
}
POSSIBLE = {
    "REGISTERED": {"answer", "redirect", "merge", "withdraw", "dispatch"},
    "DISPATCHED": {"sign", "withdraw"},
    "SIGNED": {"contact", "withdraw"},
    "HANDLING": {"contact", "feedback", "withdraw"},
    "CALLBACK_DUE": {"callback attempt", "callback", "withdraw"},
}
UNKNOWN = {"sign", "contact", "feedback", "callback attempt", "callback"}
"""What cannot be found before there is a dispatch: no unit owns the order, and feedback has no file."""
NEVER_DISPATCHED = {"REGISTERED", "ANSWERED", "REDIRECTED", "MERGED"}


@pytest.mark.parametrize("state", STATES)
async def test_a_command_is_carried_out_or_refused_by_name(city: City, state: str) -> None:
    possible = POSSIBLE.get(state, set())
    case = await STATES[state](city)
    assert case["state"] == state
    for name in COMMANDS.keys() - possible:
        reply = await COMMANDS[name](city, case)
        if state in NEVER_DISPATCHED and name in UNKNOWN:
            assert _is(reply, 404, "NOT_FOUND"), (state, name, reply.raw)
            continue
        assert _is(reply, 409, "ILLEGAL_TRANSITION"), (state, name, reply.raw)
        said = re.fullmatch(r"(.+) is not possible in state (\w+)", reply.body["detail"])
        known = {state, "SIGNED"} if name in {"sign", "dispatch"} and state == "HANDLING" else {state}
        assert said and said[1] == name and said[2] in known, (state, name, reply.body["detail"])
    assert (await city.case(case["appeal_id"]))["state"] == state
    fresh = await asyncio.gather(*(_with_phone(city) if name == "merge" else STATES[state](city) for name in possible))
    for name, one in zip(possible, fresh, strict=True):
        reply = await COMMANDS[name](city, one)
        assert reply.status == 200, (state, name, reply.raw)


@pytest.mark.parametrize("route", Route)
async def test_each_special_route_ends_the_appeal(city: City, route: Route) -> None:
    case = await _waiting(city)
    reply = await _triage(city, case, "redirect", {"route": route, "reason": "见附件", "target": "主管部门"})
    assert (reply.status, reply.body["state"]) == (200, "REDIRECTED")
    ended = await _settled(city, case, "REDIRECTED")
    told = [event["data"] for event in ended["timeline"] if "redirected" in event["type"]]
    assert told == [{"route": route, "reason": "见附件", "target": "主管部门"}]


async def test_only_one_persons_appeals_are_merged_and_never_in_a_chain(city: City) -> None:
    person = {"appellant": {"name": "王芳", "phone": str(next(_phones))}, "kind": "CONSULT"}
    one, two, three = [await city.register(**person) for _ in range(3)]
    stranger = await city.register(kind="CONSULT")
    nameless = [await city.register(kind="CONSULT", appellant={"anonymous": True}) for _ in range(2)]

    async def merge(which: dict[str, Any], into: str) -> Reply:
        return await _triage(city, which, "merge", {"into": into, "reason": "同一诉求"})

    assert _is(await merge(one, one["appeal_id"]), 409, "MERGE_INTO_ITSELF")
    assert _is(await merge(one, NOWHERE), 409, "MERGE_TARGET_MISSING")
    assert _is(await merge(one, stranger["appeal_id"]), 409, "DIFFERENT_APPELLANT")
    assert _is(await merge(nameless[0], nameless[1]["appeal_id"]), 409, "DIFFERENT_APPELLANT")
    assert (await merge(one, two["appeal_id"])).body["state"] == "MERGED"
    assert _is(await merge(three, one["appeal_id"]), 409, "MERGE_TARGET_MERGED")
    assert _is(await merge(two, one["appeal_id"]), 409, "MERGE_TARGET_MERGED")
    assert (await _settled(city, one, "MERGED"))["merged_into"] == two["appeal_id"]


@pytest.mark.parametrize("size", [2, 3])
async def test_appeals_merged_in_a_circle_at_once_do_not_all_vanish(city: City, size: int) -> None:
    for _ in range(10):
        person = {"appellant": {"name": "王芳", "phone": str(next(_phones))}, "kind": "CONSULT"}
        ring = [await city.register(**person) for _ in range(size)]
        into = [{"into": one["appeal_id"], "reason": "同一诉求"} for one in [*ring[1:], ring[0]]]
        merges = (_triage(city, one, "merge", body) for one, body in zip(ring, into, strict=True))
        assert 409 in [reply.status for reply in await asyncio.gather(*merges)]


async def test_a_consultation_waits_for_a_dispatcher_while_others_leave_by_themselves(city: City) -> None:
    waiting = [await city.register(kind=kind) for kind in ("CONSULT", "PRAISE", "OTHER")]
    for one in waiting:
        await _order(city, one)
    await city.dispatched()
    for one in waiting[1:]:
        assert _is(await COMMANDS["answer"](city, one), 409, "NOT_A_CONSULTATION")
    for one in waiting:
        assert (await _order(city, one))["state"] == "REGISTERED"
        assert (await _dispatch(city, one)).body["state"] == "DISPATCHED"
        assert (await city.until_state(one["appeal_id"], "DISPATCHED"))["lead_unit"] == WATER


async def test_a_unit_outside_the_proposals_needs_a_reason_and_a_community_never_leads(city: City) -> None:
    case = await _waiting(city)
    assert b"bj-gas" not in (await city.get(f"/routing/v1/orders/{case['appeal_id']}/proposals")).raw
    assert _is(await _dispatch(city, case, GAS), 409, "REASON_NEEDED")
    assert _is(await _dispatch(city, case, "no-such-unit"), 422, "VALIDATION_FAILED")
    community = {"unit_id": "c-1", "name": "某社区", "unit_type": "COMMUNITY", "parent_id": "110105001"}
    kept = await city.send("PUT", "/routing/v1/units", "MUNICIPAL_ADMIN", community)
    await city.get("/routing/v1/units", headers={"If-Position": kept.headers["Appeal-Position"]})
    assert _is(await _dispatch(city, case, "c-1", reason="离得近"), 409, "COMMUNITY_NEVER_LEADS")
    assert (await _dispatch(city, case, GAS, reason="管道是燃气公司的", tier="EMERGENCY")).status == 200
    assert (await city.until_state(case["appeal_id"], "DISPATCHED"))["urgency"] == "EMERGENCY"


async def test_a_citizen_withdraws_with_the_tracking_code(city: City) -> None:
    case = await city.register()
    await city.until_state(case["appeal_id"], "REGISTERED")
    path = f"/intake/v1/track/{case['ticket_no']}"
    for code in ({}, {"X-Tracking-Code": ""}, {"X-Tracking-Code": "A" * 35}):
        assert _is(await city.post(f"{path}/withdraw", {}, None, headers=code), 404, "NOT_FOUND")
    code = {"X-Tracking-Code": case["tracking_code"].lower()}
    reply = await city.post(f"{path}/withdraw", {"reason": "已经好了"}, None, headers=code)
    assert (reply.status, reply.body["state"]) == (200, "WITHDRAWN")
    assert _is(await city.post(f"{path}/withdraw", {}, None, headers=code), 409, "ILLEGAL_TRANSITION")
    await _settled(city, case, "WITHDRAWN")
    assert (await city.get(path, None, headers=code)).body["state"] == "WITHDRAWN"
