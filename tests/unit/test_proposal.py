"""Whose duty it is: rules read against an appeal, ranked units with confidence and reasons, and the district when no
rule fits (Regulation Art 11, 12, 17). The city is the real sample; rules are small ones of our own, then the shipped.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

from services.routing_service.founding import DATA
from services.routing_service.jurisdiction import Gazetteer, Unit
from services.routing_service.limits import shipped_limits
from services.routing_service.matter import Matter
from services.routing_service.proposal import (
    DISTRICT_RULE,
    Directory,
    Learned,
    calibrated,
    copied_district,
    propose,
)
from shared.contracts.codes import UnitType, Urgency
from shared.contracts.duties import Candidate, Rule
from tests.unit.test_jurisdiction import CITY

LIMITS = shipped_limits()
COMMUNITY = Unit("110105026001", "望京西园社区", "", UnitType.COMMUNITY, "110105026")
SHIPPED = [Rule(**rule) for rule in tomllib.loads((DATA / "catalogue.toml").read_text(encoding="utf-8"))["rules"]]
WANGJING, CHAOYANG = "110105026", "110105"
BUILDING = "城乡建设"


def rule(id_: str, duty: str, *keywords: str, **more: Any) -> Rule:
    return Rule(id=id_, name=id_, keywords=keywords, duty=duty, basis="Reg. Art 11", **more)


LIGHT = rule("light", "bj-power", "路灯", "灯杆")
RUBBISH = rule("rubbish", "TOWNSHIP", "垃圾", categories=("城乡建设",), unless=("垃圾短信",))
DEMOLITION = rule("demolition", "DISTRICT", "拆迁", tier=Urgency.COMPLEX)


def directory(*rules: Rule, extra: Sequence[Unit] = ()) -> Directory:
    return Directory(Gazetteer(CITY | {unit.unit_id: unit for unit in extra}), "test-1", rules, LIMITS)


def proposals(content: str, *rules: Rule, title: str = "", **more: Any) -> list[Candidate]:
    extra, learned = more.pop("extra", ()), more.pop("learned", None)
    facts: dict[str, Any] = {"category_path": (), "urgency": None, "district": None, "township": None, "address": None}
    matter = Matter(title=title, content=content, **(facts | more))
    return propose(matter, directory(*rules, extra=extra), learned)


def only(candidates: list[Candidate]) -> Candidate:
    assert len(candidates) == 1
    return candidates[0]


def test_a_unit_with_the_duty_is_proposed_with_rule_tier_and_reasons() -> None:
    candidate = only(proposals("小区门口路灯不亮", LIGHT))
    assert (candidate.unit_id, candidate.rule_id, candidate.tier) == ("bj-power", "light", Urgency.GENERAL)
    assert candidate.name == CITY["bj-power"].name
    assert candidate.unit_type is UnitType.PUBLIC_ENTERPRISE
    assert candidate.why == ("rule light light (Reg. Art 11)", "words: 路灯")


def test_confidence_is_the_units_share_of_all_points_and_one_more() -> None:
    """Text 1, title 2 and a fitting category 3 points (limits.toml)."""
    assert only(proposals("路灯", LIGHT)).confidence == "0.50"
    assert only(proposals("路灯和灯杆", LIGHT)).confidence == "0.67"
    assert only(proposals("", LIGHT, title="路灯")).confidence == "0.67"
    assert only(proposals("路灯", LIGHT, title="路灯")).confidence == "0.67"
    fits = proposals("垃圾", RUBBISH, category_path=("城乡建设", "环卫"), township=WANGJING)
    assert only(fits).confidence == "0.80"
    two = proposals("路灯下有垃圾", LIGHT, RUBBISH, township=WANGJING)
    assert [candidate.confidence for candidate in two] == ["0.33", "0.33"]


def test_a_word_in_title_and_text_counts_once_and_as_title() -> None:
    assert only(proposals("路灯", LIGHT, title="路灯")).why[1] == "words: 路灯"


def test_more_evidence_ranks_higher_and_a_tie_goes_to_the_rules_id() -> None:
    b, a = rule("b", "bj-gas", "井"), rule("a", "bj-water", "井")
    assert [c.rule_id for c in proposals("井", b, a)] == ["a", "b"]
    assert [c.rule_id for c in proposals("井盖", a, rule("z", "bj-gas", "井", "井盖"))] == ["z", "a"]


def test_a_unit_is_proposed_once_by_its_best_rule() -> None:
    weak, strong = rule("a-weak", "bj-power", "灯"), rule("b-strong", "bj-power", "灯", "路灯")
    assert only(proposals("路灯", weak, strong)).rule_id == "b-strong"


def test_no_more_units_are_proposed_than_the_table_allows() -> None:
    duties = [unit for unit in CITY if unit.startswith("bj-")][:7]
    many = proposals("灯", *(rule(f"r{number}", duty, "灯") for number, duty in enumerate(duties)))
    assert [candidate.unit_id for candidate in many] == duties[:5]


@pytest.mark.parametrize("title", ["", "垃圾短信"])
def test_a_rule_is_silent_when_one_of_its_exceptions_occurs(title: str) -> None:
    content = "垃圾" if title else "收到垃圾短信"
    assert proposals(content, RUBBISH, LIGHT, title=title) == []
    assert only(proposals("垃圾", RUBBISH, township=WANGJING)).rule_id == "rubbish"


def test_a_rule_of_another_category_is_silent_but_no_category_is_no_objection() -> None:
    assert only(proposals("垃圾", RUBBISH, township=WANGJING)).confidence == "0.50"
    elsewhere = only(proposals("垃圾", RUBBISH, township=WANGJING, category_path=("教育文体",)))
    assert elsewhere.rule_id == DISTRICT_RULE


def test_a_rule_without_categories_speaks_in_all_of_them() -> None:
    assert only(proposals("路灯", LIGHT, category_path=("教育文体",))).confidence == "0.50"


def test_a_category_without_a_word_is_no_match() -> None:
    matched = proposals("无关", RUBBISH, township=WANGJING, category_path=("城乡建设",))
    assert only(matched).rule_id == DISTRICT_RULE


def test_letters_are_compared_without_their_case() -> None:
    assert only(proposals("GAS Leak!", rule("gas", "bj-gas", "gas leak"))).unit_id == "bj-gas"


def test_a_township_duty_goes_to_the_street_and_is_copied_to_its_district() -> None:
    candidate = only(proposals("垃圾", RUBBISH, address="朝阳区望京街道"))
    assert (candidate.unit_id, candidate.cc_district) == (WANGJING, CHAOYANG)
    assert candidate.why[-1] == "place: 望京街道 (address)"


def test_a_township_duty_goes_to_the_district_where_only_that_is_known() -> None:
    candidate = only(proposals("垃圾", RUBBISH, address="朝阳区"))
    assert (candidate.unit_id, candidate.cc_district, candidate.rule_id) == (CHAOYANG, None, "rubbish")


def test_a_district_duty_goes_past_the_street() -> None:
    candidate = only(proposals("拆迁补偿", DEMOLITION, township="望京街道"))
    assert (candidate.unit_id, candidate.cc_district, candidate.tier) == (CHAOYANG, None, Urgency.COMPLEX)


@pytest.mark.parametrize("matching", [RUBBISH, DEMOLITION])
def test_a_duty_of_the_place_needs_a_place(matching: Rule) -> None:
    assert proposals("垃圾和拆迁,在八里庄街道", matching) == []


def test_the_shared_street_name_goes_to_the_district_that_is_named() -> None:
    assert only(proposals("垃圾", RUBBISH, address="海淀区八里庄街道")).unit_id == "110108005"
    assert only(proposals("垃圾", RUBBISH, township="八里庄街道", district="朝阳区")).unit_id == "110105015"


@pytest.mark.parametrize(("township", "district"), [(WANGJING, None), ("望京街道", None), (WANGJING, "朝阳区")])
def test_the_place_may_be_given_by_code_or_by_name(township: str, district: str | None) -> None:
    assert only(proposals("垃圾", RUBBISH, township=township, district=district)).unit_id == WANGJING


def test_where_no_rule_fits_the_district_coordinates() -> None:
    candidate = only(proposals("天上有怪声", LIGHT, township=WANGJING))
    assert (candidate.unit_id, candidate.rule_id, candidate.confidence) == (CHAOYANG, DISTRICT_RULE, "0.50")
    assert candidate.why == ("no rule fits; the district coordinates (Reg. Art 12)", "place: 朝阳区 (given)")
    assert (candidate.tier, candidate.cc_district) == (Urgency.GENERAL, None)


def test_where_a_rule_fits_the_district_is_not_proposed_as_well() -> None:
    assert only(proposals("路灯", LIGHT, township=WANGJING)).unit_id == "bj-power"


def test_where_neither_duty_nor_place_is_known_nobody_is_proposed() -> None:
    assert proposals("天上有怪声", LIGHT) == []


def test_a_community_is_never_a_candidate() -> None:
    assert proposals("垃圾", rule("r", COMMUNITY.unit_id, "垃圾"), extra=[COMMUNITY]) == []


def test_a_rule_for_a_unit_that_is_gone_is_silent() -> None:
    assert proposals("路灯", rule("r", "bj-dissolved", "路灯")) == []


@pytest.mark.parametrize("content", ["路灯", "天上有怪声"])
def test_the_urgency_of_the_appeal_goes_before_the_tier_of_the_rule(content: str) -> None:
    candidate = only(proposals(content, LIGHT, township=WANGJING, urgency=Urgency.EMERGENCY))
    assert candidate.tier is Urgency.EMERGENCY


def test_only_orders_of_streets_and_towns_are_copied() -> None:
    assert copied_district(CITY[WANGJING]) == CHAOYANG
    assert {copied_district(unit) for unit in CITY.values() if unit.unit_type is not UnitType.STREET_TOWN} == {None}


@pytest.mark.parametrize("department_only", [False, True])
def test_a_candidate_says_whether_a_department_must_do_it_itself(department_only: bool) -> None:
    one = rule("r", "bj-housing", "漏雨", department_only=department_only)
    assert only(proposals("漏雨", one)).department_only is department_only


# ---- what a model has learned ----


def told(shares: Mapping[str, str], words: Mapping[str, Sequence[str]] | None = None) -> Learned:
    """How likely the model finds each label, and what decided."""
    return Learned("clf-1", {label: Decimal(share) for label, share in shares.items()}, words or {})


def test_a_category_that_the_model_tells_counts_as_far_as_it_is_likely() -> None:
    """1 point for the word, 3 times 0.5 for the category: 2.5 of 3.5."""
    assert only(proposals("垃圾", RUBBISH, township=WANGJING, learned=told({BUILDING: "0.5"}))).confidence == "0.71"
    both = RUBBISH.model_copy(update={"categories": ("城乡建设", "环境保护")})
    assert (
        only(proposals("垃圾", both, township=WANGJING, learned=told({BUILDING: "0.5", "环境保护": "0.5"}))).confidence
        == "0.80"
    )
    assert only(proposals("垃圾", RUBBISH, township=WANGJING, learned=told({"教育文体": "0.9"}))).confidence == "0.50"


def test_where_the_appeal_has_a_category_of_its_own_the_models_does_not_count() -> None:
    own: dict[str, Any] = {"category_path": (BUILDING,), "township": WANGJING}
    for learned in (None, told({BUILDING: "0.5"}), told({"教育文体": "1"})):
        assert only(proposals("垃圾", RUBBISH, **own, learned=learned)).confidence == "0.80"
    elsewhere = proposals(
        "垃圾", RUBBISH, category_path=("教育文体",), township=WANGJING, learned=told({BUILDING: "1"})
    )
    assert only(elsewhere).rule_id == DISTRICT_RULE


def test_a_duty_that_the_model_tells_makes_a_candidate_without_a_rule() -> None:
    """4 points times the share are 2 of 3; but nobody is surer than the model itself."""
    candidate = only(proposals("怪声", LIGHT, learned=told({"bj-water": "0.5"}, {"bj-water": ("怪声", "声大")})))
    assert (candidate.unit_id, candidate.confidence, candidate.rule_id) == ("bj-water", "0.50", None)
    assert (candidate.tier, candidate.department_only) == (Urgency.GENERAL, False)
    assert candidate.why == ("model clf-1: bj-water 0.50, by 怪声, 声大",)


@pytest.mark.parametrize(("label", "unit_id", "cc"), [("TOWNSHIP", WANGJING, CHAOYANG), ("DISTRICT", CHAOYANG, None)])
def test_a_duty_of_the_place_that_the_model_tells_needs_a_place(label: str, unit_id: str, cc: str | None) -> None:
    candidate = only(proposals("怪声", learned=told({label: "0.5"}), township=WANGJING))
    assert (candidate.unit_id, candidate.cc_district) == (unit_id, cc)
    assert candidate.why[-1] == f"place: {CITY[unit_id].name} (given)"
    assert proposals("怪声", learned=told({label: "0.5"})) == []


@pytest.mark.parametrize(("share", "confidence"), [("0.5", "0.75"), ("1", "0.83")])
def test_what_the_model_says_of_a_rules_unit_comes_on_top_of_the_rule(share: str, confidence: str) -> None:
    candidate = only(proposals("路灯", LIGHT, learned=told({"bj-power": share}, {"bj-power": ["路灯"]})))
    assert (candidate.rule_id, candidate.confidence) == ("light", confidence)
    model = f"model clf-1: bj-power {Decimal(share):.2f}, by 路灯"
    assert candidate.why == ("rule light light (Reg. Art 11)", "words: 路灯", model)


def test_rule_and_model_rank_their_units_together() -> None:
    ranked = proposals("路灯", LIGHT, learned=told({"bj-water": "0.5", "bj-gas": "0.2"}))
    assert [(one.unit_id, one.confidence) for one in ranked] == [
        ("bj-water", "0.42"),
        ("bj-power", "0.21"),
        ("bj-gas", "0.17"),
    ]


def test_below_the_least_share_the_model_is_not_heard() -> None:
    assert proposals("怪声", learned=told({"bj-water": "0.0499"})) == []
    assert only(proposals("怪声", learned=told({"bj-water": "0.05"}))).confidence == "0.05"


@pytest.mark.parametrize("label", [COMMUNITY.unit_id, "bj-dissolved", "城乡建设"])
def test_a_label_that_is_no_duty_or_a_communitys_makes_no_candidate(label: str) -> None:
    assert proposals("怪声", extra=[COMMUNITY], learned=told({label: "1"})) == []


def test_a_reason_names_model_label_share_and_the_words_that_decided() -> None:
    learned = told({BUILDING: "0.505"}, {BUILDING: ("垃圾", "圾桶")})
    assert only(proposals("垃圾", RUBBISH, township=WANGJING, learned=learned)).why == (
        "rule rubbish rubbish (Reg. Art 11)",
        "words: 垃圾",
        "model clf-1: 城乡建设 0.51, by 垃圾, 圾桶",
        "place: 望京街道 (given)",
    )
    faint = only(proposals("垃圾", RUBBISH, township=WANGJING, learned=told({BUILDING: "0.0099"})))
    assert [why for why in faint.why if why.startswith("model")] == []


def test_what_did_not_count_is_no_reason() -> None:
    candidate = only(
        proposals("垃圾", RUBBISH, category_path=(BUILDING,), township=WANGJING, learned=told({BUILDING: "0.5"}))
    )
    assert [why for why in candidate.why if why.startswith("model")] == []


@pytest.mark.parametrize("labels", [{BUILDING: "0.5", "TOWNSHIP": "0.3"}, {"TOWNSHIP": "0.5", WANGJING: "0.2"}])
def test_everything_of_the_model_that_counted_is_a_reason(labels: dict[str, str]) -> None:
    candidate = only(proposals("垃圾", RUBBISH, township=WANGJING, learned=told(labels)))
    assert len([why for why in candidate.why if why.startswith("model")]) == 2


@pytest.mark.parametrize(
    ("said", "true"),
    [("0", "0"), ("0.1", "0.05"), ("0.2", "0.1"), ("0.3", "0.2"), ("0.4", "0.3"), ("0.6", "0.5"), ("0.9", "0.7")],
)
def test_a_confidence_is_corrected_on_straight_lines_falls_to_nothing_and_is_flat_at_the_top(
    said: str, true: str
) -> None:
    pairs = [(Decimal(low), Decimal(high)) for low, high in (("0.2", "0.1"), ("0.4", "0.3"), ("0.8", "0.7"))]
    assert calibrated(Decimal(said), pairs) == Decimal(true)


def test_without_experience_a_confidence_stays_as_it_was_said() -> None:
    assert calibrated(Decimal("0.37"), []) == Decimal("0.37")
    one = [(Decimal("0.5"), Decimal("0.4"))]
    assert [calibrated(Decimal(said), one) for said in ("0", "0.5", "0.9")] == [0, Decimal("0.4"), Decimal("0.4")]
    step = [(Decimal(0), Decimal(0)), (Decimal("0.5"), Decimal("0.2")), (Decimal("0.5"), Decimal("0.6"))]
    assert calibrated(Decimal("0.7"), step) == Decimal("0.6")


def test_candidates_carry_the_corrected_confidence() -> None:
    learned = Learned("clf-1", calibration=[(Decimal(0), Decimal(0)), (Decimal(1), Decimal("0.5"))])
    assert only(proposals("路灯", LIGHT, learned=learned)).confidence == "0.25"


# ---- the shipped catalogue ----


def test_every_shipped_rule_leads_somewhere_and_can_match() -> None:
    duties = CITY.keys() | {"TOWNSHIP", "DISTRICT"}
    assert len({one.id for one in SHIPPED}) == len(SHIPPED) == 70
    assert [one.id for one in SHIPPED if one.duty not in duties or not one.keywords or not one.basis] == []
    words = [word for one in SHIPPED for word in (*one.keywords, *one.unless)]
    assert [word for word in words if word != word.lower()] == []


@pytest.mark.parametrize(
    ("content", "unit_id", "rule_id", "tier"),
    [
        ("楼道里闻到煤气,燃气泄漏了", "bj-gas", "gas-leak", Urgency.EMERGENCY),
        ("望京街道路面塌陷一个大坑", WANGJING, "collapse", Urgency.EMERGENCY),
        ("小区停电三小时", "bj-power", "power-outage", Urgency.LIFELINE),
        ("朝阳区棚改拆迁补偿不公", CHAOYANG, "demolition", Urgency.COMPLEX),
        ("老板欠薪,拖欠工资半年", "bj-human-resources", "unpaid-wages", Urgency.GENERAL),
    ],
)
def test_the_shipped_catalogue_finds_the_plain_cases(content: str, unit_id: str, rule_id: str, tier: Urgency) -> None:
    first = proposals(content, *SHIPPED)[0]
    assert (first.unit_id, first.rule_id, first.tier) == (unit_id, rule_id, tier)


def test_a_warning_about_gas_is_no_gas_leak() -> None:
    rules = [candidate.rule_id for candidate in proposals("防止燃气泄漏,请换软管", *SHIPPED)]
    assert rules[0] == "gas-supply"
    assert "gas-leak" not in rules
