"""The headers that make writes safe and reads fresh: Idempotency-Key, If-Match, If-Position."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request

from shared.engine.runtime import Running
from shared.eventlog.log import Appended
from shared.web.problems import Problem

IDEMPOTENCY_KEY, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
POSITION, IF_POSITION = "Appeal-Position", "If-Position"
_VISIBLE = re.compile(r"^[\x21-\x7e]{1,200}$")
_ONE_VERSION = re.compile(r'^"(0|[1-9][0-9]{0,8})"$')
_POSITION = re.compile(r"^(intake|routing|feedback|scoring):([0-9]{1,4}):([0-9]{1,18})$")
HEADER_PATTERNS = {
    IDEMPOTENCY_KEY: _VISIBLE.pattern,
    "If-Match": rf"^\*$|{_ONE_VERSION.pattern}",
    IF_POSITION: _POSITION.pattern,
}
"""What these headers look like, for the documents."""


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What a write asks for."""

    key: str | None
    expected_version: int | None


def preconditions(request: Request) -> Preconditions:
    """Raises IDEMPOTENCY_KEY_INVALID or PRECONDITION_INVALID."""
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not _VISIBLE.match(key):
        raise Problem("IDEMPOTENCY_KEY_INVALID")
    match = request.headers.get("If-Match")
    if match is None or match == "*":
        return Preconditions(key, None)
    if (version := _ONE_VERSION.match(match)) is None:
        raise Problem("PRECONDITION_INVALID")
    return Preconditions(key, int(version[1]))


def etag(version: int) -> str:
    return f'"{version}"'


def position_header(service: str, appended: Appended) -> str:
    """Where a write stands, in the form that a read sends back as If-Position."""
    return f"{service}:{appended.partition}:{appended.position}"


async def wait_for_position(request: Request, running: Running) -> None:
    """Wait until what follows from a position has taken effect here: for reads, and for commands that build on it.

    Raises POSITION_INVALID or TOO_EARLY.
    """
    asked = request.headers.get(IF_POSITION)
    if asked is None:
        return
    match = _POSITION.match(asked)
    if match is None or int(match[2]) >= running.log.partitions:
        raise Problem("POSITION_INVALID")
    if not await running.views_reached(match[1], int(match[2]), int(match[3])):
        raise Problem("TOO_EARLY")
