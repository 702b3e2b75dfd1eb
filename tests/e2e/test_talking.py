"""Resident and unit write to each other, the resident says how it went, others help, and strangers learn nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.intake_service.policy import follow_policy
from shared.web.tracking import tracking_policy
from tests.e2e.test_following import act, track
from tests.support.city import City, Reply
from tests.support.files import PDF, attach, attached, download
from tests.support.views import settled

LEAGUE = "fl-chaoyang"
CHINESE = re.compile("[一-鿿]")
GOOD, BAD = {"satisfaction": "SATISFIED", "resolved": True}, {"satisfaction": "DISSATISFIED", "comment": "没有人来过"}


async def dispatched(city: City, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A dispatched case, and what its appellant holds."""
    made = await city.register(**changes)
    order = f"/routing/v1/orders/{made['appeal_id']}"
    await city.until(lambda: city.get(order), lambda reply: reply.status == 200)
    city.clock.advance(timedelta(seconds=4))
    return await city.until_state(made["appeal_id"], "DISPATCHED"), made


async def page(city: City, made: dict[str, Any]) -> dict[str, Any]:
    await settled(city)
    return await track(city, made)


async def messages(city: City, case: dict[str, Any], role: str = "ENTERPRISE_HANDLER", **who: Any) -> Reply:
    await settled(city)
    who = who or {"unit": case["lead_unit"]}
    return await city.get(f"/feedback/v1/cases/{case['appeal_id']}/messages", role, **who)


async def help_as(city: City, appeal_id: str, role: str = "MASS_ORG_PARTICIPANT", unit: str = LEAGUE) -> Reply:
    path = f"/intake/v1/appeals/{appeal_id}/contributions"
    return await city.post(path, {"text": "已上门慰问"}, role, unit=unit)


async def invited(city: City, appeal_id: str) -> None:
    path = f"/intake/v1/appeals/{appeal_id}/participants"
    assert (await city.post(path, {"unit_id": LEAGUE, "reason": "老人独居"})).status == 200
    await settled(city)


async def test_resident_and_unit_write_to_each_other_and_both_read_it_in_order(city: City) -> None:
    case, made = await dispatched(city)
    answer = f"/feedback/v1/cases/{case['appeal_id']}/messages"
    assert (await act(city, made, "messages", {"text": "请问何时上门"})).status == 200
    assert [one["text"] for one in (await messages(city, case)).body["items"]] == ["请问何时上门"]
    city.clock.advance(timedelta(seconds=1))
    assert (await city.as_unit(case, answer, {"text": "明天上午"})).status == 200
    city.clock.advance(timedelta(seconds=1))
    assert (await act(city, made, "messages", {"text": "好的"})).status == 200
    said = [("APPELLANT", "请问何时上门"), ("UNIT", "明天上午"), ("APPELLANT", "好的")]
    items = (await messages(city, case)).body["items"]
    assert [(one["from"], one["text"]) for one in items] == said
    assert (await page(city, made))["messages"] == items


async def test_another_unit_neither_reads_nor_writes(city: City) -> None:
    case, made = await dispatched(city)
    await act(city, made, "messages", {"text": "请问何时上门"})
    assert (await messages(city, case, "STREET_HANDLER", unit="bj-110101008")).status == 404
    path = f"/feedback/v1/cases/{case['appeal_id']}/messages"
    assert (await city.post(path, {"text": "x"}, "STREET_HANDLER", unit="bj-110101008")).status == 404
    assert (await page(city, made))["messages"][1:] == []


async def test_what_was_written_before_a_unit_was_found_reaches_the_unit(city: City) -> None:
    made = await city.register()
    assert (await act(city, made, "messages", {"text": "请尽快"})).status == 200
    order = f"/routing/v1/orders/{made['appeal_id']}"
    await city.until(lambda: city.get(order), lambda reply: reply.status == 200)
    city.clock.advance(timedelta(seconds=4))
    case = await city.until_state(made["appeal_id"], "DISPATCHED")
    assert [one["text"] for one in (await messages(city, case)).body["items"]] == ["请尽快"]


