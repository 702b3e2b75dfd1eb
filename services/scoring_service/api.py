"""Scoring over HTTP: policies, league tables, a unit's history. Contract section 5."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError
from sqlalchemy import select
from starlette.responses import JSONResponse, Response

from services.scoring_service.formula import Score, league_table, mean_of_units, text
from services.scoring_service.leagues import counts_of, counts_query
from services.scoring_service.period import bounds, period_of
from services.scoring_service.policy import POLICY, ActivatePolicy, DraftPolicy, Policy, read_policy
from services.scoring_service.views import POLICIES, ROUNDS
from shared.contracts.codes import Basis, League
from shared.contracts.envelope import rfc3339
from shared.engine.decider import NotYours
from shared.engine.execute import Intention
from shared.engine.runtime import Running
from shared.web.app import Api
from shared.web.asking import Asking, reads
from shared.web.commands import Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body, Moment
from shared.web.identity import Ownership, Scope
from shared.web.paging import Window, page
from shared.web.problems import Problem, pointer, validation_problem

router = APIRouter()
CanReadScores = Annotated[Asking, Depends(reads(Scope.READ_SCORES))]
PeriodKey = Annotated[str, Query(pattern=r"^(19|20|21)\d{2}-(0[1-9]|1[0-2])$", description="考核期, YYYY-MM")]
PolicyVersion = Annotated[str | None, Query(alias="policy", max_length=64)]
COUNTS = (
    *("received", "valid_callbacks", "contacted", "resolved"),
    *("satisfied", "basically_satisfied", "dissatisfied", "not_stated"),
)
RATES = ("response_rate", "resolution_rate", "satisfaction_rate", "composite")
LONGEST_HISTORY = 60
"""Months in one answer."""


class PolicyBody(Body):
    """A policy as data; see the shipped BJ-HR-2025 for every member."""

    document: dict[str, Any]


class ActivateBody(Body):
    """From when on."""

    effective_from: Moment


async def draft(call: Call[PolicyBody]) -> Plan:
    """Write a policy down; it must be whole and consistent."""
    document = call.body.document
    try:
        policy = read_policy(document)
    except ValidationError as error:
        problem = validation_problem(error)
        errors = [{**one, "pointer": pointer(("document",)) + one["pointer"]} for one in problem.errors]
        raise Problem("VALIDATION_FAILED", errors=errors) from None
    command = DraftPolicy(at=call.now, actor=call.actor, version=policy.version, document=document)
    return Plan(Intention(POLICY, policy.version, command), state_and_version)


async def activate(call: Call[ActivateBody]) -> Plan:
    """Let a drafted policy come into force."""
    command = ActivatePolicy(
        at=call.now, actor=call.actor, version=call.subject, effective_from=call.body.effective_from
    )
    return Plan(Intention(POLICY, call.subject, command), state_and_version)


async def policy_for(running: Running, version: str | None) -> Policy:
    """The named policy, or the one in force now. Raises NotYours when there is none."""
    query = select(POLICIES.c.document)
    if version is not None:
        query = query.where(POLICIES.c.policy_version == version)
    else:
        query = query.where(POLICIES.c.state == "ACTIVE", POLICIES.c.effective_from <= running.clock.now())
        query = query.order_by(POLICIES.c.effective_from.desc()).limit(1)
    async with running.reads.connect() as connection:
        document = (await connection.execute(query)).scalar()
    if document is None:
        raise NotYours
    return read_policy(orjson.loads(document))


async def table_of(
    running: Running, policy: Policy, period: str, league: League | None, unit_id: str | None = None
) -> list[Score]:
    """The league table of a period, ranked."""
    start, end = bounds(period, policy.period_start_day)
    async with running.reads.connect() as connection:
        rows = (await connection.execute(counts_query(policy, start, end, league, unit_id))).mappings().all()
    return league_table([counts_of(row) for row in rows], policy)


def score_item(one: Score) -> dict[str, Any]:
    """The shape that the contract fixes (section 9)."""
    item: dict[str, Any] = {"unit_id": one.counts.unit_id, "name": one.counts.name}
    item |= {name: getattr(one.counts, name) for name in COUNTS}
    item |= {name: text(getattr(one, name)) for name in RATES}
    shown = None if one.shown is None else str(one.shown)
    return item | {"composite_shown": shown, "rank": one.rank, "label": None, "rated": one.rated}


@router.get("/v1/scores", summary="A league table")
async def get_scores(
    request: Request,
    asking: CanReadScores,
    period: PeriodKey,
    league: League,
    basis: Basis = Basis.ALL,
    policy: PolicyVersion = None,
) -> Response:
    """Counts, the three rates, composite and rank of every unit of a league. `Accept: text/csv` gives a table."""
    rules = await policy_for(asking.running, policy)
    scores = await table_of(asking.running, rules, period, league)
    items = [score_item(one) for one in scores]
    if "text/csv" in request.headers.get("accept", ""):
        return _csv(items)
    summary = {name: sum(item[name] for item in items) for name in COUNTS}
    summary |= {name: text(figure) for name, figure in mean_of_units(scores).items()}
    head = {"period": period, "league": league, "basis": basis, "policy": rules.version}
    now = rfc3339(asking.running.clock.now())
    return JSONResponse(head | {"as_of": now, "items": items, "summary": summary})


def _csv(items: Sequence[dict[str, Any]]) -> Response:
    table = io.StringIO()
    writer = csv.DictWriter(
        table, fieldnames=["unit_id", "name", *COUNTS, *RATES, "composite_shown", "rank", "label", "rated"]
    )
    writer.writeheader()
    writer.writerows(items)
    return Response("\ufeff" + table.getvalue(), media_type="text/csv; charset=utf-8")


@router.get("/v1/units/{unit_id}/scores", summary="A unit's history")
async def get_history(
    unit_id: str,
    asking: CanReadScores,
    from_: Annotated[str, Query(alias="from", pattern=r"^\d{4}-(0[1-9]|1[0-2])$")],
    to: Annotated[str, Query(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")],
    policy: PolicyVersion = None,
) -> Response:
    """One entry a period, oldest first; without ranks, which need the whole league."""
    rules = await policy_for(asking.running, policy)
    try:
        periods = _periods(from_, to, rules.period_start_day)
    except ValueError as error:
        raise Problem("VALIDATION_FAILED", str(error)) from None
    items = []
    for period in periods:
        scores = await table_of(asking.running, rules, period, None, unit_id)
        if not scores:
            raise NotYours
        items.append({"period": period} | score_item(scores[0]) | {"rank": None})
    return JSONResponse({"unit_id": unit_id, "policy": rules.version, "items": items})


def _periods(first: str, last: str, start_day: int) -> list[str]:
    periods: list[str] = []
    period = first
    bounds(first, start_day)
    while period <= last:
        if len(periods) == LONGEST_HISTORY:
            raise ValueError(f"at most {LONGEST_HISTORY} periods at a time")
        periods.append(period)
        _, end = bounds(period, start_day)
        period = period_of(end, start_day)
    return periods


@router.get("/v1/policies", summary="Assessment policies")
async def list_policies(asking: CanReadScores, window: Annotated[Window, Depends()]) -> Response:
    """Every version, with its document."""
    query = select(POLICIES).where(*window.changed(POLICIES.c.updated_at))
    rows, following = await page(asking.running, query, (POLICIES.c.policy_version,), window, "policies")
    items = [
        {"version": row["policy_version"], "state": row["state"], "document": orjson.loads(row["document"])}
        | {"effective_from": row["effective_from"] and rfc3339(row["effective_from"])}
        for row in rows
    ]
    return JSONResponse({"items": items, "next_cursor": following})


_POLICIES = "/v1/policies"
COMMANDS = (
    CommandRoute(_POLICIES, PolicyBody, Scope.KEEP_POLICY, draft, "Draft a policy", 201, ""),
    CommandRoute(f"{_POLICIES}/{{version}}/activate", ActivateBody, Scope.KEEP_POLICY, activate, "Activate a policy",
                 subject="version"),
)  # fmt: skip


async def owners(running: Running, subjects: Sequence[str]) -> dict[str, Ownership]:
    """Whose these appeals are: the units that they are counted for."""
    async with running.reads.connect() as connection:
        rows = (await connection.execute(select(ROUNDS).where(ROUNDS.c.appeal_id.in_(subjects)))).mappings()
        units: dict[str, set[str]] = {}
        for row in rows:
            units.setdefault(row["appeal_id"], set()).update({row["unit_id"]} - {None})
    return {appeal_id: Ownership(frozenset(names)) for appeal_id, names in units.items()}


API = Api("Jiesu scoring 三率考核", router, COMMANDS, owners)
