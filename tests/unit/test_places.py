"""The same place in any datum, and circles that no cell is missing from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake_service.places import Point, TooWide, cells_around, cells_of, distance, to_wgs84
from shared.contracts.codes import Datum

TIANANMEN = Point(116.3912757, 39.906217)
BEIJING = st.builds(Point, st.floats(115.5, 117.5), st.floats(39.5, 41.0))


@pytest.mark.parametrize(
    ("longitude", "latitude", "datum"),
    [(116.39751, 39.907620, Datum.GCJ02), (116.403875, 39.913966, Datum.BD09), (*TIANANMEN, Datum.WGS84)],
)
def test_the_same_gate_in_three_datums(longitude: float, latitude: float, datum: Datum) -> None:
    assert distance(to_wgs84(longitude, latitude, datum), TIANANMEN) < 15


def test_outside_china_the_datums_agree() -> None:
    assert to_wgs84(-73.98, 40.75, Datum.GCJ02) == Point(-73.98, 40.75)


def test_a_degree_north_is_what_the_earth_says() -> None:
    assert distance(Point(0, 0), Point(0, 1)) == pytest.approx(111_195, abs=1)
    assert distance(Point(0, 0), Point(180, 0)) == pytest.approx(20_015_114, abs=2)


@given(BEIJING, BEIJING, st.floats(1, 20_000))
def test_whatever_lies_within_a_circle_lies_in_one_of_its_cells(centre: Point, other: Point, metres: float) -> None:
    around = set(cells_around(centre, metres))
    assert around & set(cells_of(centre))
    if distance(centre, other) <= metres:
        assert around & set(cells_of(other))


@given(BEIJING, st.floats(0, 1), st.floats(1, 2000))
def test_a_point_on_the_edge_is_covered(centre: Point, part: float, metres: float) -> None:
    degrees = metres / 111_195 * part
    assert set(cells_around(centre, metres)) & set(cells_of(Point(centre.longitude, centre.latitude + degrees)))


def test_a_circle_over_half_the_country_is_refused() -> None:
    with pytest.raises(TooWide):
        cells_around(TIANANMEN, 1_000_000)
