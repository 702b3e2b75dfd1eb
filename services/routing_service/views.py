"""What routing shows: orders (and each unit's worklist), the organisation tree, the catalogue versions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, Numeric, Table, Text

from services.routing_service.folding import fold
from shared.contracts.envelope import Envelope, rfc3339
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
    Column("kind", Text),
    Column("confidence", Numeric),
    Column("registered_at", DateTime(timezone=True)),
    Column("proposed_unit", Text),
    Column("proposed_rule", Text),
    Column("proposed_catalogue", Text),
    Column("first_unit", Text),
    Column("by_hand", Boolean),
    Column("dispatch_due_at", DateTime(timezone=True)),
    Column("sign_due_at", DateTime(timezone=True)),
    Column("signed_at", DateTime(timezone=True)),
    Column("expired_at", DateTime(timezone=True)),
    Column("review_on", DateTime(timezone=True)),
    Column("officer", Text),
    Column("co_units", Text),
    Column("whistles", Text),
    Column("called", Text),
    Column("units", Text),
    Column("open", Boolean),
    Column("objections", Integer),
    Column("returns", Integer),
    Column("urges", Integer),
    Column("provisional", Boolean),
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
    Column("closed", Boolean),
    Column("planned", Text),
    Column("updated_at", DateTime(timezone=True)),
    Column("version", Integer),
)

UNIT_HISTORY = Table(
    "unit_history",
    _metadata,
    Column("entry", Text, primary_key=True),
    Column("unit_id", Text),
    Column("since", DateTime(timezone=True)),
    Column("unit", Text),
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


CLASSIFIERS = Table(
    "classifiers",
    _metadata,
    Column("subject", Text, primary_key=True),
    Column("history", Text),
    Column("sha256", Text),
    Column("items", Text),
    Column("updated_at", DateTime(timezone=True)),
    Column("version", Integer),
)


class Orders(KeyedView):
    """One row an order; folding.py says how each event changes it."""

    VERSION = 3
    table = ORDERS
    sources = OWN
    indexes = (
        "lead_unit, state, due_at",
        "cc_district, state, due_at",
        "state, due_at",
        "due_at, appeal_id",
        "USING gin (string_to_array(units, ' > ')) WHERE open",
        "USING gin (string_to_array(units, ' > '))",
        "registered_at",
        "USING btree (appeal_id) WHERE provisional",
    )

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.stream.startswith("order-") else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row.update(version=event.version, updated_at=event.time)
        fold(row, event)


class Units(KeyedView):
    """One row a unit."""

    VERSION = 3
    table = UNITS
    sources = OWN

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.stream.startswith("unit-") else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row.update(version=event.version, updated_at=event.time)
        if event.type.endswith("unit-change-scheduled.v1"):
            row["planned"], entry = _json(event.data), event.data["entry"]
            if row["name"] is None:  # it does not exist yet, and is found where it will be
                row.update(unit_type=entry["unit_type"], parent_id=entry.get("parent_id"))
            return
        row.update({name: event.data.get(name) for name in ("name", "name_en", "unit_type", "parent_id", "closed")})
        row["aliases"] = _json(event.data.get("aliases", []))
        if row["planned"] and orjson.loads(row["planned"])["entry"] == event.data:
            row["planned"] = None
        row["boundary"] = _json(event.data["boundary"]) if event.data.get("boundary") else None


class UnitHistory(KeyedView):
    """One row an entry: what a unit was like, and since when."""

    table = UNIT_HISTORY
    sources = OWN
    indexes = ("unit_id, since",)

    def key(self, event: Envelope) -> str | None:
        entered = event.stream.startswith("unit-") and not event.type.endswith("unit-change-scheduled.v1")
        return f"{event.subject}@{event.version}" if entered else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row.update(unit_id=event.subject, since=event.time, unit=_json(event.data), version=event.version)


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


class Classifiers(KeyedView):
    """One row for all models: those that were stored, and the activations that stand, the last one in force."""

    table = CLASSIFIERS
    sources = OWN

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.stream.startswith("model-") else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row.update(version=event.version, updated_at=event.time)
        items, history = orjson.loads(row["items"] or "{}"), orjson.loads(row["history"] or "[]")
        match event.type.split(".")[-2]:
            case "classifier-stored":
                items[event.data["model_version"]] = event.data | {"stored_at": rfc3339(event.time)}
            case "classifier-activated":
                history.append(event.data["model_version"])
            case "classifier-rolled-back":
                history.pop()
        row.update(items=_json(items), history=_json(history))
        row["sha256"] = items[history[-1]]["sha256"] if history else None


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


VIEWS: Sequence[View] = (Orders(), Units(), UnitHistory(), Catalogues(), Classifiers())
