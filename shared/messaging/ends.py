"""Where the partitions of a topic end: which position of the log is the last one that was published.

Offsets are not positions: a topic may repeat events or hold records of strangers. So the last records are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from shared.messaging.cloudevents import Foreign, from_message

PEEK, PEEK_SECONDS = 20, 10.0
POLL_MS = 500


@dataclass(frozen=True, slots=True)
class Place:
    """The end of a topic's partition: the last position in it, the first one, and the offset that comes next."""

    position: int
    first: int
    begin: int
    end: int


class Peek:
    """Looks at the ends of one topic's partitions."""

    def __init__(self, client: Any, source: str, places: Sequence[Any]) -> None:
        self._client, self._source, self._places = client, source, places
        self._known: dict[Any, Place] = {}
        self._one_at_a_time = asyncio.Lock()

    async def places(self) -> list[Place]:
        """The end of every partition. Raises what the client raises, or TimeoutError."""
        async with asyncio.timeout(PEEK_SECONDS), self._one_at_a_time:
            return await self._look_at_all()

    async def _look_at_all(self) -> list[Place]:
        begins = await self._client.beginning_offsets(self._places)
        ends = await self._client.end_offsets(self._places)
        for place in self._places:
            known = self._known.get(place)
            if known is None or (known.begin, known.end) != (begins[place], ends[place]):
                self._known[place] = await self._look(place, begins[place], ends[place])
        return [self._known[place] for place in self._places]

    async def _look(self, place: Any, begin: int, end: int) -> Place:
        first = (await self._positions(place, begin, min(begin + PEEK, end)) or [0])[0]
        start, found = end, list[int]()
        while not found and start > begin:
            start = max(begin, start - PEEK)
            found = await self._positions(place, start, end)
        return Place(found[-1] if found else 0, first, begin, end)

    async def _positions(self, place: Any, start: int, end: int) -> list[int]:
        """The positions of our own events between two offsets, in the order in which they stand there."""
        found: list[int] = []
        if start >= end:
            return found
        self._client.assign([place])
        self._client.seek(place, start)
        while start < end:
            for record in (await self._client.getmany(place, timeout_ms=POLL_MS)).get(place, ()):
                start = record.offset + 1
                with suppress(Foreign):
                    if record.offset < end:
                        found.append(self._position(place, record))
        return found

    def _position(self, place: Any, record: Any) -> int:
        headers = dict(record.headers)
        return from_message(
            self._source, place.partition, len(self._places), record.key, record.value, headers
        ).position

    async def close(self) -> None:
        """Give the connection back."""
        await self._client.stop()
