"""What feedback shows: the file of each case, and the queue of callbacks that are due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text

from shared.contracts.codes import CaseState
from shared.contracts.envelope import Envelope, rfc3339
from shared.engine.projections import KeyedView, View
from shared.eventlog.postgres import Connection

_metadata = MetaData()
RESTRICTED = Table("restricted", _metadata, Column("appeal_id", Text, primary_key=True))
CASES = Table(
    "cases",
    _metadata,
    Column("appeal_id", Text, primary_key=True),
    Column("ticket_no", Text),
    Column("state", Text),
    Column("lead_unit", Text),
    Column("cc_district", Text),
    Column("round", Integer),
    Column("due_at", DateTime(timezone=True)),
    Column("callback_due_at", DateTime(timezone=True)),
    Column("entries", Text),
    Column("updated_at", DateTime(timezone=True)),
    Column("version", Integer),
)

KEPT = frozenset(
    {
        "appellant-contacted",
        "feedback-given",
        "callback-scheduled",
        "callback-attempted",
        "callback-recorded",
        "callback-invalidated",
        "rework-requested",
        "message-posted",
        "appellant-wrote",
    }
)
"""Events whose content the file of a case shows; their texts stay sealed in it."""

_STATES = {
    "case-opened": CaseState.DISPATCHED,
    "case-signed": CaseState.SIGNED,
    "appellant-contacted": CaseState.HANDLING,
    "callback-scheduled": CaseState.CALLBACK_DUE,
    "callback-invalidated": CaseState.CLOSED,
}


class Cases(KeyedView):
    """One row a case, with everything said in it."""

    VERSION = 2
    table = CASES
    sources = ("feedback", "intake")
    indexes = ("state, callback_due_at, appeal_id", "lead_unit, state")

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.service == "feedback" or event.type.endswith(".appellant-wrote.v1") else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        name, data = event.type.split(".")[-2], event.data
        row["updated_at"] = max(event.time, row["updated_at"] or event.time)
        if event.service == "feedback":
            row["version"] = event.version
        if name == "case-opened":
            row.update({field: data.get(field) for field in ("ticket_no", "lead_unit", "cc_district", "round")})
            row.update(due_at=datetime.fromisoformat(data["due_at"]), callback_due_at=None)
        if name == "callback-scheduled":
            row["callback_due_at"] = datetime.fromisoformat(data["due_at"])
        if name in KEPT:
            entries = orjson.loads(row["entries"] or "[]")
            entry = {"name": name, "id": event.id, "type": event.type, "stream": event.stream, "data": data}
            entry |= {"time": rfc3339(event.time), "actor": event.actor.as_json()}
            # Words of two services meet here in any order; a rebuild must come to the same.
            entries = sorted([*entries, entry], key=lambda one: (one["time"], one["id"]))
            row["entries"] = orjson.dumps(entries).decode()
        row["state"] = _state_after(name, data) or row["state"]


def _state_after(name: str, data: dict[str, Any]) -> str | None:
    match name:
        case "feedback-given" if data["completes"]:
            return CaseState.FEEDBACK_DONE.value
        case "callback-recorded":
            return str(data["next_state"])
        case "case-ended":
            return str(data["outcome"])
    state = _STATES.get(name)
    return state.value if state else None


class Restrictions(View):
    """One row an appeal whose person's data is kept and used no more."""

    table = RESTRICTED
    sources = ("intake",)

    def wants(self, event: Envelope) -> bool:
        return event.type in {RESTRICTING, RESTORING}

    async def apply(self, connection: Connection, physical: str, events: Sequence[Envelope]) -> None:
        for event in events:
            if self.wants(event):
                await connection.execute(_CHANGES[event.type].format(physical), event.data.get("appeals", []))


RESTRICTING = "cn.gov.appeals.intake.appellant-restricted.v1"
RESTORING = "cn.gov.appeals.intake.appellant-restored.v1"
_CHANGES = {
    RESTRICTING: 'INSERT INTO "{}" SELECT unnest($1::text[]) ON CONFLICT DO NOTHING',
    RESTORING: 'DELETE FROM "{}" WHERE appeal_id = ANY($1)',
}
VIEWS: Sequence[View] = (Cases(), Restrictions())
