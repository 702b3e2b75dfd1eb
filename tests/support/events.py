"""Small events for tests of what carries events: bodies, entries, appends."""

from __future__ import annotations

import uuid_utils

from shared.contracts.envelope import SYSTEM, Envelope, rfc3339
from shared.eventlog.canonical import canonical, leaf_hash
from shared.eventlog.log import Append, Claim, Entry
from tests.support.city import START

TYPE = "cn.gov.appeals.intake.appeal-closed.v1"


def envelope(stream: str, version: int, subject: str | None = None, round_: int = 1, type_: str = TYPE) -> Envelope:
    """A whole event of a stream; its id is new."""
    return Envelope(
        id=str(uuid_utils.uuid7()),
        source="/services/intake",
        type=type_,
        subject=subject or stream,
        stream=stream,
        version=version,
        time=START,
        actor=SYSTEM,
        correlation="c",
        causation=None,
        data={"round": round_, "note": f"中文 {version}", "when": rfc3339(START)},
    )


def entry(stream: str, version: int) -> Entry:
    one = envelope(stream, version)
    body = canonical(one.as_json())
    return Entry(one.id, one.type, body, leaf_hash(body))


def append(stream: str, expected: int, count: int = 1, claims: tuple[Claim, ...] = (), key: str = "") -> Append:
    """`count` new events for a stream that is at version `expected`."""
    entries = [entry(stream, expected + offset) for offset in range(1, count + 1)]
    return Append(stream, key or stream, expected, entries, claims)


def claim(key: str, client: str = "partner", answer: bytes = b"answer") -> Claim:
    return Claim(client, key, b"f" * 32, answer)
