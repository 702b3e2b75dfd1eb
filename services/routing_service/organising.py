"""The organisation tree over HTTP: units one by one, or as the table they are kept in; as it is, was and will be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from sqlalchemy import RowMapping, func, select
from starlette.responses import JSONResponse, Response

from services.routing_service.bodies import UnitsQuery
from services.routing_service.directory import read_rules
from services.routing_service.ground import MultiPolygon, geojson
from services.routing_service.limits import shipped_limits
from services.routing_service.unit import UNIT, CarryOutPlan, KeepUnit
from services.routing_service.views import UNIT_HISTORY, UNITS
from shared.contracts.codes import UnitType
from shared.contracts.duties import UnitRegistered
from shared.engine.decider import Refused
from shared.engine.execute import Intention
from shared.engine.runtime import Running
from shared.web.asking import Asking, reads
from shared.web.commands import Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body, Code, Label, Moment
from shared.web.identity import Scope
from shared.web.many import Many, ManyFromFile
from shared.web.media import also
from shared.web.paging import Window, page
from shared.web.problems import Problem, pointer
from shared.web.tables import ANSWERS, MOST_ROWS, TABLES, asks_for_table, read_table, table_response
from shared.web.uploads import Upload

router = APIRouter()
CanReadReference = Annotated[Asking, Depends(reads(Scope.READ_REFERENCE))]
Words = Annotated[tuple[Label, ...], Field(max_length=200)]
COLUMNS = ("unit_id", "name", "name_en", "unit_type", "parent_id", "aliases", "closed")
BETWEEN = "|"
_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)
PARENTS = {UnitType.STREET_TOWN: {UnitType.DISTRICT}, UnitType.COMMUNITY: {UnitType.STREET_TOWN}}
"""What a unit of a kind hangs on; any other may hang on what no place hangs on, or on nothing."""
OTHERS = set(UnitType) - {UnitType.STREET_TOWN, UnitType.COMMUNITY}


class UnitBody(Body):
    """A unit's entry in the tree. `effective_from`: the day on which it takes effect, if it lies ahead."""

    unit_id: Code
    name: Label
    name_en: Annotated[str, StringConstraints(max_length=200)] = ""
    unit_type: UnitType
    parent_id: Code | None = None
    aliases: Words = ()
    boundary: MultiPolygon | None = None
    closed: bool | None = None
    effective_from: Moment | None = None

    def entry(self, boundary: Any = None) -> UnitRegistered:
        """As it goes on the record; `boundary` is kept where none is given."""
        fields = self.model_dump(exclude={"boundary", "effective_from"}) | {"closed": self.closed or None}
        return UnitRegistered(**fields, boundary=self.boundary.boundary if self.boundary else boundary)


class UnitFile(Body):
    """The table itself is the body."""

    file: bytes


async def keep_unit(call: Call[UnitBody]) -> Plan:
    """Enter a unit in the tree, or replace its entry; now, or on a day that lies ahead."""
    body = call.body
    if body.closed:
        await _without_duties(call, body.unit_id)
    parents = await _entered(call, body.parent_id) if body.parent_id else {}
    _fit_together([body], parents)
    command = KeepUnit(at=call.now, actor=call.actor, entry=body.entry(), effective_from=body.effective_from)
    return Plan(Intention(UNIT, body.unit_id, command), state_and_version)


async def keep_file(call: Call[Upload]) -> Sequence[Intention[Any]]:
    """Every unit of a table; what is as it was stays untouched. A table with a wrong line changes nothing."""
    needed = ("unit_id", "name", "unit_type")
    rows = await asyncio.to_thread(read_table, call.body.file, call.body.media_type, COLUMNS, needed)
    day = _day(call.body.fields)
    bodies, errors = [], []
    for row in rows:
        try:
            bodies.append(UnitBody.model_validate_json(orjson.dumps(_entry_of(row))))
        except ValidationError as error:
            wrong = error.errors()
            errors += [
                {"pointer": f"/rows/{row.number}{pointer(one['loc'])}", "message": one["msg"][:200]} for one in wrong
            ]
    if errors:
        raise Problem(
            "VALIDATION_FAILED", "pointers name the row of the sheet, whose first row is 1", errors=errors[:200]
        )
    known = await _known(call.running)
    for closed in (one.unit_id for one in bodies if one.closed):
        await _without_duties(call, closed)
    numbers = [row.number for row in rows]
    _fit_together(bodies, {id_: UnitType(row["unit_type"]) for id_, row in known.items() if row["unit_type"]}, numbers)
    grounds = {id_: orjson.loads(row["boundary"]) for id_, row in known.items() if row["boundary"]}
    return [
        Intention(UNIT, entry.unit_id, KeepUnit(at=call.now, actor=call.actor, entry=entry, effective_from=day))
        for entry in (one.entry(grounds.get(one.unit_id)) for one in bodies)
    ]


