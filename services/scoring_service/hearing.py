"""Which events say something about an assessed life, and what: from the neighbours' payloads to facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.scoring_service.life import Fact, Kind
from shared.contracts import feedback, intake, routing, scoring
from shared.contracts.envelope import Envelope, Payload, rfc3339

Said = tuple[Kind, int, dict[str, Any]]
Data = Mapping[str, Any]


def _dispatched(data: Data) -> Said:
    kept = {name: data.get(name) for name in ("category", "tier", "registered_at", "subject_key", "ticket_no")}
    return Kind.DISPATCHED, data["round"], {"unit": data["lead_unit"], "district": data.get("cc_district"), **kept}


def _of_round(kind: Kind) -> Callable[[Data], Said]:
    return lambda data: (kind, data["round"], {})


def _kept(kind: Kind, *names: str, **renamed: str) -> Callable[[Data], Said]:
    """These members as they are, and some under another name."""
    every = {name: name for name in names} | renamed
    return lambda data: (kind, 0, {name: data[of] for name, of in every.items()})


def _contacted(data: Data) -> Said | None:
    """Only the first contact that reaches says whether it was in time."""
    return None if data.get("in_time") is None else (Kind.CONTACTED, data["round"], {"in_time": data["in_time"]})


def _climbed(data: Data) -> Said | None:
    return (Kind.ESCALATED, 0, {}) if data.get("step", "ESCALATION") == "ESCALATION" else None


def _assessed(data: Data) -> Said:
    said = {name: data.get(name) for name in ("valid", "contacted", "resolved", "satisfaction", "final")}
    return Kind.VERDICT, data["round"], {"unit": data["unit_id"], "registered_at": data["registered_at"], **said}


_SAYS: Mapping[type[Payload], Callable[[Data], Said | None]] = {
    routing.OrderDispatched: _dispatched,
    routing.OrderSigned: _of_round(Kind.SIGNED),
    routing.SignOverdue: _of_round(Kind.SIGNED_LATE),
    routing.HandlingCompleted: _of_round(Kind.ANSWERED),
    routing.OrderEscalated: _climbed,
    routing.LadderStepTaken: _climbed,
    routing.WhistleBlown: _kept(Kind.WHISTLE, "number", "departments"),
    routing.DepartmentReported: _kept(Kind.REPORTED, "number", "refused", "late", unit="unit_id"),
    routing.ReportInOverdue: _kept(Kind.ABSENT, "number", units="absent"),
    routing.SubtaskClosed: _kept(Kind.PART_DONE, "number", "solved", unit="unit_id"),
    routing.WhistleClosed: _kept(Kind.WHISTLE_CLOSED, "number", "justified"),
    feedback.AppellantContacted: _contacted,
    feedback.CallbackReviewed: lambda data: (Kind.REVIEWED, data["round"], {"stands": data["stands"]}),
    intake.AppealMerged: lambda data: (Kind.DROPPED, 0, {"how": "MERGED"}),
    intake.AppealWithdrawn: lambda data: (Kind.DROPPED, 0, {"how": "WITHDRAWN"}),
    scoring.AssessmentRecorded: _assessed,
    scoring.ExclusionApproved: _kept(Kind.EXCLUDED, "ground", "kind", unit="unit_id"),
}
BY_TYPE = {payload.event_type(): says for payload, says in _SAYS.items()}
SOURCES = ("feedback", "intake", "routing", "scoring")


def fact_of(event: Envelope) -> Fact | None:
    """What an event says about a life; None when it says nothing."""
    says = BY_TYPE.get(event.type)
    said = says(event.data) if says else None
    if said is None:
        return None
    if said[0] is Kind.WHISTLE:  # whoever blows it is on record as the actor alone
        said[2]["street"] = event.actor.unit_id
    return Fact(rfc3339(event.time), event.id, *said)
