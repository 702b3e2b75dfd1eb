"""Places of appeals, from the door to the list: by name in either script, by point, and before anything is stored."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.addresses import gateway
from services.charting import chart, read_facts
from tests.support.city import WATER, City
from tests.support.views import settled

NewCity = Callable[..., AbstractAsyncContextManager[City]]
CHAOYANG, CHAOWAI, DONGCHENG, YABAOLI = "110105", "110105002", "110101", "110105002028"
PLACES = "/intake/v1/places"
SQUARE = [[116.4, 39.9], [116.6, 39.9], [116.6, 40.0], [116.4, 40.0], [116.4, 39.9]]
INSIDE, OUTSIDE = {"longitude": 116.5, "latitude": 39.95}, {"longitude": 121.47, "latitude": 31.23}
DISTRICT = {"unit_id": CHAOYANG, "name": "朝阳区", "name_en": "Chaoyang District", "unit_type": "DISTRICT"}
SIMPLIFIED = {"title": "小区停水两天了", "content": "小区停水两天了，自来水公司电话打不通"}
TRADITIONAL = {"title": "小區停水兩天了", "content": "小區停水兩天了，自來水公司電話打不通"}


async def seen(city: City, **changes: Any) -> dict[str, Any]:
    """Register an appeal and read it."""
    made = await city.register(**changes)
    reply = await city.get(f"/intake/v1/appeals/{made['appeal_id']}", headers={"If-Position": made["position"]})
    assert reply.status == 200, reply.raw
    case: dict[str, Any] = reply.body
    return case


async def located(city: City, **location: Any) -> dict[str, Any]:
    """Register an appeal there; where it is, by the case."""
    place: dict[str, Any] = (await seen(city, location=location))["location"]
    return place


async def asked(city: City, **location: Any) -> dict[str, Any]:
    reply = await city.post(PLACES, location, "AGENT")
    assert reply.status == 200, reply.raw
    answer: dict[str, Any] = reply.body
    return answer


@pytest_asyncio.fixture(scope="module")
async def mapped(new_city: NewCity) -> AsyncIterator[City]:
    """A city that knows the ground of one district, a small square."""
    async with new_city() as city:
        ground = {"type": "MultiPolygon", "coordinates": [[SQUARE]]}
        reply = await city.send("PUT", "/routing/v1/units", "MUNICIPAL_ADMIN", json=DISTRICT | {"boundary": ground})
        assert reply.status == 200, reply.raw
        await city.until(lambda: asked(city, **INSIDE), lambda answer: answer["found_by"] == "POINT")
        yield city


@pytest.mark.parametrize("address", ["北京市朝阳区朝外街道某小区3号楼", "北京市朝陽區朝外街道某小區3號樓", "朝外街道"])
async def test_an_address_gives_the_codes_that_the_case_is_listed_under(city: City, address: str) -> None:
    tag = f"places {address}"
    case = await seen(city, location={"address": address}, tags=[tag])
    place = case["location"]
    assert (place["district"], place["township"], place["found_by"]) == (CHAOYANG, CHAOWAI, "ADDRESS")
    assert place["address"] == address

    async def listed(narrowed: str) -> list[str]:
        reply = await city.get(f"/intake/v1/appeals?tag={tag}&{narrowed}")
        assert reply.status == 200, reply.raw
        return [item["appeal_id"] for item in reply.body["items"]]

    assert await listed(f"district={CHAOYANG}") == await listed(f"township={CHAOWAI}") == [case["appeal_id"]]
    assert await listed(f"district={DONGCHENG}") == []


async def test_a_name_that_nobody_knows_is_kept_and_not_refused(city: City) -> None:
    place = await located(city, district="火星区", address="环形山路1号")
    assert (place["district"], place.get("township"), place.get("found_by")) == ("火星区", None, None)


async def test_traditional_script_is_dispatched_automatically_like_simplified(city: City) -> None:
    async def proposed(text: dict[str, str], address: str) -> dict[str, Any]:
        case = await city.dispatched(**text, location={"address": address})
        assert (case["lead_unit"], case["title"], case["content"]) == (WATER, text["title"], text["content"])
        reply = await city.get(f"/routing/v1/orders/{case['appeal_id']}/proposals")
        answer: dict[str, Any] = reply.body
        return answer

    simplified = await proposed(SIMPLIFIED, "北京市朝阳区朝外街道")
    traditional = await proposed(TRADITIONAL, "北京市朝陽區朝外街道")
    assert simplified["automatic"] and simplified["items"][0]["unit_id"] == WATER
    assert traditional == simplified


async def test_a_point_gives_the_district_whose_ground_it_is(mapped: City) -> None:
    place = await located(mapped, **INSIDE)
    assert (place["district"], place["found_by"]) == (CHAOYANG, "POINT")
    assert place.get("outside_city") is None


async def test_a_point_outside_is_registered_all_the_same_and_flagged(mapped: City) -> None:
    place = await located(mapped, **OUTSIDE)
    assert place["outside_city"] is True and place.get("district") is None
    assert (float(place["longitude"]), float(place["latitude"])) == (OUTSIDE["longitude"], OUTSIDE["latitude"])


async def test_a_point_in_another_district_than_the_named_one_is_registered_and_flagged(mapped: City) -> None:
    place = await located(mapped, district="东城区", **INSIDE)
    assert (place["district"], place["point_district"]) == (DONGCHENG, CHAOYANG)


async def test_the_ground_of_a_unit_comes_out_as_it_went_in(mapped: City) -> None:
    reply = await mapped.get("/routing/v1/units?unit_type=DISTRICT&limit=200")
    (unit,) = [unit for unit in reply.body["items"] if unit["unit_id"] == CHAOYANG]
    assert unit["boundary"] == {"type": "MultiPolygon", "coordinates": [[SQUARE]]}


@pytest.mark.parametrize("boundary", [{"type": "Polygon", "coordinates": [SQUARE]}, {"coordinates": []}, [], "square"])
async def test_what_is_no_ground_is_refused(city: City, boundary: Any) -> None:
    reply = await city.send("PUT", "/routing/v1/units", "MUNICIPAL_ADMIN", json=DISTRICT | {"boundary": boundary})
    assert (reply.status, reply.code) == (422, "VALIDATION_FAILED")
    assert all(error["pointer"].startswith("/boundary") for error in reply.body["errors"])


async def test_whoever_registers_can_ask_first_and_is_told_names(city: City) -> None:
    answer = await asked(city, address="北京市朝陽區朝外街道")
    assert answer["district"] == {"code": CHAOYANG, "name": "朝阳区"}
    assert answer["township"] == {"code": CHAOWAI, "name": "朝外街道"}
    assert (answer["community"], answer["found_by"]) == (None, "ADDRESS")


async def test_asking_for_a_place_stores_nothing(mapped: City) -> None:
    await settled(mapped)
    before = {name: await running.log.heads() for name, running in mapped.running.items()}
    await asked(mapped, address="朝阳区朝外街道", **OUTSIDE)
    assert {name: await running.log.heads() for name, running in mapped.running.items()} == before


@pytest.mark.parametrize(("role", "status"), [("AGENT", 200), ("APPELLANT", 200), ("AUDITOR", 403), (None, 401)])
async def test_only_those_who_may_register_ask_for_places(city: City, role: str | None, status: int) -> None:
    assert (await city.post(PLACES, {"district": "朝阳区"}, role)).status == status


@pytest.mark.parametrize("body", [{"longitude": 116.5}, {"longitude": 181, "latitude": 39.9}, {"street": "x"}, []])
async def test_a_place_that_cannot_be_is_refused(city: City, body: Any) -> None:
    reply = await city.post(PLACES, body, "AGENT")
    assert (reply.status, reply.code) == (422, "VALIDATION_FAILED")


async def test_charting_enters_what_is_new_once_and_keeps_what_the_tree_knows(
    new_city: NewCity, tmp_path: Path
) -> None:
    divisions, communities, ground = (tmp_path / name for name in ("divisions", "communities", "ground"))
    divisions.write_text(
        f"code,name,level,parent_code,other_name\n{CHAOYANG},朝阳区,district,110000,\n"
        f"{CHAOWAI},朝外街道,subdistrict,{CHAOYANG},朝外\n"
    )
    communities.write_text(f"code,name,town_code\n{YABAOLI},雅宝里社区居委会,{CHAOWAI}\n")
    shape = {"type": "Polygon", "coordinates": [SQUARE]}
    features = [{"type": "Feature", "properties": {"code": CHAOYANG}, "geometry": shape}]
    ground.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    facts = read_facts(divisions, communities, ground)
    async with new_city() as city:

        async def charted() -> dict[str, int]:
            answer = await chart(gateway(city.url), city.token("MUNICIPAL_ADMIN"), facts, lambda done, of: None)
            await settled(city)
            return answer

        assert await charted() == {"entered": 3, "already there": 0, "left out": 0}
        heads = await city.running["routing"].log.heads()
        assert await charted() == {"entered": 0, "already there": 3, "left out": 0}
        assert await city.running["routing"].log.heads() == heads
        units = (await city.get("/routing/v1/units?unit_type=DISTRICT&limit=200")).body["items"]
        (district,) = [unit for unit in units if unit["unit_id"] == CHAOYANG]
        assert district["name_en"] == DISTRICT["name_en"] and district["boundary"]["coordinates"] == [[SQUARE]]
        found = await city.until(
            lambda: located(city, address="雅寶里社區3號樓"), lambda place: place.get("community") is not None
        )
        assert (found["district"], found["township"], found["community"]) == (CHAOYANG, CHAOWAI, YABAOLI)
