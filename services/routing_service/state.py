"""What routing remembers of an order in order to decide, and how events change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.contracts.codes import CaseState
from shared.contracts.envelope import Payload
from shared.contracts.routing import (
    ConsultationClosed,
    ConsultationOpened,
    DepartmentReported,
    DueTimeCorrected,
    ExtensionDenied,
    ExtensionGranted,
    ExtensionRequested,
    HandlingCompleted,
    HandlingLimitExpired,
    LadderStepTaken,
    LedgerClosed,
    LedgerOpened,
    LedgerRequested,
    LedgerReviewed,
    LedgerReviewOverdue,
    ObjectionRejected,
    ObjectionUpheld,
    OrderDispatched,
    OrderEnded,
    OrderEscalated,
    OrderHandedOver,
    OrderObjected,
    OrderProposed,
    OrderReminded,
    OrderSigned,
    ReportInOverdue,
    SignOverdue,
    SubtaskClosed,
    SupervisionOpened,
    WhistleBlown,
    WhistleClosed,
)

ENDED = frozenset({CaseState.ANSWERED, CaseState.REDIRECTED, CaseState.MERGED, CaseState.WITHDRAWN, CaseState.CLOSED})


@dataclass(frozen=True)
class Whistle:
    """One call to departments: who was called, who came or refused, who has done its part."""

    blown: WhistleBlown
    reported: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()
    overdue: bool = False
    over: bool = False


@dataclass(frozen=True)
class Order:
    """`running` means that the handling clock of this round has not stopped; `due_at` is when it runs out.

    `objected` holds (unit, round) of every objection; `left` is the handling time that rests while on the ledger.
    `reminded`: by the clock, since the last dispatch. `unsigned` is this round's signing limit passing.
    """

    state: CaseState | None = None
    proposal: OrderProposed | None = None
    dispatch: OrderDispatched | None = None
    due_at: datetime | None = None
    running: bool = False
    unsigned: SignOverdue | None = None
    before: CaseState | None = None
    objection: OrderObjected | None = None
    objected: frozenset[tuple[str, int]] = frozenset()
    extension: ExtensionRequested | None = None
    extensions: int = 0
    whistles: Mapping[int, Whistle] = field(default_factory=dict)
    ledger_asked: LedgerRequested | None = None
    review_on: datetime | None = None
    left: timedelta = timedelta()
    provisional: bool = False
    urges: int = 0
    remind_at: datetime | None = None
    reminded: bool = False
    supervised: bool = False
    escalated: bool = False
    escalate_at: datetime | None = None
    officer: str | None = None

    @property
    def round(self) -> int:
        return self.dispatch.round if self.dispatch else 0

    @property
    def lead_unit(self) -> str | None:
        return self.dispatch.lead_unit if self.dispatch else None

    @property
    def subject_key(self) -> str:
        return self.proposal.subject_key if self.proposal else ""

    @property
    def called(self) -> frozenset[str]:
        """Departments that were whistled for and have not been let go, and co-units."""
        whistled = frozenset(unit for one in self.whistles.values() if not one.over for unit in one.blown.departments)
        return whistled | frozenset(self.dispatch.co_units if self.dispatch else ())


def evolve(order: Order, event: Payload) -> Order:
    match event:
        case OrderProposed():
            return Order(CaseState.REGISTERED, event)
        case OrderDispatched():
            return _dispatched(order, event)
        case SignOverdue():
            return replace(order, unsigned=event)
        case OrderSigned():
            return replace(order, state=CaseState.SIGNED)
        case HandlingCompleted() | HandlingLimitExpired():
            return replace(order, state=CaseState.CALLBACK_DUE, running=False, objection=None)
        case OrderEnded():
            return replace(order, state=event.outcome, running=False)
    return _along_the_way(order, event)


def _dispatched(order: Order, event: OrderDispatched) -> Order:
    same_round = event.round == order.round
    return replace(
        order,
        state=CaseState.DISPATCHED,
        dispatch=event,
        due_at=event.due_at,
        running=True,
        unsigned=None,
        reminded=False,
        objection=None,
        extension=None,
        ledger_asked=None,
        extensions=order.extensions if same_round else 0,
        provisional=event.due_derivation.provisional,
        escalate_at=event.escalate_at or order.escalate_at,
        remind_at=event.remind_at,
        officer=order.officer if event.lead_unit == order.lead_unit else None,
    )


def _along_the_way(order: Order, event: Payload) -> Order:
    match event:
        case ConsultationOpened():
            return replace(order, state=CaseState.CONSULTING)
        case ConsultationClosed():
            return replace(order, state=CaseState.REGISTERED)
        case OrderObjected():
            objected = order.objected | {(event.unit_id, event.round)}
            return replace(order, state=CaseState.OBJECTED, before=order.state, objection=event, objected=objected)
        case ObjectionUpheld():
            return replace(order, objection=None)
        case ObjectionRejected():
            return replace(order, state=event.returns_to, objection=None)
        case ExtensionRequested():
            return replace(order, extension=event)
        case ExtensionGranted():
            return replace(order, extension=None, extensions=order.extensions + 1, due_at=event.due_at)
        case ExtensionDenied():
            return replace(order, extension=None)
        case DueTimeCorrected():
            return replace(order, due_at=event.due_at, provisional=event.due_derivation.provisional)
    return _on_the_ladder(order, event)


def _on_the_ladder(order: Order, event: Payload) -> Order:
    match event:
        case OrderReminded(ground="CLOCK"):
            return replace(order, reminded=True)
        case OrderReminded():
            return replace(order, urges=event.urges)
        case SupervisionOpened() | LadderStepTaken(step="SUPERVISION"):
            return replace(order, supervised=True)
        case OrderEscalated() | LadderStepTaken():
            return replace(order, escalated=True)
        case OrderHandedOver():
            return replace(order, officer=event.officer)
    return _with_others(order, event)


def _with_others(order: Order, event: Payload) -> Order:
    match event:
        case WhistleBlown():
            return replace(order, whistles={**order.whistles, event.number: Whistle(event)})
        case DepartmentReported():
            return _whistle(order, event.number, reported=order.whistles[event.number].reported | {event.unit_id})
        case ReportInOverdue():
            return _whistle(order, event.number, overdue=True)
        case SubtaskClosed():
            return _whistle(order, event.number, closed=order.whistles[event.number].closed | {event.unit_id})
        case WhistleClosed():
            return _whistle(order, event.number, over=True)
    return _ledger(order, event)


def _whistle(order: Order, number: int, **changes: frozenset[str] | bool) -> Order:
    changed = replace(order.whistles[number], **changes)  # type: ignore[arg-type]
    return replace(order, whistles={**order.whistles, number: changed})


def _ledger(order: Order, event: Payload) -> Order:
    match event:
        case LedgerRequested():
            return replace(order, ledger_asked=event)
        case LedgerOpened():
            state = CaseState.ON_LEDGER
            left = timedelta(seconds=event.seconds_left)
            asked = None
            rests = replace(order, state=state, running=False, ledger_asked=asked, extension=None, left=left)
            return replace(rests, review_on=event.review_on)
        case LedgerReviewed():
            return replace(order, review_on=event.review_on)
        case LedgerReviewOverdue():
            return replace(order, review_on=None)
        case LedgerClosed():
            running = replace(order, state=CaseState.SIGNED, running=True, due_at=event.due_at, review_on=None)
            return replace(running, remind_at=event.remind_at, escalate_at=event.escalate_at or order.escalate_at)
    return order
