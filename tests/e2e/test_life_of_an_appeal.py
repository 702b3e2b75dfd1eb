"""The story of one appeal, told over HTTP from the first call to the league table."""

from __future__ import annotations

from typing import Any

from tests.support.city import WATER, City
from tests.support.views import settled


def _told_and_assessed(case: dict[str, Any]) -> bool:
    return case["state"] == "CLOSED" and case["assessment"] is not None and len(case["timeline"]) == 15


async def test_an_appeal_lives_from_registration_to_assessment(city: City) -> None:
    case = await city.dispatched()
    assert case["lead_unit"] == WATER and case["round"] == 1
    await settled(city)  # feedback has heard of the dispatch before the unit signs
    await city.handle(case)
    await city.until_state(case["appeal_id"], "FEEDBACK_DONE", "CALLBACK_DUE")
    assert (await city.callback(case)).body["state"] == "CLOSED"
    closed = await city.until(lambda: city.case(case["appeal_id"]), _told_and_assessed)
    assert closed["state"] == "CLOSED" and closed["assessment"]["resolved"] is True
    story = [event["type"].removeprefix("cn.gov.appeals.").removesuffix(".v1") for event in closed["timeline"]]
    assert story[:7] == [
        "intake.appeal-registered",
        "routing.order-proposed",
        "routing.order-dispatched",
        "feedback.case-opened",
        "routing.order-signed",
        "feedback.case-signed",
        "feedback.appellant-contacted",
    ]
    # From here routing and feedback go on side by side; each tells its own part in order.
    assert [name for name in story if name.startswith("feedback.")][3:] == [
        "feedback.feedback-given",
        "feedback.feedback-given",
        "feedback.callback-scheduled",
        "feedback.callback-recorded",
    ]
    assert [name for name in story if name.startswith("routing.")][3:] == [
        "routing.handling-completed",
        "routing.order-ended",
    ]
    assert {"scoring.assessment-recorded", "intake.appeal-closed"} < set(story)
