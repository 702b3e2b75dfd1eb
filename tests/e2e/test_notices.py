"""Who is told what, when and how: by day, not too often, in the language and by the way that a person has chosen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.feedback_service.notifiers import TRY_LOCK
from services.feedback_service.templates import notifications
from shared.contracts.envelope import BEIJING
from tests.support.city import City
from tests.support.telephones import Mailbox, Telephones, mailbox, telephones
from tests.support.views import settled

POLICY = notifications().policy
NewCity = Callable[..., AbstractAsyncContextManager[City]]
EVENING, MORNING = datetime(2026, 11, 23, 21, 0, tzinfo=BEIJING), datetime(2026, 11, 24, 8, 0, tzinfo=BEIJING)
PHONE = "13633330001"
WHO = {"type": "PERSON", "name": "王芳", "phone": PHONE}
FINAL = {"SENT", "DELIVERED", "UNDELIVERED", "FAILED", "SUPPRESSED"}


@asynccontextmanager
async def a_talking_city(new_city: NewCity, folder: Path) -> AsyncIterator[tuple[City, Telephones, Mailbox]]:
    async with (
        telephones() as phones,
        mailbox() as mails,
        new_city(**phones.settings(folder), **mails.settings()) as city,
    ):
        yield city, phones, mails


async def notices(city: City, appeal_id: str) -> dict[str, dict[str, Any]]:
    """What is told about an appeal, by template."""
    items = (await city.get(f"/feedback/v1/notifications?appeal_id={appeal_id}&limit=200")).body["items"]
    return {one["template"]: one for one in items}


async def standing(city: City, appeal_id: str, template: str, *wanted: str) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        return (await notices(city, appeal_id)).get(template, {"standing": None})

    return await city.until(ask, lambda one: one["standing"] in wanted)


async def choose(city: City, made: dict[str, Any], **chosen: Any) -> dict[str, Any]:
    headers = {"X-Tracking-Code": made["tracking_code"]}
    await settled(city)
    reply = await city.post(f"/feedback/v1/track/{made['ticket_no']}/preferences", chosen, None, headers=headers)
    assert reply.status == 200, reply.raw
    await settled(city)
    body: dict[str, Any] = reply.body
    return body


async def test_a_life_is_told_to_everybody_it_concerns_and_each_thing_once(new_city: NewCity, tmp_path: Path) -> None:
    async with a_talking_city(new_city, tmp_path) as (city, phones, _):
        case = await city.dispatched(appellant=WHO)
        await city.handle(case)
        await city.until_state(case["appeal_id"], "CALLBACK_DUE")
        await standing(city, case["appeal_id"], "survey", "SENT")
        assert (await city.callback(case, resolved=False)).body["state"] == "REWORK"
        for template in ("registered", "unit-assigned", "result", "survey", "again"):
            await standing(city, case["appeal_id"], template, "SENT")
        assert len(phones.to(PHONE)) == 4 and len(phones.to(case["lead_unit"], case["ticket_no"])) >= 1
        assert set(phones.requests.values()) == {1}
        assert case["lead_unit_name"] in phones.to(PHONE, "答复")[0]["text"]
        assert not [one for one in phones.taken.values() if "已处理" in one["text"]]  # nobody's words leave this way


async def test_at_night_people_sleep_and_offices_do_not(new_city: NewCity, tmp_path: Path) -> None:
    async with a_talking_city(new_city, tmp_path) as (city, phones, _):
        city.clock.set(EVENING)
        case = await city.dispatched(appellant=WHO)
        await standing(city, case["appeal_id"], "unit-assigned", "SENT")
        (waiting,) = [one for name, one in (await notices(city, case["appeal_id"])).items() if name == "registered"]
        waiting = await city.until(
            lambda: notices(city, case["appeal_id"]), lambda all_: all_["registered"]["reason"] == "QUIET_HOURS"
        )
        assert datetime.fromisoformat(waiting["registered"]["due_at"]) == MORNING and not phones.to(PHONE)
        city.clock.set(MORNING)
        await standing(city, case["appeal_id"], "registered", "SENT")
        assert len(phones.to(PHONE)) == 1


async def test_nobody_is_told_more_than_so_much_a_day(new_city: NewCity, tmp_path: Path) -> None:
    async with a_talking_city(new_city, tmp_path) as (city, phones, _):
        made = [await city.register(appellant=WHO) for _ in range(POLICY.budget + 1)]

        async def all_of_them() -> list[dict[str, Any]]:
            return [(await notices(city, one["appeal_id"])).get("registered", {}) for one in made]

        told = await city.until(
            all_of_them, lambda all_: sorted(one.get("reason") or "" for one in all_)[-1] == "BUDGET"
        )
        assert [one["standing"] for one in told].count("SENT") == len(phones.to(PHONE)) == POLICY.budget
        city.clock.advance(POLICY.budget_within + timedelta(minutes=1))
        await city.until(all_of_them, lambda all_: {one["standing"] for one in all_} == {"SENT"})


async def test_a_choice_is_kept_for_every_appeal_of_the_person(new_city: NewCity, tmp_path: Path) -> None:
    async with a_talking_city(new_city, tmp_path) as (city, phones, mails):
        both = WHO | {"email": "wang@example.cn"}
        first = await city.register(appellant=both)
        await standing(city, first["appeal_id"], "registered", "SENT")
        held = await choose(city, first, language="en", off=["SMS"], optional=False)
        assert (held["language"], held["off"], held["optional"]) == ("en", ["SMS"], False)
        case = await city.dispatched(appellant=both)
        assert (await standing(city, case["appeal_id"], "registered", *FINAL))["reason"] == "OPTED_OUT"
        await city.handle(case)
        sent = await standing(city, case["appeal_id"], "result", "SENT")
        assert (sent["channel"], sent["language"]) == ("EMAIL", "en")
        assert len(phones.to(PHONE)) == 1 and "has answered" in mails.mails[0].get_content()


async def test_what_the_law_demands_is_sent_although_every_way_is_off(new_city: NewCity, tmp_path: Path) -> None:
    async with a_talking_city(new_city, tmp_path) as (city, phones, _):
        case, made = None, await city.register(appellant=WHO)
        await choose(city, made, off=["SMS", "EMAIL", "WECHAT"], optional=False)
        case = await city.dispatched(appellant=WHO)
        await city.handle(case)
        await standing(city, case["appeal_id"], "result", "SENT")
        assert phones.to(PHONE, "答复")


async def test_what_a_gateway_does_not_take_is_tried_again_and_ends(new_city: NewCity, tmp_path: Path) -> None:
    async with a_talking_city(new_city, tmp_path) as (city, phones, _):
        phones.status = 503
        made = await city.register(appellant=WHO)
        for attempt, wait in enumerate(POLICY.retry_after, 1):
            await city.until(
                lambda: notices(city, made["appeal_id"]),
                lambda all_, n=attempt: all_.get("registered", {"attempts": 0})["attempts"] == n,
            )
            city.clock.advance(wait)
        failed = await standing(city, made["appeal_id"], "registered", "FAILED")
        assert failed["attempts"] == len(POLICY.retry_after) + 1 == phones.requests[failed["notice_id"]]
        assert failed["reason"] == "HTTP_503"
        phones.status = 204
        later = await city.register(appellant=WHO | {"phone": "13633330009"})
        await standing(city, later["appeal_id"], "registered", "SENT")


async def test_without_a_gateway_that_is_on_record(city: City) -> None:
    made = await city.register()
    assert (await standing(city, made["appeal_id"], "registered", "SUPPRESSED"))["reason"] == "NO_GATEWAY"


async def test_without_an_address_that_is_on_record(new_city: NewCity, tmp_path: Path) -> None:
    async with a_talking_city(new_city, tmp_path) as (city, _, __):
        nobody = await city.register(appellant={"type": "PERSON", "anonymous": True})
        assert (await standing(city, nobody["appeal_id"], "registered", "SUPPRESSED"))["reason"] == "NO_ADDRESS"


@pytest.mark.parametrize(("measure", "reason"), [("restrict", "RESTRICTED"), ("erase", "ERASED")])
async def test_whose_data_may_not_be_used_is_not_told(
    new_city: NewCity, tmp_path: Path, measure: str, reason: str
) -> None:
    async with a_talking_city(new_city, tmp_path) as (city, phones, _):
        city.clock.set(EVENING)
        case = await city.dispatched(appellant=WHO)
        await city.until(
            lambda: notices(city, case["appeal_id"]), lambda all_: all_["registered"]["reason"] == "QUIET_HOURS"
        )
        person = await city.running["intake"].pool.fetchval("SELECT person FROM cases")
        for officer in ("a", "b"):
            path, ground = f"/intake/v1/appellants/{person}/{measure}", {"ground": "REQUEST_OF_PERSON"}
            assert (await city.post(path, ground, "MUNICIPAL_ADMIN", sub=officer)).status == 200
        await settled(city)
        city.running["feedback"].keyring.forget(case["appeal_id"])
        city.clock.set(MORNING)
        assert (await standing(city, case["appeal_id"], "registered", "SUPPRESSED"))["reason"] == reason
        assert not phones.to(PHONE)


async def test_one_process_tells_for_all(city: City) -> None:
    assert await city.running["feedback"].pool.fetchval(TRY_LOCK) is False


async def test_a_unit_sees_the_notices_of_its_own_cases(city: City) -> None:
    case = await city.dispatched()
    await standing(city, case["appeal_id"], "unit-assigned", *FINAL)
    path = f"/feedback/v1/notifications?appeal_id={case['appeal_id']}"
    mine = (await city.get(path, "ENTERPRISE_HANDLER", unit=case["lead_unit"])).body["items"]
    assert "unit-assigned" in [one["template"] for one in mine]
    assert (await city.get(path, "STREET_HANDLER", unit="bj-110101008")).body["items"] == []


async def test_the_table_is_shown_with_a_preview(city: City) -> None:
    body = (await city.get("/feedback/v1/notifications/templates")).body
    assert body["version"] == notifications().version
    survey = next(one for one in body["items"] if one["id"] == "survey")
    assert (
        survey["basis"] == "Art 23"
        and "20261126-0000001" in survey["preview"]["en"]
        and "{" not in survey["preview"]["zh"]
    )
