"""Lists: keyset paging with opaque, signed cursors. A cursor belongs to one list and its filters."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any

import orjson
from fastapi import Query
from sqlalchemy import ColumnElement, DateTime, RowMapping, Select, tuple_

from shared.engine.runtime import Running
from shared.web.fields import Moment
from shared.web.problems import Problem

MAC_BYTES = 16
Keep = Callable[[Sequence[RowMapping]], Awaitable[Sequence[RowMapping]]]


@dataclass(frozen=True)
class Window:
    """What every list can be asked for: how many, from where on, changed since when. A dependency of list routes."""

    limit: Annotated[int, Query(ge=1, le=200, description="at most so many items")] = 50
    cursor: Annotated[str | None, Query(max_length=1000, description="`next_cursor` of the page before")] = None
    updated_after: Annotated[Moment | None, Query()] = None
    updated_before: Annotated[Moment | None, Query()] = None

    def changed(self, column: Any) -> list[Any]:
        """The conditions on the column that holds the last change."""
        return between(column, self.updated_after, self.updated_before)


def between(column: Any, after: datetime | None, before: datetime | None) -> list[Any]:
    """Conditions for `after` (included) and `before` (not included), where they are given."""
    conditions = [column >= after] if after else []
    return [*conditions, column < before] if before else conditions


async def page(
    running: Running,
    query: Select[Any],
    keys: Sequence[ColumnElement[Any]],
    window: Window,
    what: str,
    descending: bool = False,
    keep: Keep | None = None,
) -> tuple[Sequence[RowMapping], str | None]:
    """One page and the cursor of the next. `keys` are never null and unique together; `what` names list and filters.

    `keep` may look closer than SQL can: the page is filled with rows that it keeps.
    """
    mac_key = running.secrets.index
    after = read_cursor(mac_key, what, window.cursor)
    labels = [key.label(f"key_{number}") for number, key in enumerate(keys)]
    ordered = query.add_columns(*labels).order_by(*[key.desc() if descending else key for key in keys])
    page: list[RowMapping] = []
    more = True
    while more and len(page) <= window.limit:
        beyond = _beyond(keys, after, descending)
        async with running.reads.connect() as connection:
            found = await connection.execute(ordered.where(*beyond).limit(window.limit + 1))
            rows = found.mappings().all()
        page += await keep(rows) if keep else rows
        more = len(rows) > window.limit
        after = _place(rows[-1], labels) if rows else None
    if len(page) <= window.limit:
        return page, None
    return page[: window.limit], next_cursor(mac_key, what, _place(page[window.limit - 1], labels))


def _beyond(keys: Sequence[ColumnElement[Any]], after: list[Any] | None, descending: bool) -> list[Any]:
    if after is None:
        return []
    values = [datetime.fromisoformat(value) if is_time(key) else value for key, value in zip(keys, after, strict=True)]
    return [tuple_(*keys) < tuple_(*values) if descending else tuple_(*keys) > tuple_(*values)]


def _place(row: RowMapping, labels: Sequence[Any]) -> list[Any]:
    values = [row[label.name] for label in labels]
    return [value.isoformat() if isinstance(value, datetime) else value for value in values]


def is_time(key: ColumnElement[Any]) -> bool:
    return isinstance(key.type, DateTime)


def next_cursor(key: bytes, what: str, after: list[Any]) -> str:
    """Where the next page begins. `what` names the list and its filters."""
    payload = orjson.dumps(after)
    return urlsafe_b64encode(_mac(key, what, payload) + payload).decode().rstrip("=")


def read_cursor(key: bytes, what: str, cursor: str | None) -> list[Any] | None:
    """What `next_cursor` was given. Raises CURSOR_INVALID for anything else."""
    if cursor is None:
        return None
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raise Problem("CURSOR_INVALID") from None
    mac, payload = raw[:MAC_BYTES], raw[MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, what, payload)):
        raise Problem("CURSOR_INVALID")
    after: list[Any] = orjson.loads(payload)
    return after


def _mac(key: bytes, what: str, payload: bytes) -> bytes:
    return hmac.digest(key, what.encode() + b"\n" + payload, sha256)[:MAC_BYTES]
