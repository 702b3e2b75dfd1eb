"""A unit works through its list: what is due next, what is overdue, many signed at once, handed over, exported."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any

import pytest_asyncio

from shared.web.tables import CSV, XLSX
from tests.support.city import WATER, City, Reply

ORDERS = "/routing/v1/orders"


@pytest_asyncio.fixture(scope="module")
async def own(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    """A city with two orders for the water company, one of them signed."""
    async with new_city() as made:
        first, second = await made.dispatched(), await made.dispatched()
        assert (await made.sign(first)).status == 200
        await order(made, second["appeal_id"], lambda one: one["state"] == "DISPATCHED")
        await order(made, first["appeal_id"], lambda one: one["state"] == "SIGNED")
        yield made


async def order(city: City, appeal_id: str, met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    reply = await city.until(lambda: city.get(f"{ORDERS}/{appeal_id}"), lambda r: r.status == 200 and met(r.body))
    return dict(reply.body)


async def listed(city: City, query: str = "") -> list[dict[str, Any]]:
    reply = await city.get(f"{ORDERS}?unit_id={WATER}{query}")
    assert reply.status == 200, reply.raw
    return list(reply.body["items"])


async def by_unit(city: City, path: str, body: Any, unit: str = WATER) -> Reply:
    return await city.post(f"{ORDERS}/{path}", body, "ENTERPRISE_HANDLER", unit=unit)


async def test_each_order_says_what_comes_next_and_how_long_there_is(own: City) -> None:
    by_state = {one["state"]: one for one in await listed(own)}
    signed, unsigned = by_state["SIGNED"], by_state["DISPATCHED"]
    assert (signed["next_step"], unsigned["next_step"]) == ("HANDLE", "SIGN")
    assert signed["next_due_at"] == signed["due_at"] and unsigned["next_due_at"] < unsigned["due_at"]
    left = datetime.fromisoformat(signed["due_at"]) - own.clock.now()
    assert signed["seconds_left"] == int(left.total_seconds()) and not signed["overdue"]


async def test_the_list_is_narrowed_by_what_matters(own: City) -> None:
    for query, count in {
        "": 2, "&state=SIGNED": 1, "&overdue=false": 2, "&overdue=true": 0, "&tier=LIFELINE": 2, "&tier=GENERAL": 0,
        "&supervised=true": 0, "&supervised=false": 2, "&urged=true": 0, "&open_for_days=1": 0, "&officer=-": 2,
        "&district=110105": 0, "&open=true": 2, "&open=false": 0, "&due_after=2030-01-01T00:00:00%2B08:00": 0,
    }.items():  # fmt: skip
        assert len(await listed(own, query)) == count, query
    assert (await own.get(f"{ORDERS}?overdue=perhaps")).status == 422


async def test_the_whole_list_goes_out_as_a_table(own: City) -> None:
    table = await own.get(f"{ORDERS}?unit_id={WATER}&limit=1", headers={"Accept": CSV})
    rows = list(csv.DictReader(io.StringIO(table.raw.decode("utf-8-sig"))))
    assert {row["state"] for row in rows} == {"SIGNED", "DISPATCHED"}
    assert all(row["ticket_no"] and row["due_at"] for row in rows)
    book = await own.get(f"{ORDERS}?unit_id={WATER}", headers={"Accept": XLSX})
    assert book.raw.startswith(b"PK") and book.headers["Content-Disposition"].endswith('.xlsx"')
    nothing = await own.get(ORDERS, "ENTERPRISE_HANDLER", unit="bj-gas", headers={"Accept": CSV})
    assert len(nothing.raw.splitlines()) == 1


async def test_many_are_signed_at_once_and_each_has_its_own_answer(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city() as city:
        mine = [(await city.dispatched())["appeal_id"] for _ in range(3)]
        assert (await city.sign({"appeal_id": mine[0], "lead_unit": WATER})).status == 200
        unknown = "01890000-0000-7000-8000-000000000001"
        reply = await by_unit(city, "sign", {"appeal_ids": [*mine, unknown]})
        assert (reply.status, reply.body["done"], reply.body["refused"]) == (200, 2, 2)
        told = [(one["id"], one["state"], one["code"]) for one in reply.body["items"]]
        assert told == [
            (mine[0], None, "ILLEGAL_TRANSITION"),
            (mine[1], "SIGNED", None),
            (mine[2], "SIGNED", None),
            (unknown, None, "NOT_FOUND"),
        ]
        keyed = {"Idempotency-Key": "bulk-1"}
        sent = {"appeal_ids": [mine[1], mine[1], (await city.dispatched())["appeal_id"]]}
        first, again = [
            await city.post(f"{ORDERS}/sign", sent, "ENTERPRISE_HANDLER", unit=WATER, headers=keyed) for _ in range(2)
        ]
        assert (first.body["done"], first.body["refused"]) == (1, 1) and again.body == first.body
        assert again.headers["Idempotent-Replayed"] == "true"
        other = {"appeal_ids": [mine[2]]}
        reused = await city.post(f"{ORDERS}/sign", other, "ENTERPRISE_HANDLER", unit=WATER, headers=keyed)
        assert (reused.status, reused.code) == (422, "IDEMPOTENCY_KEY_REUSED")
        foreign = await by_unit(city, "sign", {"appeal_ids": [mine[1]]}, unit="bj-gas")
        assert [one["code"] for one in foreign.body["items"]] == ["NOT_FOUND"]


async def test_an_order_is_handed_over_within_the_unit(own: City) -> None:
    (signed,) = await listed(own, "&state=SIGNED")
    id_ = signed["appeal_id"]
    assert (await by_unit(own, f"{id_}/hand-over", {"officer": "li@water"})).status == 200
    assert (await order(own, id_, lambda one: one["officer"] is not None))["officer"] == "li@water"
    assert [one["appeal_id"] for one in await listed(own, "&officer=li@water")] == [id_]
    many = await by_unit(own, "hand-over", {"appeal_ids": [id_], "officer": "zhao@water"})
    assert many.status == 200, many.raw
    assert (many.body["done"], many.body["refused"]) == (1, 0)
    await order(own, id_, lambda one: one["officer"] == "zhao@water")
    assert (await by_unit(own, f"{id_}/hand-over", {"officer": "x"}, unit="bj-gas")).status == 404
    coordinator = {"role": "DISTRICT_COORDINATOR", "unit": "110105", "district": "110105"}
    assert (await own.get(f"{ORDERS}?officer=zhao@water", **coordinator)).body["items"] == []
    told = (await own.case(id_, role="ENTERPRISE_HANDLER", unit=WATER))["timeline"]
    assert "order-handed-over" in str(told) and "zhao@water" not in str(told)
    assert (await by_unit(own, f"{id_}/hand-over", {})).status == 200
    await order(own, id_, lambda one: one["officer"] is None)


async def test_co_units_see_the_order_and_departments_no_longer_once_the_whistle_is_over(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city() as city:
        appeal = (await city.register(kind="CONSULT"))["appeal_id"]
        path = f"{ORDERS}/{appeal}"
        await city.until(lambda: city.get(path), lambda reply: reply.status == 200)
        sent = {"unit_id": "110105001", "reason": "属地", "co_units": ["bj-gas"]}
        assert (await city.post(f"{path}/dispatch", sent, "DISPATCHER")).status == 200
        assert (await order(city, appeal, lambda one: one["state"] == "DISPATCHED"))["co_units"] == ["bj-gas"]
        street = {"role": "STREET_HANDLER", "unit": "110105001"}
        assert (await city.post(f"{path}/sign", **street)).status == 200
        blown = {"departments": ["bj-fire"], "kind": "EMERGENCY", "reason": "隐患"}
        assert (await city.post(f"{path}/whistle", blown, **street)).status == 200
        await order(city, appeal, lambda one: one["co_units"] == ["bj-gas", "bj-fire"])
        assert (await city.post(f"{path}/whistle/close", {}, **street)).status == 200
        await order(city, appeal, lambda one: one["co_units"] == ["bj-gas"])
        seen = {unit: (await city.get(path, "DEPARTMENT_HANDLER", unit=unit)).status for unit in ("bj-gas", "bj-fire")}
        assert seen == {"bj-gas": 200, "bj-fire": 404}
        twice = await city.post(f"{path}/dispatch", sent | {"co_units": ["bj-nobody"]}, "DISPATCHER")
        assert [one["pointer"] for one in twice.body["errors"]] == ["/co_units/0"]


async def test_the_clock_reminds_watches_and_takes_it_up(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city() as city:
        case = await city.dispatched(urgency="COMPLEX")
        id_ = case["appeal_id"]
        assert (await city.sign(case)).status == 200
        for _ in range(3):
            urged = await city.post(f"/intake/v1/appeals/{id_}/urge", {"reason": "还没有人来"}, "AGENT")
            assert urged.status == 200, urged.raw
            city.clock.advance(timedelta(days=1, minutes=1))
        told = await order(city, id_, lambda one: one["supervised"])
        assert (told["urges"], told["sign_overdue"]) == (3, False)
        assert [one["appeal_id"] for one in await listed(city, "&supervised=true&urged=true")] == [id_]
        city.clock.advance(timedelta(days=46))
        await order(city, id_, lambda one: one["escalated"])
        story = (await city.case(id_))["timeline"]
        steps = [one["data"] for one in story if one["type"].split(".")[-2] == "ladder-step-taken"]
        assert [(one["step"], one["ground"]) for one in steps] == [
            ("SUPERVISION", "URGED"),
            ("ESCALATION", "LONG_OPEN"),
        ]
        assert [one["appeal_id"] for one in await listed(city, "&open_for_days=30")] == [id_]


async def test_accuracy_counts_what_was_kept_returned_and_corrected(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city() as city:
        kept, moved = await city.dispatched(), await city.dispatched()
        said = {"ground": "DUTY", "reason": "管道归燃气集团"}
        assert (await city.as_unit(moved, f"{ORDERS}/{moved['appeal_id']}/object", said)).status == 200
        upheld = {"unit_id": "bj-gas", "reason": "确属燃气"}
        assert (
            await city.post(f"{ORDERS}/{moved['appeal_id']}/objection/uphold", upheld, "MUNICIPAL_ADMIN")
        ).status == 200
        await order(city, moved["appeal_id"], lambda one: one["lead_unit"] == "bj-gas")
        await order(city, kept["appeal_id"], lambda one: one["state"] == "DISPATCHED")
        await city.handle(kept)
        await city.until_state(kept["appeal_id"], "CALLBACK_DUE")
        assert (await city.callback(kept)).status == 200
        await order(city, kept["appeal_id"], lambda one: one["state"] == "CLOSED")
        for by in ("rule", "catalogue", "unit", "confidence", "model"):
            told = (await city.get(f"/routing/v1/accuracy?by={by}", "ANALYST")).body
            assert len(told["items"]) == 1, told
            (line,) = told["items"]
            counts = {"dispatched": 2, "closed": 1, "right": 1, "objected": 1, "returned": 1, "ping_pong": 0}
            assert counts.items() <= line.items() and line["corrected"] == 0
            assert (line["accuracy"], line["return_rate"]) == ("100.00", "50.00")
        assert (await city.get("/routing/v1/accuracy?by=colour")).status == 422


async def test_what_waits_for_a_dispatcher_too_long_is_overdue(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city() as city:
        appeal = (await city.register(kind="CONSULT"))["appeal_id"]
        waiting = await order(city, appeal, lambda one: one["next_step"] == "DISPATCH")
        assert waiting["overdue"] is False and waiting["next_due_at"] is not None
        city.clock.advance(timedelta(hours=2, seconds=1))

        async def noted() -> Any:
            return (await city.case(appeal)).get("timeline", [])

        story = await city.until(noted, lambda told: "dispatch-overdue" in str(told))
        assert sum("dispatch-overdue" in one["type"] for one in story) == 1
        late = (await city.get(f"{ORDERS}?overdue=true")).body["items"]
        assert [one["appeal_id"] for one in late] == [appeal] and late[0]["overdue"]


async def test_every_limit_can_be_explained(own: City) -> None:
    at = "2026-09-30T22:10:00%2B08:00"
    told = (await own.get(f"/routing/v1/limits/explain?tier=GENERAL&dispatched_at={at}")).body
    assert told["due_at"] == "2026-10-07T22:10:00.000+08:00" and told["due_derivation"]["limit"] == "P7D"
    assert told["clocks"]["sign"] == "2026-10-01T00:10:00.000+08:00"
    assert (await own.get("/routing/v1/limits")).body["version"] == told["due_derivation"]["policy"]
    assert (await own.get("/routing/v1/limits/explain?tier=SLOW")).status == 422
