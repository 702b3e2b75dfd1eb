"""Who may do what: the matrix of every route and every role is generated from the services and from PERMISSIONS, so a
new route is covered by itself. Outside one's scope everything looks like nothing at all; identities that are to be
hidden stay hidden; and no personal text is found in clear in any table of the database or in any refusal.
"""

from __future__ import annotations

import asyncio
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from itertools import count
from typing import Any

import asyncpg
import orjson
import pytest
from fastapi import APIRouter, FastAPI
from starlette.responses import PlainTextResponse

from services.city import APIS
from shared.web.app import Api, RouteWithoutScope, create_app
from shared.web.asking import reads
from shared.web.identity import PERMISSIONS, Reach, Scope
from shared.web.tokens import Tokens
from tests.support.city import WATER, City, Reply
from tests.support.database import TestServer

NOWHERE = "01890000-0000-7000-8000-000000000000"
SCHEMAS = ("intake", "routing", "feedback", "scoring", "vault")
STREET, DISTRICT = "110105001", "110105"
_phones = count(13_756_473_829)


def _routes() -> Iterator[tuple[str, str, Scope]]:
    """Method, path and scope of everything that can be asked."""
    for service, api in APIS.items():
        for command in api.commands:
            yield command.method, f"/{service}{command.path}", command.scope
        for route in api.reads.routes:
            needs = [need.call for need in route.dependant.dependencies if isinstance(need.call, reads)]  # type: ignore
            for method in route.methods:  # type: ignore[attr-defined]
                yield method, f"/{service}{route.path}", needs[0].scope  # type: ignore[attr-defined]


ROUTES = [(method, re.sub(r"{[^}]+}", NOWHERE, path), scope) for method, path, scope in _routes()]


async def _as(city: City, method: str, path: str, authorization: str | None) -> Reply:
    headers = {"Authorization": authorization} if authorization is not None else {}
    return await city.send(method, path, None, data=None if method == "GET" else b"{}", headers=headers)


def _is(reply: Reply, status: int, code: str) -> bool:
    kind = reply.headers["Content-Type"] == "application/problem+json"
    return kind and (reply.status, reply.body.get("status"), reply.body.get("code")) == (status, status, code)


def _base64(value: Any) -> str:
    return urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


def _bad_tokens(city: City) -> dict[str, str | None]:
    """Authorization headers that prove nothing."""
    good, other = city.token("MUNICIPAL_ADMIN"), Tokens(b"x" * 32, city.clock)
    head, claims, signature = good.split(".")
    admin = {"iss": "jiesu-embedded", "aud": "jiesu", "sub": "x", "roles": ["MUNICIPAL_ADMIN"], "exp": 2**40}
    return {
        "none": None,
        "empty": "",
        "no token": "Bearer ",
        "basic": "Basic YTpi",
        "garbage": "Bearer garbage",
        "dots": "Bearer ..",
        "strange header": f"Bearer {_base64([])}.{claims}.{signature}",
        "long": "Bearer " + "x" * 9000,
        "expired": f"Bearer {city.tokens.issue('MUNICIPAL_ADMIN', 'x', -1)}",
        "another key": f"Bearer {other.issue('MUNICIPAL_ADMIN', 'x', 3600)}",
        "alg none": f"Bearer {_base64({'alg': 'none'})}.{_base64(admin)}.",
        "alg none, signed": f"Bearer {_base64({'alg': 'none'})}.{claims}.{signature}",
        "alg HS256": f"Bearer {_base64({'alg': 'HS256', 'typ': 'JWT'})}.{_base64(admin)}.{signature}",
        "other claims": f"Bearer {head}.{_base64(admin)}.{signature}",
        "cut": f"Bearer {good[:-4]}",
    }


async def test_without_a_valid_token_nothing_but_public_routes_answers(city: City) -> None:
    for label, authorization in _bad_tokens(city).items():
        replies = await asyncio.gather(*(_as(city, method, path, authorization) for method, path, _ in ROUTES))
        for (method, path, scope), reply in zip(ROUTES, replies, strict=True):
            if scope is Scope.PUBLIC:
                assert reply.status not in {401, 403}, (label, path)
                continue
            assert _is(reply, 401, "UNAUTHENTICATED"), (label, method, path, reply.raw)
            assert reply.headers["WWW-Authenticate"] == "Bearer"
            assert authorization is None or len(authorization) < 12 or authorization[7:].encode() not in reply.raw


