"""The organisation tree as people keep it: as a table, for a day ahead, as it was, and without what does not fit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from shared.contracts.envelope import rfc3339
from shared.web.tables import CSV, XLSX
from tests.support.city import City, Reply

UNITS = "/routing/v1/units"
TOWN = {"unit_id": "110105901", "name": "新街道", "unit_type": "STREET_TOWN", "parent_id": "110105"}


@pytest_asyncio.fixture(scope="module")
async def own(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    """A city whose tree nobody else looks at."""
    async with new_city() as made:
        yield made


async def kept(city: City, **changes: Any) -> Reply:
    return await city.send("PUT", UNITS, "MUNICIPAL_ADMIN", json=TOWN | changes)


async def table(city: City, text: bytes, media_type: str = CSV) -> Reply:
    return await city.send("PUT", f"{UNITS}/file", "MUNICIPAL_ADMIN", data=text, headers={"Content-Type": media_type})


async def unit(city: City, unit_id: str, met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async def found() -> dict[str, Any]:
        page = await city.get(f"{UNITS}?parent_id=110105&limit=200")
        return next((one for one in page.body["items"] if one["unit_id"] == unit_id), {})

    one: dict[str, Any] = await city.until(found, met)
    return one


@pytest.mark.parametrize("media_type", [CSV, XLSX])
async def test_the_tree_goes_out_as_a_table_and_comes_back_without_a_change(own: City, media_type: str) -> None:
    out = await own.get(UNITS, headers={"Accept": media_type})
    back = await table(own, out.raw, media_type)
    assert (back.status, back.body["refused"]) == (200, 0), back.raw
    again = await own.get(UNITS, headers={"Accept": media_type})
    assert len(back.body["items"]) > 350 and {one["version"] for one in back.body["items"]} == {1}
    assert media_type == XLSX or again.raw == out.raw


async def test_a_table_enters_new_units_and_a_wrong_line_keeps_everything_out(own: City) -> None:
    head = "unit_id,name,unit_type,parent_id,aliases\n"
    wrong = head + "110105902,甲街道,STREET_TOWN,110105,\n110105903,乙街道,STREET_TOWN,bj-water,\n"
    refused = await table(own, wrong.encode())
    assert (refused.status, [one["pointer"] for one in refused.body["errors"]]) == (422, ["/rows/3/parent_id"])
    kinds = await table(own, (head + "110105904,丙,TOWN,110105,\n").encode())
    assert [one["pointer"] for one in kinds.body["errors"]] == ["/rows/2/unit_type"]
    done = await table(own, (head + "110105902,甲街道,STREET_TOWN,110105,甲地区|甲乡\n").encode())
    assert (done.body["done"], done.body["refused"]) == (1, 0)
    assert (await unit(own, "110105902", bool))["aliases"] == ["甲地区", "甲乡"]


async def test_a_unit_hangs_on_one_that_is_there_and_fits(own: City) -> None:
    for parent in ("110999", "bj-water", None, TOWN["unit_id"]):
        reply = await kept(own, parent_id=parent)
        assert [one["pointer"] for one in reply.body["errors"]] == ["/parent_id"], parent


async def test_a_change_for_a_day_ahead_takes_effect_on_that_day_and_the_past_stays_known(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city() as city:
        assert (await kept(city)).status == 200
        await unit(city, TOWN["unit_id"], bool)
        before = city.clock.now()
        day = before + timedelta(days=30)
        assert (await kept(city, name="更名街道", effective_from=rfc3339(day))).status == 200
        planned = await unit(city, TOWN["unit_id"], lambda one: one["planned"] is not None)
        assert (planned["name"], planned["planned"]["entry"]["name"]) == ("新街道", "更名街道")
        city.clock.advance(timedelta(days=30, seconds=1))
        renamed = await unit(city, TOWN["unit_id"], lambda one: one["name"] == "更名街道")
        assert renamed["planned"] is None
        as_of = rfc3339(before).replace("+", "%2B")
        past = (await city.get(f"{UNITS}?parent_id=110105&as_of={as_of}")).body["items"]
        assert [one["name"] for one in past if one["unit_id"] == TOWN["unit_id"]] == ["新街道"]


async def test_a_whole_table_can_take_effect_on_a_day_ahead_and_nobody_knows_the_tree_of_a_day_ahead(own: City) -> None:
    text = "unit_id,name,unit_type,parent_id\n110105905,丁街道,STREET_TOWN,110105\n".encode()
    day = rfc3339(own.clock.now() + timedelta(days=9)).replace("+", "%2B")
    path, sent = f"{UNITS}/file?effective_from={day}", {"Content-Type": CSV}
    assert (await own.send("PUT", path, "MUNICIPAL_ADMIN", data=text, headers=sent)).body["done"] == 1
    planned = await unit(own, "110105905", bool)
    assert planned["name"] is None and planned["planned"]["entry"]["name"] == "丁街道"
    wrong = await own.send("PUT", f"{UNITS}/file?effective_from=x", "MUNICIPAL_ADMIN", data=text, headers=sent)
    assert [one["pointer"] for one in wrong.body["errors"]] == ["/effective_from"]
    assert (await own.get(f"{UNITS}?as_of={day}")).status == 422


async def test_nothing_is_dispatched_to_a_unit_that_exists_no_more(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city() as city:
        entries = (await city.get(f"{UNITS}?unit_type=PUBLIC_ENTERPRISE&limit=200")).body["items"]
        names = ("unit_id", "name", "name_en", "unit_type", "parent_id", "aliases")
        by_id = {one["unit_id"]: {name: one[name] for name in names} for one in entries}
        needed = await city.send("PUT", UNITS, "MUNICIPAL_ADMIN", json=by_id["bj-gas"] | {"closed": True})
        assert (needed.status, needed.code) == (409, "UNIT_HAS_DUTIES") and "rules" in needed.body["detail"]
        gone = by_id["bj-sanitation"] | {"closed": True}
        assert (await city.send("PUT", UNITS, "MUNICIPAL_ADMIN", json=gone)).status == 200
        appeal = await city.register(kind="CONSULT")
        path = f"/routing/v1/orders/{appeal['appeal_id']}"
        await city.until(lambda: city.get(path), lambda reply: reply.status == 200)
        body = {"unit_id": "bj-sanitation", "reason": "环卫"}

        async def refused() -> Reply:
            stale = {"If-Match": '"99"'}  # it is not to be dispatched while the view is behind
            return await city.post(f"{path}/dispatch", body, "DISPATCHER", headers=stale)

        reply = await city.until(refused, lambda r: r.status == 422)
        assert [one["pointer"] for one in reply.body["errors"]] == ["/unit_id"]


async def test_a_tree_never_bites_its_own_tail(own: City) -> None:
    district = {"unit_id": "110105", "name": "朝阳区", "unit_type": "DISTRICT"}
    for parent in ("110105001", "110105", "110101"):
        reply = await own.send("PUT", UNITS, "MUNICIPAL_ADMIN", json=district | {"parent_id": parent})
        assert [one["pointer"] for one in reply.body["errors"]] == ["/parent_id"], parent
