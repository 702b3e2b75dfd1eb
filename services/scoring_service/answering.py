"""How scoring answers: a table in whichever form was asked for, and the parameters that its routes share."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from starlette.responses import JSONResponse, Response

from services.scoring_service.documents import COLUMNS, Sheet, columns_of, rows_of, sheet_of, workbook
from services.scoring_service.policy_parts import PERIOD_PATTERN
from shared.engine.decider import Refused
from shared.web.asking import Asking, reads
from shared.web.commands import Call
from shared.web.fields import Moment
from shared.web.identity import Reach, Scope
from shared.web.pages import Pages, wants_page
from shared.web.problems import Problem
from shared.web.tables import CSV, XLSX, asks_for_table, table_response

CanReadScores = Annotated[Asking, Depends(reads(Scope.READ_SCORES))]
Period = Annotated[str, Query(pattern=PERIOD_PATTERN, description="考核期, YYYY-MM")]
Version = Annotated[str | None, Query(alias="policy", max_length=64, description="unset: the one in force then")]
AsOf = Annotated[Moment | None, Query(description="as it was known then")]
Category = Annotated[str | None, Query(max_length=200)]
VARY = {"Cache-Control": "no-store", "Vary": "Accept, Accept-Language"}
_HERE = Path(__file__).parent


@cache
def _words() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads((_HERE / "data" / "pages.toml").read_text(encoding="utf-8"))


PAGES = Pages(_HERE / "pages", _words)


def past(as_of: datetime | None, now: datetime) -> datetime | None:
    """The moment that is asked for. Raises VALIDATION_FAILED when it has not been yet."""
    if as_of is not None and as_of > now:
        message = "as_of lies in the future"
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "/as_of", "message": message}])
    return as_of


def sees_all(asking: Asking) -> bool:
    """Whether the caller may see every single appeal."""
    return asking.principal.reach(Scope.READ) is Reach.ALL


def not_of_kin(call: Call[Any], units: Collection[str | None]) -> None:
    """Raises Refused when the caller acts for one of these units, or for their district."""
    if {call.principal.unit_id, call.principal.district} & set(units) - {None}:
        raise Refused("OWN_CASE", "whoever is scored does not decide what counts")


async def table_answer(request: Request, document: Mapping[str, Any], name: str) -> Response:
    """The document as JSON, CSV, XLSX or a page to print: the same figures in each."""
    if wants_page(request):
        return PAGES.shown("table", request, page_of(document))
    wanted = asks_for_table(request)
    columns = columns_of(document)
    if wanted == CSV:
        return table_response(CSV, name, columns, rows_of(document, columns))
    if wanted == XLSX:
        return await workbook_answer([sheet_of(document, f"{document['league']}")], name)
    return JSONResponse(dict(document), headers=VARY)


async def workbook_answer(sheets: list[Sheet], name: str) -> Response:
    """A workbook to be kept as a file; it is made in a thread, for it takes a while."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.xlsx"', **VARY}
    return Response(await asyncio.to_thread(workbook, sheets), headers=headers, media_type=XLSX)


_PRINTED = (
    *("rank", "name", "received", "valid_callbacks", "response_rate", "resolution_rate", "satisfaction_rate"),
    *("composite_shown", "low", "high", "label", "rank_change", "hard", "expected_resolution_rate"),
)
"""What fits on a page."""


def page_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the printed page shows."""
    own = [name for name in columns_of(document) if name not in COLUMNS]
    columns = [*_PRINTED[:7], *own, *_PRINTED[7:]]
    head = {name: document.get(name) for name in ("day", "period", "league", "basis", "policy", "as_of", "digest")}
    return {**head, "columns": columns, "items": document["items"], "summary": document["summary"]}
