"""The knowledge base over HTTP: kept by its owners, read by everybody, cited by answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field, StringConstraints
from sqlalchemy import RowMapping, func, select
from starlette.responses import JSONResponse, Response

from services.intake_service.knowledge import KNOWLEDGE as ENTRY
from services.intake_service.knowledge import Entry, Publish, Retire, Revise
from services.intake_service.lookup import Index
from services.intake_service.policy import lookup_policy
from services.intake_service.reference import KNOWLEDGE
from shared.contracts.envelope import rfc3339
from shared.contracts.intake import KnowledgeText
from shared.contracts.upcasters import payload_of
from shared.engine.decider import NotYours, Refused
from shared.engine.execute import Decision, Intention
from shared.engine.joined import split
from shared.engine.runtime import Running
from shared.web.asking import PublicAsking
from shared.web.commands import Call, CommandRoute, Plan
from shared.web.fields import Body, Label, Moment, Text
from shared.web.identity import Ownership, Scope
from shared.web.paging import Window, page
from shared.web.preconditions import etag

router = APIRouter()


class KnowledgeBody(Body):
    """An entry: what it says, whose it is, and until when it holds."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"\S")]
    text: Text
    owner_unit: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
    keywords: Annotated[tuple[Label, ...], Field(max_length=30)] = ()
    valid_until: Moment | None = None


class RetireBody(Body):
    """Nothing needs to be said."""


async def publish(call: Call[KnowledgeBody]) -> Plan:
    """Publish an entry."""
    call.must_see(_of(call.body.owner_unit))
    knowledge_id = call.running.ids.uuid7()
    command = Publish(at=call.now, actor=call.actor, text=_text(call.body))
    return _plan(call, knowledge_id, command)


async def revise(call: Call[KnowledgeBody]) -> Plan:
    """Publish another edition."""
    call.must_see(_of(call.body.owner_unit))
    return _plan(call, call.subject, Revise(at=call.now, actor=call.actor, text=_text(call.body)))


async def retire(call: Call[RetireBody]) -> Plan:
    """Take an entry back."""
    return _plan(call, call.subject, Retire(at=call.now, actor=call.actor))


def _plan(call: Call[Any], knowledge_id: str, command: Any) -> Plan:
    def answer(decision: Decision[Entry]) -> dict[str, Any]:
        entry = decision.state
        return {
            "knowledge_id": knowledge_id,
            "state": entry.state,
            "edition": entry.edition,
            "version": decision.version,
        }

    guard = call.may_touch(lambda entry: _of(entry.owner)) if not isinstance(command, Publish) else None
    return Plan(Intention(ENTRY, knowledge_id, command, guard=guard), answer)


def _of(unit: str | None) -> Ownership:
    return Ownership(frozenset([unit] if unit else []))


def _text(body: KnowledgeBody) -> KnowledgeText:
    return KnowledgeText(**body.model_dump())


@router.get("/v1/knowledge", summary="Entries, most recently changed first")
async def list_entries(
    asking: PublicAsking,
    window: Annotated[Window, Depends()],
    owner_unit: Annotated[str | None, Query(max_length=64)] = None,
    state: Annotated[str | None, Query(max_length=10)] = None,
) -> Response:
    """For everybody. `state=EXPIRED` is what an owner must look at."""
    equal = {KNOWLEDGE.c.owner_unit: owner_unit, KNOWLEDGE.c.state: state}
    conditions = [column == value for column, value in equal.items() if value is not None]
    query = select(KNOWLEDGE).where(*conditions, *window.changed(KNOWLEDGE.c.updated_at))
    keys = (KNOWLEDGE.c.updated_at, KNOWLEDGE.c.knowledge_id)
    what = f"knowledge:{owner_unit}:{state}"
    rows, following = await page(asking.running, query, keys, window, what, descending=True)
    return JSONResponse({"items": [_shown(row) for row in rows], "next_cursor": following})


