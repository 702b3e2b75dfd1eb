"""Where on earth: coordinates of three datums as one, distances, and grid cells that an index can hold blindly.

Phones and maps in China speak GCJ-02 or BD-09; division boundaries are CGCS2000, which is WGS-84 within a metre.
A place is stored as it was given, with its datum, and compared as WGS-84.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from shared.contracts.codes import Datum

EARTH_METRES = 6_371_008.8
_A, _EE = 6_378_245.0, 0.00669342162296594323
_BD = math.pi * 3000.0 / 180.0
CELLS = (0.002, 0.016, 0.128)
"""Sizes of the grids in degrees: about 200 m, 1.8 km, 14 km."""
MOST_CELLS = 64
STEPS = 4


class Point(NamedTuple):
    """Degrees, WGS-84."""

    longitude: float
    latitude: float


class TooWide(Exception):
    """The circle covers more cells than an index can be asked for."""


def to_wgs84(longitude: float, latitude: float, datum: Datum) -> Point:
    """The same place in WGS-84, to about a metre."""
    if datum is Datum.BD09:
        longitude, latitude = _bd09_to_gcj02(longitude, latitude)
    if datum is Datum.WGS84 or not _shifted(longitude, latitude):
        return Point(longitude, latitude)
    guess = Point(longitude, latitude)
    for _ in range(STEPS):  # the shift is published in one direction only; a few steps back converge below a centimetre
        east, north = _shift(*guess)
        guess = Point(longitude - east, latitude - north)
    return guess


def distance(one: Point, other: Point) -> float:
    """Metres along the great circle."""
    north = math.radians(other.latitude - one.latitude)
    east = math.radians(other.longitude - one.longitude)
    scale = math.cos(math.radians(one.latitude)) * math.cos(math.radians(other.latitude))
    half = math.sin(north / 2) ** 2 + scale * math.sin(east / 2) ** 2
    return 2 * EARTH_METRES * math.asin(math.sqrt(min(1.0, half)))


def cells_of(point: Point) -> list[str]:
    """The cell that a point lies in, one per grid."""
    return [_cell(level, *_at(point, size)) for level, size in enumerate(CELLS)]


def cells_around(point: Point, metres: float) -> list[str]:
    """Cells of one grid that together cover a circle. Raises TooWide."""
    north = math.degrees(metres / EARTH_METRES)
    east = north / max(0.01, math.cos(math.radians(point.latitude)))
    for level, size in enumerate(CELLS):
        west_x, south_y = _at(Point(point.longitude - east, point.latitude - north), size)
        east_x, north_y = _at(Point(point.longitude + east, point.latitude + north), size)
        if (east_x - west_x + 1) * (north_y - south_y + 1) <= MOST_CELLS:
            return list(_cells(level, range(west_x, east_x + 1), range(south_y, north_y + 1)))
    raise TooWide


def _cells(level: int, across: range, along: range) -> Iterator[str]:
    return (_cell(level, x, y) for x in across for y in along)


def _at(point: Point, size: float) -> tuple[int, int]:
    return math.floor(point.longitude / size), math.floor(point.latitude / size)


def _cell(level: int, x: int, y: int) -> str:
    return f"cell:{level}:{x}:{y}"


def _shifted(longitude: float, latitude: float) -> bool:
    """Whether GCJ-02 differs from WGS-84 there: roughly, in China."""
    return 72.004 <= longitude <= 137.8347 and 0.8293 <= latitude <= 55.8271


def _shift(longitude: float, latitude: float) -> tuple[float, float]:
    """How far GCJ-02 lies east and north of WGS-84, in degrees."""
    x, y = longitude - 105.0, latitude - 35.0
    common = (20.0 * math.sin(6.0 * x * math.pi) + 20.0 * math.sin(2.0 * x * math.pi)) * 2.0 / 3.0
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * math.sqrt(abs(x)) + common
    north += (20.0 * math.sin(y * math.pi) + 40.0 * math.sin(y / 3.0 * math.pi)) * 2.0 / 3.0
    north += (160.0 * math.sin(y / 12.0 * math.pi) + 320.0 * math.sin(y * math.pi / 30.0)) * 2.0 / 3.0
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * math.sqrt(abs(x)) + common
    east += (20.0 * math.sin(x * math.pi) + 40.0 * math.sin(x / 3.0 * math.pi)) * 2.0 / 3.0
    east += (150.0 * math.sin(x / 12.0 * math.pi) + 300.0 * math.sin(x / 30.0 * math.pi)) * 2.0 / 3.0
    radians = math.radians(latitude)
    magic = 1 - _EE * math.sin(radians) ** 2
    north_degrees = math.degrees(north / (_A * (1 - _EE) / magic**1.5))
    return math.degrees(east / (_A / math.sqrt(magic) * math.cos(radians))), north_degrees


def _bd09_to_gcj02(longitude: float, latitude: float) -> tuple[float, float]:
    x, y = longitude - 0.0065, latitude - 0.006
    radius = math.hypot(x, y) - 0.00002 * math.sin(y * _BD)
    angle = math.atan2(y, x) - 0.000003 * math.cos(x * _BD)
    return radius * math.cos(angle), radius * math.sin(angle)
