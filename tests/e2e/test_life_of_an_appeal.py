"""The story of one appeal, told over HTTP from the first call to the league table."""

from __future__ import annotations

from typing import Any

from tests.support.city import WATER, City


def _told_and_assessed(case: dict[str, Any]) -> bool:
    return case["state"] == "CLOSED" and case["assessment"] is not None and len(case["timeline"]) == 15


async def test_an_appeal_lives_from_registration_to_assessment(city: City) -> None:
    case = await city.dispatched()
    assert case["lead_unit"] == WATER and case["round"] == 1
    await city.handle(case)
    await city.until_state(case["appeal_id"], "FEEDBACK_DONE", "CALLBACK_DUE")
    assert (await city.callback(case)).body["state"] == "CLOSED"
    closed = await city.until(lambda: city.case(case["appeal_id"]), _told_and_assessed)
    assert closed["state"] == "CLOSED" and closed["assessment"]["resolved"] is True
    assert [event["type"].split(".")[-2] for event in closed["timeline"]] == [
        "appeal-registered",
        "order-proposed",
        "order-dispatched",
        "case-opened",
        "order-signed",
        "case-signed",
        "appellant-contacted",
        "feedback-given",
        "feedback-given",
        "callback-scheduled",
        "handling-completed",
        "callback-recorded",
        "assessment-recorded",
        "appeal-closed",
        "order-ended",
    ]
