"""What of an event is told to whoever is not answerable for the whole city.

Accounts, pseudonyms and key names say nothing about a matter, but would let a unit join the appeals of one person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WITHHELD = frozenset(
    {"appellant", "subject_key", "client", "tracking_hash", "officer", "previous_officer", "by", "person"}
)


def shown(data: Mapping[str, Any]) -> dict[str, Any]:
    """A payload without what only the hotline needs."""
    return {name: value for name, value in data.items() if name not in WITHHELD}


def shown_actor(actor: Mapping[str, Any]) -> dict[str, Any]:
    """In which role and for which unit somebody acted, never with which account."""
    return {name: actor[name] for name in ("role", "unit_id") if name in actor}
