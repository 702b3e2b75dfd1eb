"""Bulk intake over HTTP: a file comes in and is kept sealed; how far it is, and which rows were not acceptable.

Its rows are registered in the background (worker.py).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import IO, Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ValidationError
from sqlalchemy import RowMapping, select, true
from starlette.responses import JSONResponse, Response

from services.intake_service.bulk import FILES_KEY, IMPORT, RUNNING, Import, Start, object_of
from services.intake_service.policy import ImportPolicy, import_policy
from services.intake_service.reference import IMPORTS, PROBLEMS
from services.intake_service.rows import CSV, NDJSON, XLSX, RowMap, WrongFile, header_of, map_for
from shared.contracts.envelope import rfc3339
from shared.contracts.intake import ImportStarted
from shared.engine.decider import NotYours
from shared.engine.execute import Decision, Intention
from shared.engine.sealed_files import seal_file
from shared.web.asking import Asking, reads
from shared.web.commands import Call, Plan
from shared.web.fields import Body
from shared.web.identity import Reach, Scope
from shared.web.paging import Window, page
from shared.web.preconditions import etag
from shared.web.problems import Problem
from shared.web.uploads import FileRoute, Upload

FORMS = {
    "text/csv": CSV,
    "application/x-ndjson": NDJSON,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": XLSX,
}
NOT_PERSONAL = frozenset(
    {
        *("kind", "channel", "urgency", "category_path", "tags", "zone", "location.district", "location.township"),
        *("location.datum", "appellant.type", "appellant.anonymous", "appellant.confidential"),
    }
)
"""Fields that a map may set for every row: they stand on the record in clear."""
router = APIRouter()
CanRegister = Annotated[Asking, Depends(reads(Scope.REGISTER))]


class ImportFile(Body):
    """The file itself is the body."""

    file: bytes


class ImportQuery(BaseModel):
    """What may be said beside the file. `map`: JSON of RowMap; `mode`: the good rows, or all or none."""

    mode: Literal["good", "all"] = "good"
    charset: str | None = None
    map: str | None = None


class Accepted(BaseModel):
    """The file is kept, and is being read."""

    import_id: str
    state: str
    version: int
    links: dict[str, str]


async def start_import(call: Call[Upload]) -> Plan:
    """Keep the file, after a look at whether it can be read at all."""
    running, upload = call.running, call.body
    asked = _asked(upload)
    form, policy = FORMS[upload.media_type], import_policy()
    mapping = await asyncio.to_thread(_look, upload.file, form, asked, policy)
    import_id = running.ids.uuid7()
    name = object_of(import_id)
    await running.keyring.pin(FILES_KEY)
    sealed, digest = await seal_file(running.keyring, FILES_KEY, name, upload.file)
    with sealed:
        await running.objects.put(name, sealed)
    facts = ImportStarted(
        form=form,
        charset=asked.charset,
        columns=dict(mapping.columns),
        constants=dict(mapping.constants),
        all_or_none=asked.mode == "all",
        object=name,
        bytes=upload.size,
        sha256=digest,
    )

    def answer(decision: Decision[Import]) -> dict[str, Any]:
        where = f"/intake/v1/imports/{import_id}"
        links = {"self": where, "problems": f"{where}/problems"}
        return {"import_id": import_id, "state": RUNNING, "version": decision.version, "links": links}

    command = Start(at=call.now, actor=call.actor, facts=facts)
    discard = partial(running.objects.remove, name)
    return Plan(Intention(IMPORT, import_id, command, fresh=True), answer, discard=discard)


def _asked(upload: Upload) -> ImportQuery:
    try:
        return ImportQuery.model_validate(upload.fields)
    except ValidationError:
        message = "good, or all (all rows or none)"
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "/mode", "message": message}]) from None


def _look(file: IO[bytes], form: str, asked: ImportQuery, policy: ImportPolicy) -> RowMap:
    """The map that the file will be read with. Raises VALIDATION_FAILED."""
    try:
        given = RowMap(**orjson.loads(asked.map)) if asked.map else None
        if given and not (_is_texts(given.columns) and _is_texts(given.constants)):
            raise TypeError
        if given and (personal := sorted(given.constants.keys() - NOT_PERSONAL)):
            raise WrongFile(f"{', '.join(personal)} cannot be the same for all rows")
        return map_for(header_of(file, form, asked.charset, policy), given, policy) if form != NDJSON else RowMap()
    except WrongFile as error:
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "", "message": str(error)[:500]}]) from None
    except (TypeError, ValueError, AttributeError):
        message = 'JSON such as {"columns": {"content": "detail"}, "constants": {"kind": "HELP"}}'
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "/map", "message": message}]) from None


@router.get("/v1/imports", summary="Imports, the latest first")
async def list_imports(asking: CanRegister, window: Annotated[Window, Depends()]) -> Response:
    """One's own; the hotline sees all."""
    query = select(IMPORTS).where(_mine(asking), *window.changed(IMPORTS.c.updated_at))
    what = f"imports:{asking.principal.sub}"
    rows, following = await page(asking.running, query, (IMPORTS.c.import_id,), window, what, descending=True)
    return JSONResponse({"items": [_shown(row) for row in rows], "next_cursor": following})


@router.get("/v1/imports/{import_id}", summary="How far an import is")
async def get_import(import_id: str, asking: CanRegister) -> Response:
    """Counts of rows; `problems` lists those that were refused, and those in which something looks wrong."""
    row = await _one(asking, import_id)
    return JSONResponse(_shown(row), headers={"ETag": etag(row["version"]), "Cache-Control": "no-store"})


@router.get("/v1/imports/{import_id}/problems", summary="Every row that was refused or looks wrong")
async def list_problems(import_id: str, asking: CanRegister, window: Annotated[Window, Depends()]) -> Response:
    """Row number (the first row of data is 1), source_ref and reason, never what the row says."""
    await _one(asking, import_id)
    await asking.running.own_views_settled(import_id)
    query = select(PROBLEMS).where(PROBLEMS.c.import_id == import_id)
    keys = (PROBLEMS.c.row, PROBLEMS.c.code)
    rows, following = await page(asking.running, query, keys, window, f"problems:{import_id}")
    items = [{name: row[name] for name in ("row", "source_ref", "code", "message", "warning")} for row in rows]
    return JSONResponse({"items": items, "next_cursor": following})


async def _one(asking: Asking, import_id: str) -> RowMapping:
    query = select(IMPORTS).where(IMPORTS.c.import_id == import_id, _mine(asking))
    async with asking.running.reads.connect() as connection:
        row = (await connection.execute(query)).mappings().first()
    if row is None:
        raise NotYours
    return row


def _mine(asking: Asking) -> Any:
    everything = asking.principal.reach(asking.scope) is Reach.ALL
    return true() if everything else IMPORTS.c.client == asking.principal.sub


def _shown(row: RowMapping) -> dict[str, Any]:
    left_out = {"client", "started_at", "updated_at"}
    plain = {name: value for name, value in row.items() if name not in left_out and not name.startswith("key_")}
    return plain | {name: rfc3339(row[name]) for name in ("started_at", "updated_at")}


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


COMMANDS = (
    FileRoute(
        "/v1/imports", ImportFile, Scope.REGISTER, start_import, "Register the rows of a file", 202, "",
        answer=Accepted, most_bytes=lambda: import_policy().most_bytes, raw=tuple(FORMS), query=ImportQuery,
    ),
)  # fmt: skip
