"""Who is responsible, how long it may take and who helps, over HTTP: the order, the case and feedback's file agree."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from shared.contracts.envelope import rfc3339
from tests.e2e.test_authorisation import DISTRICT, STREET, _to_the_street
from tests.e2e.test_rework_and_callbacks import TICK, _events, _swept
from tests.e2e.test_state_machine import GAS, _dispatch, _is, _order
from tests.support.city import WATER, City, Reply

HOUSING, FIRE = "bj-housing", "bj-fire"
OBJECTION = {"ground": "DUTY", "reason": "管道归燃气集团", "proposed_unit": GAS}
PATHS = ("/routing/v1/orders/{}", "/intake/v1/appeals/{}", "/feedback/v1/cases/{}")
DAY = timedelta(days=1)


@pytest_asyncio.fixture(scope="module")
async def own(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    """A city whose clock nobody else looks at."""
    async with new_city() as made:
        yield made


async def _ask(
    city: City, case: dict[str, Any], command: str, body: Any = None, role: str = "MUNICIPAL_ADMIN", **who: Any
) -> Reply:
    return await city.post(f"/routing/v1/orders/{case['appeal_id']}/{command}", body or {}, role, **who)


async def _by_unit(city: City, case: dict[str, Any], command: str, body: Any = None, unit: str = WATER) -> Reply:
    return await _ask(city, case, command, body, "ENTERPRISE_HANDLER", unit=unit)


async def _by_street(city: City, case: dict[str, Any], command: str, body: Any = None) -> Reply:
    return await _ask(city, case, command, body, "STREET_HANDLER", unit=STREET)


async def _by_department(
    city: City, case: dict[str, Any], command: str, body: Any = None, unit: str = HOUSING
) -> Reply:
    return await _ask(city, case, command, body, "DEPARTMENT_HANDLER", unit=unit)


async def _seen(city: City, case: dict[str, Any], role: str, unit: str, *paths: str) -> list[int]:
    return [(await city.get(path.format(case["appeal_id"]), role, unit=unit)).status for path in paths or PATHS]


def _now(reply: Reply, state: str) -> bool:
    return (reply.status, reply.body.get("state")) == (200, state)


async def _whistled(city: City) -> dict[str, Any]:
    case = await _to_the_street(city, kind="CONSULT")
    assert _now(await _by_street(city, case, "sign"), "SIGNED")
    body = {"departments": [HOUSING, FIRE], "kind": "EMERGENCY", "reason": "群租隐患"}
    assert _now(await _by_street(city, case, "whistle", body), "SIGNED")
    return case


async def test_an_objection_that_is_upheld_moves_the_order_to_another_unit(city: City) -> None:
    case = await city.dispatched()
    assert _now(await _by_unit(city, case, "object", OBJECTION), "OBJECTED")
    objected = await city.until_state(case["appeal_id"], "OBJECTED")
    assert (objected["lead_unit"], objected["due_at"]) == (WATER, case["due_at"])
    city.clock.advance(timedelta(seconds=1))
    assert _now(await _ask(city, case, "objection/uphold", {"unit_id": GAS, "reason": "属实"}), "DISPATCHED")
    moved = await city.until(lambda: city.case(case["appeal_id"]), lambda c: c["lead_unit"] == GAS)
    assert (moved["state"], moved["round"]) == ("DISPATCHED", 1) and moved["due_at"] > case["due_at"]
    await city.until(lambda: _seen(city, case, "ENTERPRISE_HANDLER", GAS), lambda seen: seen == [200] * 3)
    assert await _seen(city, case, "ENTERPRISE_HANDLER", WATER) == [404] * 3
    assert _is(await city.sign(case), 404, "NOT_FOUND")
    await city.handle(case | {"lead_unit": GAS})
    assert (await city.callback(case)).body["state"] == "CLOSED"


@pytest.mark.parametrize("state", ["DISPATCHED", "SIGNED"])
async def test_an_objection_that_is_rejected_leaves_the_order_where_it_was(city: City, state: str) -> None:
    case = await city.dispatched()
    if state == "SIGNED":
        assert _now(await city.sign(case), state)
    assert _now(await _by_unit(city, case, "object", OBJECTION), "OBJECTED")
    await city.until_state(case["appeal_id"], "OBJECTED")
    assert _is(await city.sign(case), 409, "ILLEGAL_TRANSITION")
    assert _now(await _ask(city, case, "objection/reject", {"reason": "首接负责"}), state)
    back = await city.until_state(case["appeal_id"], state)
    assert (back["lead_unit"], back["due_at"]) == (WATER, case["due_at"])
    assert (await _order(city, case, state))["lead_unit"] == WATER
    assert _is(await _by_unit(city, case, "object", OBJECTION), 409, "OBJECTED_ALREADY")


async def test_an_objection_does_not_stop_the_clock(own: City) -> None:
    case = await own.dispatched(urgency="EMERGENCY")
    assert _now(await _by_unit(own, case, "object", OBJECTION), "OBJECTED")
    own.clock.set(datetime.fromisoformat(case["due_at"]))
    await _order(own, case, "CALLBACK_DUE")
    refused = await _ask(own, case, "objection/uphold", {"unit_id": GAS, "reason": "属实"})
    assert _is(refused, 409, "ILLEGAL_TRANSITION")


async def test_an_extension_moves_the_due_time_of_order_and_case_and_the_limit_waits_for_it(own: City) -> None:
    case = await own.dispatched()
    assert _now(await own.sign(case), "SIGNED")
    old = datetime.fromisoformat(case["due_at"])
    new = rfc3339(old + DAY)
    assert _now(await _by_unit(own, case, "extension", {"until": new, "reason": "等待配件"}), "SIGNED")
    assert (await own.case(case["appeal_id"]))["due_at"] == case["due_at"]
    assert _now(await _ask(own, case, "extension/grant"), "SIGNED")
    await own.until(lambda: own.case(case["appeal_id"]), lambda c: c["due_at"] == new)
    path = f"/routing/v1/orders/{case['appeal_id']}"
    await own.until(lambda: own.get(path), lambda reply: (reply.body["due_at"], reply.body["extended"]) == (new, True))
    for moment in (old, old + DAY - TICK):
        await _swept(own, moment)
        assert "handling-limit-expired" not in await _events(own, case)
    own.clock.set(old + DAY)
    await own.until_state(case["appeal_id"], "CALLBACK_DUE")


async def test_an_extension_that_is_denied_changes_nothing(city: City) -> None:
    case = await city.dispatched()
    assert _now(await city.sign(case), "SIGNED")
    until = rfc3339(datetime.fromisoformat(case["due_at"]) + DAY)
    assert _now(await _by_unit(city, case, "extension", {"until": until, "reason": "等待配件"}), "SIGNED")
    reply = await _ask(city, case, "extension/deny", {"reason": "理由不足"})
    assert _now(reply, "SIGNED")
    denied = reply.headers["Appeal-Position"]
    assert _is(await _ask(city, case, "extension/grant"), 409, "ILLEGAL_TRANSITION")
    assert (await _events(city, case))[-1] == "extension-denied"
    order = (await city.get(f"/routing/v1/orders/{case['appeal_id']}", headers={"If-Position": denied})).body
    assert (order["due_at"], order["extended"]) == (case["due_at"], False)


async def test_what_is_talked_over_leaves_as_agreed_and_not_by_itself(city: City) -> None:
    case = await city.register()
    await _order(city, case, "REGISTERED")
    asked = {"participants": [WATER, GAS], "reason": "职责不清"}
    assert _is(await _by_unit(city, case, "consultation", asked), 403, "FORBIDDEN")
    assert _now(await _ask(city, case, "consultation", asked, "DISPATCHER"), "CONSULTING")
    await city.until_state(case["appeal_id"], "CONSULTING")
    await city.dispatched()  # its hold began later, and is over
    assert _is(await _dispatch(city, case, GAS, reason="x"), 409, "ILLEGAL_TRANSITION")
    agreed = {"decision": "由燃气集团办理", "unit_id": GAS}
    assert _now(await _ask(city, case, "consultation/close", agreed, "DISPATCHER"), "DISPATCHED")
    assert (await city.until_state(case["appeal_id"], "DISPATCHED"))["lead_unit"] == GAS
    assert (await _order(city, case, "DISPATCHED"))["lead_unit"] == GAS
    sent = [name for name in await _events(city, case) if name != "order-proposed"]
    assert sent == ["consultation-opened", "consultation-closed", "order-dispatched"]


async def test_a_department_that_is_whistled_for_sees_order_and_case_and_does_its_part(city: City) -> None:
    case = await _whistled(city)
    path = f"/routing/v1/orders/{case['appeal_id']}"
    await city.until(lambda: city.get(path), lambda reply: reply.body["co_units"] == [HOUSING, FIRE])
    both = PATHS[:2]
    await city.until(lambda: _seen(city, case, "DEPARTMENT_HANDLER", HOUSING, *both), lambda seen: seen == [200] * 2)
    assert await _seen(city, case, "DEPARTMENT_HANDLER", "bj-police") == [404] * 3
    listed = (await city.get("/routing/v1/orders?limit=200", "DEPARTMENT_HANDLER", unit=HOUSING)).body["items"]
    assert case["appeal_id"] in [order["appeal_id"] for order in listed]
    assert _is(await _by_department(city, case, "report-in", unit="bj-police"), 404, "NOT_FOUND")
    part = {"solved": True, "result": "已整改"}
    assert _is(await _by_department(city, case, "subtasks/1/close", part), 409, "NOT_REPORTED_IN")
    assert (await _by_department(city, case, "report-in", {"number": 1})).status == 200
    assert (await _by_department(city, case, "subtasks/1/close", part)).status == 200
    assert _is(await _by_department(city, case, "whistle/close"), 404, "NOT_FOUND")
    assert _now(await _by_street(city, case, "whistle/close"), "SIGNED")
    told = await city.until(lambda: city.case(case["appeal_id"]), lambda c: "whistle-closed" in str(c["timeline"]))
    by_name = {event["type"].split(".")[-2]: event["data"] for event in told["timeline"]}
    assert by_name["whistle-closed"]["absent"] == [FIRE]
    assert by_name["department-reported"]["late"] is False and by_name["subtask-closed"]["result"] == "已整改"


async def test_a_whistle_names_departments_that_exist_and_is_a_streets(city: City) -> None:
    case, street = await city.dispatched(), await _whistled(city)
    assert _now(await city.sign(case), "SIGNED")
    body = {"departments": [HOUSING], "reason": "联合执法"}
    assert _is(await _by_unit(city, case, "whistle", body), 409, "ONLY_STREETS_WHISTLE")
    unknown = await _by_street(city, street, "whistle", body | {"departments": [HOUSING, "nobody"]})
    assert _is(unknown, 422, "VALIDATION_FAILED") and unknown.body["errors"][0]["pointer"] == "/departments/1"
    for number in ("x", "0", "2", "99999"):
        assert _is(await _by_department(city, street, f"subtasks/{number}/close", {"result": "x"}), 404, "NOT_FOUND")


async def test_on_the_ledger_the_limit_does_not_expire_and_off_it_the_rest_runs(own: City) -> None:
    case = await own.dispatched()
    assert _now(await own.sign(case), "SIGNED")
    due = datetime.fromisoformat(case["due_at"])
    review, left = due + 10 * DAY, due - own.clock.now()
    plan = {"plan": "纳入明年改造", "review_on": rfc3339(review)}
    assert _now(await _ask(own, case, "ledger", plan, "ENTERPRISE_HANDLER", unit=WATER, sub="wang"), "SIGNED")
    assert _is(await _ask(own, case, "ledger", sub="wang"), 403, "SECOND_OFFICER_NEEDED")
    assert _now(await _ask(own, case, "ledger", {"plan": "分两期实施"}, sub="zhao"), "ON_LEDGER")
    await own.until_state(case["appeal_id"], "ON_LEDGER")
    await _swept(own, due + DAY)
    assert "handling-limit-expired" not in await _events(own, case)
    own.clock.set(review)
    await own.until(lambda: _events(own, case), lambda events: "ledger-review-overdue" in events)
    following = {"finding": "方案推进中", "review_on": rfc3339(review + 10 * DAY)}
    assert _now(await _ask(own, case, "ledger/review", following), "ON_LEDGER")
    assert _now(await _ask(own, case, "ledger/close", {"reason": "已具备条件"}), "SIGNED")
    resumed = await own.until_state(case["appeal_id"], "SIGNED")
    again = datetime.fromisoformat(resumed["due_at"])
    assert timedelta() <= review + left - again < timedelta(seconds=1)
    assert datetime.fromisoformat((await _order(own, case, "SIGNED"))["due_at"]) == again
    await _swept(own, again - TICK)
    assert "handling-limit-expired" not in await _events(own, case)
    own.clock.set(again)
    await own.until_state(case["appeal_id"], "CALLBACK_DUE")
    assert (await _events(own, case)).count("ledger-review-overdue") == 1


async def test_who_decides_is_neither_the_unit_nor_the_hotline_nor_a_party(city: City) -> None:
    case = await city.dispatched()
    assert _now(await _by_unit(city, case, "object", OBJECTION), "OBJECTED")
    reviews = {"objection/uphold": {"unit_id": FIRE, "reason": "x"}, "objection/reject": {"reason": "x"}}
    reviews |= {"extension/grant": {}, "extension/deny": {"reason": "x"}, "ledger/close": {"reason": "x"}}
    for command, body in reviews.items():
        for role in ("ENTERPRISE_HANDLER", "HOTLINE_SUPERVISOR", "DISPATCHER", "DISTRICT_COORDINATOR"):
            assert _is(await _ask(city, case, command, body, role, unit=WATER), 403, "FORBIDDEN"), (command, role)
    for command in ("objection/uphold", "objection/reject"):
        for party in (WATER, GAS):
            refused = await _ask(city, case, command, reviews[command], unit=party)
            assert _is(refused, 403, "OWN_CASE"), (command, party)
    assert _now(await _ask(city, case, "objection/reject", reviews["objection/reject"]), "DISPATCHED")


async def test_another_unit_and_another_district_find_nothing(city: City) -> None:
    case = await _to_the_street(city, kind="CONSULT")
    assert _now(await _by_street(city, case, "sign"), "SIGNED")
    later, why = rfc3339(datetime.fromisoformat(case["due_at"]) + DAY), {"reason": "x"}
    asked = {"object": OBJECTION, "extension": why | {"until": later}, "whistle": why | {"departments": [FIRE]}}
    asked |= {"escalate": why | {"level": "DISTRICT"}, "supervise": why, "ledger": {"plan": "x", "review_on": later}}
    for command, body in asked.items():
        assert _is(await _by_unit(city, case, command, body), 404, "NOT_FOUND"), command
    for command in ("supervise", "ledger"):
        far = await _ask(city, case, command, asked[command], "DISTRICT_COORDINATOR", district="110106")
        assert _is(far, 404, "NOT_FOUND"), command
    assert _now(await _by_street(city, case, "escalate", asked["escalate"]), "SIGNED")
    watched = await _ask(city, case, "supervise", why, "DISTRICT_COORDINATOR", district=DISTRICT)
    assert _now(watched, "SIGNED")
    marks = ("escalated", "supervised")
    await city.until(lambda: _order(city, case), lambda order: [order[mark] for mark in marks] == [True, True])
