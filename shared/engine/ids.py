"""Where identifiers and chance come from: UUIDv7 (RFC 9562) and the operating system's randomness."""

from __future__ import annotations

import os
from typing import Protocol

import uuid_utils


class Ids(Protocol):
    """A source of identifiers and random bytes."""

    def uuid7(self) -> str:
        """A new time-ordered UUID, as text."""
        ...

    def random_bytes(self, count: int) -> bytes:
        """Unpredictable bytes."""
        ...


class SystemIds:
    """The real source."""

    def uuid7(self) -> str:
        return str(uuid_utils.uuid7())

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)


class CountingIds:
    """1, 2, 3 in the shape of UUIDs: for tests that compare whole results."""

    def __init__(self) -> None:
        self._count = 0

    def uuid7(self) -> str:
        self._count += 1
        return f"00000000-0000-7000-8000-{self._count:012d}"

    def random_bytes(self, count: int) -> bytes:
        self._count += 1
        return self._count.to_bytes(count, "big")
