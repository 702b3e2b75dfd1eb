"""Where the partitions of a topic end: which position of the log is the last one that was published.

Offsets are not positions: a topic may repeat events or hold records of strangers. So the last records are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.messaging.cloudevents import Foreign, from_message

LOOK_SECONDS = 10.0
POLL_MS = 200


@dataclass(frozen=True, slots=True)
class Place:
    """The end of a partition: the last position in it, the oldest offset kept, and the offset that comes next."""

    position: int
    begin: int
    end: int


class Ends:
    """Looks at the ends of one topic's partitions. Who asks while a look is under way shares the next one."""

    def __init__(self, client: Any, source: str, places: Sequence[Any]) -> None:
        self._client, self._source, self._places = client, source, places
        self._known: dict[Any, Place] = {}
        self._looking = asyncio.Lock()
        self._next: asyncio.Task[list[Place]] | None = None

    async def places(self) -> list[Place]:
        """The end of every partition, not older than this call. Raises what the client raises, or TimeoutError."""
        if self._next is None:
            self._next = asyncio.create_task(self._look_in_turn())
            self._next.add_done_callback(_seen)
        look = self._next
        try:
            return await asyncio.shield(look)
        except asyncio.CancelledError:
            if look.cancelled():  # by the client, not by whoever asks
                raise ConnectionAbortedError("the look was given up") from None
            raise

    async def first_position(self, partition: int) -> int:
        """The first position that a partition holds; 0 when it holds none."""
        async with asyncio.timeout(LOOK_SECONDS), self._looking:
            place = self._places[partition]
            begin, end = (await self._client.beginning_offsets([place]))[place], self._known[place].end
            ahead = 1
            while begin < end:  # the first record is ours as a rule; strangers may stand before it
                upto = min(end, begin + ahead)
                if found := await self._read({place: (begin, upto)}):
                    return found[place][0]
                begin, ahead = upto, ahead * 8
            return 0

    async def _look_in_turn(self) -> list[Place]:
        async with asyncio.timeout(LOOK_SECONDS), self._looking:
            self._next = None
            return await self._look()

    async def _look(self) -> list[Place]:
        ends = await self._client.end_offsets(self._places)
        changed = [place for place in self._places if place not in self._known or self._known[place].end != ends[place]]
        begins = await self._client.beginning_offsets(changed) if changed else {}
        back = 1
        while changed:
            spans = {place: (max(begins[place], ends[place] - back), ends[place]) for place in changed}
            found = await self._read({place: span for place, span in spans.items() if span[0] < span[1]})
            for place, (start, end) in spans.items():
                if place in found or start == begins[place]:
                    self._known[place] = Place(found.get(place, (0, 0))[1], begins[place], end)
            changed = [place for place, (start, _) in spans.items() if place not in found and start > begins[place]]
            back *= 8
        return [self._known[place] for place in self._places]

    async def _read(self, spans: Mapping[Any, tuple[int, int]]) -> dict[Any, tuple[int, int]]:
        """The first and the last position among the records between two offsets, where there is one of ours."""
        found: dict[Any, tuple[int, int]] = {}
        at = {place: start for place, (start, _) in spans.items()}
        if spans:
            self._client.assign(list(spans))
        for place, start in at.items():
            self._client.seek(place, start)
        self._client.resume(*spans)
        while missing := [place for place, (_, end) in spans.items() if at[place] < end]:
            fetched = await self._client.getmany(*missing, timeout_ms=POLL_MS)
            for place in missing:  # markers of a stranger's transaction take offsets and are never shown
                at[place] = max(at[place], await self._client.position(place) if not fetched else at[place])
            for place, records in fetched.items():
                for record in records:
                    position = self._position(place, record) if record.offset < spans[place][1] else 0
                    if position:
                        found[place] = (found.get(place, (position, 0))[0], position)
                at[place] = records[-1].offset + 1
        self._client.pause(*spans)  # no fetching between looks
        return found

    def _position(self, place: Any, record: Any) -> int:
        headers = dict(record.headers)
        try:
            event = from_message(self._source, place.partition, len(self._places), record.key, record.value, headers)
        except Foreign:
            return 0
        return event.position

    async def close(self) -> None:
        """Give the connection back."""
        await self._client.stop()


def _seen(look: asyncio.Task[Any]) -> None:
    """Whoever waited has the error; when nobody did, nobody minds."""
    if not look.cancelled():
        look.exception()
