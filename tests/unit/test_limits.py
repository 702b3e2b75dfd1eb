"""When something is due: natural time from dispatch, by tier (vectors of the domain specification, section 5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.routing_service.limits import shipped_limits
from shared.contracts.codes import Kind, Urgency
from shared.contracts.envelope import BEIJING, rfc3339
from shared.contracts.routing import Derivation

LIMITS = shipped_limits()
BEFORE_THE_HOLIDAY = datetime(2026, 9, 30, 22, 10, tzinfo=BEIJING)
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
