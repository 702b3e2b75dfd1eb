"""The port between neighbours: the events of a source log, partition by partition, in order, from any position on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from shared.eventlog.log import Recorded

BATCH_LIMIT = 500
Reached = Callable[[], Awaitable[Mapping[int, int]]]
"""Asked for the last position taken in every partition; 0 where none is given. The bus starts after these."""


class BusUnavailable(Exception):
    """The bus cannot be reached now; nothing is lost, and the same may be tried again."""


class Hole(Exception):
    """The bus jumped over events that were never seen; nothing more is consumed until an operator has looked."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive events of one partition."""

    partition: int
    events: Sequence[Recorded]


class Subscription(Protocol):
    """One consumer's view of one source. Delivers at least once, in order within a partition."""

    async def next(self) -> Sequence[Batch]:
        """What comes next: batches of different partitions. Waits until there is one. Raises BusUnavailable or Hole."""
        ...

    def rewind(self, partition: int, after: int) -> None:
        """Deliver this partition again from after a position on."""
        ...

    async def close(self) -> None:
        """Give back what the subscription holds."""
        ...


class Bus(Protocol):
    """Carries the events of the source logs to their readers."""

    settle_seconds: float
    """How long an event that is stored may be on its way to the bus, as a rule."""

    async def subscribe(
        self, consumer: str, source: str, reached: Reached, batch_limit: int = BATCH_LIMIT, alone: bool = False
    ) -> Subscription:
        """Batches hold at most `batch_limit` events together. Processes that subscribe under the same name may be given
        different partitions; with `alone` the subscription gets all of them, whoever else reads.
        """
        ...

    async def heads(self, source: str) -> list[int]:
        """The last position of every partition of a source, as the bus knows it. Raises BusUnavailable."""
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
