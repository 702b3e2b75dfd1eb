"""剔除 and 考核申诉 over HTTP: claims by units, decisions by others, and what they come to in the tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field, StringConstraints
from sqlalchemy import RowMapping, select
from starlette.responses import JSONResponse, Response

from services.scoring_service.answering import VARY, CanReadScores, Period, Version, not_of_kin, sees_all
from services.scoring_service.documents import item_of
from services.scoring_service.exclusion import EXCLUSIONS, AppealDecision, Approve, ClaimExclusion, Exclusions, Reject
from services.scoring_service.life import Life, Rule, shares
from services.scoring_service.lives import owned, read_life
from services.scoring_service.period import bounds, period_of
from services.scoring_service.policy import Policy
from services.scoring_service.policy_parts import PERIOD_PATTERN
from services.scoring_service.reading import Scope as Counted
from services.scoring_service.reading import policy_for, policy_named, policy_of
from services.scoring_service.tables import read_table, snapshot
from services.scoring_service.views import CLAIMS
from shared.contracts.codes import Basis, League
from shared.contracts.envelope import rfc3339
from shared.contracts.scoring import ExclusionClaimed
from shared.engine.decider import NotYours, Refused
from shared.engine.execute import Decision, Intention
from shared.engine.runtime import Running
from shared.web.commands import Answer, Call, CommandRoute, Plan
from shared.web.fields import Body, ShortText, Text
from shared.web.identity import Ownership, Principal, Reach, Scope
from shared.web.paging import Window, page
from shared.web.problems import Problem

router = APIRouter()
Ground = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z_]{0,63}$")]


class ClaimBody(Body):
    """`reason` is one of the grounds of the policy; `evidence` in words; `files` are numbers of the appeal's files."""

    reason: Ground
    evidence: Text
    files: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(max_length=50, strict=False)] = ()


class ApproveBody(Body):
    """Why, where there is something to say."""

    reason: ShortText | None = None


class RejectBody(Body):
    """查否, and why."""

    reason: ShortText


class AssessmentAppealBody(Body):
    """考核申诉: what the decision overlooked."""

    argument: Text


class ClaimAnswer(Answer):
    """The claim, and until when it is decided."""

    exclusion_id: str


async def claim(call: Call[ClaimBody]) -> Plan:
    """Say that an appeal should not be assessed, on which ground, and show why."""
    body, running = call.body, call.running
    async with snapshot(running) as connection:
        life = await read_life(connection, call.subject)
        call.must_see(owned(life))
        policy = await policy_of(connection, life.registered_at, call.now)
    scored = [share.unit_id for share in shares(life, Rule(policy.counted_round))]
    if not scored:
        raise Refused("NOT_ASSESSED", "this appeal is in nobody's figures")
    unit = call.principal.unit_id if call.principal.unit_id in scored else scored[0]
    call.must_see(Ownership(frozenset({unit})))
    ground = policy.exclusions.grounds.get(body.reason)
    if ground is None:
        known = ", ".join(policy.exclusions.grounds) or "none"
        errors = [{"pointer": "/reason", "message": f"no ground of {policy.version}; there are {known}"}]
        raise Problem("VALIDATION_FAILED", errors=errors)
    facts = ExclusionClaimed(
        exclusion_id=running.ids.uuid7(),
        unit_id=unit,
        district=owned(life).district,
        scored=tuple(scored),
        ground=body.reason,
        kind=ground.kind,
        evidence=body.evidence,
        files=body.files,
        decide_by=call.now + timedelta(days=policy.exclusions.decide_days),
        period=_period(life, policy),
        policy_version=policy.version,
        by=call.principal.sub,
    )
    command = ClaimExclusion(at=call.now, actor=call.actor, facts=facts, until=_claim_until(life, policy))
    return Plan(_intention(call.subject, command, life), lambda decision: _said(decision, facts.exclusion_id))


def _period(life: Life, policy: Policy) -> str:
    """The period that the appeal counts for."""
    if life.registered_at is None:
        raise NotYours
    return period_of(life.registered_at, policy.period_start_day)


def _claim_until(life: Life, policy: Policy) -> datetime:
    end = bounds(_period(life, policy), policy.period_start_day)[1]
    return end + timedelta(days=policy.exclusions.claim_days)


async def approve(call: Call[ApproveBody]) -> Plan:
    """Left out of the assessed basis."""
    return await _decide(call, lambda row, policy: Approve(
        at=call.now, actor=call.actor, exclusion_id=row["exclusion_id"], reason=call.body.reason
    ))  # fmt: skip


async def reject(call: Call[RejectBody]) -> Plan:
    """查否; the unit may appeal once."""
    return await _decide(call, lambda row, policy: Reject(
        at=call.now, actor=call.actor, exclusion_id=row["exclusion_id"], reason=call.body.reason,
        appeal_until=call.now + timedelta(days=policy.exclusions.appeal_days),
    ))  # fmt: skip


async def appeal(call: Call[AssessmentAppealBody]) -> Plan:
    """考核申诉: another person looks at it again."""
    return await _decide(call, lambda row, policy: AppealDecision(
        at=call.now, actor=call.actor, exclusion_id=row["exclusion_id"], argument=call.body.argument,
        decide_by=call.now + timedelta(days=policy.exclusions.decide_days),
    ))  # fmt: skip


async def _decide(call: Call[Any], command_for: Any) -> Plan:
    row = await _claim_row(call.running, call.subject)
    call.must_see(Ownership(frozenset({row["unit_id"]})))
    if call.scope is Scope.JUDGE:
        not_of_kin(call, {row["unit_id"], row["district"]})
    async with snapshot(call.running) as connection:
        life = await read_life(connection, row["appeal_id"])
        policy = await policy_named(connection, row["policy_version"])
    intention = _intention(row["appeal_id"], command_for(row, policy), life)
    return Plan(intention, lambda decision: _said(decision, row["exclusion_id"]))


