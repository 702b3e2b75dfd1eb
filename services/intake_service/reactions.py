"""What intake does when it hears of something, and when an entry of the knowledge base is no longer valid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.intake_service.appeal import APPEAL, Close, NoteReopened
from services.intake_service.knowledge import KNOWLEDGE, Entry, NoteExpiry
from shared.contracts.envelope import Actor
from shared.contracts.feedback import CallbackInvalidated, CallbackRecorded, CaseReopened
from shared.contracts.intake import KnowledgeExpired, KnowledgePublished, KnowledgeRetired
from shared.engine.deadlines import Deadline, Deadlines, Due, Met
from shared.engine.execute import Intention
from shared.engine.reacting import Heard, Reactions

INTAKE = Actor("INTAKE")


def on_callback(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """A callback that asks for rework leaves the appeal open."""
    callback: CallbackRecorded = heard.payload
    return [_close(heard, callback.resolved)] if callback.next_state == "CLOSED" else []


def on_invalid_callback(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """Nobody could be reached; the appeal ends without a verdict."""
    return [_close(heard, None)]


def on_reopened(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """The appellant said in time that it is not solved."""
    command = NoteReopened(at=heard.envelope.time, actor=INTAKE, round=heard.payload.round)
    return [Intention(APPEAL, heard.subject, command, cause=heard.envelope)]


def _close(heard: Heard, resolved: bool | None) -> Intention[Any]:
    command = Close(at=heard.envelope.time, actor=INTAKE, round=heard.payload.round, resolved=resolved)
    return Intention(APPEAL, heard.subject, command, cause=heard.envelope)


REACTIONS = Reactions(
    {CallbackRecorded: on_callback, CallbackInvalidated: on_invalid_callback, CaseReopened: on_reopened}
)


def _valid(event: KnowledgePublished, _: datetime) -> Sequence[Deadline | Met]:
    until = event.text.valid_until
    return [Deadline("expiry", until)] if until else [Met("expiry")]


def _expiry(due: Due) -> Intention[Entry]:
    return Intention(KNOWLEDGE, due.subject, NoteExpiry(at=due.now, actor=INTAKE))


DEADLINES = Deadlines(
    changes={
        KnowledgePublished: _valid,
        KnowledgeRetired: lambda _, __: [Met("expiry")],
        KnowledgeExpired: lambda _, __: [Met("expiry")],
    },
    commands={"expiry": _expiry},
)
