"""Identity data over HTTP: shown for a purpose and on the record; restricted, reopened or erased by two officers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from sqlalchemy import RowMapping, select
from starlette.responses import JSONResponse, Response

from services.intake_service.along_the_way import Reveal
from services.intake_service.appeal import APPEAL
from services.intake_service.finding import opened_facts
from services.intake_service.person import PERSON, Take
from services.intake_service.policy import access_policy
from services.intake_service.reading import case_row, restricted
from services.intake_service.search import SEARCH
from services.intake_service.views import PERSONS
from shared.contracts.codes import Measure
from shared.contracts.envelope import Envelope, rfc3339
from shared.engine.decider import NotYours, Refused
from shared.engine.each import Each
from shared.engine.execute import Intention
from shared.engine.runtime import Running
from shared.eventlog.postgres import Connection
from shared.web.asking import Asking, reads
from shared.web.commands import Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body
from shared.web.identity import Ownership, Principal, Reach, Scope
from shared.web.paging import Window, page
from shared.web.rates import Buckets

router = APIRouter()
CanReveal = Annotated[Asking, Depends(reads(Scope.REVEAL))]
CanKeep = Annotated[Asking, Depends(reads(Scope.KEEP_PERSONS))]
DESTROY = "SELECT vault.destroy_keys($1)"
HOUR = 3600.0
_shown = Each(lambda: Buckets(access_policy().reveals_an_hour / HOUR, burst_seconds=HOUR))
"""How many each account has been shown of late."""
FORGET = "DELETE FROM search WHERE appeal_id = ANY($1)"


class MeasureBody(Body):
    """Why: a code, because reasons in words would be personal data themselves."""

    ground: Literal["REQUEST_OF_PERSON", "COURT_ORDER", "RETENTION_OVER", "DATA_ERROR"]


@router.get("/v1/appeals/{appeal_id}/appellant", summary="Name and contact, unmasked; goes on the record")
async def reveal(
    appeal_id: str, asking: CanReveal, purpose: Annotated[str, Query(min_length=2, max_length=200)]
) -> Response:
    """For whom it is due: the hotline, and the unit that owns the order unless the identity is hidden from it.

    One after another, not all of them: an account is shown so many an hour (access.toml).
    """
    _shown.of(asking.running).take(asking.principal.sub)
    shown = await revealed(asking.running, appeal_id, asking.principal, purpose)
    return JSONResponse(shown, headers={"Cache-Control": "no-store"})


async def revealed(running: Running, appeal_id: str, principal: Principal, purpose: str) -> dict[str, Any]:
    """Contact data, and an event that says who saw it. Raises NotYours, Refused."""
    await must_be_shown(running, appeal_id, principal)
    command = Reveal(at=running.clock.now(), actor=principal.actor(Scope.REVEAL), purpose=purpose)
    await running.executor.execute(Intention(APPEAL, appeal_id, command, sealed_for=lambda appeal: appeal.subject_key))
    who = (await opened_facts(running, [appeal_id]))[appeal_id]["appellant"]
    return {name: who.get(name) for name in ("ref", "type", "name", "phone", "email", "confidential", "anonymous")}


async def must_be_shown(running: Running, appeal_id: str, principal: Principal) -> None:
    """Raises NotYours, Refused when this caller may not see who is behind an appeal."""
    row = await case_row(running, appeal_id)
    hidden = row["identity_hidden"] and principal.reach(Scope.REVEAL) is not Reach.ALL
    leads = Ownership(frozenset(filter(None, [row["lead_unit"]])), row["cc_district"], row["client"])
    if hidden or not principal.can_see(Scope.REVEAL, leads):  # whoever only helps reads the matter, not the name
        raise NotYours
    if await restricted(running, row):
        raise Refused("RESTRICTED", "this person's data is kept and used no more")


@router.get("/v1/appellants", summary="Measures that were asked for or taken")
async def list_persons(
    asking: CanKeep, window: Annotated[Window, Depends()], state: Annotated[str | None, Query(max_length=30)] = None
) -> Response:
    """What waits for a second officer is `…_REQUESTED`."""
    conditions = [PERSONS.c.state == state] if state else []
    query = select(PERSONS).where(*conditions, *window.changed(PERSONS.c.updated_at))
    keys = (PERSONS.c.updated_at, PERSONS.c.ref)
    rows, following = await page(asking.running, query, keys, window, f"persons:{state}", descending=True)
    return JSONResponse({"items": [_listed(row) for row in rows], "next_cursor": following})


def _listed(row: RowMapping) -> dict[str, Any]:
    return {**{name: row[name] for name in ("ref", "state", "ground")}, "updated_at": rfc3339(row["updated_at"])}


async def _take(call: Call[MeasureBody], measure: Measure) -> Plan:
    running = call.running
    await running.views_settled()
    of_theirs = select(SEARCH.c.appeal_id, SEARCH.c.subject_key).where(SEARCH.c.person == call.subject)
    async with running.reads.connect() as connection:
        rows = (await connection.execute(of_theirs.order_by(SEARCH.c.appeal_id))).all()
    if not rows and measure is not Measure.RESTORE:
        raise NotYours
    keys, good_for = {row.appeal_id: row.subject_key for row in rows}, access_policy().measure_good_for
    command = Take(
        at=call.now, actor=call.actor, measure=measure, ground=call.body.ground, keys=keys, good_for=good_for
    )
    return Plan(Intention(PERSON, call.subject, command), state_and_version)


def _command(measure: Measure, summary: str) -> CommandRoute:
    async def take(call: Call[Any]) -> Plan:
        return await _take(call, measure)

    path = f"/v1/appellants/{{ref}}/{measure.lower()}"
    return CommandRoute(path, MeasureBody, Scope.KEEP_PERSONS, take, summary, subject="ref")


COMMANDS = (
    _command(Measure.RESTRICT, "Keep a person's data and use it no more (PIPL 47); two officers"),
    _command(Measure.RESTORE, "Lift the restriction; two officers"),
    _command(Measure.ERASE, "Destroy the keys of all that a person has said; two officers"),
)


async def shred(running: Running, connection: Connection, events: list[Envelope]) -> None:
    """What erasing means outside the log: the keys are destroyed, and the index forgets."""
    for event in events:
        if event.type.endswith(".appellant-erased.v1"):
            await connection.execute(DESTROY, event.data["keys"])
            await connection.execute(FORGET, event.data["appeals"])
            for ref in event.data["keys"]:
                running.keyring.forget(ref)
