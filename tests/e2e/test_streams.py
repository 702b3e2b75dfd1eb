"""Events as they happen over HTTP: nothing missed after a break, and nobody is told of what is not theirs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from datetime import timedelta
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.support.city import WATER, City
from tests.support.waiting import PATIENCE_SECONDS

NewCity = Callable[..., AbstractAsyncContextManager[City]]
DISPATCHED = "cn.gov.appeals.routing.order-dispatched.v1"
PROPOSED = "cn.gov.appeals.routing.order-proposed.v1"


class Told(NamedTuple):
    id: str
    type: str
    event: dict[str, Any]


async def follow(
    city: City, service: str, role: str, last: str = "", query: str = "", token: str = "", **who: Any
) -> AsyncGenerator[Told, None]:
    """The stream as a browser's EventSource reads it; marks without an event are yielded with an empty type."""
    headers = {"Authorization": f"Bearer {token or city.token(role, **who)}"} | (
        {"Last-Event-ID": last} if last else {}
    )
    url = f"{city.url}/{service}/v1/events{query}"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        async for raw in response.content:
            line = raw.decode().rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                yield Told(fields.get("id", ""), fields.get("event", ""), json.loads(fields.get("data", "{}")))
                fields = {}


async def first(stream: AsyncIterator[Told], type_: str, subject: str) -> Told:
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for told in stream:
            if told.type == type_ and told.event["subject"] == subject:
                return told
    raise AssertionError("the stream has ended")


async def test_an_event_arrives_as_a_cloudevent_with_what_was_stored(city: City) -> None:
    async with aclosing(follow(city, "routing", "AUDITOR")) as stream:
        await anext(stream)
        case = await city.dispatched()
        told = await first(stream, DISPATCHED, case["appeal_id"])
    assert told.event["specversion"] == "1.0" and told.event["source"] == "/services/routing"
    stored = await city.running["routing"].log.read_stream(f"order-{case['appeal_id']}")
    assert told.event["data"] == json.loads(stored[int(told.event["streamversion"]) - 1].body)


async def test_who_comes_back_with_the_last_id_misses_nothing_and_hears_nothing_twice(city: City) -> None:
    async with aclosing(follow(city, "intake", "AUDITOR")) as stream:
        last = (await anext(stream)).id
    expected, heard = [], []
    for _ in range(3):
        expected.append((await city.register())["appeal_id"])
        async with aclosing(follow(city, "intake", "AUDITOR", last)) as stream:
            told = await first(stream, "cn.gov.appeals.intake.appeal-registered.v1", expected[-1])
        heard.append(told.event["subject"])
        last = told.id
    assert heard == expected


async def test_a_unit_hears_of_its_own_appeals_only(city: City) -> None:
    async with aclosing(follow(city, "routing", "ENTERPRISE_HANDLER", unit=WATER)) as stream:
        await anext(stream)
        elsewhere = await city.dispatched(title="路灯不亮", content="门口的路灯坏了一个多星期")
        assert elsewhere["lead_unit"] != WATER
        mine = await city.dispatched()
        heard = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for told in stream:
                heard.append(told)
                if told.type == DISPATCHED and told.event["subject"] == mine["appeal_id"]:
                    break
    assert elsewhere["appeal_id"] not in {told.event["subject"] for told in heard if told.type}


async def test_a_stream_can_be_narrowed_to_types_and_begin_at_the_start(city: City) -> None:
    case = await city.dispatched()
    query = f"?from=start&type={PROPOSED}"
    async with aclosing(follow(city, "routing", "AUDITOR", query=query)) as stream:
        await first(stream, PROPOSED, case["appeal_id"])
    async with aclosing(follow(city, "routing", "AUDITOR", query=query)) as stream:
        async for told in stream:
            assert told.type in {"", PROPOSED}
            if told.type and told.event["subject"] == case["appeal_id"]:
                break


@pytest.mark.parametrize("last", ["nonsense", "1.2", "1.1.1.-1", "9" * 30000])
async def test_an_id_that_we_never_gave_is_refused(city: City, last: str) -> None:
    path = "/intake/v1/events"
    reply = await city.get(path, headers={"Last-Event-ID": last})
    assert reply.status in {400, 431}
    if reply.status == 400:
        assert reply.code in {"POSITION_INVALID", "BAD_REQUEST"}


async def test_a_stream_needs_a_role(city: City) -> None:
    assert (await city.get("/intake/v1/events", None)).code == "UNAUTHENTICATED"
    assert (await city.get("/intake/v1/events", "ANALYST")).code == "FORBIDDEN"


