"""The figures of intake, as versioned data: what a channel must bring, when appeals are alike."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from shared.contracts.codes import Channel

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class LikenessPolicy:
    """likeness.toml"""

    version: str
    same_problem: float
    same_person: float
    most_candidates: int
    most_shown: int


@cache
def likeness_policy() -> LikenessPolicy:
    """When two appeals are taken for alike."""
    return LikenessPolicy(**_read("likeness.toml"))


@cache
def contact_required() -> Mapping[Channel, bool]:
    """Which channels an appeal may not come through without a way to answer."""
    return {Channel(name): needed for name, needed in _read("channels.toml")["contact_required"].items()}


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((DATA / name).read_text(encoding="utf-8"))
