"""What routing does when it hears of something, and when one of its deadlines passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from services.routing_service.directory import read_directory
from services.routing_service.limits import shipped_limits
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
from services.routing_service.postponing import NoteReviewOverdue
from services.routing_service.proposal import Directory, Matter, propose
from shared.contracts.codes import CaseState
from shared.contracts.envelope import Actor
from shared.contracts.feedback import CallbackScheduled, ReworkRequested
from shared.contracts.intake import (
    AppealAnsweredDirectly,
    AppealClosed,
    AppealMerged,
    AppealRedirected,
    AppealRegistered,
    AppealWithdrawn,
)
from shared.contracts.routing import (
    ConsultationOpened,
    ExtensionGranted,
    HandlingCompleted,
    HandlingLimitExpired,
    LedgerClosed,
    LedgerOpened,
    LedgerReviewed,
    OrderDispatched,
    OrderEnded,
    OrderProposed,
    OrderSigned,
    SignOverdue,
)
from shared.engine.deadlines import Deadline, Deadlines, Due, Met
from shared.engine.decider import Command
from shared.engine.execute import Intention
from shared.engine.reacting import Heard, React, Reactions
from shared.language.script import plain

ROUTING = Actor("ROUTING")


def on_registered(heard: Heard, directory: Directory) -> Sequence[Intention[Any]]:
    """Read the appeal against catalogue and place."""
    facts: AppealRegistered = heard.payload
    place = facts.place
    urgency = facts.urgency or (facts.triage.urgency if facts.triage else None)
    matter = Matter(
        title=_text(facts.title),
        content=_text(facts.content),
        category_path=facts.category_path,
        urgency=urgency,
        district=place.district,
        township=place.township,
        address=_text(place.address) or None,
    )
    candidates = propose(matter, directory)
    goes_by_itself = automatic(candidates, facts.kind, directory.limits)
    at = heard.envelope.time
    proposed = OrderProposed(
        ticket_no=facts.ticket_no,
        kind=facts.kind,
        subject_key=facts.appellant.key,
        identity_hidden=facts.appellant.confidential or facts.appellant.anonymous or facts.kind == "REPORT",
        registered_at=at,
        candidates=tuple(candidates),
        automatic=goes_by_itself,
        hold_until=directory.limits.hold_until(urgency, at) if goes_by_itself else None,
        urgency=urgency,
        catalogue_version=directory.catalogue_version,
        limits_version=directory.limits.version,
    )
    return [_intention(heard, Propose(at=at, actor=ROUTING, facts=proposed))]


def ends(outcome: CaseState) -> React:
    """The appeal has ended elsewhere; there is nothing left to do for the unit."""
    return lambda heard, _: [_intention(heard, End(at=heard.envelope.time, actor=ROUTING, outcome=outcome))]


def on_callback_scheduled(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """Both results are in before the limit: the clock stops."""
    if heard.payload.reason != "RESULTS_COMPLETE":
        return []
    return [_intention(heard, StopClock(at=heard.envelope.time, actor=ROUTING, round=heard.payload.round))]


def on_rework(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """The lead unit gets it again."""
    command = Redispatch(at=heard.envelope.time, actor=ROUTING, round=heard.payload.round, limits=shipped_limits())
    return [_intention(heard, command)]


def _intention(heard: Heard, command: Command) -> Intention[Any]:
    return Intention(ORDER, heard.subject, command, cause=heard.envelope)


def _text(value: Any) -> str:
    """As rules and names are written: in simplified script."""
    return plain(value) if isinstance(value, str) else ""


REACTS: dict[Any, React] = {
    AppealRegistered: on_registered,
    AppealAnsweredDirectly: ends(CaseState.ANSWERED),
    AppealRedirected: ends(CaseState.REDIRECTED),
    AppealMerged: ends(CaseState.MERGED),
    AppealWithdrawn: ends(CaseState.WITHDRAWN),
    AppealClosed: ends(CaseState.CLOSED),
    CallbackScheduled: on_callback_scheduled,
    ReworkRequested: on_rework,
}


def _proposed(event: OrderProposed, _: datetime) -> Sequence[Deadline | Met]:
    return [Deadline("dispatch", event.hold_until)] if event.hold_until else []


def _dispatched(event: OrderDispatched, _: datetime) -> Sequence[Deadline | Met]:
    return [Met("dispatch"), Deadline("sign", event.sign_due_at), Deadline("handle", event.due_at)]


def _met(*names: str) -> Callable[[Any, datetime], Sequence[Deadline | Met]]:
    return lambda _, __: [Met(name) for name in names]


def _when_due(command: Callable[[Due], Command]) -> Callable[[Due], Intention[Any]]:
    return lambda due: Intention(ORDER, due.subject, command(due))


DEADLINES = Deadlines(
    changes={
        OrderProposed: _proposed,
        OrderDispatched: _dispatched,
        OrderSigned: _met("sign"),
        SignOverdue: _met("sign"),
        HandlingCompleted: _met("sign", "handle", "ledger"),
        HandlingLimitExpired: _met("sign", "handle"),
        ConsultationOpened: _met("dispatch"),
        ExtensionGranted: lambda event, _: [Deadline("handle", event.due_at)],
        LedgerOpened: lambda event, _: [Met("handle"), Deadline("ledger", event.review_on)],
        LedgerReviewed: lambda event, _: [Deadline("ledger", event.review_on)],
        LedgerClosed: lambda event, _: [Met("ledger"), Deadline("handle", event.due_at)],
        OrderEnded: _met("dispatch", "sign", "handle", "ledger"),
    },
    commands={
        "dispatch": _when_due(lambda due: DispatchAsProposed(at=due.now, actor=ROUTING, limits=shipped_limits())),
        "sign": _when_due(lambda due: NoteSignOverdue(at=due.now, actor=ROUTING)),
        "ledger": _when_due(lambda due: NoteReviewOverdue(at=due.now, actor=ROUTING)),
        "handle": _when_due(lambda due: NoteLimitExpired(at=due.now, actor=ROUTING)),
    },
)

REACTIONS = Reactions(REACTS, world=read_directory, opens=frozenset({AppealRegistered}))
