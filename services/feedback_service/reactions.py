"""What feedback does when it hears of something, and when one of its deadlines passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from services.feedback_service import detecting
from services.feedback_service.afterwards import Evaluate
from services.feedback_service.calling_back import CallBackAtLimit, CallBackEarly, NoteCallbackOverdue
from services.feedback_service.case import CASE, EndCase, NoteSigned, Open
from services.feedback_service.handling import NoteReplyOverdue, NoteWritten
from services.feedback_service.policy import callback_policy, handling_policy
from services.feedback_service.telling import tell
from services.feedback_service.templates import notifications
from shared.contracts.catalogue import CATALOGUE
from shared.contracts.codes import CaseState, Via
from shared.contracts.envelope import Actor, Payload
from shared.contracts.feedback import (
    AppellantContacted,
    CallbackInvalidated,
    CallbackOverdue,
    CallbackRechecked,
    CallbackRecorded,
    CallbackScheduled,
    CaseEnded,
    CaseOpened,
    CaseReopened,
    CitizenEvaluated,
    FeedbackGiven,
    MessagePosted,
    ReplyAwaited,
    ReplyOverdue,
)
from shared.contracts.intake import (
    AppealAnsweredDirectly,
    AppealEvaluated,
    AppealMerged,
    AppealRedirected,
    AppealWithdrawn,
    AppellantWrote,
)
from shared.contracts.routing import HandlingLimitExpired, OrderDispatched, OrderSigned
from shared.engine.deadlines import Deadline, Deadlines, Due, Met
from shared.engine.decider import Command
from shared.engine.execute import Intention
from shared.engine.objects import Objects
from shared.engine.reacting import Heard, React, Reactions
from shared.eventlog.postgres import Connection

FEEDBACK = Actor("FEEDBACK")
APPELLANT = Actor("APPELLANT")
EARLY, CALLBACK, REPLY = "early-callback", "callback", "reply"
_COPIED = (
    *("ticket_no", "subject_key", "registered_at", "lead_unit", "lead_unit_name", "unit_type", "cc_district"),
    *("round", "due_at", "co_units", "tier", "category", "identity_hidden", "reachable"),
)


def on_dispatched(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """From here the unit owes two answers."""
    order: OrderDispatched = heard.payload
    facts = CaseOpened(dispatched_at=heard.envelope.time, **{name: getattr(order, name) for name in _COPIED})
    return [_intention(heard, Open(at=heard.envelope.time, actor=FEEDBACK, facts=facts, policy=handling_policy()))]


def on_signed(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """From here the unit may contact the appellant."""
    signed: OrderSigned = heard.payload
    command = NoteSigned(at=heard.envelope.time, actor=FEEDBACK, unit_id=signed.unit_id, round=signed.round)
    return [_intention(heard, command)]


def on_limit_expired(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """The hotline must call back, whatever the unit has done. Art 23."""
    at, round_ = heard.envelope.time, heard.payload.round
    return [_intention(heard, CallBackAtLimit(at=at, actor=FEEDBACK, round=round_, policy=callback_policy()))]


def on_written(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """The appellant waits for an answer from now on."""
    return [_intention(heard, NoteWritten(at=heard.envelope.time, actor=APPELLANT, policy=handling_policy()))]


def on_evaluated(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """What was said on the tracking page; the comment stays where it was written."""
    said: AppealEvaluated = heard.payload
    command = Evaluate(
        at=heard.envelope.time,
        actor=APPELLANT,
        round=None,
        contacted=None,
        resolved=said.resolved,
        satisfaction=said.satisfaction,
        process_satisfaction=said.process_satisfaction,
        comment=None,
        via=Via.TRACKING,
        policy=callback_policy(),
    )
    return [_intention(heard, command)]


def ends(outcome: CaseState) -> React:
    """The appeal has ended at intake."""
    return lambda heard, _: [_intention(heard, EndCase(at=heard.envelope.time, actor=FEEDBACK, outcome=outcome))]


def _intention(heard: Heard, command: Command) -> Intention[Any]:
    return Intention(CASE, heard.subject, command, cause=heard.envelope)


_HEARD: Mapping[type[Payload], React] = {
    OrderDispatched: on_dispatched,
    OrderSigned: on_signed,
    HandlingLimitExpired: on_limit_expired,
    AppellantWrote: on_written,
    AppealEvaluated: on_evaluated,
    AppealAnsweredDirectly: ends(CaseState.ANSWERED),
    AppealRedirected: ends(CaseState.REDIRECTED),
    AppealMerged: ends(CaseState.MERGED),
    AppealWithdrawn: ends(CaseState.WITHDRAWN),
    AppellantContacted: detecting.on_contact,
    FeedbackGiven: detecting.on_feedback,
    CaseReopened: detecting.on_reopened,
    CitizenEvaluated: detecting.on_evaluated,
    CallbackRecorded: detecting.on_callback,
    CallbackRechecked: detecting.on_rechecked,
}


def _table() -> dict[type[Payload], React]:
    """What an event means here, and then who is told of it."""
    told: Mapping[type[Payload], React] = {CATALOGUE[one.event_type].payload: tell for one in notifications().templates}
    by_type = {
        payload: [table[payload] for table in (_HEARD, told) if payload in table] for payload in {**_HEARD, **told}
    }
    return {payload: _one_after_the_other(reacts) for payload, reacts in by_type.items()}


def _one_after_the_other(reacts: Sequence[React]) -> React:
    return lambda heard, world: list(chain.from_iterable(react(heard, world) for react in reacts))


async def _the_time(_: Connection, now: datetime, __: Objects) -> datetime:
    """All that a reaction here may know beside its event."""
    return now


REACTIONS = Reactions(_table(), world=_the_time)


def _given(event: FeedbackGiven, at: datetime) -> Sequence[Deadline | Met]:
    return [Deadline(EARLY, at + callback_policy().early_after)] if event.completes else []


def _scheduled(event: CallbackScheduled, _: datetime) -> Sequence[Deadline | Met]:
    return [Met(EARLY), Deadline(CALLBACK, event.due_at)]


def _asked(event: CallbackRecorded, _: datetime) -> Sequence[Deadline | Met]:
    return [Met(CALLBACK), *([Met(REPLY)] if event.next_state == "CLOSED" else [])]


def _awaited(event: ReplyAwaited, _: datetime) -> Sequence[Deadline | Met]:
    return [Deadline(REPLY, event.due_at)] if event.due_at else []


def _met(*names: str) -> Callable[[Any, datetime], Sequence[Deadline | Met]]:
    return lambda _, __: [Met(name) for name in names]


def _when_due(command: Callable[[Due], Command]) -> Callable[[Due], Intention[Any]]:
    return lambda due: Intention(CASE, due.subject, command(due))


DEADLINES = Deadlines(
    changes={
        FeedbackGiven: _given,
        CaseOpened: _met(EARLY, CALLBACK),
        CallbackScheduled: _scheduled,
        CallbackOverdue: _met(CALLBACK),
        CallbackRecorded: _asked,
        CallbackInvalidated: _met(CALLBACK, REPLY),
        CaseEnded: _met(EARLY, CALLBACK, REPLY),
        ReplyAwaited: _awaited,
        ReplyOverdue: _met(REPLY),
        MessagePosted: _met(REPLY),
    },
    commands={
        EARLY: _when_due(lambda due: CallBackEarly(at=due.now, actor=FEEDBACK, policy=callback_policy())),
        CALLBACK: _when_due(lambda due: NoteCallbackOverdue(at=due.now, actor=FEEDBACK)),
        REPLY: _when_due(lambda due: NoteReplyOverdue(at=due.now, actor=FEEDBACK)),
    },
)
