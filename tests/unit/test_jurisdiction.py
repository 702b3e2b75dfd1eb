"""Whose ground it is, on the real sample city: 16 districts, 343 streets and towns, one name shared by two of them."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence

import pytest

from services.routing_service.founding import DATA, units
from services.routing_service.jurisdiction import Gazetteer, Ground, Unit
from shared.contracts.codes import UnitType

CITY = {
    entry.unit_id: Unit(
        entry.unit_id, entry.name, entry.name_en, entry.unit_type, entry.parent_id, tuple(entry.aliases)
    )
    for entry in units(tomllib.loads((DATA / "beijing.toml").read_text(encoding="utf-8")))
}
GAZETTEER = Gazetteer(CITY)
TOWNS = [unit for unit in CITY.values() if unit.unit_type is UnitType.STREET_TOWN]
DISTRICTS = [unit for unit in CITY.values() if unit.unit_type is UnitType.DISTRICT]
CHAOYANG, HAIDIAN, WANGJING = "110105", "110108", "110105026"
TWINS = {"110105015": CHAOYANG, "110108005": HAIDIAN}


def ground(
    township: str | None = None, district: str | None = None, address: str | None = None, text: str | None = None
) -> Ground:
    return GAZETTEER.ground(township, district, (("address", address), ("text", text)))


def found(place: Ground) -> tuple[str | None, str | None, str]:
    return (place.town and place.town.unit_id, place.district and place.district.unit_id, place.source)


def test_the_sample_city_has_16_districts_and_343_streets_and_towns() -> None:
    assert (len(DISTRICTS), len(TOWNS)) == (16, 343)
    assert len(CITY) == len(list(units(tomllib.loads((DATA / "beijing.toml").read_text(encoding="utf-8")))))


def test_every_street_or_town_belongs_to_the_district_whose_code_begins_its_own() -> None:
    assert all(town.parent_id == town.unit_id[:6] and town.parent_id in CITY for town in TOWNS)


def test_only_one_name_of_the_city_is_shared() -> None:
    names = Counter(name for unit in CITY.values() for name in unit.names)
    assert [name for name, times in names.items() if times > 1] == ["八里庄街道"]
    assert {unit.unit_id: unit.parent_id for unit in TOWNS if unit.name == "八里庄街道"} == TWINS


@pytest.mark.parametrize("district", DISTRICTS, ids=lambda unit: unit.unit_id)
def test_a_district_is_found_by_code_and_by_name(district: Unit) -> None:
    by_code = GAZETTEER.ground(None, district.unit_id, ())
    assert found(by_code) == (None, district.unit_id, "given")
    assert GAZETTEER.ground(None, district.name, ()) == by_code


def test_every_street_and_town_is_found_by_its_code_and_with_its_district_by_each_name() -> None:
    for town in TOWNS:
        expected = (town.unit_id, town.parent_id, "given")
        assert found(ground(town.unit_id)) == expected
        assert all(found(ground(name, town.parent_id)) == expected for name in town.names)


def test_every_street_and_town_is_found_in_an_address_that_names_its_district() -> None:
    for town in TOWNS:
        district = CITY[town.parent_id or ""]
        for name in town.names:
            place = ground(address=f"北京市{district.name}{name}某小区3号楼")
            assert found(place) == (town.unit_id, town.parent_id, "address")


def test_a_shared_name_alone_says_nothing() -> None:
    assert ground("八里庄街道") == Ground()
    assert ground(text="八里庄街道路灯不亮") == Ground()


@pytest.mark.parametrize(("code", "district"), TWINS.items())
def test_a_shared_name_counts_where_the_district_is_known_too(code: str, district: str) -> None:
    name = CITY[district].name
    assert found(ground("八里庄街道", district)) == (code, district, "given")
    assert found(ground("八里庄街道", name)) == (code, district, "given")
    assert found(ground(address=f"{name}八里庄街道")) == (code, district, "address")
    assert found(ground(district=name, address="八里庄街道")) == (code, district, "address")


def test_two_districts_and_a_shared_name_leave_it_open() -> None:
    assert ground(text="朝阳区和海淀区都有八里庄街道") == Ground()


def test_a_name_that_occurs_twice_is_still_one_place() -> None:
    assert found(ground(text="望京街道,就是望京街道")) == (WANGJING, CHAOYANG, "text")


def test_two_towns_of_one_district_leave_the_district() -> None:
    assert found(ground(text="朝阳区望京街道与酒仙桥街道之间")) == (None, CHAOYANG, "text")
    assert found(ground(text="望京街道与酒仙桥街道之间")) == (None, CHAOYANG, "text")


def test_two_towns_of_different_districts_leave_it_open() -> None:
    assert ground(text="望京街道与北新桥街道之间") == Ground()


def test_what_is_given_goes_before_the_address_and_the_address_before_the_text() -> None:
    assert found(ground("酒仙桥街道", address="望京街道"))[2] == "given"
    assert found(ground(address="望京街道", text="酒仙桥街道")) == (WANGJING, CHAOYANG, "address")
    assert found(ground(address="某小区", text="酒仙桥街道"))[2] == "text"


def test_a_town_outside_the_given_district_is_not_taken_from_the_text() -> None:
    assert found(ground(district="海淀区", address="望京街道"))[:2] == (None, HAIDIAN)
    assert found(ground("望京街道", "海淀区"))[:2] == (None, HAIDIAN)


@pytest.mark.parametrize("name", ["不存在街道", "", "110199", "bj-power", "望京"])
def test_an_unknown_name_says_nothing(name: str) -> None:
    assert ground(name) == Ground()


def test_a_town_code_in_the_place_of_a_district_still_says_which_town() -> None:
    assert found(ground(district=WANGJING)) == (WANGJING, CHAOYANG, "given")


def test_departments_and_enterprises_are_no_places() -> None:
    assert ground(text="国网北京市电力公司") == Ground()


def test_of_two_names_that_begin_alike_the_longer_one_counts() -> None:
    short = Unit("110106901", "南苑", "", UnitType.STREET_TOWN, "110106")
    long = Unit("110106902", "南苑西街道", "", UnitType.STREET_TOWN, "110106")
    tree = Gazetteer({unit.unit_id: unit for unit in (short, long, CITY["110106"])})
    assert tree.ground(None, None, (("text", "南苑西街道"),)).town == long


def test_an_empty_tree_finds_nothing() -> None:
    texts: Sequence[tuple[str, str | None]] = (("text", "朝阳区望京街道"),)
    assert Gazetteer({}).ground("望京街道", "朝阳区", texts) == Ground()


@pytest.mark.parametrize("address", [None, "某小区3号楼"])
def test_with_the_district_given_a_town_is_still_found_in_the_text(address: str | None) -> None:
    assert found(ground(district="朝阳区", address=address, text="望京街道路灯不亮"))[:2] == (WANGJING, CHAOYANG)


def test_a_given_district_is_said_to_be_given() -> None:
    assert found(ground(district="朝阳区", text="路灯不亮")) == (None, CHAOYANG, "given")


def test_a_later_mention_of_a_district_never_overrules_an_earlier_town() -> None:
    found = GAZETTEER.ground(WANGJING, None, [("text", "住海淀区")])
    assert found.town == CITY[WANGJING] and found.source == "given"
    assert GAZETTEER.ground("八里庄街道", None, [("address", "海淀区某处")]).town == CITY["110108005"]
