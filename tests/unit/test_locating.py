"""Where an appeal is: by code, by name, by point. Nothing is refused for where it is, oddities are flagged."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.intake_service.atlas import Atlas, Boundaries
from services.intake_service.locating import locate, named_place
from services.intake_service.places import Point
from services.intake_service.registration import LocationBody
from shared.contracts.codes import Datum
from shared.contracts.duties import Boundary
from shared.contracts.intake import Place
from shared.language.gazetteer import Division, Gazetteer, Level

WEST, EAST = "110101", "110105"
STREET, COMMUNITY = "110105002", "110105002028"
DIVISIONS = [
    Division(WEST, "东城区", Level.DISTRICT),
    Division(EAST, "朝阳区", Level.DISTRICT),
    Division(STREET, "朝外街道", Level.TOWN, EAST),
    Division(COMMUNITY, "雅宝里社区居委会", Level.COMMUNITY, STREET),
]
MILLION = 1_000_000


def square(west: float, south: float, east: float, north: float) -> tuple[int, ...]:
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return tuple(round(degrees * MILLION) for corner in corners for degrees in corner)


GROUND: dict[str, Boundary] = {
    WEST: ((square(116.0, 39.0, 116.4, 40.0),),),
    EAST: ((square(116.4, 39.0, 117.0, 40.0), square(116.6, 39.4, 116.8, 39.6)),),  # a hole in its middle
}
IN_WEST, IN_EAST, IN_HOLE = (116.2, 39.5), (116.5, 39.5), (116.7, 39.5)
ON_THE_LINE, AWAY = (116.4, 39.5), (121.47, 31.23)


def atlas(ground: dict[str, Boundary]) -> Atlas:
    return Atlas((1,), {one.code: one for one in DIVISIONS}, Gazetteer(DIVISIONS), Boundaries(ground))


CITY, UNMEASURED = atlas(GROUND), atlas({})


def at(point: tuple[float, float], city: Atlas = CITY, **said: Any) -> Place:
    return locate(LocationBody(longitude=point[0], latitude=point[1], **said), city)


def codes(place: Place) -> tuple[str | None, str | None, Any]:
    return (place.district, place.township, place.community)


def flags(place: Place) -> tuple[bool | None, str | None]:
    return (place.outside_city, place.point_district)


def test_without_a_location_there_is_no_place() -> None:
    assert locate(None, CITY) == locate(LocationBody(), CITY) == Place()


@pytest.mark.parametrize(("point", "district"), [(IN_WEST, WEST), (IN_EAST, EAST)])
def test_a_point_tells_the_district_it_lies_in(point: tuple[float, float], district: str) -> None:
    place = at(point)
    assert (codes(place), place.found_by, flags(place)) == ((district, None, None), "POINT", (None, None))


@pytest.mark.parametrize("point", [AWAY, IN_HOLE, (0.0, 0.0), (-180.0, 90.0)])
def test_a_point_outside_the_city_is_flagged_and_kept(point: tuple[float, float]) -> None:
    place = at(point)
    assert flags(place) == (True, None) and place.district is None
    assert (place.longitude, place.latitude) == (f"{point[0]:.6f}", f"{point[1]:.6f}")


def test_a_point_outside_takes_nothing_from_what_was_named() -> None:
    place = at(AWAY, district="朝阳区", address="朝外街道")
    assert codes(place) == (EAST, STREET, None) and flags(place) == (True, None)


@pytest.mark.parametrize("said", [{"district": "朝阳区"}, {"township": STREET}, {"address": "朝外街道3号"}])
def test_a_point_in_another_district_than_the_named_one_is_flagged(said: dict[str, Any]) -> None:
    place = at(IN_WEST, **said)
    assert place.district == EAST and flags(place) == (None, WEST)


def test_a_point_in_the_named_district_is_not_flagged() -> None:
    assert flags(at(IN_EAST, district="朝阳区")) == (None, None)


@pytest.mark.parametrize("district", ["东城区", "朝阳区"])
def test_a_point_on_the_line_lies_in_either_district(district: str) -> None:
    assert CITY.ground.around(Point(*ON_THE_LINE)) == [WEST, EAST]
    assert flags(at(ON_THE_LINE, district=district)) == (None, None)


def test_a_district_of_several_polygons_has_them_all() -> None:
    apart = Boundaries({EAST: ((square(116, 39, 117, 40),), (square(118, 39, 119, 40),))})
    assert [apart.around(Point(longitude, 39.5)) for longitude in (116.5, 117.5, 118.5)] == [[EAST], [], [EAST]]


@pytest.mark.parametrize("datum", [Datum.GCJ02, Datum.BD09])
def test_a_chinese_map_is_converted_before_looking(datum: Datum) -> None:
    shifted = (116.403, 39.5)  # east of the line as it is written, west of it where it really is
    assert at(shifted, datum=Datum.WGS84).district == EAST
    place = at(shifted, datum=datum)
    assert place.district == WEST
    assert (place.longitude, place.latitude, place.datum) == ("116.403000", "39.500000", datum)


def test_a_point_without_a_datum_is_wgs84() -> None:
    assert at((116.403, 39.5)) == at((116.403, 39.5), datum=Datum.WGS84)


def test_where_no_boundaries_are_known_nothing_is_outside() -> None:
    place = at(AWAY, UNMEASURED)
    assert flags(place) == (None, None) and codes(place) == (None, None, None)
    assert codes(at(AWAY, UNMEASURED, district="朝阳区")) == (EAST, None, None)


@pytest.mark.parametrize("said", [{"district": "火星区"}, {"township": "环形山街道"}])
def test_names_that_are_unknown_are_kept_as_given(said: dict[str, Any]) -> None:
    assert locate(LocationBody(**said), CITY) == Place(**said)


def test_an_unknown_district_gives_way_to_the_point() -> None:
    place = at(IN_EAST, district="火星区")
    assert place.district == EAST and place.found_by == "POINT" and flags(place) == (None, None)


@pytest.mark.parametrize("district", [EAST, "朝阳区", "朝陽區"])
@pytest.mark.parametrize("township", [STREET, "朝外街道"])
def test_codes_and_names_become_codes(district: str, township: str) -> None:
    place = locate(LocationBody(district=district, township=township), CITY)
    assert place == Place(district=EAST, township=STREET, found_by="GIVEN")


@pytest.mark.parametrize("said", [{"address": "雅寶里社區3號樓"}, {"site": "雅宝里社区居委会"}])
def test_address_and_site_are_read_in_either_script_and_kept_as_written(said: dict[str, Any]) -> None:
    chain: dict[str, Any] = {"district": EAST, "township": STREET, "community": COMMUNITY}
    assert locate(LocationBody(**said), CITY) == Place(**chain, **said, found_by="ADDRESS")


def test_people_are_told_codes_with_names() -> None:
    told = named_place(at(IN_WEST, address="朝外街道雅宝里社区"), CITY)
    assert told == {
        "district": {"code": EAST, "name": "朝阳区"},
        "township": {"code": STREET, "name": "朝外街道"},
        "community": {"code": COMMUNITY, "name": "雅宝里社区居委会"},
        "found_by": "ADDRESS",
        "outside_city": None,
        "point_district": WEST,
    }


def test_people_are_told_no_name_that_nobody_knows() -> None:
    told = named_place(locate(LocationBody(district="火星区"), CITY), CITY)
    assert set(told.values()) == {None}


@pytest.mark.parametrize("half", [{"longitude": 116.5}, {"latitude": 39.5}])
def test_half_a_point_is_refused(half: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LocationBody(**half)
