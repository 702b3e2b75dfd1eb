"""A league table, put together: counts, credits, the period before, and what an average unit would have reached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scoring_service.counting import NOTHING, Counts, added, counted, numbers_of
from services.scoring_service.formula import HUNDRED, Score, decimal, summary_of
from services.scoring_service.period import bounds, neighbour
from services.scoring_service.policy import Policy
from services.scoring_service.ranking import NOBODY, gains, league_table
from services.scoring_service.reading import (
    Scope,
    behind,
    counts_at,
    credits_at,
    district_of,
    governed_at,
    mixes_at,
    of_league,
    units_at,
)
from shared.contracts.codes import Basis, League
from shared.engine.decider import NotYours
from shared.engine.runtime import Running

FIRST_PERIOD = "1900-01"
"""Nothing comes before it."""


@dataclass(frozen=True)
class LeagueTable:
    """Who stood where. `before`: the scores of the period before, by unit; `expected`: what the city's average would
    have solved of the same matters, in percent, so that a low figure is a hard mixture.
    """

    policy: Policy
    period: str
    league: League | None
    basis: Basis
    as_of: datetime
    scores: Sequence[Score]
    before: Mapping[str, Score] = field(default_factory=dict)
    expected: Mapping[str, Decimal] = field(default_factory=dict)
    governed: AbstractSet[str] = NOBODY

    @cached_property
    def progress(self) -> Mapping[str, int]:
        """By unit: the place by what its composite has gained over the period before, among those to be compared."""
        before = {unit: one.composite for unit, one in self.before.items() if one.composite is not None}
        fit = [one for one in self.scores if one.rated and not one.provisional]
        return {unit: place for place, unit in enumerate(gains(fit, before), 1)}

    @property
    def summary(self) -> Score:
        return summary_of(self.scores, self.policy, self.league, self.period)


@asynccontextmanager
async def snapshot(running: Running) -> AsyncIterator[AsyncConnection]:
    """A connection on which everything is read as it stood at one moment."""
    async with running.reads.connect() as connection:
        yield await connection.execution_options(isolation_level="REPEATABLE READ")


async def counts_of(connection: AsyncConnection, scope: Scope, league: League | None, now: datetime) -> list[Counts]:
    """The counts of a league with its credits."""
    units = await units_at(connection, scope.units_of or scope.as_of)
    found = of_league(await counts_at(connection, scope), units, league, scope.policy)
    if scope.category is not None or scope.day is not None:
        return found
    given = await credits_at(connection, scope, now)
    return [counted(one.unit_id, one.name, added(numbers_of(one), given.get(one.unit_id, NOTHING))) for one in found]


async def counts_of_unit(
    connection: AsyncConnection, scope: Scope, unit_id: str, now: datetime
) -> tuple[Counts, League | None]:
    """The counts of one unit as its league's table has them, and that league. Raises NotYours."""
    units = await units_at(connection, scope.units_of or scope.as_of)
    if unit_id not in units:
        raise NotYours
    league = League(units[unit_id].unit_type) if units[unit_id].unit_type in League.__members__ else None
    mine = replace(scope, units=behind({unit_id}, units, scope.policy))
    found = {one.unit_id: one for one in await counts_of(connection, mine, league, now)}
    return found.get(unit_id, Counts(unit_id, units[unit_id].name)), league


async def read_table(
    connection: AsyncConnection,
    scope: Scope,
    league: League,
    now: datetime,
    *,
    compared: bool = True,
    expected: Mapping[str, Decimal] | None = None,
) -> LeagueTable:
    """The table as known at `scope.as_of`, `compared` with the period before; `expected` is shown beside it."""
    policy, at = scope.policy, scope.as_of or now
    before: dict[str, Score] = {}
    if compared and scope.period > FIRST_PERIOD:
        earlier = replace(scope, period=neighbour(scope.period, -1))
        last = league_table(await counts_of(connection, earlier, league, now), policy, league, earlier.period)
        before = {one.counts.unit_id: one for one in last if one.rated}
    counts = await counts_of(connection, scope, league, now)
    governed = await governed_at(connection, at)
    frame = LeagueTable(policy, scope.period, league, scope.basis, at, (), before, expected or {}, governed)
    return made(frame, counts)


def made(frame: LeagueTable, counts: Sequence[Counts]) -> LeagueTable:
    """The table with these counts, ranked."""
    before = {unit: one.composite for unit, one in frame.before.items() if one.composite is not None}
    scores = league_table(counts, frame.policy, frame.league, frame.period, before, frame.governed)
    return replace(frame, scores=scores)


async def expected_at(connection: AsyncConnection, scope: Scope) -> dict[str, Decimal]:
    """What the city's average would have solved of each unit's matters, in percent; districts as they roll up."""
    mixes = await mixes_at(connection, scope)
    units = await units_at(connection, scope.units_of or scope.as_of)
    rolled: list[Mix] = []
    for unit, category, callbacks, resolved in mixes if scope.policy.districts == "ROLL_UP" else ():
        top = district_of(units[unit], units) if unit in units else None
        if top is not None and top != unit:
            rolled.append((top, category, callbacks, resolved))
    return expected_of(mixes, rolled)


Mix = tuple[str, str, int, int]
"""Unit, category, valid callbacks, resolved."""


def expected_of(mixes: Sequence[Mix], rolled: Sequence[Mix] = ()) -> dict[str, Decimal]:
    """Indirect standardisation: each category at the city's own resolution rate, in the unit's proportions.

    `rolled`: the same once more, for those whom others roll up to.
    """
    valid: defaultdict[str, int] = defaultdict(int)
    solved: defaultdict[str, int] = defaultdict(int)
    for _, category, callbacks, resolved in mixes:
        valid[category] += callbacks
        solved[category] += resolved
    own: defaultdict[str, int] = defaultdict(int)
    average: defaultdict[str, Fraction] = defaultdict(Fraction)
    for unit, category, callbacks, _ in (*mixes, *rolled):
        if callbacks:
            own[unit] += callbacks
            average[unit] += Fraction(callbacks * solved[category], valid[category])
    return {unit: decimal(HUNDRED * average[unit] / own[unit]) for unit in own}


def closes_at(period: str, policy: Policy) -> datetime:
    """From when on a period may be closed."""
    return bounds(period, policy.period_start_day)[1] + timedelta(days=policy.publishing.close_after_days)
