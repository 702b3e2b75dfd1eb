"""Follow and act: what a resident may do with the code, what the hotline does, and what everybody then sees."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.support.city import City

FIRE = "三号楼着火了，浓烟很大，请快来人！"


async def track(city: City, made: dict[str, Any]) -> dict[str, Any]:
    headers = {"X-Tracking-Code": made["tracking_code"], "If-Position": made["position"]}
    reply = await city.get(f"/intake/v1/track/{made['ticket_no']}", None, headers=headers)
    assert reply.status == 200, reply.body
    return dict(reply.body)


async def act(city: City, made: dict[str, Any], what: str, body: Any = None, code: str | None = None) -> Any:
    headers = {"X-Tracking-Code": code or made["tracking_code"]}
    reply = await city.post(f"/intake/v1/track/{made['ticket_no']}/{what}", body or {}, None, headers=headers)
    made["position"] = reply.headers.get("Appeal-Position", made["position"])
    return reply


async def test_a_call_for_help_is_answered_with_whom_to_call_and_reported_at_once(city: City) -> None:
    made = await city.register(content=FIRE, title="快来人")
    assert [one["call"] for one in made["advice"]] == ["119"] and "119" in made["advice"][0]["en"]
    listed = await city.get("/intake/v1/appeals?alert=119&limit=200", headers={"If-Position": made["position"]})
    assert made["appeal_id"] in [item["appeal_id"] for item in listed.body["items"]]
    stream = await city.running["intake"].log.read_stream(f"appeal-{made['appeal_id']}")
    assert [event.type.split(".")[-2] for event in stream] == ["appeal-registered", "risk-alert-raised"]
    assert (await track(city, made))["advice"][0]["call"] == "119"


async def test_an_emergency_goes_to_its_unit_under_the_shortest_limit(city: City) -> None:
    case = await city.dispatched(content=FIRE, title="自来水管爆裂引起火灾")
    order = (await city.get(f"/routing/v1/orders/{case['appeal_id']}")).body
    assert order["tier"] == "EMERGENCY"


async def test_a_resident_adds_something_and_the_whole_case_shows_it(city: City) -> None:
    made = await city.register()
    assert (await act(city, made, "supplement", {"text": "昨晚又停了一次"})).status == 200
    seen = await track(city, made)
    assert (seen["supplements"], seen["urges"]) == (1, 0)
    case = (await city.get(f"/intake/v1/appeals/{made['appeal_id']}")).body
    texts = [one["data"].get("text") for one in case["timeline"] if "supplemented" in one["type"]]
    assert texts == ["昨晚又停了一次"]


async def test_a_resident_reminds_the_unit_once_a_day(city: City) -> None:
    made = await city.register()
    assert (await act(city, made, "urge")).status == 200
    again = await act(city, made, "urge")
    assert (again.status, again.code) == (429, "URGED_RECENTLY") and int(again.headers["Retry-After"]) > 0
    city.clock.advance(timedelta(days=1))
    assert (await act(city, made, "urge", {"reason": "老人在家"})).status == 200
    assert (await track(city, made))["urges"] == 2


async def test_without_the_code_nothing_can_be_done_and_nothing_is_learnt(city: City) -> None:
    made = await city.register()
    for what, body in (("supplement", {"text": "x"}), ("urge", {}), ("withdraw", {})):
        reply = await act(city, made, what, body, code="0000-0000")
        assert (reply.status, reply.code) == (404, "NOT_FOUND")


async def test_after_the_end_nothing_is_added(city: City) -> None:
    made = await city.register()
    assert (await act(city, made, "withdraw")).status == 200
    reply = await act(city, made, "supplement", {"text": "还有"})
    assert (reply.status, reply.code) == (409, "ILLEGAL_TRANSITION")


async def test_who_is_sent_elsewhere_is_told_why_and_where_to_in_both_languages(city: City) -> None:
    made = await city.register()
    body = {"route": "STATUTORY_CHANNEL", "reason": "劳动争议", "target": "朝阳区劳动人事争议仲裁委员会"}
    reply = await city.post(f"/intake/v1/appeals/{made['appeal_id']}/redirect", body)
    made["position"] = reply.headers["Appeal-Position"]
    notice = (await track(city, made))["notice"]
    assert (notice["reason"], notice["target"]) == (body["reason"], body["target"])
    assert "仲裁" in notice["zh"] and "arbitration" in notice["en"]


async def test_an_answer_at_once_is_read_with_the_code(city: City) -> None:
    made = await city.register(kind="CONSULT", content="请问居住证怎么办理")
    reply = await city.post(f"/intake/v1/appeals/{made['appeal_id']}/answer", {"text": "请到派出所办理"})
    made["position"] = reply.headers["Appeal-Position"]
    assert (await track(city, made))["notice"]["text"] == "请到派出所办理"


async def test_the_hotline_tags_links_and_reports(city: City) -> None:
    one, other = await city.register(), await city.register()
    path = f"/intake/v1/appeals/{one['appeal_id']}"
    assert (await city.post(f"{path}/tags", {"tags": ["每月一题", "供水"]})).status == 200
    assert (await city.post(f"{path}/link", {"other": other["appeal_id"]})).status == 200
    danger = {"level": "WATCH", "category": "扬言", "reason": "情绪激动"}
    reply = await city.post(f"{path}/risk-alert", danger)
    case = (await city.get(path, headers={"If-Position": reply.headers["Appeal-Position"]})).body
    assert case["tags"] == ["每月一题", "供水"] and case["cluster"] == other["appeal_id"]
    assert case["alerts"] == ["扬言"]
    for query in ("tag=供水", f"cluster={other['appeal_id']}", "alert=扬言"):
        listed = await city.get(f"/intake/v1/appeals?{query}&limit=200")
        assert one["appeal_id"] in [item["appeal_id"] for item in listed.body["items"]]


async def test_a_unit_does_none_of_this(city: City) -> None:
    case = await city.dispatched()
    for what, body in (("tags", {"tags": []}), ("link", {"other": case["appeal_id"]}), ("urge", {})):
        reply = await city.as_unit(case, f"/intake/v1/appeals/{case['appeal_id']}/{what}", body)
        assert (reply.status, reply.code) == (403, "FORBIDDEN")
