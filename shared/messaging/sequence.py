"""Which event comes next in a partition of a topic, whatever the topic repeats, mixes in or leaves out.

Positions count 1, 2, 3 without a gap. A lower one than the next is a repeat and is dropped; a higher one means that the
next one stands elsewhere in the topic or nowhere: then we search, with patience, before we call it a hole.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.eventlog.log import Recorded
from shared.messaging.bus import Hole

PATIENCE_SECONDS = 60.0
"""A relay that has just noticed that its topic was made anew needs a moment to publish it from the start."""


class Ordered:
    """The next position of every partition that a subscription reads."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._next: dict[int, int] = {}
        self._searching: dict[int, float] = {}

    def begin(self, partition: int, after: int) -> None:
        """Expect what follows a position."""
        self._next[partition] = after + 1
        self._searching.pop(partition, None)

    def forget(self, partition: int) -> None:
        """Expect nothing: what still arrives from this partition is dropped."""
        self._next.pop(partition, None)
        self._searching.pop(partition, None)

    def take(self, partition: int, events: Iterable[Recorded], now: float) -> tuple[list[Recorded], int | None]:
        """The events that come next; and, when something is missing, the position after which to look for it."""
        taken: list[Recorded] = []
        for event in events:
            expected = self._next.get(partition)
            if expected is None:
                break
            if event.position == expected:
                self._searching.pop(partition, None)
                self._next[partition] = expected + 1
                taken.append(event)
            elif event.position > expected and partition not in self._searching:
                self._searching[partition] = now + PATIENCE_SECONDS
                return taken, expected - 1
        return taken, None

    def give_up(self, now: float) -> None:
        """Raises Hole when something was searched for long enough."""
        for partition, at in self._searching.items():
            if now > at:
                raise Hole(f"{self._topic}/{partition} does not hold position {self._next[partition]}")