async def test_after_the_end_nobody_writes_any_more(city: City) -> None:
    case, made = await dispatched(city)
    assert (await act(city, made, "withdraw")).status == 200
    await settled(city)
    assert (await act(city, made, "messages", {"text": "还有"})).code == "ILLEGAL_TRANSITION"
    unit = await city.as_unit(case, f"/feedback/v1/cases/{case['appeal_id']}/messages", {"text": "还有"})
    assert (unit.status, unit.code) == (409, "ILLEGAL_TRANSITION")


async def test_there_is_nothing_to_evaluate_before_a_result(city: City) -> None:
    case, made = await dispatched(city)
    assert (await city.sign(case)).status == 200 and (await city.contact(case)).status == 200
    await settled(city)
    reply = await act(city, made, "evaluation", GOOD)
    assert (reply.status, reply.code) == (409, "ILLEGAL_TRANSITION") and (await page(city, made))["evaluation"] is None


async def test_the_last_evaluation_is_shown_and_every_one_is_on_the_record(city: City) -> None:
    case, made = await dispatched(city)
    await city.handle(case)
    await city.until_state(case["appeal_id"], "FEEDBACK_DONE", "CALLBACK_DUE")
    for said in (BAD, GOOD):
        assert (await act(city, made, "evaluation", said)).status == 200
        city.clock.advance(timedelta(seconds=1))
    seen = (await page(city, made))["evaluation"]
    assert seen == GOOD | {"process_satisfaction": None, "comment": None}
    timeline = (await city.case(case["appeal_id"]))["timeline"]
    given = [one["data"] for one in timeline if one["type"].endswith("appeal-evaluated.v1")]
    assert [(one["number"], one.get("comment")) for one in given] == [(1, "没有人来过"), (2, None)]


