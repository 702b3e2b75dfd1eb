"""What a decider makes of a command in one word, so that a table can promise every pair of state and command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.contracts.envelope import Payload
from shared.engine.decider import Command, Decider, NotYours, Refused

ILLEGAL = "ILLEGAL_TRANSITION"
NOT_YOURS = "NotYours"
NOTHING = ""


def outcome(decider: Decider[Any], history: Sequence[Payload], command: Command) -> str:
    """The names of the events that follow, the code of the refusal, or NotYours."""
    try:
        return " ".join(type(event).__name__ for event in decider.decide(command, decider.fold(history)))
    except NotYours:
        return NOT_YOURS
    except Refused as refusal:
        return refusal.code


def every_pair(expected: Mapping[str, Mapping[str, str]]) -> list[tuple[str, str, str]]:
    """(state, command, what follows), for parametrize."""
    return [(state, command, follows) for state, row in expected.items() for command, follows in row.items()]
