"""What a process keeps of each running service: several cities may run in one process, and share nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from shared.engine.runtime import Running

T = TypeVar("T")


class Each(Generic[T]):
    """One of something for each running service, made when it is first asked for, gone with the service."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[Running, T] = WeakKeyDictionary()

    def of(self, running: Running) -> T:
        if running not in self._made:
            self._made[running] = self._make()
        return self._made[running]
