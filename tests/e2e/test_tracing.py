"""A caller's trace goes through the log to whoever reacts; and a broken one harms nobody."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tests.support.city import City

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


async def traces(city: City, service: str, stream: str) -> set[str | None]:
    recorded = await city.running[service].log.read_stream(stream)
    return {parent and parent.split("-")[1] for parent in (event.envelope.traceparent for event in recorded)}


async def test_events_carry_the_callers_trace_and_reactions_go_on_with_it(city: City) -> None:
    headers = {"traceparent": TRACEPARENT}
    case = (await city.post("/intake/v1/appeals", city.appeal(), "AGENT", headers=headers)).body
    assert await traces(city, "intake", f"appeal-{case['appeal_id']}") == {TRACE}
    order = f"order-{case['appeal_id']}"
    await city.until(lambda: traces(city, "routing", order), lambda seen: seen == {TRACE})


@pytest.mark.parametrize("broken", ["", "00-0-0-0", "x" * 5000, f"00-{'0' * 32}-00f067aa0ba902b7-01"])
async def test_a_broken_trace_header_is_ignored(city: City, broken: str) -> None:
    reply = await city.post("/intake/v1/appeals", city.appeal(), "AGENT", headers={"traceparent": broken})
    assert reply.status == 201
    assert await traces(city, "intake", f"appeal-{reply.body['appeal_id']}") == {None}


async def test_log_lines_lead_from_an_appeal_to_all_that_it_caused_and_tell_nothing_of_the_person(city: City) -> None:
    appeal = city.appeal()
    with capture_logs() as lines:
        case = await city.dispatched()
    decided = [line for line in lines if line["event"] == "decided" and line["subject"] == case["appeal_id"]]
    correlation = {line["type"].split(".")[-2]: line["correlation"] for line in decided}
    assert correlation["order-proposed"] == correlation["appeal-registered"] != correlation["order-dispatched"]
    assert not [text for text in (appeal["title"], appeal["content"], "王芳") if text in str(lines)]
