"""The bus without a broker: consumers follow their neighbours' logs directly.

The log has no gaps, so "everything after position n" is a safe question. A bell in the same process wakes followers at
once; a slow poll finds what other processes have written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from shared.eventlog.log import Recorded
from shared.messaging.bus import BATCH_LIMIT, Batch, Bell, Reached

POLL_SECONDS = 0.25


class Readable(Protocol):
    """The reading half of a log."""

    partitions: int

    async def heads(self) -> list[int]: ...

    async def read_partition(self, partition: int, after: int, limit: int) -> list[Recorded]: ...


class PgLogBus:
    """Follows logs that this process can read."""

    settle_seconds = 0.0

    def __init__(
        self, logs: Mapping[str, Readable], bells: Mapping[str, Bell], poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._logs, self._bells, self._poll = logs, bells, poll_seconds

    async def subscribe(
        self, consumer: str, source: str, reached: Reached, batch_limit: int = BATCH_LIMIT, alone: bool = False
    ) -> PgLogSubscription:
        return PgLogSubscription(self._logs[source], self._bells[source], await reached(), batch_limit, self._poll)

    async def heads(self, source: str) -> list[int]:
        return await self._logs[source].heads()


class PgLogSubscription:
    """Goes round the partitions that have something new, a batch at a time, so that none starves."""

    def __init__(
        self, log: Readable, bell: Bell, after: Mapping[int, int], batch_limit: int, poll_seconds: float
    ) -> None:
        self._log, self._bell = log, bell
        self._limit, self._poll = batch_limit, poll_seconds
        self._after = [after.get(partition, 0) for partition in range(log.partitions)]
        self._heads = [0] * log.partitions
        self._turn = 0
        self._ahead: tuple[int, int, asyncio.Task[list[Recorded]]] | None = None

    async def next(self) -> Batch:
        while True:
            for _ in range(len(self._after)):
                partition, self._turn = self._turn, (self._turn + 1) % len(self._after)
                if self._heads[partition] > self._after[partition]:
                    return await self._fetch(partition)
            rung = self._bell.next_ring()
            heads = await self._log.heads()
            if heads == self._heads:
                await self._bell.wait(self._poll, rung)
            self._heads = heads

    def rewind(self, partition: int, after: int) -> None:
        self._after[partition] = after

    async def close(self) -> None:
        if self._ahead is not None:
            self._ahead[2].cancel()

    async def _fetch(self, partition: int) -> Batch:
        """A batch; while the caller is busy with a full one the next is read ahead."""
        after = self._after[partition]
        events = await (self._read_ahead(partition, after) or self._log.read_partition(partition, after, self._limit))
        self._after[partition] = last = events[-1].position
        if len(events) == self._limit and self._heads[partition] > last:
            self._turn = partition
            reading = asyncio.ensure_future(self._log.read_partition(partition, last, self._limit))
            self._ahead = (partition, last, reading)
        return Batch(partition, events)

    def _read_ahead(self, partition: int, after: int) -> asyncio.Task[list[Recorded]] | None:
        """What was read ahead, if it is what is wanted now."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead[:2] == (partition, after):
            return ahead and ahead[2]
        ahead[2].cancel()
        return None
