"""Short lists in one text column of a view: tags, the levels of a category, the units that help."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SEPARATOR = " > "


def joined(parts: Iterable[str]) -> str | None:
    """The column for these parts; nothing for none."""
    return SEPARATOR.join(parts) or None


def split(column: str | None) -> list[str]:
    """The inverse of `joined`."""
    return column.split(SEPARATOR) if column else []


def has(column: Any, part: str) -> Any:
    """As SQL: whether a part is among what the column joins."""
    return (SEPARATOR + column + SEPARATOR).contains(f"{SEPARATOR}{part}{SEPARATOR}", autoescape=True)
