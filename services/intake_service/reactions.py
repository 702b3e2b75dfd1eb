"""What intake does when it hears of something: it closes the appeal when the callback is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.intake_service.appeal import APPEAL, Close
from shared.contracts.envelope import Actor
from shared.contracts.feedback import CallbackInvalidated, CallbackRecorded
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


def _close(heard: Heard, resolved: bool | None) -> Intention[Any]:
    command = Close(at=heard.envelope.time, actor=INTAKE, round=heard.payload.round, resolved=resolved)
    return Intention(APPEAL, heard.subject, command, cause=heard.envelope)


REACTIONS = Reactions({CallbackRecorded: on_callback, CallbackInvalidated: on_invalid_callback})
