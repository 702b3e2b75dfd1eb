"""What feedback does when it hears of something, and when one of its deadlines passes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.feedback_service.case import CASE, CallBackAtLimit, CallBackEarly, EndCase, NoteSigned, Open
from services.feedback_service.policy import shipped_policy
from shared.contracts.codes import CaseState
from shared.contracts.envelope import Actor
from shared.contracts.feedback import CallbackScheduled, CaseEnded, CaseOpened, FeedbackGiven
from shared.contracts.intake import AppealAnsweredDirectly, AppealMerged, AppealRedirected, AppealWithdrawn
from shared.contracts.routing import HandlingLimitExpired, OrderDispatched, OrderSigned
from shared.engine.deadlines import Deadline, Deadlines, Due, Met
from shared.engine.decider import Command
from shared.engine.execute import Intention
from shared.engine.reacting import Heard, React, Reactions

FEEDBACK = Actor("FEEDBACK")
EARLY = "early-callback"


def on_dispatched(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """From here the unit owes two answers."""
    order: OrderDispatched = heard.payload
    facts = CaseOpened(
        ticket_no=order.ticket_no,
        subject_key=order.subject_key,
        registered_at=order.registered_at,
        lead_unit=order.lead_unit,
        unit_type=order.unit_type,
        cc_district=order.cc_district,
        round=order.round,
        dispatched_at=heard.envelope.time,
        due_at=order.due_at,
    )
    return [_intention(heard, Open(at=heard.envelope.time, actor=FEEDBACK, facts=facts))]


def on_signed(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """From here the unit may contact the appellant."""
    signed: OrderSigned = heard.payload
    command = NoteSigned(at=heard.envelope.time, actor=FEEDBACK, unit_id=signed.unit_id, round=signed.round)
    return [_intention(heard, command)]


def on_limit_expired(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """The hotline must call back, whatever the unit has done. Art 23."""
    at, round_ = heard.envelope.time, heard.payload.round
    return [_intention(heard, CallBackAtLimit(at=at, actor=FEEDBACK, round=round_, policy=shipped_policy()))]


def ends(outcome: CaseState) -> React:
    """The appeal has ended at intake."""
    return lambda heard, _: [_intention(heard, EndCase(at=heard.envelope.time, actor=FEEDBACK, outcome=outcome))]


def _intention(heard: Heard, command: Command) -> Intention[Any]:
    return Intention(CASE, heard.subject, command, cause=heard.envelope)


REACTIONS = Reactions(
    {
        OrderDispatched: on_dispatched,
        OrderSigned: on_signed,
        HandlingLimitExpired: on_limit_expired,
        AppealAnsweredDirectly: ends(CaseState.ANSWERED),
        AppealRedirected: ends(CaseState.REDIRECTED),
        AppealMerged: ends(CaseState.MERGED),
        AppealWithdrawn: ends(CaseState.WITHDRAWN),
    }
)


def _given(event: FeedbackGiven, at: datetime) -> Sequence[Deadline | Met]:
    return [Deadline(EARLY, at + shipped_policy().early_after)] if event.completes else []


def _no_longer(_: Any, __: datetime) -> Sequence[Deadline | Met]:
    return [Met(EARLY)]


def _call_early(due: Due) -> Intention[Any]:
    return Intention(CASE, due.subject, CallBackEarly(at=due.now, actor=FEEDBACK, policy=shipped_policy()))


DEADLINES = Deadlines(
    changes={FeedbackGiven: _given, CallbackScheduled: _no_longer, CaseEnded: _no_longer},
    commands={EARLY: _call_early},
)
