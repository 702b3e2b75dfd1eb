"""回访 as officers work through it: a queue, one officer a case, reasons, checks by others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from services.feedback_service import commands
from services.feedback_service.policy import callback_policy, detector_policy
from shared.contracts.envelope import BEIJING
from tests.e2e.test_state_machine import _called
from tests.support.city import WATER, City, Reply
from tests.support.files import PDF, attached, box
from tests.support.views import settled

POLICY = callback_policy()
FIRST, SECOND = {"sub": "li@hotline"}, {"sub": "wang@hotline"}
VOICE = box(b"ftyp", b"M4A \0\0\2\0isomiso2") + box(b"moov", box(b"mvhd", bytes(100)))


@pytest_asyncio.fixture(scope="module")
async def own(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    """A city whose clock nobody else looks at."""
    async with new_city() as made:
        yield made


async def officer(city: City, case: dict[str, Any], what: str, body: Any = None, **who: Any) -> Reply:
    path = f"/feedback/v1/cases/{case['appeal_id']}/callback{what}"
    return await city.post(path, body or {}, who.pop("role", "CALLBACK_OFFICER"), **who)


async def queue(city: City, query: str = "", **who: Any) -> list[dict[str, Any]]:
    await settled(city)
    items: list[dict[str, Any]] = (
        await city.get(f"/feedback/v1/callbacks?limit=200&{query}", "CALLBACK_OFFICER", **who)
    ).body["items"]
    return items


def ids(items: list[dict[str, Any]]) -> set[str]:
    return {one["appeal_id"] for one in items}


def answers(**said: Any) -> dict[str, Any]:
    return {"valid": True, "contacted": True, "resolved": True, "satisfaction": "SATISFIED"} | said


async def test_an_officer_takes_a_case_and_the_others_see_that(own: City) -> None:
    case, appeal = await _called(own), ""
    appeal = case["appeal_id"]
    assert appeal in ids(await queue(own, "ready=true", **FIRST))
    assert (await officer(own, case, "/assign", **FIRST)).status == 200
    assert appeal in ids(await queue(own, "mine=true", **FIRST)) and appeal not in ids(
        await queue(own, "ready=true", **SECOND)
    )
    for refused in (
        await officer(own, case, "/assign", **SECOND),
        await officer(own, case, "/attempts", {"outcome": "NO_ANSWER"}, **SECOND),
        await officer(own, case, "", answers(), **SECOND),
    ):
        assert (refused.status, refused.code) == (409, "CALLBACK_ASSIGNED")
    own.clock.advance(POLICY.assigned_for)
    assert (await officer(own, case, "", answers(), **SECOND)).body["state"] == "CLOSED"


async def test_who_was_not_reached_is_left_in_peace_for_a_while(own: City) -> None:
    case = await _called(own)
    appeal = case["appeal_id"]
    assert (await officer(own, case, "/attempts", {"outcome": "NO_ANSWER"}, **FIRST)).status == 200
    assert appeal not in ids(await queue(own, "ready=true", **FIRST))
    (row,) = [one for one in await queue(own) if one["appeal_id"] == appeal]
    assert row["call_not_before"] is not None and row["assigned_to"] is None
    own.clock.advance(POLICY.attempts_apart)
    assert appeal in ids(await queue(own, "ready=true", **FIRST))


async def test_the_queue_of_an_officer_has_no_case_of_the_officers_own_unit(own: City) -> None:
    case = await _called(own)
    assert case["appeal_id"] in ids(await queue(own, **FIRST))
    assert case["appeal_id"] not in ids(await queue(own, unit=WATER))
    assert (await officer(own, case, "/assign", unit=WATER)).code == "OWN_CASE"


async def test_answers_have_reasons_from_the_list_and_a_recording(own: City) -> None:
    case = await _called(own)
    listed = (await own.get("/feedback/v1/callbacks/reasons")).body
    assert set(listed["reasons"]) == {"CONTACTED", "RESOLVED", "SATISFACTION"} and listed["version"] == POLICY.version
    because = [{"question": "RESOLVED", "code": "CAME_BACK"}, {"question": "SATISFACTION", "code": "TOO_SLOW"}]
    unknown = await officer(own, case, "", answers(because=[{"question": "RESOLVED", "code": "TOO_SLOW"}]), **FIRST)
    assert (unknown.status, unknown.code) == (422, "REASON_UNKNOWN")
    voice = await attached(own, case["appeal_id"], VOICE, "回访.m4a", role="CALLBACK_OFFICER")
    form = await attached(own, case["appeal_id"], PDF, role="CALLBACK_OFFICER")
    await settled(own)
    assert (await officer(own, case, "", answers(recording=form["number"]), **FIRST)).code == "EVIDENCE_UNKNOWN"
    said = answers(resolved=False, satisfaction="DISSATISFIED", because=because, reasons=["修了又坏"])
    assert (await officer(own, case, "", said | {"recording": voice["number"]}, **FIRST)).body["state"] == "REWORK"
    await settled(own)
    file = (await own.get(f"/feedback/v1/cases/{case['appeal_id']}")).body
    (kept,) = [one for one in file["callbacks"] if one["event"] == "callback-recorded"]
    assert (kept["because"], kept["recording"]) == (because, voice["number"])
    assert file["rework"][0]["reasons"] == ["修了又坏"]


async def test_a_share_is_asked_again_by_somebody_else(own: City, monkeypatch: pytest.MonkeyPatch) -> None:
    every = replace(POLICY, recheck_share=Decimal(1))
    monkeypatch.setattr(commands, "callback_policy", lambda: every)
    agreeing, disagreeing = await _called(own), await _called(own)
    for case in (agreeing, disagreeing):
        assert (await officer(own, case, "", answers(), **FIRST)).body["state"] == "CLOSED"
    await settled(own)
    listed = "/feedback/v1/rechecks"
    both = {agreeing["appeal_id"], disagreeing["appeal_id"]}  # the lot may have drawn one of another test as well
    assert both <= ids((await own.get(listed, "CALLBACK_OFFICER", **SECOND)).body["items"])
    assert not both & ids((await own.get(listed, "CALLBACK_OFFICER", **FIRST)).body["items"])
    same, other = {"contacted": True, "satisfaction": "SATISFIED"}, {"resolved": False, "satisfaction": "DISSATISFIED"}
    assert (await officer(own, agreeing, "/recheck", same, **FIRST)).code == "SECOND_OFFICER_NEEDED"
    assert (await officer(own, agreeing, "/recheck", same, **SECOND)).status == 200
    assert (await officer(own, disagreeing, "/recheck", other, **SECOND)).status == 200
    assert (await officer(own, disagreeing, "/recheck", other, **SECOND)).code == "NOT_DRAWN"
    await settled(own)
    leads = (await own.get("/feedback/v1/leads?kind=RECHECK_DISAGREES")).body["items"]
    assert [one["subject"] for one in leads] == [disagreeing["appeal_id"]]


@pytest.mark.parametrize(("share", "least", "most"), [("0", 0, 0), ("0.02", 100, 300), ("1", 10_000, 10_000)])
def test_the_lot_draws_about_the_share_that_the_policy_names(share: str, least: int, most: int) -> None:
    policy = replace(POLICY, recheck_share=Decimal(share))
    ids = [f"01890000-0000-7000-8000-{n:012d}" for n in range(10_000)]
    lots = [commands.drawn(b"k" * 32, one, 1, policy) for one in ids]
    assert least <= sum(lots) <= most
    assert lots == [commands.drawn(b"k" * 32, one, 1, policy) for one in ids]


async def test_a_unit_contests_an_answer_and_somebody_else_decides(own: City) -> None:
    case = await _called(own)
    assert (await officer(own, case, "", answers(contacted=False), **FIRST)).body["state"] == "CLOSED"
    contest, ground = f"/feedback/v1/cases/{case['appeal_id']}/callback/contest", {"ground": "通话记录显示已联系两次"}
    assert (await own.post(contest, ground, "STREET_HANDLER", unit="bj-110101008")).status == 404
    assert (await own.as_unit(case, contest, ground)).status == 200
    assert (await own.as_unit(case, contest, ground)).code == "CONTESTED_ALREADY"
    await settled(own)
    listed = (await own.get("/feedback/v1/reviews", "MUNICIPAL_ADMIN")).body["items"]
    assert [one["appeal_id"] for one in listed] == [case["appeal_id"]]
    review, verdict = "/review", {"stands": False, "reason": "录音与记录不符"}
    assert (await officer(own, case, review, verdict)).status == 403
    assert (await officer(own, case, review, verdict, role="MUNICIPAL_ADMIN", unit=WATER)).code == "OWN_CASE"
    assert (await officer(own, case, review, verdict, role="MUNICIPAL_ADMIN")).status == 200
    assert (await officer(own, case, review, verdict, role="MUNICIPAL_ADMIN")).code == "NOT_CONTESTED"
    await settled(own)
    assert (await own.get("/feedback/v1/reviews", "MUNICIPAL_ADMIN")).body["items"] == []


async def test_contesting_has_an_end(own: City) -> None:
    case = await _called(own)
    assert (await officer(own, case, "", answers(), **FIRST)).status == 200
    own.clock.advance(POLICY.contest_within + POLICY.attempts_apart)
    late = await own.as_unit(case, f"/feedback/v1/cases/{case['appeal_id']}/callback/contest", {"ground": "不属实"})
    assert (late.status, late.code) == (409, "CONTEST_WINDOW_OVER")


async def test_nobody_calling_back_in_time_is_noted_once(own: City) -> None:
    case = await _called(own)
    own.clock.advance(POLICY.start_within)
    await own.until_event(case["appeal_id"], "callback-overdue")
    assert (await officer(own, case, "", answers(), **FIRST)).body["state"] == "CLOSED"
    await settled(own)
    timeline = (await own.case(case["appeal_id"]))["timeline"]
    assert sum("callback-overdue" in one["type"] for one in timeline) == 1


async def test_an_officer_of_the_district_that_watches_over_it_is_looked_at(own: City) -> None:
    made = await own.register(location={"township": "大屯街道"}, content="路灯坏了一周，晚上很黑", title="路灯不亮")
    order = f"/routing/v1/orders/{made['appeal_id']}"
    await own.until(lambda: own.get(order), lambda reply: reply.status == 200)
    street = {"unit_id": "110105025", "reason": "属地"}
    await own.post(f"{order}/dispatch", street)
    case = await own.until_state(made["appeal_id"], "DISPATCHED")
    await own.handle(case)
    await own.until_state(case["appeal_id"], "CALLBACK_DUE")
    assert (await officer(own, case, "", answers(), unit=case["cc_district"])).status == 200
    await settled(own)
    leads = (await own.get("/feedback/v1/leads?kind=CALLBACK_BY_CONCERNED_UNIT")).body["items"]
    assert [(one["subject"], one["unit_id"]) for one in leads] == [(case["appeal_id"], case["cc_district"])]


async def test_many_answers_in_the_last_days_of_a_period_are_looked_at_once(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    policy = detector_policy()
    async with new_city() as city:
        city.clock.set(datetime(2026, 12, policy.period_day - 1, 10, 0, tzinfo=BEIJING))
        for _ in range(policy.burst_least):
            await city.handle(await city.dispatched())
        await settled(city)
        city.clock.set(datetime(2026, 12, policy.period_day, 1, 0, tzinfo=BEIJING))

        async def found() -> list[dict[str, Any]]:
            items: list[dict[str, Any]] = (await city.get("/feedback/v1/leads?kind=CLOSING_BURST")).body["items"]
            return items

        (lead,) = await city.until(found, bool)
        assert (lead["subject"], lead["unit_id"]) == (WATER, WATER)
        assert lead["figures"]["completed"] == str(policy.burst_least)
        close, key = f"/feedback/v1/leads/{WATER}/close", {"key": lead["key"], "outcome": "EXPLAINED"}
        assert (await city.post(close, key, "AUDITOR", unit=WATER)).code == "OWN_CASE"
        assert (await city.post(close, key, "AUDITOR")).body["state"] == "CLOSED"
        assert (await city.post(close, key, "AUDITOR")).code == "LEAD_CLOSED"
