"""The bus without a broker: consumers follow their neighbours' logs directly.

The log has no gaps, so "everything after position n" is a safe question. A bell in the same process wakes followers at
once; a slow poll finds what other processes have written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import groupby
from typing import Protocol

from shared.eventlog.log import Recorded
from shared.messaging.bus import BATCH_LIMIT, Batch, Bell, Reached

POLL_SECONDS = 0.25


class Readable(Protocol):
    """The reading half of a log."""

    partitions: int

    async def heads(self) -> list[int]: ...

    async def read_partition(self, partition: int, after: int, limit: int) -> list[Recorded]: ...

    async def read_partitions(self, after: Mapping[int, int], limit: int) -> list[Recorded]: ...


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
    """Takes what is new in all partitions with one question, so that none starves."""

    def __init__(
        self, log: Readable, bell: Bell, after: Mapping[int, int], batch_limit: int, poll_seconds: float
    ) -> None:
        self._log, self._bell = log, bell
        self._limit, self._poll = batch_limit, poll_seconds
        self._after = [after.get(partition, 0) for partition in range(log.partitions)]
        self._heads = [0] * log.partitions
        self._ahead: tuple[dict[int, int], asyncio.Task[list[Recorded]]] | None = None

    async def next(self) -> list[Batch]:
        while not (behind := self._behind()):
            rung = self._bell.next_ring()
            heads = await self._log.heads()
            if heads == self._heads:
                await self._bell.wait(self._poll, rung)
            self._heads = heads
        events = await (self._read_ahead(behind) or self._log.read_partitions(behind, self._limit))
        batches = [Batch(partition, list(some)) for partition, some in groupby(events, lambda e: e.partition)]
        for batch in batches:
            self._after[batch.partition] = batch.events[-1].position
        if len(events) >= self._limit // 2 and (following := self._behind()):  # busy: read on while this is worked on
            reading = asyncio.ensure_future(self._log.read_partitions(following, self._limit))
            self._ahead = (following, reading)
        return batches

    def rewind(self, partition: int, after: int) -> None:
        self._after[partition] = after

    async def close(self) -> None:
        if self._ahead is not None:
            self._ahead[1].cancel()

    def _behind(self) -> dict[int, int]:
        """Partition -> last position taken, where there is more."""
        pairs = enumerate(zip(self._heads, self._after, strict=True))
        return {partition: after for partition, (head, after) in pairs if head > after}

    def _read_ahead(self, wanted: dict[int, int]) -> asyncio.Task[list[Recorded]] | None:
        """What was read ahead, if it is what is wanted now."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead[0] == wanted:
            return ahead and ahead[1]
        ahead[1].cancel()
        return None