def _day(fields: Mapping[str, str]) -> datetime | None:
    """`?effective_from=` for the whole table. Raises VALIDATION_FAILED."""
    try:
        return _MOMENT.validate_python(fields["effective_from"]) if "effective_from" in fields else None
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "/effective_from", "message": message}]) from None


def _entry_of(row: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {name: row[name].strip() for name in COLUMNS if row[name].strip()}
    given["aliases"] = [alias.strip() for alias in row["aliases"].split(BETWEEN) if alias.strip()]
    if "closed" in given:
        given["closed"] = ANSWERS.get(given["closed"].lower(), given["closed"])
    return given


def _fit_together(bodies: Sequence[UnitBody], known: Mapping[str, UnitType], rows: Sequence[int] = ()) -> None:
    """Raises VALIDATION_FAILED for a parent that is not there or of the wrong kind, and for a unit named twice."""
    types = {**known} | {body.unit_id: body.unit_type for body in bodies}
    errors, seen = [], set()
    for number, body in enumerate(bodies):
        where = f"/rows/{rows[number]}" if rows else ""
        if body.unit_id in seen:
            errors.append({"pointer": f"{where}/unit_id", "message": "this unit stands in the table twice"})
        seen.add(body.unit_id)
        must = PARENTS.get(body.unit_type)
        allowed = must or (OTHERS - {UnitType.DISTRICT} if body.unit_type is UnitType.DISTRICT else OTHERS)
        parent = types.get(body.parent_id or "")
        if (body.parent_id or must) and (parent not in allowed or body.parent_id == body.unit_id):
            message = f"must name a unit that is there, a {' or '.join(sorted(allowed))}"
            errors.append({"pointer": f"{where}/parent_id", "message": message})
    if errors:
        raise Problem("VALIDATION_FAILED", errors=errors[:200])


async def _without_duties(call: Call[Any], unit_id: str) -> None:
    """A unit that the catalogue in force still names cannot be closed: its appeals would find nobody."""
    async with call.running.pool.acquire() as connection:
        desk = await read_rules(connection, call.now)
    if named := sorted(rule.id for rule in desk.rules if rule.duty == unit_id):
        detail = f"{len(named)} rules of the catalogue in force name this unit ({', '.join(named[:5])})"
        raise Refused("UNIT_HAS_DUTIES", f"{detail}; publish a catalogue without it first")


async def _entered(call: Call[Any], unit_id: str) -> dict[str, UnitType]:
    """From the log, which a view may be behind: parents are often entered just before."""
    loaded = await call.running.executor.load(Intention(UNIT, unit_id, CarryOutPlan(at=call.now)))
    entry = loaded.state.entry or (loaded.state.planned.entry if loaded.state.planned else None)
    return {unit_id: entry.unit_type} if entry else {}


async def _known(running: Running) -> dict[str, RowMapping]:
    async with running.reads.connect() as connection:
        return {row["unit_id"]: row for row in (await connection.execute(select(UNITS))).mappings()}


@router.get("/v1/units", responses=also(*TABLES), summary="The organisation tree; whole as CSV or XLSX")
async def list_units(
    request: Request,
    asking: CanReadReference,
    window: Annotated[Window, Depends()],
    unit_type: UnitType | None = None,
    parent_id: Annotated[str | None, Query(max_length=64)] = None,
    as_of: Annotated[Moment | None, Query(description="as it was then")] = None,
) -> Response:
    """Units by id, with what is planned for them; or as they were at a moment, then whole and without pages."""
    now = asking.running.clock.now()
    if as_of is not None and as_of > now:
        message = "lies ahead; what is planned for a unit stands with it as `planned`"
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "/as_of", "message": message}])
    if as_of is not None:
        units = await _as_of(asking.running, as_of)
        wanted = [one for one in units if _is(one, unit_type, parent_id)]
        return _answer(request, wanted, None)
    conditions = window.changed(UNITS.c.updated_at)
    conditions += [UNITS.c.unit_type == str(unit_type)] if unit_type else []
    conditions += [UNITS.c.parent_id == parent_id] if parent_id else []
    query, what = select(UNITS).where(*conditions), f"units:{unit_type}:{parent_id}"
    if asks_for_table(request):
        async with asking.running.reads.connect() as connection:
            rows = (await connection.execute(query.order_by(UNITS.c.unit_id).limit(MOST_ROWS))).mappings().all()
        return _answer(request, [_shown(row, now) for row in rows if row["name"]], None)
    rows, following = await page(asking.running, query, (UNITS.c.unit_id,), window, what)
    return _answer(request, [_shown(row, now) for row in rows], following)