@pytest.mark.parametrize("role", PERMISSIONS)
async def test_a_role_may_do_exactly_what_its_permissions_say(city: City, role: str) -> None:
    token = f"Bearer {city.token(role, WATER, DISTRICT)}"
    replies = await asyncio.gather(*(_as(city, method, path, token) for method, path, _ in ROUTES))
    for (method, path, scope), reply in zip(ROUTES, replies, strict=True):
        if scope is Scope.PUBLIC or scope in PERMISSIONS[role]:
            assert reply.status not in {401, 403} and reply.status < 500, (method, path, reply.raw)
        else:
            assert _is(reply, 403, "FORBIDDEN"), (method, path, reply.raw)


def test_whoever_is_scored_does_not_keep_the_rules_or_call_back() -> None:
    kept = {Scope.KEEP_POLICY, Scope.KEEP_CATALOGUE, Scope.KEEP_UNITS, Scope.CALL_BACK}
    for role, may in PERMISSIONS.items():
        assert Scope.HANDLE not in may or not kept & may.keys(), role
    assert Scope.READ not in PERMISSIONS["ANALYST"]
    assert all(may.get(Scope.READ) is not Reach.ALL for may in PERMISSIONS.values() if Scope.HANDLE in may)


def test_a_route_without_a_scope_does_not_start(city: City) -> None:
    running = city.running["intake"]

    async def naked() -> None:
        """A read that forgot to ask who is there."""

    by_fastapi, by_starlette, mounted = APIRouter(), APIRouter(), APIRouter()
    by_fastapi.get("/v1/naked")(naked)
    by_starlette.add_route("/v1/naked", lambda _: PlainTextResponse(""))
    mounted.mount("/v1/naked", FastAPI())
    for router in (by_fastapi, by_starlette, mounted):
        with pytest.raises(RouteWithoutScope, match="/v1/naked"):
            create_app(Api("x", router, (), APIS["intake"].owners), running, city.tokens)


def _same_nothing(one: Reply, other: Reply) -> bool:
    strip = [{name: value for name, value in reply.body.items() if name != "instance"} for reply in (one, other)]
    return one.status == 404 and strip[0] == strip[1] and one.headers["Content-Type"] == other.headers["Content-Type"]


async def test_what_is_outside_ones_scope_looks_like_nothing(city: City) -> None:
    case = await city.dispatched()
    got = ["/intake/v1/appeals/{}", "/routing/v1/orders/{}", "/routing/v1/orders/{}/proposals", "/feedback/v1/cases/{}"]
    contact, text = {"channel": "PHONE", "outcome": "REACHED"}, {"kind": "RESULT", "recipient": "HOTLINE", "text": "好"}
    handled = {"/routing/v1/orders/{}/sign": {}, "/feedback/v1/cases/{}/contact": contact}
    handled |= {"/feedback/v1/cases/{}/feedback": text}
    gas, far = {"unit": "bj-gas"}, {"district": "110101", "unit": "110101"}
    reading = [("ENTERPRISE_HANDLER", gas), ("DEPARTMENT_HANDLER", {}), ("STREET_HANDLER", {"unit": STREET})]
    reading += [("DISTRICT_COORDINATOR", far), ("DISTRICT_COORDINATOR", {}), ("COMMUNITY_ASSISTANT", {"unit": "c"})]
    reading += [("MASS_ORG_PARTICIPANT", {}), ("INTEGRATOR", {"sub": "x"}), ("APPELLANT", {"sub": "x"})]
    for role, who in reading:
        for path in got:
            hidden, missing = [await city.get(path.format(one), role, **who) for one in (case["appeal_id"], NOWHERE)]
            assert _same_nothing(hidden, missing), (role, who, path, hidden.raw)
    for role, who in reading[:5]:
        for path, body in handled.items():
            both = [await city.post(path.format(one), body, role, **who) for one in (case["appeal_id"], NOWHERE)]
            assert _same_nothing(*both), (role, who, path, both[0].raw)
    dispatch = "/routing/v1/orders/{}/dispatch"
    for who in (far, {}):
        ids = (case["appeal_id"], NOWHERE)
        both = [await city.post(dispatch.format(one), {"unit_id": WATER}, "DISTRICT_COORDINATOR", **who) for one in ids]
        assert _same_nothing(*both)
    withdraw = [await city.post(f"/intake/v1/appeals/{one}/withdraw", {}, "APPELLANT", sub="x") for one in ids]
    assert _same_nothing(*withdraw)
    odd = [await city.get(f"/intake/v1/appeals/{one}") for one in ("x", "1", "..%2f..", "'", "A" * 3000)]
    assert all(_same_nothing(reply, hidden) for reply in odd)
    assert (await city.sign(case)).status == 200