def _intention(appeal_id: str, command: Any, life: Life) -> Intention[Exclusions]:
    """Words are sealed with the appellant's own key: they may tell something about a person."""
    keys = [each.dispatched.data["subject_key"] for each in life.rounds.values() if each.dispatched]
    return Intention(EXCLUSIONS, appeal_id, command, sealed_for=keys[0])


def _said(decision: Decision[Exclusions], exclusion_id: str) -> dict[str, Any]:
    state = decision.state.claims[exclusion_id].state
    return {"exclusion_id": exclusion_id, "state": state, "version": decision.version}


async def _claim_row(running: Running, exclusion_id: str) -> RowMapping:
    """Raises NotYours. A claim of this moment is waited for."""
    query = select(CLAIMS).where(CLAIMS.c.exclusion_id == exclusion_id)
    for waited in (False, True):
        async with running.reads.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is not None:
            return row
        if not waited:
            await running.views_caught_up()
    raise NotYours


@router.get("/v1/exclusions", summary="Claims to have appeals left out, and what became of them")
async def list_exclusions(
    asking: CanReadScores,
    window: Annotated[Window, Depends()],
    unit_id: Annotated[str | None, Query(max_length=64)] = None,
    appeal_id: Annotated[str | None, Query(max_length=64)] = None,
    state: Literal["CLAIMED", "APPROVED", "REJECTED", "APPEALED", "LAPSED"] | None = None,
    period: Annotated[str | None, Query(pattern=PERIOD_PATTERN)] = None,
) -> Response:
    """The latest change first. Units see their own; words are for those who decide, and not in this list."""
    filters = {"unit_id": unit_id, "appeal_id": appeal_id, "state": state, "period": period}
    conditions = [CLAIMS.c[name] == value for name, value in filters.items() if value]
    conditions += window.changed(CLAIMS.c.updated_at)
    conditions += [] if sees_all(asking) else _within_reach(asking.principal)
    what = f"claims:{asking.principal.sub}:{unit_id}:{appeal_id}:{state}:{period}"
    keys = (CLAIMS.c.updated_at, CLAIMS.c.exclusion_id)
    rows, following = await page(asking.running, select(CLAIMS).where(*conditions), keys, window, what, descending=True)
    return JSONResponse({"items": [_shown(row) for row in rows], "next_cursor": following}, headers=VARY)


def _within_reach(principal: Principal) -> Sequence[Any]:
    """Claims about single appeals are for the hotline, auditors, and whom they are about."""
    reach = principal.reach(Scope.READ)
    of_district = CLAIMS.c.district.in_([name for name in (principal.unit_id, principal.district) if name])
    mine = CLAIMS.c.unit_id == principal.unit_id
    return [{Reach.DISTRICT: mine | of_district, Reach.UNIT: mine}.get(reach, CLAIMS.c.unit_id.is_(None))]  # type: ignore[arg-type]


def _shown(row: RowMapping) -> dict[str, Any]:
    plain = ("exclusion_id", "appeal_id", "unit_id", "period", "ground", "kind", "state", "instance", "policy_version")
    times = ("claimed_at", "decide_by", "updated_at")
    return {name: row[name] for name in plain} | {name: row[name] and rfc3339(row[name]) for name in times}


@router.get("/v1/exclusions/effect", summary="What leaving appeals out does to a table")
async def get_effect(asking: CanReadScores, period: Period, league: League, policy: Version = None) -> Response:
    """Unit by unit: how many were left out, and composite and rank on both bases. 全口径 / 剔除后."""
    now = asking.running.clock.now()
    async with snapshot(asking.running) as connection:
        rules = await policy_for(connection, policy, period, now)
        both = [
            await read_table(connection, Counted(rules, period, basis), league, now, compared=False) for basis in Basis
        ]
    everything, assessed = ({one.counts.unit_id: item_of(one, table) for one in table.scores} for table in both)
    items = [_effect(unit, item, assessed[unit]) for unit, item in everything.items() if unit in assessed]
    items.sort(key=lambda one: (-one["left_out"], one["unit_id"]))
    head = {"period": period, "league": league, "policy": rules.version, "as_of": rfc3339(now)}
    return JSONResponse(head | {"items": items}, headers=VARY)


def _effect(unit_id: str, everything: dict[str, Any], assessed: dict[str, Any]) -> dict[str, Any]:
    compared = {
        f"{name}_{basis}": one[name]
        for name in ("composite", "rank")
        for basis, one in (("all", everything), ("assessed", assessed))
    }
    left_out = everything["received"] - assessed["received"]
    return {"unit_id": unit_id, "name": everything["name"], "left_out": left_out} | compared


COMMANDS = (
    CommandRoute("/v1/appeals/{appeal_id}/exclusions", ClaimBody, Scope.CLAIM, claim, "剔除: claim", 201,
                 answer=ClaimAnswer),
    CommandRoute("/v1/exclusions/{exclusion_id}/approve", ApproveBody, Scope.JUDGE, approve, "剔除: approve",
                 subject="exclusion_id", answer=ClaimAnswer),
    CommandRoute("/v1/exclusions/{exclusion_id}/reject", RejectBody, Scope.JUDGE, reject, "剔除: reject (查否)",
                 subject="exclusion_id", answer=ClaimAnswer),
    CommandRoute("/v1/exclusions/{exclusion_id}/appeal", AssessmentAppealBody, Scope.CLAIM, appeal, "考核申诉",
                 subject="exclusion_id", answer=ClaimAnswer),
)  # fmt: skip
