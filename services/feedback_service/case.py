"""The life of a case: the unit contacts the resident, answers twice, and then the hotline asks what really happened.

The callback comes at the limit whatever the unit did, and what is not solved goes round again, up to the policy's
number of rounds. Law: Regulation Art 14, 15, 23; domain specification, section 4 rows 11-23.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.feedback_service import afterwards, calling_back, handling
from services.feedback_service.afterwards import Evaluate
from services.feedback_service.calling_back import CallBackAtLimit, CallBackEarly, NoteCallbackOverdue
from services.feedback_service.handling import NoteReplyOverdue, NoteWritten
from services.feedback_service.policy import HandlingPolicy
from services.feedback_service.state import ENDED, Case, evolve
from shared.contracts.codes import CaseState, Via
from shared.contracts.envelope import Payload
from shared.contracts.feedback import CaseEnded, CaseOpened, CaseSigned, ReplyAwaited
from shared.engine.decider import Command, Decider, NotYours


@dataclass(frozen=True, kw_only=True)
class Open(Command):
    """Take note of a dispatch."""

    facts: CaseOpened
    policy: HandlingPolicy


@dataclass(frozen=True, kw_only=True)
class NoteSigned(Command):
    """Take note that the unit has signed."""

    unit_id: str
    round: int


@dataclass(frozen=True, kw_only=True)
class EndCase(Command):
    """The appeal has ended outside the callback."""

    outcome: CaseState


def _opened(command: Open, case: Case) -> Sequence[Payload]:
    """Whoever wrote before there was a unit waits for its answer from here."""
    waits = case.state is None and case.thread.awaited is not None
    due = command.at + command.policy.thread.answer_within
    awaited = ReplyAwaited(
        written=case.thread.written, due_at=due, round=command.facts.round, policy=command.policy.version
    )
    return [command.facts, awaited] if waits else [command.facts]


_NOTES = (NoteSigned, CallBackAtLimit, CallBackEarly, NoteReplyOverdue, NoteCallbackOverdue)


def decide(command: Command, case: Case) -> Sequence[Payload]:
    match command:
        case Open():
            return [] if case.state in ENDED else _opened(command, case)
        case EndCase():  # intake may be heard before routing; the dispatch that follows opens nothing
            crossed = case.state is CaseState.CLOSED and command.outcome is CaseState.WITHDRAWN
            return [CaseEnded(outcome=command.outcome)] if case.state not in ENDED or crossed else []
        case NoteWritten():
            return handling.noted(command, case)
    if case.state is None or case.opened is None:
        return _unknown(command)
    if isinstance(command, NoteSigned):
        fits = case.state is CaseState.DISPATCHED and command.round == case.round
        return [CaseSigned(unit_id=command.unit_id, round=command.round)] if fits else []
    if isinstance(command, handling.COMMANDS):
        return handling.decide(command, case, case.opened)
    if isinstance(command, calling_back.COMMANDS):
        return calling_back.decide(command, case, case.opened)
    return afterwards.decide(command, case, case.opened)


def _unknown(command: Command) -> Sequence[Payload]:
    """Clocks and neighbours may speak of a case that is not here; nobody else may."""
    if isinstance(command, _NOTES) or (isinstance(command, Evaluate) and command.via is Via.TRACKING):
        return []
    raise NotYours


CASE = Decider("case", Case(), decide, evolve)
