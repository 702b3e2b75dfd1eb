"""回访: the hotline asks the resident what really happened, at the limit, or as soon as both results are in.

An officer takes the callback from the queue, tries at different hours, and records what was said; what is not solved
goes round again. Law: Regulation Art 23; domain specification, section 4 rows 19 to 23.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.feedback_service.policy import CallbackPolicy
from services.feedback_service.state import HANDLED_IN, Case
from shared.contracts.codes import CallbackMethod, CaseState, ContactOutcome, Satisfaction
from shared.contracts.envelope import Payload
from shared.contracts.feedback import (
    CallbackAssigned,
    CallbackAttempted,
    CallbackInvalidated,
    CallbackOverdue,
    CallbackRecorded,
    CallbackScheduled,
    CaseOpened,
    Reason,
    RecheckOrdered,
    ReworkRequested,
)
from shared.engine.decider import Command, Refused


@dataclass(frozen=True, kw_only=True)
class CallBackAtLimit(Command):
    """The handling limit has expired."""

    round: int
    policy: CallbackPolicy


@dataclass(frozen=True, kw_only=True)
class CallBackEarly(Command):
    """Both results are in."""

    policy: CallbackPolicy


@dataclass(frozen=True, kw_only=True)
class AssignCallback(Command):
    """An officer takes the callback."""

    policy: CallbackPolicy


@dataclass(frozen=True, kw_only=True)
class NoteCallbackOverdue(Command):
    """The time to call back is over."""


@dataclass(frozen=True, kw_only=True)
class AttemptCallback(Command):
    """One try to reach the resident."""

    outcome: ContactOutcome
    method: CallbackMethod
    tried_at: datetime
    policy: CallbackPolicy


@dataclass(frozen=True, kw_only=True)
class RecordCallback(Command):
    """What the resident said; or, when not valid, that nobody could be reached. `drawn`: it is to be checked."""

    valid: bool
    contacted: bool | None
    resolved: bool | None
    satisfaction: Satisfaction
    reasons: tuple[str, ...]
    method: CallbackMethod
    because: tuple[Reason, ...] = ()
    recording: int | None = None
    drawn: bool = False
    policy: CallbackPolicy


COMMANDS = (CallBackAtLimit, CallBackEarly, AssignCallback, NoteCallbackOverdue, AttemptCallback, RecordCallback)


def decide(command: Command, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    match command:
        case CallBackAtLimit(round=round_):
            fits = case.state in HANDLED_IN and round_ == case.round
            return [_scheduled("LIMIT_EXPIRED", command.at, case, command.policy)] if fits else []
        case CallBackEarly():
            fits = case.state is CaseState.FEEDBACK_DONE
            return [_scheduled("RESULTS_COMPLETE", command.at, case, command.policy)] if fits else []
        case AssignCallback():
            return _assign(command, case)
        case NoteCallbackOverdue():
            due = case.asking.due_at
            late = case.state is CaseState.CALLBACK_DUE and due is not None and not case.asking.overdue
            return [CallbackOverdue(due_at=due, round=case.round)] if late and due and command.at >= due else []
        case AttemptCallback():
            return _attempt(command, case, opened)
        case RecordCallback():
            return record(command, case, opened)
    raise TypeError(command)


def _scheduled(reason: str, at: datetime, case: Case, policy: CallbackPolicy) -> CallbackScheduled:
    due = at + policy.start_within
    return CallbackScheduled.model_validate(
        {"reason": reason, "at": at, "due_at": due, "round": case.round, "policy": policy.version}
    )


def _due_now(name: str, at: datetime, policy: CallbackPolicy, case: Case) -> list[Payload]:
    """With both results in, an officer may call at once; that schedules the callback first."""
    case.only_in(name, CaseState.CALLBACK_DUE, CaseState.FEEDBACK_DONE)
    early = case.state is CaseState.FEEDBACK_DONE
    return [_scheduled("RESULTS_COMPLETE", at, case, policy)] if early else []


def _assign(command: AssignCallback, case: Case) -> Sequence[Payload]:
    before = _due_now("callback assign", command.at, command.policy, case)
    case.not_by_the_handler(command.actor.unit_id)
    _not_anothers(command, case)
    until = command.at + command.policy.assigned_for
    return [*before, CallbackAssigned(officer=command.actor.sub or "", until=until, round=case.round)]


def _not_anothers(command: Command, case: Case) -> None:
    held = case.asking.assigned
    if held and held.officer != command.actor.sub and command.at < held.until:
        raise Refused("CALLBACK_ASSIGNED", "another officer has taken this callback from the queue")


def _attempt(command: AttemptCallback, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    before = _due_now("callback attempt", command.at, command.policy, case)
    case.not_by_the_handler(command.actor.unit_id)
    _not_anothers(command, case)
    since = case.asking.since or (command.at if before else opened.dispatched_at)
    if not since <= command.tried_at <= command.at:
        raise Refused("ATTEMPT_TIME_IMPOSSIBLE", "an attempt lies between the scheduling of the callback and now")
    failed = command.outcome is not ContactOutcome.REACHED
    apart = case.asking.tried_at is None or command.tried_at >= case.asking.tried_at + command.policy.attempts_apart
    attempted = CallbackAttempted(
        outcome=command.outcome,
        method=command.method,
        round=case.round,
        at=command.tried_at,
        counts=apart if failed else None,
    )
    return [*before, attempted]


def record(command: RecordCallback, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    """What follows from the resident's answers."""
    before = _due_now("callback", command.at, command.policy, case)
    case.not_by_the_handler(command.actor.unit_id)
    _not_anothers(command, case)
    if not command.valid:
        return [*before, _invalid(command, case, opened)]
    _known_codes(command)
    again = command.resolved is False or command.satisfaction is Satisfaction.DISSATISFIED
    rework = again and case.round < command.policy.most_rounds
    recorded = CallbackRecorded(
        **_facts(opened),
        valid=True,
        contacted=command.contacted,
        resolved=command.resolved,
        satisfaction=command.satisfaction,
        reasons=command.reasons,
        method=command.method,
        next_state="REWORK" if rework else "CLOSED",
        because=command.because,
        recording=command.recording,
        officer=command.actor.sub,
        at=command.at,
    )
    return [*before, recorded, *_checked(command, case), *_back_to_the_unit(command, case, rework)]


