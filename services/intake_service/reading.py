"""Answering questions about cases: from the views, with personal texts opened only for whom they are due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import ColumnElement, RowMapping, exists, false, func, or_, select, true
from sqlalchemy.sql import Select

from services.intake_service.appeal import APPEAL
from services.intake_service.contact import masked_name, masked_phone
from services.intake_service.state import Appeal
from services.intake_service.views import CASES, PERSONS, STORY
from shared.contracts.envelope import rfc3339
from shared.contracts.outward import shown
from shared.contracts.upcasters import payload_of
from shared.engine.decider import NotYours
from shared.engine.joined import has, split
from shared.engine.runtime import Running
from shared.eventlog.sealing import Closed, Opens, sealed_refs, unseal_data
from shared.web.identity import Ownership, Principal, Reach, Scope
from shared.web.masking import hidden_from, known_names, masked
from shared.web.visibility import internal

REGISTERED = "cn.gov.appeals.intake.appeal-registered.v1"
ADDED, SCANNED = ATTACHMENT_EVENTS = (
    "cn.gov.appeals.intake.attachment-added.v1",
    "cn.gov.appeals.intake.attachment-scanned.v1",
)
PLAIN = (
    *("appeal_id", "ticket_no", "kind", "channel", "state", "district", "township", "urgency"),
    *("lead_unit", "lead_unit_name", "cc_district", "merged_into", "cluster", "appellant_type", "version"),
)
TIMES = ("raised_at", "registered_at", "updated_at", "due_at")


def ownership(row: RowMapping) -> Ownership:
    """Whose case this is."""
    units = frozenset([*split(row["participants"]), *filter(None, [row["lead_unit"]])])
    return Ownership(units, row["cc_district"] or row["district"], row["client"], bool(row["identity_hidden"]))


async def owners(running: Running, subjects: Sequence[str]) -> dict[str, Ownership]:
    """Whose these appeals are."""
    async with running.reads.connect() as connection:
        rows = (await connection.execute(select(CASES).where(CASES.c.appeal_id.in_(subjects)))).mappings()
        return {row["appeal_id"]: ownership(row) for row in rows}


async def case_row(running: Running, appeal_id: str) -> RowMapping:
    """The case's row. Raises NotYours when there is none."""
    return await _one(running, select(CASES).where(CASES.c.appeal_id == appeal_id))


async def case_by_ticket(running: Running, ticket_no: str, patient: bool = True) -> RowMapping:
    """The case's row by ticket number; one that was registered a moment ago is waited for. Raises NotYours."""
    query = select(CASES).where(CASES.c.ticket_no == ticket_no)
    try:
        return await _one(running, query)
    except NotYours:
        if not patient:
            raise
        for partition, position in enumerate(await running.log.heads()):
            await running.views_reached("intake", partition, position)
        return await _one(running, query)


async def _one(running: Running, query: Select[Any]) -> RowMapping:
    async with running.reads.connect() as connection:
        row: RowMapping | None = (await connection.execute(query)).mappings().first()
    if row is None or row["state"] is None:
        raise NotYours
    return row


def summary(row: RowMapping, principal: Principal) -> dict[str, Any]:
    """A case as lists show it: codes and times, nothing personal. What it was merged into is of the same person."""
    item: dict[str, Any] = {name: row[name] for name in PLAIN}
    item |= {"merged_into": None} if hidden_from(row["identity_hidden"], principal) else {}
    item |= {name: row[name] and rfc3339(row[name]) for name in TIMES}
    item |= {"category_path": split(row["category"]), "tags": split(row["tags"]), "alerts": split(row["alerts"])}
    return item | counts_of(row)


def counts_of(row: RowMapping) -> dict[str, int]:
    counts = {"round": row["routing_round"]} | {name: row[name] for name in ("supplements", "urges", "attachments")}
    return {name: count or 0 for name, count in counts.items()}


async def whole_case(running: Running, row: RowMapping, principal: Principal) -> dict[str, Any]:
    """The case with its texts and its story, as this caller may see it."""
    opened = await opened_story(running, row)
    hidden, hotline = hidden_from(row["identity_hidden"], principal), principal.reach(Scope.READ) is Reach.ALL
    if not hotline:
        opened = [event for event in opened if not internal(event["type"])]
    if hidden:
        opened = _without_traces(opened)
    facts = _registration(opened)
    item = summary(row, principal) | ({"malicious_use": bool(row["malicious"])} if hotline else {})
    item |= {name: facts.get(name) for name in ("title", "content", "source_ref", "relates_to")}
    item |= {"location": facts.get("place") or None, "appellant": _appellant(facts.get("appellant"), row, principal)}
    item |= {"assessment": orjson.loads(row["assessment"]) if row["assessment"] else None}
    item |= {"attachments": listed_attachments(opened)}
    return item | {"timeline": [_told(event) for event in opened]}


