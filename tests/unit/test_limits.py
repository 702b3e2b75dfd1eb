"""When something is due: natural time from dispatch, by tier (vectors of the domain specification, section 5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.routing_service.calendar import VERSION
from services.routing_service.limits import Limit, shipped_limits
from shared.contracts.codes import Kind, Urgency
from shared.contracts.derivation import Derivation
from shared.contracts.envelope import BEIJING, rfc3339

LIMITS = shipped_limits()
BEFORE_THE_HOLIDAY = datetime(2026, 9, 30, 22, 10, tzinfo=BEIJING)
LABOUR, HEAT = "劳动和社会保障", "供热"
OWN = {LABOUR: Limit("P5D", "WORKING", "Shandong: 5 working days"), HEAT: Limit("PT12H", "NATURAL", "winter order")}
WITH_OWN = replace(LIMITS, categories=OWN)
VECTORS = {
    Urgency.EMERGENCY: ("2026-10-01T00:10", "2026-09-30T22:20", "PT2H"),
    Urgency.LIFELINE: ("2026-10-01T22:10", "2026-10-01T00:10", "PT24H"),
    Urgency.GENERAL: ("2026-10-07T22:10", "2026-10-01T00:10", "P7D"),
    Urgency.COMPLEX: ("2026-10-15T22:10", "2026-10-01T00:10", "P15D"),
}


@pytest.mark.parametrize("tier", list(Urgency))
def test_every_tier_is_due_in_natural_time_across_the_national_day_holiday(tier: Urgency) -> None:
    handle, sign, _ = VECTORS[tier]
    due = LIMITS.due(tier, BEFORE_THE_HOLIDAY)
    assert rfc3339(due.handle) == f"{handle}:00.000+08:00"
    assert rfc3339(due.sign) == f"{sign}:00.000+08:00"


@pytest.mark.parametrize("tier", list(Urgency))
def test_the_derivation_is_enough_to_compute_the_due_time_again_by_hand(tier: Urgency) -> None:
    derivation = LIMITS.due(tier, BEFORE_THE_HOLIDAY).derivation
    assert derivation == Derivation(
        tier=tier,
        limit=VECTORS[tier][2],
        calendar="NATURAL",
        clock_start="DISPATCH",
        started_at=BEFORE_THE_HOLIDAY,
        policy="limits-2026-3",
        source="DB11/T 2021 draft [S2]",
    )
    assert derivation.model_dump(mode="json")["started_at"] == "2026-09-30T22:10:00.000+08:00"


@pytest.mark.parametrize("zone", [UTC, BEIJING])
def test_the_zone_that_a_dispatch_is_written_in_does_not_move_the_limit(zone: object) -> None:
    there = BEFORE_THE_HOLIDAY.astimezone(zone)  # type: ignore[arg-type]
    assert LIMITS.due(Urgency.GENERAL, there).handle == BEFORE_THE_HOLIDAY + timedelta(days=7)


def test_a_new_table_changes_the_due_time_and_says_so() -> None:
    table = replace(LIMITS, version="limits-2027-1", handle=LIMITS.handle | {Urgency.GENERAL: "P5D"})
    due = table.due(Urgency.GENERAL, BEFORE_THE_HOLIDAY)
    assert due.handle == BEFORE_THE_HOLIDAY + timedelta(days=5)
    assert (due.derivation.limit, due.derivation.policy) == ("P5D", "limits-2027-1")


@pytest.mark.parametrize("tier", list(Urgency))
def test_no_unit_has_to_answer_before_it_has_to_sign(tier: Urgency) -> None:
    due = LIMITS.due(tier, BEFORE_THE_HOLIDAY)
    assert BEFORE_THE_HOLIDAY < due.sign < due.handle


@pytest.mark.parametrize("urgency", [None, *Urgency])
def test_an_order_waits_three_seconds_for_an_agent_but_an_emergency_does_not(urgency: Urgency | None) -> None:
    wait = LIMITS.hold_until(urgency, BEFORE_THE_HOLIDAY) - BEFORE_THE_HOLIDAY
    assert wait == (timedelta(0) if urgency is Urgency.EMERGENCY else timedelta(seconds=3))


def test_the_shipped_table_says_what_may_leave_by_itself() -> None:
    assert Decimal("0.45") == LIMITS.automatic_confidence
    assert frozenset({Kind.HELP, Kind.COMPLAINT, Kind.REPORT, Kind.SUGGESTION}) == LIMITS.automatic_kinds
    assert Decimal(LIMITS.points.district_confidence) >= LIMITS.automatic_confidence


@pytest.mark.parametrize("tier", [Urgency.LIFELINE, Urgency.GENERAL, Urgency.COMPLEX])
def test_a_category_with_a_limit_of_its_own_goes_before_the_tier_and_says_so(tier: Urgency) -> None:
    """1 to 7 October are no working days, Saturday the 10th is one: 8, 9, 10, 12, 13."""
    due, plain = WITH_OWN.due(tier, BEFORE_THE_HOLIDAY, LABOUR), LIMITS.due(tier, BEFORE_THE_HOLIDAY)
    assert rfc3339(due.handle) == "2026-10-13T22:10:00.000+08:00"
    assert due.sign == plain.sign
    assert due.derivation == plain.derivation.model_copy(
        update={"limit": "P5D", "calendar": "WORKING", "source": "Shandong: 5 working days"}
        | {"category": LABOUR, "calendar_version": VERSION}
    )


def test_a_categorys_own_limit_may_be_natural_time() -> None:
    due = WITH_OWN.due(Urgency.GENERAL, BEFORE_THE_HOLIDAY, HEAT)
    assert due.handle == BEFORE_THE_HOLIDAY + timedelta(hours=12)
    derivation = due.derivation
    assert (derivation.category, derivation.calendar, derivation.calendar_version) == (HEAT, "NATURAL", None)


@pytest.mark.parametrize("category", [LABOUR, HEAT])
def test_an_emergency_knows_no_limit_of_a_category(category: str) -> None:
    emergency = WITH_OWN.due(Urgency.EMERGENCY, BEFORE_THE_HOLIDAY, category)
    assert emergency == LIMITS.due(Urgency.EMERGENCY, BEFORE_THE_HOLIDAY)


@pytest.mark.parametrize("category", [None, "", "教育文体"])
@pytest.mark.parametrize("tier", list(Urgency))
def test_any_other_category_is_due_by_its_tier(tier: Urgency, category: str | None) -> None:
    assert WITH_OWN.due(tier, BEFORE_THE_HOLIDAY, category) == LIMITS.due(tier, BEFORE_THE_HOLIDAY)


@pytest.mark.parametrize(
    ("start", "due", "provisional"),
    [
        ("2026-11-23T09:00", "2026-11-30T09:00", False),
        ("2026-12-24T09:00", "2026-12-31T09:00", False),
        ("2003-12-30T09:00", "2004-01-07T09:00", True),  # one day of the year before the first that is known
        ("2099-01-05T09:00", "2099-01-12T09:00", True),
    ],
)
def test_working_days_that_are_not_official_yet_make_a_due_time_provisional(
    start: str, due: str, provisional: bool
) -> None:
    there = WITH_OWN.due(Urgency.GENERAL, datetime.fromisoformat(f"{start}+08:00"), LABOUR)
    assert (there.handle, there.derivation.provisional) == (datetime.fromisoformat(f"{due}+08:00"), provisional)


def test_natural_time_is_never_provisional() -> None:
    far = datetime(2099, 1, 5, 9, 0, tzinfo=BEIJING)
    for category in (None, HEAT):
        assert not WITH_OWN.due(Urgency.GENERAL, far, category).derivation.provisional


REMINDERS = {Urgency.EMERGENCY: 1.5, Urgency.LIFELINE: 18, Urgency.GENERAL: 126, Urgency.COMPLEX: 270}


@pytest.mark.parametrize(("tier", "hours"), REMINDERS.items())
def test_the_unit_is_reminded_when_three_quarters_of_its_time_are_over(tier: Urgency, hours: float) -> None:
    assert LIMITS.due(tier, BEFORE_THE_HOLIDAY).remind == BEFORE_THE_HOLIDAY + timedelta(hours=hours)


def test_three_quarters_of_working_days_are_three_quarters_of_the_time_that_passes() -> None:
    """Thirteen days pass until the fifth working day."""
    remind = WITH_OWN.due(Urgency.GENERAL, BEFORE_THE_HOLIDAY, LABOUR).remind
    assert remind == BEFORE_THE_HOLIDAY + timedelta(days=13) * 3 / 4