def _facts(opened: CaseOpened) -> dict[str, object]:
    """What scoring must know of the order."""
    names = ("ticket_no", "lead_unit", "unit_type", "cc_district", "registered_at", "round")
    return {name: getattr(opened, name) for name in names}


def _known_codes(command: RecordCallback) -> None:
    for one in command.because:
        if one.code not in command.policy.reasons.get(one.question, {}):
            raise Refused(
                "REASON_UNKNOWN", "this is not one of the reasons for this question; GET /v1/callbacks/reasons"
            )


def _checked(command: RecordCallback, case: Case) -> list[Payload]:
    """抽查. Nobody is asked again who answered without an officer."""
    if not command.drawn or command.actor.sub is None:
        return []
    due, policy = command.at + command.policy.recheck_within, command.policy.version
    return [RecheckOrdered(round=case.round, officer=command.actor.sub, due_at=due, policy=policy)]


def _back_to_the_unit(command: RecordCallback, case: Case, rework: bool) -> list[Payload]:
    """With what the resident said."""
    return [ReworkRequested(round=case.round, reasons=command.reasons)] if rework else []


def _invalid(command: RecordCallback, case: Case, opened: CaseOpened) -> CallbackInvalidated:
    policy = command.policy
    if case.asking.failed < policy.attempts_before_invalid:
        hours = policy.attempts_apart.total_seconds() / 3600
        raise Refused(
            "MORE_ATTEMPTS_NEEDED",
            f"a callback is invalid only after {policy.attempts_before_invalid} attempts that failed, "
            f"each {hours:g} h or more after the one before",
        )
    return CallbackInvalidated(**_facts(opened), attempts=case.asking.failed, policy=policy.version, at=command.at)
