"""From rounds to counts: one statement per table, so that a table of any size is counted where the rows are."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, func, not_, select
from sqlalchemy.dialects.postgresql import distinct_on

from services.scoring_service.formula import Counts
from services.scoring_service.policy import Policy
from services.scoring_service.views import NOT_COUNTED, ROUNDS, UNITS
from shared.contracts.codes import League, Satisfaction


def counted_rounds(policy: Policy, start: datetime, end: datetime) -> Any:
    """The one round of each appeal that the policy counts, for appeals registered in a period."""
    # A round without a valid callback never hides an earlier verdict: not being reachable does not mend a score.
    in_turn = ROUNDS.c.round.desc() if policy.counted_round == "LAST" else ROUNDS.c.round
    answered_first = ROUNDS.c.valid.is_(True).desc()
    dropped = select(NOT_COUNTED.c.appeal_id).where(NOT_COUNTED.c.appeal_id == ROUNDS.c.appeal_id).exists()
    return (
        select(ROUNDS)
        .ext(distinct_on(ROUNDS.c.appeal_id))
        .where(ROUNDS.c.registered_at >= start, ROUNDS.c.registered_at < end, ROUNDS.c.dispatched, not_(dropped))
        .order_by(ROUNDS.c.appeal_id, answered_first, in_turn)
        .subquery("counted")
    )


def counts_query(
    policy: Policy, start: datetime, end: datetime, league: League | None, unit_id: str | None
) -> Select[Any]:
    """A row of counts for every unit of a league (or one unit), also for units that received nothing."""
    counted = counted_rounds(policy, start, end)
    valid = counted.c.valid.is_(True)

    def number(*conditions: Any) -> Any:
        return func.count().filter(and_(valid, *conditions))

    answers = {level: number(counted.c.satisfaction == level.value) for level in Satisfaction}
    columns = (
        func.count(counted.c.appeal_id).label("received"),
        number().label("valid_callbacks"),
        number(counted.c.contacted).label("contacted"),
        number(counted.c.resolved).label("resolved"),
        answers[Satisfaction.SATISFIED].label("satisfied"),
        answers[Satisfaction.BASICALLY_SATISFIED].label("basically_satisfied"),
        answers[Satisfaction.DISSATISFIED].label("dissatisfied"),
        answers[Satisfaction.NOT_STATED].label("not_stated"),
    )
    wanted = [UNITS.c.unit_type == league.value] if league else []
    wanted += [UNITS.c.unit_id == unit_id] if unit_id else []
    return (
        select(UNITS.c.unit_id, UNITS.c.name, *columns)
        .select_from(UNITS.outerjoin(counted, counted.c.unit_id == UNITS.c.unit_id))
        .where(*wanted)
        .group_by(UNITS.c.unit_id, UNITS.c.name)
    )


def counts_of(row: Any) -> Counts:
    return Counts(**row)
