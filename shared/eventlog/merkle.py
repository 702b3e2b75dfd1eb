"""Which subtrees prove what (RFC 6962, 2.1): pure arithmetic on numbers of leaves, and what a witness checks.

A span (lo, hi) is the subtree over the leaves lo to hi - 1. Whoever holds the hashes turns spans into a proof.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.eventlog.verify import HASH, node_of

Span = tuple[int, int]
Node = tuple[int, int]
"""A complete subtree: its height, and its number among those of that height. Leaves have height 0."""


def inclusion(index: int, size: int) -> list[Span]:
    """The proof that a leaf stands in a tree, from the leaf up (2.1.1)."""
    lo, hi, spans = 0, size, []
    while hi - lo > 1:
        middle = lo + _split(hi - lo)
        spans.append((middle, hi) if index < middle else (lo, middle))
        lo, hi = (lo, middle) if index < middle else (middle, hi)
    return spans[::-1]


def consistency(old: int, new: int) -> list[Span]:
    """The proof that the first `old` leaves of a tree of `new` are a tree of before (2.1.2); 0 < old <= new."""
    lo, hi, spans = 0, new, []
    whole = True
    while old != hi:
        middle = lo + _split(hi - lo)
        if old <= middle:
            spans.append((middle, hi))
            hi = middle
        else:
            spans.append((lo, middle))
            lo, whole = middle, False
    return ([] if whole else [(lo, hi)]) + spans[::-1]


def nodes(span: Span) -> list[Node]:
    """The complete subtrees of a span of a tree, largest first."""
    lo, hi = span
    found = []
    while lo < hi:
        height = (hi - lo).bit_length() - 1
        found.append((height, lo >> height))
        lo += 1 << height
    return found


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over 2^n hashes of one height."""
    while len(hashes) > 1:
        hashes = [node_of(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def consistent(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """RFC 9162, 2.1.4.2; every hash must have its length. A tree of no leaves proves nothing and is refused."""
    if not 0 < old <= new or any(len(one) != HASH for one in (old_root, new_root, *proof)):
        return False
    if old == new:
        return not proof and old_root == new_root
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = path[0]
    for one in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node_of(one, first), node_of(one, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_of(second, one)
        at, last = at >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


def _split(size: int) -> int:
    """The largest power of two below a size."""
    return 1 << (size - 1).bit_length() - 1
