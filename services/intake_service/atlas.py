"""The city as a map: names of districts, streets, towns and communities, and the ground of those that have a boundary.

Filled from the organisation tree, which routing keeps; looked at again every LOOK_SECONDS, for it changes rarely.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
import shapely
from sqlalchemy import RowMapping, func, select

from services.intake_service.places import Point
from services.intake_service.reference import DIVISIONS
from shared.contracts.codes import UnitType
from shared.contracts.duties import Boundary
from shared.engine.each import Each
from shared.engine.runtime import Running
from shared.language.gazetteer import Division, Gazetteer, Level

LOOK_SECONDS = 1.0
MILLIONTHS = 1e6
LEVELS = {
    UnitType.DISTRICT: Level.DISTRICT,
    UnitType.STREET_TOWN: Level.TOWN,
    UnitType.COMMUNITY: Level.COMMUNITY,
}


@dataclass(frozen=True)
class Atlas:
    """The map as it was at one moment. `revision` is what the divisions add up to."""

    revision: tuple[int, ...]
    divisions: dict[str, Division]
    names: Gazetteer
    ground: Boundaries


class Boundaries:
    """Polygons by code."""

    def __init__(self, boundaries: dict[str, Boundary]) -> None:
        self._codes = list(boundaries)
        self._tree = shapely.STRtree([_polygon(boundary) for boundary in boundaries.values()])

    def __bool__(self) -> bool:
        return bool(self._codes)

    def around(self, point: Point) -> list[str]:
        """Whose ground a point lies on; a point on a line lies on both sides of it."""
        found = self._tree.query(shapely.Point(point), predicate="intersects")
        return sorted(self._codes[number] for number in found)


def _polygon(boundary: Boundary) -> shapely.MultiPolygon:
    rings = [[_ring(ring) for ring in polygon] for polygon in boundary]
    return shapely.MultiPolygon([(outer, holes) for outer, *holes in rings])


def _ring(flat: Sequence[int]) -> list[tuple[float, float]]:
    return [(flat[at] / MILLIONTHS, flat[at + 1] / MILLIONTHS) for at in range(0, len(flat), 2)]


@dataclass
class _Kept:
    atlas: Atlas | None = None
    until: float = 0.0
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)


_kept = Each(_Kept)


async def atlas_of(running: Running) -> Atlas:
    """The map as it is now, or was a moment ago. One caller looks again, the others go on with what there is."""
    kept = _kept.of(running)
    now = asyncio.get_running_loop().time()
    if kept.atlas is not None and (now < kept.until or kept.looking.locked()):
        return kept.atlas
    async with kept.looking:
        if kept.atlas is None or now >= kept.until:
            kept.atlas = await _read(running, kept.atlas)
            kept.until = now + LOOK_SECONDS
        return kept.atlas


async def _read(running: Running, known: Atlas | None) -> Atlas:
    summed = select(func.count(), func.coalesce(func.sum(DIVISIONS.c.version), 0))
    async with running.reads.connect() as connection:
        revision = tuple((await connection.execute(summed)).one())
        if known is not None and revision == known.revision:
            return known
        rows = (await connection.execute(select(DIVISIONS))).mappings().all()
    divisions = {row["code"]: _division(row) for row in rows}
    boundaries = {row["code"]: orjson.loads(row["boundary"]) for row in rows if row["boundary"]}
    return await asyncio.to_thread(_drawn, revision, divisions, boundaries)


def _drawn(revision: tuple[int, ...], divisions: dict[str, Division], boundaries: dict[str, Boundary]) -> Atlas:
    return Atlas(revision, divisions, Gazetteer(divisions.values()), Boundaries(boundaries))


def _division(row: RowMapping) -> Division:
    level = LEVELS[UnitType(row["unit_type"])]
    return Division(row["code"], row["name"], level, row["parent"], tuple(orjson.loads(row["aliases"])))
