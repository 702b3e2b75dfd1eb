"""The life of an order: proposed, dispatched, signed, and ended, under two clocks.

首接负责: exactly one unit leads from the first dispatch on. The handling clock runs from dispatch, not from signing, so
nothing is gained by not signing. Law: Regulation Art 11-14, 17, 23; domain specification, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.routing_service import climbing, contesting, cooperating, postponing
from services.routing_service.climbing import (
    EscalateByItself,
    NoteDispatchOverdue,
    NoteUrged,
    Remind,
    SuperviseByItself,
)
from services.routing_service.contesting import NoteObjectionReviewOverdue
from services.routing_service.cooperating import NoteReportInOverdue
from services.routing_service.dispatching import dispatched, may_lead
from services.routing_service.jurisdiction import Unit
from services.routing_service.limits import Limits
from services.routing_service.postponing import CorrectDueTime, NoteAnswerOverdue, NoteReviewOverdue
from services.routing_service.state import ENDED, Order, evolve
from shared.contracts.codes import CaseState, Urgency
from shared.contracts.duties import Candidate
from shared.contracts.envelope import Payload
from shared.contracts.routing import (
    HandlingCompleted,
    HandlingLimitExpired,
    OrderDispatched,
    OrderEnded,
    OrderProposed,
    OrderSigned,
    SignOverdue,
)
from shared.engine.decider import Command, Decider, IllegalTransition, NotYours, Refused


@dataclass(frozen=True, kw_only=True)
class Propose(Command):
    """Put on record who could be responsible."""

    facts: OrderProposed


@dataclass(frozen=True, kw_only=True)
class DispatchAsProposed(Command):
    """Send the order to the first candidate; the time for an agent to do otherwise has passed."""

    limits: Limits


@dataclass(frozen=True, kw_only=True)
class DispatchByHand(Command):
    """A dispatcher decides."""

    unit: Unit
    tier: Urgency | None
    cc_district: str | None
    reason: str | None
    limits: Limits
    co_units: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sign(Command):
    """签收"""

    unit_id: str | None


@dataclass(frozen=True, kw_only=True)
class NoteSignOverdue(Command):
    """The signing limit has passed."""

    limits: Limits


@dataclass(frozen=True, kw_only=True)
class NoteLimitExpired(Command):
    """The handling limit has passed."""


@dataclass(frozen=True, kw_only=True)
class StopClock(Command):
    """Both results of a round are in."""

    round: int


@dataclass(frozen=True, kw_only=True)
class Redispatch(Command):
    """退回重办: the same unit again, one round further. `reopened`: the appeal had been closed."""

    round: int
    reopened: bool = False
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class End(Command):
    """The appeal has ended elsewhere. `round` where a callback ended it; news of an earlier round end nothing."""

    outcome: CaseState
    round: int | None = None


def decide(command: Command, order: Order) -> Sequence[Payload]:
    if isinstance(command, Propose):
        return [] if order.state else [command.facts]
    if order.state is None or order.proposal is None:
        return _unknown(command)
    match command:
        case DispatchAsProposed():
            return _dispatch_as_proposed(command, order, order.proposal)
        case DispatchByHand():
            return _dispatch_by_hand(command, order, order.proposal)
        case Sign():
            return _sign(command, order)
        case NoteSignOverdue():
            return _note_sign_overdue(command, order)
        case NoteLimitExpired():
            return _note_limit_expired(command, order)
        case StopClock():
            stops = (order.running or order.state is CaseState.ON_LEDGER) and command.round == order.round
            return [HandlingCompleted(round=command.round)] if stops else []
        case Redispatch():
            return _redispatch(command, order, order.proposal)
        case End():
            stale = order.state in ENDED or (command.round is not None and command.round < order.round)
            return [] if stale else [OrderEnded(outcome=command.outcome)]
    return _along_the_way(command, order)


def _along_the_way(command: Command, order: Order) -> Sequence[Payload]:
    if isinstance(command, contesting.COMMANDS):
        return contesting.decide(command, order)
    if isinstance(command, postponing.COMMANDS):
        return postponing.decide(command, order)
    if isinstance(command, climbing.COMMANDS):
        return climbing.decide(command, order)
    return cooperating.decide(command, order)


def _unknown(command: Command) -> Sequence[Payload]:
    """Clocks and neighbours may speak of an order that is not here; nobody else may."""
    if isinstance(command, _NOTES):
        return []
    raise NotYours


_NOTES = (
    *(DispatchAsProposed, NoteSignOverdue, NoteLimitExpired, StopClock, Redispatch, End),
    *(NoteReviewOverdue, NoteAnswerOverdue, NoteObjectionReviewOverdue, NoteReportInOverdue, CorrectDueTime),
    *(Remind, NoteUrged, SuperviseByItself, EscalateByItself, NoteDispatchOverdue),
)


def _dispatch_as_proposed(command: DispatchAsProposed, order: Order, proposal: OrderProposed) -> Sequence[Payload]:
    if order.state is not CaseState.REGISTERED or not proposal.candidates:
        return []
    return [_to_candidate(proposal.candidates[0], proposal, command)]


def _to_candidate(candidate: Candidate, proposal: OrderProposed, command: DispatchAsProposed) -> OrderDispatched:
    unit = Unit(candidate.unit_id, candidate.name, "", candidate.unit_type, candidate.cc_district)
    return dispatched(proposal, unit, candidate.tier, 1, command.at, command.limits, candidate=candidate)


def _dispatch_by_hand(command: DispatchByHand, order: Order, proposal: OrderProposed) -> Sequence[Payload]:
    if order.state is not CaseState.REGISTERED:
        raise IllegalTransition("dispatch", str(order.state))
    unit = command.unit
    may_lead(unit, proposal)
    candidate = next((c for c in proposal.candidates if c.unit_id == unit.unit_id), None)
    if candidate is None and not command.reason:
        raise Refused("REASON_NEEDED", "the catalogue does not propose this unit; say why it is the right one")
    tier = command.tier or (candidate.tier if candidate else proposal.urgency) or Urgency.GENERAL
    event = dispatched(proposal, unit, tier, 1, command.at, command.limits, candidate=candidate)
    cc_district = event.cc_district or command.cc_district  # a street's own district is never replaced (Art 12)
    said = {"by_hand": True, "reason": command.reason, "cc_district": cc_district}
    return [event.model_copy(update=said | {"co_units": _helpers(command)})]


def _helpers(command: DispatchByHand) -> tuple[str, ...]:
    """协办: each once, and none of them the lead unit."""
    if command.unit.unit_id in command.co_units:
        raise Refused("LEAD_IS_NO_HELPER", "the lead unit cannot be a co-unit as well")
    return tuple(dict.fromkeys(command.co_units))


def _redispatch(command: Redispatch, order: Order, proposal: OrderProposed) -> Sequence[Payload]:
    before = order.dispatch
    ended = order.state in ENDED and not (command.reopened and order.state is CaseState.CLOSED)
    if before is None or ended or command.round != order.round:
        return []
    unit = Unit(before.lead_unit, before.lead_unit_name, "", before.unit_type, before.cc_district)
    event = dispatched(proposal, unit, before.tier, before.round + 1, command.at, command.limits)
    names = ("rule_id", "catalogue_version", "model_version", "cc_district", "co_units")
    kept = {name: getattr(before, name) for name in names}
    if order.escalate_at and not order.escalated:  # its clock may have rung while the order was on the ledger
        kept["escalate_at"] = max(order.escalate_at, command.at)
    again = event.model_copy(update=kept)
    return [again, *climbing.came_back(again.round, order, command.limits)]


def _sign(command: Sign, order: Order) -> Sequence[Payload]:
    if order.dispatch is None or command.unit_id != order.dispatch.lead_unit:
        raise NotYours
    if order.state is not CaseState.DISPATCHED:
        raise IllegalTransition("sign", str(order.state))
    return [OrderSigned(unit_id=order.dispatch.lead_unit, round=order.round)]


def _note_sign_overdue(command: NoteSignOverdue, order: Order) -> Sequence[Payload]:
    dispatch = order.dispatch
    standing = order.before if order.state is CaseState.OBJECTED else order.state  # an objection stops no clock
    waiting = standing is CaseState.DISPATCHED and order.unsigned is None
    if not waiting or dispatch is None or command.at < dispatch.sign_due_at:
        return []
    supervise = dispatch.sign_due_at + command.limits.ladder.supervise_unsigned[dispatch.tier]
    due_at, round_ = dispatch.sign_due_at, order.round
    return [SignOverdue(unit_id=dispatch.lead_unit, round=round_, due_at=due_at, supervise_at=supervise)]


def _note_limit_expired(command: NoteLimitExpired, order: Order) -> Sequence[Payload]:
    dispatch = order.dispatch
    due_at = order.due_at
    if not order.running or dispatch is None or due_at is None or order.state in ENDED or command.at < due_at:
        return []
    return [HandlingLimitExpired(unit_id=dispatch.lead_unit, round=order.round, due_at=due_at)]


ORDER = Decider("order", Order(), decide, evolve)


def automatic(candidates: Sequence[Candidate], kind: str, limits: Limits) -> bool:
    """Whether an order may leave without a dispatcher: confident enough, and of a kind that is not answered at once."""
    if kind not in limits.automatic_kinds or not candidates:
        return False
    return Decimal(candidates[0].confidence) >= limits.automatic_confidence
