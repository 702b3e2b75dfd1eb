"""A bus that keeps its promise (at least once, in order within a partition) and no more than that."""

from __future__ import annotations

import random

from shared.messaging.bus import BATCH_LIMIT, Batch, Bus, Reached, Subscription


class TiresomeBus:
    """Delivers batches of any size, again and again, from earlier positions, partitions in any order."""

    def __init__(self, bus: Bus, seed: int) -> None:
        self._bus, self._chance = bus, random.Random(seed)
        self.repeats = 0
        self.settle_seconds = bus.settle_seconds

    async def subscribe(
        self, consumer: str, source: str, reached: Reached, batch_limit: int = BATCH_LIMIT, alone: bool = False
    ) -> Subscription:
        return _Tiresome(await self._bus.subscribe(consumer, source, reached, batch_limit, alone), self._chance, self)

    async def heads(self, source: str) -> list[int]:
        return await self._bus.heads(source)


class _Tiresome:
    def __init__(self, inner: Subscription, chance: random.Random, bus: TiresomeBus) -> None:
        self._inner, self._chance, self._bus = inner, chance, bus
        self._delivered: list[Batch] = []

    async def next(self) -> list[Batch]:
        if self._delivered and self._chance.random() < 0.4:
            self._bus.repeats += 1
            return [self._chance.choice(self._delivered)]
        pieces = []
        for batch in await self._inner.next():
            keep = self._chance.randint(1, len(batch.events))
            if keep < len(batch.events):
                self._inner.rewind(batch.partition, batch.events[keep - 1].position)
            pieces.append(Batch(batch.partition, batch.events[:keep]))
        self._delivered += pieces
        return pieces

    def rewind(self, partition: int, after: int) -> None:
        self._inner.rewind(partition, after)

    async def close(self) -> None:
        await self._inner.close()
