"""Records without a database: entries, their tree and an export of them, for tests of whoever verifies."""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import sha256

from shared.contracts.envelope import decode_envelope
from shared.eventlog.canonical import canonical
from shared.eventlog.merkle import Span, consistency, inclusion
from shared.eventlog.notary import text_of
from shared.eventlog.notes import Signer
from shared.eventlog.tree import Entry
from shared.eventlog.verify import Checkpoint, leaf_of, node_of
from tests.support.events import envelope

SIGNER = Signer("jiesu.example/log/intake", bytes(range(32)))


class MemoryTree:
    """The RFC 6962 tree by its definition, over entries in a list."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        self.bodies = list(entries)
        self.hashes = [leaf_of(one) for one in entries]

    def span(self, span: Span) -> bytes:
        """MTH(D[lo:hi]), section 2.1."""
        lo, hi = span
        if hi - lo < 2:
            return self.hashes[lo] if hi > lo else sha256().digest()
        middle = lo + max(1 << k for k in range((hi - lo).bit_length()) if 1 << k < hi - lo)
        return node_of(self.span((lo, middle)), self.span((middle, hi)))

    def root_at(self, size: int) -> bytes:
        return self.span((0, size))

    def proof(self, index: int, size: int) -> list[bytes]:
        return [self.span(one) for one in inclusion(index, size)]

    def continued(self, old: int, new: int) -> list[bytes]:
        return [self.span(one) for one in consistency(old, new)]

    def note(self, size: int, signer: Signer = SIGNER) -> str:
        """A signed checkpoint over the first `size` entries."""
        return signer.sign(text_of(Checkpoint(signer.name, size, self.root_at(size))))

    async def entries(self, first: int, end: int) -> list[Entry]:
        rows = [(place, decode_envelope(body), body) for place, body in enumerate(self.bodies[first:end], first)]
        return [Entry(at, one.id, one.stream, one.version, one.type, body, leaf_of(body), 0) for at, one, body in rows]

    async def leaves(self, first: int, end: int) -> list[bytes]:
        return self.hashes[first:end]


def entries(count: int, streams: int = 3) -> list[bytes]:
    """Events of a few streams, each stream's versions in order."""
    return [canonical(envelope(f"s-{at % streams}", at // streams + 1).as_json()) for at in range(count)]


def changed(raw: bytes, chance: random.Random) -> bytes:
    """The same with one byte changed."""
    at = chance.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ chance.randrange(1, 256)]) + raw[at + 1 :]
