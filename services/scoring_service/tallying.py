"""Live tables: every life with its facts, and beside it the sums that tables are read from.

What an appeal adds is worked out from its facts before and after an event, and the difference is added to the sums in
the transaction that moves the cursor; so the sums are always those of the lives, and a table is read in milliseconds.
"""

from __future__ import annotations

from collections import defaultdict
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
        rows, sums = [], (Sums(), Sums())
        for appeal_id, facts in heard.items():
            old = life_of(before.get(appeal_id, ()))
            new = life_of({fact.event_id: fact for fact in (*old.facts, *facts)}.values())
            rows.append(_row(appeal_id, new))
            for life, sign in ((old, -1), (new, 1)):
                _add_shares(sums, life, sign)
        await upsert(connection, self.table, physical, rows)
        for name, table, changed in ((tallies, TALLIES, sums[0]), (mixes, MIXES, sums[1])):
            await _add(connection, table, name, changed)


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


def _add_shares(sums: tuple[Sums, Sums], life: Life, sign: int) -> None:
    if life.registered_at is None:
        return
    day, afternoon = day_of(life.registered_at)
    for rule in Rule:
        for share in shares(life, rule):
            keys = (
                (str(rule), day, afternoon, share.unit_id, share.ground),
                (str(rule), day, share.unit_id, share.category, share.ground),
            )
            for kept, key in zip(sums, keys, strict=True):
                kept[key] = added(kept.get(key, NOTHING), share.counts, sign)


async def _add(connection: Connection, table: Table, physical: str, sums: Mapping[Key, Numbers]) -> None:
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
