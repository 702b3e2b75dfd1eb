"""Looking at whole views: waiting until they have taken everything, dumping them, rebuilding them beside."""

from __future__ import annotations

import asyncio
from typing import Any

from shared.engine.projections import Projection, View
from shared.engine.runtime import Running
from tests.support.city import PATIENCE_SECONDS, City

BEHIND = """
    SELECT count(*) FROM cursors c WHERE c.source = $1 AND c.sequence < ($2::bigint[])[c.partition + 1]"""


async def settled(city: City) -> None:
    """Wait until every consumer of every service has taken every event, and none has stopped."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await _behind(city):
            assert not [running.stopped for running in city.running.values() if running.stopped]
            await asyncio.sleep(0.02)


async def _behind(city: City) -> int:
    heads = {name: await running.log.heads() for name, running in city.running.items()}
    behind = 0
    for running in city.running.values():
        for source, head in heads.items():
            behind += await running.pool.fetchval(BEHIND, source, head)
    return behind


async def dump(running: Running, view: View) -> list[tuple[Any, ...]]:
    """Every row of the stable view, in key order."""
    keys = ", ".join(f'"{column.name}"' for column in view.table.primary_key.columns)
    return [tuple(row) for row in await running.pool.fetch(f'SELECT * FROM "{view.name}" ORDER BY {keys}')]


async def rebuilt(running: Running, projection: Projection) -> list[tuple[Any, ...]]:
    """The view after folding the whole log anew and swapping."""
    await projection.rebuild()
    return await dump(running, projection.view)
