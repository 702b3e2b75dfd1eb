"""Keys of integrators: shown once, narrow, exchanged without a failed request, useless to who has the database."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from zlib import crc32

import asyncpg
import pytest_asyncio

from services.intake_service.policy import access_policy
from shared.contracts.envelope import rfc3339
from shared.web.api_keys import LOOK_AGAIN_SECONDS, new_key
from tests.support.city import START, City, Reply
from tests.support.running import job
from tests.support.views import settled

ADMIN, KEYS, APPEALS = "MUNICIPAL_ADMIN", "/intake/v1/api-keys", "/intake/v1/appeals"
SOON = timedelta(seconds=LOOK_AGAIN_SECONDS)
LAMP = {"service_code": "street-light", "lat": "39.90923", "long": "116.39742", "description": "路灯不亮三天了"}
WORKERS, LEAST_REQUESTS = 16, 300


@pytest_asyncio.fixture(scope="module")
async def own(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    async with new_city() as city:
        yield city


async def issue(city: City, client: str, headers: dict[str, str] | None = None, **changes: Any) -> Reply:
    body = {"client": client, "expires_at": rfc3339(city.clock.now() + timedelta(days=100))} | changes
    return await city.post(KEYS, body, ADMIN, headers=headers)


async def key_of(city: City, client: str, **changes: Any) -> str:
    """A key that every process knows."""
    reply = await issue(city, client, **changes)
    assert reply.status == 201, reply.raw
    await settled(city)
    return str(reply.body["api_key"])


async def with_key(city: City, key: str, path: str = APPEALS + "?limit=1", json: Any = None) -> Reply:
    return await city.send("POST" if json else "GET", path, None, json=json, headers={"X-API-Key": key})


async def revoke(city: City, client: str, key: str) -> Reply:
    return await city.post(f"{KEYS}/{client}/revoke", {"key_id": key.split("_")[1]}, ADMIN)


async def listed(city: City, client: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await city.get(f"{KEYS}?client={client}", ADMIN)).body["items"]
    return items


async def test_a_key_is_shown_once_and_again_only_under_the_same_idempotency_key(own: City) -> None:
    same, expires = {"Idempotency-Key": "key-4711"}, rfc3339(START + timedelta(days=50))
    first, again = [await issue(own, "shown-once", same, expires_at=expires) for _ in range(2)]
    assert (first.status, again.status, again.headers["Idempotent-Replayed"]) == (201, 201, "true")
    assert first.body == again.body
    assert first.headers["Cache-Control"] == again.headers["Cache-Control"] == "no-store"
    await settled(own)
    (item,) = await listed(own, "shown-once")
    assert (item["key_id"], item["expires_at"]) == (first.body["key_id"], expires)
    secret = first.body["api_key"].split("_")[2]
    assert secret not in str(item) and "digest" not in item
    other = await issue(own, "shown-once", same | {"Idempotency-Key": "key-4712"}, expires_at=expires)
    assert other.body["api_key"] != first.body["api_key"]


async def test_whoever_has_a_key_is_its_client_and_sees_what_is_theirs(own: City) -> None:
    one, other = await key_of(own, "client-one"), await key_of(own, "client-two")
    made = await with_key(own, one, APPEALS, own.appeal())
    assert made.status == 201, made.raw
    path = f"{APPEALS}/{made.body['appeal_id']}"
    await own.until(lambda: with_key(own, one, path), lambda reply: reply.status == 200)
    assert (await with_key(own, other, path)).status == 404
    assert (await with_key(own, one, KEYS)).status == 403


async def test_a_client_is_nobodys_account(own: City) -> None:
    key = await key_of(own, "citizen-wang")
    mine = await own.post(APPEALS, own.appeal(), "APPELLANT", sub="citizen-wang")
    await own.until_state(mine.body["appeal_id"], "REGISTERED", "DISPATCHED")
    assert (await with_key(own, key, f"{APPEALS}/{mine.body['appeal_id']}")).status == 404


async def open311(city: City, key: str) -> Reply:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    data = urlencode({"api_key": key} | LAMP).encode()
    return await city.send("POST", "/intake/open311/v2/requests.json", None, data=data, headers=headers)


async def test_open311_takes_a_key_as_its_api_key_and_nothing_else_as_one(own: City) -> None:
    key = await key_of(own, "geo")
    made = await open311(own, key)
    assert made.status == 200, made.raw
    number = made.body[0]["service_request_id"]
    path = f"/intake/open311/v2/requests/{number}.json"
    await own.until(lambda: own.get(path, None), lambda reply: reply.status == 200)
    assert "路灯" in str((await own.get(f"{path}?api_key={key}", None)).body)
    assert "路灯" not in str((await own.get(path, None)).body[0]["description"])
    for wrong in (new_key(os.urandom).text, key[:-1], key.upper(), "jiesu_"):
        assert (await open311(own, wrong)).status == 403


async def test_scopes_narrow_a_key_to_what_it_was_made_for(own: City) -> None:
    writes = await key_of(own, "writer", scopes=["appeal:register"])
    reads = await key_of(own, "reader", scopes=["appeal:read"])
    assert (await with_key(own, writes, APPEALS, own.appeal())).status == 201
    assert [(await with_key(own, key)).status for key in (writes, reads)] == [403, 200]
    refused = await with_key(own, reads, APPEALS, own.appeal())
    assert (refused.status, refused.code) == (403, "FORBIDDEN")
    assert (await open311(own, reads)).status == 403


async def test_no_key_is_made_for_more_than_its_role_or_longer_than_allowed(own: City) -> None:
    long = rfc3339(own.clock.now() + access_policy().longest_key_life + timedelta(seconds=1))
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"scopes": ["log:read"]}, 422),
        ({"scopes": ["appeal:register", "x"]}, 422),
        ({"role": "GOD"}, 422),
        ({"role": "MUNICIPAL_ADMIN"}, 422),
        ({"role": "HOTLINE_SUPERVISOR"}, 422),
        ({"role": "HOTLINE_SUPERVISOR", "scopes": ["appeal:read"]}, 422),
        *(({"role": role}, 422) for role in ("AGENT", "AUDITOR", "CALLBACK_OFFICER", "STREET_HANDLER")),
        ({"expires_at": long}, 409),
        ({"expires_at": rfc3339(own.clock.now())}, 409),
        *(({"client": name}, 422) for name in ("a b", "team/app", ".", "..", "")),
        ({"client": "x" * 65}, 422),
    ]
    for changes, status in wrong:
        assert (await issue(own, **({"client": "refused"} | changes))).status == status, changes
    for role in ("AGENT", "HOTLINE_SUPERVISOR", "INTEGRATOR", "AUDITOR"):
        assert (await own.post(KEYS, {"client": "x", "expires_at": long}, role)).status == 403
    assert await listed(own, "refused") == []


async def test_a_key_ends_when_it_expires(own: City) -> None:
    until = own.clock.now() + timedelta(minutes=5)
    key = await key_of(own, "brief", expires_at=rfc3339(until))
    assert (await with_key(own, key)).status == 200
    own.clock.set(until - timedelta(milliseconds=1))
    assert (await with_key(own, key)).status == 200
    own.clock.set(until)
    refused = await with_key(own, key)
    assert (refused.status, refused.code) == (401, "UNAUTHENTICATED")


async def test_a_client_has_two_good_keys_and_no_third_until_one_is_taken_back(own: City) -> None:
    one, other = await key_of(own, "pair"), await key_of(own, "pair")
    assert [(await with_key(own, key)).status for key in (one, other)] == [200, 200]
    third = await issue(own, "pair")
    assert (third.status, third.code) == (409, "KEYS_ENOUGH")
    assert (await revoke(own, "pair", one)).status == 200
    await settled(own)
    own.clock.advance(SOON)
    assert [(await with_key(own, key)).status for key in (one, other)] == [401, 200]
    assert (await revoke(own, "pair", one)).status == 404
    assert (await revoke(own, "somebody-else", other)).status == 404
    assert (await issue(own, "pair")).status == 201
    taken = {item["key_id"]: item["revoked_at"] for item in await listed(own, "pair")}
    assert (taken[one.split("_")[1]] is None, taken[other.split("_")[1]]) == (False, None)


async def test_keys_are_exchanged_under_load_without_a_failed_request(own: City) -> None:
    holder = {"key": await key_of(own, "busy")}
    counted: Counter[tuple[str, int]] = Counter()

    async def work() -> None:
        while True:
            key = holder["key"]
            counted[key, (await with_key(own, key, "/intake/v1/appeals?limit=1")).status] += 1

    async def many(key: str) -> None:
        start = counted[key, 200]
        more = LEAST_REQUESTS // 3

        async def done() -> int:
            return counted[key, 200] - start

        await own.until(done, lambda now: now >= more)

    async def all_work() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(work())

    async with job(all_work()):
        for _ in range(2):
            old = holder["key"]
            await many(old)
            holder["key"] = await key_of(own, "busy")
            await many(holder["key"])
            assert (await revoke(own, "busy", old)).status == 200
            await settled(own)
            own.clock.advance(SOON)
            await many(holder["key"])
    assert {status for _, status in counted} == {200}
    assert sum(counted.values()) >= LEAST_REQUESTS
    assert (await with_key(own, old)).status == 401
    assert (await with_key(own, holder["key"])).status == 200


TABLES = """
    SELECT table_schema, table_name FROM information_schema.tables
    WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')"""


