"""From what happened to who is told: pure, once per event and template."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.feedback_service.links import Link, Purpose
from services.feedback_service.notice import NOTICES, Plan, notice_id
from services.feedback_service.templates import Template, notifications
from shared.contracts.envelope import Actor, Envelope
from shared.contracts.notices import NotificationPlanned
from shared.engine.execute import Intention
from shared.engine.reacting import Heard

TELLER = Actor("NOTIFIER")
_NUMBERED_BY = {Purpose.SURVEY: "round", Purpose.THREAD: "number"}


def tell(heard: Heard, now: datetime) -> Sequence[Intention[Any]]:
    """Plan whatever the table says about this event; what would be stale is no news."""
    if heard.envelope.time < now - notifications().policy.stale_after:
        return []
    return [_planned(heard.envelope, one) for one in notifications().about(heard.envelope)]


def _planned(event: Envelope, template: Template) -> Intention[Any]:
    facts = NotificationPlanned(
        notice_id=notice_id(event.id, template.id),
        template=template.id,
        templates_version=notifications().version,
        audience=template.audience,
        cause=event.id,
        not_before=event.time,
        link=_link(event, template.purpose),
    )
    return Intention(NOTICES, event.subject, Plan(at=event.time, actor=TELLER, facts=facts), cause=event)


def _link(event: Envelope, purpose: Purpose | None) -> str | None:
    return f"{purpose.name}:{event.data[_NUMBERED_BY[purpose]]}" if purpose else None


def link_of(appeal_id: str, planned: str | None) -> Link | None:
    """The link that was planned, e.g. SURVEY:1."""
    if planned is None:
        return None
    purpose, _, number = planned.partition(":")
    return Link(appeal_id, Purpose[purpose], int(number))
