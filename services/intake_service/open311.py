"""Open311 GeoReport v2 over our appeals: other cities' apps and dashboards can report and follow without knowing us.

`api_key` is a bearer token of ours. Requests made through Open311 are listed for everybody, without the words and with
the place rounded to about a hundred metres; whoever sent one, with the same key, sees it whole.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends
from sqlalchemy import RowMapping, select
from starlette.requests import Request
from starlette.responses import Response

from services.intake_service.commands import register
from services.intake_service.finding import in_use, opened_facts
from services.intake_service.georeport import FORMATS, Format, Refusal
from services.intake_service.policy import georeport_policy
from services.intake_service.translating import (
    Sought,
    appeal_of,
    conditions_of,
    known_service,
    number_of,
    request_item,
    service_item,
)
from services.intake_service.views import CASES
from shared.engine.decider import Refused
from shared.engine.runtime import Running
from shared.web.asking import PublicAsking
from shared.web.commands import Call
from shared.web.identity import Principal, Scope
from shared.web.problems import PROBLEM_TYPE, Problem

_BOTH = ("application/json", "text/xml")
_ERRORS: dict[str, Any] = {
    "description": "The `errors` of GeoReport, or a problem (RFC 9457).",
    "content": {media_type: {} for media_type in (*_BOTH, PROBLEM_TYPE)},
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {_BOTH[0]: {"schema": {"type": ["array", "object"]}}, _BOTH[1]: {}}},
    **dict.fromkeys((400, 403, 404), _ERRORS),
}
router = APIRouter(prefix="/open311/v2", responses=_ANSWERS)
SPECIFICATION = "http://wiki.open311.org/GeoReport_v2"
FORM = "application/x-www-form-urlencoded"
_SAID = ("description", "address_string", "lat", "long", "first_name", "last_name", "phone", "email", "media_url")
REQUEST_SCHEMA = {
    "type": "object",
    "required": ["api_key", "service_code"],
    "properties": {name: {"type": "string"} for name in ("api_key", "service_code", *_SAID)},
}
Answering = Callable[..., Awaitable[Response]]


def _in_form(answering: Answering) -> Answering:
    """Refusals as GeoReport has them, in the format that was asked for."""

    @wraps(answering)
    async def answered(form: str, *args: Any, **kwargs: Any) -> Response:
        wanted = FORMATS.get(form)
        if wanted is None:
            raise Problem("NOT_FOUND")
        try:
            return await answering(wanted, *args, **kwargs)
        except Refusal as refusal:
            return wanted.refuse(refusal)

    return answered


@router.get("/discovery.{form}", summary="GeoReport: where the endpoints are")
async def discovery(form: str, request: Request, asking: PublicAsking) -> Response:
    """One endpoint for production and one for tests; they are the same here."""
    return await _discovery(form, request)


@_in_form
async def _discovery(form: Format, request: Request) -> Response:
    url = str(request.url).rsplit("/", 1)[0]
    formats = ["text/xml", "application/json"]
    changeset = "2026-11-24T00:00:00+08:00"
    endpoints = [
        {"specification": SPECIFICATION, "url": url, "changeset": changeset, "type": kind, "formats": formats}
        for kind in ("production", "test")
    ]
    document = {"changeset": changeset, "contact": georeport_policy().contact, "key_service": f"{url}/services.json"}
    return form.answer("discovery", document | {"endpoints": endpoints})


@router.get("/services.{form}", summary="GeoReport: what can be asked for")
async def services(form: str, asking: PublicAsking) -> Response:
    """The list of services."""
    return await _services(form)


@_in_form
async def _services(form: Format) -> Response:
    return form.answer("services", [service_item(one) for one in georeport_policy().services.values()])


@router.get("/services/{code}.{form}", summary="GeoReport: what a service wants to know")
async def definition(code: str, form: str, asking: PublicAsking) -> Response:
    """The attributes of one service."""
    return await _definition(form, code)


@_in_form
async def _definition(form: Format, code: str) -> Response:
    service = known_service(code)
    attributes = [
        {
            "variable": True,
            "code": one["code"],
            "datatype": one["datatype"],
            "required": one["required"],
            "datatype_description": "",
            "order": order,
            "description": one["description"],
            "values": one.get("values", []),
        }
        for order, one in enumerate(service.attributes, 1)
    ]
    return form.answer("service_definition", {"service_code": code, "attributes": attributes})


@router.post(
    "/requests.{form}", summary="GeoReport: make a request", status_code=200, responses={413: _ERRORS},
    openapi_extra={"requestBody": {"content": {FORM: {"schema": REQUEST_SCHEMA}}}},
)  # fmt: skip
async def make(form: str, request: Request, asking: PublicAsking) -> Response:
    """A form with `api_key`, `service_code`, a place, and what is to be said."""
    return await _make(form, request, asking.running)


@_in_form
async def _make(form: Format, request: Request, running: Running) -> Response:
    fields = await _fields(request, running)
    principal = await _holder(request, fields.get("api_key"))
    body = appeal_of(fields)
    call = Call(running, principal, Scope.REGISTER, "", body, running.clock.now(), request.headers, lambda: b"")
    try:
        plan = await register(call)
        made = plan.answer(await running.executor.execute(plan.intention))
    except Refused as refused:
        raise Refusal(400, refused.detail) from None
    notice = "; ".join(one["en"] for one in made["advice"])
    item = {"service_request_id": made["ticket_no"], "service_notice": notice, "account_id": fields.get("account_id")}
    return form.answer("service_requests", [item])


@router.get("/tokens/{token}.{form}", summary="GeoReport: the request behind a token")
async def token(token: str, form: str, asking: PublicAsking) -> Response:
    """Requests get their number at once; a token is the appeal's id."""
    return await _token(form, token, asking.running)


