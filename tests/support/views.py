"""Looking at whole views: waiting until they have taken everything, dumping them, rebuilding them beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.engine.projections import Projection, View
from shared.engine.runtime import Running
from tests.support.city import City
from tests.support.waiting import until

BEHIND = """
    SELECT count(*) FROM cursors c WHERE c.source = $1 AND c.sequence < ($2::bigint[])[c.partition + 1]"""

NEWEST = "SELECT coalesce(max(size), 0) FROM checkpoints"


async def settled(city: City, patience_seconds: float | None = None) -> None:
    """Wait until every consumer of every service has taken every event, and none has stopped."""

    async def done() -> bool:
        stopped = [running.stopped for running in city.running.values() if running.stopped]
        assert not stopped, stopped
        return await quiet(city.running)

    await until(done, patience_seconds=patience_seconds)


async def quiet(services: Mapping[str, Running]) -> bool:
    """Whether every cursor has reached the head of its log, and no log has grown while we looked."""
    heads = await _heads(services)
    for running in services.values():
        for source, head in heads.items():
            if await running.pool.fetchval(BEHIND, source, head):
                return False
    return heads == await _heads(services)


async def _heads(services: Mapping[str, Running]) -> dict[str, Sequence[int]]:
    return {name: await running.log.heads() for name, running in services.items()}


async def published(city: City) -> None:
    """Wait until the newest checkpoint of every log covers all of it."""

    async def done() -> bool:
        signed = {name: await one.pool.fetchval(NEWEST) for name, one in city.running.items()}
        return all(sum(heads) == signed[name] for name, heads in (await _heads(city.running)).items())

    await until(done)


async def dump(running: Running, view: View) -> list[tuple[Any, ...]]:
    """Every row of the stable view and of the tables beside it, in key order."""
    rows: list[tuple[Any, ...]] = []
    for table in (view.table, *view.beside):
        keys = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
        found = await running.pool.fetch(f'SELECT * FROM "{table.name}" ORDER BY {keys}')
        rows += [(table.name, *row) for row in found]
    return rows


async def rebuilt(running: Running, projection: Projection) -> list[tuple[Any, ...]]:
    """The view after folding the whole log anew and swapping."""
    await projection.rebuild()
    return await dump(running, projection.view)
