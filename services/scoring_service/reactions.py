"""What scoring does when it hears of a callback, and when nobody decides about a claim."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.scoring_service.assessment import ASSESSMENT, Record
from services.scoring_service.exclusion import EXCLUSIONS, Lapse
from shared.contracts.codes import Satisfaction
from shared.contracts.envelope import Actor
from shared.contracts.feedback import CallbackInvalidated, CallbackRecorded
from shared.contracts.scoring import (
    AssessmentRecorded,
    ExclusionAppealed,
    ExclusionApproved,
    ExclusionClaimed,
    ExclusionRejected,
)
from shared.engine.deadlines import Deadline, Deadlines, Due, Met
from shared.engine.execute import Intention
from shared.engine.reacting import Heard, Reactions

SCORING = Actor("SCORING")


def on_callback(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """The resident has answered."""
    callback: CallbackRecorded = heard.payload
    return [_record(heard, valid=callback.valid, final=callback.next_state == "CLOSED", **_answers(callback))]


def on_invalid_callback(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """Nobody could be reached: on record, in no denominator."""
    return [_record(heard, valid=False, final=True, satisfaction=Satisfaction.NOT_STATED)]


def _answers(callback: CallbackRecorded) -> dict[str, Any]:
    return {name: getattr(callback, name) for name in ("contacted", "resolved", "satisfaction")}


def _record(heard: Heard, **answers: Any) -> Intention[Any]:
    callback: CallbackRecorded | CallbackInvalidated = heard.payload
    facts = AssessmentRecorded(
        ticket_no=callback.ticket_no,
        unit_id=callback.lead_unit,
        unit_type=callback.unit_type,
        cc_district=callback.cc_district,
        registered_at=callback.registered_at,
        round=callback.round,
        **answers,
    )
    command = Record(at=heard.envelope.time, actor=SCORING, facts=facts)
    return Intention(ASSESSMENT, heard.subject, command, cause=heard.envelope)


REACTIONS = Reactions({CallbackRecorded: on_callback, CallbackInvalidated: on_invalid_callback})

LAPSE = "lapse"


def _waits(claim: ExclusionClaimed | ExclusionAppealed, _: datetime) -> Sequence[Deadline | Met]:
    return [Deadline(f"{LAPSE}:{claim.exclusion_id}", claim.decide_by)]


def _settled(decision: ExclusionApproved | ExclusionRejected, _: datetime) -> Sequence[Deadline | Met]:
    return [Met(f"{LAPSE}:{decision.exclusion_id}")]


def _lapse(due: Due) -> Intention[Any]:
    command = Lapse(at=due.now, actor=SCORING, exclusion_id=due.name.partition(":")[2])
    return Intention(EXCLUSIONS, due.subject, command)


DEADLINES = Deadlines(
    changes={
        ExclusionClaimed: _waits,
        ExclusionAppealed: _waits,
        ExclusionApproved: _settled,
        ExclusionRejected: _settled,
    },
    commands={LAPSE: _lapse},
)