async def test_a_street_and_its_district_see_its_orders_and_its_neighbour_does_not(city: City) -> None:
    case = await _to_the_street(city, kind="CONSULT")
    path = f"/routing/v1/orders/{case['appeal_id']}"
    assert (await city.get(path)).body["cc_district"] == DISTRICT
    seeing = [("STREET_HANDLER", {"unit": STREET}), ("DISTRICT_COORDINATOR", {"district": DISTRICT})]
    blind = [("STREET_HANDLER", {"unit": "110105002"}), ("DISTRICT_COORDINATOR", {"district": "110106"})]
    for one in (path, f"/intake/v1/appeals/{case['appeal_id']}", f"/feedback/v1/cases/{case['appeal_id']}"):
        assert [(await city.get(one, role, **who)).status for role, who in seeing] == [200, 200], one
        assert [(await city.get(one, role, **who)).status for role, who in blind] == [404, 404], one
    for (role, who), listed in [*((one, True) for one in seeing), *((one, False) for one in blind)]:
        for one in ("/routing/v1/orders", "/intake/v1/appeals"):
            items = (await city.get(f"{one}?limit=200&state=DISPATCHED", role, **who)).body["items"]
            assert (case["appeal_id"] in {item["appeal_id"] for item in items}) is listed, (one, role, who)


async def _to_the_street(city: City, unit: str = STREET, **changes: Any) -> dict[str, Any]:
    case = await city.register(**changes)
    path = f"/routing/v1/orders/{case['appeal_id']}"
    await city.until(lambda: city.get(path), lambda reply: reply.status == 200)
    assert (await city.post(f"{path}/dispatch", {"unit_id": unit, "reason": "属地"})).status == 200
    await city.until(lambda: city.get(f"/feedback/v1/cases/{case['appeal_id']}"), lambda reply: reply.status == 200)
    return await city.until_state(case["appeal_id"], "DISPATCHED")


async def test_a_district_that_leads_an_order_can_read_it(city: City) -> None:
    case = await _to_the_street(city, DISTRICT, kind="CONSULT")
    who = {"unit": DISTRICT, "district": DISTRICT}
    for path in (f"/routing/v1/orders/{case['appeal_id']}", f"/feedback/v1/cases/{case['appeal_id']}"):
        assert (await city.get(path, "DISTRICT_COORDINATOR", **who)).status == 200, path


@pytest.mark.parametrize("path", ["/routing/v1/orders", "/intake/v1/appeals"])
async def test_whoever_has_no_unit_and_no_district_lists_nothing(city: City, path: str) -> None:
    case = await city.register(kind="CONSULT")
    await city.until(lambda: city.get(f"/routing/v1/orders/{case['appeal_id']}"), lambda reply: reply.status == 200)
    for role in ("APPELLANT", "INTEGRATOR", "ENTERPRISE_HANDLER", "COMMUNITY_ASSISTANT", "DISTRICT_COORDINATOR"):
        listed = await city.get(f"{path}?limit=200", role, sub="nobody-in-particular")
        assert (role, listed.body["items"]) == (role, [])


async def test_an_appellants_account_sees_its_own_appeals_only(city: City) -> None:
    mine = await city.post("/intake/v1/appeals", city.appeal(kind="CONSULT"), "APPELLANT", sub="citizen-wang")
    yours = await city.post("/intake/v1/appeals", city.appeal(kind="CONSULT"), "APPELLANT", sub="citizen-li")
    for reply in (mine, yours):
        await city.until_state(reply.body["appeal_id"], "REGISTERED")
    own, other = [f"/intake/v1/appeals/{reply.body['appeal_id']}" for reply in (mine, yours)]
    assert (await city.get(own, "APPELLANT", sub="citizen-wang")).status == 200
    assert _is(await city.get(other, "APPELLANT", sub="citizen-wang"), 404, "NOT_FOUND")
    assert _is(await city.post(f"{other}/withdraw", {}, "APPELLANT", sub="citizen-wang"), 404, "NOT_FOUND")
    items = (await city.get("/intake/v1/appeals", "APPELLANT", sub="citizen-wang")).body["items"]
    assert [item["appeal_id"] for item in items] == [mine.body["appeal_id"]]
    assert (await city.post(f"{own}/withdraw", {}, "APPELLANT", sub="citizen-wang")).status == 200


