"""Real places: all divisions and communities of Beijing, addresses and points whose answers somebody else computed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from services.charting import Facts, WrongFacts, read_facts
from services.intake_service.atlas import LEVELS, Atlas, Boundaries
from services.intake_service.locating import locate
from services.intake_service.registration import LocationBody
from services.routing_service.ground import MultiPolygon
from shared.contracts.codes import UnitType
from shared.language.gazetteer import Division, Gazetteer
from tests.support.realdata import FOLDER, real

DIVISIONS, COMMUNITIES, BOUNDARIES = (
    "beijing_divisions.csv",
    "beijing_communities.csv",
    "beijing_districts.geojson",
)
HEAD = "code,name,level,parent_code,other_name\n"
Write = Callable[[str], Path]


@pytest.fixture(scope="module")
def facts() -> Facts:
    for name in (DIVISIONS, COMMUNITIES, "beijing_address_lookup.csv", "beijing_point_lookup.csv"):
        real(name)
    if not (FOLDER / BOUNDARIES).exists():
        pytest.skip(f"real data: {BOUNDARIES}")
    return read_facts(FOLDER / DIVISIONS, FOLDER / COMMUNITIES, FOLDER / BOUNDARIES)


@pytest.fixture(scope="module")
def atlas(facts: Facts) -> Atlas:
    divisions = {
        code: Division(code, unit["name"], LEVELS[UnitType(unit["unit_type"])], unit.get("parent_id"),
                       tuple(unit["aliases"]))
        for code, unit in facts.units.items()
    }  # fmt: skip
    shapes = {code: MultiPolygon.model_validate_json(json.dumps(shape)) for code, shape in facts.boundaries.items()}
    ground = Boundaries({code: shape.boundary for code, shape in shapes.items()})
    return Atlas((1,), divisions, Gazetteer(divisions.values()), ground)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        (tmp_path / "facts").write_text(text, encoding="utf-8")
        return tmp_path / "facts"

    return written


def test_the_facts_are_16_districts_343_streets_and_their_communities(facts: Facts) -> None:
    kinds = [unit["unit_type"] for unit in facts.units.values()]
    assert (kinds.count("DISTRICT"), kinds.count("STREET_TOWN")) == (16, 343)
    assert kinds.count("COMMUNITY") > 4500 and len(facts.boundaries) == 16
    assert facts.boundaries.keys() == {code for code, unit in facts.units.items() if unit["unit_type"] == "DISTRICT"}
    assert all(unit["parent_id"] in facts.units for unit in facts.units.values() if "parent_id" in unit)


def test_every_row_is_either_taken_or_counted_as_left_out(facts: Facts) -> None:
    rows = real(DIVISIONS) + real(COMMUNITIES)
    assert len(rows) == len(facts.units) + facts.left_out


@pytest.mark.parametrize(("form", "share"), [("full", 0.99), ("no_district", 0.97), ("no_town", 0.97)])
def test_real_addresses_are_found_to_district_and_street(atlas: Atlas, form: str, share: float) -> None:
    rows = [row for row in real("beijing_address_lookup.csv") if row["form"] == form]
    rows = [row for row in rows if form == "full" or row["unambiguous"] == "1"]
    places = [locate(LocationBody(address=row["address"]), atlas) for row in rows]
    wanted = [(row["district_code"], row["town_code"]) for row in rows]
    right = [(place.district, place.township) == want for place, want in zip(places, wanted, strict=True)]
    assert len(rows) > 500 and sum(right) / len(rows) >= share


def test_real_addresses_of_several_communities_are_never_placed_in_a_wrong_district(atlas: Atlas) -> None:
    rows = [row for row in real("beijing_address_lookup.csv") if row["unambiguous"] == "0"]
    assert rows
    for row in rows:
        assert locate(LocationBody(address=row["address"]), atlas).district == row["district_code"]


def test_every_real_point_is_found_in_its_district_or_outside(atlas: Atlas) -> None:
    rows = real("beijing_point_lookup.csv")
    assert {bool(row["district_code"]) for row in rows} == {True, False}
    for row in rows:
        place = locate(LocationBody(longitude=float(row["lon"]), latitude=float(row["lat"])), atlas)
        expected = (row["district_code"] or None, None if row["district_code"] else True)
        assert (place.district, place.outside_city) == expected, row


def wrong(divisions: Path | None = None, communities: Path | None = None, boundaries: Path | None = None) -> str:
    """The one line that says what is wrong with a file."""
    with pytest.raises(WrongFacts) as error:
        read_facts(divisions, communities, boundaries)
    message = str(error.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("column", ["code", "name", "level", "parent_code", "other_name"])
def test_a_list_of_divisions_without_a_column_is_refused_by_its_name(write: Write, column: str) -> None:
    file = write(",".join(name for name in HEAD.strip().split(",") if name != column) + "\n")
    assert wrong(divisions=file) == f"{file} has no column {column}"


def test_a_list_of_communities_without_columns_is_refused_by_their_names(write: Write) -> None:
    file = write("code\n")
    assert wrong(communities=file) == f"{file} has no column name, town_code"


def test_an_empty_file_is_refused(write: Write) -> None:
    assert "has no column" in wrong(divisions=write(""))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "{}",
        '{"features": null}',
        '{"features": [{"geometry": null, "properties": {"code": "110105"}}]}',
        '{"features": [{"geometry": {"type": "Polygon", "coordinates": [[[1, 2]]]}, "properties": {}}]}',
        '{"features": [{"geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {"code": "110105"}}]}',
    ],
)
def test_what_is_no_geojson_with_codes_is_refused(write: Write, text: str) -> None:
    file = write(text)
    assert wrong(boundaries=file).startswith(f"{file} is no GeoJSON FeatureCollection with codes")


def test_a_polygon_is_one_of_several_and_heights_are_left_out(write: Write) -> None:
    ring = "[[1, 2, 50], [3, 2, 50], [3, 4, 50], [1, 2, 50]]"
    feature = f'{{"geometry": {{"type": "Polygon", "coordinates": [{ring}]}}, "properties": {{"code": "110105"}}}}'
    facts = read_facts(None, None, write(f'{{"features": [{feature}]}}'))
    flat = {"type": "MultiPolygon", "coordinates": [[[[1, 2], [3, 2], [3, 4], [1, 2]]]]}
    assert facts == Facts({}, {"110105": flat}, 0)


def test_a_street_with_two_codes_is_one_and_special_zones_are_none(write: Write, tmp_path: Path) -> None:
    divisions = write(
        HEAD + "110105,朝阳区,district,110000,\n110105020,首都机场街道,subdistrict,110105,\n"
        "110105400,首都机场街道,subdistrict,110105,\n110105403,某开发区,special_zone,110105,\n"
    )
    communities = tmp_path / "communities"
    communities.write_text("code,name,town_code\n110105400001,南路社区,110105400\n110105403001,区内社区,110105403\n")
    facts = read_facts(divisions, communities, None)
    assert facts.units.keys() == {"110105", "110105020", "110105400001"}
    assert facts.units["110105400001"]["parent_id"] == "110105020" and facts.left_out == 3


def test_without_files_there_are_no_facts() -> None:
    assert read_facts(None, None, None) == Facts({}, {}, 0)
