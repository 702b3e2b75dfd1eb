"""What an appeal says, as far as dispatch is concerned, in the script and case that rules and names are written in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.contracts.codes import Urgency
from shared.contracts.intake import AppealRegistered
from shared.language.script import plain


@dataclass(frozen=True)
class Matter:
    """Plain texts; codes and categories as they were given."""

    title: str = ""
    content: str = ""
    category_path: Sequence[str] = ()
    urgency: Urgency | None = None
    district: str | None = None
    township: str | None = None
    address: str | None = None


def matter_of(facts: AppealRegistered) -> Matter:
    """From the registration, its personal texts open; a text that was erased is empty."""
    place = facts.place
    return Matter(
        title=_text(facts.title),
        content=_text(facts.content),
        category_path=facts.category_path,
        urgency=facts.urgency or (facts.triage.urgency if facts.triage else None),
        district=place.district,
        township=place.township,
        address=_text(place.address) or None,
    )


def _text(value: Any) -> str:
    return plain(value) if isinstance(value, str) else ""
