"""Orders as units and districts work through them: what is due next, what is overdue, how long something has been open.

As JSON page by page, or the whole list as CSV or XLSX. Contract sections 3 and 9.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import RowMapping, Text, and_, case, false, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from starlette.responses import JSONResponse, Response

from services.routing_service.views import ORDERS
from shared.contracts.codes import CaseState, Urgency
from shared.contracts.envelope import BEIJING, rfc3339
from shared.engine.decider import NotYours
from shared.engine.joined import SEPARATOR, split
from shared.engine.runtime import Running
from shared.web.asking import Asking, reads
from shared.web.fields import Moment
from shared.web.identity import Ownership, Principal, Reach, Scope
from shared.web.media import also
from shared.web.paging import Window, between, page
from shared.web.preconditions import etag
from shared.web.problems import Problem
from shared.web.tables import MOST_ROWS, TABLES, asks_for_table, table_response

router = APIRouter()
CanRead = Annotated[Asking, Depends(reads(Scope.READ))]
CanReadScores = Annotated[Asking, Depends(reads(Scope.READ_SCORES))]
NEVER_DUE = datetime(2200, 1, 1, tzinfo=BEIJING)
"""Sorts after every real due time."""
_RUNNING = tuple(str(state) for state in (CaseState.DISPATCHED, CaseState.OBJECTED, CaseState.SIGNED))
_WAITING = tuple(str(state) for state in (CaseState.REGISTERED, CaseState.CONSULTING))
COLUMNS = (
    *("ticket_no", "appeal_id", "state", "lead_unit", "cc_district", "tier", "round", "dispatched_at", "due_at"),
    *("seconds_left", "overdue", "next_step", "next_due_at", "officer", "urges", "sign_overdue", "extended"),
    *("supervised", "escalated", "rule_id", "catalogue_version", "model_version"),
)
"""What a list has as a table."""
BY = {
    "rule": ORDERS.c.proposed_rule,
    "model": ORDERS.c.model_version,
    "catalogue": ORDERS.c.proposed_catalogue,
    "unit": ORDERS.c.first_unit,
    "confidence": func.floor(ORDERS.c.confidence * 10) / 10,
}


def owned(row: RowMapping) -> Ownership:
    """Whose an order is."""
    return Ownership(frozenset([*split(row["called"]), *filter(None, [row["lead_unit"]])]), row["cc_district"])


async def owners(running: Running, subjects: Sequence[str]) -> dict[str, Ownership]:
    """Whose these appeals are."""
    async with running.reads.connect() as connection:
        rows = (await connection.execute(select(ORDERS).where(ORDERS.c.appeal_id.in_(subjects)))).mappings()
        return {row["appeal_id"]: owned(row) for row in rows}


@dataclass(frozen=True)
class Filters:
    """What a worklist can be asked for."""

    unit_id: Annotated[str | None, Query(max_length=64, description="the lead unit")] = None
    district: Annotated[str | None, Query(max_length=64, description="the district it is copied to")] = None
    state: CaseState | None = None
    tier: Urgency | None = None
    officer: Annotated[str | None, Query(max_length=200, description="the officer who has it; `-` for nobody")] = None
    due_after: Annotated[Moment | None, Query()] = None
    due_before: Annotated[Moment | None, Query()] = None
    overdue: bool | None = None
    supervised: bool | None = None
    escalated: bool | None = None
    open: Annotated[bool | None, Query(description="not ended")] = None
    urged: Annotated[bool | None, Query(description="by the appellant")] = None
    open_for_days: Annotated[int | None, Query(ge=1, le=3650, description="not ended, and registered before")] = None

    def conditions(self, now: datetime) -> list[Any]:
        """As SQL."""
        plain = {"lead_unit": self.unit_id, "cc_district": self.district, "tier": self.tier, "state": self.state}
        found: list[Any] = [ORDERS.c[name] == str(value) for name, value in plain.items() if value]
        found += between(ORDERS.c.due_at, self.due_after, self.due_before)
        if self.officer:
            found.append(ORDERS.c.officer.is_(None) if self.officer == "-" else ORDERS.c.officer == self.officer)
        flags = {"supervised": self.supervised, "escalated": self.escalated}
        found += [
            func.coalesce(ORDERS.c[name], false()).is_(value) for name, value in flags.items() if value is not None
        ]
        found += [ORDERS.c.open.is_(self.open)] if self.open is not None else []
        found += [(ORDERS.c.urges > 0).is_(self.urged)] if self.urged is not None else []
        found += [_overdue(now).is_(self.overdue)] if self.overdue is not None else []
        if self.open_for_days:
            found += [ORDERS.c.registered_at < now - timedelta(days=self.open_for_days), ORDERS.c.open]
        return found


def _overdue(now: datetime) -> Any:
    """Not dispatched or signed in time, past the limit, or called back about because the limit expired."""
    unsigned = and_(ORDERS.c.sign_due_at < now, ORDERS.c.signed_at.is_(None), ORDERS.c.dispatched_at.is_not(None))
    late = or_(ORDERS.c.due_at < now, unsigned)
    expired = and_(ORDERS.c.state == str(CaseState.CALLBACK_DUE), ORDERS.c.expired_at.is_not(None))
    waits = and_(ORDERS.c.state.in_(_WAITING), ORDERS.c.dispatch_due_at < now)
    return func.coalesce(or_(and_(ORDERS.c.state.in_(_RUNNING), late), expired, waits), false())


def order_of(row: RowMapping, now: datetime) -> dict[str, Any]:
    """The shape that the contract fixes (section 9), and what a worklist needs beside it."""
    plain = ("appeal_id", "state", "lead_unit", "cc_district", "tier", "round", "catalogue_version", "rule_id")
    order: dict[str, Any] = {name: row[name] for name in (*plain, "model_version", "version", "officer")}
    order |= {name: row[name] and rfc3339(row[name]) for name in ("dispatched_at", "due_at", "updated_at")}
    derivation = orjson.loads(row["due_derivation"]) if row["due_derivation"] else None
    order |= {"co_units": split(row["called"]), "due_derivation": derivation, "ticket_no": row["ticket_no"]}
    order |= {name: bool(row[name]) for name in ("extended", "escalated", "supervised", "sign_overdue", "provisional")}
    whistles = orjson.loads(row["whistles"] or "{}")
    order["whistles"] = [{"number": int(number), "departments": units} for number, units in whistles.items()]
    counts = {name: row[name] or 0 for name in ("objections", "returns", "urges")}
    return order | counts | _countdown(row, now)


def _shown(row: RowMapping, asking: Asking, now: datetime) -> dict[str, Any]:
    """Which officer has it is told to the unit itself, and to whoever sees everything."""
    order = order_of(row, now)
    may = asking.principal.unit_id == row["lead_unit"] or asking.principal.reach(Scope.READ) is Reach.ALL
    return order if may else order | {"officer": None}


def _countdown(row: RowMapping, now: datetime) -> dict[str, Any]:
    """What must happen next and until when; `seconds_left` of the handling time, below 0 when it is over."""
    running, on_ledger = row["state"] in _RUNNING, row["state"] == str(CaseState.ON_LEDGER)
    unsigned = running and row["signed_at"] is None
    waits = row["state"] in _WAITING
    step = "SIGN" if unsigned else "HANDLE" if running else "REVIEW" if on_ledger else "DISPATCH" if waits else None
    due = {"SIGN": row["sign_due_at"], "HANDLE": row["due_at"], "REVIEW": row["review_on"]}
    due_at = (due | {"DISPATCH": row["dispatch_due_at"]}).get(step or "")
    left = int((row["due_at"] - now).total_seconds()) if running and row["due_at"] else None
    expired = row["state"] == str(CaseState.CALLBACK_DUE) and row["expired_at"] is not None
    late = (running or waits) and due_at is not None and due_at < now
    overdue = expired or late or (left is not None and left < 0)
    return {"seconds_left": left, "overdue": overdue, "next_step": step, "next_due_at": due_at and rfc3339(due_at)}


async def one_order(asking: Asking, appeal_id: str) -> RowMapping:
    """The row of an order that the caller may see. Raises NotYours."""
    async with asking.running.reads.connect() as connection:
        row = (await connection.execute(select(ORDERS).where(ORDERS.c.appeal_id == appeal_id))).mappings().first()
    if row is None or not asking.principal.can_see(asking.scope, owned(row)):
        raise NotYours
    return row


@router.get("/v1/orders/{appeal_id}", summary="An order")
async def get_order(appeal_id: str, asking: CanRead) -> Response:
    """Who leads, until when, by which rule."""
    row = await one_order(asking, appeal_id)
    headers = {"ETag": etag(row["version"]), "Cache-Control": "no-store"}
    return JSONResponse(_shown(row, asking, asking.running.clock.now()), headers=headers)


@router.get("/v1/orders/{appeal_id}/proposals", summary="Who could be responsible, and why")
async def get_proposals(appeal_id: str, asking: CanRead) -> Response:
    """Ranked units as they were proposed when the appeal came in."""
    row = await one_order(asking, appeal_id)
    keep = ("unit_id", "name", "confidence", "why", "rule_id", "tier", "cc_district", "department_only")
    items = [{name: candidate.get(name) for name in keep} for candidate in orjson.loads(row["candidates"] or "[]")]
    versions = {name: row[name] for name in ("catalogue_version", "model_version", "automatic")}
    return JSONResponse({"items": items} | versions)


@router.get("/v1/orders", responses=also(*TABLES), summary="A worklist, soonest due first; whole as CSV or XLSX")
async def list_orders(
    request: Request, asking: CanRead, window: Annotated[Window, Depends()], filters: Annotated[Filters, Depends()]
) -> Response:
    """Within the caller's reach, open orders first. Those that wait for a dispatcher have no due time and come last."""
    now = asking.running.clock.now()
    conditions = [
        _in_reach(asking.principal),
        *_own_officers(filters, asking.principal),
        *window.changed(ORDERS.c.updated_at),
        *filters.conditions(now),
    ]
    query = select(ORDERS).where(*conditions)
    keys = (case((ORDERS.c.open, 0), else_=1), func.coalesce(ORDERS.c.due_at, NEVER_DUE), ORDERS.c.appeal_id)
    if media_type := asks_for_table(request):
        return await _whole(asking, query.order_by(*keys), media_type, now)
    rows, following = await page(asking.running, query, keys, window, f"orders:{asking.principal.sub}:{filters}")
    return JSONResponse({"items": [_shown(row, asking, now) for row in rows], "next_cursor": following})


