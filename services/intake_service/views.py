"""What intake shows of a case: one row with where it stands, and its story, event by event, of all four services.

No personal text is stored in clear: rows hold codes and pseudonyms, the story keeps its texts sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, Table, Text

from services.intake_service.case import Parts, whole
from services.intake_service.reference import SEPARATOR, Divisions, ImportProblems, Imports, KnowledgeBase
from services.intake_service.search import Search
from shared.contracts.codes import CaseState
from shared.contracts.envelope import Envelope
from shared.engine.projections import KeyedView, View
from shared.eventlog.postgres import Connection

ALL_SERVICES = ("intake", "routing", "feedback", "scoring")
_metadata = MetaData()

CASES = Table(
    "cases",
    _metadata,
    Column("appeal_id", Text, primary_key=True),
    Column("ticket_no", Text),
    Column("kind", Text),
    Column("channel", Text),
    Column("state", Text),
    Column("district", Text),
    Column("township", Text),
    Column("category", Text),
    Column("tags", Text),
    Column("urgency", Text),
    Column("client", Text),
    Column("source_ref", Text),
    Column("tracking_hash", Text),
    Column("identity_hidden", Boolean),
    Column("raised_at", DateTime(timezone=True)),
    Column("registered_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
    Column("lead_unit", Text),
    Column("lead_unit_name", Text),
    Column("cc_district", Text),
    Column("due_at", DateTime(timezone=True)),
    Column("merged_into", Text),
    Column("person", Text),
    Column("alerts", Text),
    Column("cluster", Text),
    Column("supplements", Integer),
    Column("urges", Integer),
    Column("participants", Text),
    Column("appellant_type", Text),
    Column("malicious", Boolean),
    Column("attachments", Integer),
    Column("ended_at", DateTime(timezone=True)),
    Column("assessment", Text),
    Column("version", Integer),
    Column("intake_state", Text),
    Column("routing_state", Text),
    Column("routing_round", Integer),
    Column("feedback_state", Text),
    Column("feedback_round", Integer),
)

STORY = Table(
    "story",
    _metadata,
    Column("appeal_id", Text, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("event_id", Text),
    Column("time", DateTime(timezone=True)),
    Column("type", Text),
    Column("stream", Text),
    Column("actor", Text),
    Column("data", Text),
)

PERSONS = Table(
    "persons",
    _metadata,
    Column("ref", Text, primary_key=True),
    Column("state", Text),
    Column("standing", Text),
    Column("ground", Text),
    Column("updated_at", DateTime(timezone=True)),
)


class Cases(KeyedView):
    """One row an appeal."""

    VERSION = 3
    table = CASES
    sources = ALL_SERVICES
    indexes = (
        "ticket_no",
        "lead_unit, updated_at",
        "cc_district, updated_at",
        "state, updated_at",
        "updated_at, appeal_id",
        "cluster",
        "USING btree (participants) WHERE participants IS NOT NULL",
    )

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.type in _FOLDS else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        _FOLDS[event.type](row, event)
        row["updated_at"] = max(event.time, row["updated_at"] or event.time)

    def finish(self, row: dict[str, Any]) -> None:
        if row["intake_state"]:
            row["state"] = whole(_parts(row)).value


class Story(View):
    """Every event of an appeal, as it was written."""

    table = STORY
    sources = ALL_SERVICES

    def wants(self, event: Envelope) -> bool:
        return event.stream.startswith(_STREAMS)

    async def apply(self, connection: Connection, physical: str, events: Sequence[Envelope]) -> None:
        records = [
            (
                event.subject,
                event.service,
                event.version,
                event.id,
                event.time,
                event.type,
                event.stream,
                orjson.dumps(event.actor.as_json()).decode(),
                orjson.dumps(event.data).decode(),
            )
            for event in events
            if self.wants(event)
        ]
        await connection.copy_records_to_table(physical, records=records, columns=STORY.columns.keys())


class Persons(KeyedView):
    """One row a person whose data something was done with, or is to be done with."""

    table = PERSONS
    sources = ("intake",)
    indexes = ("updated_at, ref",)

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.type in _MEASURES else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        standing = _MEASURES[event.type]
        if standing is None:
            row.update(state=f"{event.data['measure']}_REQUESTED", ground=event.data["ground"])
        else:
            row.update(state=standing, standing=standing)
        row["updated_at"] = event.time


_STREAMS = ("appeal-", "order-", "case-", "assessment-")


def _parts(row: dict[str, Any]) -> Parts:
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
        category=SEPARATOR.join(data.get("category_path", ())) or None,
        tags=SEPARATOR.join(data.get("tags", ())) or None,
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


def _alert(row: dict[str, Any], event: Envelope) -> None:
    known = row["alerts"].split(SEPARATOR) if row["alerts"] else []
    named = (event.data.get("hand_over"), event.data["category"])
    row.update(version=event.version, alerts=SEPARATOR.join(dict.fromkeys([*known, *filter(None, named)])))


def _tagged(row: dict[str, Any], event: Envelope) -> None:
    row.update(version=event.version, tags=SEPARATOR.join(event.data["tags"]) or None)


def _invited(row: dict[str, Any], event: Envelope) -> None:
    known = row["participants"].split(SEPARATOR) if row["participants"] else []
    row.update(version=event.version, participants=SEPARATOR.join([*known, event.data["unit_id"]]))


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
    )


def _routing(state: CaseState) -> Fold:
    def fold(row: dict[str, Any], event: Envelope) -> None:
        row.update(routing_state=state.value, routing_round=event.data["round"])

    return fold


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
_FOLDS: dict[str, Fold] = {
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
        "routing.order-dispatched": _dispatched,
        "routing.order-signed": _routing(CaseState.SIGNED),
        "feedback.case-opened": _feedback(CaseState.DISPATCHED),
        "feedback.case-signed": _feedback(CaseState.SIGNED),
        "feedback.appellant-contacted": _contacted,
        "feedback.feedback-given": _result,
        "feedback.callback-scheduled": _feedback(CaseState.CALLBACK_DUE),
        "feedback.callback-recorded": _recorded,
        "feedback.callback-invalidated": _feedback(CaseState.CLOSED),
        "scoring.assessment-recorded": _assessed,
    }.items()
}

_MEASURES = {
    f"{_PREFIX}intake.appellant-{name}.v1": standing
    for name, standing in {
        "measure-requested": None,
        "restricted": "RESTRICTED",
        "restored": "ACTIVE",
        "erased": "ERASED",
    }.items()
}

_LOOKED_UP_IN = (KnowledgeBase(), Divisions(), Imports(), ImportProblems())
VIEWS: Sequence[View] = (Cases(), Story(), Search(), Persons(), *_LOOKED_UP_IN)