async def test_ticket_and_code_show_where_an_appeal_stands_and_nothing_personal(city: City) -> None:
    who = {"type": "PERSON", "name": "欧阳若兰", "phone": str(next(_phones)), "email": "ouyang@example.cn"}
    case = await city.register(appellant=who, location={"address": "某路99号"})
    await city.until_state(case["appeal_id"], "REGISTERED")
    other = await city.register()
    path = f"/intake/v1/track/{case['ticket_no']}"
    missing = await city.get("/intake/v1/track/20261123-9999999", None, headers={"X-Tracking-Code": "A"})
    for code in (None, "", "A" * 35, other["tracking_code"], case["tracking_code"][:-1], case["ticket_no"], "码"):
        headers = {} if code is None else {"X-Tracking-Code": code}
        assert _same_nothing(await city.get(path, None, headers=headers), missing), code
        assert (await city.post(f"{path}/withdraw", {}, None, headers=headers)).status == 404
    seen = await city.get(path, None, headers={"X-Tracking-Code": case["tracking_code"]})
    assert (seen.status, seen.body["state"]) == (200, "REGISTERED")
    assert seen.headers["Cache-Control"] == "no-store"
    for personal in (*who.values(), "某路99号", "停水两天"):
        assert personal == "PERSON" or personal.encode() not in seen.raw


HIDDEN = {"confidential": {"confidential": True}, "anonymous": {"anonymous": True}, "report": {}}


@pytest.mark.parametrize("why", HIDDEN)
async def test_a_hidden_identity_is_never_shown_to_a_unit(city: City, why: str) -> None:
    name, phone, email = "司马青衫", str(next(_phones)), "qingshan@example.cn"
    who = {"type": "PERSON", "name": name, "phone": phone, "email": email} | HIDDEN[why]
    case = await city.dispatched(appellant=who, kind="REPORT" if why == "report" else "COMPLAINT")
    await city.handle(case)
    paths = [f"/intake/v1/appeals/{case['appeal_id']}", f"/feedback/v1/cases/{case['appeal_id']}", "/intake/v1/appeals"]
    paths += [f"/routing/v1/orders/{case['appeal_id']}{more}" for more in ("", "/proposals")] + ["/routing/v1/orders"]
    for path in paths:
        seen = await city.get(path, "ENTERPRISE_HANDLER", unit=WATER)
        assert seen.status == 200
        for part in (name, name[0] + "*", phone, phone[:3] + "*", phone[3:], email, "qingshan"):
            assert part.encode() not in seen.raw, (path, part)
    shown = (await city.get(paths[0], "ENTERPRISE_HANDLER", unit=WATER)).body["appellant"]
    assert shown["hidden"] is True and not {"name", "phone", "email", "ref"} & shown.keys()


async def test_an_open_identity_is_shown_masked_to_everybody(city: City) -> None:
    phone = str(next(_phones))
    case = await city.dispatched(appellant={"type": "PERSON", "name": "司马青衫", "phone": phone, "email": "q@x.cn"})
    for role, who in (("ENTERPRISE_HANDLER", {"unit": WATER}), ("AGENT", {}), ("AUDITOR", {}), ("MUNICIPAL_ADMIN", {})):
        seen = await city.get(f"/intake/v1/appeals/{case['appeal_id']}", role, **who)
        assert seen.body["appellant"]["name"] == "司***"
        assert seen.body["appellant"]["phone"] == f"{phone[:3]}******{phone[-2:]}"
        assert all(part.encode() not in seen.raw for part in ("青衫", phone, phone[3:9], "q@x.cn"))


