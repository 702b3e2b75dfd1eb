"""Art 28: units get their own data back, whole, and can tell whether their copy has drifted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from typing import Any

from shared.eventlog.canonical import leaf_hash
from tests.e2e.test_state_machine import GAS
from tests.support.city import WATER, City
from tests.support.views import settled

NewCity = Callable[..., AbstractAsyncContextManager[City]]


async def feed(city: City, cursor: str | None = None, unit: str = WATER, **who: Any) -> dict[str, Any]:
    who = who or {"role": "ENTERPRISE_HANDLER", "unit": unit}
    query = f"?cursor={cursor}&limit=2" if cursor else "?limit=2"
    reply = await city.get(f"/feedback/v1/units/{unit}/feed{query}", **who)
    assert reply.status == 200, reply.raw
    body: dict[str, Any] = reply.body
    return body


async def all_of_it(city: City, cursor: str | None = None, **who: Any) -> tuple[list[dict[str, Any]], str]:
    items, more = [], True
    while more:
        body = await feed(city, cursor, **who)
        items, cursor, more = [*items, *body["items"]], body["next_cursor"], body["more"]
    assert cursor
    return items, cursor


async def test_a_unit_reads_its_cases_from_the_beginning_and_then_what_changes(new_city: NewCity) -> None:
    async with new_city() as city:
        cases = [await city.dispatched() for _ in range(5)]
        await city.handle(cases[0])
        await settled(city)
        items, cursor = await all_of_it(city)
        latest = {one["appeal_id"]: one for one in items}
        assert latest.keys() == {case["appeal_id"] for case in cases}
        whole = latest[cases[0]["appeal_id"]]["record"]
        assert [one["recipient"] for one in whole["feedback"]] == ["APPELLANT", "HOTLINE"]
        assert (await all_of_it(city, cursor))[0] == []
        await city.until_state(cases[0]["appeal_id"], "CALLBACK_DUE")
        assert (await city.callback(cases[0], satisfaction="BASICALLY_SATISFIED")).status == 200
        await settled(city)
        changed, _ = await all_of_it(city, cursor)
        assert {one["appeal_id"] for one in changed} == {cases[0]["appeal_id"]}
        (said,) = [one for one in changed[-1]["record"]["callbacks"] if one["event"] == "callback-recorded"]
        assert said["satisfaction"] == "BASICALLY_SATISFIED"


async def test_a_digest_is_over_the_stored_bytes_and_tells_every_version_apart(city: City) -> None:
    case = await city.dispatched()
    await city.handle(case)
    await settled(city)
    path = f"/feedback/v1/cases/{case['appeal_id']}/digest"
    now = (await city.get(path)).body
    stored = await city.running["feedback"].log.read_stream(f"case-{case['appeal_id']}")
    assert now["version"] == len(stored)
    assert now["digest"] == sha256(b"".join(leaf_hash(event.body) for event in stored)).hexdigest()
    digests = [(await city.get(f"{path}?version={version}")).body["digest"] for version in range(1, len(stored) + 1)]
    assert len(set(digests)) == len(stored) and digests[-1] == now["digest"]
    assert (await city.get(path, "STREET_HANDLER", unit="bj-110101008")).status == 404


async def test_another_units_feed_is_not_there(city: City) -> None:
    other = await city.get(f"/feedback/v1/units/{WATER}/feed", "ENTERPRISE_HANDLER", unit=GAS)
    assert other.status == 404
    assert (await city.get(f"/feedback/v1/units/{WATER}/feed", "AUDITOR")).status == 200
    wrong = await city.get(f"/feedback/v1/units/{WATER}/feed?cursor=abc", "AUDITOR")
    assert (wrong.status, wrong.code) == (400, "CURSOR_INVALID")


async def test_a_unit_may_have_its_events_brought(city: City) -> None:
    made = await city.post(
        "/feedback/v1/webhooks", {"url": "https://example.com/hook"}, "ENTERPRISE_HANDLER", unit=WATER
    )
    assert made.status in {201, 422}  # 422 where the name cannot be resolved here; never 403
    assert (await city.get("/feedback/v1/webhooks", "ENTERPRISE_HANDLER", unit=WATER)).status == 200
