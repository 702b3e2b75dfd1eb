"""Identity data: shown for a purpose and on the record, restricted or erased by two officers, then gone everywhere."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.intake_service.policy import access_policy
from tests.support.city import City, Reply
from tests.support.views import dump, rebuilt, settled

NAME, PHONE, TEXT = "欧阳测试", "13877776666", "鸢尾花园西门的路灯已经坏了半个月，晚上很黑。"
WHO = {"name": NAME, "phone": PHONE}
GROUND = {"ground": "REQUEST_OF_PERSON"}


async def reveal(city: City, appeal_id: str, role: str = "AGENT", **who: Any) -> Reply:
    await settled(city)
    return await city.get(f"/intake/v1/appeals/{appeal_id}/appellant?purpose=回访", role, **who)


async def ref_of(city: City, appeal_id: str) -> str:
    return str((await reveal(city, appeal_id)).body["ref"])


async def take(city: City, ref: str, measure: str, *officers: str) -> list[Reply]:
    path = f"/intake/v1/appellants/{ref}/{measure}"
    return [await city.post(path, GROUND, "HOTLINE_SUPERVISOR", sub=officer) for officer in officers]


async def case_of(city: City, appeal_id: str) -> Any:
    await settled(city)
    return (await city.get(f"/intake/v1/appeals/{appeal_id}")).body


async def test_a_name_is_shown_for_a_purpose_and_the_showing_is_on_the_record(city: City) -> None:
    made = await city.register(appellant=WHO)
    shown = await reveal(city, made["appeal_id"])
    assert (shown.body["name"], shown.body["phone"]) == (NAME, PHONE)
    assert shown.headers["Cache-Control"] == "no-store"
    last = (await case_of(city, made["appeal_id"]))["timeline"][-1]
    assert last["type"].endswith("appellant-revealed.v1") and last["data"] == {"purpose": "回访"}
    assert last["actor"]["role"] == "AGENT"


async def test_whoever_looks_at_the_same_moment_is_shown_it_and_stands_on_the_record(city: City) -> None:
    made = await city.register(appellant=WHO)
    await settled(city)
    path = f"/intake/v1/appeals/{made['appeal_id']}/appellant?purpose=回访"
    replies = await asyncio.gather(*(city.get(path, "AGENT", sub=f"agent-{number}") for number in range(8)))
    assert [one.status for one in replies] == [200] * 8
    timeline = (await case_of(city, made["appeal_id"]))["timeline"]
    assert sum(one["type"].endswith("appellant-revealed.v1") for one in timeline) == 8


async def test_a_name_is_not_shown_without_a_purpose(city: City) -> None:
    made = await city.register(appellant=WHO)
    reply = await city.get(f"/intake/v1/appeals/{made['appeal_id']}/appellant", "AGENT")
    assert (reply.status, reply.code) == (422, "VALIDATION_FAILED")


@pytest.mark.parametrize("hidden", [{"confidential": True}, {}])
async def test_the_unit_in_charge_sees_the_name_unless_it_is_hidden_from_it(city: City, hidden: dict[str, Any]) -> None:
    case = await city.dispatched(appellant=WHO | hidden)
    mine = await reveal(city, case["appeal_id"], "ENTERPRISE_HANDLER", unit=case["lead_unit"])
    other = await reveal(city, case["appeal_id"], "STREET_HANDLER", unit="bj-110101008")
    missing = await reveal(city, "01a20ef3-0000-7000-8000-000000000000", "STREET_HANDLER", unit="bj-110101008")
    assert mine.status == (404 if hidden else 200)
    assert (other.status, other.body["code"]) == (missing.status, missing.body["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("role", ["AUDITOR", "DISPATCHER", "ANALYST", "INTEGRATOR"])
async def test_who_has_no_business_with_names_gets_none(city: City, role: str) -> None:
    made = await city.register(appellant=WHO)
    assert (await reveal(city, made["appeal_id"], role)).status == 403


async def test_erasing_takes_two_officers_and_then_nobody_reads_it_any_more(city: City) -> None:
    who = {"name": "司马无痕", "phone": "13866665555"}
    made = await city.register(appellant=who, content=TEXT, location={"address": "鸢尾花园西门"})
    appeal_id, ref = made["appeal_id"], await ref_of(city, made["appeal_id"])
    before = [event.body for event in await city.running["intake"].log.read_stream(f"appeal-{appeal_id}")]
    first, same, second = await take(city, ref, "erase", "li", "li", "wang")
    assert first.body["state"] == "ERASE_REQUESTED"
    assert (same.status, same.code) == (403, "SECOND_OFFICER_NEEDED")
    assert second.body["state"] == "ERASED"
    gone = await city.until(
        lambda: city.get(f"/intake/v1/appeals/{appeal_id}"), lambda r: r.body["content"] == "[erased]"
    )
    assert "司马" not in str(gone.body) and "鸢尾" not in str(gone.body)
    after = [event.body for event in await city.running["intake"].log.read_stream(f"appeal-{appeal_id}")]
    assert before == after
    assert (await reveal(city, appeal_id)).code == "SUBJECT_ERASED"
    listed = await city.get("/intake/v1/appeals?q=鸢尾花园&limit=200")
    assert appeal_id not in [item["appeal_id"] for item in listed.body["items"]]
    wrapped = await city.running["intake"].pool.fetchval(
        "SELECT count(*) FROM vault.subject_keys WHERE ref = ANY($1) AND wrapped IS NOT NULL",
        await _keys(city, appeal_id),
    )
    assert wrapped == 0


async def _keys(city: City, appeal_id: str) -> list[str]:
    (first, *_) = await city.running["intake"].log.read_stream(f"appeal-{appeal_id}")
    return [first.envelope.data["appellant"]["key"]]


async def test_views_of_an_erased_person_are_what_a_fresh_fold_gives(city: City) -> None:
    made = await city.register(appellant={"phone": "13855554444"})
    await take(city, await ref_of(city, made["appeal_id"]), "erase", "li", "wang")
    await settled(city)
    running = city.running["intake"]
    await city.until(lambda: _row(city, made["appeal_id"]), lambda row: row is None)
    for projection in running.projections:
        assert await dump(running, projection.view) == await rebuilt(running, projection)


async def _row(city: City, appeal_id: str) -> Any:
    return await city.running["intake"].pool.fetchrow("SELECT 1 FROM search WHERE appeal_id = $1", appeal_id)


async def test_a_person_who_comes_back_after_being_erased_is_heard_as_new(city: City) -> None:
    who = {"phone": "13844443333"}
    old = await city.register(appellant=who)
    await take(city, await ref_of(city, old["appeal_id"]), "erase", "li", "wang")
    new = await city.register(appellant=who)
    assert (await case_of(city, new["appeal_id"]))["content"] != "[erased]"


async def test_restricted_data_is_kept_and_used_no_more_until_the_restriction_is_lifted(city: City) -> None:
    made = await city.register(appellant={"name": "上官受限", "phone": "13833332222"}, content=TEXT)
    appeal_id, ref = made["appeal_id"], await ref_of(city, made["appeal_id"])
    await take(city, ref, "restrict", "li", "wang")
    case = await case_of(city, appeal_id)
    assert case["content"] == "[restricted]" and case["appellant"]["name"] == "[restricted]"
    assert "半个月" not in str(case)
    refused = await reveal(city, appeal_id)
    assert (refused.status, refused.code) == (409, "RESTRICTED")
    found = await city.get("/intake/v1/appeals?q=鸢尾花园西门的路灯&limit=200")
    assert appeal_id not in [item["appeal_id"] for item in found.body["items"]]
    await take(city, ref, "restore", "li", "wang")
    assert (await case_of(city, appeal_id))["content"] == TEXT


async def test_who_comes_again_after_a_restriction_is_helped_as_anybody_is(city: City) -> None:
    who = WHO | {"phone": "13655550077"}
    before = await city.register(appellant=who)
    await take(city, await ref_of(city, before["appeal_id"]), "restrict", "li", "wang")
    city.clock.advance(timedelta(minutes=1))
    again = await city.register(appellant=who, content="楼上又漏水了")
    await settled(city)
    assert [(await reveal(city, one["appeal_id"])).status for one in (before, again)] == [409, 200]
    assert (await case_of(city, again["appeal_id"]))["content"] == "楼上又漏水了"


async def test_what_was_said_before_the_second_officer_confirmed_is_not_meant(city: City) -> None:
    who = WHO | {"phone": "13655550078"}
    before = await city.register(appellant=who)
    ref = await ref_of(city, before["appeal_id"])
    await take(city, ref, "restrict", "li")
    city.clock.advance(timedelta(minutes=1))
    between = await city.register(appellant=who)
    city.clock.advance(timedelta(minutes=1))
    await take(city, ref, "restrict", "wang")
    assert [(await reveal(city, one["appeal_id"])).status for one in (before, between)] == [409, 200]


async def test_an_account_is_shown_so_many_an_hour_and_more_takes_two_officers(city: City) -> None:
    appeal_id = (await city.register(appellant=WHO))["appeal_id"]
    most = access_policy().reveals_an_hour
    replies = [await reveal(city, appeal_id, sub="curious") for _ in range(most + 1)]
    assert [one.status for one in replies] == [200] * most + [429]
    assert int(replies[-1].headers["Retry-After"]) > 1
    assert (await reveal(city, appeal_id, sub="colleague")).status == 200


async def test_what_waits_for_a_second_officer_is_listed(city: City) -> None:
    made = await city.register(appellant={"phone": "13822221111"})
    ref = await ref_of(city, made["appeal_id"])
    (reply,) = await take(city, ref, "restrict", "li")
    position = {"If-Position": reply.headers["Appeal-Position"]}
    listed = await city.get(
        "/intake/v1/appellants?state=RESTRICT_REQUESTED&limit=200", "MUNICIPAL_ADMIN", headers=position
    )
    assert ref in [item["ref"] for item in listed.body["items"]]


async def test_agents_and_strangers_take_no_measures(city: City) -> None:
    made = await city.register(appellant={"phone": "13811110000"})
    ref = await ref_of(city, made["appeal_id"])
    assert (await city.post(f"/intake/v1/appellants/{ref}/erase", GROUND, "AGENT")).status == 403
    assert (await take(city, "p" + "0" * 32, "erase", "li"))[0].status == 404
    words = await city.post(f"/intake/v1/appellants/{ref}/erase", {"ground": "他要求的"}, "HOTLINE_SUPERVISOR")
    assert words.status == 422
