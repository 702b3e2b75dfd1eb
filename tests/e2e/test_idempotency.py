"""A request that is sent again takes effect once. The same key with the same body gets the stored first answer, to the
byte and for ever; the same key with another body is refused; a hundred at once make one appeal. Keys belong to one
client and are spent only by success; source_ref does for partners what the key does for a request; and If-Match keeps
a command from acting on what has changed since it was read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from itertools import count
from typing import Any

import pytest_asyncio

from tests.support.city import WATER, City, Reply

APPEALS = "/intake/v1/appeals"
REGISTERED = "SELECT count(*) FROM events WHERE type = 'cn.gov.appeals.intake.appeal-registered.v1'"
_keys = count(1)


@pytest_asyncio.fixture(scope="module")
async def ageing(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    """A city whose clock may run ahead."""
    async with new_city() as made:
        yield made


def _key() -> dict[str, str]:
    return {"Idempotency-Key": f"key-{next(_keys)}"}


async def _registered(city: City) -> int:
    number: int = await city.running["intake"].pool.fetchval(REGISTERED)
    return number


def _repeats(again: Reply, first: Reply) -> bool:
    """The same answer once more, and marked as such."""
    names = ("ETag", "Appeal-Position", "Content-Type")
    same = (again.status, again.raw) == (first.status, first.raw)
    same = same and [again.headers.get(name) for name in names] == [first.headers.get(name) for name in names]
    return same and again.headers.get("Idempotent-Replayed") == "true" and "Idempotent-Replayed" not in first.headers


def _is(reply: Reply, status: int, code: str) -> bool:
    return (reply.status, reply.body.get("code")) == (status, code)


async def test_a_registration_sent_again_gets_its_first_answer(city: City) -> None:
    body, key = city.appeal(), _key()
    first = await city.post(APPEALS, body, "AGENT", headers=key)
    registered = await _registered(city)
    assert first.status == 201 and first.body["tracking_code"] and first.headers["Appeal-Position"]
    for _ in range(3):
        assert _repeats(await city.post(APPEALS, body, "AGENT", headers=key), first)
    assert await _registered(city) == registered


async def test_a_key_used_for_another_body_is_refused(city: City) -> None:
    body, key = city.appeal(), _key()
    assert (await city.post(APPEALS, body, "AGENT", headers=key)).status == 201
    registered = await _registered(city)
    for change in ({"content": "另一件事"}, {"tags": []}, {"tags": ["x"]}, {"title": "家里停水两天 "}):
        reply = await city.post(APPEALS, body | change, "AGENT", headers=key)
        assert _is(reply, 422, "IDEMPOTENCY_KEY_REUSED"), change
    assert await _registered(city) == registered


async def test_a_key_used_for_another_command_or_subject_is_refused(city: City) -> None:
    one, two = [(await city.register(kind="CONSULT"))["appeal_id"] for _ in range(2)]
    key, reason = _key(), {"reason": "不再需要"}
    assert (await city.post(f"{APPEALS}/{one}/withdraw", reason, headers=key)).status == 200
    reply = await city.post(f"{APPEALS}/{two}/withdraw", reason, headers=key)
    assert _is(reply, 422, "IDEMPOTENCY_KEY_REUSED")
    reply = await city.post(f"{APPEALS}/{two}/answer", {"text": "不再需要"}, headers=key)
    assert _is(reply, 422, "IDEMPOTENCY_KEY_REUSED")


async def test_a_hundred_at_once_with_one_key_make_one_appeal(city: City) -> None:
    body, key, registered = city.appeal(), _key(), await _registered(city)
    replies = await asyncio.gather(*(city.post(APPEALS, body, "AGENT", headers=key) for _ in range(100)))
    assert await _registered(city) == registered + 1
    done = [reply for reply in replies if reply.status == 201]
    assert done and len({reply.raw for reply in done}) == 1
    waiting = [reply for reply in replies if reply.status != 201]
    assert all(_is(reply, 409, "REQUEST_IN_PROGRESS") and reply.headers["Retry-After"] for reply in waiting)
    again = await city.post(APPEALS, body, "AGENT", headers=key)
    assert again.raw == done[0].raw and again.headers["Idempotent-Replayed"] == "true"


async def test_two_bodies_at_once_with_one_key_make_one_appeal(city: City) -> None:
    key, registered = _key(), await _registered(city)
    replies = await asyncio.gather(*(city.post(APPEALS, city.appeal(), "AGENT", headers=key) for _ in range(20)))
    assert sorted(reply.status for reply in replies)[0] == 201
    refused = {(reply.status, reply.body["code"]) for reply in replies if reply.status != 201}
    assert refused <= {(409, "REQUEST_IN_PROGRESS"), (422, "IDEMPOTENCY_KEY_REUSED")}
    assert await _registered(city) == registered + 1


async def test_another_clients_same_key_is_its_own(city: City) -> None:
    body, key = city.appeal(), _key()
    replies = [await city.post(APPEALS, body, "AGENT", headers=key, sub=sub) for sub in ("li", "wang", "LI", "li ")]
    assert [reply.status for reply in replies] == [201] * 4
    assert len({reply.body["appeal_id"] for reply in replies}) == 4
    assert not any("Idempotent-Replayed" in reply.headers for reply in replies)


async def test_a_key_is_1_to_200_visible_ascii_characters(city: City) -> None:
    registered = await _registered(city)
    for key in ("", "k" * 201, "a b", "钥匙", "café", "a\tb"):
        reply = await city.post(APPEALS, city.appeal(), "AGENT", headers={"Idempotency-Key": key})
        assert _is(reply, 400, "IDEMPOTENCY_KEY_INVALID"), key
        assert not key or key.encode() not in reply.raw
    assert await _registered(city) == registered
    for key in ("k" * 200, "!", '~"\\{}'):
        body = city.appeal()
        first = await city.post(APPEALS, body, "AGENT", headers={"Idempotency-Key": key})
        assert first.status == 201
        assert _repeats(await city.post(APPEALS, body, "AGENT", headers={"Idempotency-Key": key}), first)


async def test_spacing_order_and_escapes_do_not_make_another_body(city: City) -> None:
    body, key = city.appeal(location={"district": "110105", "site": "望京"}, tags=["水", "急"]), _key()
    first = await city.post(APPEALS, body, "AGENT", headers=key)
    backwards = {name: body[name] for name in reversed(body)}
    backwards |= {"location": dict(reversed(body["location"].items()))}
    for text in (json.dumps(backwards, indent=4), json.dumps(body, ensure_ascii=False, separators=(",", ":")) + "\n"):
        assert _repeats(await city.post(APPEALS, None, "AGENT", data=text.encode(), headers=key), first)
    other = await city.post(APPEALS, body | {"tags": ["急", "水"]}, "AGENT", headers=key)
    assert _is(other, 422, "IDEMPOTENCY_KEY_REUSED")


async def test_a_refused_request_does_not_spend_its_key(city: City) -> None:
    key, good = _key(), city.appeal()
    bad = [
        good | {"kind": "NOISE"},
        good | {"appellant": {"type": "PERSON"}},
        good | {"raised_at": "2199-01-01T00:00:00Z"},
    ]
    for body in bad:
        assert (await city.post(APPEALS, body, "AGENT", headers=key)).status == 422
    assert (await city.post(APPEALS, good, "AGENT", headers=key)).status == 201
    path, key = f"{APPEALS}/{(await city.register(kind='PRAISE'))['appeal_id']}", _key()
    assert _is(await city.post(f"{path}/answer", {"text": "好"}, headers=key), 409, "NOT_A_CONSULTATION")
    stale = await city.post(f"{path}/withdraw", {"reason": "撤"}, headers=key | {"If-Match": '"9"'})
    assert _is(stale, 412, "VERSION_CONFLICT")
    assert (await city.post(f"{path}/redirect", {"route": "UNLAWFUL", "reason": "违法"}, headers=key)).status == 200


async def test_every_step_of_an_appeal_can_be_repeated(city: City) -> None:
    case = await city.dispatched()
    feedback, unit = f"/feedback/v1/cases/{case['appeal_id']}", {"role": "ENTERPRISE_HANDLER", "unit": WATER}
    result = {"kind": "RESULT", "recipient": "APPELLANT", "text": "已恢复供水"}
    steps: list[tuple[str, Any, dict[str, str]]] = [
        (f"/routing/v1/orders/{case['appeal_id']}/sign", {}, unit),
        (f"{feedback}/contact", {"channel": "PHONE", "outcome": "REACHED"}, unit),
        (f"{feedback}/feedback", result, unit),
        (f"{feedback}/feedback", result | {"recipient": "HOTLINE"}, unit),
        (f"{feedback}/callback/attempts", {"outcome": "NO_ANSWER"}, {"role": "CALLBACK_OFFICER"}),
        (f"{feedback}/callback", {"valid": True, "contacted": True, "resolved": True}, {"role": "CALLBACK_OFFICER"}),
    ]
    done: list[tuple[Reply, Callable[[], Any]]] = []
    for path, body, who in steps:

        async def send(path: str = path, body: Any = body, who: Any = who, key: Any = _key()) -> Reply:  # noqa: B008
            return await city.post(path, body, headers=key, **who)

        first = await send()
        assert first.status == 200, first.raw
        assert _repeats(await send(), first), path
        done.append((first, send))
    await city.until_state(case["appeal_id"], "CLOSED")
    for first, send in done:
        assert _repeats(await send(), first)
    file = (await city.get(feedback)).body
    assert (len(file["contacts"]), len(file["feedback"])) == (1, 2)


async def test_a_repeat_is_not_judged_by_a_version_that_it_changed_itself(city: City) -> None:
    registered, key = await city.register(kind="CONSULT"), _key() | {"If-Match": '"1"'}
    path = f"{APPEALS}/{registered['appeal_id']}/answer"
    first = await city.post(path, {"text": "见官网"}, headers=key)
    assert first.status == 200
    assert _repeats(await city.post(path, {"text": "见官网"}, headers=key), first)


async def test_a_citizens_withdrawal_can_be_repeated(city: City) -> None:
    registered, key = await city.register(kind="CONSULT"), _key()
    path, code = f"/intake/v1/track/{registered['ticket_no']}/withdraw", registered["tracking_code"]
    await city.until_state(registered["appeal_id"], "REGISTERED")
    first = await city.post(path, {"reason": "好了"}, None, headers=key | {"X-Tracking-Code": code})
    assert first.status == 200
    assert _repeats(await city.post(path, {"reason": "好了"}, None, headers=key | {"X-Tracking-Code": code}), first)


async def test_a_repeat_without_the_tracking_code_learns_nothing(city: City) -> None:
    registered, key = await city.register(kind="CONSULT"), _key()
    path, code = f"/intake/v1/track/{registered['ticket_no']}/withdraw", registered["tracking_code"]
    await city.until_state(registered["appeal_id"], "REGISTERED")
    assert (await city.post(path, {}, None, headers=key | {"X-Tracking-Code": code})).status == 200
    assert _is(await city.post(path, {}, None, headers=key | {"X-Tracking-Code": "WRONG"}), 404, "NOT_FOUND")


async def test_a_command_that_changes_nothing_spends_its_key_too(city: City) -> None:
    unit, key = {"unit_id": "idem-1", "name": "单位", "unit_type": "MUNICIPAL_DEPT"}, _key()
    assert (await city.send("PUT", "/routing/v1/units", "MUNICIPAL_ADMIN", unit)).status == 200
    first = await city.send("PUT", "/routing/v1/units", "MUNICIPAL_ADMIN", unit, headers=key)
    assert first.status == 200
    other = await city.send("PUT", "/routing/v1/units", "MUNICIPAL_ADMIN", unit | {"name": "别的"}, headers=key)
    assert _is(other, 422, "IDEMPOTENCY_KEY_REUSED")


async def test_a_key_is_remembered_after_a_year(ageing: City) -> None:
    body, key = ageing.appeal(kind="CONSULT", source_ref="year"), _key()
    first = await ageing.post(APPEALS, body, "AGENT", headers=key)
    path, second = f"{APPEALS}/{first.body['appeal_id']}/withdraw", _key()
    withdrawn = await ageing.post(path, {}, headers=second)
    ageing.clock.advance(timedelta(days=366))
    assert _repeats(await ageing.post(APPEALS, body, "AGENT", headers=key), first)
    assert _repeats(await ageing.post(APPEALS, body, "AGENT"), first)
    assert _repeats(await ageing.post(path, {}, headers=second), withdrawn)
    assert _is(await ageing.post(APPEALS, ageing.appeal(), "AGENT", headers=key), 422, "IDEMPOTENCY_KEY_REUSED")


async def test_a_partners_reference_names_one_appeal(city: City) -> None:
    body, who = city.appeal(source_ref="12345-2026-001"), {"role": "INTEGRATOR", "sub": "partner"}
    first = await city.post(APPEALS, body, **who)
    assert first.status == 201
    assert _repeats(await city.post(APPEALS, body, **who), first)
    assert _repeats(await city.post(APPEALS, body, headers=_key(), **who), first)
    assert _is(await city.post(APPEALS, body | {"content": "改了"}, **who), 409, "SOURCE_REF_TAKEN")
    assert (await city.post(APPEALS, body | {"source_ref": "12345-2026-002"}, **who)).status == 201
    other = await city.post(APPEALS, body, "INTEGRATOR", sub="another")
    assert other.status == 201 and other.body["appeal_id"] != first.body["appeal_id"]


async def test_a_partners_reference_sent_many_times_at_once_makes_one_appeal(city: City) -> None:
    body, registered = city.appeal(source_ref="storm"), await _registered(city)
    replies = await asyncio.gather(*(city.post(APPEALS, body, "INTEGRATOR", sub="storm") for _ in range(50)))
    assert {reply.status for reply in replies} == {201} and len({reply.raw for reply in replies}) == 1
    assert await _registered(city) == registered + 1


async def test_a_stale_version_is_refused_and_the_one_just_read_is_not(city: City) -> None:
    case = await city.dispatched()
    order, file = f"/routing/v1/orders/{case['appeal_id']}", f"/feedback/v1/cases/{case['appeal_id']}"
    unit = {"role": "ENTERPRISE_HANDLER", "unit": WATER}
    steps = [(f"{order}/sign", order, {}), (f"{file}/contact", file, {"channel": "PHONE", "outcome": "REACHED"})]
    steps.append((f"{file}/feedback", file, {"kind": "PROGRESS", "recipient": "HOTLINE", "text": "正在修"}))
    state = iter(("DISPATCHED", "SIGNED", "HANDLING"))
    for path, resource, body in steps:
        now = next(state)
        read = await city.until(lambda r=resource: city.get(r), lambda reply, now=now: reply.body.get("state") == now)
        version = int(read.headers["ETag"].strip('"'))
        for stale in (version - 1, version + 1, 0, 999_999_999):
            assert _is(await city.post(path, body, headers={"If-Match": f'"{stale}"'}, **unit), 412, "VERSION_CONFLICT")
        for wrong in ("1", 'W/"1"', '"x"', '"1", "2"', '"-1"', '"01"', "", '"1000000000"'):
            reply = await city.post(path, body, headers={"If-Match": wrong}, **unit)
            assert _is(reply, 400, "PRECONDITION_INVALID"), wrong
        done = await city.post(path, body, headers={"If-Match": f'"{version}"'}, **unit)
        assert (done.status, done.headers["ETag"]) == (200, f'"{version + 1}"'), done.raw
    assert (await city.post(steps[2][0], steps[2][2], headers={"If-Match": "*"}, **unit)).status == 200
    case = await city.case(case["appeal_id"])
    withdraw = f"/intake/v1/appeals/{case['appeal_id']}/withdraw"
    assert (await city.post(withdraw, {}, headers={"If-Match": f'"{case["version"]}"'})).status == 200