STREET, DISTRICT = "110105001", "110105"
WITHHELD = {"client", "tracking_hash", "appellant", "subject_key"}
FIRST_OF = {
    "intake": "cn.gov.appeals.intake.appeal-registered.v1",
    "routing": DISPATCHED,
    "feedback": "cn.gov.appeals.feedback.case-opened.v1",
}


async def _to_the_street(city: City) -> str:
    """An appeal that somebody has dispatched by hand; every service has taken note of it."""
    appeal_id = str((await city.register(kind="CONSULT"))["appeal_id"])
    order, case = f"/routing/v1/orders/{appeal_id}", f"/feedback/v1/cases/{appeal_id}"
    await city.until(lambda: city.get(order), lambda reply: reply.status == 200)
    assert (await city.post(f"{order}/dispatch", {"unit_id": STREET, "reason": "属地"})).status == 200
    await city.until(lambda: city.get(case), lambda reply: reply.status == 200)
    await city.until_state(appeal_id, "DISPATCHED")
    return appeal_id


async def _heard(city: City, service: str, appeal_id: str, role: str, **who: Any) -> tuple[dict[str, Any], Any]:
    """What is told of the first event of an appeal in a service, and what is stored of it."""
    async with aclosing(follow(city, service, role, query="?from=start", **who)) as stream:
        told = (await first(stream, FIRST_OF[service], appeal_id)).event
    log = city.running[service].log
    streams = (f"{kind}-{appeal_id}" for kind in ("appeal", "order", "case"))
    stored = [event for stream in streams for event in await log.read_stream(stream) if event.type == told["type"]]
    return told["data"], json.loads(stored[0].body)


@pytest.mark.parametrize("service", FIRST_OF)
async def test_units_and_districts_hear_of_no_account_and_no_pseudonym_and_an_auditor_hears_all(
    city: City, service: str
) -> None:
    appeal_id = await _to_the_street(city)
    whole, stored = await _heard(city, service, appeal_id, "AUDITOR")
    assert whole == stored and WITHHELD & stored["data"].keys()
    assert ("sub" in stored["actor"]) is (service != "feedback")  # which took note by itself
    for role, who in (("STREET_HANDLER", {"unit": STREET}), ("DISTRICT_COORDINATOR", {"district": DISTRICT})):
        told, _ = await _heard(city, service, appeal_id, role, **who)
        assert told["actor"] == {name: value for name, value in stored["actor"].items() if name != "sub"}
        assert told["data"] == {name: value for name, value in stored["data"].items() if name not in WITHHELD}
        assert told.keys() == stored.keys()


async def test_a_stream_ends_when_its_token_does(new_city: NewCity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.web.streams.HEARTBEAT_SECONDS", 0.02)
    async with new_city(jobs=False) as city, asyncio.timeout(PATIENCE_SECONDS):
        token = city.tokens.issue("AUDITOR", "auditor@city", 3600)
        async with aclosing(follow(city, "intake", "AUDITOR", token=token)) as stream:
            await anext(stream)
            city.clock.advance(timedelta(seconds=3599))
            appeal_id = (await city.register())["appeal_id"]
            assert (await first(stream, FIRST_OF["intake"], appeal_id)).type
            city.clock.advance(timedelta(seconds=1))
            assert [told async for told in stream if told.type] == []
        assert (await city.get("/intake/v1/events", None, headers={"Authorization": f"Bearer {token}"})).status == 401


async def _answers(city: City, sub: str) -> int:
    """How a stream is answered, without following it."""
    headers = {"Authorization": f"Bearer {city.token('AUDITOR', sub=sub)}"}
    url = f"{city.url}/intake/v1/events"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        return response.status


async def test_one_account_may_open_only_so_many_streams_and_others_still_may(new_city: NewCity) -> None:
    async with new_city(jobs=False, stream_limit_each=2) as city, AsyncExitStack() as stack:
        streams = [follow(city, "intake", "AUDITOR", sub="a@city") for _ in range(2)]
        for stream in streams:
            await anext(await stack.enter_async_context(aclosing(stream)))
        async with asyncio.timeout(PATIENCE_SECONDS):
            refused = await city.get("/intake/v1/events", sub="a@city")
        assert (refused.status, refused.code) == (503, "UNAVAILABLE") and "Retry-After" in refused.headers
        assert await _answers(city, "b@city") == 200
        await streams[0].aclose()
        await city.until(lambda: _answers(city, "a@city"), lambda status: status == 200)
