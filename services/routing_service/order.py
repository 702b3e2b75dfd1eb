"""The life of an order: proposed, dispatched, signed, and ended, under two clocks.

首接负责: exactly one unit leads from the first dispatch on. The handling clock runs from dispatch, not from signing, so
nothing is gained by not signing. Law: Regulation Art 11-14, 17, 23; domain specification, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from services.routing_service.jurisdiction import Unit
from services.routing_service.limits import Limits
from services.routing_service.proposal import copied_district
from shared.contracts.codes import CaseState, UnitType, Urgency
from shared.contracts.envelope import Payload
from shared.contracts.routing import (
    Candidate,
    HandlingCompleted,
    HandlingLimitExpired,
    OrderDispatched,
    OrderEnded,
    OrderProposed,
    OrderSigned,
    SignOverdue,
)
from shared.engine.decider import Command, Decider, IllegalTransition, NotYours, Refused


@dataclass(frozen=True)
class Order:
    """What routing must remember to decide. `running` means that the handling clock of this round has not stopped."""

    state: CaseState | None = None
    proposal: OrderProposed | None = None
    dispatch: OrderDispatched | None = None
    running: bool = False
    sign_overdue: bool = False

    @property
    def round(self) -> int:
        return self.dispatch.round if self.dispatch else 0

    @property
    def subject_key(self) -> str:
        return self.proposal.subject_key if self.proposal else ""


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


@dataclass(frozen=True, kw_only=True)
class Sign(Command):
    """签收"""

    unit_id: str | None


@dataclass(frozen=True, kw_only=True)
class NoteSignOverdue(Command):
    """The signing limit has passed."""


@dataclass(frozen=True, kw_only=True)
class NoteLimitExpired(Command):
    """The handling limit has passed."""


@dataclass(frozen=True, kw_only=True)
class StopClock(Command):
    """Both results of a round are in."""

    round: int


@dataclass(frozen=True, kw_only=True)
class Redispatch(Command):
    """退回重办: the same unit again, one round further."""

    round: int
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class End(Command):
    """The appeal has ended elsewhere."""

    outcome: CaseState


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
            stops = order.running and command.round == order.round
            return [HandlingCompleted(round=command.round)] if stops else []
        case Redispatch():
            return _redispatch(command, order, order.proposal)
        case End():
            return [] if order.state in _ENDED else [OrderEnded(outcome=command.outcome)]
    raise TypeError(command)


_ENDED = frozenset({CaseState.ANSWERED, CaseState.REDIRECTED, CaseState.MERGED, CaseState.WITHDRAWN, CaseState.CLOSED})


def _unknown(command: Command) -> Sequence[Payload]:
    if isinstance(command, DispatchByHand | Sign):
        raise NotYours
    return []


def _dispatch_as_proposed(command: DispatchAsProposed, order: Order, proposal: OrderProposed) -> Sequence[Payload]:
    if order.state is not CaseState.REGISTERED or not proposal.candidates:
        return []
    return [_to_candidate(proposal.candidates[0], proposal, command)]


def _to_candidate(candidate: Candidate, proposal: OrderProposed, command: DispatchAsProposed) -> OrderDispatched:
    unit = Unit(candidate.unit_id, candidate.name, "", candidate.unit_type, candidate.cc_district)
    return _dispatched(proposal, unit, candidate.tier, 1, command.at, command.limits, candidate=candidate)


def _dispatch_by_hand(command: DispatchByHand, order: Order, proposal: OrderProposed) -> Sequence[Payload]:
    if order.state is not CaseState.REGISTERED:
        raise IllegalTransition("dispatch", str(order.state))
    unit = command.unit
    if unit.unit_type is UnitType.COMMUNITY:
        raise Refused("COMMUNITY_NEVER_LEADS", "a community assists and is never the lead unit (Regulation Art 17)")
    candidate = next((c for c in proposal.candidates if c.unit_id == unit.unit_id), None)
    if candidate is None and not command.reason:
        raise Refused("REASON_NEEDED", "the catalogue does not propose this unit; say why it is the right one")
    tier = command.tier or (candidate.tier if candidate else proposal.urgency) or Urgency.GENERAL
    event = _dispatched(proposal, unit, tier, 1, command.at, command.limits, candidate=candidate)
    cc_district = event.cc_district or command.cc_district  # a street's own district is never replaced (Art 12)
    return [event.model_copy(update={"by_hand": True, "reason": command.reason, "cc_district": cc_district})]


def _redispatch(command: Redispatch, order: Order, proposal: OrderProposed) -> Sequence[Payload]:
    before = order.dispatch
    if before is None or order.state in _ENDED or command.round != order.round:
        return []
    unit = Unit(before.lead_unit, before.lead_unit_name, "", before.unit_type, before.cc_district)
    event = _dispatched(proposal, unit, before.tier, before.round + 1, command.at, command.limits)
    kept = {name: getattr(before, name) for name in ("rule_id", "catalogue_version", "model_version", "cc_district")}
    return [event.model_copy(update=kept)]


def _dispatched(
    proposal: OrderProposed,
    unit: Unit,
    tier: Urgency,
    round_: int,
    at: datetime,
    limits: Limits,
    candidate: Candidate | None = None,
) -> OrderDispatched:
    due = limits.due(tier, at)
    return OrderDispatched(
        ticket_no=proposal.ticket_no,
        subject_key=proposal.subject_key,
        identity_hidden=proposal.identity_hidden,
        registered_at=proposal.registered_at,
        lead_unit=unit.unit_id,
        lead_unit_name=unit.name,
        unit_type=unit.unit_type,
        cc_district=copied_district(unit),
        tier=tier,
        round=round_,
        due_at=due.handle,
        sign_due_at=due.sign,
        due_derivation=due.derivation,
        by_hand=False,
        catalogue_version=proposal.catalogue_version if candidate else None,
        rule_id=candidate.rule_id if candidate else None,
        model_version=proposal.model_version,
    )


def _sign(command: Sign, order: Order) -> Sequence[Payload]:
    if order.dispatch is None or command.unit_id != order.dispatch.lead_unit:
        raise NotYours
    if order.state is not CaseState.DISPATCHED:
        raise IllegalTransition("sign", str(order.state))
    return [OrderSigned(unit_id=order.dispatch.lead_unit, round=order.round)]


def _note_sign_overdue(command: NoteSignOverdue, order: Order) -> Sequence[Payload]:
    dispatch = order.dispatch
    waiting = order.state is CaseState.DISPATCHED and not order.sign_overdue
    if not waiting or dispatch is None or command.at < dispatch.sign_due_at:
        return []
    return [SignOverdue(unit_id=dispatch.lead_unit, round=order.round, due_at=dispatch.sign_due_at)]


def _note_limit_expired(command: NoteLimitExpired, order: Order) -> Sequence[Payload]:
    dispatch = order.dispatch
    if not order.running or dispatch is None or order.state in _ENDED or command.at < dispatch.due_at:
        return []
    return [HandlingLimitExpired(unit_id=dispatch.lead_unit, round=order.round, due_at=dispatch.due_at)]


def evolve(order: Order, event: Payload) -> Order:
    match event:
        case OrderProposed():
            return Order(CaseState.REGISTERED, event)
        case OrderDispatched():
            return replace(order, state=CaseState.DISPATCHED, dispatch=event, running=True, sign_overdue=False)
        case SignOverdue():
            return replace(order, sign_overdue=True)
        case OrderSigned():
            return replace(order, state=CaseState.SIGNED)
        case HandlingCompleted() | HandlingLimitExpired():
            return replace(order, state=CaseState.CALLBACK_DUE, running=False)
        case OrderEnded():
            return replace(order, state=event.outcome, running=False)
    return order


ORDER = Decider("order", Order(), decide, evolve)


def automatic(candidates: Sequence[Candidate], kind: str, limits: Limits) -> bool:
    """Whether an order may leave without a dispatcher: confident enough, and of a kind that is not answered at once."""
    if kind not in limits.automatic_kinds or not candidates:
        return False
    return Decimal(candidates[0].confidence) >= limits.automatic_confidence
