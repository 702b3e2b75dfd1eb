"""Events as they happen over HTTP: nothing missed after a break, and nobody is told of what is not theirs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, NamedTuple

import aiohttp
import pytest

from tests.support.city import PATIENCE_SECONDS, WATER, City

DISPATCHED = "cn.gov.appeals.routing.order-dispatched.v1"
PROPOSED = "cn.gov.appeals.routing.order-proposed.v1"


class Told(NamedTuple):
    id: str
    type: str
    event: dict[str, Any]


async def follow(
    city: City, service: str, role: str, last: str = "", query: str = "", **who: Any
) -> AsyncIterator[Told]:
    """The stream as a browser's EventSource reads it; marks without an event are yielded with an empty type."""
    headers = {"Authorization": f"Bearer {city.token(role, **who)}"} | ({"Last-Event-ID": last} if last else {})
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