def _own_officers(filters: Filters, principal: Principal) -> list[Any]:
    """Who asks by officer is told of the orders of that unit only."""
    if filters.officer is None or principal.reach(Scope.READ) is Reach.ALL:
        return []
    return [ORDERS.c.lead_unit == principal.unit_id]


async def _whole(asking: Asking, query: Any, media_type: str, now: datetime) -> Response:
    async with asking.running.reads.connect() as connection:
        rows = (await connection.execute(query.limit(MOST_ROWS + 1))).mappings().all()
    if len(rows) > MOST_ROWS:
        message = f"more than {MOST_ROWS} orders; narrow the list, e.g. by open=true or updated_after"
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "", "message": message}])
    orders = (_shown(row, asking, now) for row in rows)
    lines = [[order[name] for name in COLUMNS] for order in orders]
    return await asyncio.to_thread(table_response, media_type, f"orders-{now:%Y%m%d-%H%M}", COLUMNS, lines)


@router.get("/v1/accuracy", summary="How often dispatch was right, by rule, model, catalogue, unit or confidence")
async def accuracy(
    asking: CanReadScores,
    by: Literal["rule", "model", "catalogue", "unit", "confidence"] = "rule",
    registered_after: Annotated[Moment | None, Query()] = None,
    registered_before: Annotated[Moment | None, Query()] = None,
) -> Response:
    """Of the orders that were dispatched: `right` kept the first proposal until a callback closed them, `returned`
    moved after an upheld objection, `ping_pong` did so more than once, `corrected` went elsewhere by hand at once.
    Rates in percent: of `right` among the closed, of `returned` among all.
    """
    closed = ORDERS.c.state == str(CaseState.CLOSED)
    sent = [ORDERS.c.first_unit.is_not(None), *between(ORDERS.c.registered_at, registered_after, registered_before)]
    counts = {
        "dispatched": func.count(),
        "closed": _number(closed),
        "right": _number(and_(closed, ORDERS.c.lead_unit == ORDERS.c.proposed_unit)),
        "objected": _number(ORDERS.c.objections > 0),
        "returned": _number(ORDERS.c.returns > 0),
        "ping_pong": _number(ORDERS.c.returns > 1),
        "corrected": _number(ORDERS.c.first_unit != ORDERS.c.proposed_unit),
    }
    columns = [BY[by].label("name"), *(count.label(name) for name, count in counts.items())]
    query = (
        select(*columns)
        .where(*sent)
        .group_by("name")
        .order_by(*(["name"] if by == "confidence" else [func.count().desc(), "name"]))
    )
    async with asking.running.reads.connect() as connection:
        rows = (await connection.execute(query)).mappings().all()
    return JSONResponse({"by": by, "items": [_rated(row) for row in rows]})


