"""What routing does when it hears of something, and when one of its deadlines passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from services.routing_service.climbing import (
    EscalateByItself,
    NoteDispatchOverdue,
    NoteUrged,
    Remind,
    SuperviseByItself,
)
from services.routing_service.contesting import NoteObjectionReviewOverdue
from services.routing_service.cooperating import NoteReportInOverdue
from services.routing_service.directory import Desk, read_directory
from services.routing_service.limits import shipped_limits
from services.routing_service.matter import matter_of
from services.routing_service.order import (
    ORDER,
    DispatchAsProposed,
    End,
    NoteLimitExpired,
    NoteSignOverdue,
    Propose,
    Redispatch,
    StopClock,
    automatic,
)
from services.routing_service.postponing import NoteAnswerOverdue, NoteReviewOverdue
from services.routing_service.proposal import propose
from services.routing_service.unit import UNIT, CarryOutPlan
from shared.contracts.codes import CaseState
from shared.contracts.duties import UnitChangeScheduled
from shared.contracts.envelope import Actor
from shared.contracts.feedback import CallbackScheduled, ReworkRequested
from shared.contracts.intake import (
    AppealAnsweredDirectly,
    AppealClosed,
    AppealMerged,
    AppealRedirected,
    AppealRegistered,
    AppealUrged,
    AppealWithdrawn,
)
from shared.contracts.routing import (
    ConsultationOpened,
    DueTimeCorrected,
    ExtensionAnswerOverdue,
    ExtensionDenied,
    ExtensionGranted,
    ExtensionRequested,
    HandlingCompleted,
    HandlingLimitExpired,
    LedgerClosed,
    LedgerOpened,
    LedgerReviewed,
    ObjectionRejected,
    ObjectionReviewOverdue,
    ObjectionUpheld,
    OrderDispatched,
    OrderEnded,
    OrderObjected,
    OrderProposed,
    OrderSigned,
    SignOverdue,
    WhistleBlown,
    WhistleClosed,
)
from shared.engine.deadlines import Deadline, Deadlines, Due, Met
from shared.engine.decider import Command
from shared.engine.execute import Intention
from shared.engine.reacting import Heard, React, Reactions

ROUTING = Actor("ROUTING")


def on_registered(heard: Heard, desk: Desk) -> Sequence[Intention[Any]]:
    """Read the appeal against catalogue, classifier and place."""
    facts: AppealRegistered = heard.payload
    matter = matter_of(facts)
    learned = desk.learned(matter)
    candidates = propose(matter, desk, learned)
    goes_by_itself = automatic(candidates, facts.kind, desk.limits)
    at = heard.envelope.time
    proposed = OrderProposed(
        ticket_no=facts.ticket_no,
        kind=facts.kind,
        subject_key=facts.appellant.key,
        identity_hidden=facts.appellant.confidential or facts.appellant.anonymous or facts.kind == "REPORT",
        registered_at=at,
        candidates=tuple(candidates),
        automatic=goes_by_itself,
        dispatch_due_at=at + desk.limits.dispatch_within,
        hold_until=desk.limits.hold_until(matter.urgency, at) if goes_by_itself else None,
        urgency=matter.urgency,
        category=facts.category_path[0] if facts.category_path else None,
        reachable=bool(facts.appellant.phone or facts.appellant.email or facts.appellant.wechat),
        catalogue_version=desk.catalogue_version,
        model_version=learned.version,
        limits_version=desk.limits.version,
    )
    return [_intention(heard, Propose(at=at, actor=ROUTING, facts=proposed))]


def ends(outcome: CaseState) -> React:
    """The appeal has ended elsewhere; there is nothing left to do for the unit."""
    return lambda heard, _: [_intention(heard, End(at=heard.envelope.time, actor=ROUTING, outcome=outcome))]


def on_closed(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """The callback has ended it; a reopening that was heard first is not undone."""
    closed: AppealClosed = heard.payload
    command = End(at=heard.envelope.time, actor=ROUTING, outcome=CaseState.CLOSED, round=closed.round)
    return [_intention(heard, command)]


def on_callback_scheduled(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """Both results are in before the limit: the clock stops."""
    if heard.payload.reason != "RESULTS_COMPLETE":
        return []
    return [_intention(heard, StopClock(at=heard.envelope.time, actor=ROUTING, round=heard.payload.round))]


def on_rework(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """The lead unit gets it again."""
    rework: ReworkRequested = heard.payload
    at, reopened = heard.envelope.time, bool(rework.reopened)
    command = Redispatch(at=at, actor=ROUTING, round=rework.round, reopened=reopened, limits=shipped_limits())
    return [_intention(heard, command)]


def on_urged(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """The unit is reminded; it is the same order."""
    number, limits = heard.payload.number, shipped_limits()
    return [_intention(heard, NoteUrged(at=heard.envelope.time, actor=ROUTING, number=number, limits=limits))]


def _intention(heard: Heard, command: Command) -> Intention[Any]:
    return Intention(ORDER, heard.subject, command, cause=heard.envelope)


REACTS: dict[Any, React] = {
    AppealRegistered: on_registered,
    AppealAnsweredDirectly: ends(CaseState.ANSWERED),
    AppealRedirected: ends(CaseState.REDIRECTED),
    AppealMerged: ends(CaseState.MERGED),
    AppealWithdrawn: ends(CaseState.WITHDRAWN),
    AppealClosed: on_closed,
    AppealUrged: on_urged,
    CallbackScheduled: on_callback_scheduled,
    ReworkRequested: on_rework,
}


def _proposed(event: OrderProposed, _: datetime) -> Sequence[Deadline | Met]:
    times = {"dispatch": event.hold_until, "queue": event.dispatch_due_at}
    return [Deadline(name, at) for name, at in times.items() if at]


def _dispatched(event: OrderDispatched, _: datetime) -> Sequence[Deadline | Met]:
    times = {
        "sign": event.sign_due_at,
        "handle": event.due_at,
        "remind": event.remind_at,
        "escalate": event.escalate_at,
    }
    over = (Met("dispatch"), Met("queue"), Met("objection"), Met("extension"), Met("supervise"))
    return [*over, *(Deadline(name, at) for name, at in times.items() if at)]


_WHILE_IT_RUNS = ("objection", "extension", "remind", "supervise")
"""Clocks that nobody looks at once the round is over."""


def _unsigned(event: SignOverdue, _: datetime) -> Sequence[Deadline | Met]:
    return [Met("sign"), *([Deadline("supervise", event.supervise_at)] if event.supervise_at else [])]


def _asked(event: ExtensionRequested, _: datetime) -> Sequence[Deadline | Met]:
    return [Deadline("extension", event.answer_due_at)] if event.answer_due_at else []


def _on_the_ledger(event: LedgerOpened, _: datetime) -> Sequence[Deadline | Met]:
    return [*map(Met, ("handle", *_WHILE_IT_RUNS)), Deadline("ledger", event.review_on)]


def _off_the_ledger(event: LedgerClosed, _: datetime) -> Sequence[Deadline | Met]:
    again = {"remind": event.remind_at, "escalate": event.escalate_at}
    return [Met("ledger"), Deadline("handle", event.due_at), *(Deadline(name, at) for name, at in again.items() if at)]


def _met(*names: str) -> Callable[[Any, datetime], Sequence[Deadline | Met]]:
    return lambda _, __: [Met(name) for name in names]


def _when_due(command: Callable[[Due], Command]) -> Callable[[Due], Intention[Any]]:
    return lambda due: Intention(ORDER, due.subject, command(due))


DEADLINES = Deadlines(
    changes={
        UnitChangeScheduled: lambda event, _: [Deadline("plan", event.effective_from)],
        OrderProposed: _proposed,
        OrderDispatched: _dispatched,
        OrderSigned: _met("sign", "supervise"),
        SignOverdue: _unsigned,
        OrderObjected: lambda event, _: [Deadline("objection", event.review_due_at)],
        ObjectionUpheld: _met("objection"),
        ObjectionRejected: _met("objection"),
        ObjectionReviewOverdue: _met("objection"),
        HandlingCompleted: _met("sign", "handle", "ledger", *_WHILE_IT_RUNS),
        HandlingLimitExpired: _met("sign", "handle", *_WHILE_IT_RUNS),
        ExtensionRequested: _asked,
        ExtensionDenied: _met("extension"),
        ExtensionAnswerOverdue: _met("extension"),
        DueTimeCorrected: lambda event, _: [Deadline("handle", event.due_at)],
        WhistleBlown: lambda event, _: [Deadline(f"report-in:{event.number}", event.report_due_at)],
        WhistleClosed: lambda event, _: [Met(f"report-in:{event.number}")],
        ConsultationOpened: _met("dispatch"),
        ExtensionGranted: lambda event, _: [Met("extension"), Deadline("handle", event.due_at)],
        LedgerOpened: lambda event, _: [
            *_met("handle", *_WHILE_IT_RUNS)(event, _),
            Deadline("ledger", event.review_on),
        ],
        LedgerReviewed: lambda event, _: [Deadline("ledger", event.review_on)],
        LedgerClosed: _off_the_ledger,
        OrderEnded: _met("dispatch", "queue", "sign", "handle", "ledger", "escalate", *_WHILE_IT_RUNS),
    },
    commands={
        "dispatch": _when_due(lambda due: DispatchAsProposed(at=due.now, actor=ROUTING, limits=shipped_limits())),
        "sign": _when_due(lambda due: NoteSignOverdue(at=due.now, actor=ROUTING, limits=shipped_limits())),
        "objection": _when_due(lambda due: NoteObjectionReviewOverdue(at=due.now, actor=ROUTING)),
        "extension": _when_due(lambda due: NoteAnswerOverdue(at=due.now, actor=ROUTING)),
        "report-in": _when_due(lambda due: NoteReportInOverdue(at=due.now, actor=ROUTING)),
        "queue": _when_due(lambda due: NoteDispatchOverdue(at=due.now, actor=ROUTING)),
        "remind": _when_due(lambda due: Remind(at=due.now, actor=ROUTING)),
        "supervise": _when_due(lambda due: SuperviseByItself(at=due.now, actor=ROUTING)),
        "escalate": _when_due(lambda due: EscalateByItself(at=due.now, actor=ROUTING)),
        "plan": lambda due: Intention(UNIT, due.subject, CarryOutPlan(at=due.now, actor=ROUTING)),
        "ledger": _when_due(lambda due: NoteReviewOverdue(at=due.now, actor=ROUTING)),
        "handle": _when_due(lambda due: NoteLimitExpired(at=due.now, actor=ROUTING)),
    },
)

REACTIONS = Reactions(REACTS, world=read_directory, opens=frozenset({AppealRegistered}))
