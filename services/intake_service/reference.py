"""What intake looks things up in: the knowledge base, and the places of the city."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, MetaData, Table, Text

from shared.contracts.codes import UnitType
from shared.contracts.envelope import Envelope
from shared.engine.joined import joined
from shared.engine.projections import KeyedView, View
from shared.eventlog.postgres import Connection

_metadata = MetaData()

KNOWLEDGE = Table(
    "knowledge",
    _metadata,
    Column("knowledge_id", Text, primary_key=True),
    Column("title", Text),
    Column("text", Text),
    Column("keywords", Text),
    Column("owner_unit", Text),
    Column("valid_until", DateTime(timezone=True)),
    Column("state", Text),
    Column("edition", Integer),
    Column("version", Integer),
    Column("updated_at", DateTime(timezone=True)),
)

DIVISIONS = Table(
    "divisions",
    _metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text),
    Column("unit_type", Text),
    Column("parent", Text),
    Column("aliases", Text),
    Column("boundary", Text),
    Column("version", Integer),
)

IMPORTS = Table(
    "imports",
    _metadata,
    Column("import_id", Text, primary_key=True),
    Column("client", Text),
    Column("state", Text),
    Column("form", Text),
    Column("all_or_none", Boolean),
    Column("bytes", BigInteger),
    Column("total", Integer),
    Column("row", Integer),
    Column("registered", Integer),
    Column("already_there", Integer),
    Column("refused", Integer),
    Column("warned", Integer),
    Column("reason", Text),
    Column("started_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
    Column("version", Integer),
)

PROBLEMS = Table(
    "import_problems",
    _metadata,
    Column("import_id", Text, primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("code", Text, primary_key=True),
    Column("source_ref", Text),
    Column("message", Text),
    Column("warning", Boolean),
)


class KnowledgeBase(KeyedView):
    """One row an entry, with the text that it has now."""

    table = KNOWLEDGE
    sources = ("intake",)
    indexes = ("owner_unit", "updated_at, knowledge_id")

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.type in _ENTRIES else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row.update(state=_ENTRIES[event.type], version=event.version, updated_at=event.time)
        if text := event.data.get("text"):
            until = text.get("valid_until")
            row.update({name: text[name] for name in ("title", "text", "owner_unit")}, edition=event.data["edition"])
            row.update(
                keywords=joined(text.get("keywords", ())),
                valid_until=datetime.fromisoformat(until) if until else None,
            )


class Divisions(KeyedView):
    """One row a district, street or town, or community: its names and, where known, its ground."""

    table = DIVISIONS
    sources = ("routing",)

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.stream.startswith("unit-") and event.data.get("unit_type") in _PLACES else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        data = event.data
        row.update({name: data[name] for name in ("name", "unit_type")}, parent=data.get("parent_id"))
        row.update(aliases=orjson.dumps(data.get("aliases", [])).decode(), version=event.version)
        row["boundary"] = orjson.dumps(data["boundary"]).decode() if data.get("boundary") else None


class Imports(KeyedView):
    """One row an import, with how far it is."""

    table = IMPORTS
    sources = ("intake",)
    indexes = ("state", "client, import_id")

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.stream.startswith(_IMPORT) else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        data = event.data
        row.update(version=event.version, updated_at=event.time)
        match event.type.split(".")[-2]:
            case "import-started":
                row.update({name: data[name] for name in ("form", "all_or_none", "bytes")})
                row.update(dict.fromkeys(_COUNTS, 0), client=event.actor.sub, state="RUNNING", started_at=event.time)
            case "import-advanced":
                row.update({name: data[name] for name in _COUNTS})
            case "import-ended":
                row.update(state=data["outcome"], reason=data.get("reason"))


class ImportProblems(View):
    """One row for each thing that is wrong with a row of a file."""

    table = PROBLEMS
    sources = ("intake",)

    def wants(self, event: Envelope) -> bool:
        return event.stream.startswith(_IMPORT) and bool(event.data.get("problems"))

    async def apply(self, connection: Connection, physical: str, events: Sequence[Envelope]) -> None:
        records = [
            (event.subject, one["row"], one["code"], one.get("source_ref"), one.get("message"), one["warning"])
            for event in events
            if self.wants(event)
            for one in event.data["problems"]
        ]
        await connection.copy_records_to_table(physical, records=records, columns=PROBLEMS.columns.keys())


_COUNTS = ("total", "row", "registered", "already_there", "refused", "warned")
_IMPORT = "import-"
_PLACES = frozenset({UnitType.DISTRICT, UnitType.STREET_TOWN, UnitType.COMMUNITY})
_ENTRIES = {f"cn.gov.appeals.intake.knowledge-{name}.v1": name.upper() for name in ("published", "expired", "retired")}
