"""What of an event is told to whoever is not answerable for the whole city.

Accounts, pseudonyms and key names say nothing about a matter, but would let a unit join the appeals of one person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WITHHELD = frozenset(
    {"appellant", "subject_key", "client", "tracking_hash", "officer", "previous_officer", "by", "person"}
)
JOINING = frozenset({"relates_to", "into", "source_ref", "sent_sha256"})
"""What joins an appeal to another of the same person, or to what they sent elsewhere: another may not be hidden."""


def shown(data: Mapping[str, Any], hidden: bool = False) -> dict[str, Any]:
    """A payload without what only the hotline needs. `hidden`: for whoever may not know who the appellant is."""
    withheld = WITHHELD | JOINING if hidden else WITHHELD
    return {name: value for name, value in data.items() if name not in withheld}


def shown_actor(actor: Mapping[str, Any]) -> dict[str, Any]:
    """In which role and for which unit somebody acted, never with which account."""
    return {name: actor[name] for name in ("role", "unit_id") if name in actor}
