"""What supervision is told to look at, read off single events: pure. What only shows over many is in bursts.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.feedback_service.lead import LEADS, RaiseLead
from services.feedback_service.policy import detector_policy
from shared.contracts.codes import Finding, LeadKind
from shared.contracts.envelope import Actor
from shared.contracts.feedback import (
    AppellantContacted,
    CallbackRechecked,
    CallbackRecorded,
    CaseReopened,
    CitizenEvaluated,
    FeedbackGiven,
)
from shared.contracts.notices import SupervisionLeadRaised
from shared.engine.execute import Intention
from shared.engine.reacting import Heard

DETECTOR = Actor("DETECTOR")
_OF_ANSWERS = {
    Finding.TEMPLATE: LeadKind.TEMPLATE_ANSWER,
    Finding.EVIDENCE_REUSED: LeadKind.EVIDENCE_REUSED,
    Finding.EVIDENCE_CHANGED: LeadKind.EVIDENCE_CHANGED,
}


def on_feedback(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """An answer like all others, or evidence that is not what it seems."""
    given: FeedbackGiven = heard.payload
    unit = heard.envelope.actor.unit_id or ""
    figures = {"alike": str(given.alike)} if given.alike else None
    return [_lead(heard, kind, unit, figures) for finding, kind in _OF_ANSWERS.items() if finding in given.findings]


def on_contact(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """The unit says that it called somebody whose number is hidden from it."""
    contacted: AppellantContacted = heard.payload
    unit = heard.envelope.actor.unit_id or ""
    return [_lead(heard, LeadKind.IMPOSSIBLE_CONTACT, unit, None)] if contacted.impossible else []


def on_reopened(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """Closed, and not solved."""
    reopened: CaseReopened = heard.payload
    return _soon(heard, LeadKind.REOPENED_AFTER_CLOSING, reopened.lead_unit, reopened.days_after_closing)


def on_evaluated(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """Closed as solved, and the resident says otherwise."""
    said: CitizenEvaluated = heard.payload
    if not said.contradicts or said.days_after_closing is None:
        return []
    return _soon(heard, LeadKind.NEGATIVE_AFTER_CLOSING, said.lead_unit, said.days_after_closing)


def on_callback(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """Who handled a case is refused; the district that watches over the handling is let through, and looked at."""
    recorded: CallbackRecorded = heard.payload
    asked_by = heard.envelope.actor.unit_id
    concerned = asked_by is not None and asked_by == recorded.cc_district
    return [_lead(heard, LeadKind.CALLBACK_BY_CONCERNED_UNIT, asked_by, None)] if asked_by and concerned else []


def on_rechecked(heard: Heard, _: Any) -> Sequence[Intention[Any]]:
    """Two officers, two answers."""
    checked: CallbackRechecked = heard.payload
    return [] if checked.agrees else [_lead(heard, LeadKind.RECHECK_DISAGREES, checked.lead_unit, None)]


def _soon(heard: Heard, kind: LeadKind, unit: str, days: int) -> Sequence[Intention[Any]]:
    if days > detector_policy().soon_after_closing.days:
        return []
    return [_lead(heard, kind, unit, {"days_after_closing": str(days)})]


def _lead(heard: Heard, kind: LeadKind, unit: str, figures: Mapping[str, str] | None) -> Intention[Any]:
    event = heard.envelope
    facts = SupervisionLeadRaised(
        key=f"{kind}:{event.id}",
        kind=kind,
        unit_id=unit,
        events=(event.id,),
        figures=dict(figures) if figures else None,
        policy=detector_policy().version,
    )
    return Intention(LEADS, event.subject, RaiseLead(at=event.time, actor=DETECTOR, facts=facts), cause=event)
