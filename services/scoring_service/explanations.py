"""Explanations and simulations over HTTP: why a figure is what it is, and what it would be by other rules."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Request
from pydantic import Field, ValidationError, model_validator
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import JSONResponse, Response

from services.scoring_service.answering import VARY, AsOf, CanReadScores, Period, Version, past
from services.scoring_service.documents import document_of
from services.scoring_service.explaining import Explained, adds, effect, rounds_of, standing_of
from services.scoring_service.life import Life, life_of
from services.scoring_service.lives import owned, read_life
from services.scoring_service.period import neighbour, period_of
from services.scoring_service.policy import Policy, read_policy
from services.scoring_service.policy_parts import PeriodKey
from services.scoring_service.reading import Scope as Counted
from services.scoring_service.reading import policy_for, policy_named, units_at
from services.scoring_service.simulating import moves, outcome
from services.scoring_service.tables import LeagueTable, counts_of, read_table, snapshot
from services.scoring_service.tallying import LIVES, facts_in
from shared.contracts.codes import Basis, League
from shared.contracts.envelope import rfc3339
from shared.engine.decider import NotYours
from shared.web.asking import Asking, reads
from shared.web.bodies import parse_body, read_body
from shared.web.fields import Body, Moment
from shared.web.identity import Reach, Scope, granted
from shared.web.paging import Window, page
from shared.web.problems import Problem, pointer, validation_problem

router = APIRouter()
CanSimulate = Annotated[Asking, Depends(reads(Scope.READ_SCORES))]
MOST_PERIODS = 24
"""Of one simulation."""


def _may_see(asking: Asking, life: Life) -> None:
    """Raises NotYours where the appeal lies outside the caller's reach. Analysts see figures of every appeal."""
    if Scope.READ in granted(asking.principal.roles) and not asking.principal.can_see(Scope.READ, owned(life)):
        raise NotYours


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
        _may_see(asking, life)
        if at is not None:
            life = life_of(life.facts, at)
        rules = await _rules(connection, policy, life, at or now)
        explained = Explained(life, rules)
        answer = _about(appeal_id, explained) | {"as_of": rfc3339(at or now)}
        if explained.share is not None and explained.period is not None:
            answer |= await _in_table(connection, explained, at, now)
    return JSONResponse(answer, headers=VARY)


async def _rules(connection: AsyncConnection, version: str | None, life: Life, at: datetime) -> Policy:
    """The policy of the period that the appeal was registered in."""
    if version is not None or life.registered_at is None:
        return await policy_for(connection, version, period_of(at, 1), at)
    current = await policy_for(connection, None, period_of(at, 1), at)
    return await policy_for(connection, None, period_of(life.registered_at, current.period_start_day), at)


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
    unit = (await units_at(connection, at)).get(share.unit_id)
    league = League(unit.unit_type) if unit and unit.unit_type in League.__members__ else None
    answer: dict[str, Any] = {"league": league, "score": {}}
    for basis in Basis:
        found = await counts_of(connection, Counted(rules, period, basis, at), None, now)
        mine = next((one for one in found if one.unit_id == share.unit_id), None)
        if mine is not None:
            counts_here = share if explained.counts_on(basis) else None
            answer["score"][basis] = effect(counts_here, mine, rules, league, period)
            answer["score"][basis]["standing"] = standing_of(mine, rules, league, period)
    return answer


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
    reach = asking.principal.reach(Scope.READ) if Scope.READ in granted(asking.principal.roles) else Reach.ALL
    mine = {asking.principal.unit_id, asking.principal.district}
    async with snapshot(asking.running) as connection:
        units = await units_at(connection, None)
        unit = units.get(unit_id)
        if unit is None or (reach is not Reach.ALL and not mine & {unit_id, unit.parent_id}):
            raise NotYours
        rules = await policy_for(connection, policy, period, now)
    start, end = Counted(rules, period, basis).days
    query = select(LIVES).where(LIVES.c.units.contains(f" {unit_id} "), LIVES.c.registered_on >= start)
    query = query.where(LIVES.c.registered_on < end, *window.changed(LIVES.c.changed_at))
    what = f"counted:{unit_id}:{period}:{basis}:{rules.version}"
    rows, following = await page(asking.running, query, (LIVES.c.appeal_id,), window, what)
    items = [_line(row["appeal_id"], Explained(life_of(facts_in(row["facts"])), rules), unit_id, basis) for row in rows]
    return JSONResponse({"items": [one for one in items if one], "next_cursor": following}, headers=VARY)


def _line(appeal_id: str, explained: Explained, unit_id: str, basis: Basis) -> dict[str, Any] | None:
    mine = next((share for share in explained.shares if share.unit_id == unit_id), None)
    if mine is None or not explained.counts_on(basis):
        return None
    return {"appeal_id": appeal_id, "ground": mine.ground or None, "adds": adds(mine)}


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
