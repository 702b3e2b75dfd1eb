"""What happens by itself when handling drags on: 催办, 督办, 提级; and who in the unit has the order.

The unit is reminded once part of its time is over, and whenever the appellant urges. Often urged, or long unsigned, an
order is supervised; back for the last round, or open for very long, it goes up. People may take every one of these
steps earlier. Law: Regulation Art 20, 24; the figures are policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.routing_service.limits import Limits
from services.routing_service.state import ENDED, Order
from shared.contracts.codes import CaseState, UnitType
from shared.contracts.envelope import Payload
from shared.contracts.routing import DispatchOverdue, LadderStepTaken, OrderHandedOver, OrderReminded
from shared.engine.decider import Command, IllegalTransition, NotYours

Ground = Literal["URGED", "NOT_SIGNED", "ROUNDS", "LONG_OPEN"]


@dataclass(frozen=True, kw_only=True)
class NoteDispatchOverdue(Command):
    """Somebody should have decided by now where it goes."""


@dataclass(frozen=True, kw_only=True)
class Remind(Command):
    """Part of the handling time is over."""


@dataclass(frozen=True, kw_only=True)
class NoteUrged(Command):
    """The appellant has urged for the `number`-th time."""

    number: int
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class SuperviseByItself(Command):
    """Some time has passed since it should have been signed for."""


@dataclass(frozen=True, kw_only=True)
class EscalateByItself(Command):
    """Much time has passed since the first dispatch."""


@dataclass(frozen=True, kw_only=True)
class HandOver(Command):
    """Another officer of the unit takes the order, or nobody in particular."""

    officer: str | None


COMMANDS = (NoteDispatchOverdue, Remind, NoteUrged, SuperviseByItself, EscalateByItself, HandOver)


def decide(command: Command, order: Order) -> Sequence[Payload]:
    match command:
        case NoteDispatchOverdue():
            return _note_dispatch_overdue(command, order)
        case Remind():
            rings = order.running and not order.reminded and order.remind_at and command.at >= order.remind_at
            return [] if not rings else _reminded("CLOCK", order.urges, order)
        case NoteUrged():
            return _note_urged(command, order)
        case SuperviseByItself():
            late, standing = order.unsigned, order.before if order.state is CaseState.OBJECTED else order.state
            waits = late and late.supervise_at and command.at >= late.supervise_at
            return _supervised("NOT_SIGNED", order) if waits and standing is CaseState.DISPATCHED else []
        case EscalateByItself():
            long_open = order.escalate_at and command.at >= order.escalate_at
            return (
                _escalated("LONG_OPEN", order, order.round)
                if long_open and order.state is not CaseState.ON_LEDGER
                else []
            )
        case HandOver():
            return _hand_over(command, order)
    raise TypeError(command)


def _note_dispatch_overdue(command: NoteDispatchOverdue, order: Order) -> Sequence[Payload]:
    due_at = order.proposal.dispatch_due_at if order.proposal else None
    undecided = order.state in {CaseState.REGISTERED, CaseState.CONSULTING}
    if not undecided or due_at is None or command.at < due_at:
        return []
    return [DispatchOverdue(due_at=due_at)]


def came_back(round_: int, order: Order, limits: Limits) -> Sequence[Payload]:
    """What follows when an order is dispatched for another round."""
    return _escalated("ROUNDS", order, round_) if round_ >= limits.ladder.escalate_rounds else []


def _note_urged(command: NoteUrged, order: Order) -> Sequence[Payload]:
    if order.dispatch is None or order.state in ENDED or command.number <= order.urges:
        return []
    often = command.number >= command.limits.ladder.supervise_urges
    supervision = _supervised("URGED", order) if often else []
    return [*_reminded("APPELLANT", command.number, order), *supervision]


def _reminded(ground: Literal["CLOCK", "APPELLANT"], urges: int, order: Order) -> list[Payload]:
    dispatch, due_at = order.dispatch, order.due_at
    if dispatch is None or due_at is None:
        return []
    return [OrderReminded(unit_id=dispatch.lead_unit, round=order.round, ground=ground, urges=urges, due_at=due_at)]


def _supervised(ground: Ground, order: Order) -> list[Payload]:
    if order.supervised or order.state in ENDED or order.dispatch is None:
        return []
    unit = order.dispatch.lead_unit
    return [LadderStepTaken(step="SUPERVISION", ground=ground, unit_id=unit, round=order.round)]


def _escalated(ground: Ground, order: Order, round_: int) -> list[Payload]:
    """A street's goes to its district, any other to the municipal department."""
    dispatch = order.dispatch
    if order.escalated or order.state in ENDED or dispatch is None:
        return []
    level: Literal["DISTRICT", "MUNICIPAL"] = "DISTRICT" if dispatch.unit_type is UnitType.STREET_TOWN else "MUNICIPAL"
    unit = dispatch.lead_unit
    return [LadderStepTaken(step="ESCALATION", ground=ground, level=level, unit_id=unit, round=round_)]


def _hand_over(command: HandOver, order: Order) -> Sequence[Payload]:
    dispatch = order.dispatch
    if dispatch is None or command.actor.unit_id != dispatch.lead_unit:
        raise NotYours
    if order.state in ENDED or order.state is CaseState.CALLBACK_DUE:
        raise IllegalTransition("hand-over", str(order.state))
    if command.officer == order.officer:
        return []
    return [OrderHandedOver(unit_id=dispatch.lead_unit, officer=command.officer, previous_officer=order.officer)]
