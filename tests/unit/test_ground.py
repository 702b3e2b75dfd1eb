"""The ground of a unit comes in as GeoJSON and goes out as the same GeoJSON; what is no ground is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.routing_service.ground import MultiPolygon, geojson

SQUARE = [[116.4, 39.9], [116.5, 39.9], [116.5, 40.0], [116.4, 40.0], [116.4, 39.9]]
HOLE = [[116.44, 39.94], [116.46, 39.94], [116.46, 39.96], [116.44, 39.94]]
ISLAND = [[-116.000001, -39.5], [180.0, -90.0], [-180.0, 90.0], [-116.000001, -39.5]]
MILLIONTHS = st.tuples(st.integers(-180_000_000, 180_000_000), st.integers(-90_000_000, 90_000_000))
RINGS = st.lists(MILLIONTHS, min_size=4, max_size=6).map(lambda ring: tuple(at for point in ring for at in point))
BOUNDARIES = st.lists(st.lists(RINGS, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3).map(tuple)


def read(coordinates: Any, kind: str = "MultiPolygon") -> MultiPolygon:
    return MultiPolygon.model_validate_json(json.dumps({"type": kind, "coordinates": coordinates}))


def with_point(longitude: Any, latitude: Any) -> list[Any]:
    return [[[[longitude, latitude], *SQUARE[1:]]]]


def test_polygons_holes_and_islands_come_out_as_they_went_in() -> None:
    shape = [[SQUARE, HOLE], [ISLAND]]
    assert geojson(read(shape).boundary) == {"type": "MultiPolygon", "coordinates": shape}


@given(BOUNDARIES)
def test_every_boundary_survives_the_way_out_and_in_again(boundary: tuple[tuple[tuple[int, ...], ...], ...]) -> None:
    assert MultiPolygon.model_validate_json(json.dumps(geojson(boundary))).boundary == boundary


def test_degrees_are_written_down_in_millionths_longitude_first() -> None:
    ((outer, hole),) = read([[SQUARE, HOLE]]).boundary
    assert outer[:4] == (116_400_000, 39_900_000, 116_500_000, 39_900_000)
    assert hole[-2:] == (116_440_000, 39_940_000)
    assert all(type(number) is int for number in outer + hole)


def test_a_degree_is_rounded_to_the_nearest_millionth_and_not_cut() -> None:
    ((outer,),) = read(with_point(116.1234567, -39.1234567)).boundary
    assert outer[:2] == (116_123_457, -39_123_457)


def test_whole_degrees_are_degrees_too() -> None:
    ((outer,),) = read(with_point(116, 39)).boundary
    assert outer[:2] == (116_000_000, 39_000_000)


@pytest.mark.parametrize("points", range(4))
def test_a_ring_of_fewer_than_four_points_is_refused(points: int) -> None:
    with pytest.raises(ValidationError):
        read([[SQUARE[:points]]])
    with pytest.raises(ValidationError):
        read([[SQUARE, HOLE[:points]]])


@pytest.mark.parametrize(
    ("longitude", "latitude"),
    [
        (180.000001, 39.9),
        (-180.000001, 39.9),
        (116.4, 90.000001),
        (116.4, -90.000001),
        (float("nan"), 39.9),
        (116.4, float("nan")),
        (float("inf"), 39.9),
        (116.4, float("-inf")),
        ("116.4", 39.9),
        (None, 39.9),
        (True, 39.9),
    ],
)
def test_a_point_that_is_not_on_earth_is_refused(longitude: Any, latitude: Any) -> None:
    with pytest.raises(ValidationError):
        read(with_point(longitude, latitude))


@pytest.mark.parametrize("position", [[], [116.4], [116.4, 39.9, 50.0]])
def test_a_position_is_two_numbers(position: list[float]) -> None:
    with pytest.raises(ValidationError):
        read([[[position, *SQUARE[1:]]]])


@pytest.mark.parametrize("coordinates", [None, [], [[]], [[[]]], SQUARE, [SQUARE], "[]", {}])
def test_what_is_not_nested_as_a_multipolygon_is_refused(coordinates: Any) -> None:
    with pytest.raises(ValidationError):
        read(coordinates)


@pytest.mark.parametrize("kind", ["Polygon", "Point", "multipolygon", ""])
def test_another_type_of_geometry_is_refused(kind: str) -> None:
    with pytest.raises(ValidationError):
        read([[SQUARE]], kind)
