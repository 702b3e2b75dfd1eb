"""The port of the legal record: what a log promises, and the errors it can answer with.

Promises, all of them tested by one contract suite over every adapter:
an append is all or nothing; a stream's versions are 1, 2, 3 without gap or fork; a partition's positions are
1, 2, 3 in commit order, so that who reads after a position never misses an event; stored bytes never change; an
idempotency key belongs to one append for ever.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from shared.contracts.envelope import Envelope, decode_envelope


@dataclass(frozen=True, slots=True)
class Entry:
    """One event ready to be stored: its canonical bytes and what the database needs to index them."""

    event_id: str
    type: str
    body: bytes
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """An idempotency key, claimed in the same transaction as the events that it stands for."""

    client: str
    key: str
    fingerprint: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class Append:
    """Events for one stream, decided on the state after `expected_version`. `routing_key` picks the partition.

    Without entries only the claims are stored, beside the stream's last event: a command may change nothing and still
    spend its key. The stream must exist then.
    """

    stream: str
    routing_key: str
    expected_version: int
    entries: Sequence[Entry]
    claims: Sequence[Claim] = ()


@dataclass(frozen=True, slots=True)
class Appended:
    """Where the last event of an append stands."""

    partition: int
    position: int


class Recorded(NamedTuple):
    """A stored event. `body` is exactly what was hashed."""

    partition: int
    position: int
    stream: str
    version: int
    type: str
    body: bytes

    @property
    def envelope(self) -> Envelope:
        """The event decoded anew: ask once. Raises ValueError or KeyError when the bytes are not an event."""
        return decode_envelope(self.body)


class WrongVersion(Exception):
    """The stream has moved on since the decision was made: load it again and decide again."""

    def __init__(self, stream: str, expected: int) -> None:
        super().__init__(f"{stream} is no longer at version {expected}")
        self.stream, self.expected = stream, expected


class KeyTaken(Exception):
    """The idempotency key stands for an earlier append: answer as that one was answered."""


class LogUnavailable(Exception):
    """The log cannot be written now; nothing is known to be lost, and the same append may be tried again."""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What was answered under an idempotency key, and where the events of that answer stand."""

    fingerprint: bytes
    answer: bytes
    appended: Appended


class Log(Protocol):
    """A log of `partitions` partitions, numbered from 0. Positions and versions count from 1."""

    partitions: int

    async def append(self, append: Append) -> Appended:
        """Store all entries or none. Raises WrongVersion, KeyTaken, LogUnavailable."""
        ...

    async def read_stream(self, stream: str) -> list[Recorded]:
        """The whole stream in version order."""
        ...

    async def read_partition(self, partition: int, after: int, limit: int) -> list[Recorded]:
        """Up to `limit` events after a position, in order."""
        ...

    async def heads(self) -> list[int]:
        """The last position of every partition; 0 where there is none."""
        ...

    async def stored_answer(self, client: str, key: str) -> StoredAnswer | None:
        """What an idempotency key stands for."""
        ...

    async def fingerprints(self, client: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Which of these keys were used, and for what."""
        ...


def partition_of(routing_key: str, partitions: int) -> int:
    """The partition of an appeal (or other subject): the same in every service, so that neighbours line up."""
    return zlib.crc32(routing_key.encode()) % partitions
