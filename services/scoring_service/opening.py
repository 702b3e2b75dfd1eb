"""Open data: figures that stand for few people are withheld, and what would give them away with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

OPEN = (
    *("rank", "unit_id", "name", "received", "valid_callbacks", "composite_shown", "label", "rated", "provisional"),
    *("low", "high"),
)
"""What everybody may see, with the rates. Not the answers one by one, and no changes: the period before had its own
small cells, which a change would tell.
"""
_ALWAYS = frozenset(("unit_id", "name"))


def opened(document: Mapping[str, Any], small_cell: int) -> dict[str, Any]:
    """The table for everybody: every figure stands for at least `small_cell` valid callbacks.

    A unit with fewer, but some, is withheld. So is the next smallest, until those withheld are two or more and together
    enough; else the totals would tell. Where that cannot be had the totals are withheld.
    """
    withheld, hidden = _withheld(document["items"], small_cell)
    items = [_item(item, item["unit_id"] in withheld) for item in document["items"]]
    summary = {name: None if hidden else value for name, value in _open(document["summary"]).items()}
    more = {"items": items, "summary": summary, "small_cell": small_cell, "withheld": len(withheld)}
    return {**document, **more}


def _withheld(items: Sequence[Mapping[str, Any]], small_cell: int) -> tuple[set[str], bool]:
    """The units that are withheld, and whether the totals must be."""
    some = sorted((item["valid_callbacks"], item["unit_id"]) for item in items if item["valid_callbacks"])
    number = sum(1 for callbacks, _ in some if callbacks < small_cell)
    while 0 < number < len(some) and (number < 2 or sum(callbacks for callbacks, _ in some[:number]) < small_cell):
        number += 1
    together = sum(callbacks for callbacks, _ in some[:number])
    return {unit for _, unit in some[:number]}, bool(number) and (number < 2 or together < small_cell)


def _open(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name in OPEN or name.endswith("_rate")}


def _item(item: Mapping[str, Any], withheld: bool) -> dict[str, Any]:
    shown = _open(item)
    if withheld:
        shown = {name: value if name in _ALWAYS else None for name, value in shown.items()}
    return shown | {"withheld": withheld}
