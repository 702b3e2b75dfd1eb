"""The state of the whole case, out of what each service says of its own part.

Events of different services arrive in any order, so each service's part is kept by itself and the whole is computed.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.contracts.codes import ENDED, CaseState

_BY_ROUTING_ALONE = frozenset({CaseState.OBJECTED, CaseState.ON_LEDGER})
"""States in which routing holds the order back, whatever feedback last said about the same round."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Each service's own view of one appeal. Rounds count from 1; 0 where a service has not heard of it."""

    intake: CaseState
    routing: CaseState | None = None
    routing_round: int = 0
    feedback: CaseState | None = None
    feedback_round: int = 0


_FAR = {
    state: rank
    for rank, state in enumerate(
        (
            CaseState.DISPATCHED,
            CaseState.SIGNED,
            CaseState.HANDLING,
            CaseState.FEEDBACK_DONE,
            CaseState.CALLBACK_DUE,
            CaseState.REWORK,
            CaseState.CLOSED,
        )
    )
}
"""How far a round has come; feedback hears of signing a moment after routing."""


def whole(parts: Parts) -> CaseState:
    """The one state of the state machine that these parts amount to."""
    routing, feedback = parts.routing, parts.feedback
    if parts.intake in ENDED or routing is None:
        return parts.intake  # what feedback says of an order waits until we have heard of that order ourselves
    if feedback is None:
        return routing
    if parts.routing_round != parts.feedback_round:
        return routing if parts.routing_round > parts.feedback_round else feedback
    if routing in _BY_ROUTING_ALONE:
        return routing
    return max(routing, feedback, key=lambda state: _FAR.get(state, 0))