def _answer(request: Request, units: Iterable[Mapping[str, Any]], following: str | None) -> Response:
    if media_type := asks_for_table(request):
        return table_response(media_type, "units", COLUMNS, [_line(unit) for unit in units])
    return JSONResponse({"items": list(units), "next_cursor": following}, headers={"Vary": "Accept"})


async def _as_of(running: Running, moment: datetime) -> list[dict[str, Any]]:
    history = UNIT_HISTORY.c
    latest = func.row_number().over(partition_by=history.unit_id, order_by=history.version.desc()).label("latest")
    entries = select(history.unit, history.version, history.since, latest).where(history.since <= moment).subquery()
    query = select(entries).where(entries.c.latest == 1)
    async with running.reads.connect() as connection:
        rows = (await connection.execute(query)).mappings().all()
    units = [orjson.loads(row["unit"]) | {"version": row["version"]} for row in rows]
    return sorted((_with_ground(unit, unit.get("boundary")) for unit in units), key=lambda unit: str(unit["unit_id"]))


def _is(unit: Mapping[str, Any], unit_type: UnitType | None, parent_id: str | None) -> bool:
    return (unit_type is None or unit["unit_type"] == unit_type) and parent_id in {None, unit["parent_id"]}


def _shown(row: RowMapping, now: datetime) -> dict[str, Any]:
    names = ("unit_id", "name", "name_en", "unit_type", "parent_id", "version", "closed")
    unit = {name: row[name] for name in names} | {"aliases": orjson.loads(row["aliases"] or "[]")}
    planned = orjson.loads(row["planned"]) if row["planned"] else None
    if planned and datetime.fromisoformat(planned["effective_from"]) <= now:
        planned = None  # it changed nothing, or is being carried out
    boundary = orjson.loads(row["boundary"]) if row["boundary"] else None
    return _with_ground(unit, boundary) | {"planned": planned}


def _with_ground(unit: Mapping[str, Any], boundary: Any) -> dict[str, Any]:
    names = ("unit_id", "name", "name_en", "unit_type", "parent_id", "version")
    known = {name: unit.get(name) for name in names} | {"aliases": unit.get("aliases", [])}
    return known | {"closed": bool(unit.get("closed")), "boundary": geojson(boundary) if boundary else None}


def _line(unit: Mapping[str, Any]) -> list[str]:
    cells = {**unit} | {"aliases": BETWEEN.join(unit["aliases"]), "closed": "yes" if unit["closed"] else ""}
    return [str(cells[name] or "") for name in COLUMNS]


COMMANDS = (
    CommandRoute("/v1/units", UnitBody, Scope.KEEP_UNITS, keep_unit, "Enter a unit", subject="", method="PUT"),
    ManyFromFile(
        "/v1/units/file", UnitFile, Scope.KEEP_UNITS, keep_file,  # type: ignore[arg-type]
        "Enter the units of a table", subject="", method="PUT", answer=Many,
        most_bytes=lambda: shipped_limits().most_table_bytes, raw=TABLES, query=UnitsQuery,
    ),
)  # fmt: skip
