"""Open data without small cells: what stands for few people is withheld, and what would give it away with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.scoring_service.documents import COUNTS

FIGURES_KEPT = frozenset({"unit_id", "name", "received", "rated", "label"})


def opened(document: Mapping[str, Any], small_cell: int) -> dict[str, Any]:
    """The table for everybody.

    A unit with fewer valid callbacks than `small_cell`, but some, shows none of its answers. Where that is one unit
    alone, the total would tell them: the next smallest is withheld as well. A count of answers below the limit is
    withheld by itself (e.g. three dissatisfied), rates stay: they are rounded from all of them.
    """
    withheld = _withheld(document["items"], small_cell)
    items = [_blank(item) if item["unit_id"] in withheld else _coarse(item, small_cell) for item in document["items"]]
    return {**document, "items": items, "small_cell": small_cell, "withheld": len(withheld)}


def _withheld(items: Sequence[Mapping[str, Any]], small_cell: int) -> set[str]:
    some = sorted((item["valid_callbacks"], item["unit_id"]) for item in items if item["valid_callbacks"])
    small = {unit for callbacks, unit in some if callbacks < small_cell}
    if len(small) == 1:
        small |= {unit for _, unit in some[1:2]}
    return small


def _blank(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value if name in FIGURES_KEPT else None for name, value in item.items()} | {"withheld": True}


def _coarse(item: Mapping[str, Any], small_cell: int) -> dict[str, Any]:
    """Counts of answers that are few become null."""
    few = {name: None for name in COUNTS[2:] if 0 < item[name] < small_cell}
    return {**item, **few, "withheld": False}
