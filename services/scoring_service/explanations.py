"""Explanations and simulations over HTTP: why a figure is what it is, and what it would be by other rules."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Request
from pydantic import Field, ValidationError, model_validator
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import JSONResponse, Response

from services.scoring_service.answering import VARY, AsOf, CanReadScores, Period, Version, past
from services.scoring_service.documents import document_of
from services.scoring_service.explaining import Explained, adds, effect, rounds_of, standing_of
from services.scoring_service.life import life_of, shares
from services.scoring_service.lives import owned, read_life
from services.scoring_service.period import neighbour
from services.scoring_service.policy import Policy, read_policy
from services.scoring_service.policy_parts import PeriodKey
from services.scoring_service.reading import Scope as Counted
from services.scoring_service.reading import behind, policy_for, policy_named, policy_of, units_at
from services.scoring_service.simulating import moves, outcome
from services.scoring_service.tables import LeagueTable, counts_of_unit, read_table, snapshot
from services.scoring_service.tallying import LIVES, facts_in
from shared.contracts.codes import Basis, League
from shared.contracts.envelope import rfc3339
from shared.engine.decider import NotYours
from shared.web.asking import Asking, reads
from shared.web.bodies import parse_body, read_body
from shared.web.fields import Body, Moment
from shared.web.identity import Ownership, Scope
from shared.web.paging import Window, page
from shared.web.problems import Problem, pointer, validation_problem

router = APIRouter()
CanSimulate = Annotated[Asking, Depends(reads(Scope.READ_SCORES))]
MOST_PERIODS = 24
"""Of one simulation."""


@router.get("/v1/appeals/{appeal_id}/explanation", summary="Why an appeal counts or not, and for how much")
async def get_explanation(
    appeal_id: str, asking: CanReadScores, policy: Version = None, as_of: AsOf = None
) -> Response:
    """Which round and events count by which clause, what the appeal adds, and the unit's score with and without it, in
    numbers that can be added up by hand.
    """
    now = asking.running.clock.now()
    at = past(as_of, now)
    async with snapshot(asking.running) as connection:
        life = await read_life(connection, appeal_id)
        if not asking.principal.can_see(Scope.READ, owned(life)):
            raise NotYours
        if at is not None:
            life = life_of(life.facts, at)
        if policy is not None:
            rules = await policy_named(connection, policy)
        else:
            rules = await policy_of(connection, life.registered_at, at or now)
        explained = Explained(life, rules, asking.principal.unit_id)
        answer = _about(appeal_id, explained) | {"as_of": rfc3339(at or now)}
        if explained.share is not None and explained.period is not None:
            answer |= await _in_table(connection, explained, at, now)
    return JSONResponse(answer, headers=VARY)


def _about(appeal_id: str, explained: Explained) -> dict[str, Any]:
    sent = [each.dispatched.data for each in explained.life.rounds.values() if each.dispatched]
    share = explained.share
    return {
        "appeal_id": appeal_id,
        "ticket_no": sent[0].get("ticket_no") if sent else None,
        "policy": explained.policy.version,
        "period": explained.period,
        "unit_id": share.unit_id if share else None,
        "counted": {basis: explained.counts_on(basis) for basis in Basis},
        "why": explained.why,
        "adds": adds(share),
        "rounds": rounds_of(explained.life),
        "events": [
            {"time": fact.at, "event_id": fact.event_id, "says": fact.kind, "round": fact.round or None}
            for fact in explained.life.facts
        ],
    }


async def _in_table(
    connection: AsyncConnection, explained: Explained, at: datetime | None, now: datetime
) -> dict[str, Any]:
    """The unit's score on both bases, with the appeal and without it."""
    share, rules, period = explained.share, explained.policy, explained.period
    if share is None or period is None:
        raise NotYours
    answer: dict[str, Any] = {"score": {}}
    for basis in Basis:
        mine, league = await counts_of_unit(connection, Counted(rules, period, basis, at), share.unit_id, now)
        counts_here = share if explained.counts_on(basis) else None
        answer["score"][basis] = effect(counts_here, mine, rules, league, period)
        answer["score"][basis]["standing"] = standing_of(mine, rules, league, period)
    return answer | {"league": league}


