"""The ground of a unit: GeoJSON (RFC 7946) at the door, millionths of a degree on the record, which has no floats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.contracts.duties import Boundary
from shared.web.fields import Body

MILLIONTHS = 1_000_000
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Ring = Annotated[list[tuple[Longitude, Latitude]], Field(min_length=4, max_length=20_000)]
Polygon = Annotated[list[Ring], Field(min_length=1, max_length=100)]


class MultiPolygon(Body):
    """GeoJSON MultiPolygon, WGS-84, longitude first; the first ring of each polygon is the outer one."""

    type: Literal["MultiPolygon"]
    coordinates: Annotated[list[Polygon], Field(min_length=1, max_length=100)]

    @property
    def boundary(self) -> Boundary:
        """As it is written down."""
        return tuple(tuple(_flat(ring) for ring in polygon) for polygon in self.coordinates)


def geojson(boundary: Sequence[Sequence[Sequence[int]]]) -> dict[str, Any]:
    """The inverse of `boundary`."""
    return {"type": "MultiPolygon", "coordinates": [[_ring(ring) for ring in polygon] for polygon in boundary]}


def _flat(ring: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    return tuple(round(degrees * MILLIONTHS) for point in ring for degrees in point)


def _ring(flat: Sequence[int]) -> list[list[float]]:
    return [[flat[at] / MILLIONTHS, flat[at + 1] / MILLIONTHS] for at in range(0, len(flat), 2)]