async def test_no_personal_text_is_in_clear_anywhere(city: City, server: TestServer) -> None:
    words = [f"金丝雀{letter}号" for letter in "甲乙丙丁戊己庚辛壬癸子丑寅卯"]
    name, title, content, address, site, note, result, why, gone, reply, route, merged, sent, told = words
    phones = [str(next(_phones)) for _ in range(3)]
    who = {"type": "PERSON", "name": name, "phone": phones[0], "email": "canary-mail@example.cn"}
    place = {"address": address, "site": site, "longitude": 116.412345, "latitude": 39.954321}
    about = {"title": f"停水 {title}", "content": f"自来水公司 停水 {content}", "location": place, "appellant": who}
    case = await city.dispatched(**about)
    assert (await city.sign(case)).status == 200
    contact = {"channel": "PHONE", "outcome": "REACHED", "note": note}
    assert (await city.as_unit(case, f"/feedback/v1/cases/{case['appeal_id']}/contact", contact)).status == 200
    for recipient in ("APPELLANT", "HOTLINE"):
        assert (await city.feedback(case, "RESULT", recipient, result)).status == 200
    assert (await city.callback(case, resolved=False, reasons=[why])).body["state"] == "REWORK"
    path, ends = "/intake/v1/appeals", {"answer": {"text": reply}, "withdraw": {"reason": gone}}
    ends |= {"redirect": {"route": "UNLAWFUL", "reason": route}, "merge": {"reason": merged, "into": case["appeal_id"]}}
    last = []
    for number, (command, body) in enumerate(ends.items()):
        key = {"Idempotency-Key": f"canary-{number}"}
        made = await city.post(path, city.appeal(kind="CONSULT") | about | {"kind": "CONSULT"}, "AGENT", headers=key)
        assert (await city.post(f"{path}/{made.body['appeal_id']}/{command}", body, headers=key)).status == 200
        last.append(made.body)
    by_hand = await _to_the_street(city, kind="CONSULT", appellant=who | {"phone": phones[1]})
    other = await city.register(kind="CONSULT", appellant={"type": "PERSON", "name": told, "phone": phones[2]})
    await city.until(lambda: city.get(f"/routing/v1/orders/{other['appeal_id']}"), lambda seen: seen.status == 200)
    dispatch = {"unit_id": "bj-gas", "reason": sent}
    assert (await city.post(f"/routing/v1/orders/{other['appeal_id']}/dispatch", dispatch)).status == 200
    for one in (by_hand["appeal_id"], other["appeal_id"], *(body["appeal_id"] for body in last)):
        await city.until_state(one, "DISPATCHED", "ANSWERED", "WITHDRAWN", "REDIRECTED", "MERGED")
    canaries = [*words, *phones, "canary-mail", "116.412345", "39.954321", *(body["tracking_code"] for body in last)]
    assert [where async for where, _ in _in_clear(city, server, [case["ticket_no"]])]
    found = [f"{where}: {word}" async for where, word in _in_clear(city, server, canaries)]
    assert not found, "\n".join(sorted(set(found)))
    refusals = [await city.post(path, city.appeal(**about) | bad, "AGENT") for bad in ({"kind": name}, {"x": title})]
    wrong = city.appeal(**about, tags=phones[0])
    refusals += [await city.post(path, wrong, role) for role in ("AGENT", "AUDITOR", None)]
    del ends["withdraw"]
    refusals += [await city.post(f"{path}/{case['appeal_id']}/{command}", body) for command, body in ends.items()]
    for refusal in refusals:
        assert 400 <= refusal.status < 500 and not [word for word in canaries if word.encode() in refusal.raw]


async def _in_clear(city: City, server: TestServer, words: list[str]) -> Any:
    """Where any of these words stands in the database of the city, read as superuser."""
    database = await city.running["intake"].pool.fetchval("SELECT current_database()")
    connection = await asyncpg.connect(server.url(database))
    tables = await connection.fetch(
        "SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables "
        "WHERE table_type = 'BASE TABLE' AND table_schema = ANY($1)", list(SCHEMAS),
    )  # fmt: skip
    try:
        seen = 0
        for table in tables:
            for row in await connection.fetch(f"SELECT * FROM {table['name']}"):
                seen += 1
                for column, value in row.items():
                    raw = value if isinstance(value, bytes) else str(value).encode()
                    for word in words:
                        if word.encode() in raw or word.encode("ascii", "backslashreplace") in raw:
                            yield f"{table['name']}.{column}", word
        assert seen > 1000 and len(tables) > 20
    finally:
        await connection.close()
