"""The exact bytes of an event, and their hash.

RFC 8785 (JCS) over our restricted domain: ASCII member names, no floats, integers below 2^53. Payload models keep to
it: figures are decimal strings. There orjson with sorted keys writes the same bytes as the reference implementation,
twenty times faster; a property test compares them.
`leaf_hash` is the RFC 6962 leaf, section 2.1: SHA-256 over 0x00 and the bytes.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import orjson

_LEAF_PREFIX = b"\x00"


def canonical(value: Any) -> bytes:
    """Canonical JSON bytes; raises TypeError for what JSON cannot hold and for larger integers."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER)


def leaf_hash(body: bytes) -> bytes:
    """The 32 bytes under which an event enters the Merkle tree."""
    return sha256(_LEAF_PREFIX + body).digest()
