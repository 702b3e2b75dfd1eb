"""Every command of an appeal in every state, stale, too late, or by somebody else: refused, and nothing happens. And
idempotency keys that are none, for every command; or that were used before, for anything else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.test_state_machine import STATES
from tests.support.bad import CANARY, ROUTES, Bad, good_body, path_of, role_for, what_is_wrong
from tests.support.bad_cases import (
    CLOSING,
    STREAMS,
    Case,
    all_refused,
    in_time,
    none_wrong,
    on_record,
    together,
    wrong_with,
)
from tests.support.bad_moments import (
    ENDED,
    POSSIBLE_AFTERWARDS,
    UNITS_OWN,
    about_an_appeal,
    codes_after_the_end,
    path_to,
    plain_body,
)
from tests.support.bad_values import KEYS_REFUSED, VERSIONS_REFUSED
from tests.support.city import WATER, City, Reply
from tests.support.views import settled

NewCity = Callable[..., AbstractAsyncContextManager[City]]
APPEALS, NOBODY = "/intake/v1/appeals", "01890000-0000-7000-8000-0000000000ff"
Cases = dict[str, dict[str, Any]]


@pytest_asyncio.fixture(scope="module")
async def cases(new_city: NewCity) -> AsyncIterator[tuple[City, Cases]]:
    """A city with an appeal in every state, in which everybody has heard of everything."""
    async with new_city() as city:
        made = {state: await make(city) for state, make in STATES.items()}
        await settled(city)
        yield city, made


def sending(service: str, route: Any, appeal_id: str, **more: Any) -> Callable[[City], Any]:
    more = {"role": role_for(route), "unit": WATER, "headers": {}} | more
    more["headers"] = CLOSING | more["headers"]
    return partial(
        City.send, method=route.method, path=path_to(service, route, appeal_id), json=plain_body(route), **more
    )


async def test_no_command_acts_on_a_version_that_was_not_read_in_any_state(cases: tuple[City, Cases]) -> None:
    city, made = cases
    for state, case in made.items():
        pairs = [
            Case(
                f"{state}: {service} {route.path}",
                sending(service, route, case["appeal_id"], headers={"If-Match": '"77"'}),
                412,
                "VERSION_CONFLICT",
            )
            for service, route in about_an_appeal()
        ]
        before = await on_record(city, case["appeal_id"])
        replies = await together(*(in_time(city, pair.send) for pair in pairs))
        # what cannot be seen, or could not be decided whatever its version, may be said first
        none_wrong(
            [
                (pair.name, wrong_with(pair, reply) if reply.status not in {404, 409} else None)
                for pair, reply in zip(pairs, replies, strict=True)
            ]
        )
        stale = sum(reply.status == 412 for reply in replies)
        assert stale >= len(pairs) // 2 and await on_record(city, case["appeal_id"]) == before, (state, stale)


@pytest.mark.parametrize("state", ENDED)
async def test_what_has_ended_is_over_for_every_command(cases: tuple[City, Cases], state: str) -> None:
    city, made = cases
    appeal_id = made[state]["appeal_id"]
    over = [(service, route) for service, route in about_an_appeal() if route.path not in POSSIBLE_AFTERWARDS]
    before = await on_record(city, appeal_id)
    replies = await together(*(in_time(city, sending(*one, appeal_id)) for one in over))

    def wrong(route: Any, reply: Reply) -> str | None:
        codes = codes_after_the_end(route)
        code = str(reply.body.get("code", "carried out"))
        return what_is_wrong(reply, codes[code], code) if code in codes else f"{reply.status} {code}"

    none_wrong([(f"{s} {r.path}", wrong(r, reply)) for (s, r), reply in zip(over, replies, strict=True)])
    assert await on_record(city, appeal_id) == before


async def versions(city: City, appeal_id: str, service: str) -> int | None:
    """The version that a command of this service would have to name; none where there is nothing yet."""
    return len(await city.running[service].log.read_stream(f"{STREAMS[service]}-{appeal_id}")) or None


def without_instance(reply: Reply) -> Any:
    return reply.status, {name: value for name, value in reply.body.items() if name != "instance"}


async def test_another_units_command_looks_as_if_there_were_no_such_appeal(cases: tuple[City, Cases]) -> None:
    city, made = cases
    commands = [(service, route) for service, route in about_an_appeal() if route.scope in UNITS_OWN]
    gas: dict[str, Any] = {"role": "ENTERPRISE_HANDLER", "unit": "bj-gas"}
    known: dict[tuple[str, int | None], Any] = {}

    async def answer(service: str, route: Any, version: int | None, appeal_id: str) -> Any:
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        return without_instance(await in_time(city, sending(service, route, appeal_id, headers=headers, **gas)))

    async def told(state: str, service: str, route: Any, guessed: bool) -> tuple[str, Any]:
        """What the answer tells, also to whoever has guessed the version."""
        version = await versions(city, made[state]["appeal_id"], service) if guessed else None
        here = await answer(service, route, version, made[state]["appeal_id"])
        if (route.path, version) not in known:
            known[route.path, version] = await answer(service, route, version, NOBODY)
        there = known[route.path, version]
        refused = here[0] in {403, 404, 412} and here == there
        return f"{state}: {service} {route.path} {version}", None if refused else f"{here} and {there}"

    asked = [(state, *command, guessed) for state in made for command in commands for guessed in (False, True)]
    before = [await on_record(city, case["appeal_id"]) for case in made.values()]
    none_wrong(await together(*(told(*one) for one in asked)))
    assert [await on_record(city, case["appeal_id"]) for case in made.values()] == before


async def test_a_key_or_a_version_that_is_none_is_refused_by_every_command(still: City) -> None:
    def send(service: str, route: Any, name: str, value: str) -> Callable[[City], Any]:
        more: dict[str, Any] = {"role": role_for(route), "unit": WATER, "headers": CLOSING | {name: value}}
        path = path_of(Bad(service, route))
        return partial(City.send, method=route.method, path=path, json=good_body(route), **more)

    bads = [("Idempotency-Key", one, "IDEMPOTENCY_KEY_INVALID") for one in KEYS_REFUSED]
    bads += [("If-Match", one, "PRECONDITION_INVALID") for one in VERSIONS_REFUSED]
    table = [
        Case(f"{service} {route.path} {name} {value[:12]!a} {len(value)}", send(service, route, name, value), 400, code)
        for number, (name, value, code) in enumerate(bads)
        for service, route in ROUTES[number % 5 :: 5]
    ]
    assert len(table) >= 400
    await all_refused(still, table)


def changes(body: Any) -> list[dict[str, Any]]:
    """Every way in which a registration may differ from another one."""
    one: dict[str, Any] = good_body(next(route for _, route in ROUTES if route.body.__name__ == "AppealBody"))
    added = [{name: value} for name, value in one.items() if name not in {*body, "relates_to", "source_ref"}]
    texts = [body["content"] + more for more in (" ", "\n", "。", "\u200b", "\u0301", "x")] + [
        body["content"][:-1],
        CANARY,
    ]
    who = [body["appellant"] | {name: value} for name, value in one["appellant"].items()]
    who += [{"anonymous": True}, body["appellant"] | {"confidential": True}, body["appellant"] | {"name": None}]
    said = [{"kind": kind} for kind in ("HELP", "PRAISE", "REPORT", "COMPLAINT")]
    said += [{"channel": "APP"}, {"channel": "PHONE"}, {"title": body["title"] + " "}, {"title": None}, {"tags": []}]
    return added + [{"content": text} for text in texts] + [{"appellant": appellant} for appellant in who] + said


async def test_a_key_that_was_used_is_of_no_use_for_anything_else(still: City) -> None:
    body, key = still.appeal(kind="CONSULT"), {"Idempotency-Key": "used", **CLOSING}
    first = await still.post(APPEALS, body, "AGENT", headers=key)
    assert first.status == 201
    others = [change for change in changes(body) if body | change != body]
    table = [
        Case(
            f"{number} {list(change)}",
            partial(City.post, path=APPEALS, json=body | change, role="AGENT", headers=key),
            422,
            "IDEMPOTENCY_KEY_REUSED",
        )
        for number, change in enumerate(others)
    ]
    for number, case in enumerate(table):  # one after the other: at once they would be in each other's way
        reply = await case.send(still)
        none_wrong([(f"{case.name} {others[number]}", wrong_with(case, reply))])
    again = await still.post(APPEALS, body, "AGENT", headers=key)
    assert again.raw == first.raw and again.headers["Idempotent-Replayed"] == "true" and len(table) >= 30


async def test_one_key_of_many_clients_is_many_keys_and_each_gets_its_own_answer_again(still: City) -> None:
    clients = [f"client-{n}" for n in range(40)] + ["Client-1", "client-1 ", "client-1/used", "public:client-1", "用户"]
    body, key = still.appeal(kind="CONSULT"), {"Idempotency-Key": "shared", **CLOSING}

    async def twice(sub: str) -> str | None:
        first, again = [await still.post(APPEALS, body, "AGENT", headers=key, sub=sub) for _ in range(2)]
        own = first.status == 201 and "Idempotent-Replayed" not in first.headers
        return None if own and again.raw == first.raw else f"{first.raw!r} {again.raw!r}"

    none_wrong(list(zip(clients, await together(*map(twice, clients)), strict=True)))
