"""Live tables: every life with its facts, and beside it the sums that tables are read from.

What an appeal adds is worked out from its facts before and after an event, and the difference is added to the sums in
the transaction that moves the cursor; so the sums are always those of the lives, and a table is read in milliseconds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import orjson
from sqlalchemy import Boolean, Column, Date, DateTime, Integer, MetaData, Table, Text

from services.scoring_service.counting import MEASURES, NOTHING, Numbers, added
from services.scoring_service.hearing import BY_TYPE, SOURCES, fact_of
from services.scoring_service.life import Fact, Life, Rule, day_of, life_of, shares
from shared.contracts.envelope import Envelope
from shared.engine.projections import View, upsert
from shared.eventlog.postgres import Connection

_metadata = MetaData()

LIVES = Table(
    "lives",
    _metadata,
    Column("appeal_id", Text, primary_key=True),
    Column("units", Text),
    Column("registered_on", Date),
    Column("changed_at", DateTime(timezone=True)),
    Column("facts", Text),
)

TALLIES = Table(
    "tallies",
    _metadata,
    Column("rule", Text, primary_key=True),
    Column("registered_on", Date, primary_key=True),
    Column("afternoon", Boolean, primary_key=True),
    Column("unit_id", Text, primary_key=True),
    Column("ground", Text, primary_key=True),
    *(Column(name, Integer) for name in MEASURES),
)
"""Sums by unit and half-day, which is what report days are made of."""

MIXES = Table(
    "mixes",
    _metadata,
    Column("rule", Text, primary_key=True),
    Column("registered_on", Date, primary_key=True),
    Column("unit_id", Text, primary_key=True),
    Column("category", Text, primary_key=True),
    Column("ground", Text, primary_key=True),
    *(Column(name, Integer) for name in MEASURES),
)
"""Sums by unit and category."""

Key = tuple[Any, ...]
Sums = dict[Key, Numbers]
Shares = Counter[tuple[Key, Key, Numbers]]
"""How often a share of these numbers is added to these two sums."""


class Lives(View):
    """One row a life, with all facts about it."""

    table = LIVES
    beside = (TALLIES, MIXES)
    sources = SOURCES
    indexes = ("registered_on", "changed_at")

    def wants(self, event: Envelope) -> bool:
        return event.type in BY_TYPE

    async def apply(self, connection: Connection, physical: str, events: Sequence[Envelope]) -> None:
        heard: defaultdict[str, list[Fact]] = defaultdict(list)
        for event in events:
            if (fact := fact_of(event)) is not None:
                heard[event.subject].append(fact)
        if not heard:
            return
        _, tallies, mixes = self.tables(physical)
        found = await connection.fetch(
            f'SELECT appeal_id, facts FROM "{physical}" WHERE appeal_id = ANY($1)', list(heard)
        )
        before = {row["appeal_id"]: facts_in(row["facts"]) for row in found}
        rows, changed = [], Shares()
        for appeal_id, facts in heard.items():
            old = life_of(before.get(appeal_id, ()))
            new = life_of({fact.event_id: fact for fact in (*old.facts, *facts)}.values())
            rows.append(_row(appeal_id, new))
            for life, sign in ((old, -1), (new, 1)):
                count_shares(changed, life, sign)
        await upsert(connection, self.table, physical, rows)
        for name, table, sums in zip((tallies, mixes), self.beside, summed(changed), strict=True):
            await add_sums(connection, table, name, sums)


def facts_in(column: str) -> list[Fact]:
    """The facts of a row."""
    return [Fact(*fact) for fact in orjson.loads(column)]


def _row(appeal_id: str, life: Life) -> dict[str, Any]:
    units = {share.unit_id for rule in Rule for share in shares(life, rule)}
    return {
        "appeal_id": appeal_id,
        "units": f" {' '.join(sorted(units))} ",
        "registered_on": day_of(life.registered_at)[0] if life.registered_at else None,
        "changed_at": datetime.fromisoformat(life.changed_at),
        "facts": orjson.dumps([tuple(fact) for fact in life.facts]).decode(),
    }


def count_shares(changed: Shares, life: Life, sign: int) -> None:
    """Note what a life adds under both rules (which differ only where it went round again)."""
    if life.registered_at is None:
        return
    day, afternoon = day_of(life.registered_at)
    last = shares(life, Rule.LAST)
    first = last if len(life.rounds) == 1 else shares(life, Rule.FIRST)
    for rule, found in (("FIRST", first), ("LAST", last)):
        for unit, category, ground, numbers in found:
            half_day, mix = (rule, day, afternoon, unit, ground), (rule, day, unit, category, ground)
            changed[half_day, mix, numbers] += sign


def summed(changed: Shares) -> tuple[Sums, Sums]:
    """Both sums, from all that was noted."""
    sums = (Sums(), Sums())
    for (half_day, mix, numbers), times in changed.items():
        if times:
            for kept, key in zip(sums, (half_day, mix), strict=True):
                kept[key] = added(kept.get(key, NOTHING), numbers, times)
    return sums


async def add_sums(connection: Connection, table: Table, physical: str, sums: Mapping[Key, Numbers]) -> None:
    """Add differences to the sums, in key order so that nobody waits in a circle; what comes to nothing goes."""
    changed = sorted((key, numbers) for key, numbers in sums.items() if any(numbers))
    if not changed:
        return
    keys = [column.name for column in table.primary_key.columns]
    types = {Text: "text", Date: "date", Boolean: "boolean", Integer: "integer"}
    arrays = ", ".join(f"${n}::{types[type(c.type)]}[]" for n, c in enumerate(table.columns, 1))
    adds = ", ".join(f"{name} = sums.{name} + excluded.{name}" for name in MEASURES)
    columns = ", ".join(column.name for column in table.columns)
    values = list(zip(*((*key, *numbers) for key, numbers in changed), strict=True))
    await connection.execute(
        f'INSERT INTO "{physical}" AS sums ({columns}) SELECT * FROM unnest({arrays})'
        f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {adds}",
        *values,
    )
    if falling := [key for key, numbers in changed if min(numbers) < 0]:
        empty = " AND ".join(f"{name} = 0" for name in MEASURES)
        given = ", ".join(f"${n}::{types[type(table.columns[name].type)]}[]" for n, name in enumerate(keys, 1))
        await connection.execute(
            f'DELETE FROM "{physical}" WHERE ({", ".join(keys)}) IN (SELECT * FROM unnest({given})) AND {empty}',
            *zip(*falling, strict=True),
        )


def registered_within(start: date, end: date) -> Any:
    """The condition that a life was registered on one of these days, the last not included."""
    return (LIVES.c.registered_on >= start) & (LIVES.c.registered_on < end)