@router.get("/v1/knowledge/search", summary="What answers a question")
async def search(asking: PublicAsking, q: Annotated[str, Query(min_length=1, max_length=200)]) -> Response:
    """The best first, with the words that fit. Entries that are expired or retired are not found."""
    found = (await _index(asking.running)).ask(q)
    rows = await _rows(asking.running, [one.key for one in found])
    items = [
        {**_shown(rows[one.key]), "score": f"{one.score:.4f}", "words": list(one.words)}
        for one in found
        if one.key in rows
    ]
    return JSONResponse({"items": items})


@router.get("/v1/knowledge/{knowledge_id}", summary="One entry")
async def get_entry(knowledge_id: str, asking: PublicAsking) -> Response:
    """The edition that is told now."""
    row = (await _rows(asking.running, [knowledge_id])).get(knowledge_id)
    if row is None:
        raise NotYours
    return JSONResponse(_shown(row), headers={"ETag": etag(row["version"])})


@router.get("/v1/knowledge/{knowledge_id}/history", summary="All editions of an entry")
async def history(knowledge_id: str, asking: PublicAsking) -> Response:
    """What was told, from when on; oldest first, straight from the log."""
    recorded = await asking.running.log.read_stream(ENTRY.stream(knowledge_id))
    if not recorded:
        raise NotYours
    events = [event.envelope for event in recorded]
    items = [
        {"type": one.type.split(".")[-2], "time": rfc3339(one.time), "version": one.version, "data": one.data}
        for one in events
    ]
    return JSONResponse({"items": items})


async def cited_edition(running: Running, knowledge_id: str) -> int:
    """The edition that an answer cites. Raises Refused when there is none that may be told."""
    recorded = await running.log.read_stream(ENTRY.stream(knowledge_id))
    entry = ENTRY.fold([payload_of(event.envelope.type, event.envelope.data) for event in recorded])
    if entry.text is None or entry.state != "PUBLISHED":
        raise Refused("KNOWLEDGE_NOT_CITABLE", "there is no such entry, or it is expired or retired")
    return entry.edition


_kept: dict[tuple[Any, ...], Index] = {}
"""The last index built, by the revision of the entries: they are thousands, questions are many."""


async def _index(running: Running) -> Index:
    columns = (func.count(), func.coalesce(func.sum(KNOWLEDGE.c.version), 0), func.max(KNOWLEDGE.c.updated_at))
    async with running.reads.connect() as connection:
        revision = tuple((await connection.execute(select(func.current_database(), *columns))).one())
        if revision not in _kept:
            told = select(KNOWLEDGE).where(KNOWLEDGE.c.state == "PUBLISHED")
            rows = (await connection.execute(told)).mappings().all()
            index = Index([(row["knowledge_id"], _heading(row), row["text"]) for row in rows], lookup_policy())
            _kept.clear()
            _kept[revision] = index
    return _kept[revision]


def _heading(row: RowMapping) -> str:
    return f"{row['title']}\n{row['keywords'] or ''}"


async def _rows(running: Running, ids: list[str]) -> dict[str, RowMapping]:
    async with running.reads.connect() as connection:
        found = await connection.execute(select(KNOWLEDGE).where(KNOWLEDGE.c.knowledge_id.in_(ids)))
        return {row["knowledge_id"]: row for row in found.mappings()}


def _shown(row: RowMapping) -> dict[str, Any]:
    item = {name: row[name] for name in ("knowledge_id", "title", "text", "owner_unit", "state", "edition", "version")}
    item["keywords"] = split(row["keywords"])
    return item | {name: row[name] and rfc3339(row[name]) for name in ("valid_until", "updated_at")}


COMMANDS = (
    CommandRoute("/v1/knowledge", KnowledgeBody, Scope.KEEP_KNOWLEDGE, publish, "Publish an entry", 201, ""),
    CommandRoute(
        "/v1/knowledge/{knowledge_id}", KnowledgeBody, Scope.KEEP_KNOWLEDGE, revise, "Publish another edition",
        subject="knowledge_id", method="PUT",
    ),
    CommandRoute(
        "/v1/knowledge/{knowledge_id}/retire", RetireBody, Scope.KEEP_KNOWLEDGE, retire, "Take an entry back",
        subject="knowledge_id",
    ),
)  # fmt: skip
