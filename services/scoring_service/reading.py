"""From the live tables to counts: of a league, at any moment that is past, in the units that there were then."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Table, case, func, not_, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scoring_service.counting import CREDITS, MEASURES, NOTHING, Counts, Numbers, added, counted, numbers
from services.scoring_service.life import Rule, Share, day_of, life_of, shares
from services.scoring_service.period import bounds, period_of, report_day
from services.scoring_service.policy import Policy, read_policy
from services.scoring_service.tallying import LIVES, MIXES, TALLIES, facts_in, registered_within
from services.scoring_service.views import POLICIES, STANDINGS, UNITS
from shared.contracts.codes import Basis, League
from shared.engine.decider import NotYours

_VALID, _RESOLVED = MEASURES.index("valid_callbacks"), MEASURES.index("resolved")
BREATHE = 200
"""After so many lives others have their turn."""
_KINDS = {"PROACTIVE": CREDITS[0], "HARD_CASE": CREDITS[1]}


@dataclass(frozen=True, slots=True)
class Unit:
    """An organisation as it was entered at a moment."""

    unit_id: str
    name: str
    unit_type: str
    parent_id: str | None
    closed: bool


@dataclass(frozen=True)
class Scope:
    """What is counted: appeals registered in a period, on a basis, perhaps of one category; as known at `as_of`.

    `units_of`: the organisation of that moment, where it is not that of `as_of`. `day`: of one report day alone.
    `units`: for these alone.
    """

    policy: Policy
    period: str
    basis: Basis
    as_of: datetime | None = None
    category: str | None = None
    units_of: datetime | None = None
    day: date | None = None
    units: frozenset[str] | None = None

    @property
    def rule(self) -> Rule:
        return Rule(self.policy.counted_round)

    @property
    def days(self) -> tuple[date, date]:
        """The first day and the first day after."""
        if self.day is not None:
            return self.day - timedelta(days=1 if self.policy.report_day_start_hour else 0), self.day + timedelta(
                days=1
            )
        start, end = bounds(self.period, self.policy.period_start_day)
        return start.date(), end.date()

    def within(self, moment: datetime) -> bool:
        """Whether an appeal that was registered then is counted here."""
        if self.day is not None:
            return report_day(moment, self.policy.report_day_start_hour) == self.day
        return self.days[0] <= day_of(moment)[0] < self.days[1]

    def takes(self, share: Share) -> bool:
        """Whether a share counts here: it is of these units, and not left out on a ground that the policy knows."""
        left_out = self.basis is Basis.ASSESSED and share.ground in self.policy.exclusions.grounds
        return not left_out and (self.units is None or share.unit_id in self.units)


async def policy_named(connection: AsyncConnection, version: str) -> Policy:
    """A version, in force or not. Raises NotYours when there is none."""
    return await _read(connection, select(POLICIES.c.document).where(POLICIES.c.policy_version == version))


async def activated(connection: AsyncConnection, version: str) -> Policy:
    """A version that has been put in force. Raises NotYours."""
    query = select(POLICIES.c.document).where(POLICIES.c.policy_version == version, POLICIES.c.state == "ACTIVE")
    return await _read(connection, query)


async def policy_in_force(connection: AsyncConnection, at: datetime, known_at: datetime) -> Policy:
    """The one whose time had come at a moment, among those that had been activated by another.

    Of a time before anything was activated, the first that was is the one.
    """
    known = POLICIES.c.activated_at <= known_at
    latest = [case((known, column)).desc() for column in (POLICIES.c.effective_from, POLICIES.c.activated_at)]
    in_turn = (known.desc(), *latest, POLICIES.c.activated_at)
    query = select(POLICIES.c.document).where(POLICIES.c.state == "ACTIVE", POLICIES.c.effective_from <= at)
    return await _read(connection, query.order_by(*in_turn).limit(1))


async def policy_for(connection: AsyncConnection, version: str | None, period: str, at: datetime) -> Policy:
    """By which a period is scored, seen from a moment: the one named, or in force when the period ended, or then.

    A period that is over keeps the policy that it had, whatever is activated later and from when on. Raises NotYours.
    """
    if version is not None:
        return await policy_named(connection, version)
    policy = await policy_in_force(connection, at, at)
    end = bounds(period, policy.period_start_day)[1]
    last = end - timedelta(microseconds=1)
    return await policy_in_force(connection, last, last) if end <= at else policy


async def policy_of(connection: AsyncConnection, registered_at: datetime | None, at: datetime) -> Policy:
    """The policy of the period that an appeal was registered in, seen from a moment. Raises NotYours."""
    current = await policy_in_force(connection, at, at)
    return await policy_for(connection, None, period_of(registered_at or at, current.period_start_day), at)


async def _read(connection: AsyncConnection, query: Any) -> Policy:
    document = (await connection.execute(query)).scalar()
    if document is None:
        raise NotYours
    return read_policy(orjson.loads(document))


async def units_at(connection: AsyncConnection, as_of: datetime | None) -> dict[str, Unit]:
    """Every unit as it was entered then; the latest entry of now, where no moment is given."""
    query = select(UNITS).ext(distinct_on(UNITS.c.unit_id)).order_by(UNITS.c.unit_id, UNITS.c.version.desc())
    if as_of is not None:
        query = query.where(UNITS.c.changed_at <= as_of)
    rows = (await connection.execute(query)).mappings()
    return {
        row["unit_id"]: Unit(row["unit_id"], row["name"], row["unit_type"], row["parent_id"], bool(row["closed"]))
        for row in rows
    }


async def counts_at(connection: AsyncConnection, scope: Scope) -> dict[str, Numbers]:
    """The numbers of every unit that anything is counted for: today's sums, less what was not known at the moment."""
    table = MIXES if scope.category is not None else TALLIES
    query = select(table.c.unit_id, *(func.sum(table.c[name]) for name in MEASURES)).group_by(table.c.unit_id)
    query = query.where(*_within(table, scope))
    if scope.category is not None:
        query = query.where(MIXES.c.category == scope.category)
    elif scope.day is not None and scope.policy.report_day_start_hour:
        query = query.where(TALLIES.c.afternoon == (TALLIES.c.registered_on < scope.day))
    found = {row[0]: tuple(row[1:]) for row in await connection.execute(query)}
    for (unit, category), later in (await _known_later(connection, scope)).items():
        if scope.category in (None, category):
            found[unit] = added(found.get(unit, NOTHING), later, -1)
    return {unit: sums for unit, sums in found.items() if any(sums)}


