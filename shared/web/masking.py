"""What may tell who somebody is, taken out of words: names and numbers that are known to be theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.web.identity import Principal

MASKED = "***"


def hidden_from(identity_hidden: bool | None, principal: Principal) -> bool:
    """Whether this caller may not know who the appellant is of a case that hides it."""
    return bool(identity_hidden) and principal.outside


def known_names(appellant: Mapping[str, Any]) -> list[str | None]:
    """What an appellant is known by."""
    return [appellant.get(name) for name in ("name", "phone", "email", "wechat")]


def masked(value: Any, known: Sequence[str | None]) -> Any:
    """The same without what is known to be the appellant's, wherever it was written; `appellant` itself is left."""
    if isinstance(value, str):
        for one in sorted((one for one in known if one and len(one) > 1), key=len, reverse=True):
            value = value.replace(one, MASKED)
        return value
    if isinstance(value, dict):
        return {name: inner if name == "appellant" else masked(inner, known) for name, inner in value.items()}
    return [masked(inner, known) for inner in value] if isinstance(value, list) else value
