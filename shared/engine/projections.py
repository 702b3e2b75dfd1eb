"""Views: tables that events are folded into, so that questions are answered without folding.

A view is never migrated. Its rows live in `name_vV_gG`; the stable SQL view `name` points at the active generation.
`rebuild` folds the whole log into a new generation beside the live one, catches up, and swaps in one transaction. The
live consumer finds its cursor rows gone and carries on with the new generation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from asyncio import TaskGroup
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import asyncpg
import structlog
from sqlalchemy import MetaData, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from shared.contracts.envelope import Envelope
from shared.engine.consume import OPEN_CURSORS, RETRY_PAUSE_SECONDS, TRANSIENT, Consumer, Retired, rest
from shared.eventlog.log import Recorded
from shared.eventlog.postgres import Connection
from shared.eventlog.sealing import Keyring
from shared.messaging.bus import Bus

log = structlog.get_logger()
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
READ_GENERATION = "SELECT version, generation FROM view_generations WHERE view = $1"
READ_GENERATIONS = "SELECT view, version, generation FROM view_generations WHERE view = ANY($1)"
WRITE_GENERATION = """
    INSERT INTO view_generations (view, version, generation) VALUES ($1, $2, $3)
    ON CONFLICT (view) DO UPDATE SET version = excluded.version, generation = excluded.generation"""
LOCK_CURSORS = (
    "SELECT source, partition, sequence FROM cursors WHERE consumer = $1 ORDER BY source, partition FOR UPDATE"
)
DROP_CURSORS = "DELETE FROM cursors WHERE consumer = $1"
REBUILD_BATCH = 10_000
COMPARED = 0
"""The generation of a copy that is only compared; those that are read count from 1."""
MOST_NAMED = 20
INDEX_SECONDS = 12 * 3600
"""A new index over millions of rows takes longer than any other statement may."""
INDEX_MEMORY = "512MB"
ONE_PER_PARTITION = "SELECT pg_advisory_xact_lock(hashtext($1), partition) FROM unnest($2::int[]) AS partition"
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext($1))"


class View(ABC):
    """`table` names the stable view and its columns; `indexes` are column lists, or begin with USING.

    Bump VERSION when either changes.
    """

    VERSION: ClassVar[int] = 1
    table: ClassVar[Table]
    sources: ClassVar[tuple[str, ...]]
    indexes: ClassVar[tuple[str, ...]] = ()
    beside: ClassVar[tuple[Table, ...]] = ()
    """Further tables that the same events are folded into, in the same transactions."""

    @property
    def name(self) -> str:
        return str(self.table.name)

    def prepared(self, keyring: Keyring, index_key: bytes) -> View:
        """The view with what it needs to open texts and to index them blindly; most need neither."""
        return self

    def tables(self, physical: str) -> dict[str, Table]:
        """Every table of this view by its name in a generation, of which the first is `physical`."""
        generation = physical.removeprefix(self.name)
        return {f"{table.name}{generation}": table for table in (self.table, *self.beside)}

    @abstractmethod
    def wants(self, event: Envelope) -> bool:
        """Whether an event changes anything here."""

    @abstractmethod
    async def apply(self, connection: Connection, physical: str, events: Sequence[Envelope]) -> None:
        """Fold these events of one source partition, in order, into the physical table."""


class KeyedView(View):
    """One row per key, folded in Python: rows are read, changed and written back a batch at a time."""

    @abstractmethod
    def key(self, event: Envelope) -> str | None:
        """Which row an event belongs to; None when the view has no interest in it."""

    def wants(self, event: Envelope) -> bool:
        return self.key(event) is not None

    @abstractmethod
    def fold(self, row: dict[str, Any], event: Envelope) -> None:
        """Change the row. A new row has its key and None elsewhere."""

    def finish(self, row: dict[str, Any]) -> None:
        """Work out what follows from the other columns, once the events of a batch have been folded in."""

    async def apply(self, connection: Connection, physical: str, events: Sequence[Envelope]) -> None:
        keyed = [(key, event) for event in events if (key := self.key(event)) is not None]
        if not keyed:
            return
        rows = await self._load(connection, physical, {key for key, _ in keyed})
        for key, event in keyed:
            self.fold(rows[key], event)
        for row in rows.values():
            self.finish(row)
        await upsert(connection, self.table, physical, list(rows.values()))

    async def _load(self, connection: Connection, physical: str, keys: set[str]) -> dict[str, dict[str, Any]]:
        key_name = self.table.primary_key.columns.keys()[0]
        found = await connection.fetch(f'SELECT * FROM "{physical}" WHERE "{key_name}" = ANY($1)', list(keys))
        empty = dict.fromkeys(self.table.columns.keys())
        rows = {key: {**empty, key_name: key} for key in keys}
        return rows | {row[key_name]: dict(row) for row in found}


async def upsert(connection: Connection, table: Table, physical: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write whole rows by primary key, in one statement. Columns must not be arrays: unnest would flatten them."""
    columns = list(table.columns)
    names = ", ".join(f'"{column.name}"' for column in columns)
    keys = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    arrays = ", ".join(f"${n}::{column.type.compile(_DIALECT)}[]" for n, column in enumerate(columns, 1))
    changes = ", ".join(f'"{c.name}" = excluded."{c.name}"' for c in columns if not c.primary_key)
    statement = (
        f'INSERT INTO "{physical}" ({names}) SELECT * FROM unnest({arrays})'
        f" ON CONFLICT ({keys}) DO UPDATE SET {changes}"
    )
    await connection.execute(statement, *([row[column.name] for row in rows] for column in columns))


