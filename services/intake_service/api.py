"""Intake over HTTP: register, triage, follow. Paths and shapes are those of the public contract, sections 1 and 2."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from pydantic import BaseModel
from sqlalchemy import RowMapping, func, not_, select
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.intake_service.appeal import APPEAL, Answer, Appeal, Merge, Redirect, Register, Withdraw
from services.intake_service.contact import pseudonym
from services.intake_service.finding import opened_facts, similar, those_that_are, wanted
from services.intake_service.reading import (
    case_by_ticket,
    case_row,
    in_reach,
    load_appeal,
    merges_of,
    owners,
    ownership,
    summary,
    whole_case,
)
from services.intake_service.registration import AppealBody, Email, Phone, Tickets, facts_of, hash_of, new_tracking_code
from services.intake_service.views import CASES, SEPARATOR
from shared.contracts.codes import ENDED, CaseState, Channel, Kind, Route
from shared.contracts.envelope import Actor, rfc3339
from shared.engine.decider import NotYours
from shared.engine.execute import Decision, Intention
from shared.web.app import Api
from shared.web.asking import Asking, PublicAsking, reads
from shared.web.bodies import parse_body, read_body
from shared.web.commands import Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body, Moment, ShortText, Text, Uuid
from shared.web.identity import Ownership, Scope
from shared.web.paging import Window, between, page
from shared.web.preconditions import etag

router = APIRouter()
_tickets = Tickets()
CanRead = Annotated[Asking, Depends(reads(Scope.READ))]
CanTriage = Annotated[Asking, Depends(reads(Scope.TRIAGE))]


class Receipt(BaseModel):
    """The promise that the appeal is on record: which event, and the hash under which it enters the public tree."""

    event_id: str
    leaf_hash: str


class Registered(BaseModel):
    """What a successful registration answers. The tracking code is shown this once."""

    appeal_id: str
    ticket_no: str
    tracking_code: str
    state: CaseState
    version: int
    receipt: Receipt
    links: dict[str, str]


class AnswerBody(Body):
    """An answer to a consultation."""

    text: Text
    knowledge_id: Uuid | None = None


class RedirectBody(Body):
    """Which of the six special routes, and why."""

    route: Route
    reason: ShortText
    target: ShortText | None = None


class MergeBody(Body):
    """Into which earlier appeal of the same person, and why."""

    into: Uuid
    reason: ShortText


class WithdrawBody(Body):
    """Why the appeal is taken back, if the appellant says so."""

    reason: ShortText | None = None


async def register(call: Call[AppealBody]) -> Plan:
    """受理"""
    running, body, client = call.running, call.body, call.principal.sub
    appeal_id, tracking_code = running.ids.uuid7(), new_tracking_code(running.ids)
    facts = facts_of(
        body,
        ticket_no=await _tickets.number(running.pool, call.now),
        tracking_code=tracking_code,
        client=client,
        now=call.now,
        index_key=running.secrets.index,
        subject_key=await running.keyring.fresh(),
        ids=running.ids,
    )
    command = Register(at=call.now, actor=call.actor, facts=facts)

    def answer(decision: Decision[Appeal]) -> dict[str, Any]:
        entry = decision.entries[0]
        case = f"/intake/v1/appeals/{appeal_id}"
        return {
            "appeal_id": appeal_id,
            "ticket_no": facts.ticket_no,
            "tracking_code": tracking_code,
            "state": decision.state.state,
            "version": decision.version,
            "receipt": {"event_id": entry.event_id, "leaf_hash": entry.leaf_hash.hex()},
            "links": {"self": case, "track": f"/intake/v1/track/{facts.ticket_no}"},
        }

    intention = Intention(APPEAL, appeal_id, command, sealed_for=facts.appellant.key, fresh=True)
    once = (f"source_ref:{client}", body.source_ref, "SOURCE_REF_TAKEN") if body.source_ref else None
    return Plan(intention, answer, once)


async def answer(call: Call[AnswerBody]) -> Plan:
    """Answer a consultation at once."""
    seen = await _seen(call)
    body = call.body
    command = Answer(at=call.now, actor=call.actor, text=body.text, knowledge_id=body.knowledge_id, seen=seen)
    return _plan(call, command)


async def redirect(call: Call[RedirectBody]) -> Plan:
    """Take one of the six special routes of Regulation Art 11."""
    body, seen = call.body, await _seen(call)
    command = Redirect(
        at=call.now, actor=call.actor, route=body.route, reason=body.reason, target=body.target, seen=seen
    )
    return _plan(call, command)


async def merge(call: Call[MergeBody]) -> Plan:
    """并单 into an earlier appeal of the same person."""
    body, seen = call.body, await _seen(call)
    appellant = (await load_appeal(call.running, call.subject)).appellant_ref
    before = await merges_of(call.running, appellant)
    target = await load_appeal(call.running, body.into)
    command = Merge(at=call.now, actor=call.actor, into=body.into, reason=body.reason, target=target, seen=seen)
    # Appeals merged into each other at once would all vanish: of one person's appeals one is merged at a time.
    return replace(_plan(call, command), only_once=(f"merge:{appellant}", str(before + 1), "MERGE_CROSSED"))


async def withdraw(call: Call[WithdrawBody]) -> Plan:
    """Take the appeal back on the appellant's behalf."""
    seen = await _seen(call)
    return _plan(call, Withdraw(at=call.now, actor=call.actor, reason=call.body.reason, seen=seen))