def _within(table: Table, scope: Scope) -> list[Any]:
    """The conditions on a table of sums."""
    start, end = scope.days
    conditions = [table.c.rule == str(scope.rule), table.c.registered_on >= start, table.c.registered_on < end]
    if scope.units is not None:
        conditions.append(table.c.unit_id.in_(scope.units))
    if scope.basis is Basis.ASSESSED:
        conditions.append(not_(table.c.ground.in_(list(scope.policy.exclusions.grounds))))
    return conditions


async def _known_later(connection: AsyncConnection, scope: Scope) -> dict[tuple[str, str], Numbers]:
    """What lives add today more than they did at the scope's moment, by unit and category."""
    later: dict[tuple[str, str], Numbers] = {}
    if scope.as_of is None:
        return later
    query = select(LIVES.c.facts).where(registered_within(*scope.days), LIVES.c.changed_at > scope.as_of)
    if scope.units is not None:
        query = query.where(or_(*(LIVES.c.units.contains(f" {unit} ", autoescape=True) for unit in scope.units)))
    number = 0
    async for (facts,) in await connection.stream(query):
        number += 1
        if number % BREATHE == 0:
            await asyncio.sleep(0)
        heard = facts_in(facts)
        now = life_of(heard)
        if now.registered_at is None or not scope.within(now.registered_at):
            continue
        for life, sign in ((now, 1), (life_of(heard, scope.as_of), -1)):
            for share in shares(life, scope.rule):
                if scope.takes(share):
                    key = (share.unit_id, share.category)
                    later[key] = added(later.get(key, NOTHING), share.counts, sign)
    return later


