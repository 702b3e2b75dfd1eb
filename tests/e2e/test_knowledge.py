"""热线数据库: owners keep it, everybody reads it, answers cite it, and what is stale alarms its owner."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from shared.contracts.envelope import rfc3339
from tests.support.city import City, Reply

UNIT = "bj-water"


async def publish(city: City, title: str, **changes: Any) -> Reply:
    body = {"title": title, "text": f"{title}：请携带身份证到窗口办理。", "owner_unit": UNIT} | changes
    return await city.post("/intake/v1/knowledge", body, "ENTERPRISE_HANDLER", unit=UNIT)


async def find(city: City, q: str, reply: Reply) -> list[str]:
    headers = {"If-Position": reply.headers["Appeal-Position"]}
    found = await city.get(f"/intake/v1/knowledge/search?q={q}", None, headers=headers)
    assert found.status == 200
    return [item["knowledge_id"] for item in found.body["items"]]


async def test_what_a_unit_publishes_everybody_finds_and_reads(city: City) -> None:
    made = await publish(city, "水表过户手续", keywords=["更名"])
    knowledge_id = made.body["knowledge_id"]
    assert (made.status, made.body["state"], made.body["edition"]) == (201, "PUBLISHED", 1)
    assert knowledge_id in await find(city, "请问水表怎么过户", made)
    assert knowledge_id in await find(city, "水錶過戶", made)
    entry = await city.get(f"/intake/v1/knowledge/{knowledge_id}", None)
    assert entry.body["title"] == "水表过户手续" and entry.body["keywords"] == ["更名"]


async def test_an_edition_replaces_the_one_before_and_the_history_keeps_both(city: City) -> None:
    made = await publish(city, "阶梯水价标准")
    path = f"/intake/v1/knowledge/{made.body['knowledge_id']}"
    body = {"title": "阶梯水价标准", "text": "第一阶梯每吨5元。", "owner_unit": UNIT}
    revised = await city.send("PUT", path, "ENTERPRISE_HANDLER", json=body, unit=UNIT)
    assert revised.body["edition"] == 2
    past = (await city.get(f"{path}/history", None)).body["items"]
    assert [one["data"]["edition"] for one in past] == [1, 2]


async def test_a_unit_keeps_its_own_entries_only(city: City) -> None:
    foreign = await city.post(
        "/intake/v1/knowledge", {"title": "x", "text": "y", "owner_unit": UNIT}, "STREET_HANDLER", unit="110101008"
    )
    made = await publish(city, "用水许可")
    retired = await city.post(
        f"/intake/v1/knowledge/{made.body['knowledge_id']}/retire", {}, "STREET_HANDLER", unit="110101008"
    )
    assert (foreign.status, retired.status) == (404, 404)


async def test_an_answer_cites_the_edition_that_it_was_given_from(city: City) -> None:
    made = await publish(city, "停水通知查询")
    case = await city.register(kind="CONSULT", content="请问哪里查停水通知")
    cited = {"text": "请关注公众号", "knowledge_id": made.body["knowledge_id"]}
    reply = await city.post(f"/intake/v1/appeals/{case['appeal_id']}/answer", cited)
    assert reply.status == 200
    stream = await city.running["intake"].log.read_stream(f"appeal-{case['appeal_id']}")
    assert stream[-1].envelope.data["knowledge_edition"] == 1


async def test_what_is_not_told_any_more_is_not_cited(city: City) -> None:
    made = await publish(city, "旧版报装流程")
    await city.post(f"/intake/v1/knowledge/{made.body['knowledge_id']}/retire", {}, "HOTLINE_SUPERVISOR")
    case = await city.register(kind="CONSULT", content="请问报装流程")
    cited = {"text": "…", "knowledge_id": made.body["knowledge_id"]}
    reply = await city.post(f"/intake/v1/appeals/{case['appeal_id']}/answer", cited)
    assert (reply.status, reply.code) == (409, "KNOWLEDGE_NOT_CITABLE")


async def test_an_entry_whose_validity_has_ended_is_not_found_and_waits_for_its_owner(city: City) -> None:
    until = rfc3339(city.clock.now() + timedelta(days=1))
    made = await publish(city, "临时供水点位置", valid_until=until)
    knowledge_id = made.body["knowledge_id"]
    assert knowledge_id in await find(city, "临时供水点位置", made)
    city.clock.advance(timedelta(days=1, seconds=1))

    async def stale() -> list[str]:
        reply = await city.get(f"/intake/v1/knowledge?owner_unit={UNIT}&state=EXPIRED&limit=200", None)
        return [item["knowledge_id"] for item in reply.body["items"]]

    await city.until(stale, lambda ids: knowledge_id in ids)
    assert knowledge_id not in await find(city, "临时供水点位置", made)