async def active_consumers(pool: asyncpg.Pool, projections: Sequence[Projection]) -> list[str]:
    """The consumers that keep the tables behind the stable views; one that is not there yet has no cursor."""
    names = [projection.view.name for projection in projections]
    found = {row["view"]: row for row in await pool.fetch(READ_GENERATIONS, names)} if names else {}
    return [
        f"{name}_v{found[name]['version']}_g{found[name]['generation']}" if name in found else name for name in names
    ]


async def retire(pool: asyncpg.Pool, kept: Sequence[str]) -> None:
    """Remove the tables and cursors of views that the service no longer has, which would seem to lag for ever."""
    for row in await pool.fetch("SELECT view, version, generation FROM view_generations WHERE view <> ALL($1)", kept):
        physical = f"{row['view']}_v{row['version']}_g{row['generation']}"
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(ONE_AT_A_TIME, row["view"])
            await connection.execute(f'DROP VIEW IF EXISTS "{row["view"]}"')
            await connection.execute(f'DROP TABLE IF EXISTS "{physical}"')
            await connection.execute(DROP_CURSORS, physical)
            await connection.execute("DELETE FROM view_generations WHERE view = $1", row["view"])
        log.info("view retired", view=row["view"])


class Projection:
    """One view of one service, in its database: creates, follows, rebuilds."""

    def __init__(self, view: View, pool: asyncpg.Pool, bus: Bus) -> None:
        self.view, self._pool, self._bus = view, pool, bus

    async def ensure(self) -> int:
        """The generation to follow; creates the first one, and a new one when the view's version has changed."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(ONE_AT_A_TIME, self.view.name)
            row = await connection.fetchrow(READ_GENERATION, self.view.name)
            if row is not None and row["version"] == self.view.VERSION:
                return int(row["generation"])
            generation = 1 if row is None else row["generation"] + 1
            if row is None:
                await self._create(connection, generation)
                await self._index(connection, generation)
                await self._point_at(connection, generation)
                return generation
        return await self.rebuild()

    async def follow(self) -> None:
        """Keep the active generation up to date, on all sources, for ever; carries on after a swap elsewhere."""
        while True:
            try:
                generation = await self.ensure()
                async with TaskGroup() as group:
                    for source in self.view.sources:
                        group.create_task(self._consumer(generation, source, opens=False).run())
            except* Retired:
                log.info("another generation has taken over", view=self.view.name)
            except* TRANSIENT as error:
                log.debug("again", view=self.view.name, reason=repr(error))
            await rest(RETRY_PAUSE_SECONDS)

    async def rebuild(self, progress: Callable[[int], None] = lambda count: None) -> int:
        """Fold everything into a new generation beside the live one, then swap. Answers with the new generation."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(ONE_AT_A_TIME, self.view.name)
            active = await connection.fetchval(
                "SELECT generation FROM view_generations WHERE view = $1", self.view.name
            )
            generation = (active or 0) + 1
            await self._drop(connection, generation)
            await self._create(connection, generation)
        for source in self.view.sources:
            progress(await self._consumer(generation, source).catch_up(REBUILD_BATCH))
        async with self._pool.acquire() as connection, connection.transaction():
            await self._index(connection, generation)  # all at once, which costs a fraction of doing it row by row
        await self._swap(active or 0, generation, progress)
        return generation

    async def differing(self, progress: Callable[[int], None] = lambda count: None) -> list[str]:
        """Rows of the live tables that a fresh fold of the log does not give, or gives otherwise: table and key."""
        active = await self.ensure()
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(ONE_AT_A_TIME, self.view.name)
            await self._drop(connection, COMPARED)
            await self._create(connection, COMPARED)
        while True:
            for source in self.view.sources:
                progress(await self._consumer(COMPARED, source).catch_up(REBUILD_BATCH))
            async with self._pool.acquire() as connection, connection.transaction():
                # Both stand still while they are compared, and at the same place: in a busy city that takes some tries.
                stand = [await connection.fetch(LOCK_CURSORS, self.consumer_name(one)) for one in (active, COMPARED)]
                if stand[0] != stand[1]:
                    continue
                tables = (self.view.table, *self.view.beside)
                found = [one for table in tables for one in await self._unlike(connection, table, active, COMPARED)]
                await self._drop(connection, COMPARED)
                return found

    async def _unlike(self, connection: Connection, table: Table, live: int, fresh: int) -> list[str]:
        names = [f'"{table.name}_v{self.view.VERSION}_g{number}"' for number in (live, fresh)]
        keys = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
        either = f"(TABLE {names[0]} EXCEPT TABLE {names[1]}) UNION (TABLE {names[1]} EXCEPT TABLE {names[0]})"
        statement = f"SELECT DISTINCT {keys} FROM ({either}) AS unlike ORDER BY {keys} LIMIT {MOST_NAMED}"
        rows = await connection.fetch(statement)
        return [f"{table.name}: {', '.join(str(value) for value in row)}" for row in rows]

    def consumer_name(self, generation: int) -> str:
        return f"{self.view.name}_v{self.view.VERSION}_g{generation}"

    def handler(self, physical: str) -> Callable[[Connection, Sequence[Recorded]], Any]:
        """Decodes a batch and hands it to the view.

        Consumers of several sources meet on one row; as a subject lives in the same partition everywhere, a lock per
        partition keeps them from overwriting each other.
        """

        async def handle(connection: Connection, events: Sequence[Recorded]) -> None:
            if len(self.view.sources) > 1:
                partitions = sorted({event.partition for event in events})
                await connection.execute(ONE_PER_PARTITION, physical, partitions)
            await self.view.apply(connection, physical, [event.envelope for event in events])

        return handle

    def _consumer(self, generation: int, source: str, opens: bool = True) -> Consumer:
        name = self.consumer_name(generation)
        return Consumer(name, source, self._bus, self._pool, self.handler(name), opens=opens)

    async def _create(self, connection: Connection, generation: int) -> None:
        physical = self.consumer_name(generation)
        for name, table in self.view.tables(physical).items():
            copy = table.to_metadata(MetaData(), name=name)
            await connection.execute(str(CreateTable(copy).compile(dialect=_DIALECT)))
        for source in self.view.sources:
            await connection.execute(OPEN_CURSORS, physical, source, len(await self._bus.heads(source)))

    async def _index(self, connection: Connection, generation: int) -> None:
        physical = self.consumer_name(generation)
        await connection.execute(f"SET LOCAL maintenance_work_mem = '{INDEX_MEMORY}'")
        for number, columns in enumerate(self.view.indexes):
            what = columns if columns.startswith("USING ") else f"({columns})"
            statement = f'CREATE INDEX "{physical}_{number}" ON "{physical}" {what}'
            await connection.execute(statement, timeout=INDEX_SECONDS)
        for name in self.view.tables(physical):
            await connection.execute(f'ANALYZE "{name}"', timeout=INDEX_SECONDS)

    async def _point_at(self, connection: Connection, generation: int) -> None:
        for name, table in self.view.tables(self.consumer_name(generation)).items():
            await connection.execute(f'DROP VIEW IF EXISTS "{table.name}"')
            await connection.execute(f'CREATE VIEW "{table.name}" AS SELECT * FROM "{name}"')
        await connection.execute(WRITE_GENERATION, self.view.name, self.view.VERSION, generation)

    async def _swap(self, old: int, new: int, progress: Callable[[int], None]) -> None:
        """Freeze the old generation, let the new one pass it, point the view at the new one, drop the old."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(ONE_AT_A_TIME, self.view.name)
            retired = await connection.fetchval("SELECT version FROM view_generations WHERE view = $1", self.view.name)
            old_name = f"{self.view.name}_v{retired}_g{old}"
            await connection.fetch(LOCK_CURSORS, old_name)
            for source in self.view.sources:
                progress(await self._consumer(new, source).catch_up(REBUILD_BATCH))
            await self._point_at(connection, new)
            await connection.execute(DROP_CURSORS, old_name)
            await self._drop_tables(connection, old_name)

    async def _drop(self, connection: Connection, generation: int) -> None:
        """Remove what an interrupted rebuild left behind."""
        physical = self.consumer_name(generation)
        await connection.execute(DROP_CURSORS, physical)
        await self._drop_tables(connection, physical)

    async def _drop_tables(self, connection: Connection, physical: str) -> None:
        for name in self.view.tables(physical):
            await connection.execute(f'DROP TABLE IF EXISTS "{name}"')
