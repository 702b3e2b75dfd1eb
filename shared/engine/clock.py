"""The one clock. Nothing else in the system asks what time it is.

The database's time decides what is due: a SystemClock is corrected by the difference to the database at start (and
readiness says when it has drifted), so that services on several hosts agree with the log that they share.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

from shared.contracts.envelope import BEIJING


class Clock(Protocol):
    """Gives aware datetimes in +08:00, cut to milliseconds, as events write them."""

    scale: float

    def now(self) -> datetime:
        """The present moment."""
        ...


def cut(moment: datetime) -> datetime:
    """A moment as precise as events write it: milliseconds, +08:00."""
    return moment.astimezone(BEIJING).replace(microsecond=moment.microsecond // 1000 * 1000)


class SystemClock:
    """Real time, corrected to the database; `scale` > 1 runs faster from the start on (demonstrations only)."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self._started = time.time()
        self._offset = 0.0

    def now(self) -> datetime:
        elapsed = time.time() - self._started
        milliseconds = (self._started + elapsed * self.scale + self._offset) * 1000 // 1
        return datetime.fromtimestamp(milliseconds / 1000, BEIJING)

    async def agree_with(self, database: Callable[[], Awaitable[datetime]]) -> float:
        """Adopt the database's time, as of the middle of the question; answers by how many seconds we were off."""
        asked = time.time()
        said = (await database()).timestamp()
        self._offset = said - (asked + time.time()) / 2
        return self._offset


class ManualClock:
    """Time that moves when told to."""

    scale = 1.0

    def __init__(self, start: datetime) -> None:
        self._now = cut(start)

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """Let time pass."""
        self._now = cut(self._now + by)
        return self._now

    def set(self, moment: datetime) -> None:
        """Jump, forwards or back."""
        self._now = cut(moment)
