"""关账 and 更正: a period is closed; then it is looked at again, and what is different is published beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Never

import orjson
import structlog
from sqlalchemy import RowMapping, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scoring_service.closing import PERIOD, ClosePeriod, Period, RestatePeriod
from services.scoring_service.counting import CREDITS, MEASURES
from services.scoring_service.policy import Policy
from services.scoring_service.publishing import causes_since, drawn_up, signed, signer_of
from services.scoring_service.reading import Scope, behind, policy_named, units_at
from services.scoring_service.tables import snapshot
from services.scoring_service.views import PUBLICATIONS
from shared.contracts.codes import Basis
from shared.contracts.envelope import Actor
from shared.contracts.scoring import Cause, PeriodClosed, PeriodRestated
from shared.engine.consume import TRANSIENT
from shared.engine.execute import Intention
from shared.engine.runtime import Running
from shared.eventlog.notes import Signer

LOOK_SECONDS = 5.0
HEARD_LATE = timedelta(hours=1)
RESTATING = Actor("RESTATING")
log = structlog.get_logger()


def closing(
    period: str, drawn: Sequence[Mapping[str, object]], now: datetime, actor: Actor, sign: Signer
) -> Intention[Period]:
    """To publish what was drawn up."""
    tables = [signed(PeriodClosed, facts, sign) for facts in drawn]
    return Intention(PERIOD, period, ClosePeriod(at=now, actor=actor, tables=tables))


async def keep_restating(running: Running) -> Never:
    """Look at every closed period as often as its policy says, for ever; any number of processes may."""
    looked_at: dict[str, datetime] = {}
    while True:
        try:
            for period, policy in (await _closed(running)).items():
                now = running.clock.now()
                due = looked_at.get(period, datetime.min.replace(tzinfo=now.tzinfo)) + policy <= now
                if due and await restate(running, period):
                    looked_at[period] = now
        except (*TRANSIENT, PoolTimeout, DBAPIError) as error:
            log.warning("restating again", reason=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)


async def restate(running: Running, period: str) -> bool:
    """Publish what has changed, if anything has. False: not everything that was said is in the views yet."""
    if not await running.heard_everything():
        return False
    now = running.clock.now()
    if tables := await restatements(running, period, now):
        command = RestatePeriod(at=now, actor=RESTATING, tables=tables)
        await running.executor.execute(Intention(PERIOD, period, command))
    return True


async def _closed(running: Running) -> dict[str, timedelta]:
    """Every closed period, and how often it is looked at."""
    query = select(PUBLICATIONS.c.period, PUBLICATIONS.c.policy_version).distinct()
    closed: dict[str, timedelta] = {}
    async with running.reads.connect() as connection:
        for period, version in (await connection.execute(query)).all():
            policy = await policy_named(connection, version)
            closed[period] = timedelta(days=policy.publishing.restate_after_days)
    return closed


async def restatements(running: Running, period: str, now: datetime) -> list[PeriodRestated] | None:
    """For every league whose counts are not what was last published: those of now, and why. None: it is not closed."""
    async with snapshot(running) as connection:
        query = select(PUBLICATIONS).where(PUBLICATIONS.c.period == period).order_by(PUBLICATIONS.c.number)
        rows = (await connection.execute(query)).mappings().all()
        if not rows:
            return None
        last = {row["league"]: row for row in rows}
        policy = await policy_named(connection, next(iter(last.values()))["policy_version"])
        found = []
        for facts in await drawn_up(connection, policy, period, now, units_of=rows[0]["as_of"]):
            row = last[facts["league"]]
            if _same(facts, row, policy):
                continue
            names = {unit for figures in facts["figures"] for unit, _, _ in figures.units}
            units = behind(names, await units_at(connection, rows[0]["as_of"]), policy)
            causes, number = await _causes(connection, Scope(policy, period, Basis.ALL), row["as_of"], units)
            more = {
                "number": row["number"] + 1,
                "replaces": row["digest"],
                "causes": tuple(causes),
                "causes_in_all": number,
            }
            found.append(signed(PeriodRestated, facts | more, signer_of(running)))
        return found


async def _causes(
    connection: AsyncConnection, scope: Scope, as_of: datetime, units: frozenset[str]
) -> tuple[list[Cause], int]:
    """What has changed since; where that is nothing, what was said shortly before and heard of only afterwards."""
    for since in (as_of, as_of - HEARD_LATE):
        causes, number = await causes_since(connection, scope, since, units)
        if number:
            break
    return causes, number


def _same(facts: Mapping[str, object], row: RowMapping, policy: Policy) -> bool:
    """Whether the counts are those that were published last. Names and what stands beside them do not matter, and no
    credits for which the policy gives nothing.
    """
    rewarded = {one.measure for one in policy.incentives}
    places = [n for n, name in enumerate(MEASURES) if name not in CREDITS or name in rewarded]
    published = PeriodClosed.model_validate(
        {name: value for name, value in orjson.loads(row["document"]).items() if name in PeriodClosed.model_fields}
    )
    now = PeriodClosed.model_validate({**facts, "digest": "", "note": ""})
    return _counts(now, places) == _counts(published, places)


def _counts(publication: PeriodClosed, places: Sequence[int]) -> Sequence[object]:
    kept = [
        (figures.basis, unit, [numbers[place] for place in places])
        for figures in publication.figures
        for unit, _, numbers in figures.units
    ]
    return [one for one in kept if any(one[2])]
