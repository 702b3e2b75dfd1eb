"""The figures of the callback, as versioned data."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

SHIPPED = Path(__file__).parent / "data" / "callback.toml"
_DURATION = TypeAdapter(timedelta)


@dataclass(frozen=True)
class CallbackPolicy:
    """One version of the table."""

    version: str
    early_after: timedelta
    start_within: timedelta
    attempts_before_invalid: int
    most_rounds: int


@cache
def shipped_policy() -> CallbackPolicy:
    """The defaults that come with the product."""
    table = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
    durations = {name: _DURATION.validate_python(table[name]) for name in ("early_after", "start_within")}
    return CallbackPolicy(**(table | durations))
