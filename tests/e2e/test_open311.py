"""Open311 GeoReport v2, as clients of other cities expect it, in XML and in JSON."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from shared.contracts.envelope import rfc3339
from tests.support.city import City, Reply
from tests.support.views import settled

BASE = "/intake/open311/v2"
LAMP = {"service_code": "street-light", "lat": "39.90923", "long": "116.39742", "description": "路灯不亮三天了"}
WHO = {"first_name": "雷", "last_name": "李", "phone": "13900000311", "email": "li@example.cn"}


async def get(city: City, path: str) -> Any:
    reply = await city.get(f"{BASE}{path}", None)
    assert reply.status == 200, reply.raw
    if "xml" in path.partition("?")[0]:
        assert reply.headers["Content-Type"] == "text/xml; charset=utf-8"
        return ElementTree.fromstring(reply.raw)
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    return reply.body


async def post(city: City, form: str = "json", role: str = "INTEGRATOR", **fields: str) -> Reply:
    sent = {"api_key": city.token(role, sub="geo-client")} | fields
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return await city.send("POST", f"{BASE}/requests.{form}", None, data=urlencode(sent).encode(), headers=headers)


async def made(city: City, **fields: str) -> str:
    reply = await post(city, **(LAMP | WHO | fields))
    assert reply.status == 200, reply.body
    number = reply.body[0]["service_request_id"]
    await city.until(lambda: city.get(f"{BASE}/requests/{number}.json", None), lambda one: one.status == 200)
    return str(number)


async def test_discovery_names_two_endpoints_with_both_formats(city: City) -> None:
    document = await get(city, "/discovery.json")
    assert [one["type"] for one in document["endpoints"]] == ["production", "test"]
    assert all(one["specification"].endswith("GeoReport_v2") for one in document["endpoints"])
    root = await get(city, "/discovery.xml")
    assert root.tag == "discovery" and len(root.findall("endpoints/endpoint")) == 2
    assert [one.text for one in root.findall("endpoints/endpoint")[0].findall("formats/format")] == [
        "text/xml",
        "application/json",
    ]


async def test_services_are_listed_and_those_with_metadata_are_defined(city: City) -> None:
    listed = await get(city, "/services.json")
    wanted = {"service_code", "service_name", "description", "metadata", "type", "keywords", "group"}
    assert listed and all(set(one) == wanted and one["type"] == "realtime" for one in listed)
    root = await get(city, "/services.xml")
    assert root.tag == "services" and len(root.findall("service")) == len(listed)
    assert {one.findtext("metadata") for one in root} == {"true", "false"}
    for one in listed:
        definition = await get(city, f"/services/{one['service_code']}.json")
        assert definition["service_code"] == one["service_code"] and bool(definition["attributes"]) == one["metadata"]
    root = await get(city, "/services/road-damage.xml")
    assert root.tag == "service_definition"
    assert [value.findtext("key") for value in root.findall("attributes/attribute/values/value")] == ["S", "L"]


async def test_a_request_becomes_an_appeal_like_any_other(city: City) -> None:
    number = await made(city, **{"attribute[POLE]": "A-117"})
    (found,) = await get(city, f"/requests/{number}.json")
    assert (found["status"], found["service_code"]) == ("open", "street-light")
    listed = await city.get("/intake/v1/appeals?channel=OPEN311&q=A-117&limit=200")
    (case,) = (item for item in listed.body["items"] if item["ticket_no"] == number)
    whole = (await city.get(f"/intake/v1/appeals/{case['appeal_id']}")).body
    assert whole["content"].startswith("路灯不亮三天了") and whole["appellant"]["phone"].startswith("139")


async def test_the_public_sees_where_it_stands_and_neither_words_nor_the_exact_place(city: City) -> None:
    number = await made(city)
    (public,) = await get(city, f"/requests/{number}.json")
    assert (public["description"], public["address"]) == (None, None)
    assert (public["lat"], public["long"]) == (39.909, 116.397)
    key = city.token("INTEGRATOR", sub="geo-client")
    (mine,) = await get(city, f"/requests/{number}.json?api_key={key}")
    assert mine["description"] == LAMP["description"] and (mine["lat"], mine["long"]) == (39.90923, 116.39742)
    assert "139" not in str(public) + str(mine) and "李" not in str(mine)


async def test_xml_says_the_same_as_json(city: City) -> None:
    number = await made(city)
    await settled(city)  # or something happens to it between the two questions
    (found,) = await get(city, f"/requests/{number}.json")
    root = await get(city, f"/requests/{number}.xml")
    assert root.tag == "service_requests" and [one.tag for one in root] == ["request"]
    said = {element.tag: element.text for element in root[0]}
    assert said == {name: None if value is None else str(value) for name, value in found.items()}


async def test_a_request_in_xml_is_answered_in_xml(city: City) -> None:
    reply = await post(city, "xml", **LAMP, **WHO)
    root = ElementTree.fromstring(reply.raw)
    assert root.findtext("request/service_request_id")


async def test_a_token_leads_to_the_number(city: City) -> None:
    number = await made(city)
    listed = await city.get("/intake/v1/appeals?channel=OPEN311&limit=200")
    (case,) = (item for item in listed.body["items"] if item["ticket_no"] == number)
    (found,) = await get(city, f"/tokens/{case['appeal_id']}.json")
    assert found["service_request_id"] == number


async def test_requests_are_found_by_ids_status_service_and_time(city: City) -> None:
    one, other = await made(city), await made(city, service_code="noise")

    async def ids(query: str) -> list[str]:
        return [item["service_request_id"] for item in await get(city, f"/requests.json?{query}")]

    assert set(await ids(f"service_request_id={one},{other}")) == {one, other}
    assert one in await ids("service_code=street-light&status=open") and other not in await ids(
        "service_code=street-light"
    )
    assert other in await ids("service_code=street-light,noise")
    assert one not in await ids("status=closed")
    soon = urlencode({"start_date": rfc3339(city.clock.now() + timedelta(hours=1))})
    assert one not in await ids(soon)
    before = urlencode({"end_date": rfc3339(city.clock.now() - timedelta(days=91))})
    assert one not in await ids(before)
    assert len(await ids("page_size=1")) == 1
    assert await ids("page_size=1&page=1") != await ids("page_size=1&page=2")
    changed = urlencode({"updated_after": rfc3339(city.clock.now() + timedelta(hours=1))})
    assert await ids(changed) == []


@pytest.mark.parametrize(
    ("changes", "status", "why"),
    [
        ({"api_key": ""}, 403, "api_key was not provided"),
        ({"api_key": "nonsense"}, 403, "api_key is not valid"),
        ({"service_code": ""}, 400, "service_code was not provided"),
        ({"service_code": "nosuch"}, 404, "service_code was not found"),
        ({"lat": "", "long": ""}, 400, "lat and long, address_string or address_id must be provided"),
        ({"lat": "north"}, 400, "lat and long must be numbers"),
        ({"lat": "91"}, 400, "location.latitude is not acceptable"),
        ({"phone": "call me"}, 400, "appellant.phone is not acceptable"),
    ],
)
@pytest.mark.parametrize("form", ["json", "xml"])
async def test_a_bad_request_is_refused_in_words_without_an_echo(
    city: City, form: str, changes: dict[str, str], status: int, why: str
) -> None:
    reply = await post(
        city, form, **{key: value for key, value in (LAMP | WHO | changes).items() if value or key == "api_key"}
    )
    assert reply.status == status
    if form == "json":
        assert reply.body == [{"code": status, "description": why}]
    else:
        (error,) = ElementTree.fromstring(reply.raw)
        assert (error.tag, error.findtext("code"), error.findtext("description")) == ("error", str(status), why)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/requests/nosuch.json", 404),
        ("/services/nosuch.xml", 404),
        ("/tokens/nosuch.json", 404),
        ("/requests.json?status=gone", 400),
        ("/requests.json?start_date=yesterday", 400),
        ("/requests.json?start_date=2026-11-24T00:00:00", 400),
        ("/requests.json?page_size=0", 400),
        ("/requests.json?page_size=1001", 400),
        ("/requests.html", 404),
    ],
)
async def test_what_cannot_be_answered_is_an_error_document(city: City, path: str, status: int) -> None:
    assert (await city.get(f"{BASE}{path}", None)).status == status


async def test_only_a_form_is_read(city: City) -> None:
    reply = await city.post(f"{BASE}/requests.json", LAMP, None)
    assert reply.status == 400
