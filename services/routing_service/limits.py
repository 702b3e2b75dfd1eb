"""When something is due. Pure arithmetic on a versioned table; every answer carries its derivation.

Law: Regulation Art 13 (every order states its limit). Figures: domain specification, section 5.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from services.routing_service.calendar import VERSION, WorkingTime, Works, after_working_days, official
from shared.contracts.codes import Kind, Urgency
from shared.contracts.derivation import Derivation

SHIPPED = Path(__file__).parent / "data" / "limits.toml"
_DURATION = TypeAdapter(timedelta)


@dataclass(frozen=True)
class Due:
    """The due times of a dispatch, and when the unit is reminded by itself."""

    handle: datetime
    sign: datetime
    remind: datetime
    derivation: Derivation


@dataclass(frozen=True)
class Points:
    """How much each kind of evidence counts in a proposal."""

    category_points: int
    title_points: int
    text_points: int
    most_candidates: int
    district_confidence: str
    model_points: Decimal
    least_share: Decimal


@dataclass(frozen=True)
class Disputes:
    """How long a unit may object, a reviewer take, an extension or a rest on the ledger be."""

    objection_window: dict[Urgency, str]
    objection_review: dict[Urgency, str]
    most_objections: int
    most_extensions: int
    longest_extension: Decimal
    extension_answer: str
    report_within: dict[str, str]
    longest_review: timedelta


@dataclass(frozen=True)
class Limit:
    """A handling limit: so long, in natural or in working days, by this source."""

    handle: str
    calendar: Literal["NATURAL", "WORKING"]
    source: str

    def after(self, start: datetime, works: Works) -> WorkingTime:
        """When it is over."""
        length = _DURATION.validate_python(self.handle)
        if self.calendar == "WORKING":
            return after_working_days(start, length.days, works)
        return WorkingTime(start + length, provisional=False)


@dataclass(frozen=True)
class Ladder:
    """When the unit is reminded, when the handling is watched, when it goes up, without anybody's doing."""

    remind_after: Decimal
    supervise_urges: int
    supervise_unsigned: dict[Urgency, timedelta]
    escalate_rounds: int
    escalate_open: timedelta


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
    ladder: Ladder
    categories: Mapping[str, Limit]
    source: str
    most_table_bytes: int
    most_model_bytes: int
    least_macro_f1: Decimal
    dispatch_within: timedelta
    works: Works = official

    def due(self, tier: Urgency, dispatched_at: datetime, category: str | None = None) -> Due:
        """From dispatch on, by the category's own limit where it has one, else by the tier's.

        Natural time knows no holidays: 7x24 service, and Beijing has no daylight saving.
        """
        own = self.categories.get(category or "") if tier is not Urgency.EMERGENCY else None
        limit = own or Limit(self.handle[tier], "NATURAL", self.source)
        handle = limit.after(dispatched_at, self.works)
        derivation = Derivation(
            tier=tier,
            limit=limit.handle,
            calendar=limit.calendar,
            clock_start="DISPATCH",
            started_at=dispatched_at,
            policy=self.version,
            source=limit.source,
            category=category if own else None,
            calendar_version=VERSION if limit.calendar == "WORKING" else None,
            provisional=handle.provisional,
        )
        seconds = Decimal((handle.moment - dispatched_at).total_seconds()) * self.ladder.remind_after
        remind = dispatched_at + timedelta(seconds=int(seconds))
        sign = dispatched_at + _DURATION.validate_python(self.sign[tier])
        return Due(handle.moment, sign, remind, derivation)

    def objection_until(self, tier: Urgency, dispatched_at: datetime) -> datetime:
        """Until when the unit may say that it is not responsible."""
        return _after(dispatched_at, self.disputes.objection_window[tier])

    def review_until(self, tier: Urgency, objected_at: datetime) -> datetime:
        """Until when the reviewer must have decided."""
        return _after(objected_at, self.disputes.objection_review[tier])

    def answer_until(self, asked_at: datetime) -> datetime:
        """Until when a request for more time must have been answered."""
        return _after(asked_at, self.disputes.extension_answer)

    def longest_until(self, limit: timedelta, due_at: datetime) -> datetime:
        """How far an extension may move a due time, by the limit that the order had at first."""
        seconds = Decimal(limit.total_seconds()) * self.disputes.longest_extension
        return due_at + timedelta(seconds=int(seconds))

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
        points=_points(table["proposal"]),
        disputes=Disputes(
            objection_window=_by_tier(table["objection"]["window"]),
            objection_review=_by_tier(table["objection"]["review"]),
            most_objections=table["objection"]["most_each_round"],
            most_extensions=table["extension"]["most_each_round"],
            longest_extension=Decimal(table["extension"]["longest"]),
            extension_answer=table["extension"]["answer"],
            report_within=table["whistle"]["report_within"],
            longest_review=_DURATION.validate_python(table["ledger"]["longest_review"]),
        ),
        ladder=_ladder(table["ladder"]),
        categories={one["name"]: _own_limit(one) for one in table.get("category", ())},
        source=table["source"],
        most_table_bytes=table["files"]["most_table_bytes"],
        most_model_bytes=table["files"]["most_model_bytes"],
        least_macro_f1=Decimal(table["classifier"]["least_macro_f1"]),
        dispatch_within=_DURATION.validate_python(dispatch["by_hand_within"]),
    )


def _own_limit(table: dict[str, Any]) -> Limit:
    whole_days = not _DURATION.validate_python(table["handle"]) % timedelta(days=1)
    if table["calendar"] == "WORKING" and not whole_days:
        raise ValueError(f"category {table['name']}: working time is counted in whole days")
    return Limit(table["handle"], table["calendar"], table["source"])


def _ladder(table: dict[str, Any]) -> Ladder:
    unsigned = _by_tier(table["supervise_unsigned"])
    return Ladder(
        remind_after=Decimal(table["remind_after"]),
        supervise_urges=table["supervise_urges"],
        supervise_unsigned={tier: _DURATION.validate_python(text) for tier, text in unsigned.items()},
        escalate_rounds=table["escalate_rounds"],
        escalate_open=_DURATION.validate_python(table["escalate_open"]),
    )


def _points(table: dict[str, Any]) -> Points:
    model = {name: Decimal(table[name]) for name in ("model_points", "least_share")}
    return Points(**table | model)


def _by_tier(table: dict[str, str]) -> dict[Urgency, str]:
    found = {Urgency(tier): duration for tier, duration in table.items()}
    if missing := set(Urgency) - found.keys():
        raise ValueError(f"limits.toml: no figure for {', '.join(sorted(missing))}")
    return found
