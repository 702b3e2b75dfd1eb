"""The 派单目录 over HTTP: drafted, checked, compared, tried on past appeals, published by another.

As JSON, and as the table that people keep it in (CSV, XLSX): one line a rule, words separated by |.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import nlargest
from operator import attrgetter
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from sqlalchemy import RowMapping, select
from starlette.responses import JSONResponse, Response

from services.routing_service.bodies import CatalogueQuery
from services.routing_service.directory import Desk, read_directory, read_rules, read_version
from services.routing_service.jurisdiction import Unit
from services.routing_service.limits import shipped_limits
from services.routing_service.matter import Matter
from services.routing_service.past import past_appeals
from services.routing_service.rulebook import Finding, difference, findings
from services.routing_service.trying import DryRun, explained
from services.routing_service.unit import CATALOGUE, DraftCatalogue, PublishCatalogue
from services.routing_service.views import CATALOGUES, ORDERS
from shared.contracts.codes import CaseState, Urgency
from shared.contracts.duties import Rule
from shared.contracts.envelope import rfc3339
from shared.engine.decider import NotYours
from shared.engine.execute import Intention
from shared.engine.runtime import Running
from shared.language.script import plain
from shared.web.asking import Asking, reads
from shared.web.bodies import parse_body, read_body
from shared.web.commands import Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body, Code, DivisionCode, Label, Moment, ShortText, Text
from shared.web.identity import Scope
from shared.web.media import also
from shared.web.paging import Window, page
from shared.web.preconditions import etag
from shared.web.problems import Problem, pointer
from shared.web.tables import ANSWERS, TABLES, asks_for_table, read_table, table_response
from shared.web.uploads import FileRoute, Upload

router = APIRouter()
CanReadReference = Annotated[Asking, Depends(reads(Scope.READ_REFERENCE))]
CanDraft = Annotated[Asking, Depends(reads(Scope.DRAFT_CATALOGUE))]
Word = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^|]*[^|\s][^|]*$")]
Words = Annotated[tuple[Word, ...], Field(max_length=200)]
COLUMNS = ("id", "name", "categories", "keywords", "unless", "duty", "tier", "department_only", "basis")
LISTS = ("categories", "keywords", "unless")
BETWEEN = "|"
_CODE: TypeAdapter[str] = TypeAdapter(Code)
MOST_SHOWN = 200
EVENTS_OF_AN_APPEAL, LEAST_BACK = 4, 200
"""How far back a partition is read for the latest appeals: intake writes about so many events for each."""
_trying = asyncio.Lock()
"""One dry run at a time and process: it keeps a core busy."""


class RuleBody(Body):
    """One line of the 派单目录."""

    id: Code
    name: Label
    categories: Words = ()
    keywords: Words = ()
    unless: Words = ()
    duty: Code
    tier: Urgency = Urgency.GENERAL
    department_only: bool = False
    basis: ShortText


Rules = Annotated[tuple[RuleBody, ...], Field(min_length=1, max_length=5000)]


class RulesBody(Body):
    """Rules to be looked at."""

    rules: Rules


class CatalogueBody(RulesBody):
    """A version of the catalogue, to be published later."""

    version: Code
    source: ShortText


class CatalogueFile(Body):
    """The table itself is the body; `source` is said in the query."""

    file: bytes


class PublishBody(Body):
    """From when on."""

    effective_from: Moment | None = None


class MatterBody(Body):
    """An appeal as it could come in. `version`: a version of the catalogue, a draft or not [default: in force]."""

    content: Text
    title: Label | None = None
    category_path: tuple[Label, ...] = ()
    urgency: Urgency | None = None
    address: ShortText | None = None
    district: DivisionCode | None = None
    township: DivisionCode | None = None
    version: Code | None = None


async def draft_catalogue(call: Call[CatalogueBody]) -> Plan:
    """Write a version of the catalogue down, if nothing is wrong with it."""
    return await _draft(call, call.body.version, call.body.source, call.body.rules)


async def draft_file(call: Call[Upload]) -> Plan:
    """The same, from a table."""
    source = call.body.fields.get("source") or ""
    if not _is_code(call.subject):
        message = "letters, digits and . _ : - only, at most 64"
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "/version", "message": message}])
    if not 0 < len(source.strip()) <= 500:
        message = "say in the query who made this version, e.g. ?source=…"
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "/source", "message": message}])
    needed = ("id", "name", "keywords", "duty", "basis")
    rows = await asyncio.to_thread(read_table, call.body.file, call.body.media_type, COLUMNS, needed)
    rules, errors = [], []
    for row in rows:
        try:
            rules.append((row.number, RuleBody.model_validate_json(orjson.dumps(_rule_of(row)))))
        except ValidationError as error:
            errors += [_at(row.number, pointer(one["loc"]), one["msg"]) for one in error.errors()]
    numbers, bodies = [number for number, _ in rules], [rule for _, rule in rules]
    found = findings([Rule(**body.model_dump()) for body in bodies], await _units(call.running))
    errors += [_at(numbers[one.rule], f"/{one.field}", f"{one.code}: {one.message}") for one in found if one.wrong]
    if errors or not bodies:
        errors.sort(key=lambda one: int(one["pointer"].split("/")[2]))
        detail = "pointers name the row of the sheet, whose first row is 1" if errors else "the table has no rules"
        raise Problem("VALIDATION_FAILED", detail, errors=errors[:200])
    return await _draft(call, call.subject, source, bodies)


def _at(row: int, where: str, message: str) -> dict[str, str]:
    return {"pointer": f"/rows/{row}{where}", "message": message[:300]}


async def _draft(call: Call[Any], version: str, source: str, rules: Sequence[RuleBody]) -> Plan:
    made = tuple(Rule(**rule.model_dump()) for rule in rules)
    _nothing_wrong(made, await _units(call.running))
    command = DraftCatalogue(at=call.now, actor=call.actor, version=version, source=source, rules=made)
    return Plan(Intention(CATALOGUE, version, command), state_and_version)


def _is_code(version: str) -> bool:
    try:
        return bool(_CODE.validate_python(version))
    except ValidationError:
        return False


def _nothing_wrong(rules: Sequence[Rule], units: Mapping[str, Unit]) -> None:
    """Raises VALIDATION_FAILED."""
    if wrong := [one for one in findings(rules, units) if one.wrong]:
        errors = [{"pointer": one.pointer, "message": f"{one.code}: {one.message}"} for one in wrong[:50]]
        raise Problem("VALIDATION_FAILED", errors=errors)


async def publish_catalogue(call: Call[PublishBody]) -> Plan:
    """Let a drafted version come into force; somebody else in another role than drafted it. A day that is over means
    now: nothing was dispatched by it then.
    """
    effective = max(call.body.effective_from or call.now, call.now)
    command = PublishCatalogue(at=call.now, actor=call.actor, version=call.subject, effective_from=effective)
    intention = Intention(CATALOGUE, call.subject, command)
    loaded = await call.running.executor.load(intention)
    if loaded.state.drafted and loaded.state.state == "DRAFTED":  # the tree may have changed since
        _nothing_wrong(loaded.state.drafted.rules, await _units(call.running))
    return Plan(intention, state_and_version)


@router.get("/v1/catalogue/versions", summary="The versions of the 派单目录")
async def list_catalogues(asking: CanReadReference, window: Annotated[Window, Depends()]) -> Response:
    """Each with its rules."""
    query = select(CATALOGUES).where(*window.changed(CATALOGUES.c.updated_at))
    rows, following = await page(asking.running, query, (CATALOGUES.c.catalogue_version,), window, "catalogues")
    return JSONResponse({"items": [_shown(row) for row in rows], "next_cursor": following})


@router.get("/v1/catalogue/versions/{version}", responses=also(*TABLES), summary="One version; also as CSV or XLSX")
async def get_catalogue(version: str, request: Request, asking: CanReadReference) -> Response:
    """Its rules, in the order in which they were drafted."""
    row = await _version(asking.running, version)
    shown = _shown(row)
    if media_type := asks_for_table(request):
        lines = [_line(rule) for rule in shown["rules"]]
        return await asyncio.to_thread(table_response, media_type, f"catalogue-{version}", COLUMNS, lines)
    return JSONResponse(shown, headers={"ETag": etag(row["version"]), "Vary": "Accept"})


@router.get("/v1/catalogue/versions/{version}/diff", summary="What changes against another version")
async def diff(
    version: str, asking: CanReadReference, against: Annotated[str | None, Query(max_length=64)] = None
) -> Response:
    """Rules that came, went and changed, field by field; against the version in force unless another is named."""
    before = against or (await _in_force(asking.running)).catalogue_version
    rules = [_rules(await _version(asking.running, one)) if one else () for one in (before, version)]
    return JSONResponse({"version": version, "against": before} | difference(*rules))


@router.post(
    "/v1/catalogue/validate",
    summary="What is wrong or doubtful about rules",
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": RulesBody.model_json_schema()}}}},
)
async def validate(request: Request, asking: CanDraft) -> Response:
    """Every finding with its place and, when it keeps the rules from being drafted, `wrong`. Stores nothing."""
    body = parse_body(await read_body(request, asking.running.settings.max_body_bytes), RulesBody)
    rules = [Rule(**rule.model_dump()) for rule in body.rules]
    found = findings(rules, await _units(asking.running))
    return JSONResponse({"ok": not any(one.wrong for one in found), "findings": [_finding(one) for one in found]})


@router.post(
    "/v1/catalogue/explain",
    summary="Where an appeal would go, and what every rule makes of it",
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": MatterBody.model_json_schema()}}}},
)
async def explain(request: Request, asking: CanDraft) -> Response:
    """Ranked units as a dispatch would have them, and rule by rule what counts and why not. Stores nothing."""
    body = parse_body(await read_body(request, asking.running.settings.max_body_bytes), MatterBody)
    texts = {name: plain(getattr(body, name) or "") for name in ("title", "content", "address")}
    given = body.model_dump(include={"category_path", "urgency", "district", "township"})
    matter = Matter(title=texts["title"], content=texts["content"], address=texts["address"] or None, **given)
    return JSONResponse(explained(matter, await _desk(asking.running, body.version)))


@router.post("/v1/catalogue/versions/{version}/dry-run", summary="What a version would make of past appeals")
async def dry_run(
    version: str, asking: CanDraft, most: Annotated[int, Query(ge=1, le=20_000, description="so many appeals")] = 1000
) -> Response:
    """Against the version in force, on the latest appeals: what would change, for whom, and which version is right more
    often, where the unit that led in the end is known. Stores nothing.
    """
    if _trying.locked():
        raise Problem("REQUEST_IN_PROGRESS", "another dry run is going on")
    running = asking.running
    async with _trying:
        now = await _in_force(running)
        run = DryRun(now, await _desk(running, version), MOST_SHOWN)
        back = LEAST_BACK + EVENTS_OF_AN_APPEAL * most // running.log.partitions
        latest = nlargest(most, [one async for one in past_appeals(running, back)], key=attrgetter("appeal_id"))
        for start in range(0, len(latest), MOST_SHOWN):
            part = latest[start : start + MOST_SHOWN]
            await run.take(part, await _led(running, [one.appeal_id for one in part]))
    return JSONResponse({"version": version, "against": now.catalogue_version} | run.report())


async def _led(running: Running, appeals: Sequence[str]) -> Mapping[str, str]:
    """The unit that led in the end, of appeals that have ended."""
    query = select(ORDERS.c.appeal_id, ORDERS.c.lead_unit).where(
        ORDERS.c.appeal_id.in_(appeals), ORDERS.c.state == str(CaseState.CLOSED), ORDERS.c.lead_unit.is_not(None)
    )
    async with running.reads.connect() as connection:
        return {row["appeal_id"]: row["lead_unit"] for row in (await connection.execute(query)).mappings()}


async def _in_force(running: Running) -> Desk:
    async with running.pool.acquire() as connection:
        return await read_directory(connection, running.clock.now(), running.objects)


async def _desk(running: Running, version: str | None) -> Desk:
    """The desk in force, or with another version of the catalogue. Raises NotYours."""
    desk = await _in_force(running)
    if version is None or version == desk.catalogue_version:
        return desk
    await _version(running, version)
    async with running.pool.acquire() as connection:
        other = await read_version(connection, version)
    return replace(other, classifier=desk.classifier, model_version=desk.model_version)


async def _units(running: Running) -> Mapping[str, Unit]:
    async with running.pool.acquire() as connection:
        return (await read_rules(connection, running.clock.now())).gazetteer.units


async def _version(running: Running, version: str) -> RowMapping:
    async with running.reads.connect() as connection:
        query = select(CATALOGUES).where(CATALOGUES.c.catalogue_version == version)
        row = (await connection.execute(query)).mappings().first()
    if row is None:
        raise NotYours
    return row


def _shown(row: RowMapping) -> dict[str, Any]:
    plain_ = {"version": row["catalogue_version"], "state": row["state"], "source": row["source"]}
    effective = row["effective_from"] and rfc3339(row["effective_from"])
    return plain_ | {"effective_from": effective, "rules": orjson.loads(row["rules"])}


def _rules(row: RowMapping) -> list[Rule]:
    return [Rule.model_validate_json(orjson.dumps(rule)) for rule in orjson.loads(row["rules"])]


def _finding(finding: Finding) -> dict[str, Any]:
    return {"pointer": finding.pointer, "code": finding.code, "message": finding.message, "wrong": finding.wrong}


def _line(rule: Mapping[str, Any]) -> list[str]:
    yes = "yes" if rule.get("department_only") else "no"
    cells = {name: BETWEEN.join(rule[name]) for name in LISTS} | {"department_only": yes}
    return [str(cells.get(name, rule.get(name, ""))) for name in COLUMNS]


def _rule_of(row: Mapping[str, str]) -> dict[str, Any]:
    """The JSON of a rule from its line."""
    lists = {name: [word.strip() for word in row[name].split(BETWEEN) if word.strip()] for name in LISTS}
    plain_ = {name: row[name].strip() for name in COLUMNS if row[name].strip() and name not in LISTS}
    given = row["department_only"].strip().lower()
    tier = {"tier": plain_["tier"].upper()} if "tier" in plain_ else {}
    return plain_ | lists | tier | {"department_only": ANSWERS.get(given, given)}


_VERSIONS = "/v1/catalogue/versions"
COMMANDS = (
    CommandRoute(_VERSIONS, CatalogueBody, Scope.DRAFT_CATALOGUE, draft_catalogue, "Draft a catalogue", 201, ""),
    FileRoute(
        f"{_VERSIONS}/{{version}}/file", CatalogueFile, Scope.DRAFT_CATALOGUE, draft_file,
        "Draft a catalogue from a table", 201, "version", most_bytes=lambda: shipped_limits().most_table_bytes,
        raw=TABLES, query=CatalogueQuery,
    ),
    CommandRoute(
        f"{_VERSIONS}/{{version}}/publish", PublishBody, Scope.KEEP_CATALOGUE, publish_catalogue,
        "Publish a catalogue", subject="version",
    ),
)  # fmt: skip
