"""Lists give every item once and in order, page by page, within the caller's reach; their cursors are good for nothing
else; their filters do what they say; and a read that brings the position of a write sees that write or says to wait.
Each test works with a partner account of its own, whose list holds nothing but its own appeals.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import urlencode

import pytest

from services.routing_service.state import ENDED
from tests.support.city import AFTER_HOLD, WATER, City, Reply

APPEALS, ORDERS, CALLBACKS = "/intake/v1/appeals", "/routing/v1/orders", "/feedback/v1/callbacks"
UNITS, CATALOGUES, POLICIES = "/routing/v1/units", "/routing/v1/catalogue/versions", "/scoring/v1/policies"
LISTS = (APPEALS, ORDERS, CALLBACKS, UNITS, CATALOGUES, POLICIES)
READER = {APPEALS: "AUDITOR", ORDERS: "AUDITOR", CALLBACKS: "CALLBACK_OFFICER"}
_partners = count(1)


class Partner:
    """An account whose list of appeals holds only what it registered."""

    def __init__(self, city: City) -> None:
        self.city, self.sub = city, f"lister-{next(_partners)}"

    async def register(self, **changes: Any) -> Reply:
        reply = await self.city.post(APPEALS, self.city.appeal(**changes), "INTEGRATOR", sub=self.sub)
        assert reply.status == 201, reply.raw
        return reply

    async def several(self, number: int, **changes: Any) -> list[str]:
        """Their ids, once all of them are in the list."""
        ids = [(await self.register(**changes)).body["appeal_id"] for _ in range(number)]
        await self.city.until(lambda: self.ids(limit=200), lambda found: set(ids) <= set(found))
        return ids

    async def list(self, **query: Any) -> Reply:
        return await _list(self.city, APPEALS, "INTEGRATOR", self.sub, **query)

    async def ids(self, **query: Any) -> list[str]:
        reply = await self.list(**query)
        assert reply.status == 200, reply.raw
        return [item["appeal_id"] for item in reply.body["items"]]


async def _list(city: City, path: str, role: str | None = None, sub: str | None = None, **query: Any) -> Reply:
    role = role or READER.get(path, "AUDITOR")
    return await city.get(f"{path}?{urlencode(query)}", role, sub=sub, headers={"Connection": "close"})


async def _pages(city: City, path: str, limit: int, **more: Any) -> list[list[dict[str, Any]]]:
    pages, cursor = [], {}
    while True:
        reply = await _list(city, path, limit=limit, **cursor, **more)
        assert reply.status == 200, reply.raw
        pages.append(reply.body["items"])
        if (following := reply.body["next_cursor"]) is None:
            return pages
        cursor = {"cursor": following}


def _is(reply: Reply, status: int, code: str) -> bool:
    return (reply.status, reply.body.get("code")) == (status, code)


async def test_pages_hold_every_appeal_once_newest_change_first(city: City) -> None:
    partner = Partner(city)
    ids = await partner.several(7)
    who = {"role": "INTEGRATOR", "sub": partner.sub}
    for limit in (1, 2, 3, 6, 7, 8, 200):
        pages = await _pages(city, APPEALS, limit, **who)
        items = [item for page in pages for item in page]
        assert sorted(item["appeal_id"] for item in items) == sorted(ids)
        places = [(datetime.fromisoformat(item["updated_at"]), item["appeal_id"]) for item in items]
        assert places == sorted(places, reverse=True)
        assert all(len(page) == limit for page in pages[:-1]) and 0 < len(pages[-1]) <= limit


async def test_pages_hold_what_has_not_changed_although_other_things_do(city: City) -> None:
    partner = Partner(city)
    ids = await partner.several(5, kind="CONSULT")
    first = await partner.list(limit=2)
    city.clock.advance(timedelta(seconds=1))
    newer = await partner.several(2, kind="CONSULT")
    second = await partner.ids(limit=200, cursor=first.body["next_cursor"])
    assert not set(second) & set(newer)
    assert sorted([item["appeal_id"] for item in first.body["items"]] + second) == sorted(ids)


async def test_a_worklist_holds_every_order_once_the_open_first_by_due_time(
    city: City,
) -> None:
    for urgency in ("GENERAL", "LIFELINE", "EMERGENCY"):
        await city.dispatched(urgency=urgency)
    waiting = (await city.register(kind="CONSULT"))["appeal_id"]
    await city.until(lambda: city.get(f"{ORDERS}/{waiting}"), lambda reply: reply.status == 200)
    whole = [item for page in await _pages(city, ORDERS, 200) for item in page]
    for limit in (7, 50):
        items = [item for page in await _pages(city, ORDERS, limit) for item in page]
        assert [item["appeal_id"] for item in items] == [item["appeal_id"] for item in whole]
    assert len({item["appeal_id"] for item in whole}) == len(whole)
    places = [
        (item["state"] in ENDED, item["due_at"] is None, item["due_at"] or "", item["appeal_id"]) for item in whole
    ]
    assert places == sorted(places) and waiting in [item["appeal_id"] for item in whole if item["due_at"] is None]


async def test_reference_lists_are_paged_too(city: City) -> None:
    units = [item["unit_id"] for page in await _pages(city, UNITS, 97) for item in page]
    assert len(units) > 343 and units == sorted(set(units))
    district = await _pages(city, UNITS, 5, unit_type="STREET_TOWN", parent_id="110105")
    assert {item["parent_id"] for page in district for item in page} == {"110105"} and len(district) > 2
    assert len(await _pages(city, CATALOGUES, 1)) >= 1


async def test_forged_and_foreign_cursors_are_refused(city: City) -> None:
    partner, other = Partner(city), Partner(city)
    await partner.several(2)
    await other.several(2)
    cursor = (await partner.list(limit=1)).body["next_cursor"]
    assert (await partner.list(limit=1, cursor=cursor)).status == 200
    flipped = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    forged = ["", "x", "游标", "=", "%00", "AAAA", "W10", cursor.swapcase()]
    forged += [flipped, cursor[:-2], cursor + "AAAA"]
    for one in forged:
        assert _is(await partner.list(cursor=one), 400, "CURSOR_INVALID"), one
    assert _is(await other.list(cursor=cursor), 400, "CURSOR_INVALID")
    for path in (ORDERS, CALLBACKS, UNITS, CATALOGUES):
        assert _is(await _list(city, path, cursor=cursor), 400, "CURSOR_INVALID"), path


async def test_a_cursor_of_one_list_is_refused_by_the_others(city: City) -> None:
    await city.dispatched()
    await city.dispatched()
    orders = (await _list(city, ORDERS, limit=1)).body["next_cursor"]
    units = (await _list(city, UNITS, limit=1)).body["next_cursor"]
    assert _is(await _list(city, APPEALS, cursor=orders), 400, "CURSOR_INVALID")
    assert _is(await _list(city, UNITS, cursor=orders), 400, "CURSOR_INVALID")
    assert _is(await _list(city, ORDERS, cursor=units), 400, "CURSOR_INVALID")
    assert _is(await _list(city, ORDERS, cursor=orders, unit_id=WATER), 400, "CURSOR_INVALID")
    assert _is(await _list(city, ORDERS, sub="another", cursor=orders), 400, "CURSOR_INVALID")
    assert _is(await _list(city, UNITS, cursor=units, unit_type="DISTRICT"), 400, "CURSOR_INVALID")


async def test_a_cursor_belongs_to_the_filters_it_came_from(city: City) -> None:
    partner = Partner(city)
    await partner.several(2)
    cursor = (await partner.list(limit=1)).body["next_cursor"]
    assert _is(await partner.list(cursor=cursor, state="CLOSED"), 400, "CURSOR_INVALID")


@pytest.mark.parametrize("path", [path for path in LISTS if path != POLICIES])
async def test_a_limit_is_1_to_200(city: City, path: str) -> None:
    for limit in (0, -1, 201, 10**9, 10**30, "1.5", "", "ten", "1e1"):
        reply = await _list(city, path, limit=limit)
        assert _is(reply, 422, "VALIDATION_FAILED") and reply.body["errors"], limit
    for limit in (1, 200):
        assert len((await _list(city, path, limit=limit)).body["items"]) <= limit


async def test_the_list_of_policies_is_a_list_like_the_others(city: City) -> None:
    assert _is(await _list(city, POLICIES, limit=0), 422, "VALIDATION_FAILED")


@pytest.mark.parametrize("path", [CALLBACKS, UNITS, CATALOGUES, POLICIES])
async def test_every_list_can_be_asked_for_what_has_changed(city: City, path: str) -> None:
    assert (await _list(city, path, updated_after="2199-01-01T00:00:00+08:00")).body["items"] == []
    assert _is(await _list(city, path, updated_after="no time"), 422, "VALIDATION_FAILED")


async def test_naive_and_impossible_times_are_refused_by_filters(city: City) -> None:
    filters = {APPEALS: ("updated_after", "updated_before", "raised_after", "raised_before")}
    filters |= {CALLBACKS: ("due_before",), ORDERS: ("due_before", "updated_after", "updated_before")}
    times = ("2026-11-23T09:00:00", "2026-11-23", "2026-02-30T00:00:00+08:00", "2026-11-23T24:00:00", "now", "")
    for path, names in filters.items():
        for name in names:
            for time in times:
                reply = await _list(city, path, **{name: time})
                assert _is(reply, 422, "VALIDATION_FAILED"), (path, name, time)


async def test_a_bare_number_is_no_time(city: City) -> None:
    assert (await _list(city, APPEALS, updated_after="1700000000")).status == 422


async def test_a_time_at_the_edge_of_the_calendar_is_no_server_error(city: City) -> None:
    for path in (APPEALS, ORDERS):
        assert (await _list(city, path, updated_after="0001-01-01T00:00:00+14:00")).status < 500
        assert (await _list(city, path, updated_before="9999-12-31T23:59:59-14:00")).status < 500


async def test_nul_in_a_filter_is_no_server_error(city: City) -> None:
    for path, name in ((APPEALS, "district"), (APPEALS, "tag"), (ORDERS, "unit_id"), (UNITS, "parent_id")):
        assert (await _list(city, path, **{name: "\x00"})).status < 500


async def test_wild_filters_find_nothing_and_break_nothing(city: City) -> None:
    partner = Partner(city)
    await partner.several(1)
    for text in ("%", "_", "\\", "'", '"', "%' OR '1'='1", " > ", "𠀀", "\u200b"):
        for name in ("district", "township", "unit_id", "category", "tag"):
            assert await partner.ids(**{name: text}) == [], (name, text)
    for name, value in {"state": "closed", "kind": "X", "channel": "FAX", "overdue": "maybe"}.items():
        assert _is(await partner.list(**{name: value}), 422, "VALIDATION_FAILED")


async def test_filters_of_appeals_do_what_they_say(city: City) -> None:
    partner = Partner(city)
    consult = {"kind": "CONSULT", "channel": "PHONE", "category_path": ["供水", "停水"], "tags": ["急", "老人"]}
    one = (await partner.several(1, **consult, location={"district": "110105", "township": "110105001"}))[0]
    middle = city.clock.advance(timedelta(seconds=1)).isoformat()
    two = (await partner.several(1, kind="PRAISE", category_path=["供水压力"], raised_at=middle))[0]
    assert await partner.ids(updated_after=middle) == [two] and await partner.ids(updated_before=middle) == [one]
    assert await partner.ids(raised_after=middle) == [two] and await partner.ids(raised_before=middle) == [one]
    for name, value in {"kind": "CONSULT", "channel": "PHONE", "district": "110105", "township": "110105001"}.items():
        assert await partner.ids(**{name: value}) == [one], name
    for name, value in {"category": "供水 > 停水", "tag": "老人"}.items():
        assert await partner.ids(**{name: value}) == [one], name
    assert await partner.ids(category="供水") == [one] and await partner.ids(tag="老") == []
    assert await partner.ids(state="REGISTERED") == [two, one] and await partner.ids(state="CLOSED") == []
    assert await partner.ids(state="REGISTERED", kind="PRAISE") == [two]
    assert (await city.post(f"{APPEALS}/{one}/withdraw", {})).status == 200
    await city.until_state(one, "WITHDRAWN")
    assert await partner.ids(state="WITHDRAWN") == [one] and await partner.ids(state="REGISTERED") == [two]


async def test_worklists_filter_by_unit_state_due_time_and_lateness(city: City) -> None:
    partner = Partner(city)
    ids = await partner.several(2, urgency="EMERGENCY")
    ids += await partner.several(1)
    for one in ids:
        await city.until(lambda one=one: city.get(f"{ORDERS}/{one}"), lambda reply: reply.status == 200)
    city.clock.advance(AFTER_HOLD)
    cases = [await city.until_state(one, "DISPATCHED") for one in ids]
    soon = (datetime.fromisoformat(cases[0]["due_at"]) + timedelta(seconds=1)).isoformat()

    async def orders(**query: Any) -> set[str]:
        pages = await _pages(city, ORDERS, 200, **query)
        return {item["appeal_id"] for page in pages for item in page} & set(ids)

    assert await orders(unit_id=WATER) == set(ids) and await orders(unit_id="bj-gas") == set()
    assert await orders(due_before=soon) == set(ids[:2]) and await orders(due_before=cases[0]["due_at"]) == set()
    assert await orders(state="DISPATCHED") == set(ids) and await orders(state="SIGNED") == set()
    assert (await city.sign(cases[2])).status == 200
    await city.until(lambda: orders(state="SIGNED"), lambda found: found == {ids[2]})
    assert await orders(unit_id=WATER, state="DISPATCHED", due_before=soon) == set(ids[:2])
    assert await partner.ids(unit_id=WATER, overdue="true") == []
    city.clock.set(datetime.fromisoformat(soon))
    assert set(await partner.ids(overdue="true")) == set(ids[:2])
    assert await partner.ids(overdue="false") == [ids[2]]


async def test_the_callback_queue_is_soonest_first_and_filters_by_due_time(city: City) -> None:
    ids = []
    for _ in range(3):
        case = await city.dispatched()
        await city.handle(case)
        await city.until_state(case["appeal_id"], "CALLBACK_DUE")
        ids.append(case["appeal_id"])

    async def queue(limit: int, **query: Any) -> list[dict[str, Any]]:
        pages = await _pages(city, CALLBACKS, limit, **query)
        return [item for page in pages for item in page if item["appeal_id"] in ids]

    found = await city.until(lambda: queue(200), lambda items: len(items) == 3)
    assert [item["appeal_id"] for item in found] == ids == [item["appeal_id"] for item in await queue(1)]
    due = found[1]["callback_due_at"]
    assert [item["appeal_id"] for item in await queue(2, due_before=due)] == ids[:1]
    assert (await city.callback(case)).status == 200
    await city.until(lambda: queue(200), lambda items: [item["appeal_id"] for item in items] == ids[:2])


async def test_a_read_that_brings_a_position_sees_the_write(city: City) -> None:
    partner = Partner(city)
    for _ in range(20):
        written = await partner.register()
        headers = {"If-Position": written.headers["Appeal-Position"]}
        appeal_id = written.body["appeal_id"]
        one, many = await asyncio.gather(
            city.get(f"{APPEALS}/{appeal_id}", headers=headers),
            city.get(f"{APPEALS}?limit=1", "INTEGRATOR", sub=partner.sub, headers=headers),
        )
        assert one.status == many.status == 200
        assert many.body["items"][0]["appeal_id"] in {appeal_id, *await partner.ids(limit=200)}
        assert appeal_id in await partner.ids(limit=200)


async def test_a_position_of_a_neighbour_is_waited_for(city: City) -> None:
    case = await city.dispatched()
    signed = await city.sign(case)
    headers = {"If-Position": signed.headers["Appeal-Position"]}
    for path in (f"{ORDERS}/{case['appeal_id']}", f"{APPEALS}/{case['appeal_id']}"):
        reply = await city.get(path, headers=headers)
        assert (reply.status, reply.body["state"]) == (200, "SIGNED")


async def test_a_registration_can_be_followed_to_its_order(city: City) -> None:
    registered = await city.register()
    reply = await city.get(f"{ORDERS}/{registered['appeal_id']}", headers={"If-Position": registered["position"]})
    assert reply.status == 200


async def test_a_position_far_ahead_is_too_early_and_a_malformed_one_is_refused(city: City) -> None:
    ahead = ("intake:0:999999999", "intake:3:999999999999999999")
    replies = await asyncio.gather(*(city.get(APPEALS, headers={"If-Position": one}) for one in ahead))
    for reply in replies:
        assert _is(reply, 425, "TOO_EARLY") and int(reply.headers["Retry-After"]) > 0
    wrong = ["", "intake", "intake:0", "intake:0:", "intake:-1:1", "intake:4:1", "intake:0:1:2", "Intake:0:1", "x:0:1"]
    wrong += ["intake:0:9999999999999999999", "intake:0:1.5", "intake: 0:1", "intake:０:1", '"intake:0:1"']
    for path in LISTS:
        role = READER.get(path, "AUDITOR")
        for reply in await asyncio.gather(*(city.get(path, role, headers={"If-Position": one}) for one in wrong)):
            assert _is(reply, 400, "POSITION_INVALID"), (path, reply.raw)