async def credits_at(connection: AsyncConnection, scope: Scope, now: datetime) -> dict[str, Numbers]:
    """The credits given to units for the period."""
    at = scope.as_of or now
    query = select(STANDINGS).where(
        STANDINGS.c.period == scope.period,
        STANDINGS.c.since <= at,
        STANDINGS.c.until.is_(None) | (STANDINGS.c.until > at),
    )
    found: dict[str, Numbers] = {}
    for row in (await connection.execute(query)).mappings():
        one = numbers(**{_KINDS[row["kind"]]: 1})
        found[row["unit_id"]] = added(found.get(row["unit_id"], NOTHING), one)
    return found


async def governed_at(connection: AsyncConnection, at: datetime) -> frozenset[str]:
    """治理类: the units on the managed list at a moment."""
    query = select(STANDINGS.c.unit_id).where(
        STANDINGS.c.kind == "GOVERNANCE",
        STANDINGS.c.since <= at,
        STANDINGS.c.until.is_(None) | (STANDINGS.c.until > at),
    )
    return frozenset((await connection.execute(query)).scalars())


def of_league(
    found: Mapping[str, Numbers], units: Mapping[str, Unit], league: League | None, policy: Policy
) -> list[Counts]:
    """The counts of every unit of a league, also of those that received nothing; closed ones only if they did.

    A district stands for its streets and towns as well, where the policy rolls up.
    """
    sums = dict(found)
    if league is League.DISTRICT and policy.districts == "ROLL_UP":
        for unit in units.values():
            top = district_of(unit, units)
            if top is not None and top != unit.unit_id and unit.unit_id in found:
                sums[top] = added(sums.get(top, NOTHING), found[unit.unit_id])
    wanted: Sequence[Unit] = [one for one in units.values() if league is None or one.unit_type == league]
    return [
        counted(one.unit_id, one.name, sums.get(one.unit_id, NOTHING))
        for one in sorted(wanted, key=lambda one: one.unit_id)
        if one.unit_id in sums or not one.closed
    ]


def behind(names: AbstractSet[str], units: Mapping[str, Unit], policy: Policy) -> frozenset[str]:
    """The units whose appeals make the figures of these: themselves, and what rolls up to the districts among them."""
    if policy.districts == "OWN":
        return frozenset(names)
    return frozenset(names | {one.unit_id for one in units.values() if district_of(one, units) in names})


def district_of(unit: Unit, units: Mapping[str, Unit]) -> str | None:
    """The district that a unit belongs to, itself for a district. A tree that bites its tail has none."""
    seen: set[str] = set()
    at: Unit | None = unit
    while at is not None and at.unit_id not in seen:
        if at.unit_type == League.DISTRICT:
            return at.unit_id
        seen.add(at.unit_id)
        at = units.get(at.parent_id or "")
    return None


async def mixes_at(connection: AsyncConnection, scope: Scope) -> list[tuple[str, str, int, int]]:
    """Unit, category, valid callbacks, resolved: for how hard a unit's mixture of matters is."""
    of_unit = (MIXES.c.unit_id, MIXES.c.category)
    query = select(*of_unit, func.sum(MIXES.c.valid_callbacks), func.sum(MIXES.c.resolved)).group_by(*of_unit)
    rows = await connection.execute(query.where(*_within(MIXES, scope)))
    found = {(row[0], row[1]): (int(row[2]), int(row[3])) for row in rows}
    for key, later in (await _known_later(connection, scope)).items():
        valid, resolved = found.get(key, (0, 0))
        found[key] = (valid - later[_VALID], resolved - later[_RESOLVED])
    return [(*key, *numbers) for key, numbers in sorted(found.items())]