def _registration(story: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return next((event["data"] for event in story if event["type"] == REGISTERED), {})


def _without_traces(story: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The story without what may tell who the appellant is: files' names and positions, and known names in words."""
    known = known_names(_registration(story).get("appellant") or {})
    return [{**event, "data": shown(masked(_untraced(event), known), hidden=True) | _who(event)} for event in story]


def _who(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: event["data"][name] for name in ("appellant",) if name in event["data"]}


def _untraced(event: Mapping[str, Any]) -> dict[str, Any]:
    traces = {"name", "longitude", "latitude"} if event["type"] == ADDED else set()
    return {name: value for name, value in event["data"].items() if name not in traces}


def _position(one: Mapping[str, Any]) -> dict[str, Any] | None:
    said = {name: one.get(name) for name in ("longitude", "latitude")}
    if not all(said.values()):
        return None
    return {name: value if str(value).startswith("[") else float(str(value)) for name, value in said.items()}


async def opened_story(running: Running, row: RowMapping) -> list[dict[str, Any]]:
    """Every event of a case in order, its texts open unless the person's data is restricted or erased."""
    story = await _story(running, row["appeal_id"])
    if all(event["type"] != REGISTERED for event in story):  # one view may be ahead of another
        await running.own_views_settled(row["appeal_id"])
        story = await _story(running, row["appeal_id"])
    opener: Opens = Closed() if await restricted(running, row) else running.keyring
    await running.keyring.load({ref for event in story for ref in sealed_refs(event["type"], event["data"])})
    return [_opened(opener, event) for event in story]


def listed_attachments(story: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The files that an opened story tells of. Where a photo says it was taken is offered, not used."""
    keep = ("number", "kind", "media_type", "bytes", "name", "sha256", "scan")
    return [{name: one.get(name) for name in keep} | {"position": _position(one)} for one in _attachments(story)]


async def attachments_of(running: Running, appeal_id: str) -> list[dict[str, Any]]:
    """The files of an appeal, as the log has them, with what the scanner has said since."""
    story = [event for event in await _story(running, appeal_id) if event["type"] in ATTACHMENT_EVENTS]
    return _attachments(story)


def _attachments(story: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    verdicts = {event["data"]["number"]: event["data"]["verdict"] for event in story if event["type"] == SCANNED}
    added = [event["data"] for event in story if event["type"] == ADDED]
    return [{**one, "scan": verdicts.get(one["number"], one["scan"])} for one in added]


async def _story(running: Running, appeal_id: str) -> list[dict[str, Any]]:
    query = select(STORY).where(STORY.c.appeal_id == appeal_id).order_by(STORY.c.time, STORY.c.event_id)
    async with running.reads.connect() as connection:
        rows = (await connection.execute(query)).mappings().all()
    return [{**row, "data": orjson.loads(row["data"]), "actor": orjson.loads(row["actor"])} for row in rows]


def _opened(opener: Opens, event: dict[str, Any]) -> dict[str, Any]:
    place = f"{event['stream']}/{event['event_id']}"
    return {**event, "data": unseal_data(opener, event["type"], event["data"], place)}


async def restricted(running: Running, row: RowMapping) -> bool:
    """Whether what this case says of a person is kept and used no more."""
    query = select(dealt_with(row["person"], row["registered_at"], "RESTRICTED"))
    async with running.reads.connect() as connection:
        return bool(await connection.scalar(query))


def dealt_with(person: Any, registered_at: Any, *standings: str) -> ColumnElement[bool]:
    """As SQL, of columns or values: that a person's data stands so since after this appeal of theirs."""
    since = (PERSONS.c.ref == person, PERSONS.c.standing.in_(standings), PERSONS.c.standing_at >= registered_at)
    return exists().where(*since)


def _told(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "service": event["service"],
        "type": event["type"],
        "time": rfc3339(event["time"]),
        "version": event["version"],
        "actor": {name: event["actor"].get(name) for name in ("role", "unit_id")},
        "data": shown(event["data"]),
    }


def _appellant(facts: dict[str, Any] | None, row: RowMapping, principal: Principal) -> dict[str, Any] | None:
    """Masked; and nothing but the type for a unit when the identity is to be hidden from it."""
    if facts is None:
        return None
    told = {"type": facts["type"], "confidential": facts["confidential"], "anonymous": facts["anonymous"]}
    if hidden_from(row["identity_hidden"], principal):
        return told | {"hidden": True}
    return told | {"name": masked_name(facts.get("name")), "phone": masked_phone(facts.get("phone"))}


def in_reach(principal: Principal) -> Any:
    """The rows that a caller may list, as SQL."""
    mine = [name for name in (principal.district, principal.unit_id) if name]
    match principal.reach(Scope.READ):
        case Reach.ALL:
            return true()
        case Reach.DISTRICT:
            watches = func.coalesce(CASES.c.cc_district, CASES.c.district).in_(mine)
            return or_(watches, CASES.c.lead_unit.in_(mine), *(has(CASES.c.participants, one) for one in mine))
        case Reach.UNIT:
            unit = principal.unit_id
            return or_(CASES.c.lead_unit == unit, has(CASES.c.participants, unit)) if unit else false()
        case Reach.OWN:
            return CASES.c.client == principal.sub


async def load_appeal(running: Running, appeal_id: str) -> Appeal:
    """The appeal's own state, straight from the log."""
    recorded = await running.log.read_stream(APPEAL.stream(appeal_id))
    return APPEAL.fold([payload_of(event.envelope.type, event.envelope.data) for event in recorded])


async def merges_of(running: Running, appellant_ref: str) -> int:
    """How many of a person's appeals have been merged so far."""
    counted = "SELECT count(*) FROM idempotency WHERE client = $1"
    return int(await running.pool.fetchval(counted, f"merge:{appellant_ref}"))