@router.get("/v1/units/{unit_id}/appeals", summary="The appeals that a unit's figures are made of")
async def list_appeals(
    unit_id: str,
    asking: CanReadScores,
    window: Annotated[Window, Depends()],
    period: Period,
    basis: Basis = Basis.ALL,
    policy: Version = None,
) -> Response:
    """Each with what it adds; their sum over all pages is what the table shows for the unit."""
    now = asking.running.clock.now()
    async with snapshot(asking.running) as connection:
        units = await units_at(connection, None)
        whose = Ownership(frozenset({unit_id}), units[unit_id].parent_id) if unit_id in units else None
        if whose is None or not asking.principal.can_see(Scope.READ, whose):
            raise NotYours
        rules = await policy_for(connection, policy, period, now)
    names = behind({unit_id}, units, rules)
    start, end = Counted(rules, period, basis).days
    query = select(LIVES).where(or_(*(LIVES.c.units.contains(f" {name} ", autoescape=True) for name in names)))
    query = query.where(LIVES.c.registered_on >= start, LIVES.c.registered_on < end)
    query = query.where(*window.changed(LIVES.c.changed_at))
    what = f"counted:{unit_id}:{period}:{basis}:{rules.version}"
    rows, following = await page(asking.running, query, (LIVES.c.appeal_id,), window, what)
    scope = Counted(rules, period, basis, units=names)
    lines = [
        {"appeal_id": row["appeal_id"], "unit_id": share.unit_id, "ground": share.ground or None, "adds": adds(share)}
        for row in rows
        for share in shares(life_of(facts_in(row["facts"])), scope.rule)
        if scope.takes(share)
    ]
    return JSONResponse({"items": lines, "next_cursor": following}, headers=VARY)


class SimulationBody(Body):
    """`policy`: a version, or a document that need not be drafted; `against`: the version to compare with (unset: the
    one in force). One `period`, or all of `from_period` to `to_period`.
    """

    policy: str | dict[str, Any]
    against: str | None = None
    period: PeriodKey | None = None
    from_period: PeriodKey | None = None
    to_period: PeriodKey | None = None
    league: Annotated[League, Field(strict=False)]
    basis: Annotated[Basis, Field(strict=False)] = Basis.ALL
    as_of: Moment | None = None

    @model_validator(mode="after")
    def _some_period(self) -> Self:
        ends = (self.from_period, self.to_period)
        if (self.period is None) == (None in ends) or (self.period is not None and any(ends)):
            raise ValueError("give period, or from_period and to_period")
        if self.from_period and self.to_period and self.to_period < self.from_period:
            raise ValueError("to_period lies before from_period")
        if self.period is None and len(self.periods) > MOST_PERIODS:
            raise ValueError(f"at most {MOST_PERIODS} periods at a time")
        return self

    @property
    def periods(self) -> list[str]:
        if self.period is not None or self.from_period is None or self.to_period is None:
            return [self.period or ""]
        found = [self.from_period]
        while found[-1] < self.to_period and len(found) <= MOST_PERIODS:
            found.append(neighbour(found[-1], 1))
        return found


@router.post(
    "/v1/simulations",
    summary="The same events under another policy",
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": SimulationBody.model_json_schema()}}}},
)
async def simulate(request: Request, asking: CanSimulate) -> Response:
    """Both tables and the difference, period by period; over several periods the differences alone. Stores nothing."""
    running = asking.running
    body = parse_body(await read_body(request, running.settings.max_body_bytes), SimulationBody)
    now = running.clock.now()
    at = past(body.as_of, now)
    async with snapshot(running) as connection:
        draft = await _draft(connection, body.policy)
        answers = []
        for period in body.periods:
            rules = await policy_for(connection, body.against, period, at or now)
            tables = [
                await read_table(connection, Counted(policy, period, body.basis, at), body.league, now)
                for policy in (rules, draft)
            ]
            answers.append(_compared(tables[0], tables[1], whole=body.period is not None))
            await asyncio.sleep(0)  # others have their turn
    head = {"league": body.league, "basis": body.basis, "policy": draft.version, "as_of": rfc3339(at or now)}
    return JSONResponse(head | (answers[0] if body.period else {"periods": answers}), headers=VARY)


async def _draft(connection: AsyncConnection, policy: str | dict[str, Any]) -> Policy:
    """Raises VALIDATION_FAILED for a document that is not whole, NotYours for a version that there is not."""
    if isinstance(policy, str):
        return await policy_named(connection, policy)
    try:
        return read_policy(policy)
    except ValidationError as error:
        found = validation_problem(error).errors
        errors = [{**one, "pointer": pointer(("policy",)) + one["pointer"]} for one in found]
        raise Problem("VALIDATION_FAILED", errors=errors) from None


def _compared(now: LeagueTable, then: LeagueTable, *, whole: bool) -> dict[str, Any]:
    moved = moves(now, then)
    answer = {"period": now.period, "against": now.policy.version, "outcome": outcome(moved), "changes": moved}
    if whole:
        answer["tables"] = {"against": document_of(now), "policy": document_of(then)}
    return answer
