"""关账 over HTTP, and what is published: tables that nothing changes any more, restatements beside them, open data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from sqlalchemy import RowMapping, select
from starlette.responses import JSONResponse, PlainTextResponse, Response

from services.scoring_service.answering import (
    VARY,
    CanReadScores,
    Period,
    sees_all,
    table_answer,
    workbook_answer,
)
from services.scoring_service.closing import PERIOD, RestatePeriod
from services.scoring_service.documents import Sheet, document_of, sheet_of
from services.scoring_service.opening import opened
from services.scoring_service.policy import read_policy
from services.scoring_service.policy_parts import PERIOD_PATTERN
from services.scoring_service.publishing import drawn_up, signer_of, table_from
from services.scoring_service.reading import activated, policy_for, units_at
from services.scoring_service.restating import closing, restatements
from services.scoring_service.tables import closes_at, snapshot
from services.scoring_service.views import CLAIMS, POLICIES, PUBLICATIONS
from shared.contracts.codes import Basis, League
from shared.contracts.envelope import rfc3339
from shared.engine.decider import NotYours, Refused
from shared.engine.execute import Decision, Intention
from shared.engine.runtime import Running
from shared.web.asking import PublicAsking
from shared.web.commands import Answer, Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body, Code
from shared.web.identity import Scope
from shared.web.media import HTML, Workbook, also
from shared.web.problems import Problem
from shared.web.tables import TABLES

router = APIRouter()
PeriodPath = Annotated[str, Path(pattern=PERIOD_PATTERN)]
Number = Annotated[
    int | None, Query(ge=0, le=100_000, description="0: as closed; 1, 2, …: restatements; unset: the latest")
]


class CloseBody(Body):
    """Under another policy than the one in force, where one that has been activated is named."""

    policy: Code | None = None


class RestateAnswer(Answer):
    """Of which leagues there is a restatement now; none where nothing has changed."""

    restated: list[str]


class NoBody(Body):
    """Nothing to say."""


async def close(call: Call[CloseBody]) -> Plan:
    """Publish the tables of every league on both bases, signed, as everything is known now."""
    running, period = call.running, _period(call.subject)
    if not await running.heard_everything():
        raise Problem("TOO_EARLY", "events that count are still on their way")
    now = running.clock.now()  # what was said while we waited counts
    async with snapshot(running) as connection:
        policy = await policy_for(connection, None, period, now)
        if now < closes_at(period, policy):
            raise Refused("PERIOD_OPEN", f"this period can be closed from {rfc3339(closes_at(period, policy))} on")
        if call.body.policy is not None:
            policy = await activated(connection, call.body.policy)
        drawn = await drawn_up(connection, policy, period, now)
    return Plan(closing(period, drawn, now, call.actor, signer_of(running)), state_and_version)


async def restate(call: Call[NoBody]) -> Plan:
    """Publish what has changed since, beside what was published; nothing, where nothing has."""
    running, period = call.running, _period(call.subject)
    if not await running.heard_everything():
        raise Problem("TOO_EARLY", "events that count are still on their way")
    now = running.clock.now()
    tables = await restatements(running, period, now)
    if tables is None:
        raise Refused("PERIOD_OPEN", "only a closed period can be restated")
    command = RestatePeriod(at=now, actor=call.actor, tables=tables)
    return Plan(Intention(PERIOD, period, command), _restated)


def _restated(decision: Decision[Any]) -> dict[str, Any]:
    return state_and_version(decision) | {"restated": [one.data["league"] for one in decision.envelopes]}


def _period(period: str) -> str:
    """Raises NOT_FOUND for what is no period."""
    if not re.fullmatch(PERIOD_PATTERN, period):
        raise NotYours
    return period


@router.get("/v1/periods/{period}", summary="What was published about a period")
async def get_period(period: PeriodPath, asking: CanReadScores) -> Response:
    """Every publication, oldest first: its policy, digest and signature, and for restatements how many causes; which
    appeals these are is for those who may see all.
    """
    rows = await _publications(asking.running, PUBLICATIONS.c.period == period)
    items = [_publication(row, sees_all(asking)) for row in rows]
    return JSONResponse({"period": period, "state": "CLOSED" if rows else "OPEN", "publications": items}, headers=VARY)


def _publication(row: RowMapping, causes: bool) -> dict[str, Any]:
    data = orjson.loads(row["document"])
    plain = ("league", "policy_version", "starts_at", "ends_at", "as_of", "digest", "note")
    more = ("replaces", "causes_in_all", *(("causes",) if causes else ()))
    shown = {"number": row["number"], "kind": "RESTATED" if row["number"] else "CLOSED"}
    return shown | {name: data[name] for name in plain} | {name: data[name] for name in more if name in data}


@router.get("/v1/periods/{period}/tables/{league}", responses=also(HTML, *TABLES), summary="A table as published")
async def get_published(
    request: Request,
    period: PeriodPath,
    league: League,
    asking: CanReadScores,
    basis: Basis = Basis.ALL,
    number: Number = None,
) -> Response:
    """The latest, or the publication of that number. JSON, `text/csv`, XLSX, or `text/html` to print."""
    row = await _published(asking.running, period, league, number)
    document = _document(row["document"], await _policy(asking.running, row["policy_version"]), basis)
    name = f"published-{league.lower()}-{period}-{basis.lower()}"
    return await table_answer(request, document | {"number": row["number"], "digest": row["digest"]}, name)


@router.get("/v1/periods/{period}/publications/{league}/{number}", summary="What was signed")
async def get_signed(
    period: PeriodPath, league: League, number: Annotated[int, Path(ge=0, le=100_000)], asking: CanReadScores
) -> Response:
    """The event's data. Without `digest` and `note`, in canonical JSON (RFC 8785), its SHA-256 is the digest that the
    note signs. Restatements name single appeals, and are for those who may see all.
    """
    row = await _published(asking.running, period, league, number)
    if number and not sees_all(asking):
        raise NotYours
    return Response(row["document"], media_type="application/json", headers=VARY)


@router.get(
    "/v1/periods/{period}/review",
    response_class=Workbook,
    summary="月度点评: all about a period in one workbook",
)
async def get_review(period: PeriodPath, asking: CanReadScores) -> Response:
    """XLSX: every league on both bases as last published; the restatements with their causes, and the exclusions, for
    those who may see every appeal.
    """
    running = asking.running
    rows = {row["league"]: row for row in await _publications(running, PUBLICATIONS.c.period == period)}
    if not rows:
        raise NotYours
    sheets: list[Sheet] = []
    for league in League:
        policy = await _policy(running, rows[league]["policy_version"])
        for basis, of in ((Basis.ALL, "全口径"), (Basis.ASSESSED, "剔除后")):
            sheets.append(sheet_of(_document(rows[league]["document"], policy, basis), f"{_SHEETS[league]}{of}"))
    appendices = await _appendices(running, period) if sees_all(asking) else []
    return await workbook_answer([*sheets, *appendices], f"review-{period}")


_SHEETS = {
    League.DISTRICT: "各区",
    League.STREET_TOWN: "街道乡镇",
    League.MUNICIPAL_DEPT: "市级部门",
    League.PUBLIC_ENTERPRISE: "公服企业",
}


async def _appendices(running: Running, period: str) -> list[Sheet]:
    published = await _publications(running, PUBLICATIONS.c.period == period)
    causes = [
        (row["league"], row["number"], rfc3339(row["as_of"]), *_cause(cause))
        for row in published
        for cause in orjson.loads(row["document"]).get("causes", ())
    ]
    async with running.reads.connect() as connection:
        query = select(CLAIMS).where(CLAIMS.c.period == period).order_by(CLAIMS.c.claimed_at)
        claims = [
            (row["unit_id"], row["ground"], row["state"], row["instance"], rfc3339(row["claimed_at"]))
            for row in (await connection.execute(query)).mappings()
        ]
    return [
        Sheet("更正", [period], ("league", "number", "as_of", "about", "because"), causes),
        Sheet("剔除", [period], ("unit_id", "ground", "state", "instance", "claimed_at"), claims),
    ]


def _cause(cause: Mapping[str, Any]) -> tuple[str, str]:
    about = cause.get("appeal_id") or cause.get("unit_id") or ""
    return about, " ".join(cause.get("events", ())) or cause.get("credit_id", "")


@router.get("/v1/open/scores", summary="Open data: a published table without small figures")
async def get_open(asking: PublicAsking, period: Period, league: League) -> Response:
    """Anybody may read it, on the all-inclusive basis alone, so that no difference of two tables tells of one person.

    Figures of too few callbacks are withheld, and with them whatever would give them away; a restatement is shown once
    enough appeals have changed.
    """
    running = asking.running
    rows = await _publications(running, PUBLICATIONS.c.period == period)
    if not rows:
        raise NotYours
    text = await _policy(running, rows[0]["policy_version"])
    policy = read_policy(orjson.loads(text))
    small_cell = policy.publishing.small_cell
    last = {one: shown_openly([row for row in rows if row["league"] == one], small_cell) for one in League}
    below: dict[str, list[dict[str, Any]]] = {}
    if league is League.DISTRICT and policy.districts == "ROLL_UP":
        async with running.reads.connect() as connection:
            units = await units_at(connection, rows[0]["as_of"])
        streets = opened(_document(last[League.STREET_TOWN]["document"], text, Basis.ALL), small_cell)["items"]
        for item in streets:
            below.setdefault(units[item["unit_id"]].parent_id or "", []).append(item)
    document = opened(_document(last[league]["document"], text, Basis.ALL), small_cell, below)
    return JSONResponse(document | {"digest": last[league]["digest"]})


def shown_openly(publications: Sequence[RowMapping], small_cell: int) -> RowMapping:
    """The latest from which the one before cannot be told apart by fewer appeals than `small_cell`."""
    shown, changed = publications[0], 0
    for row in publications[1:]:
        changed += orjson.loads(row["document"])["causes_in_all"]
        if changed >= small_cell:
            shown, changed = row, 0
    return shown


@router.get("/v1/publications/key", response_class=PlainTextResponse, summary="The key of publications")
async def get_key(asking: PublicAsking) -> Response:
    """One line: C2SP signed-note verifier key, Ed25519."""
    return PlainTextResponse(signer_of(asking.running).verifier_key + "\n")


async def _publications(running: Running, condition: Any) -> Sequence[RowMapping]:
    query = select(PUBLICATIONS).where(condition).order_by(PUBLICATIONS.c.number, PUBLICATIONS.c.league)
    async with running.reads.connect() as connection:
        return (await connection.execute(query)).mappings().all()


async def _published(running: Running, period: str, league: League, number: int | None) -> RowMapping:
    """Raises NotYours."""
    condition = (PUBLICATIONS.c.period == period) & (PUBLICATIONS.c.league == str(league))
    if number is not None:
        condition &= PUBLICATIONS.c.number == number
    rows = await _publications(running, condition)
    if not rows:
        raise NotYours
    return rows[-1]


async def _policy(running: Running, version: str) -> str:
    """The document of a version, as text."""
    query = select(POLICIES.c.document).where(POLICIES.c.policy_version == version)
    async with running.reads.connect() as connection:
        return str((await connection.execute(query)).scalar_one())


@lru_cache(maxsize=256)
def _rendered(publication: str, policy: str, basis: Basis) -> bytes:
    """Nothing that goes in ever changes."""
    table = table_from(orjson.loads(publication), read_policy(orjson.loads(policy)), basis)
    return orjson.dumps(document_of(table))


def _document(publication: str, policy: str, basis: Basis) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(_rendered(publication, policy, basis))
    return document


COMMANDS = (
    CommandRoute("/v1/periods/{period}/close", CloseBody, Scope.CLOSE_PERIODS, close, "关账: close and publish",
                 subject="period"),
    CommandRoute("/v1/periods/{period}/restate", NoBody, Scope.CLOSE_PERIODS, restate, "更正: restate",
                 subject="period", answer=RestateAnswer),
)  # fmt: skip
