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

    def hold_until(self, urgency: Urgency | None, now: datetime) -> datetime:
        """Until when an agent may still answer, redirect or merge before the order leaves by itself."""
        return now + (self.hold_emergency if urgency is Urgency.EMERGENCY else self.hold)


@cache
def shipped_limits() -> Limits:
    """The defaults that come with the product."""
    table = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
    dispatch = table["dispatch"]
    return Limits(
        version=table["version"],
        handle={Urgency(tier): limit for tier, limit in table["handle"].items()},
        sign={Urgency(tier): limit for tier, limit in table["sign"].items()},
        hold=_DURATION.validate_python(dispatch["hold"]),
        hold_emergency=_DURATION.validate_python(dispatch["hold_emergency"]),
        automatic_confidence=Decimal(dispatch["automatic_confidence"]),
        automatic_kinds=frozenset(map(Kind, dispatch["automatic_kinds"])),
        points=Points(**table["proposal"]),
    )
