"""What intake shows of a case: one row with where it stands, and its story, event by event, of all four services.

No personal text is stored in clear: rows hold codes and pseudonyms, the story keeps its texts sealed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, Table, Text

from services.intake_service.case import whole
from services.intake_service.folding import FOLDS, parts_of
from services.intake_service.reference import Divisions, ImportProblems, Imports, KnowledgeBase
from services.intake_service.search import Search
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
    Column("event_id", Text, primary_key=True),
    Column("service", Text),
    Column("version", Integer),
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
    Column("standing_at", DateTime(timezone=True)),
    Column("asked_at", DateTime(timezone=True)),
    Column("ground", Text),
    Column("updated_at", DateTime(timezone=True)),
)


OPERATIONS = Table(
    "operations",
    _metadata,
    Column("operation", Text, primary_key=True),
    Column("kind", Text),
    Column("state", Text),
    Column("target", Text),
    Column("ground", Text),
    Column("asked_by", Text),
    Column("approved_by", Text),
    Column("updated_at", DateTime(timezone=True)),
)


class Cases(KeyedView):
    """One row an appeal."""

    VERSION = 5
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
        return event.subject if event.type in FOLDS else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        FOLDS[event.type](row, event)
        row["updated_at"] = max(event.time, row["updated_at"] or event.time)

    def finish(self, row: dict[str, Any]) -> None:
        if row["intake_state"]:
            row["state"] = whole(parts_of(row)).value


class Story(View):
    """Every event of an appeal, as it was written."""

    VERSION = 2
    table = STORY
    sources = ALL_SERVICES

    def wants(self, event: Envelope) -> bool:
        return event.stream.startswith(_STREAMS)

    async def apply(self, connection: Connection, physical: str, events: Sequence[Envelope]) -> None:
        records = [
            (
                event.subject,
                event.id,
                event.service,
                event.version,
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
    """One row a person whose data something was done with, or is to be done with.

    What was done is about the appeals until it was asked for: whoever comes again is helped as anybody is.
    """

    VERSION = 2
    table = PERSONS
    sources = ("intake",)
    indexes = ("updated_at, ref",)

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.type in _MEASURES else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        standing = _MEASURES[event.type]
        if standing is None:
            asked_at = event.time if event.data.get("appeals") else None  # before they were noted, all were meant
            row.update(state=f"{event.data['measure']}_REQUESTED", ground=event.data["ground"], asked_at=asked_at)
        else:
            row.update(state=standing, standing=standing, standing_at=row["asked_at"] or event.time)
        row["updated_at"] = event.time


class Operations(KeyedView):
    """One row an operation that takes two officers."""

    table = OPERATIONS
    sources = ("intake",)
    indexes = ("updated_at, operation",)

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.type in _OPERATED else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row.update(state=_OPERATED[event.type], updated_at=event.time)
        if row["state"] == "REQUESTED":
            row.update({name: event.data[name] for name in ("kind", "target", "ground")}, asked_by=event.data["by"])
        elif row["state"] == "APPROVED":
            row["approved_by"] = event.data["by"]


_OPERATED = {
    f"cn.gov.appeals.intake.operation-{name}.v1": name.replace("-", "_").upper()
    for name in ("requested", "approved", "carried-out")
}
_STREAMS = ("appeal-", "order-", "case-", "assessment-", "exclusions-")


_MEASURES = {
    f"cn.gov.appeals.intake.appellant-{name}.v1": standing
    for name, standing in {
        "measure-requested": None,
        "restricted": "RESTRICTED",
        "restored": "ACTIVE",
        "erased": "ERASED",
    }.items()
}

_LOOKED_UP_IN = (KnowledgeBase(), Divisions(), Imports(), ImportProblems())
VIEWS: Sequence[View] = (Cases(), Story(), Search(), Persons(), Operations(), *_LOOKED_UP_IN)
