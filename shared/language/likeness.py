"""How alike two appeals are, and how the alike are found among hundreds of thousands without reading them.

An appeal is the set of its character bigrams, each a keyed 64-bit token, so that an index holds nothing readable. Two
appeals are as alike as the cosine of their sets. MinHash signatures, cut into bands, bring the alike into one bucket:
with 64 bands of 3 rows a pair with cosine 0.6 meets with probability 0.99, an unrelated pair (Jaccard 0.03) with 0.002.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Set
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.language.script import bigrams, plain

BANDS, ROWS = 64, 3
TOKEN_BYTES = 8
KEPT_TOKENS = 1 << 17
"""People use the same words: remembering these is ten times faster than hashing them again."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
Words = NDArray[np.uint64]


@lru_cache(maxsize=KEPT_TOKENS)
def token(key: bytes, word: str) -> int:
    """A word's keyed token, as a signed 64-bit number."""
    return int.from_bytes(blake2b(word.encode(), digest_size=TOKEN_BYTES, key=key).digest(), "little", signed=True)


def tokens(key: bytes, texts: Iterable[str | None]) -> frozenset[int]:
    """The tokens of everything that these texts say."""
    words = set[str]().union(*(bigrams(plain(text)) for text in texts if text))
    return frozenset(token(key, word) for word in words)


def likeness(one: Set[Any], other: Set[Any]) -> float:
    """The cosine of two sets: 1 for the same words, 0 for none in common."""
    if not one or not other:
        return 0.0
    return len(one & other) / math.sqrt(len(one) * len(other))


def bands(of: Set[int]) -> list[int]:
    """The buckets that a set falls into. Sets that share one may be alike; sets that share none hardly are."""
    if not of:
        return []
    factors, offsets = _permutations()
    words = np.fromiter(of, dtype=np.int64, count=len(of)).view(np.uint64)
    mixed = words[:, None] * factors[None, :] + offsets[None, :]
    mixed ^= mixed >> np.uint64(33)
    rows = mixed.min(axis=0).reshape(BANDS, ROWS)
    buckets: Words = np.arange(BANDS, dtype=np.uint64)
    for row in range(ROWS):
        buckets = buckets * _GOLDEN ^ rows[:, row]
    signed: Any = buckets.view(np.int64)
    return [int(bucket) for bucket in signed]


@cache
def _permutations() -> tuple[Words, Words]:
    """BANDS × ROWS multiply-shift functions, the same in every process and for ever."""
    names = (f"{kind}{number}".encode() for kind in ("factor", "offset") for number in range(BANDS * ROWS))
    drawn = np.array([int.from_bytes(blake2b(name, digest_size=8).digest(), "little") for name in names], np.uint64)
    factors, offsets = np.split(drawn, 2)
    return factors | np.uint64(1), offsets
