"""The links that notices carry: who holds one may answer for the appellant, in one matter, and nothing else.

A link is the appeal, what it is for and a number, with a keyed hash (HMAC-SHA256, 128 bits) over them: nothing to
store, the same when a notice is sent again, no way from one link to another. The case knows whether it has been used.
"""

from __future__ import annotations

import hmac
import struct
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from enum import IntEnum

MAC_BYTES = 16
_FORM = struct.Struct(">16sBH")


class Purpose(IntEnum):
    """What a link lets its holder do."""

    SURVEY = 1
    THREAD = 2


@dataclass(frozen=True, slots=True)
class Link:
    """`number` is the round of a survey, or the message of the unit that is answered."""

    appeal_id: str
    purpose: Purpose
    number: int


def written(key: bytes, link: Link) -> str:
    """The token, 47 characters that need no escaping in a URL."""
    facts = _FORM.pack(uuid.UUID(link.appeal_id).bytes, link.purpose, link.number)
    return urlsafe_b64encode(facts + _mac(key, facts)).decode().rstrip("=")


def read(key: bytes, token: str) -> Link | None:
    """The link that a token stands for; None when it is none of ours."""
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        facts, mac = raw[: _FORM.size], raw[_FORM.size :]
        if len(mac) != MAC_BYTES or not hmac.compare_digest(mac, _mac(key, facts)):
            return None
        appeal, purpose, number = _FORM.unpack(facts)
        link = Link(str(uuid.UUID(bytes=appeal)), Purpose(purpose), number)
    except ValueError:
        return None
    return link if written(key, link) == token else None


def _mac(key: bytes, facts: bytes) -> bytes:
    return hmac.digest(key, b"jiesu link 1" + facts, "sha256")[:MAC_BYTES]
