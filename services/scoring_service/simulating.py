"""The same events under another policy: both tables, who would move, and by how much. Nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from services.scoring_service.formula import Score, text
from services.scoring_service.tables import LeagueTable

UNMOVED = Decimal(0)


def moves(now: LeagueTable, then: LeagueTable) -> list[dict[str, Any]]:
    """Every unit's rank and composite under both; the greatest winners first. `places` are gained when positive."""
    others = {one.counts.unit_id: one for one in then.scores}
    found = [_move(one, others[one.counts.unit_id]) for one in now.scores if one.counts.unit_id in others]
    return sorted(found, key=lambda one: (-(one["places"] or 0), -Decimal(one["difference"] or 0), one["unit_id"]))


def _move(now: Score, then: Score) -> dict[str, Any]:
    both = now.composite is not None and then.composite is not None
    difference = then.composite - now.composite if both else None  # type: ignore[operator]
    return {
        "unit_id": now.counts.unit_id,
        "name": now.counts.name,
        "rank": now.rank,
        "rank_then": then.rank,
        "places": now.rank - then.rank if now.rank and then.rank else None,
        "label": now.label,
        "label_then": then.label,
        "composite": text(now.composite),
        "composite_then": text(then.composite),
        "difference": text(difference),
    }


def outcome(moved: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """In one line: how many win and lose places or figures, and who the most."""
    gains = [one for one in moved if Decimal(one["difference"] or 0) > UNMOVED]
    losses = [one for one in moved if Decimal(one["difference"] or 0) < UNMOVED]
    return {
        "units": len(moved),
        "rank_changed": sum(1 for one in moved if one["places"]),
        "label_changed": sum(1 for one in moved if one["label"] != one["label_then"]),
        "winners": len(gains),
        "losers": len(losses),
        "greatest_gain": max((one["difference"] for one in gains), key=Decimal, default=None),
        "greatest_loss": min((one["difference"] for one in losses), key=Decimal, default=None),
    }
