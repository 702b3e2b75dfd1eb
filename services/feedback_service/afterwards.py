"""What may still be said once a callback is over: by the resident, by a second officer, by the unit, by a reviewer.

Nothing here changes what was recorded; every word stands beside it. Law: Regulation Art 8 (evaluation), 23, 35; domain
specification, section 2.1 (待复核) and section 4 row 25.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from services.feedback_service.calling_back import RecordCallback, record
from services.feedback_service.policy import CallbackPolicy
from services.feedback_service.state import Case, Verdict
from shared.contracts.codes import CallbackMethod, CaseState, Satisfaction, Via
from shared.contracts.envelope import Payload
from shared.contracts.feedback import (
    CallbackContested,
    CallbackRechecked,
    CallbackRecorded,
    CallbackReviewed,
    CaseOpened,
    CaseReopened,
    CitizenEvaluated,
    ReworkRequested,
)
from shared.engine.decider import Command, IllegalTransition, NotYours, Refused

EVALUATED_IN = (CaseState.FEEDBACK_DONE, CaseState.CALLBACK_DUE, CaseState.REWORK, CaseState.CLOSED)
BY_MESSAGE = {Via.SMS, Via.WECHAT}


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """评价. `round` is the one that the resident was asked about; None: whichever it is now."""

    round: int | None
    contacted: bool | None
    resolved: bool | None
    satisfaction: Satisfaction
    process_satisfaction: Satisfaction | None
    comment: str | None
    via: Via
    policy: CallbackPolicy


@dataclass(frozen=True, kw_only=True)
class Reopen(Command):
    """The resident says that it is not solved after all."""

    reason: str
    policy: CallbackPolicy


@dataclass(frozen=True, kw_only=True)
class Recheck(Command):
    """What the resident told a second officer."""

    contacted: bool | None
    resolved: bool | None
    satisfaction: Satisfaction


@dataclass(frozen=True, kw_only=True)
class Contest(Command):
    """The unit says that the answers are not right."""

    ground: str
    policy: CallbackPolicy


@dataclass(frozen=True, kw_only=True)
class Review(Command):
    """A reviewer lets the answers stand, or strikes them."""

    stands: bool
    reason: str


COMMANDS = (Evaluate, Reopen, Recheck, Contest, Review)


def decide(command: Command, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    match command:
        case Evaluate():
            return _evaluate(command, case, opened)
        case Reopen():
            return _reopen(command, case, opened)
        case Recheck():
            return _recheck(command, case)
        case Contest():
            return _contest(command, case, opened)
        case Review():
            return _review(command, case)
    raise TypeError(command)


def _evaluate(command: Evaluate, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    noted = command.via is Via.TRACKING  # intake has taken it already
    if noted and case.state not in EVALUATED_IN:
        return []
    case.only_in("evaluation", *EVALUATED_IN)
    if not noted:
        _may_be_evaluated(command, case)
    closed_at = case.closed_at
    if closed_at and command.at < closed_at:  # said before it was closed, and heard of afterwards
        closed_at = None
    if not noted and _said_already(command, case):
        return []
    evaluated = CitizenEvaluated(
        number=case.evaluations + 1,
        round=command.round or case.round,
        lead_unit=opened.lead_unit,
        resolved=command.resolved,
        satisfaction=command.satisfaction,
        process_satisfaction=command.process_satisfaction,
        comment=command.comment,
        via=command.via,
        days_after_closing=(command.at - closed_at).days if closed_at else None,
        contradicts=_contradicts(command, case) if closed_at else None,
    )
    return [evaluated, *([] if noted else _as_callback(command, case, opened))]


def _said_already(command: Evaluate, case: Case) -> bool:
    """A form that was sent twice says one thing; words, a callback and a closing since are news."""
    before = case.said
    if before is None or before.comment is not None or command.comment is not None:
        return False
    if _answers_a_callback(command, case) or (before.days_after_closing is None and _closed_by_an_officer(case)):
        return False
    same = ("round", "resolved", "satisfaction", "process_satisfaction", "via")
    return all(getattr(before, name) == getattr(command, name) for name in same)


def _closed_by_an_officer(case: Case) -> bool:
    recorded = case.verdict.recorded if case.verdict and case.state is CaseState.CLOSED else None
    return recorded is not None and getattr(recorded, "method", None) in {None, CallbackMethod.PHONE}


def _answers_a_callback(command: Evaluate, case: Case) -> bool:
    due = case.state in {CaseState.FEEDBACK_DONE, CaseState.CALLBACK_DUE}
    return due and command.contacted is not None and command.resolved is not None


def _may_be_evaluated(command: Evaluate, case: Case) -> None:
    if case.closed_at and command.at > case.closed_at + command.policy.evaluate_within:
        raise Refused("EVALUATION_OVER", "the time for evaluating this appeal is over")
    if command.round is not None and command.round != case.round:
        raise Refused("LINK_USED", "this question was about an earlier round")
    if case.evaluated >= command.policy.most_evaluations:
        raise Refused("EVALUATED_ENOUGH", f"{command.policy.most_evaluations} times at most")


def _contradicts(command: Evaluate, case: Case) -> bool:
    unsure = command.resolved is None and command.satisfaction is Satisfaction.DISSATISFIED
    recorded = case.verdict.recorded if case.verdict else None
    solved = isinstance(recorded, CallbackRecorded) and recorded.resolved is True
    return solved and (command.resolved is False or unsure)


def _as_callback(command: Evaluate, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    """Whoever answers all that an officer would ask has been called back. Art 23: by phone, SMS or network."""
    if not _answers_a_callback(command, case):
        return []
    answered = RecordCallback(
        at=command.at,
        actor=command.actor,
        valid=True,
        contacted=command.contacted,
        resolved=command.resolved,
        satisfaction=command.satisfaction,
        reasons=(command.comment,) if command.comment else (),
        method=CallbackMethod.SMS if command.via in BY_MESSAGE else CallbackMethod.WEB,
        policy=command.policy,
    )
    free = replace(case, asking=replace(case.asking, assigned=None))  # an officer who is about to ask need not any more
    return record(answered, free, opened)


def _reopen(command: Reopen, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    case.only_in("reopen", CaseState.CLOSED)
    policy, closed_at = command.policy, case.closed_at
    if closed_at is None or command.at > closed_at + policy.reopen_within:
        raise Refused("REOPEN_WINDOW_OVER", "the time for reopening is over; a new appeal may relate to this one")
    if case.round >= policy.most_rounds:
        raise Refused("NO_MORE_ROUNDS", "every round has been gone; a new appeal may relate to this one")
    days = (command.at - closed_at).days
    reopened = CaseReopened(
        round=case.round, lead_unit=opened.lead_unit, reason=command.reason, days_after_closing=days
    )
    return [reopened, ReworkRequested(round=case.round, reasons=(command.reason,), reopened=True)]


def _answers(case: Case, pending: Callable[[Verdict], bool], code: str, detail: str) -> CallbackRecorded:
    """The latest answers of which this holds. Raises ILLEGAL_TRANSITION where there are none, or the code."""
    given = [one for one in case.verdicts.values() if isinstance(one.recorded, CallbackRecorded)]
    if not given:
        raise IllegalTransition("callback review", str(case.state))
    for verdict in sorted(given, key=lambda one: one.recorded.round, reverse=True):
        if pending(verdict) and isinstance(verdict.recorded, CallbackRecorded):
            return verdict.recorded
    raise Refused(code, detail)


def _not_by_whom_it_is_about(command: Command, case: Case, recorded: CallbackRecorded) -> None:
    """Also where another unit leads by now."""
    case.not_by_the_handler(command.actor.unit_id)
    if command.actor.unit_id == recorded.lead_unit:
        raise Refused("OWN_CASE", "a unit does not decide about answers that are about itself")


def _recheck(command: Recheck, case: Case) -> Sequence[Payload]:
    before = _answers(case, lambda one: one.recheck is not None, "NOT_DRAWN", "nothing is to be checked here")
    _not_by_whom_it_is_about(command, case, before)
    if command.actor.sub == before.officer:
        raise Refused("SECOND_OFFICER_NEEDED", "another officer must ask again")
    told = {name: getattr(command, name) for name in ("contacted", "resolved", "satisfaction")}
    unknown = (None, Satisfaction.NOT_STATED)
    agrees = all(now in unknown or now == getattr(before, name) for name, now in told.items())
    by, unit = command.actor.sub or "", before.lead_unit
    return [CallbackRechecked(round=before.round, lead_unit=unit, agrees=agrees, officer=by, **told)]


def _contest(command: Contest, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    verdict = case.verdict
    recorded = verdict.recorded if verdict else None
    if verdict is None or not isinstance(recorded, CallbackRecorded):
        raise IllegalTransition("contest", str(case.state))
    if verdict.contested or verdict.reviewed:
        raise Refused("CONTESTED_ALREADY", "these answers have been contested")
    if recorded.lead_unit != opened.lead_unit:
        raise NotYours
    if recorded.at is None or command.at > recorded.at + command.policy.contest_within:
        raise Refused("CONTEST_WINDOW_OVER", "the time for contesting these answers is over")
    due, unit = command.at + command.policy.review_within, recorded.lead_unit
    return [CallbackContested(round=recorded.round, unit_id=unit, ground=command.ground, review_due_at=due)]


def _review(command: Review, case: Case) -> Sequence[Payload]:
    recorded = _answers(
        case, lambda one: one.contested is not None, "NOT_CONTESTED", "nobody has contested these answers"
    )
    _not_by_whom_it_is_about(command, case, recorded)
    if command.actor.sub is not None and command.actor.sub == recorded.officer:
        raise Refused("SECOND_OFFICER_NEEDED", "whoever recorded the answers does not review them")
    return [CallbackReviewed(round=recorded.round, stands=command.stands, reason=command.reason)]
