"""What feedback shows and looks things up in: case files, the callback queue, notices, leads, and who is to be told."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from services.feedback_service.folding import OF_NEIGHBOURS, fold
from services.feedback_service.notice import Standing
from shared.contracts.envelope import BEIJING, ERASED, Envelope
from shared.engine.joined import joined
from shared.engine.projections import KeyedView, View
from shared.eventlog.postgres import Connection
from shared.eventlog.sealing import Keyring, sealed_refs, unseal_data
from shared.language.likeness import bands, tokens

_metadata = MetaData()
_INTAKE, _FEEDBACK = "cn.gov.appeals.intake.", "cn.gov.appeals.feedback."
REGISTERED, ATTACHED = f"{_INTAKE}appeal-registered.v1", f"{_INTAKE}attachment-added.v1"
SCANNED = f"{_INTAKE}attachment-scanned.v1"
RESTRICTING, RESTORING = f"{_INTAKE}appellant-restricted.v1", f"{_INTAKE}appellant-restored.v1"
ERASING, GIVEN = f"{_INTAKE}appellant-erased.v1", f"{_FEEDBACK}feedback-given.v1"
RESTRICTED = Table("restricted", _metadata, Column("appeal_id", Text, primary_key=True), Column("measure", Text))
CASES = Table(
    "cases",
    _metadata,
    Column("appeal_id", Text, primary_key=True),
    *(Column(name, Text) for name in ("ticket_no", "state", "lead_unit", "lead_unit_name", "co_units", "cc_district")),
    *(Column(name, Text) for name in ("tier", "category", "findings", "assigned_to", "entries", "former_units")),
    *(Column(name, Text) for name in ("rechecks", "recheck_officer", "reviews", "review_officer")),
    *(Column(name, Integer) for name in ("round", "version", "response_seconds", "tries", "written", "posted")),
    *(Column(name, Integer) for name in ("read_by_unit", "read_by_appellant")),
    *(Column(name, Boolean) for name in ("identity_hidden", "awaiting_reply")),
    *(Column(name, DateTime(timezone=True)) for name in ("dispatched_at", "due_at", "due_set_at", "callback_due_at")),
    *(Column(name, DateTime(timezone=True)) for name in ("call_not_before", "assigned_until", "recheck_due_at")),
    *(Column(name, DateTime(timezone=True)) for name in ("review_due_at", "reply_due_at", "closed_at", "updated_at")),
)
RECIPIENTS = Table(
    "recipients",
    _metadata,
    Column("appeal_id", Text, primary_key=True),
    *(Column(name, Text) for name in ("ticket_no", "person", "channel", "tracking_hash", "event_id", "appellant")),
)
EVIDENCE = Table(
    "evidence",
    _metadata,
    Column("appeal_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", Text),
    Column("by", Text),
    Column("scan", Text),
    Column("file", BigInteger),
)
WORDINGS = Table(
    "wordings",
    _metadata,
    Column("event_id", Text, primary_key=True),
    Column("unit_id", Text),
    Column("appeal_id", Text),
    Column("at", DateTime(timezone=True)),
    Column("words", ARRAY(BigInteger)),
    Column("buckets", ARRAY(BigInteger)),
)
NOTICE_ROWS = Table(
    "notices",
    _metadata,
    Column("notice_id", Text, primary_key=True),
    *(Column(name, Text) for name in ("appeal_id", "template", "audience", "cause", "link", "standing", "channel")),
    *(Column(name, Text) for name in ("language", "person", "reason")),
    Column("attempts", Integer),
    *(Column(name, DateTime(timezone=True)) for name in ("planned_at", "due_at", "sent_at", "updated_at")),
)
PREFERENCES = Table(
    "preferences",
    _metadata,
    Column("person", Text, primary_key=True),
    Column("language", Text),
    Column("off", Text),
    Column("optional", Boolean),
)
LEAD_ROWS = Table(
    "leads",
    _metadata,
    Column("key", Text, primary_key=True),
    *(Column(name, Text) for name in ("subject", "kind", "unit_id", "events", "figures", "policy", "outcome")),
    *(Column(name, DateTime(timezone=True)) for name in ("raised_at", "updated_at")),
)
ANSWERED = Table(
    "answered",
    _metadata,
    Column("unit_and_day", Text, primary_key=True),
    Column("unit_id", Text),
    Column("day", Text),
    Column("count", Integer),
)


class Cases(KeyedView):
    """One row a case, with everything said in it."""

    VERSION = 4
    table = CASES
    sources = ("feedback", "intake", "routing")
    indexes = (
        "state, callback_due_at, appeal_id",
        "lead_unit, updated_at, appeal_id",
        "updated_at, appeal_id",
        "recheck_due_at, appeal_id",
        "review_due_at, appeal_id",
    )

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.stream.startswith("case-") or event.type in OF_NEIGHBOURS else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        fold(row, event)


class Recipients(KeyedView):
    """One row an appeal: under which pseudonym its appellant is told, and the sealed number and address."""

    VERSION = 2
    table = RECIPIENTS
    sources = ("intake",)
    indexes = ("ticket_no", "person")

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.type == REGISTERED else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        data = event.data
        row.update(
            {name: data[name] for name in ("ticket_no", "channel", "tracking_hash")},
            person=data["appellant"]["ref"],
            event_id=event.id,
            appellant=orjson.dumps({"appellant": data["appellant"]}).decode(),
        )


class Files(View):
    """One row a file of an appeal. `file` is a keyed hash of its content: the same photo twice is one number."""

    table = EVIDENCE
    sources = ("intake",)
    indexes = ("file",)

    def __init__(self, keyring: Keyring | None = None, index_key: bytes = b"") -> None:
        self._keyring, self._key = keyring, index_key

    def prepared(self, keyring: Keyring, index_key: bytes) -> View:
        return Files(keyring, index_key)

    def wants(self, event: Envelope) -> bool:
        return event.type in {ATTACHED, SCANNED, ERASING}

    async def apply(self, connection: Connection, physical: str, events: Sequence[Envelope]) -> None:
        added = [event for event in events if event.type == ATTACHED]
        if added and self._keyring is not None:
            await self._keyring.load({ref for event in added for ref in sealed_refs(event.type, event.data)})
            insert = f'INSERT INTO "{physical}" VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING'
            await connection.executemany(insert, [self._row(event, self._keyring) for event in added])
        for event in events:
            if event.type == SCANNED:
                note = f'UPDATE "{physical}" SET scan = $3 WHERE appeal_id = $1 AND number = $2'
                await connection.execute(note, event.subject, event.data["number"], event.data["verdict"])
            if event.type == ERASING:
                forget = f'UPDATE "{physical}" SET file = NULL WHERE appeal_id = ANY($1)'
                await connection.execute(forget, event.data["appeals"])

    def _row(self, event: Envelope, keyring: Keyring) -> tuple[Any, ...]:
        sent = unseal_data(keyring, event.type, event.data, f"{event.stream}/{event.id}")["sent_sha256"]
        digest = hmac.digest(self._key, sent.encode(), "sha256")[:8]
        file = None if sent == ERASED else int.from_bytes(digest, "little", signed=True)
        data = event.data
        return event.subject, data["number"], data["kind"], event.actor.role, data["scan"], file


class Wordings(View):
    """One row a result: its words as keyed tokens, so that answers that read the same are found unread."""

    table = WORDINGS
    sources = ("feedback", "intake")
    indexes = ("unit_id, at", "appeal_id", "USING gin (buckets) WITH (fastupdate = off)")

    def __init__(self, keyring: Keyring | None = None, index_key: bytes = b"") -> None:
        self._keyring, self._key = keyring, index_key

    def prepared(self, keyring: Keyring, index_key: bytes) -> View:
        return Wordings(keyring, index_key)

    def wants(self, event: Envelope) -> bool:
        return event.type == ERASING or (event.type == GIVEN and event.data["kind"] == "RESULT")

    async def apply(self, connection: Connection, physical: str, events: Sequence[Envelope]) -> None:
        given = [event for event in events if self.wants(event) and event.type == GIVEN]
        if given and self._keyring is not None:
            await self._keyring.load({ref for event in given for ref in sealed_refs(event.type, event.data)})
            rows = [row for event in given if (row := self._row(event, self._keyring))]
            insert = f'INSERT INTO "{physical}" VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING'
            await connection.executemany(insert, rows)
        for event in events:
            if event.type == ERASING:
                await connection.execute(f'DELETE FROM "{physical}" WHERE appeal_id = ANY($1)', event.data["appeals"])

    def _row(self, event: Envelope, keyring: Keyring) -> tuple[Any, ...] | None:
        text = unseal_data(keyring, event.type, event.data, f"{event.stream}/{event.id}")["text"]
        if text == ERASED:
            return None
        words = tokens(self._key, [text])
        return event.id, event.actor.unit_id, event.subject, event.time, sorted(words), bands(words)


class NoticesView(KeyedView):
    """One row a notice."""

    table = NOTICE_ROWS
    sources = ("feedback",)
    indexes = ("standing, due_at", "appeal_id", "person, sent_at", "updated_at, notice_id")

    def key(self, event: Envelope) -> str | None:
        return event.data["notice_id"] if event.stream.startswith("notices-") else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        name, data = event.type.split(".")[-2].removeprefix("notification-"), event.data
        row["updated_at"] = event.time
        if name == "planned":
            row.update({one: data.get(one) for one in ("template", "audience", "cause", "link")})
            row.update(appeal_id=event.subject, planned_at=event.time, attempts=0)
        due = data.get("not_before") or data.get("until") or data.get("retry_at")
        row["due_at"] = datetime.fromisoformat(due) if due else row["due_at"]
        row.update({one: data[one] for one in ("channel", "language", "person") if one in data})
        row["reason"] = data.get("reason")
        row["attempts"] = data.get("attempt", row["attempts"])
        row["sent_at"] = event.time if name == "sent" else row["sent_at"]
        row["standing"] = _standing(name, data).value


def _standing(name: str, data: dict[str, Any]) -> Standing:
    match name:
        case "failed":
            return Standing.WAITING if "retry_at" in data else Standing.FAILED
        case "delivered":
            return Standing.DELIVERED if data["arrived"] else Standing.UNDELIVERED
        case "planned" | "postponed":
            return Standing.WAITING
    return Standing(name.upper())


class Preferences(KeyedView):
    """One row a person who has said how to be told."""

    table = PREFERENCES
    sources = ("feedback",)

    def key(self, event: Envelope) -> str | None:
        return event.subject if event.stream.startswith("preference-") else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        row.update(language=event.data["language"], off=joined(event.data["off"]), optional=event.data["optional"])


class LeadsView(KeyedView):
    """One row a lead."""

    table = LEAD_ROWS
    sources = ("feedback",)
    indexes = ("unit_id, raised_at, key", "raised_at, key")

    def key(self, event: Envelope) -> str | None:
        return event.data["key"] if event.stream.startswith("leads-") else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        data, row["updated_at"] = event.data, event.time
        if "outcome" in data:
            row["outcome"] = data["outcome"]
            return
        row.update({name: data[name] for name in ("kind", "unit_id", "policy")}, subject=event.subject)
        row.update(raised_at=event.time, events=joined(data["events"]))
        row.update(figures=orjson.dumps(data.get("figures") or {}).decode())


class Answered(KeyedView):
    """One row a unit and day: how many rounds it completed."""

    table = ANSWERED
    sources = ("feedback",)
    indexes = ("day",)

    def key(self, event: Envelope) -> str | None:
        completes = event.type == GIVEN and event.data["completes"]
        return f"{event.actor.unit_id}|{event.time.astimezone(BEIJING).date()}" if completes else None

    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        unit, _, day = row["unit_and_day"].rpartition("|")
        row.update(unit_id=unit, day=day, count=(row["count"] or 0) + 1)


class Restrictions(View):
    """One row an appeal whose person's data is used no more: RESTRICTED, or ERASED, which nothing lifts."""

    VERSION = 2
    table = RESTRICTED
    sources = ("intake",)

    def wants(self, event: Envelope) -> bool:
        return event.type in _CHANGES

    async def apply(self, connection: Connection, physical: str, events: Sequence[Envelope]) -> None:
        for event in events:
            if self.wants(event):
                await connection.execute(_CHANGES[event.type].format(physical), event.data.get("appeals", []))


_CHANGES = {
    RESTRICTING: """INSERT INTO "{}" SELECT unnest($1::text[]), 'RESTRICTED' ON CONFLICT DO NOTHING""",
    RESTORING: """DELETE FROM "{}" WHERE appeal_id = ANY($1) AND measure = 'RESTRICTED'""",
    ERASING: """
        INSERT INTO "{}" SELECT unnest($1::text[]), 'ERASED'
        ON CONFLICT (appeal_id) DO UPDATE SET measure = 'ERASED'""",
}
_TOLD = (Recipients(), NoticesView(), Preferences())
VIEWS: Sequence[View] = (Cases(), Restrictions(), Files(), Wordings(), *_TOLD, LeadsView(), Answered())
