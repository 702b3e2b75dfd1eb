"""Open data: figures that stand for few people are withheld, and what would give them away with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

OPEN = (
    *("rank", "unit_id", "name", "received", "valid_callbacks", "composite_shown", "label", "rated", "provisional"),
    *("low", "high"),
)
"""What everybody may see, with the rates. Not the answers one by one, and no changes: the period before had its own
small cells, which a change would tell.
"""
_FIGURES = ("low", "high")
_ALWAYS = frozenset(("unit_id", "name"))


def opened(
    document: Mapping[str, Any], small_cell: int, below: Mapping[str, Sequence[Mapping[str, Any]]] | None = None
) -> dict[str, Any]:
    """The table for everybody: every figure stands for at least `small_cell` appeals and valid callbacks.

    A unit with fewer, but some, is withheld. So is the next smallest, until those withheld are two or more and together
    enough; else the totals would tell. Where that cannot be had the totals are withheld. `below`: what is open of the
    units that roll up to one; where it would leave too few, that one is withheld too. The withheld stand last, by code.
    """
    withheld, hidden = _withheld(document["items"], small_cell, below or {})
    items = sorted(
        (_item(item, item["unit_id"] in withheld) for item in document["items"]),
        key=lambda item: (item["withheld"], item["unit_id"] if item["withheld"] else ""),
    )
    summary = {name: None if hidden else value for name, value in _open(document["summary"]).items()}
    more = {"items": items, "summary": summary, "small_cell": small_cell, "withheld": len(withheld)}
    return {**document, **more}


def _withheld(
    items: Sequence[Mapping[str, Any]], small_cell: int, below: Mapping[str, Sequence[Mapping[str, Any]]]
) -> tuple[set[str], bool]:
    """The units that are withheld, and whether the totals must be."""
    some = sorted((item for item in items if item["received"]), key=lambda one: (_least(one, below), one["unit_id"]))
    number = sum(1 for one in some if _least(one, below) < small_cell)
    while 0 < number < len(some) and not _enough(some[:number], small_cell):
        number += 1
    return {one["unit_id"] for one in some[:number]}, bool(number) and not _enough(some[:number], small_cell)


def _enough(withheld: Sequence[Mapping[str, Any]], small_cell: int) -> bool:
    """Whether what the totals leave for the withheld is of several units and enough people, or of nobody."""
    left = (sum(one[name] for one in withheld) for name in ("received", "valid_callbacks"))
    return len(withheld) > 1 and all(number == 0 or number >= small_cell for number in left)


def _least(item: Mapping[str, Any], below: Mapping[str, Sequence[Mapping[str, Any]]]) -> int:
    """The smallest number of people that some figure about the unit stands for; nobody where it would tell of a single
    withheld one below.
    """
    if sum(1 for one in below.get(item["unit_id"], ()) if one["withheld"]) == 1:
        return 0
    open_ = [one for one in below.get(item["unit_id"], ()) if not one["withheld"]]
    rest = {name: item[name] - sum(one[name] for one in open_) for name in ("received", "valid_callbacks")}
    figures = [item["received"], item["valid_callbacks"], *(rest.values() if open_ else ())]
    return min((number for number in figures if number), default=0)


def _open(item: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in item.items() if name in OPEN}
    figures = [name for name in item if name in _FIGURES or name.endswith("_rate")]
    return shown | {name: _coarse(item[name]) for name in figures}


def _coarse(rate: str | None) -> str | None:
    """To one place: four would tell how many it stands for."""
    return None if rate is None else str(Decimal(rate).quantize(Decimal("0.1"), ROUND_HALF_UP))


def _item(item: Mapping[str, Any], withheld: bool) -> dict[str, Any]:
    shown = _open(item)
    if withheld:
        shown = {name: value if name in _ALWAYS else None for name, value in shown.items()}
    return shown | {"withheld": withheld}
