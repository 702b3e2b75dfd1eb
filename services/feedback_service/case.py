"""The life of a case: the unit contacts the resident, answers twice, and then the hotline asks what really happened.

两种反馈: a round is done when the result has gone to the appellant and to the hotline, in any order. The callback
comes at the limit whatever the unit did, and what is not solved goes round again, up to the policy's number of rounds.
Law: Regulation Art 14, 15, 23; domain specification, section 4 rows 11-23.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.feedback_service.policy import CallbackPolicy
from shared.contracts.codes import (
    CallbackMethod,
    CaseState,
    ContactOutcome,
    FeedbackKind,
    FeedbackOutcome,
    Recipient,
    Satisfaction,
)
from shared.contracts.envelope import Payload
from shared.contracts.feedback import (
    AppellantContacted,
    CallbackAttempted,
    CallbackInvalidated,
    CallbackRecorded,
    CallbackScheduled,
    CaseEnded,
    CaseOpened,
    CaseSigned,
    FeedbackGiven,
    MessagePosted,
    ReworkRequested,
)
from shared.engine.decider import Command, Decider, IllegalTransition, NotYours, Refused

CLOCK_SKEW = timedelta(minutes=5)
"""By how much a unit's clock may be ahead of ours."""


@dataclass(frozen=True)
class Case:
    """What feedback must remember to decide, for the present round."""

    state: CaseState | None = None
    opened: CaseOpened | None = None
    results: frozenset[Recipient] = frozenset()
    failed_attempts: int = 0
    messages: int = 0

    @property
    def round(self) -> int:
        return self.opened.round if self.opened else 0

    @property
    def subject_key(self) -> str:
        return self.opened.subject_key if self.opened else ""


@dataclass(frozen=True, kw_only=True)
class Open(Command):
    """Take note of a dispatch."""

    facts: CaseOpened


@dataclass(frozen=True, kw_only=True)
class NoteSigned(Command):
    """Take note that the unit has signed."""

    unit_id: str
    round: int


@dataclass(frozen=True, kw_only=True)
class Contact(Command):
    """The unit tried to reach the appellant."""

    channel: str
    outcome: ContactOutcome
    contacted_at: datetime
    note: str | None


@dataclass(frozen=True, kw_only=True)
class GiveFeedback(Command):
    """The unit tells the appellant or the hotline how it stands, or how it ended."""

    kind: FeedbackKind
    recipient: Recipient
    text: str
    outcome: FeedbackOutcome | None


@dataclass(frozen=True, kw_only=True)
class PostMessage(Command):
    """The unit writes to the appellant."""

    text: str


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
class AttemptCallback(Command):
    """One try to reach the resident."""

    outcome: ContactOutcome
    method: CallbackMethod
    policy: CallbackPolicy


@dataclass(frozen=True, kw_only=True)
class RecordCallback(Command):
    """What the resident said; or, when not valid, that nobody could be reached."""

    valid: bool
    contacted: bool | None
    resolved: bool | None
    satisfaction: Satisfaction
    reasons: tuple[str, ...]
    method: CallbackMethod
    policy: CallbackPolicy


@dataclass(frozen=True, kw_only=True)
class EndCase(Command):
    """The appeal has ended outside the callback."""

    outcome: CaseState


_ENDED = frozenset({CaseState.CLOSED, CaseState.WITHDRAWN, CaseState.ANSWERED, CaseState.REDIRECTED, CaseState.MERGED})
_BEFORE_CALLBACK = frozenset({CaseState.DISPATCHED, CaseState.SIGNED, CaseState.HANDLING, CaseState.FEEDBACK_DONE})


def decide(command: Command, case: Case) -> Sequence[Payload]:
    if isinstance(command, Open):
        return [] if case.state in _ENDED else [command.facts]
    if case.state is None or case.opened is None:
        return _unknown(command, case)
    match command:
        case NoteSigned() | CallBackAtLimit() | CallBackEarly() | EndCase():
            return _noted(command, case)
        case Contact():
            return _contact(command, case)
        case GiveFeedback():
            return _give_feedback(command, case)
        case PostMessage():
            _only_in("message", case, *_BEFORE_CALLBACK, CaseState.CALLBACK_DUE, CaseState.REWORK)
            return [MessagePosted(text=command.text, number=case.messages + 1, round=case.round)]
        case AttemptCallback():
            return _attempt(command, case, case.opened)
        case RecordCallback():
            return _record(command, case, case.opened)
    raise TypeError(command)


def _unknown(command: Command, case: Case) -> Sequence[Payload]:
    if isinstance(command, EndCase):  # intake may be heard before routing; the dispatch that follows opens nothing
        return [] if case.state in _ENDED else [CaseEnded(outcome=command.outcome)]
    if isinstance(command, NoteSigned | CallBackAtLimit | CallBackEarly):
        return []
    raise NotYours


def _noted(command: Command, case: Case) -> Sequence[Payload]:
    """What neighbours and clocks say: it happened, so it is never refused, only without effect when overtaken."""
    match command:
        case NoteSigned(round=round_):
            fits = case.state is CaseState.DISPATCHED and round_ == case.round
            return [CaseSigned(unit_id=command.unit_id, round=round_)] if fits else []
        case CallBackAtLimit(round=round_):
            fits = case.state in _BEFORE_CALLBACK and round_ == case.round
            return [_scheduled("LIMIT_EXPIRED", command.at, case, command.policy)] if fits else []
        case CallBackEarly():
            fits = case.state is CaseState.FEEDBACK_DONE
            return [_scheduled("RESULTS_COMPLETE", command.at, case, command.policy)] if fits else []
        case EndCase():
            return [] if case.state in _ENDED else [CaseEnded(outcome=command.outcome)]
    raise TypeError(command)


