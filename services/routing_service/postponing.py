"""More time, lawfully: the extension, and the ledger for what cannot be solved yet.

Both need a reason, and somebody else than the one who asks. Law: Regulation Art 15(2); 挂账 is practice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.routing_service.limits import Limits
from services.routing_service.state import Order
from shared.contracts.codes import CaseState
from shared.contracts.envelope import Payload
from shared.contracts.routing import (
    DueTimeCorrected,
    ExtensionAnswerOverdue,
    ExtensionDenied,
    ExtensionGranted,
    ExtensionRequested,
    LedgerClosed,
    LedgerOpened,
    LedgerRequested,
    LedgerReviewed,
    LedgerReviewOverdue,
    OrderDispatched,
)
from shared.engine.decider import Command, IllegalTransition, NotYours, Refused


@dataclass(frozen=True, kw_only=True)
class AskExtension(Command):
    """The unit asks for more time."""

    unit_id: str | None
    until: datetime
    reason: str
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class GrantExtension(Command):
    """The municipal department agrees."""

    limits: Limits


@dataclass(frozen=True, kw_only=True)
class DenyExtension(Command):
    """The municipal department does not agree."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class PutOnLedger(Command):
    """The unit asks for it, with a plan; somebody else agrees, and may set another day for the review."""

    plan: str | None
    review_on: datetime | None
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class ReviewLedger(Command):
    """Looked at: it stays until another day."""

    finding: str
    review_on: datetime
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class CloseLedger(Command):
    """It can be worked on again."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class NoteReviewOverdue(Command):
    """The day of the review has passed."""


@dataclass(frozen=True, kw_only=True)
class NoteAnswerOverdue(Command):
    """A request for more time should have been answered by now."""


@dataclass(frozen=True, kw_only=True)
class CorrectDueTime(Command):
    """Working days that were not official when the due time was worked out may be by now."""

    limits: Limits


COMMANDS = (
    *(AskExtension, GrantExtension, DenyExtension, NoteAnswerOverdue, CorrectDueTime),
    *(PutOnLedger, ReviewLedger, CloseLedger, NoteReviewOverdue),
)


def decide(command: Command, order: Order) -> Sequence[Payload]:
    match command:
        case AskExtension():
            return _ask(command, order)
        case GrantExtension():
            return _grant(command, order)
        case DenyExtension():
            asked = _asked("extension deny", command, order)
            return [ExtensionDenied(unit_id=asked.unit_id, reason=command.reason, round=order.round)]
        case PutOnLedger():
            return _put_on_ledger(command, order)
        case ReviewLedger():
            _on_ledger("ledger review", order)
            _not_too_far(command.review_on, command.at, command.limits)
            return [LedgerReviewed(finding=command.finding, review_on=command.review_on, round=order.round)]
        case CloseLedger():
            _on_ledger("ledger close", order)
            return [_off_ledger(command, order)]
        case NoteReviewOverdue():
            waits = order.state is CaseState.ON_LEDGER and order.review_on is not None
            if not waits or order.review_on is None or command.at < order.review_on:
                return []
            return [LedgerReviewOverdue(review_on=order.review_on, round=order.round)]
        case NoteAnswerOverdue():
            return _note_answer_overdue(command, order)
        case CorrectDueTime():
            return _correct(command, order)
    raise TypeError(command)


def _ask(command: AskExtension, order: Order) -> Sequence[Payload]:
    dispatch = _led_by(command.unit_id, "extension", order)
    if order.extension is not None:
        raise Refused("EXTENSION_PENDING", "an extension is being decided already")
    if order.extensions >= command.limits.disputes.most_extensions:
        raise Refused("EXTENDED_ENOUGH", "no further extension in this round")
    if order.due_at is None or command.at >= order.due_at:
        raise Refused("EXTENSION_TOO_LATE", "an extension is asked for before the time is up")
    limit = dispatch.due_at - dispatch.due_derivation.started_at
    if not order.due_at < command.until <= command.limits.longest_until(limit, order.due_at):
        raise Refused("EXTENSION_TOO_LONG", "until lies after the due time, by at most the original limit")
    unit = dispatch.lead_unit
    answer = command.limits.answer_until(command.at)
    return [
        ExtensionRequested(
            unit_id=unit,
            until=command.until,
            reason=command.reason,
            round=order.round,
            answer_due_at=answer,
            by=command.actor.sub,
        )
    ]


def _note_answer_overdue(command: NoteAnswerOverdue, order: Order) -> Sequence[Payload]:
    asked = order.extension
    if asked is None or not order.running or asked.answer_due_at is None or command.at < asked.answer_due_at:
        return []
    return [ExtensionAnswerOverdue(unit_id=asked.unit_id, answer_due_at=asked.answer_due_at, round=order.round)]


def _correct(command: CorrectDueTime, order: Order) -> Sequence[Payload]:
    """What an extension has added stays added."""
    dispatch = order.dispatch
    if dispatch is None or order.due_at is None or not order.running or not order.provisional:
        return []
    before = dispatch.due_derivation
    due = command.limits.due(before.tier, before.started_at, before.category)
    if due.derivation.provisional:
        return []
    at = due.handle + (order.due_at - dispatch.due_at)
    return [DueTimeCorrected(due_at=at, previous_due_at=order.due_at, due_derivation=due.derivation, round=order.round)]


def _grant(command: GrantExtension, order: Order) -> Sequence[Payload]:
    asked = _asked("extension grant", command, order)
    assert order.due_at is not None
    return [
        ExtensionGranted(
            unit_id=asked.unit_id,
            due_at=max(asked.until, order.due_at),  # corrected meanwhile it may lie further ahead
            previous_due_at=order.due_at,
            round=order.round,
            policy=command.limits.version,
        )
    ]


def _asked(name: str, command: Command, order: Order) -> ExtensionRequested:
    if order.extension is None or not order.running:
        raise IllegalTransition(name, str(order.state))
    if command.actor.unit_id == order.extension.unit_id:
        raise Refused("OWN_CASE", "whoever asks for more time does not grant it")
    if command.actor.sub is not None and command.actor.sub == order.extension.by:
        raise Refused("SECOND_OFFICER_NEEDED", "another person must grant it")
    return order.extension


def _put_on_ledger(command: PutOnLedger, order: Order) -> Sequence[Payload]:
    if order.dispatch is None:
        raise IllegalTransition("ledger", str(order.state))
    if command.actor.unit_id == order.lead_unit:
        return _ask_for_ledger(command, order)
    if command.actor.unit_id in order.called:
        raise Refused("OWN_CASE", "whoever works on it does not agree to its rest")
    asked = order.ledger_asked
    if asked is None or order.state is not CaseState.SIGNED or order.due_at is None:
        raise Refused("LEDGER_NOT_REQUESTED", "the unit asks first, with its plan; another person agrees")
    if command.actor.sub == asked.by:
        raise Refused("SECOND_OFFICER_NEEDED", "another person must agree")
    review_on = command.review_on or asked.review_on
    _not_too_far(review_on, command.at, command.limits)
    left = max(order.due_at - command.at, timedelta())
    seconds = int(left.total_seconds())
    return [LedgerOpened(plan=command.plan, review_on=review_on, seconds_left=seconds, round=order.round)]


def _ask_for_ledger(command: PutOnLedger, order: Order) -> Sequence[Payload]:
    dispatch = _led_by(command.actor.unit_id, "ledger", order)
    if command.plan is None or command.review_on is None:
        raise Refused("PLAN_NEEDED", "say how it will be solved, and when to look at it again")
    _not_too_far(command.review_on, command.at, command.limits)
    by, unit = command.actor.sub or "", dispatch.lead_unit
    return [LedgerRequested(unit_id=unit, plan=command.plan, review_on=command.review_on, by=by, round=order.round)]


def _not_too_far(review_on: datetime, at: datetime, limits: Limits) -> None:
    if not at < review_on <= at + limits.disputes.longest_review:
        raise Refused("REVIEW_DAY", f"the review lies ahead, within {limits.disputes.longest_review.days} days")


def _on_ledger(name: str, order: Order) -> None:
    if order.state is not CaseState.ON_LEDGER:
        raise IllegalTransition(name, str(order.state))


def _off_ledger(command: CloseLedger, order: Order) -> LedgerClosed:
    """The unit is reminded when the same part of the rest is over as of the whole; what is open for long goes up."""
    due_at, dispatch, remind_at = command.at + order.left, order.dispatch, None
    if dispatch and dispatch.remind_at and not order.reminded:
        started = dispatch.due_derivation.started_at
        part = (dispatch.remind_at - started) / (dispatch.due_at - started)
        remind_at = command.at + timedelta(seconds=int(order.left.total_seconds() * part))
    escalate_at = None if order.escalated or order.escalate_at is None else max(order.escalate_at, due_at)
    return LedgerClosed(
        reason=command.reason, due_at=due_at, round=order.round, remind_at=remind_at, escalate_at=escalate_at
    )


def _led_by(unit_id: str | None, name: str, order: Order) -> OrderDispatched:
    """The dispatch, for its lead unit while it handles the order."""
    if order.dispatch is None or unit_id != order.dispatch.lead_unit:
        raise NotYours
    if order.state is not CaseState.SIGNED or not order.running:
        raise IllegalTransition(name, str(order.state))
    return order.dispatch
