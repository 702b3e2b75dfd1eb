"""What scoring counts from: every round of every life, the appeals that do not count, the units, the policies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, Table, Text

from shared.contracts.envelope import Envelope
from shared.engine.projections import KeyedView, View

_metadata = MetaData()

ROUNDS = Table(
    "rounds",
    _metadata,
    Column("key", Text, primary_key=True),
    Column("appeal_id", Text),
    Column("round", Integer),
    Column("unit_id", Text),
    Column("unit_type", Text),
    Column("registered_at", DateTime(timezone=True)),
    Column("dispatched", Boolean),
    Column("valid", Boolean),
    Column("contacted", Boolean),
    Column("resolved", Boolean),
    Column("satisfaction", Text),
)

NOT_COUNTED = Table(
    "not_counted",
    _metadata,
    Column("appeal_id", Text, primary_key=True),
    Column("reason", Text),
)

UNITS = Table(
    "units",
    _metadata,
    Column("unit_id", Text, primary_key=True),
    Column("name", Text),
    Column("unit_type", Text),
    Column("parent_id", Text),
)

POLICIES = Table(
    "policies",
    _metadata,
    Column("policy_version", Text, primary_key=True),
    Column("state", Text),
    Column("document", Text),
    Column("effective_from", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
    Column("version", Integer),
)


class Rounds(KeyedView):
    """One row for every round of every dispatched appeal. Dispatch and callback may be heard in either order."""

    table = ROUNDS
    sources = ("routing", "scoring")
    indexes = ("registered_at, unit_type", "unit_id, registered_at", "appeal_id, round")

    def key(self, event: Envelope) -> str | None:
        return f"{event.subject}:{event.data['round']}" if event.type in _ROUND_EVENTS else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        data = event.data
        row.update(appeal_id=event.subject, round=data["round"], unit_type=data["unit_type"])
        row["registered_at"] = datetime.fromisoformat(data["registered_at"])
        if event.type == _DISPATCHED:
            row.update(dispatched=True, unit_id=data["lead_unit"])
        else:
            answers = ("unit_id", "valid", "contacted", "resolved", "satisfaction")
            row.update({name: data.get(name) for name in answers})


_DISPATCHED = "cn.gov.appeals.routing.order-dispatched.v1"
_ROUND_EVENTS = {_DISPATCHED, "cn.gov.appeals.scoring.assessment-recorded.v1"}


class NotCounted(KeyedView):
    """Merged and withdrawn appeals are in no denominator."""

    table = NOT_COUNTED
    sources = ("intake",)

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.type.split(".")[-2] in {"appeal-merged", "appeal-withdrawn"} else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row["reason"] = event.type.split(".")[-2]


class Units(KeyedView):
    """Who competes in which league."""

    table = UNITS
    sources = ("routing",)

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.stream.startswith("unit-") and "unit_type" in event.data else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row.update({name: event.data.get(name) for name in ("name", "unit_type", "parent_id")})


class Policies(KeyedView):
    """One row a version."""

    table = POLICIES
    sources = ("scoring",)

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.stream.startswith("policy-") else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row.update(version=event.version, updated_at=event.time)
        if event.type.endswith("policy-drafted.v1"):
            row.update(state="DRAFTED", document=orjson.dumps(event.data["document"]).decode())
        else:
            row.update(state="ACTIVE", effective_from=datetime.fromisoformat(event.data["effective_from"]))


VIEWS: Sequence[View] = (Rounds(), NotCounted(), Units(), Policies())