async def withdraw_by_citizen(call: Call[WithdrawBody]) -> Plan:
    """The appellant takes the appeal back, with the tracking code."""
    row = await case_by_ticket(call.running, call.subject)
    _must_know(row["tracking_hash"], call.headers.get("x-tracking-code"))
    seen = CaseState(row["state"])
    command = Withdraw(at=call.now, actor=Actor("APPELLANT"), reason=call.body.reason, seen=seen)
    return Plan(Intention(APPEAL, row["appeal_id"], command, sealed_for=_key), state_and_version)


def _plan(call: Call[Any], command: Any) -> Plan:
    guard = call.may_touch(lambda appeal: Ownership(client=appeal.client))
    return Plan(Intention(APPEAL, call.subject, command, sealed_for=_key, guard=guard), state_and_version)


def _key(appeal: Appeal) -> str:
    return appeal.subject_key


async def _seen(call: Call[Any]) -> CaseState:
    """The state of the whole case; a case that the view does not know yet has only been registered."""
    try:
        return CaseState((await case_row(call.running, call.subject))["state"])
    except NotYours:
        return CaseState.REGISTERED


def _must_know(tracking_hash: str, code: str | None) -> None:
    if code is None or not hmac.compare_digest(tracking_hash, hash_of(code)):
        raise NotYours


@router.get("/v1/appeals/{appeal_id}", summary="The whole case")
async def get_case(appeal_id: str, asking: CanRead) -> Response:
    """The appeal, where it stands, and every service's events in order."""
    row = await case_row(asking.running, appeal_id)
    if not asking.principal.can_see(Scope.READ, ownership(row)):
        raise NotYours
    case = await whole_case(asking.running, row, asking.principal)
    return JSONResponse(case, headers={"ETag": etag(row["version"]), "Cache-Control": "no-store"})


@dataclass(frozen=True)
class CaseFilters:
    """What a list of cases can be narrowed to. `category` is a first level or a whole path joined by ` > `."""

    state: CaseState | None = None
    kind: Kind | None = None
    channel: Channel | None = None
    district: Annotated[str | None, Query(max_length=40)] = None
    township: Annotated[str | None, Query(max_length=40)] = None
    unit_id: Annotated[str | None, Query(max_length=64)] = None
    category: Annotated[str | None, Query(max_length=100)] = None
    tag: Annotated[str | None, Query(max_length=100)] = None
    overdue: bool | None = None
    raised_after: Annotated[Moment | None, Query()] = None
    raised_before: Annotated[Moment | None, Query()] = None
    q: Annotated[str | None, Query(max_length=100, description="title, content or address contains this")] = None
    near: Annotated[str | None, Query(max_length=80, description="longitude,latitude,metres (WGS-84)")] = None

    def conditions(self, now: datetime) -> list[Any]:
        equal = {name: getattr(self, name) for name in ("state", "kind", "channel", "district", "township")}
        found = [CASES.c[name] == str(value) for name, value in equal.items() if value is not None]
        found += between(CASES.c.raised_at, self.raised_after, self.raised_before)
        if self.unit_id:
            found.append(CASES.c.lead_unit == self.unit_id)
        if self.category:
            below = CASES.c.category.startswith(self.category + SEPARATOR, autoescape=True)
            found.append((CASES.c.category == self.category) | below)
        if self.tag:
            whole = SEPARATOR + CASES.c.tags + SEPARATOR
            found.append(whole.contains(SEPARATOR + self.tag + SEPARATOR, autoescape=True))
        if self.overdue is not None:
            late = (CASES.c.due_at < now) & CASES.c.state.not_in([str(ended) for ended in ENDED])
            found.append(late if self.overdue else not_(func.coalesce(late, False)))
        return found


