"""四眼原则 over HTTP: one asks, another approves, it is done once; whoever saw many is named in the story of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.intake_service.policy import access_policy
from shared.web.identity import PERMISSIONS, Scope
from tests.support.city import City, Reply
from tests.support.views import settled

OPERATIONS = "/intake/v1/operations"
NOBODY = "01890000-0000-7000-8000-000000000000"
PHONE = "13800000815"
MOMENT = timedelta(milliseconds=1)


@pytest_asyncio.fixture(scope="module")
async def own(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    async with new_city() as city:
        yield city


async def ask(city: City, target: str, by: str = "li", kind: str = "BULK_UNMASK", ground: str = "COURT_ORDER") -> Reply:
    body = {"kind": kind, "target": target, "ground": ground}
    return await city.post(OPERATIONS, body, sub=by)


async def asked(city: City, target: str, by: str = "li") -> str:
    reply = await ask(city, target, by)
    assert (reply.status, reply.body["state"]) == (201, "REQUESTED"), reply.raw
    return str(reply.body["operation"])


async def approve(city: City, operation: str, by: str = "wang", role: str = "HOTLINE_SUPERVISOR") -> Reply:
    return await city.post(f"{OPERATIONS}/{operation}/approve", None, role, sub=by)


async def unmask(city: City, operation: str, by: str = "li", role: str = "HOTLINE_SUPERVISOR") -> Reply:
    return await city.get(f"{OPERATIONS}/{operation}/appellants?purpose=法院调取", role, sub=by)


async def approved(city: City, target: str) -> str:
    operation = await asked(city, target)
    assert (await approve(city, operation)).body["state"] == "APPROVED"
    return operation


async def appeals(city: City, count: int) -> list[dict[str, Any]]:
    made = [
        await city.register(appellant={"type": "PERSON", "name": f"王{one}芳", "phone": PHONE}) for one in range(count)
    ]
    await settled(city)
    return made


async def seen_by(city: City, appeal_id: str) -> list[str | None]:
    """The accounts that the record of an appeal names for having seen who is behind it; its story tells as many."""
    await settled(city)
    stream = await city.running["intake"].log.read_stream(f"appeal-{appeal_id}")
    events = [one.envelope for one in stream if one.envelope.type.endswith(".appellant-revealed.v1")]
    timeline = (await city.case(appeal_id))["timeline"]
    assert len([one for one in timeline if one["type"].endswith(".appellant-revealed.v1")]) == len(events)
    return [event.actor.sub for event in events]


async def test_one_asks_another_approves_and_each_appeal_tells_who_saw_it(own: City) -> None:
    made = await appeals(own, 5)
    ids = [one["appeal_id"] for one in made]
    operation = await asked(own, ",".join(ids))
    early = await unmask(own, operation)
    assert (early.status, early.code) == (403, "SECOND_OFFICER_NEEDED")
    assert (await approve(own, operation)).status == 200
    reply = await unmask(own, operation, "zhao")
    assert (reply.status, reply.headers["Cache-Control"]) == (200, "no-store")
    assert [(one["appeal_id"], one["name"]) for one in reply.body["items"]] == [
        (appeal_id, f"王{number}芳") for number, appeal_id in enumerate(ids)
    ]
    assert {one["phone"] for one in reply.body["items"]} == {PHONE}
    for appeal_id in ids:
        assert await seen_by(own, appeal_id) == ["zhao"]


async def test_nobody_approves_what_they_asked_for(own: City) -> None:
    (made,) = await appeals(own, 1)
    operation = await asked(own, made["appeal_id"])
    for _ in range(2):
        refused = await approve(own, operation, "li")
        assert (refused.status, refused.code) == (403, "SECOND_OFFICER_NEEDED")
    same_account = await approve(own, operation, "li", "MUNICIPAL_ADMIN")
    assert same_account.code == "SECOND_OFFICER_NEEDED"
    assert (await unmask(own, operation)).status == 403
    assert await seen_by(own, made["appeal_id"]) == []


async def test_what_was_approved_is_done_once(own: City) -> None:
    (made,) = await appeals(own, 1)
    operation = await approved(own, made["appeal_id"])
    assert (await unmask(own, operation)).status == 200
    for by in ("li", "wang", "zhao"):
        again = await unmask(own, operation, by)
        assert (again.status, again.code) == (409, "OPERATION_OVER")
    late = await approve(own, operation, "zhao")
    assert (late.status, late.code) == (409, "OPERATION_OVER")
    assert await seen_by(own, made["appeal_id"]) == ["li"]


async def test_an_approval_lapses_and_may_be_given_anew(own: City) -> None:
    (made,) = await appeals(own, 1)
    operation = await approved(own, made["appeal_id"])
    own.clock.advance(access_policy().approval_good_for + MOMENT)
    late = await unmask(own, operation)
    assert (late.status, late.code) == (409, "OPERATION_OVER")
    assert await seen_by(own, made["appeal_id"]) == []
    assert (await approve(own, operation, "zhao")).status == 200
    own.clock.advance(access_policy().approval_good_for)
    assert (await unmask(own, operation)).status == 200


@pytest.mark.parametrize("kind", ["KEY_ROTATION", "REPLAY"])
async def test_an_approval_for_something_else_shows_nobody(own: City, kind: str) -> None:
    (made,) = await appeals(own, 1)
    target = {"KEY_ROTATION": "master", "REPLAY": "intake"}[kind]
    operation = (await ask(own, target, kind=kind)).body["operation"]
    assert (await approve(own, operation)).status == 200
    assert (await unmask(own, operation)).status == 404
    assert await seen_by(own, made["appeal_id"]) == []


async def test_where_one_appeal_cannot_be_shown_nothing_is_shown_and_nothing_is_used_up(own: City) -> None:
    made = await appeals(own, 2)
    ids = [one["appeal_id"] for one in made]
    operation = await approved(own, ",".join([ids[0], NOBODY, ids[1]]))
    for _ in range(2):
        assert (await unmask(own, operation)).status == 404
    assert [await seen_by(own, one) for one in ids] == [[], []]


async def test_whoever_may_not_see_names_sees_none_with_an_approval(own: City) -> None:
    """MUNICIPAL_ADMIN takes measures about persons, and is not shown who they are."""
    (made,) = await appeals(own, 1)
    operation = await approved(own, made["appeal_id"])
    refused = await unmask(own, operation, "admin", "MUNICIPAL_ADMIN")
    assert (refused.status, refused.code) == (403, "FORBIDDEN")
    assert (await unmask(own, operation)).status == 200


async def test_what_waits_for_a_second_officer_is_listed(own: City) -> None:
    (made,) = await appeals(own, 1)
    waiting, ready = await asked(own, made["appeal_id"]), await approved(own, made["appeal_id"])
    await settled(own)
    found = {}
    for state in ("REQUESTED", "APPROVED", "CARRIED_OUT"):
        reply = await own.get(f"{OPERATIONS}?state={state}&limit=200", "MUNICIPAL_ADMIN")
        assert reply.status == 200, reply.raw
        found[state] = {one["operation"]: one for one in reply.body["items"]}
        assert all(one["state"] == state for one in reply.body["items"])
    assert found["REQUESTED"][waiting]["asked_by"] == "li"
    assert (found["APPROVED"][ready]["approved_by"], found["APPROVED"][ready]["kind"]) == ("wang", "BULK_UNMASK")
    assert not {waiting, ready} & found["CARRIED_OUT"].keys()
    assert (await unmask(own, ready)).status == 200
    await settled(own)
    done = await own.get(f"{OPERATIONS}?limit=200", "MUNICIPAL_ADMIN")
    states = {one["operation"]: one["state"] for one in done.body["items"]}
    assert (states[waiting], states[ready]) == ("REQUESTED", "CARRIED_OUT")


@pytest.mark.parametrize("role", [role for role, may in PERMISSIONS.items() if Scope.KEEP_PERSONS not in may])
async def test_other_roles_neither_ask_nor_approve_nor_look(own: City, role: str) -> None:
    operation = await asked(own, NOBODY)
    body = {"kind": "BULK_UNMASK", "target": NOBODY, "ground": "COURT_ORDER"}
    replies = [
        await own.post(OPERATIONS, body, role),
        await approve(own, operation, "x", role),
        await unmask(own, operation, "x", role),
        await own.get(OPERATIONS, role),
    ]
    assert [reply.status for reply in replies] == [403] * 4


@pytest.mark.parametrize(
    ("kind", "target", "ground"),
    [
        ("BULK_UNMASK", "王芳", "COURT_ORDER"),
        ("BULK_UNMASK", "", "COURT_ORDER"),
        ("BULK_UNMASK", NOBODY + ",", "COURT_ORDER"),
        ("ALL", NOBODY, "COURT_ORDER"),
        ("BULK_UNMASK", NOBODY, "因为法院"),
        ("BULK_UNMASK", NOBODY, "court"),
        ("BULK_UNMASK", ",".join([NOBODY] * 600), "COURT_ORDER"),
        ("BULK_UNMASK", "master", "COURT_ORDER"),
        ("REPLAY", NOBODY, "COURT_ORDER"),
        ("KEY_ROTATION", "intake", "COURT_ORDER"),
    ],
)
async def test_what_cannot_be_done_or_names_persons_is_not_asked_for(
    own: City, kind: str, target: str, ground: str
) -> None:
    assert (await ask(own, target, kind=kind, ground=ground)).status == 422


async def test_what_does_not_exist_is_not_approved(own: City) -> None:
    assert (await approve(own, NOBODY)).status == 404
    assert (await unmask(own, NOBODY)).status == 404
