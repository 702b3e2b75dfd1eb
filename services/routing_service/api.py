"""Routing over HTTP: proposals, orders and worklists, the organisation tree and the catalogue. Contract section 3."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query
from pydantic import Field, StringConstraints
from sqlalchemy import RowMapping, false, func, or_, select
from starlette.responses import JSONResponse, Response

from services.routing_service import commands
from services.routing_service.ground import MultiPolygon, geojson
from services.routing_service.unit import CATALOGUE, UNIT, DraftCatalogue, KeepUnit, PublishCatalogue
from services.routing_service.views import CATALOGUES, ORDERS, UNITS
from shared.contracts.codes import CaseState, UnitType, Urgency
from shared.contracts.envelope import BEIJING, rfc3339
from shared.contracts.routing import Rule, UnitRegistered
from shared.engine.decider import NotYours
from shared.engine.execute import Intention
from shared.engine.joined import has, split
from shared.engine.runtime import Running
from shared.web.app import Api
from shared.web.asking import Asking, reads
from shared.web.commands import Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body, Code, Label, Moment, ShortText
from shared.web.identity import Ownership, Principal, Reach, Scope
from shared.web.paging import Window, between, page
from shared.web.preconditions import etag

router = APIRouter()
CanRead = Annotated[Asking, Depends(reads(Scope.READ))]
CanReadReference = Annotated[Asking, Depends(reads(Scope.READ_REFERENCE))]
NEVER_DUE = datetime(2200, 1, 1, tzinfo=BEIJING)
"""Sorts after every real due time."""
Words = Annotated[tuple[Label, ...], Field(max_length=200)]


class UnitBody(Body):
    """A unit's entry in the tree."""

    unit_id: Code
    name: Label
    name_en: Annotated[str, StringConstraints(max_length=200)] = ""
    unit_type: UnitType
    parent_id: Code | None = None
    aliases: Words = ()
    boundary: MultiPolygon | None = None


class RuleBody(Body):
    """One line of the 派单目录."""

    id: Code
    name: Label
    categories: Words = ()
    keywords: Words = ()
    unless: Words = ()
    duty: Code
    tier: Urgency = Urgency.GENERAL
    basis: ShortText


class CatalogueBody(Body):
    """A version of the catalogue, to be published later."""

    version: Code
    source: ShortText
    rules: Annotated[tuple[RuleBody, ...], Field(min_length=1, max_length=5000)]


class PublishBody(Body):
    """From when on."""

    effective_from: Moment | None = None


def _owned(row: RowMapping) -> Ownership:
    return Ownership(frozenset([*split(row["called"]), *filter(None, [row["lead_unit"]])]), row["cc_district"])


async def owners(running: Running, subjects: Sequence[str]) -> dict[str, Ownership]:
    """Whose these appeals are."""
    async with running.reads.connect() as connection:
        rows = (await connection.execute(select(ORDERS).where(ORDERS.c.appeal_id.in_(subjects)))).mappings()
        return {row["appeal_id"]: _owned(row) for row in rows}


async def keep_unit(call: Call[UnitBody]) -> Plan:
    """Enter a unit in the tree, or replace its entry."""
    body = call.body
    boundary = body.boundary.boundary if body.boundary else None
    entry = UnitRegistered(**body.model_dump(exclude={"boundary"}), boundary=boundary)
    command = KeepUnit(at=call.now, actor=call.actor, entry=entry)
    return Plan(Intention(UNIT, entry.unit_id, command), state_and_version)


async def draft_catalogue(call: Call[CatalogueBody]) -> Plan:
    """Write a version of the catalogue down."""
    rules = tuple(Rule(**rule.model_dump()) for rule in call.body.rules)
    command = DraftCatalogue(
        at=call.now, actor=call.actor, version=call.body.version, source=call.body.source, rules=rules
    )
    return Plan(Intention(CATALOGUE, call.body.version, command), state_and_version)


async def publish_catalogue(call: Call[PublishBody]) -> Plan:
    """Let a drafted version come into force."""
    effective = call.body.effective_from or call.now
    command = PublishCatalogue(at=call.now, actor=call.actor, version=call.subject, effective_from=effective)
    return Plan(Intention(CATALOGUE, call.subject, command), state_and_version)


def order_of(row: RowMapping) -> dict[str, Any]:
    """The shape that the contract fixes (section 9)."""
    plain = ("appeal_id", "state", "lead_unit", "cc_district", "tier", "round", "catalogue_version", "rule_id")
    order: dict[str, Any] = {name: row[name] for name in (*plain, "model_version", "version")}
    order |= {name: row[name] and rfc3339(row[name]) for name in ("dispatched_at", "due_at", "updated_at")}
    derivation = orjson.loads(row["due_derivation"]) if row["due_derivation"] else None
    order |= {"co_units": split(row["called"]), "due_derivation": derivation, "ticket_no": row["ticket_no"]}
    return order | {name: bool(row[name]) for name in ("extended", "escalated", "supervised", "sign_overdue")}


async def _order(asking: Asking, appeal_id: str) -> RowMapping:
    async with asking.running.reads.connect() as connection:
        row = (await connection.execute(select(ORDERS).where(ORDERS.c.appeal_id == appeal_id))).mappings().first()
    if row is None or not asking.principal.can_see(asking.scope, _owned(row)):
        raise NotYours
    return row


