"""Scoring over HTTP: league tables, a unit's history, policies. Contract section 5."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError
from sqlalchemy import RowMapping, select
from starlette.responses import JSONResponse, Response

from services.scoring_service import contesting, explanations, publications, standings
from services.scoring_service.answering import (
    AsOf,
    CanReadScores,
    Category,
    Period,
    Version,
    past,
    table_answer,
)
from services.scoring_service.documents import document_of, item_of
from services.scoring_service.formula import score
from services.scoring_service.lives import owners
from services.scoring_service.period import bounds, period_of
from services.scoring_service.policy import POLICY, ActivatePolicy, DraftPolicy, Policy, read_policy
from services.scoring_service.policy_parts import PERIOD_PATTERN
from services.scoring_service.reading import Scope as Counted
from services.scoring_service.reading import policy_for, policy_in_force, policy_named
from services.scoring_service.tables import LeagueTable, counts_of_unit, expected_at, read_table, snapshot
from services.scoring_service.views import POLICIES
from shared.contracts.codes import Basis, League
from shared.contracts.envelope import rfc3339
from shared.engine.decider import NotYours
from shared.engine.execute import Intention
from shared.web.app import Api
from shared.web.commands import Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body, Moment
from shared.web.identity import Scope
from shared.web.media import HTML, also
from shared.web.paging import Window, page
from shared.web.problems import Problem, pointer, validation_problem
from shared.web.tables import TABLES

router = APIRouter()
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
        raise in_document(validation_problem(error)) from None
    command = DraftPolicy(at=call.now, actor=call.actor, version=policy.version, document=document)
    return Plan(Intention(POLICY, policy.version, command), state_and_version)


def in_document(problem: Problem) -> Problem:
    """The same, pointing into the member that holds the policy."""
    errors = [{**one, "pointer": pointer(("document",)) + one["pointer"]} for one in problem.errors]
    return Problem("VALIDATION_FAILED", errors=errors)


async def activate(call: Call[ActivateBody]) -> Plan:
    """Let a drafted policy come into force."""
    command = ActivatePolicy(
        at=call.now, actor=call.actor, version=call.subject, effective_from=call.body.effective_from
    )
    return Plan(Intention(POLICY, call.subject, command), state_and_version)


@router.get("/v1/scores", responses=also(HTML, *TABLES), summary="A league table")
async def get_scores(
    request: Request,
    asking: CanReadScores,
    period: Period,
    league: League,
    basis: Basis = Basis.ALL,
    policy: Version = None,
    as_of: AsOf = None,
    category: Category = None,
    weighed: Annotated[bool, Query(description="with what the city's average solves of the same matters")] = False,
    day: Annotated[date | None, Query(description="of one report day of the period alone")] = None,
) -> Response:
    """Counts, rates, composite with its interval, rank, change and label of every unit of a league, as they are now or
    were at `as_of`, under the policy in force then. JSON, `text/csv`, XLSX, or `text/html` to print.
    """
    now = asking.running.clock.now()
    at = past(as_of, now)
    async with snapshot(asking.running) as connection:
        rules = await policy_for(connection, policy, period, at or now)
        scope = Counted(rules, period, basis, at, category, day=_of_period(day, period, category, weighed, rules))
        expected = await expected_at(connection, scope) if weighed else None
        table = await read_table(connection, scope, league, now, compared=day is None, expected=expected)
    document = document_of(table)
    document |= {"category": category} if category is not None else {}
    document |= {"day": day.isoformat()} if day is not None else {}
    return await table_answer(request, document, f"scores-{league.lower()}-{day or period}-{basis.lower()}")


def _of_period(day: date | None, period: str, category: str | None, weighed: bool, policy: Policy) -> date | None:
    """Raises VALIDATION_FAILED for a day of another period, and for a day's categories, which are not kept."""
    if day is None:
        return None
    start, end = bounds(period, policy.period_start_day)
    if category is not None or weighed or not start.date() <= day < end.date():
        message = "give a day of the period, without a category and unweighed"
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "/day", "message": message}])
    return day


@router.get("/v1/units/{unit_id}/scores", summary="A unit's history")
async def get_history(
    unit_id: str,
    asking: CanReadScores,
    from_: Annotated[str, Query(alias="from", pattern=PERIOD_PATTERN)],
    to: Annotated[str, Query(pattern=PERIOD_PATTERN)],
    basis: Basis = Basis.ALL,
    policy: Version = None,
) -> Response:
    """One entry a period, oldest first, each under the policy of its period; without ranks, which need the league."""
    now = asking.running.clock.now()
    items = []
    async with snapshot(asking.running) as connection:
        if to < from_:
            raise Problem("VALIDATION_FAILED", errors=[{"pointer": "/to", "message": "`to` lies before `from`"}])
        first = await policy_named(connection, policy) if policy else await policy_in_force(connection, now, now)
        for period in _periods(from_, to, first.period_start_day):
            rules = await policy_for(connection, policy, period, now)
            mine, league = await counts_of_unit(connection, Counted(rules, period, basis), unit_id, now)
            table = LeagueTable(rules, period, league, basis, now, ())
            shown = item_of(score(mine, rules, league, period), table)
            items.append({"period": period, "policy": rules.version} | shown)
    return JSONResponse({"unit_id": unit_id, "policy": policy or first.version, "items": items})


def _periods(first: str, last: str, start_day: int) -> list[str]:
    """Raises VALIDATION_FAILED when there are too many."""
    periods: list[str] = []
    period = first
    while period <= last:
        if len(periods) == LONGEST_HISTORY:
            raise Problem("VALIDATION_FAILED", f"at most {LONGEST_HISTORY} periods at a time")
        periods.append(period)
        _, end = bounds(period, start_day)
        period = period_of(end, start_day)
    return periods


@router.get("/v1/policies", summary="Assessment policies")
async def list_policies(asking: CanReadScores, window: Annotated[Window, Depends()]) -> Response:
    """Every version, with its document."""
    query = select(POLICIES).where(*window.changed(POLICIES.c.updated_at))
    rows, following = await page(asking.running, query, (POLICIES.c.policy_version,), window, "policies")
    return JSONResponse({"items": [_policy_item(row) for row in rows], "next_cursor": following})


def _policy_item(row: RowMapping) -> dict[str, Any]:
    shown = {"version": row["policy_version"], "state": row["state"], "document": orjson.loads(row["document"])}
    return shown | {"effective_from": row["effective_from"] and rfc3339(row["effective_from"])}


@router.get("/v1/policies/{version}", summary="One policy")
async def get_policy(version: str, asking: CanReadScores) -> Response:
    """Its document, to begin a draft from, and where it stands."""
    query = select(POLICIES).where(POLICIES.c.policy_version == version)
    async with asking.running.reads.connect() as connection:
        row = (await connection.execute(query)).mappings().first()
    if row is None:
        raise NotYours
    return JSONResponse(_policy_item(row))


_POLICIES = "/v1/policies"
COMMANDS = (
    CommandRoute(_POLICIES, PolicyBody, Scope.KEEP_POLICY, draft, "Draft a policy", 201, ""),
    CommandRoute(f"{_POLICIES}/{{version}}/activate", ActivateBody, Scope.KEEP_POLICY, activate, "Activate a policy",
                 subject="version"),
    *contesting.COMMANDS,
    *standings.COMMANDS,
    *publications.COMMANDS,
)  # fmt: skip
for part in (contesting, standings, publications, explanations):
    router.routes.extend(part.router.routes)

API = Api("Jiesu scoring 三率考核", router, COMMANDS, owners)
