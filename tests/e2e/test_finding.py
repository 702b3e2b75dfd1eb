"""Appeals are found by what they say, where they are and what they resemble; and only by whom they concern."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.city import City

LEAK = "顶楼房屋漏雨，下雨天客厅到处是水，物业一直不来修，请帮忙解决。"
HERE = {"longitude": 116.397, "latitude": 39.909}
NORTH = {"longitude": 116.397, "latitude": 39.9135}  # 500 m further north


async def register(city: City, content: str, phone: str, **more: Any) -> str:
    made = await city.register(content=content, appellant={"name": "李雷", "phone": phone}, **more)
    seen = await city.get(f"/intake/v1/appeals/{made['appeal_id']}", headers={"If-Position": made["position"]})
    assert seen.status == 200
    return str(made["appeal_id"])


async def found(city: City, query: str, role: str = "AGENT", **who: Any) -> list[str]:
    reply = await city.get(f"/intake/v1/appeals?{query}", role, **who)
    assert reply.status == 200, reply.body
    return [item["appeal_id"] for item in reply.body["items"]]


@pytest.mark.parametrize("query", ["房屋漏雨", "客厅到处是水，物业", "房屋漏雨，", "漏雨"])
async def test_words_are_found_wherever_they_stand(city: City, query: str) -> None:
    leaking = await register(city, LEAK + query, "13900000001")
    other = await register(city, "楼下烧烤店油烟扰民，房屋里全是味道，下雨也一样。", "13900000002")
    listed = await found(city, f"q={query}&limit=200")
    assert leaking in listed and other not in listed


async def test_traditional_script_finds_simplified_and_the_other_way_round(city: City) -> None:
    written = "鐘樓灣胡同裡的路燈壞了三天，夜裡很黑，請儘快修復。"
    lamp = await register(city, written, "13900000003")
    assert lamp in await found(city, "q=钟楼湾胡同里的路灯")
    assert lamp in await found(city, "q=鐘樓灣胡同")
    case = await city.get(f"/intake/v1/appeals/{lamp}")
    assert case.body["content"] == written


async def test_words_that_only_happen_to_share_all_pairs_of_letters_are_not_found(city: City) -> None:
    appeal = await register(
        city, "丁丙丁甲乙。丙甲丙丁乙丙。", "13900000004"
    )  # every pair of 甲丙丁乙, nowhere in a row
    assert appeal not in await found(city, "q=丙丁乙丙甲")


async def test_what_is_near_is_found_in_any_datum(city: City) -> None:
    near = await register(city, LEAK, "13900000005", location=HERE)
    mars = {"longitude": 116.403243, "latitude": 39.910403, "datum": "GCJ02"}  # the same place on a Chinese map
    same = await register(city, LEAK, "13900000006", location=mars)
    far = await register(city, LEAK, "13900000007", location=NORTH)
    nowhere = await register(city, LEAK, "13900000008")
    close = await found(city, "near=116.397,39.909,50&limit=200")
    wide = await found(city, "near=116.397,39.909,600&limit=200")
    assert {near, same} <= set(close) and not {far, nowhere} & set(close)
    assert {near, same, far} <= set(wide) and nowhere not in wide


@pytest.mark.parametrize(
    "query", ["q=水", "q=。", "near=1,2", "near=181,0,5", "near=0,0,-1", "near=a,b,c", "near=1,2,nan"]
)
async def test_what_cannot_be_searched_for_is_refused(city: City, query: str) -> None:
    reply = await city.get(f"/intake/v1/appeals?{query}")
    assert (reply.status, reply.code) == (422, "VALIDATION_FAILED")


async def test_pages_of_a_search_are_full_and_complete(city: City) -> None:
    word = "银杏大道七巷"
    mine = {await register(city, f"{word}的路灯不亮{n}", f"1390000{n:04}") for n in range(1000, 1007)}
    await register(city, "银杏大道。大道七巷。", "13900000009")  # shares all pairs, does not hold the word
    seen: list[str] = []
    cursor, sizes = "", []
    while True:
        reply = await city.get(f"/intake/v1/appeals?q={word}&limit=3{cursor}")
        sizes.append(len(reply.body["items"]))
        seen += [item["appeal_id"] for item in reply.body["items"]]
        if reply.body["next_cursor"] is None:
            break
        cursor = f"&cursor={reply.body['next_cursor']}"
    assert set(seen) == mine and len(seen) == 7 and sizes == [3, 3, 1]


async def test_a_unit_finds_its_own_appeals_only(city: City) -> None:
    await register(city, "紫藤小区三号楼停水", "13900000010")
    assert await found(city, "q=紫藤小区", "STREET_HANDLER", unit="bj-110101008") == []


async def test_a_repeat_of_the_same_person_and_the_same_problem_elsewhere_are_told_apart(city: City) -> None:
    text = "梧桐里小区地下车库积水严重，车辆无法通行，物业不处理。"
    first = await register(city, text, "13911110001")
    again = await register(city, "我又来反映梧桐里小区地下车库积水，物业还是不处理，车子开不出去。", "139-1111-0001")
    other = await register(city, text + "请尽快解决。", "13911110002")
    reply = await city.get(f"/intake/v1/appeals/{first}/similar", "AGENT")
    relations = {item["appeal_id"]: item["relation"] for item in reply.body["items"]}
    assert relations[again] == "SAME_PERSON_REPEAT" and relations[other] == "SAME_PROBLEM" and first not in relations
    scores = [float(item["score"]) for item in reply.body["items"]]
    assert scores == sorted(scores, reverse=True)


async def test_before_registration_an_agent_sees_what_is_already_there(city: City) -> None:
    text = "青年路地铁口共享单车乱停放，盲道被占，行人只能走机动车道。"
    there = await register(city, text, "13922220001")
    body = {"content": text + "盼解决", "phone": "+86 139 2222 0001"}
    reply = await city.post("/intake/v1/similar", body, "AGENT")
    assert [(one["appeal_id"], one["relation"]) for one in reply.body["items"]] == [(there, "SAME_PERSON_REPEAT")]
    refused = await city.post("/intake/v1/similar", body, "STREET_HANDLER", unit="bj-110101008")
    assert refused.status == 403


async def test_the_index_holds_nothing_readable(city: City) -> None:
    await register(city, "绝无仅有的词语麒麟阁", "13933330001", location={"address": "麒麟阁胡同七号"})
    rows = await city.running["intake"].pool.fetch("SELECT search::text AS row FROM search")
    assert rows and not [row for row in rows if "麒麟" in row["row"] or "13933330001" in row["row"]]