def _scheduled(reason: str, at: datetime, case: Case, policy: CallbackPolicy) -> CallbackScheduled:
    due = at + policy.start_within
    return CallbackScheduled.model_validate(
        {"reason": reason, "due_at": due, "round": case.round, "policy": policy.version}
    )


def _contact(command: Contact, case: Case) -> Sequence[Payload]:
    _only_in("contact", case, CaseState.SIGNED, CaseState.HANDLING)
    if case.opened and not case.opened.dispatched_at <= command.contacted_at <= command.at + CLOCK_SKEW:
        raise Refused("CONTACT_TIME_IMPOSSIBLE", "a contact lies between the dispatch and now")
    return [
        AppellantContacted(
            channel=command.channel,
            outcome=command.outcome,
            at=min(command.contacted_at, command.at),
            note=command.note,
            round=case.round,
        )
    ]


def _give_feedback(command: GiveFeedback, case: Case) -> Sequence[Payload]:
    _only_in("feedback", case, CaseState.HANDLING)
    is_result = command.kind is FeedbackKind.RESULT
    return [
        FeedbackGiven(
            kind=command.kind,
            recipient=command.recipient,
            text=command.text,
            outcome=command.outcome,
            completes=is_result and case.results | {command.recipient} == set(Recipient),
            round=case.round,
        )
    ]


def _attempt(command: AttemptCallback, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    before = _due_now("callback attempt", command.at, command.policy, case)
    _not_by_the_handler(command, opened)
    return [*before, CallbackAttempted(outcome=command.outcome, method=command.method, round=case.round)]


def _record(command: RecordCallback, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    before = _due_now("callback", command.at, command.policy, case)
    _not_by_the_handler(command, opened)
    if not command.valid:
        return [*before, _invalid(command, case, opened)]
    again = command.resolved is False or command.satisfaction is Satisfaction.DISSATISFIED
    rework = again and case.round < command.policy.most_rounds
    recorded = CallbackRecorded(
        ticket_no=opened.ticket_no,
        lead_unit=opened.lead_unit,
        unit_type=opened.unit_type,
        cc_district=opened.cc_district,
        registered_at=opened.registered_at,
        round=case.round,
        valid=True,
        contacted=command.contacted,
        resolved=command.resolved,
        satisfaction=command.satisfaction,
        reasons=command.reasons,
        method=command.method,
        next_state="REWORK" if rework else "CLOSED",
    )
    return [*before, recorded, *([ReworkRequested(round=case.round, reasons=command.reasons)] if rework else [])]


def _invalid(command: RecordCallback, case: Case, opened: CaseOpened) -> CallbackInvalidated:
    needed = command.policy.attempts_before_invalid
    if case.failed_attempts < needed:
        raise Refused("MORE_ATTEMPTS_NEEDED", f"a callback is invalid only after {needed} attempts that failed")
    return CallbackInvalidated(
        ticket_no=opened.ticket_no,
        lead_unit=opened.lead_unit,
        unit_type=opened.unit_type,
        cc_district=opened.cc_district,
        registered_at=opened.registered_at,
        round=case.round,
        attempts=case.failed_attempts,
        policy=command.policy.version,
    )


def _due_now(name: str, at: datetime, policy: CallbackPolicy, case: Case) -> list[Payload]:
    """With both results in, an officer may call at once; that schedules the callback first."""
    _only_in(name, case, CaseState.CALLBACK_DUE, CaseState.FEEDBACK_DONE)
    early = case.state is CaseState.FEEDBACK_DONE
    return [_scheduled("RESULTS_COMPLETE", at, case, policy)] if early else []


def _not_by_the_handler(command: Command, opened: CaseOpened) -> None:
    if command.actor.unit_id == opened.lead_unit:
        raise Refused("OWN_CASE", "the unit that handled a case does not call back about it")


def _only_in(name: str, case: Case, *states: CaseState) -> None:
    if case.state not in states:
        raise IllegalTransition(name, str(case.state))


def evolve(case: Case, event: Payload) -> Case:
    match event:
        case CaseOpened():
            return Case(CaseState.DISPATCHED, event, messages=case.messages)
        case CaseSigned():
            return replace(case, state=CaseState.SIGNED)
        case AppellantContacted():
            return replace(case, state=CaseState.HANDLING)
        case FeedbackGiven(kind=FeedbackKind.RESULT):
            state = CaseState.FEEDBACK_DONE if event.completes else case.state
            return replace(case, state=state, results=case.results | {event.recipient})
        case MessagePosted():
            return replace(case, messages=event.number)
        case CallbackScheduled():
            return replace(case, state=CaseState.CALLBACK_DUE)
        case CallbackAttempted() if event.outcome is not ContactOutcome.REACHED:
            return replace(case, failed_attempts=case.failed_attempts + 1)
        case CallbackRecorded():
            return replace(case, state=CaseState(event.next_state))
        case CallbackInvalidated():
            return replace(case, state=CaseState.CLOSED)
        case CaseEnded():
            return replace(case, state=event.outcome)
    return case


CASE = Decider("case", Case(), decide, evolve)