@router.get("/v1/orders/{appeal_id}", summary="An order")
async def get_order(appeal_id: str, asking: CanRead) -> Response:
    """Who leads, until when, by which rule."""
    row = await _order(asking, appeal_id)
    return JSONResponse(order_of(row), headers={"ETag": etag(row["version"]), "Cache-Control": "no-store"})


@router.get("/v1/orders/{appeal_id}/proposals", summary="Who could be responsible, and why")
async def get_proposals(appeal_id: str, asking: CanRead) -> Response:
    """Ranked units as they were proposed when the appeal came in."""
    row = await _order(asking, appeal_id)
    keep = ("unit_id", "name", "confidence", "why", "rule_id", "tier", "cc_district")
    items = [{name: candidate.get(name) for name in keep} for candidate in orjson.loads(row["candidates"] or "[]")]
    versions = {name: row[name] for name in ("catalogue_version", "model_version", "automatic")}
    return JSONResponse({"items": items} | versions)


@router.get("/v1/orders", summary="A unit's worklist, soonest due first")
async def list_orders(
    asking: CanRead,
    window: Annotated[Window, Depends()],
    unit_id: Annotated[str | None, Query(max_length=64)] = None,
    state: CaseState | None = None,
    due_before: Annotated[Moment | None, Query()] = None,
) -> Response:
    """Within the caller's reach. Orders that wait for a dispatcher have no due time and come last."""
    conditions = [_in_reach(asking.principal), *window.changed(ORDERS.c.updated_at)]
    conditions += [ORDERS.c.lead_unit == unit_id] if unit_id else []
    conditions += [ORDERS.c.state == str(state)] if state else []
    conditions += between(ORDERS.c.due_at, None, due_before)
    keys = (func.coalesce(ORDERS.c.due_at, NEVER_DUE), ORDERS.c.appeal_id)
    what = f"orders:{asking.principal.sub}:{unit_id}:{state}:{due_before}"
    rows, following = await page(asking.running, select(ORDERS).where(*conditions), keys, window, what)
    return JSONResponse({"items": [order_of(row) for row in rows], "next_cursor": following})


def _in_reach(principal: Principal) -> Any:
    mine = [name for name in (principal.district, principal.unit_id) if name]
    match principal.reach(Scope.READ):
        case Reach.ALL:
            return ORDERS.c.state.is_not(None)
        case Reach.DISTRICT:
            return or_(ORDERS.c.cc_district.in_(mine), ORDERS.c.lead_unit.in_(mine))
        case Reach.OWN:
            return false()
        case Reach.UNIT:
            unit = principal.unit_id
            return or_(ORDERS.c.lead_unit == unit, has(ORDERS.c.called, unit)) if unit else false()


@router.get("/v1/units", summary="The organisation tree")
async def list_units(
    asking: CanReadReference,
    window: Annotated[Window, Depends()],
    unit_type: UnitType | None = None,
    parent_id: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Units by id."""
    conditions = window.changed(UNITS.c.updated_at)
    conditions += [UNITS.c.unit_type == str(unit_type)] if unit_type else []
    conditions += [UNITS.c.parent_id == parent_id] if parent_id else []
    query, what = select(UNITS).where(*conditions), f"units:{unit_type}:{parent_id}"
    rows, following = await page(asking.running, query, (UNITS.c.unit_id,), window, what)
    return JSONResponse({"items": [_unit(row) for row in rows], "next_cursor": following})


@router.get("/v1/catalogue/versions", summary="The versions of the 派单目录")
async def list_catalogues(asking: CanReadReference, window: Annotated[Window, Depends()]) -> Response:
    """Each with its rules."""
    query = select(CATALOGUES).where(*window.changed(CATALOGUES.c.updated_at))
    rows, following = await page(asking.running, query, (CATALOGUES.c.catalogue_version,), window, "catalogues")
    items = [
        {"version": row["catalogue_version"], "state": row["state"], "source": row["source"]}
        | {"effective_from": row["effective_from"] and rfc3339(row["effective_from"])}
        | {"rules": orjson.loads(row["rules"])}
        for row in rows
    ]
    return JSONResponse({"items": items, "next_cursor": following})


def _unit(row: RowMapping) -> dict[str, Any]:
    plain = {name: row[name] for name in ("unit_id", "name", "name_en", "unit_type", "parent_id", "version")}
    boundary = geojson(orjson.loads(row["boundary"])) if row["boundary"] else None
    return plain | {"aliases": orjson.loads(row["aliases"]), "boundary": boundary}


COMMANDS = (
    *commands.COMMANDS,
    CommandRoute("/v1/units", UnitBody, Scope.KEEP_UNITS, keep_unit, "Enter a unit", subject="", method="PUT"),
    CommandRoute(
        "/v1/catalogue/versions", CatalogueBody, Scope.KEEP_CATALOGUE, draft_catalogue, "Draft a catalogue", 201, ""
    ),
    CommandRoute(
        "/v1/catalogue/versions/{version}/publish", PublishBody, Scope.KEEP_CATALOGUE, publish_catalogue,
        "Publish a catalogue", subject="version",
    ),
)  # fmt: skip

API = Api("Jiesu routing 精准派单", router, COMMANDS, owners)
