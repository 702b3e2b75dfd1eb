"""激励 and 治理类 over HTTP: credits for what a unit did unasked, and the list of those that the city watches over."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints
from sqlalchemy import RowMapping, select
from starlette.responses import JSONResponse, Response

from services.scoring_service.answering import VARY, CanReadScores, not_of_kin
from services.scoring_service.policy_parts import PERIOD_PATTERN
from services.scoring_service.reading import Unit, units_at
from services.scoring_service.standing import CREDITS, GOVERNANCE, Enter, GrantCredit, Leave, WithdrawCredit
from services.scoring_service.views import STANDINGS
from shared.contracts.codes import UnitType
from shared.contracts.envelope import rfc3339
from shared.contracts.scoring import CreditGranted
from shared.engine.decider import NotYours, Refused
from shared.engine.execute import Intention
from shared.engine.runtime import Running
from shared.web.commands import Answer, Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body, Uuid
from shared.web.identity import Scope

router = APIRouter()
Decision = Annotated[str, StringConstraints(pattern=r"^[\u4e00-\u9fff]{1,12}[〔\[]\d{4}[〕\]]\d{1,5}号$")]
"""The number of a decision, e.g. 京政办〔2026〕3号; no sentences."""


class CreditBody(Body):
    """What for, in which period, by which decision, shown by which appeals."""

    kind: Literal["PROACTIVE", "HARD_CASE"]
    period: Annotated[str, StringConstraints(pattern=PERIOD_PATTERN)]
    decision: Decision
    appeals: Annotated[tuple[Uuid, ...], Field(max_length=100, strict=False)] = ()


class DecisionBody(Body):
    """By which decision."""

    decision: Decision


class CreditAnswer(Answer):
    """The credit's id."""

    credit_id: str


async def grant(call: Call[CreditBody]) -> Plan:
    """Credit a unit. What that is worth is for the policy to say."""
    await _not_about_oneself(call)
    facts = CreditGranted(credit_id=call.running.ids.uuid7(), unit_id=call.subject, **call.body.model_dump())
    command = GrantCredit(at=call.now, actor=call.actor, facts=facts)
    answer = {"credit_id": facts.credit_id}
    return Plan(Intention(CREDITS, call.subject, command), lambda decision: state_and_version(decision) | answer)


async def withdraw(call: Call[DecisionBody]) -> Plan:
    """It should not have been given."""
    await _not_about_oneself(call)
    command = WithdrawCredit(
        at=call.now, actor=call.actor, unit_id=call.subject, credit_id=call.path["credit_id"],
        decision=call.body.decision,
    )  # fmt: skip
    return Plan(Intention(CREDITS, call.subject, command), state_and_version)


async def enter(call: Call[DecisionBody]) -> Plan:
    """Onto the managed list, which is of streets and towns."""
    if (await _not_about_oneself(call)).unit_type != UnitType.STREET_TOWN:
        raise Refused("NOT_A_STREET", "治理类 is a list of streets and towns")
    command = Enter(at=call.now, actor=call.actor, unit_id=call.subject, decision=call.body.decision)
    return Plan(Intention(GOVERNANCE, call.subject, command), state_and_version)


async def leave(call: Call[DecisionBody]) -> Plan:
    """Off it."""
    await _not_about_oneself(call)
    command = Leave(at=call.now, actor=call.actor, unit_id=call.subject, decision=call.body.decision)
    return Plan(Intention(GOVERNANCE, call.subject, command), state_and_version)


async def _not_about_oneself(call: Call[Any]) -> Unit:
    """The unit. Raises NotYours where there is none, Refused where it or its district would decide about it."""
    async with call.running.reads.connect() as connection:
        unit = (await units_at(connection, None)).get(call.subject)
    if unit is None:
        raise NotYours
    not_of_kin(call, {unit.unit_id, unit.parent_id})
    return unit


@router.get("/v1/governance", summary="治理类: who is on the managed list, and who was")
async def list_governance(asking: CanReadScores) -> Response:
    """Every stay with its beginning, end and decision; those that last first."""
    return JSONResponse({"items": await _stays(asking.running, STANDINGS.c.kind == "GOVERNANCE")}, headers=VARY)


@router.get("/v1/credits", summary="激励: credits of a period")
async def list_credits(asking: CanReadScores, period: Annotated[str, Query(pattern=PERIOD_PATTERN)]) -> Response:
    """With those that were withdrawn since (`until`)."""
    return JSONResponse({"items": await _stays(asking.running, STANDINGS.c.period == period)}, headers=VARY)


async def _stays(running: Running, condition: Any) -> list[dict[str, Any]]:
    query = select(STANDINGS).where(condition)
    query = query.order_by(STANDINGS.c.until.desc().nullsfirst(), STANDINGS.c.since.desc(), STANDINGS.c.entry)
    async with running.reads.connect() as connection:
        names = {unit.unit_id: unit.name for unit in (await units_at(connection, None)).values()}
        rows = (await connection.execute(query)).mappings().all()
    return [_shown(row) | {"name": names.get(row["unit_id"])} for row in rows]


def _shown(row: RowMapping) -> dict[str, Any]:
    shown = {name: row[name] for name in ("unit_id", "kind", "period", "decision")}
    shown |= {name: row[name] and rfc3339(row[name]) for name in ("since", "until")}
    return shown if row["kind"] == "GOVERNANCE" else shown | {"credit_id": row["entry"]}


COMMANDS = (
    CommandRoute("/v1/units/{unit_id}/credits", CreditBody, Scope.KEEP_STANDINGS, grant, "激励: credit a unit", 201,
                 answer=CreditAnswer, subject="unit_id"),
    CommandRoute("/v1/units/{unit_id}/credits/{credit_id}/withdraw", DecisionBody, Scope.KEEP_STANDINGS, withdraw,
                 "Withdraw a credit", subject="unit_id"),
    CommandRoute("/v1/governance/{unit_id}/enter", DecisionBody, Scope.KEEP_STANDINGS, enter, "治理类: enter",
                 subject="unit_id"),
    CommandRoute("/v1/governance/{unit_id}/leave", DecisionBody, Scope.KEEP_STANDINGS, leave, "治理类: leave",
                 subject="unit_id"),
)  # fmt: skip
