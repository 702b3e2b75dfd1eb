"""How each event of the four services changes the row of its case."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from services.intake_service.case import Parts
from shared.contracts.codes import CaseState
from shared.contracts.envelope import Envelope
from shared.engine.joined import joined, split


def parts_of(row: dict[str, Any]) -> Parts:
    """What each service says of its own part."""
    return Parts(
        intake=CaseState(row["intake_state"]),
        routing=CaseState(row["routing_state"]) if row["routing_state"] else None,
        routing_round=row["routing_round"] or 0,
        feedback=CaseState(row["feedback_state"]) if row["feedback_state"] else None,
        feedback_round=row["feedback_round"] or 0,
    )


def _registered(row: dict[str, Any], event: Envelope) -> None:
    data, place, appellant = event.data, event.data["place"], event.data["appellant"]
    row.update(
        {name: data.get(name) for name in ("ticket_no", "kind", "channel", "client", "source_ref", "tracking_hash")},
        urgency=row["urgency"] if row["routing_state"] else data.get("urgency"),
        district=place.get("district"),
        township=place.get("township"),
        category=joined(data.get("category_path", ())),
        tags=joined(data.get("tags", ())),
        person=appellant["ref"],
        appellant_type=appellant["type"],
        identity_hidden=appellant["confidential"] or appellant["anonymous"] or data["kind"] == "REPORT",
        raised_at=datetime.fromisoformat(data["raised_at"]),
        registered_at=event.time,
        intake_state=CaseState.REGISTERED.value,
        version=event.version,
    )


Fold = Callable[[dict[str, Any], Envelope], None]


def _intake(state: CaseState) -> Fold:
    def fold(row: dict[str, Any], event: Envelope) -> None:
        row.update(
            intake_state=state.value,
            version=event.version,
            merged_into=event.data.get("into", row["merged_into"]),
            ended_at=event.time,
        )

    return fold


def _reopened(row: dict[str, Any], event: Envelope) -> None:
    row.update(intake_state=CaseState.REGISTERED.value, version=event.version, ended_at=None)


def _alert(row: dict[str, Any], event: Envelope) -> None:
    named = (event.data.get("hand_over"), event.data["category"])
    row.update(version=event.version, alerts=joined(dict.fromkeys([*split(row["alerts"]), *filter(None, named)])))


def _tagged(row: dict[str, Any], event: Envelope) -> None:
    row.update(version=event.version, tags=joined(event.data["tags"]))


def _invited(row: dict[str, Any], event: Envelope) -> None:
    row.update(version=event.version, participants=joined(sorted({*split(row["participants"]), event.data["unit_id"]})))


def _flagged(row: dict[str, Any], event: Envelope) -> None:
    row.update(version=event.version, malicious=True)


def _happened(row: dict[str, Any], event: Envelope) -> None:
    row["version"] = event.version


def _noted(column: str, name: str) -> Fold:
    def fold(row: dict[str, Any], event: Envelope) -> None:
        row.update({"version": event.version, column: event.data[name]})

    return fold


def _dispatched(row: dict[str, Any], event: Envelope) -> None:
    data = event.data
    row.update({name: data.get(name) for name in ("lead_unit", "lead_unit_name", "cc_district")})
    row.update(
        due_at=datetime.fromisoformat(data["due_at"]),
        routing_state=CaseState.DISPATCHED.value,
        routing_round=data["round"],
        urgency=data["tier"],
        participants=joined(sorted({*split(row["participants"]), *data.get("co_units", ())})),
    )


def _routing(state: CaseState) -> Fold:
    def fold(row: dict[str, Any], event: Envelope) -> None:
        row.update(routing_state=state.value, routing_round=event.data["round"])

    return fold


def _consulted(state: CaseState) -> Fold:
    def fold(row: dict[str, Any], _: Envelope) -> None:
        row.update(routing_state=state.value)

    return fold


def _returned(row: dict[str, Any], event: Envelope) -> None:
    row.update(routing_state=event.data["returns_to"])


def _postponed(row: dict[str, Any], event: Envelope) -> None:
    row["due_at"] = datetime.fromisoformat(event.data["due_at"])


def _whistled(row: dict[str, Any], event: Envelope) -> None:
    row["participants"] = joined(sorted({*split(row["participants"]), *event.data["departments"]}))


def _off_ledger(row: dict[str, Any], event: Envelope) -> None:
    row.update(routing_state=CaseState.SIGNED.value)
    _postponed(row, event)


def _feedback(state: CaseState) -> Fold:
    def fold(row: dict[str, Any], event: Envelope) -> None:
        row.update(feedback_state=state.value, feedback_round=event.data["round"])

    return fold


def _contacted(row: dict[str, Any], event: Envelope) -> None:
    if row["feedback_state"] == CaseState.SIGNED:
        _feedback(CaseState.HANDLING)(row, event)


def _result(row: dict[str, Any], event: Envelope) -> None:
    if event.data["completes"]:
        _feedback(CaseState.FEEDBACK_DONE)(row, event)


def _recorded(row: dict[str, Any], event: Envelope) -> None:
    _feedback(CaseState(event.data["next_state"]))(row, event)


def _assessed(row: dict[str, Any], event: Envelope) -> None:
    keep = ("round", "valid", "contacted", "resolved", "satisfaction")
    row["assessment"] = orjson.dumps({name: event.data.get(name) for name in keep}).decode()


_PREFIX = "cn.gov.appeals."
FOLDS: dict[str, Fold] = {
    f"{_PREFIX}{name}.v1": fold
    for name, fold in {
        "intake.appeal-registered": _registered,
        "intake.appeal-answered-directly": _intake(CaseState.ANSWERED),
        "intake.appeal-redirected": _intake(CaseState.REDIRECTED),
        "intake.appeal-merged": _intake(CaseState.MERGED),
        "intake.appeal-withdrawn": _intake(CaseState.WITHDRAWN),
        "intake.risk-alert-raised": _alert,
        "intake.appeal-tagged": _tagged,
        "intake.appeal-linked": _noted("cluster", "cluster"),
        "intake.appeal-supplemented": _noted("supplements", "number"),
        "intake.appeal-urged": _noted("urges", "number"),
        "intake.attachment-added": _noted("attachments", "number"),
        "intake.attachment-scanned": _happened,
        "intake.appellant-wrote": _happened,
        "intake.appeal-evaluated": _happened,
        "intake.participant-invited": _invited,
        "intake.participant-contributed": _happened,
        "intake.malicious-use-flagged": _flagged,
        "intake.appellant-revealed": _happened,
        "intake.appeal-closed": _intake(CaseState.CLOSED),
        "intake.appeal-reopened": _reopened,
        "routing.order-dispatched": _dispatched,
        "routing.order-signed": _routing(CaseState.SIGNED),
        "routing.consultation-opened": _consulted(CaseState.CONSULTING),
        "routing.consultation-closed": _consulted(CaseState.REGISTERED),
        "routing.order-objected": _routing(CaseState.OBJECTED),
        "routing.objection-rejected": _returned,
        "routing.extension-granted": _postponed,
        "routing.due-time-corrected": _postponed,
        "routing.whistle-blown": _whistled,
        "routing.handling-completed": _routing(CaseState.CALLBACK_DUE),
        "routing.handling-limit-expired": _routing(CaseState.CALLBACK_DUE),
        "routing.ledger-opened": _routing(CaseState.ON_LEDGER),
        "routing.ledger-closed": _off_ledger,
        "feedback.case-opened": _feedback(CaseState.DISPATCHED),
        "feedback.case-signed": _feedback(CaseState.SIGNED),
        "feedback.appellant-contacted": _contacted,
        "feedback.feedback-given": _result,
        "feedback.callback-scheduled": _feedback(CaseState.CALLBACK_DUE),
        "feedback.callback-recorded": _recorded,
        "feedback.callback-invalidated": _feedback(CaseState.CLOSED),
        "feedback.case-reopened": _feedback(CaseState.REWORK),
        "scoring.assessment-recorded": _assessed,
    }.items()
}
