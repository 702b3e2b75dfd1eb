"""The 派单目录 as people keep it: checked before it is drafted, compared, tried on past appeals, published by two."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import pytest_asyncio

from shared.contracts.envelope import rfc3339
from shared.web.tables import CSV, XLSX, read_table
from tests.support.city import City, Reply

VERSIONS = "/routing/v1/catalogue/versions"
LIGHT = {"id": "light", "name": "路灯", "keywords": ["路灯"], "duty": "bj-power", "basis": "Reg. Art 11"}
WATER = {"id": "water", "name": "供水", "keywords": ["用水困难"], "duty": "bj-drainage", "basis": "Reg. Art 19"}


@pytest_asyncio.fixture(scope="module")
async def own(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    """A city whose catalogue nobody else works with."""
    async with new_city() as made:
        yield made


def body(version: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"version": version, "source": "会商纪要 2026-11", "rules": list(rules)}


async def drafted(city: City, version: str, *rules: dict[str, Any]) -> Reply:
    return await city.post(VERSIONS, body(version, *rules), "HOTLINE_SUPERVISOR")


async def published(city: City, version: str, role: str = "MUNICIPAL_ADMIN", **more: Any) -> Reply:
    return await city.post(f"{VERSIONS}/{version}/publish", {}, role, **more)


async def shown(city: City, version: str, state: str) -> dict[str, Any]:
    reply = await city.until(
        lambda: city.get(f"{VERSIONS}/{version}"), lambda r: r.status == 200 and r.body["state"] == state
    )
    return dict(reply.body)


async def test_a_version_is_drafted_by_one_role_and_published_by_another(own: City) -> None:
    assert (await drafted(own, "two", LIGHT)).status == 201
    for role, sub in (("HOTLINE_SUPERVISOR", "somebody-else"), ("MUNICIPAL_ADMIN", "hotline_supervisor@city")):
        refused = await published(own, "two", role, sub=sub)
        assert (refused.status, refused.code) == (403, "SECOND_OFFICER_NEEDED")
        assert "HOTLINE_SUPERVISOR" in refused.body["detail"]
    assert (await published(own, "two", "DISPATCHER")).status == 403
    done = await published(own, "two")
    assert (done.status, done.body["state"]) == (200, "PUBLISHED")
    assert [rule["id"] for rule in (await shown(own, "two", "PUBLISHED"))["rules"]] == ["light"]


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"duty": "bj-nobody"}, "/rules/1/duty", "UNIT_UNKNOWN"),
        ({"id": "light"}, "/rules/1/id", "RULE_ID_TWICE"),
        ({"keywords": []}, "/rules/1/keywords", "NEVER_MATCHES"),
        ({"keywords": ["路燈"]}, "/rules/1/keywords/0", "NEVER_MATCHES"),
        ({"keywords": ["路灯坏了"], "unless": ["坏了"]}, "/rules/1/keywords/0", "NEVER_MATCHES"),
        ({"duty": "TOWNSHIP", "department_only": True}, "/rules/1/duty", "NOT_FOR_THE_GRASS_ROOTS"),
    ],
)
async def test_rules_that_are_wrong_are_told_by_name_and_leave_nothing_behind(
    own: City, changes: dict[str, Any], pointer: str, code: str
) -> None:
    rules = [LIGHT, WATER | changes]
    reply = await drafted(own, "wrong", *rules)
    assert (reply.status, reply.code) == (422, "VALIDATION_FAILED")
    assert [(one["pointer"], one["message"].split(":")[0]) for one in reply.body["errors"]] == [(pointer, code)]
    checked = await own.post("/routing/v1/catalogue/validate", {"rules": rules}, "DISPATCHER")
    found = [(one["pointer"], one["code"]) for one in checked.body["findings"] if one["wrong"]]
    assert (checked.status, checked.body["ok"], found) == (200, False, [(pointer, code)])
    assert (await own.get(f"{VERSIONS}/wrong")).status == 404


async def test_a_version_goes_out_as_a_table_and_comes_back_the_same(own: City) -> None:
    shipped = await shown(own, "BJ-2026-1", "PUBLISHED")
    for media_type, name in ((CSV, "from-csv"), (XLSX, "from-xlsx")):
        table = await own.get(f"{VERSIONS}/BJ-2026-1", headers={"Accept": media_type})
        assert table.headers["Content-Type"].startswith(media_type)
        assert "attachment" in table.headers["Content-Disposition"]
        back = await own.send(
            "POST",
            f"{VERSIONS}/{name}/file?source=x",
            "DISPATCHER",
            data=table.raw,
            headers={"Content-Type": media_type},
        )
        assert back.status == 201, back.raw
        assert (await shown(own, name, "DRAFTED"))["rules"] == shipped["rules"]
        same = await own.get(f"{VERSIONS}/{name}/diff?against=BJ-2026-1")
        assert {key: same.body[key] for key in ("added", "removed", "changed")} == {
            "added": [], "removed": [], "changed": {},
        }  # fmt: skip


async def test_every_line_that_is_wrong_is_named_by_its_row_at_once(own: City) -> None:
    table = (
        "id,name,keywords,duty,basis,department_only\n"
        "light,路灯,路灯,bj-power,Art 11,perhaps\n\n"
        "water,水,用水困难,bj-nobody,Art 19,no\n"
        ",x,x,bj-power,x,no\n"
        "road,路,坑洼、路面,bj-transport,Art 11,no\n"
    )
    reply = await own.send(
        "POST", f"{VERSIONS}/bad/file?source=x", "DISPATCHER", data=table.encode(), headers={"Content-Type": CSV}
    )
    assert reply.status == 422
    assert [one["pointer"] for one in reply.body["errors"]] == [
        "/rows/2/department_only", "/rows/4/duty", "/rows/5/id", "/rows/6/keywords/0",
    ]  # fmt: skip
    no_source = await own.send(
        "POST", f"{VERSIONS}/bad/file", "DISPATCHER", data=table.encode(), headers={"Content-Type": CSV}
    )
    assert [one["pointer"] for one in no_source.body["errors"]] == ["/source"]


async def test_a_difference_is_told_rule_by_rule_and_word_by_word(own: City) -> None:
    before = [LIGHT, WATER]
    after = [LIGHT | {"keywords": ["灯杆", "路灯"], "tier": "LIFELINE"}, WATER | {"id": "water-2"}]
    assert (await drafted(own, "d1", *before)).status == (await drafted(own, "d2", *after)).status == 201
    await shown(own, "d2", "DRAFTED")
    told = (await own.get(f"{VERSIONS}/d2/diff?against=d1")).body
    assert (told["added"], told["removed"]) == (["water-2"], ["water"])
    assert told["changed"] == {
        "light": {
            "keywords": {"added": ["灯杆"], "removed": []},
            "tier": {"before": "GENERAL", "after": "LIFELINE"},
        }
    }
    assert (await own.get(f"{VERSIONS}/d2/diff?against=nothing")).status == 404


async def test_one_text_is_explained_rule_by_rule(own: City) -> None:
    appeal = {"content": "朝外街道小区路灯坏了，垃圾短信不要发", "title": "路燈"}
    told = (await own.post("/routing/v1/catalogue/explain", appeal, "DISPATCHER")).body
    assert told["place"]["township"] == "110105002" and told["items"][0]["confidence"]
    by_rule = {one["rule_id"]: one for one in told["rules"]}
    assert all(one["counts"] == (one["why_not"] is None) for one in by_rule.values())
    assert any(one["counts"] for one in by_rule.values())
    other = await own.post("/routing/v1/catalogue/explain", appeal | {"version": "d1"}, "DISPATCHER")
    assert other.status in {200, 404}
    assert (await own.post("/routing/v1/catalogue/explain", appeal | {"version": "none"}, "DISPATCHER")).status == 404
    assert (await own.post("/routing/v1/catalogue/explain", {"content": ""}, "DISPATCHER")).status == 422


async def test_a_dry_run_says_what_would_change_for_whom_and_stores_nothing(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city() as city:
        case = await city.dispatched()
        other = await city.dispatched(title="路灯不亮", content="望京街道的路灯不亮已经一周了，晚上很黑。")
        await city.handle(case)
        await city.until_state(case["appeal_id"], "CALLBACK_DUE")
        assert (await city.callback(case)).status == 200
        await city.until_state(case["appeal_id"], "CLOSED")
        now = (await city.get(f"{VERSIONS}/BJ-2026-1")).body["rules"]
        rules = [rule | ({"duty": "bj-drainage"} if rule["duty"] == "bj-water" else {}) for rule in now]
        assert (await drafted(city, "drains", *rules)).status == 201
        await shown(city, "drains", "DRAFTED")
        await city.until(
            lambda: city.get(f"/routing/v1/orders/{case['appeal_id']}"), lambda r: r.body["state"] == "CLOSED"
        )
        told = (await city.send("POST", f"{VERSIONS}/drains/dry-run?most=100", "DISPATCHER")).body
        assert (told["appeals"], told["changed"], told["against"]) == (2, 1, "BJ-2026-1")
        assert (told["with_outcome"], told["right_now"], told["right_draft"]) == (1, 1, 0)
        by_unit = {one["unit_id"]: (one["gains"], one["loses"]) for one in told["by_unit"]}
        assert by_unit == {"bj-water": (0, 1), "bj-drainage": (1, 0)}
        (item,) = told["items"]
        assert item["appeal_id"] == case["appeal_id"] != other["appeal_id"]
        assert (item["now"]["unit_id"], item["draft"]["unit_id"]) == ("bj-water", "bj-drainage")
        assert "用水困难" not in str(told)
        again = (await city.send("POST", f"{VERSIONS}/BJ-2026-1/dry-run", "DISPATCHER")).body
        assert (again["changed"], again["right_draft"]) == (0, 1)


async def test_what_a_department_must_do_itself_is_not_passed_down(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city() as city:
        rule = WATER | {"duty": "bj-water", "department_only": True}
        assert (await drafted(city, "own", rule)).status == 201
        assert (await published(city, "own")).status == 200
        await shown(city, "own", "PUBLISHED")
        appeal = await city.register(kind="CONSULT")
        order = f"/routing/v1/orders/{appeal['appeal_id']}"
        await city.until(lambda: city.get(order), lambda reply: reply.status == 200)
        down = {"unit_id": "110105001", "reason": "属地"}
        refused = await city.post(f"{order}/dispatch", down, "DISPATCHER")
        assert (refused.status, refused.code) == (409, "NOT_FOR_THE_GRASS_ROOTS")
        assert (await city.post(f"{order}/dispatch", {"unit_id": "bj-water"}, "DISPATCHER")).status == 200


async def test_a_name_that_is_no_code_is_refused_and_a_day_that_is_over_means_now(own: City) -> None:
    table = "id,name,keywords,duty,basis\nlight,路灯,路灯,bj-power,Art 11\n".encode()
    for name in ("2026%E5%B9%B4", "x" * 65, "a%20b"):
        path = f"{VERSIONS}/{name}/file?source=x"
        reply = await own.send("POST", path, "DISPATCHER", data=table, headers={"Content-Type": CSV})
        assert [one["pointer"] for one in reply.body["errors"]] == ["/version"]
    assert (await drafted(own, "late", LIGHT)).status == 201
    past = {"effective_from": "2020-01-01T00:00:00+08:00"}
    assert (await own.post(f"{VERSIONS}/late/publish", past, "MUNICIPAL_ADMIN")).status == 200
    assert (await shown(own, "late", "PUBLISHED"))["effective_from"] == rfc3339(own.clock.now())


async def test_a_draft_whose_unit_has_gone_meanwhile_is_not_published(own: City) -> None:
    rule = LIGHT | {"duty": "bj-sports"}
    assert (await drafted(own, "gone", rule)).status == 201
    known = (await own.get("/routing/v1/units?unit_type=MUNICIPAL_DEPT&limit=200")).body["items"]
    (sports,) = (one for one in known if one["unit_id"] == "bj-sports")
    names = ("unit_id", "name", "name_en", "unit_type", "parent_id", "aliases")
    closed = {name: sports[name] for name in names} | {"closed": True}
    assert (await own.send("PUT", "/routing/v1/units", "MUNICIPAL_ADMIN", json=closed)).status == 200

    async def refused() -> Reply:
        return await own.post("/routing/v1/catalogue/validate", {"rules": [rule]}, "DISPATCHER")

    await own.until(refused, lambda reply: not reply.body["ok"])
    reply = await published(own, "gone")
    assert (reply.status, [one["pointer"] for one in reply.body["errors"]]) == (422, ["/rules/0/duty"])


def test_the_table_of_a_catalogue_is_what_people_can_read() -> None:
    file = io.BytesIO("\ufeffid,name,keywords,duty,basis\r\na,甲,一|二,bj-water,Art 11\r\n".encode())
    (row,) = read_table(file, CSV, ("id", "name", "keywords", "duty", "basis"), ("id",))
    assert row["keywords"] == "一|二"
