"""When something is due. Pure arithmetic on a versioned table; every answer carries its derivation.

Law: Regulation Art 13 (every order states its limit). Figures: domain specification, section 5.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from services.routing_service.calendar import after_working_days
from shared.contracts.codes import Kind, Urgency
from shared.contracts.routing import Derivation

SHIPPED = Path(__file__).parent / "data" / "limits.toml"
_DURATION = TypeAdapter(timedelta)


@dataclass(frozen=True)
class Due:
    """The two due times of a dispatch."""

    handle: datetime
    sign: datetime
    derivation: Derivation


@dataclass(frozen=True)
class Points:
    """How much each kind of evidence counts in a proposal."""

    category_points: int
    title_points: int
    text_points: int
    most_candidates: int
    district_confidence: str


@dataclass(frozen=True)
class Disputes:
    """How long a unit may object, a reviewer take, an extension or a rest on the ledger be."""

    objection_window: dict[Urgency, str]
    objection_review: dict[Urgency, str]
    most_objections: int
    most_extensions: int
    longest_extension: Decimal
    report_within: dict[str, str]
    longest_review: timedelta


@dataclass(frozen=True)
class Limits:
    """One version of the table."""

    version: str
    handle: dict[Urgency, str]
    sign: dict[Urgency, str]
    hold: timedelta
    hold_emergency: timedelta
    automatic_confidence: Decimal
    automatic_kinds: frozenset[Kind]
    points: Points
    disputes: Disputes

    def due(self, tier: Urgency, dispatched_at: datetime) -> Due:
        """Natural time from dispatch: Beijing has no daylight saving, and 7x24 service knows no holidays."""
        derivation = Derivation(
            tier=tier,
            limit=self.handle[tier],
            calendar="NATURAL",
            clock_start="DISPATCH",
            started_at=dispatched_at,
            policy=self.version,
            source="DB11/T 2021 draft [S2]",
        )
        handle = dispatched_at + _DURATION.validate_python(self.handle[tier])
        return Due(handle, dispatched_at + _DURATION.validate_python(self.sign[tier]), derivation)

    def objection_until(self, tier: Urgency, dispatched_at: datetime) -> datetime:
        """Until when the unit may say that it is not responsible."""
        return _after(dispatched_at, self.disputes.objection_window[tier])

    def review_until(self, tier: Urgency, objected_at: datetime) -> datetime:
        """Until when the reviewer must have decided."""
        return _after(objected_at, self.disputes.objection_review[tier])

    def longest_until(self, tier: Urgency, due_at: datetime) -> datetime:
        """How far an extension may move a due time."""
        limit = Decimal(_DURATION.validate_python(self.handle[tier]).total_seconds())
        return due_at + timedelta(seconds=int(limit * self.disputes.longest_extension))

    def report_until(self, kind: str, blown_at: datetime) -> datetime:
        """Until when a department that was whistled for must be there."""
        return _after(blown_at, self.disputes.report_within[kind])

    def hold_until(self, urgency: Urgency | None, now: datetime) -> datetime:
        """Until when an agent may still answer, redirect or merge before the order leaves by itself."""
        return now + (self.hold_emergency if urgency is Urgency.EMERGENCY else self.hold)


def _after(start: datetime, duration: str) -> datetime:
    """Whole days of these windows are working days; anything shorter runs on at night."""
    length = _DURATION.validate_python(duration)
    return after_working_days(start, length.days).moment if length.days else start + length


@cache
def shipped_limits() -> Limits:
    """The defaults that come with the product."""
    table = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
    dispatch = table["dispatch"]
    return Limits(
        version=table["version"],
        handle=_by_tier(table["handle"]),
        sign=_by_tier(table["sign"]),
        hold=_DURATION.validate_python(dispatch["hold"]),
        hold_emergency=_DURATION.validate_python(dispatch["hold_emergency"]),
        automatic_confidence=Decimal(dispatch["automatic_confidence"]),
        automatic_kinds=frozenset(map(Kind, dispatch["automatic_kinds"])),
        points=Points(**table["proposal"]),
        disputes=Disputes(
            objection_window=_by_tier(table["objection"]["window"]),
            objection_review=_by_tier(table["objection"]["review"]),
            most_objections=table["objection"]["most_each_round"],
            most_extensions=table["extension"]["most_each_round"],
            longest_extension=Decimal(table["extension"]["longest"]),
            report_within=table["whistle"]["report_within"],
            longest_review=_DURATION.validate_python(table["ledger"]["longest_review"]),
        ),
    )


def _by_tier(table: dict[str, str]) -> dict[Urgency, str]:
    return {Urgency(tier): duration for tier, duration in table.items()}