@pytest_asyncio.fixture(scope="module")
async def ageing(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    """A city whose clock may run ahead."""
    async with new_city() as made:
        yield made


async def test_evaluations_end_some_time_after_the_case_does(ageing: City) -> None:
    city = ageing
    case, made = await dispatched(city)
    await city.handle(case)
    assert (await city.callback(case)).status == 200
    await city.until_state(case["appeal_id"], "CLOSED")
    await settled(city)
    assert (await act(city, made, "evaluation", GOOD)).status == 200
    city.clock.advance(follow_policy().evaluate_within + timedelta(minutes=1))
    late = await act(city, made, "evaluation", BAD)
    assert (late.status, late.code) == (409, "EVALUATION_OVER")


@pytest.mark.parametrize("exists", [True, False])
async def test_who_tries_many_codes_is_told_to_wait_and_whoever_has_the_code_is_not(city: City, exists: bool) -> None:
    made = await city.register() if exists else {"ticket_no": "19990101-0000001", "position": "", "tracking_code": "x"}
    tries = [await act(city, made, "urge", code="0000-0000") for _ in range(tracking_policy().wrong_codes)]
    assert {(one.status, one.code) for one in tries} == {(404, "NOT_FOUND")}
    held = await act(city, made, "urge", code="0000-0000")
    seen = await city.get(f"/intake/v1/track/{made['ticket_no']}", None)
    for one in (held, seen):
        assert (one.status, one.code) == (429, "TOO_MANY_ATTEMPTS") and 0 < int(one.headers["Retry-After"]) <= 901
    if exists:
        assert (await act(city, made, "urge")).status == 200
    city.clock.advance(tracking_policy().within)
    assert (await act(city, made, "urge", code="0000-0000")).status == 404


async def test_who_was_invited_sees_the_case_and_contributes_and_others_find_nothing(city: City) -> None:
    case, made = await dispatched(city)
    appeal_id, path = case["appeal_id"], f"/intake/v1/appeals/{case['appeal_id']}"
    await attached(city, appeal_id, PDF)
    helper = {"role": "MASS_ORG_PARTICIPANT", "unit": LEAGUE}
    assert (await city.get(path, **helper)).status == (await help_as(city, appeal_id)).status == 404
    await invited(city, appeal_id)
    assert (await help_as(city, appeal_id)).status == 200
    assert (await city.get(path, **helper)).status == (await download(city, appeal_id, **helper)).status == 200
    listed = await city.get("/intake/v1/appeals?limit=200", **helper)
    assert [one["appeal_id"] for one in listed.body["items"]] == [appeal_id]
    assert (await city.get(path, "MASS_ORG_PARTICIPANT", unit="fl-haidian")).status == 404
    assert (await help_as(city, appeal_id, unit="fl-haidian")).status == 404
    assert (await help_as(city, appeal_id, "ENTERPRISE_HANDLER", case["lead_unit"])).status == 403
    assert (await attach(city, appeal_id, PDF, **helper)).status == 403
    await settled(city)
    done = [one for one in (await city.case(appeal_id))["timeline"] if "contributed" in one["type"]]
    assert [(one["actor"]["unit_id"], one["data"]["text"]) for one in done] == [(LEAGUE, "已上门慰问")]
    assert "慰问" not in str(await page(city, made))


@pytest.mark.parametrize("hidden", [{"confidential": True}, {"anonymous": True}])
async def test_a_hidden_identity_stays_hidden_from_who_was_invited(city: City, hidden: dict[str, bool]) -> None:
    who = {"type": "PERSON", "name": "公孙隐名", "phone": "13755551234"} | hidden
    case, _ = await dispatched(city, appellant=who)
    await invited(city, case["appeal_id"])
    path, helper = f"/intake/v1/appeals/{case['appeal_id']}", {"role": "MASS_ORG_PARTICIPANT", "unit": LEAGUE}
    seen = await city.get(path, **helper)
    assert seen.body["appellant"]["hidden"] is True
    assert not [word for word in ("公孙", "1375", "1234") if word in seen.raw.decode().replace(case["appeal_id"], "")]
    assert (await city.get(f"{path}/appellant?purpose=慰问", **helper)).status == 403


async def test_malicious_use_is_noted_with_its_evidence_and_blocks_nobody(city: City) -> None:
    who = {"type": "PERSON", "name": "王芳", "phone": "13755550000"}
    made = await city.register(appellant=who)
    path = f"/intake/v1/appeals/{made['appeal_id']}/malicious-use"
    assert (await city.post(path, {"evidence": "一日内拨打百余次"}, "AGENT")).status == 403
    assert (await city.post(path, {"evidence": "一日内拨打百余次"})).status == 200
    assert (await city.register(appellant=who))["appeal_id"] != made["appeal_id"]
    assert "百余次" not in str(await page(city, made))
    (noted,) = [one for one in (await city.case(made["appeal_id"]))["timeline"] if "malicious" in one["type"]]
    assert noted["data"] == {"evidence": "一日内拨打百余次"}


async def test_every_step_is_told_in_two_languages_and_what_the_hotline_was_told_is_not(city: City) -> None:
    case, made = await dispatched(city)
    assert (await city.sign(case)).status == (await city.contact(case)).status == 200
    assert (await city.feedback(case, "RESULT", "HOTLINE", "内部意见不外传")).status == 200
    await settled(city)
    before = await page(city, made)
    assert before["answers"] == [] and "内部意见" not in str(before)
    assert (await city.feedback(case, "RESULT", "APPELLANT", "水管已修好")).status == 200
    seen = await page(city, made)
    assert [one["text"] for one in seen["answers"]] == ["水管已修好"]
    assert len(seen["steps"]) > len(before["steps"]) >= 4
    told = [*seen["steps"], seen["state_text"]]
    assert all(CHINESE.search(one["zh"]) and re.search("[A-Za-z]", one["en"]) for one in told)
    assert case["lead_unit_name"] in str(seen["steps"]) and seen["steps"] == sorted(seen["steps"], key=_time)


def _time(one: dict[str, Any]) -> str:
    return str(one["time"])
