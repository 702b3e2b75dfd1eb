"""What scoring would hear of an invented life, without running anything: facts, straight from the events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.chronicle import Past, Street, life
from services.scoring_service.hearing import fact_of
from services.scoring_service.life import Fact, Kind
from shared.contracts.envelope import Actor, Envelope, rfc3339
from shared.contracts.feedback import CallbackInvalidated, CallbackRecorded


def facts_of_life(past: Past, number: int, streets: Sequence[Street]) -> list[Fact]:
    """All facts about one invented life."""
    appeal_id, orders, cases = life(past, number, streets)
    return [fact for at, payload in orders + cases if (fact := _fact(appeal_id, at, payload))]


def _fact(appeal_id: str, at: datetime, payload: Any) -> Fact | None:
    """As scoring's view has it, once scoring has recorded what a callback said."""
    if isinstance(payload, CallbackRecorded | CallbackInvalidated):
        said = {name: getattr(payload, name, None) for name in ("contacted", "resolved")}
        said |= {
            "valid": isinstance(payload, CallbackRecorded),
            "final": getattr(payload, "next_state", "") != "REWORK",
        }
        said |= {"unit": payload.lead_unit, "registered_at": rfc3339(payload.registered_at)}
        said["satisfaction"] = getattr(payload, "satisfaction", "NOT_STATED")
        return Fact(rfc3339(at), f"{appeal_id}-{payload.round}", Kind.VERDICT, payload.round, said)
    data = payload.model_dump(mode="json", exclude_none=True)
    envelope = Envelope(
        f"{appeal_id}-{at.timestamp()}", "", payload.event_type(), appeal_id, "", 1, at, Actor(""), "", None, data
    )
    return fact_of(envelope)