async def dump(city: City) -> tuple[str, set[str]]:
    """Everything in the database as text, bytes as hexadecimal; and which tables hold anything."""
    connection = await asyncpg.connect(city.database)
    try:
        rows, full = [], set()
        for schema, table in await connection.fetch(TABLES):
            found = [row[0] for row in await connection.fetch(f'SELECT t::text FROM "{schema}"."{table}" t')]
            rows += found
            full |= {f"{schema}.{table}"} if found else set()
        return "\n".join(rows), full
    finally:
        await connection.close()


async def test_whoever_has_the_whole_database_has_no_key(own: City) -> None:
    reply = await issue(own, "dumped", {"Idempotency-Key": "dump-1"})
    key = str(reply.body["api_key"])
    await settled(own)
    assert (await with_key(own, key)).status == 200
    said, full = await dump(own)
    assert {"vault.api_keys", "intake.events", "intake.idempotency"} <= full
    secret = key.split("_")[2]
    for piece in (key, secret, secret.upper(), key.encode().hex(), secret.encode().hex()):
        assert piece not in said
    key_id = key.split("_")[1]
    assert key_id in said or key_id.encode().hex() in said
    hashes = set(re.findall(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", said))
    tried = [f"jiesu_{key_id}_{one}" for one in hashes]
    assert tried
    for begun in tried[:50]:
        assert (await with_key(own, f"{begun}_{crc32(begun.encode()):08x}")).status == 401


async def test_the_day_on_which_a_key_was_last_used_is_noted(own: City) -> None:
    key = await key_of(own, "dated")
    assert (await listed(own, "dated"))[0]["used_on"] is None
    for _ in range(2):
        await with_key(own, key)
        assert (await listed(own, "dated"))[0]["used_on"] == own.clock.now().date().isoformat()
        own.clock.advance(timedelta(days=1))
