"""The port between neighbours: the events of a source log, partition by partition, in order, from any position on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from shared.eventlog.log import Recorded

BATCH_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive events of one partition."""

    partition: int
    events: Sequence[Recorded]


class Subscription(Protocol):
    """One consumer's view of one source. Delivers at least once, in order within a partition."""

    async def next(self) -> Batch:
        """The next batch; waits until there is one."""
        ...

    def rewind(self, partition: int, after: int) -> None:
        """Deliver this partition again from after a position on."""
        ...


class Bus(Protocol):
    """Carries the events of the source logs to their readers."""

    async def subscribe(
        self, consumer: str, source: str, after: Mapping[int, int], batch_limit: int = BATCH_LIMIT
    ) -> Subscription:
        """Start after the given positions (0 where none is given); batches hold at most `batch_limit` events."""
        ...

    async def heads(self, source: str) -> list[int]:
        """The last position of every partition of a source, as the bus knows it."""
        ...


class Bell:
    """Wakes whoever waits. Ringing is cheap and never blocks; a wait may also end by itself after a time."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()

    def next_ring(self) -> asyncio.Event:
        """Set by the next ring from now on: take it before looking, so that no ring in between is missed."""
        return self._rung

    async def wait(self, at_most_seconds: float, rung: asyncio.Event | None = None) -> None:
        """Until the next ring (or the one taken before), or until the time is up."""
        rung = rung or self._rung
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_seconds):
                await rung.wait()
