"""What scoring answers from, beside the live tables: units through time, policies, claims, credits, publications."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Boolean, Column, DateTime, Integer, MetaData, Table, Text

from services.scoring_service.tallying import Lives
from shared.contracts.envelope import Envelope
from shared.engine.projections import KeyedView, View

_metadata = MetaData()

UNITS = Table(
    "units",
    _metadata,
    Column("entry", Text, primary_key=True),
    Column("unit_id", Text),
    Column("version", Integer),
    Column("changed_at", DateTime(timezone=True)),
    Column("name", Text),
    Column("unit_type", Text),
    Column("parent_id", Text),
    Column("closed", Boolean),
)

POLICIES = Table(
    "policies",
    _metadata,
    Column("policy_version", Text, primary_key=True),
    Column("state", Text),
    Column("document", Text),
    Column("activated_at", DateTime(timezone=True)),
    Column("effective_from", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
    Column("version", Integer),
)

CLAIMS = Table(
    "claims",
    _metadata,
    Column("exclusion_id", Text, primary_key=True),
    Column("appeal_id", Text),
    Column("unit_id", Text),
    Column("district", Text),
    Column("period", Text),
    Column("ground", Text),
    Column("kind", Text),
    Column("state", Text),
    Column("instance", Integer),
    Column("claimed_at", DateTime(timezone=True)),
    Column("decide_by", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
    Column("policy_version", Text),
)

STANDINGS = Table(
    "standings",
    _metadata,
    Column("entry", Text, primary_key=True),
    Column("unit_id", Text),
    Column("kind", Text),
    Column("period", Text),
    Column("decision", Text),
    Column("since", DateTime(timezone=True)),
    Column("until", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
)
"""Credits (until they were withdrawn) and stays on the managed list (until they ended)."""

PUBLICATIONS = Table(
    "publications",
    _metadata,
    Column("entry", Text, primary_key=True),
    Column("period", Text),
    Column("league", Text),
    Column("number", Integer),
    Column("as_of", DateTime(timezone=True)),
    Column("policy_version", Text),
    Column("digest", Text),
    Column("document", Text),
    Column("updated_at", DateTime(timezone=True)),
)


class Units(KeyedView):
    """Every entry that a unit ever had: who competes where, and under which name, at any past moment."""

    VERSION = 2
    table = UNITS
    sources = ("routing",)
    indexes = ("unit_id, version",)

    def key(self, event: Envelope) -> str | None:
        known = event.stream.startswith("unit-") and "unit_type" in event.data
        return f"{event.subject}:{event.version}" if known else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row.update(unit_id=event.subject, version=event.version, changed_at=event.time)
        row.update({name: event.data.get(name) for name in ("name", "unit_type", "parent_id", "closed")})


class Policies(KeyedView):
    """One row a version."""

    VERSION = 2
    table = POLICIES
    sources = ("scoring",)

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.stream.startswith("policy-") else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row.update(version=event.version, updated_at=event.time)
        if event.type.endswith("policy-drafted.v1"):
            row.update(state="DRAFTED", document=orjson.dumps(event.data["document"]).decode())
        else:
            row.update(state="ACTIVE", activated_at=event.time)
            row["effective_from"] = datetime.fromisoformat(event.data["effective_from"])


_CLAIM_STATES = {
    "exclusion-claimed": "CLAIMED",
    "exclusion-approved": "APPROVED",
    "exclusion-rejected": "REJECTED",
    "exclusion-appealed": "APPEALED",
    "exclusion-lapsed": "LAPSED",
}


class Claims(KeyedView):
    """One row a claim to have an appeal left out."""

    table = CLAIMS
    sources = ("scoring",)
    indexes = ("appeal_id", "updated_at")

    def key(self, event: Envelope) -> str | None:
        return event.data["exclusion_id"] if event.stream.startswith("exclusions-") else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        state, data = _CLAIM_STATES[event.type.split(".")[-2]], event.data
        row.update(state=state, updated_at=event.time)
        if state == "CLAIMED":
            plain = ("unit_id", "district", "period", "ground", "kind", "policy_version")
            row.update({name: data.get(name) for name in plain}, appeal_id=event.subject, claimed_at=event.time)
            row["instance"] = 1
        if state == "APPEALED":
            row["instance"] = 2
        if "decide_by" in data:
            row["decide_by"] = datetime.fromisoformat(data["decide_by"])


class Standings(KeyedView):
    """One row a credit, and one a stay on the managed list."""

    table = STANDINGS
    sources = ("scoring",)
    indexes = ("unit_id", "period")

    def key(self, event: Envelope) -> str | None:
        if event.stream.startswith("credits-"):
            return str(event.data["credit_id"])
        return f"{event.subject}:{(event.version + 1) // 2}" if event.stream.startswith("governance-") else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        name = event.type.split(".")[-2]
        row.update(unit_id=event.subject, updated_at=event.time)
        if name in {"credit-withdrawn", "governance-left"}:
            row["until"] = event.time
            return
        row.update(since=event.time, decision=event.data["decision"], period=event.data.get("period"))
        row["kind"] = event.data.get("kind", "GOVERNANCE")


class Publications(KeyedView):
    """Every table that was ever published, as it was."""

    table = PUBLICATIONS
    sources = ("scoring",)
    indexes = ("period, league, number",)

    def key(self, event: Envelope) -> str | None:
        if not event.stream.startswith("period-"):
            return None
        return f"{event.subject}:{event.data['league']}:{event.data.get('number', 0)}"

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        data = event.data
        row.update({name: data[name] for name in ("period", "league", "policy_version", "digest")})
        row.update(number=data.get("number", 0), as_of=datetime.fromisoformat(data["as_of"]), updated_at=event.time)
        row["document"] = orjson.dumps(data).decode()


VIEWS: Sequence[View] = (Lives(), Units(), Policies(), Claims(), Standings(), Publications())