@_in_form
async def _token(form: Format, token: str, running: Running) -> Response:
    rows = await _rows(running, [CASES.c.appeal_id == token], 1, 0)
    if not rows:
        raise Refusal(404, "token not found")
    return form.answer("service_requests", [{"service_request_id": rows[0]["ticket_no"], "token": token}])


@router.get("/requests.{form}", summary="GeoReport: requests")
async def requests(form: str, request: Request, asking: PublicAsking, sought: Annotated[Sought, Depends()]) -> Response:
    """The last 90 days, at most 1000, unless something else is asked for."""
    return await _requests(form, request, asking.running, sought)


@_in_form
async def _requests(form: Format, request: Request, running: Running, sought: Sought) -> Response:
    size = number_of(sought.page_size, "page_size", georeport_policy().most)
    skip = (number_of(sought.page, "page", 10**6, default=1) - 1) * size
    rows = await _rows(running, conditions_of(sought, running.clock.now()), size, skip)
    return form.answer("service_requests", await _shown(request, running, rows, sought.api_key))


@router.get("/requests/{number}.{form}", summary="GeoReport: one request")
async def one_request(
    number: str, form: str, request: Request, asking: PublicAsking, api_key: str | None = None
) -> Response:
    """A list of one."""
    return await _one_request(form, number, request, asking.running, api_key)


@_in_form
async def _one_request(form: Format, number: str, request: Request, running: Running, api_key: str | None) -> Response:
    rows = await _rows(running, [CASES.c.ticket_no == number], 1, 0)
    if not rows:
        raise Refusal(404, "service_request_id was not found")
    return form.answer("service_requests", await _shown(request, running, rows, api_key))


async def _fields(request: Request, running: Running) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise Refusal(400, f"the body must be {FORM}")
    raw, limit = bytearray(), running.settings.max_body_bytes
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limit:
            raise Refusal(413, "the body is too large")
    try:
        return dict(parse_qsl(raw.decode("utf-8"), strict_parsing=bool(raw), errors="strict", max_num_fields=200))
    except ValueError:
        raise Refusal(400, "the form cannot be read") from None


async def _holder(request: Request, api_key: str | None) -> Principal:
    if not api_key:
        raise Refusal(403, "api_key was not provided")
    try:
        principal: Principal = await request.app.state.doors.holder(request, api_key)
        principal.require(Scope.REGISTER)
    except Problem as problem:
        if problem.code in {"UNAUTHENTICATED", "FORBIDDEN"}:
            raise Refusal(403, "api_key is not valid") from None
        raise  # nobody can say now, or too many were wrong
    return principal


async def _rows(running: Running, conditions: list[Any], limit: int, skip: int) -> list[RowMapping]:
    shown = (CASES.c.channel == "OPEN311", CASES.c.state.is_not(None), in_use())
    query = select(CASES).where(*shown, *conditions)
    query = query.order_by(CASES.c.registered_at.desc(), CASES.c.appeal_id.desc()).limit(limit).offset(skip)
    async with running.reads.connect() as connection:
        return list((await connection.execute(query)).mappings())


async def _shown(
    request: Request, running: Running, rows: list[RowMapping], api_key: str | None
) -> list[dict[str, Any]]:
    mine = (await _holder(request, api_key)).sub if api_key else None
    facts = await opened_facts(running, [row["appeal_id"] for row in rows])
    return [request_item(row, facts.get(row["appeal_id"], {}), row["client"] == mine) for row in rows]