def _number(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0))


def _rated(row: RowMapping) -> dict[str, Any]:
    counts = {name: value if name == "name" else int(value) for name, value in row.items()}
    exact = isinstance(row["name"], Decimal)
    counts["name"] = f"{row['name']:.1f}" if exact else row["name"]
    shares = {"accuracy": ("right", "closed"), "return_rate": ("returned", "dispatched")}
    return counts | {name: _percent(counts[part], counts[whole]) for name, (part, whole) in shares.items()}


def _percent(part: int, whole: int) -> str | None:
    return f"{100 * part / whole:.2f}" if whole else None


def _in_reach(principal: Principal) -> Any:
    mine = [name for name in (principal.district, principal.unit_id) if name]
    match principal.reach(Scope.READ):
        case Reach.ALL:
            return ORDERS.c.state.is_not(None)
        case Reach.DISTRICT:
            return or_(ORDERS.c.cc_district.in_(mine), *map(_works_on, mine))
        case Reach.OWN:
            return false()
        case Reach.UNIT:
            unit = principal.unit_id
            return _works_on(unit) if unit else false()


def _works_on(unit: str) -> Any:
    """Lead, co-unit or called, by the index on all three."""
    return func.string_to_array(ORDERS.c.units, SEPARATOR, type_=ARRAY(Text)).contains([unit])