@router.get("/v1/appeals", summary="Cases, most recently changed first")
async def list_cases(
    asking: CanRead, window: Annotated[Window, Depends()], filters: Annotated[CaseFilters, Depends()]
) -> Response:
    """Within the caller's reach."""
    running, sought = asking.running, wanted(filters.q, filters.near)
    conditions = [*filters.conditions(running.clock.now()), *window.changed(CASES.c.updated_at)]
    if not sought.nothing:
        conditions += sought.conditions(running.secrets.index)
    query = select(CASES).where(CASES.c.state.is_not(None), in_reach(asking.principal), *conditions)
    keys = (CASES.c.updated_at, CASES.c.appeal_id)
    what = f"cases:{asking.principal.sub}:{filters}"

    async def keep(rows: Sequence[RowMapping]) -> Sequence[RowMapping]:
        return await those_that_are(running, rows, sought)

    rows, following = await page(running, query, keys, window, what, descending=True, keep=keep)
    return JSONResponse({"items": [summary(row) for row in rows], "next_cursor": following})


class Unregistered(Body):
    """What is about to be registered."""

    content: Text
    phone: Phone | None = None
    email: Email | None = None


@router.get("/v1/appeals/{appeal_id}/similar", summary="Repeats of the same person, and the same problem elsewhere")
async def get_similar(appeal_id: str, asking: CanTriage) -> Response:
    """The most alike first, with the evidence. Whether they are merged is for the caller to decide."""
    running = asking.running
    await case_row(running, appeal_id)
    facts = (await opened_facts(running, [appeal_id]))[appeal_id]
    items = await similar(running, facts["content"], facts["appellant"]["ref"], but=appeal_id)
    return JSONResponse({"items": items}, headers={"Cache-Control": "no-store"})


@router.post(
    "/v1/similar",
    summary="What an appeal that is being taken down resembles",
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": Unregistered.model_json_schema()}}}},
)
async def would_be_similar(request: Request, asking: CanTriage) -> Response:
    """The same before registration, so that nobody has to say a thing twice. Stores nothing."""
    running = asking.running
    body = parse_body(await read_body(request, running.settings.max_body_bytes), Unregistered)
    person = pseudonym(running.secrets.index, body.phone, body.email)
    items = await similar(running, body.content, person, but=None)
    return JSONResponse({"items": items}, headers={"Cache-Control": "no-store"})


@router.get("/v1/track/{ticket_no}", summary="What the citizen may see")
async def track(
    ticket_no: str, asking: PublicAsking, x_tracking_code: Annotated[str | None, Header(max_length=100)] = None
) -> Response:
    """Where the appeal stands and who is dealing with it, for whoever holds ticket number and tracking code."""
    row = await case_by_ticket(asking.running, ticket_no)
    _must_know(row["tracking_hash"], x_tracking_code)
    names = ("ticket_no", "kind", "state", "lead_unit_name", "version")
    seen = {name: row[name] for name in names} | {"round": row["routing_round"] or 0}
    seen |= {name: row[name] and rfc3339(row[name]) for name in ("raised_at", "registered_at", "updated_at", "due_at")}
    return JSONResponse(seen, headers={"ETag": etag(row["version"]), "Cache-Control": "no-store"})


_ON_APPEAL = "/v1/appeals/{appeal_id}"
COMMANDS = (
    CommandRoute("/v1/appeals", AppealBody, Scope.REGISTER, register, "Register an appeal", 201, "", answer=Registered),
    CommandRoute(f"{_ON_APPEAL}/answer", AnswerBody, Scope.TRIAGE, answer, "Answer a consultation at once"),
    CommandRoute(f"{_ON_APPEAL}/redirect", RedirectBody, Scope.TRIAGE, redirect, "Take a special route (Art 11)"),
    CommandRoute(f"{_ON_APPEAL}/merge", MergeBody, Scope.TRIAGE, merge, "Merge into an earlier appeal"),
    CommandRoute(f"{_ON_APPEAL}/withdraw", WithdrawBody, Scope.WITHDRAW, withdraw, "Withdraw for the appellant"),
    CommandRoute(
        "/v1/track/{ticket_no}/withdraw", WithdrawBody, Scope.PUBLIC, withdraw_by_citizen, "Withdraw by tracking code",
        subject="ticket_no",
    ),
)  # fmt: skip

API = Api("Jiesu intake 一号响应", router, COMMANDS, owners)
