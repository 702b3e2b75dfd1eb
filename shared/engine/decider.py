"""The three-part shape of every piece of business in this system: a state, how events change it, what commands do.

A decider is pure. It reads no clock (commands carry `at`), makes no ids, does no I/O; so given-when-then tests need
nothing but it, and a decision can be explained from the log alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from shared.contracts.envelope import SYSTEM, Actor, Payload

S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class Command:
    """An intention, in the imperative. `at` is when it was meant, `actor` who means it."""

    at: datetime
    actor: Actor = SYSTEM


class Refused(Exception):
    """The rules do not allow this command now. `code` is stable and becomes the problem's code."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class IllegalTransition(Refused):
    """The command does not fit the state that the appeal is in."""

    def __init__(self, command: str, state: str) -> None:
        super().__init__("ILLEGAL_TRANSITION", f"{command} is not possible in state {state}")
        self.command, self.state = command, state


class NotYours(Exception):
    """The thing exists but lies outside the caller's scope; answered exactly like a missing one."""


@dataclass(frozen=True)
class Decider(Generic[S]):
    """`decide` answers with the events that follow from a command, or raises Refused; `evolve` folds one event in.

    `category` prefixes the streams: the order of appeal 42 lives in the stream `order-42`.
    """

    category: str
    initial: S
    decide: Callable[[Command, S], Sequence[Payload]]
    evolve: Callable[[S, Payload], S]

    def stream(self, subject: str) -> str:
        return f"{self.category}-{subject}"

    def fold(self, events: Sequence[Payload], state: S | None = None) -> S:
        """The state after these events."""
        current = self.initial if state is None else state
        for event in events:
            current = self.evolve(current, event)
        return current
