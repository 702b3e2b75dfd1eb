"""Intake over HTTP: register, triage, follow. Paths and shapes are those of the public contract, sections 1 and 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from sqlalchemy import RowMapping, func, not_, select
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.intake_service import (
    attaching,
    commands,
    following,
    granting,
    importing,
    knowing,
    open311,
    privacy,
    retaining,
)
from services.intake_service.atlas import atlas_of
from services.intake_service.calling import known_by_code
from services.intake_service.contact import pseudonym
from services.intake_service.finding import opened_facts, similar, those_that_are, wanted
from services.intake_service.locating import locate, named_place
from services.intake_service.policy import channel_needs
from services.intake_service.reading import (
    case_row,
    in_reach,
    owners,
    ownership,
    summary,
    whole_case,
)
from services.intake_service.registration import Email, LocationBody, Phone
from services.intake_service.tracking import tracked
from services.intake_service.views import CASES
from shared.contracts.codes import ENDED, AppellantType, CaseState, Channel, Kind
from shared.engine.decider import NotYours
from shared.engine.joined import SEPARATOR, has
from shared.web.app import Api
from shared.web.asking import Asking, PublicAsking, reads
from shared.web.bodies import parse_body, read_body
from shared.web.fields import Body, Moment, Text
from shared.web.identity import Scope
from shared.web.paging import Window, between, page
from shared.web.preconditions import etag

router = APIRouter()
CanRead = Annotated[Asking, Depends(reads(Scope.READ))]
CanRegister = Annotated[Asking, Depends(reads(Scope.REGISTER))]
CanTriage = Annotated[Asking, Depends(reads(Scope.TRIAGE))]


@router.get("/v1/appeals/{appeal_id}", summary="The whole case")
async def get_case(appeal_id: str, asking: CanRead) -> Response:
    """The appeal, where it stands, and every service's events in order."""
    row = await case_row(asking.running, appeal_id)
    if not asking.principal.can_see(Scope.READ, ownership(row)):
        raise NotYours
    case = await whole_case(asking.running, row, asking.principal)
    return JSONResponse(case, headers={"ETag": etag(row["version"]), "Cache-Control": "no-store"})


EQUAL = ("state", "kind", "channel", "district", "township", "appellant_type")


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
    alert: Annotated[str | None, Query(max_length=40, description="a watch category, or 119, 110, 120, 122")] = None
    cluster: Annotated[str | None, Query(max_length=64)] = None
    appellant_type: AppellantType | None = None
    overdue: bool | None = None
    raised_after: Annotated[Moment | None, Query()] = None
    raised_before: Annotated[Moment | None, Query()] = None
    q: Annotated[str | None, Query(max_length=100, description="title, content or address contains this")] = None
    near: Annotated[str | None, Query(max_length=80, description="longitude,latitude,metres (WGS-84)")] = None

    def conditions(self, now: datetime) -> list[Any]:
        equal = {name: getattr(self, name) for name in EQUAL}
        found = [CASES.c[name] == str(value) for name, value in equal.items() if value is not None]
        found += between(CASES.c.raised_at, self.raised_after, self.raised_before)
        if self.unit_id:
            found.append(CASES.c.lead_unit == self.unit_id)
        if self.category:
            below = CASES.c.category.startswith(self.category + SEPARATOR, autoescape=True)
            found.append((CASES.c.category == self.category) | below)
        if self.cluster:
            found.append(CASES.c.cluster == self.cluster)
        for column, one in ((CASES.c.tags, self.tag), (CASES.c.alerts, self.alert)):
            if one:
                found.append(has(column, one))
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
        return await those_that_are(running, rows, sought, asking.principal)

    rows, following = await page(running, query, keys, window, what, descending=True, keep=keep)
    return JSONResponse({"items": [summary(row, asking.principal) for row in rows], "next_cursor": following})


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


@router.post(
    "/v1/places",
    summary="Which district, street and community a place lies in",
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": LocationBody.model_json_schema()}}}},
)
async def where(request: Request, asking: CanRegister) -> Response:
    """By code, name, address or point, as a registration would find it. Stores nothing."""
    running = asking.running
    body = parse_body(await read_body(request, running.settings.max_body_bytes), LocationBody)
    atlas = await atlas_of(running)
    return JSONResponse(named_place(locate(body, atlas), atlas), headers={"Cache-Control": "no-store"})


@router.get("/v1/channels", summary="What an appeal must bring, by channel")
async def list_channels(asking: PublicAsking) -> Response:
    """For each channel groups of fields; of each group one field is enough."""
    items = [
        {"channel": channel, "needs": [need.fields for need in needs]} for channel, needs in channel_needs().items()
    ]
    return JSONResponse({"items": items})


@router.get("/v1/track/{ticket_no}", summary="What the citizen may see")
async def track(
    ticket_no: str,
    request: Request,
    asking: PublicAsking,
    x_tracking_code: Annotated[str | None, Header(max_length=100)] = None,
) -> Response:
    """Where the appeal stands, who deals with it and what was said, for whoever holds number and code."""
    row = await known_by_code(asking.running, ticket_no, request.headers)
    seen = await tracked(asking.running, row)
    return JSONResponse(seen, headers={"ETag": etag(row["version"]), "Cache-Control": "no-store"})


for part in (attaching, granting, importing, privacy, retaining, knowing, open311):
    router.routes.extend(part.router.routes)
PARTS = (commands, following, attaching, importing, granting, privacy, knowing)
COMMANDS = [command for part in PARTS for command in part.COMMANDS]
API = Api("Jiesu intake 一号响应", router, COMMANDS, owners)
