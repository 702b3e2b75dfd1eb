"""Which places a text names and which one it is about: in every way in which people say it, in either script."""

from __future__ import annotations

import pytest

from shared.language.gazetteer import NOWHERE, Division, Evidence, Found, Gazetteer, Level
from shared.language.script import plain

CHAOYANG, HAIDIAN = "110105", "110108"
CHAOWAI, CHAOYANG_BALIZHUANG, HAIDIAN_BALIZHUANG = "110105002", "110105015", "110108005"
NANMOFANG, WANGJING = "110105021", "110105026"
YABAOLI, ZHANGYING = "110105002028", "110105021201"
NAMES = Gazetteer(
    [
        Division(CHAOYANG, "朝阳区", Level.DISTRICT),
        Division(HAIDIAN, "海淀区", Level.DISTRICT),
        Division(CHAOWAI, "朝外街道", Level.TOWN, CHAOYANG),
        Division(CHAOYANG_BALIZHUANG, "八里庄街道", Level.TOWN, CHAOYANG),
        Division(HAIDIAN_BALIZHUANG, "八里庄街道", Level.TOWN, HAIDIAN),
        Division(NANMOFANG, "南磨房地区", Level.TOWN, CHAOYANG, ("南磨房乡",)),
        Division(WANGJING, "望京街道", Level.TOWN, CHAOYANG),
        Division(YABAOLI, "雅宝里社区居委会", Level.COMMUNITY, CHAOWAI),
        Division(ZHANGYING, "张营村委会", Level.COMMUNITY, NANMOFANG),
    ]
)


def spoken(name: str, level: Level = Level.COMMUNITY) -> set[str]:
    return set(Division("1", name, level).spoken())


def named(text: str, finest: Level = Level.COMMUNITY) -> list[list[str]]:
    return [sorted(mention) for mention in NAMES.named(plain(text), finest)]


def said(*sources: tuple[str, str]) -> Found:
    """What texts, the most trusted first, are about."""
    evidence: Evidence = [(source, NAMES.named(plain(text))) for source, text in sources]
    return NAMES.place(evidence)


def finest(found: Found) -> str | None:
    return found.chain[max(found.chain)] if found.chain else None


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("雅宝里社区居委会", {"雅宝里社区居委会", "雅宝里社区", "雅宝里村", "雅宝里"}),
        ("雅宝里社区居民委员会", {"雅宝里社区居民委员会", "雅宝里社区", "雅宝里村", "雅宝里"}),
        ("雅宝里社区", {"雅宝里社区", "雅宝里村", "雅宝里"}),
        ("张营村委会", {"张营村委会", "张营社区", "张营村"}),
        ("张营村民委员会", {"张营村民委员会", "张营社区", "张营村"}),
    ],
)
def test_a_community_is_named_with_and_without_its_ending(name: str, ways: set[str]) -> None:
    assert spoken(name) == ways


@pytest.mark.parametrize("level", [Level.DISTRICT, Level.TOWN])
def test_only_a_community_is_named_without_its_ending(level: Level) -> None:
    assert spoken("雅宝里社区", level) == {"雅宝里社区"}


def test_a_division_is_named_by_its_other_official_name() -> None:
    assert named("南磨房乡") == named("南磨房地区") == [[NANMOFANG]]


@pytest.mark.parametrize("code_or_name", [CHAOYANG, "朝阳区", "朝陽區"])
def test_a_given_district_is_known_by_code_and_by_name_in_either_script(code_or_name: str) -> None:
    assert NAMES.given(code_or_name) == [frozenset([CHAOYANG])]


@pytest.mark.parametrize("words", [None, "", "火星区", "110199", "朝阳区朝外街道"])
def test_what_is_given_and_is_no_whole_name_stands_for_nothing(words: str | None) -> None:
    assert NAMES.given(words) == []


def test_a_shared_name_stands_for_both_of_its_places() -> None:
    both = frozenset([CHAOYANG_BALIZHUANG, HAIDIAN_BALIZHUANG])
    assert NAMES.given("八里庄街道") == NAMES.named("八里庄街道") == [both]


def test_names_are_read_from_left_to_right_wherever_they_stand() -> None:
    assert named("住望京街道,单位在海淀区,雅宝里") == [[WANGJING], [HAIDIAN], [YABAOLI]]


def test_names_in_traditional_script_are_found_through_the_plain_form() -> None:
    assert named("北京市朝陽區朝外街道雅寶里社區") == [[CHAOYANG], [CHAOWAI], [YABAOLI]]


