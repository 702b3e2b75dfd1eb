"""What routing shows: orders (and each unit's worklist), the organisation tree, the catalogue versions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, Table, Text

from shared.contracts.codes import CaseState
from shared.contracts.envelope import Envelope
from shared.engine.joined import joined, split
from shared.engine.projections import KeyedView, View

OWN = ("routing",)
_metadata = MetaData()

ORDERS = Table(
    "orders",
    _metadata,
    Column("appeal_id", Text, primary_key=True),
    Column("ticket_no", Text),
    Column("state", Text),
    Column("lead_unit", Text),
    Column("cc_district", Text),
    Column("tier", Text),
    Column("dispatched_at", DateTime(timezone=True)),
    Column("due_at", DateTime(timezone=True)),
    Column("due_derivation", Text),
    Column("round", Integer),
    Column("catalogue_version", Text),
    Column("rule_id", Text),
    Column("model_version", Text),
    Column("candidates", Text),
    Column("automatic", Boolean),
    Column("called", Text),
    Column("extended", Boolean),
    Column("escalated", Boolean),
    Column("supervised", Boolean),
    Column("sign_overdue", Boolean),
    Column("updated_at", DateTime(timezone=True)),
    Column("version", Integer),
)

UNITS = Table(
    "units",
    _metadata,
    Column("unit_id", Text, primary_key=True),
    Column("name", Text),
    Column("name_en", Text),
    Column("unit_type", Text),
    Column("parent_id", Text),
    Column("aliases", Text),
    Column("boundary", Text),
    Column("updated_at", DateTime(timezone=True)),
    Column("version", Integer),
)

CATALOGUES = Table(
    "catalogues",
    _metadata,
    Column("catalogue_version", Text, primary_key=True),
    Column("state", Text),
    Column("source", Text),
    Column("rules", Text),
    Column("effective_from", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
    Column("version", Integer),
)


class Orders(KeyedView):
    """One row an order."""

    VERSION = 2
    table = ORDERS
    sources = OWN
    indexes = ("lead_unit, state, due_at", "cc_district, state, due_at", "state, due_at", "due_at, appeal_id")

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.stream.startswith("order-") else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row.update(version=event.version, updated_at=event.time)
        match event.type.split(".")[-2]:
            case "order-proposed":
                row.update(state=CaseState.REGISTERED.value, ticket_no=event.data["ticket_no"])
                row.update(catalogue_version=event.data.get("catalogue_version"), round=0)
                row.update(candidates=_json(event.data["candidates"]), model_version=event.data.get("model_version"))
                row["automatic"] = event.data["automatic"]
            case "order-dispatched":
                _dispatched(row, event)
            case "order-ended":
                row["state"] = event.data["outcome"]
            case "objection-rejected":
                row["state"] = event.data["returns_to"]
            case "extension-granted" | "ledger-closed":
                row["due_at"] = datetime.fromisoformat(event.data["due_at"])
            case "whistle-blown":
                called = [*split(row["called"]), *event.data["departments"]]
                row["called"] = joined(dict.fromkeys(called))
        name = event.type.split(".")[-2]
        row["state"] = _STATES.get(name, row["state"])
        if name in _MARKS:
            row[_MARKS[name]] = True


_STATES = {
    "order-signed": CaseState.SIGNED.value,
    "consultation-opened": CaseState.CONSULTING.value,
    "consultation-closed": CaseState.REGISTERED.value,
    "order-objected": CaseState.OBJECTED.value,
    "ledger-opened": CaseState.ON_LEDGER.value,
    "ledger-closed": CaseState.SIGNED.value,
    "handling-completed": CaseState.CALLBACK_DUE.value,
    "handling-limit-expired": CaseState.CALLBACK_DUE.value,
}
_MARKS = {
    "extension-granted": "extended",
    "order-escalated": "escalated",
    "supervision-opened": "supervised",
    "sign-overdue": "sign_overdue",
}


def _dispatched(row: dict[str, Any], event: Envelope) -> None:
    data = event.data
    plain = ("lead_unit", "cc_district", "tier", "round", "catalogue_version", "rule_id", "model_version")
    row.update({name: data.get(name) for name in plain})
    row.update(
        state=CaseState.DISPATCHED.value,
        dispatched_at=event.time,
        due_at=datetime.fromisoformat(data["due_at"]),
        due_derivation=_json(data["due_derivation"]),
        sign_overdue=False,
    )


class Units(KeyedView):
    """One row a unit."""

    VERSION = 2
    table = UNITS
    sources = OWN

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.stream.startswith("unit-") else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row.update({name: event.data.get(name) for name in ("name", "name_en", "unit_type", "parent_id")})
        row.update(aliases=_json(event.data.get("aliases", [])), version=event.version, updated_at=event.time)
        row["boundary"] = _json(event.data["boundary"]) if event.data.get("boundary") else None


class Catalogues(KeyedView):
    """One row a version."""

    table = CATALOGUES
    sources = OWN

    def key(self, event: Envelope) -> str | None:
        return event.data["catalogue_version"] if event.stream.startswith("catalogue-") else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row.update(version=event.version, updated_at=event.time)
        if event.type.endswith("catalogue-drafted.v1"):
            row.update(state="DRAFTED", source=event.data["source"], rules=_json(event.data["rules"]))
        else:
            row.update(state="PUBLISHED", effective_from=datetime.fromisoformat(event.data["effective_from"]))


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


VIEWS: Sequence[View] = (Orders(), Units(), Catalogues())
