"""保存期限: whose data is due to be restricted or erased, by terms that are data (retention.toml). PIPL Art 19 and 47.

Nothing happens by itself: two officers decide (privacy.py). A person is due when all of their appeals, since something
was last done, are over and the longest of the terms, counted from the end of each, has run out.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, DateTime, case, func, not_, select
from starlette.responses import JSONResponse, Response

from services.intake_service.policy import DATA
from services.intake_service.reading import dealt_with
from services.intake_service.views import CASES
from shared.contracts.codes import ENDED
from shared.contracts.envelope import rfc3339
from shared.web.asking import Asking, reads
from shared.web.identity import Scope

router = APIRouter()
COMMANDS = ()
CanKeep = Annotated[Asking, Depends(reads(Scope.KEEP_PERSONS))]
_TERM = TypeAdapter(timedelta)


@dataclass(frozen=True)
class Term:
    """How long after the end, for appeals of some kinds, or that ended in some way (which goes before the kind)."""

    restrict: timedelta
    erase: timedelta
    kinds: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()

    def fits(self) -> ColumnElement[bool]:
        """Of a row of CASES."""
        return CASES.c.state.in_(self.ended) if self.ended else CASES.c.kind.in_(self.kinds)


@cache
def terms() -> tuple[str, tuple[Term, ...]]:
    """Version and terms; those by how an appeal ended come first."""
    table = tomllib.loads((DATA / "retention.toml").read_text(encoding="utf-8"))
    read = [
        Term(
            _TERM.validate_python(one["restrict"]), _TERM.validate_python(one["erase"]),
            tuple(one.get("kinds", ())), tuple(one.get("ended", ())),
        )
        for one in table["terms"]
    ]  # fmt: skip
    return table["version"], tuple(sorted(read, key=lambda term: not term.ended))


@router.get("/v1/appellants/due", summary="Whose data has been kept as long as its term says")
async def due(
    asking: CanKeep, measure: Literal["RESTRICT", "ERASE"], limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> Response:
    """The longest due first. What is to be done with them takes two officers, as ever."""
    version, known = terms()
    longest = max(term.restrict if measure == "RESTRICT" else term.erase for term in known)
    term = case(*((one.fits(), one.restrict if measure == "RESTRICT" else one.erase) for one in known), else_=longest)
    ended = func.coalesce(CASES.c.ended_at, CASES.c.updated_at)
    due_at = func.max(ended + term, type_=DateTime(timezone=True)).label("due_at")
    done = ("RESTRICTED", "ERASED") if measure == "RESTRICT" else ("ERASED",)
    query = (
        select(CASES.c.person, func.count().label("appeals"), due_at)
        .where(CASES.c.person.is_not(None), not_(dealt_with(CASES.c.person, CASES.c.registered_at, *done)))
        .group_by(CASES.c.person)
        .having(func.bool_and(CASES.c.state.in_(sorted(ENDED))), due_at <= asking.running.clock.now())
        .order_by(due_at, CASES.c.person)
        .limit(limit)
    )
    async with asking.running.reads.connect() as connection:
        rows = (await connection.execute(query)).mappings().all()
    items = [{"ref": row["person"], "appeals": row["appeals"], "due_at": rfc3339(row["due_at"])} for row in rows]
    return JSONResponse({"measure": measure, "policy": version, "items": items}, headers={"Cache-Control": "no-store"})