def test_nothing_finer_is_read_than_was_asked_for() -> None:
    text = "朝阳区朝外街道雅宝里社区"
    assert named(text, Level.TOWN) == [[CHAOYANG], [CHAOWAI]]
    assert named(text, Level.DISTRICT) == [[CHAOYANG]]


@pytest.mark.parametrize("text", [None, "", "朝", "区", "路灯不亮"])
def test_a_text_without_names_names_nothing(text: str | None) -> None:
    assert NAMES.named(text) == []


def test_of_names_that_begin_alike_the_longest_wins() -> None:
    short, long = Division("1", "南苑", Level.TOWN), Division("2", "南苑西街道", Level.TOWN)
    for order in ([short, long], [long, short]):
        assert Gazetteer(order).named("南苑西街道和南苑") == [frozenset("2"), frozenset("1")]


def test_a_name_inside_another_is_not_read_again() -> None:
    whole, inner = Division("1", "东八里庄街道", Level.TOWN), Division("2", "八里庄街道", Level.TOWN)
    assert Gazetteer([whole, inner]).named("东八里庄街道") == [frozenset("1")]


def test_a_community_brings_its_street_and_its_district() -> None:
    chain = {Level.DISTRICT: CHAOYANG, Level.TOWN: CHAOWAI, Level.COMMUNITY: YABAOLI}
    assert said(("ADDRESS", "雅宝里社区3号楼")) == Found(chain, "ADDRESS")


@pytest.mark.parametrize(("district", "town"), [("朝阳区", CHAOYANG_BALIZHUANG), ("海淀区", HAIDIAN_BALIZHUANG)])
def test_a_shared_name_is_settled_by_its_district_wherever_that_is_said(district: str, town: str) -> None:
    assert finest(said(("ADDRESS", f"{district}八里庄街道"))) == town
    assert said(("GIVEN", "八里庄街道"), ("ADDRESS", f"{district}某处")).source == "ADDRESS"
    assert finest(said(("GIVEN", "八里庄街道"), ("ADDRESS", f"{district}某处"))) == town
    assert finest(said(("GIVEN", district), ("ADDRESS", "八里庄街道"))) == town


def test_a_shared_name_alone_leaves_it_open() -> None:
    assert said(("ADDRESS", "八里庄街道")) == NOWHERE


def test_places_that_are_named_as_often_leave_what_they_have_in_common() -> None:
    assert said(("ADDRESS", "望京街道与朝外街道之间")) == Found({Level.DISTRICT: CHAOYANG}, "ADDRESS")
    assert said(("ADDRESS", "望京街道与雅宝里社区")) == Found({Level.DISTRICT: CHAOYANG}, "ADDRESS")
    assert said(("ADDRESS", "朝阳区和海淀区")) == NOWHERE


def test_the_place_that_explains_most_names_wins() -> None:
    assert finest(said(("ADDRESS", "海淀区人,住朝阳区望京街道"))) == WANGJING


def test_a_less_trusted_source_never_overrules_a_more_trusted_one() -> None:
    assert said(("GIVEN", "海淀区"), ("ADDRESS", "朝阳区望京街道")) == Found({Level.DISTRICT: HAIDIAN}, "GIVEN")
    assert finest(said(("GIVEN", "望京街道"), ("ADDRESS", "海淀区八里庄街道"))) == WANGJING


def test_a_less_trusted_source_may_still_tell_it_more_finely() -> None:
    found = said(("GIVEN", "朝阳区"), ("ADDRESS", "望京街道"))
    assert (finest(found), found.source) == (WANGJING, "ADDRESS")


def test_a_source_that_adds_nothing_does_not_take_the_credit() -> None:
    assert said(("GIVEN", "朝阳区"), ("ADDRESS", "朝阳区")).source == "GIVEN"
    assert said(("GIVEN", "望京街道"), ("ADDRESS", "望京街道")).source == "GIVEN"


@pytest.mark.parametrize("evidence", [[], [("ADDRESS", [])], [("POINT", [frozenset(["no-such-code"])])]])
def test_without_a_known_name_it_is_nowhere(evidence: Evidence) -> None:
    assert NAMES.place(evidence) == NOWHERE


def test_a_gazetteer_of_nothing_finds_nothing() -> None:
    empty = Gazetteer([])
    assert empty.given("朝阳区") == empty.named("朝阳区望京街道") == []
    assert empty.place([("GIVEN", [frozenset([CHAOYANG])])]) == NOWHERE
