"""Lists: keyset paging with opaque, signed cursors. A cursor belongs to one list and its filters."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Annotated, Any

import orjson
from fastapi import Query

from shared.web.problems import Problem

MAC_BYTES = 16

Limit = Annotated[int, Query(ge=1, le=200, description="at most so many items")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next_cursor` of the page before")]


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
