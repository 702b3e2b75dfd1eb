"""Who is responsible, when that is not clear: the talk before dispatch, the objection after it, and its review.

An objection changes nothing until it is upheld: the unit that received the order first stays responsible, and its clock
runs on (首接负责). It is reviewed by the municipal department, never by a party. Law: Regulation Art 12, 14.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.routing_service.dispatching import dispatched, may_lead
from services.routing_service.jurisdiction import Unit
from services.routing_service.limits import Limits
from services.routing_service.state import Order
from shared.contracts.codes import CaseState, Urgency
from shared.contracts.envelope import Payload
from shared.contracts.routing import (
    ConsultationClosed,
    ConsultationOpened,
    ObjectionRejected,
    ObjectionReviewOverdue,
    ObjectionUpheld,
    OrderDispatched,
    OrderObjected,
)
from shared.engine.decider import Command, IllegalTransition, NotYours, Refused


@dataclass(frozen=True, kw_only=True)
class OpenConsultation(Command):
    """Ask those who could be responsible."""

    participants: tuple[str, ...]
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class CloseConsultation(Command):
    """What was agreed; the order goes to that unit at once."""

    unit: Unit
    decision: str
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class Object(Command):
    """The unit says that it is not responsible."""

    unit_id: str | None
    ground: Literal["DUTY", "JURISDICTION"]
    reason: str
    proposed_unit: str | None
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class Uphold(Command):
    """The reviewer agrees; `unit` gets the order."""

    unit: Unit
    reason: str
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class Reject(Command):
    """The reviewer does not agree."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class NoteObjectionReviewOverdue(Command):
    """The time of the reviewer has passed."""


COMMANDS = (OpenConsultation, CloseConsultation, Object, Uphold, Reject, NoteObjectionReviewOverdue)


def decide(command: Command, order: Order) -> Sequence[Payload]:
    match command:
        case OpenConsultation():
            if order.state is not CaseState.REGISTERED:
                raise IllegalTransition("consultation", str(order.state))
            return [ConsultationOpened(participants=command.participants, reason=command.reason)]
        case CloseConsultation():
            return _close_consultation(command, order)
        case Object():
            return _object(command, order)
        case Uphold():
            return _uphold(command, order)
        case Reject():
            objection = _reviewed("objection reject", command, order)
            back = order.before or CaseState.DISPATCHED
            late = command.at > objection.review_due_at
            unit, round_ = objection.unit_id, objection.round
            return [ObjectionRejected(unit_id=unit, reason=command.reason, returns_to=back, round=round_, late=late)]
        case NoteObjectionReviewOverdue():
            return _note_review_overdue(command, order)
    raise TypeError(command)


def _note_review_overdue(command: NoteObjectionReviewOverdue, order: Order) -> Sequence[Payload]:
    open_ = order.objection
    if open_ is None or order.state is not CaseState.OBJECTED or command.at < open_.review_due_at:
        return []
    return [ObjectionReviewOverdue(unit_id=open_.unit_id, review_due_at=open_.review_due_at, round=open_.round)]


def _close_consultation(command: CloseConsultation, order: Order) -> Sequence[Payload]:
    if order.state is not CaseState.CONSULTING or order.proposal is None:
        raise IllegalTransition("consultation close", str(order.state))
    may_lead(command.unit, order.proposal)
    sent = _sent(order, command.unit, command.decision, command)
    return [ConsultationClosed(unit_id=command.unit.unit_id, decision=command.decision), sent]


def _object(command: Object, order: Order) -> Sequence[Payload]:
    dispatch = order.dispatch
    if dispatch is None or command.unit_id != dispatch.lead_unit:
        raise NotYours
    if order.state not in {CaseState.DISPATCHED, CaseState.SIGNED}:
        raise IllegalTransition("object", str(order.state))
    if (dispatch.lead_unit, order.round) in order.objected:
        raise Refused("OBJECTED_ALREADY", "a unit objects once in a round")
    if sum(round_ == order.round for _, round_ in order.objected) >= command.limits.disputes.most_objections:
        raise Refused("OBJECTIONS_EXHAUSTED", "the reviewer's last word stands")
    if command.at > command.limits.objection_until(dispatch.tier, dispatch.due_derivation.started_at):
        raise Refused("OBJECTION_TOO_LATE", "the time for objections is over")
    return [
        OrderObjected(
            unit_id=dispatch.lead_unit,
            ground=command.ground,
            reason=command.reason,
            proposed_unit=command.proposed_unit,
            round=order.round,
            review_due_at=command.limits.review_until(dispatch.tier, command.at),
        )
    ]


def _uphold(command: Uphold, order: Order) -> Sequence[Payload]:
    objection = _reviewed("objection uphold", command, order)
    if command.unit.unit_id == objection.unit_id:
        raise Refused("SAME_UNIT", "an objection that is upheld goes to another unit")
    if command.actor.unit_id == command.unit.unit_id:
        raise Refused("OWN_CASE", "whoever is to get the order does not decide about it")
    assert order.proposal is not None
    may_lead(command.unit, order.proposal)
    upheld = ObjectionUpheld(
        unit_id=objection.unit_id,
        to_unit=command.unit.unit_id,
        reason=command.reason,
        round=objection.round,
        late=command.at > objection.review_due_at,
    )
    return [upheld, _sent(order, command.unit, command.reason, command)]


def _reviewed(name: str, command: Command, order: Order) -> OrderObjected:
    """The objection that is open. Raises Refused when a party decides about itself."""
    if order.objection is None or order.state is not CaseState.OBJECTED:
        raise IllegalTransition(name, str(order.state))
    if command.actor.unit_id and command.actor.unit_id in {order.objection.unit_id, order.objection.proposed_unit}:
        raise Refused("OWN_CASE", "a party does not decide about its own objection")
    return order.objection


def _sent(order: Order, unit: Unit, reason: str, command: CloseConsultation | Uphold) -> OrderDispatched:
    """The dispatch that follows: the clock begins anew for a unit that did not have the order before."""
    assert order.proposal is not None
    candidate = next((one for one in order.proposal.candidates if one.unit_id == unit.unit_id), None)
    tier = order.dispatch.tier if order.dispatch else (candidate.tier if candidate else order.proposal.urgency)
    round_ = max(order.round, 1)
    event = dispatched(
        order.proposal, unit, tier or Urgency.GENERAL, round_, command.at, command.limits, candidate=candidate
    )
    first = order.dispatch is None  # what is open for long goes up, counted from the first dispatch
    helpers = tuple(one for one in (order.dispatch.co_units if order.dispatch else ()) if one != unit.unit_id)
    said = {"by_hand": True, "reason": reason, "co_units": helpers}
    said |= {} if first else {"escalate_at": None}
    return event.model_copy(update=said)
