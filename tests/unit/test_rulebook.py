"""What is wrong with rules before anybody is dispatched by them, and what one set has that another has not.

Regulation Art 17; 国办函〔2025〕66号. The units are the real sample city and one community of it.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from services.routing_service.rulebook import Finding, difference, findings
from shared.contracts.codes import Urgency
from shared.contracts.duties import Rule
from tests.unit.test_jurisdiction import CITY
from tests.unit.test_proposal import COMMUNITY, SHIPPED, WANGJING, rule

UNITS = CITY | {COMMUNITY.unit_id: COMMUNITY}
LIGHT = rule("light", "bj-power", "路灯", "灯杆")
RUBBISH = rule("rubbish", "TOWNSHIP", "垃圾", categories=("城乡建设",), unless=("垃圾短信",))


def found(*rules: Rule) -> list[tuple[str, str, bool]]:
    """Where, what, and whether it is wrong or advice."""
    return [(one.pointer, one.code, one.wrong) for one in findings(rules, UNITS)]


def test_rules_that_lead_somewhere_and_can_match_have_nothing_wrong() -> None:
    assert found(LIGHT, RUBBISH, rule("demolition", "DISTRICT", "拆迁", department_only=True)) == []
    assert found() == []


@pytest.mark.parametrize("duty", ["bj-dissolved", "", "township", "TOWN", "朝阳区"])
def test_a_duty_that_is_no_unit_and_no_place_is_wrong(duty: str) -> None:
    assert found(LIGHT, rule("r", duty, "井盖")) == [("/rules/1/duty", "UNIT_UNKNOWN", True)]


@pytest.mark.parametrize("duty", ["TOWNSHIP", "DISTRICT", "110105", WANGJING, "bj-gas", "bj-housing"])
def test_the_place_and_every_unit_of_the_city_may_have_a_duty(duty: str) -> None:
    assert duty in {"TOWNSHIP", "DISTRICT", *CITY}
    assert found(rule("r", duty, "井盖")) == []


@pytest.mark.parametrize("department_only", [False, True])
def test_a_community_never_leads(department_only: bool) -> None:
    leads = rule("r", COMMUNITY.unit_id, "井盖", department_only=department_only)
    assert found(leads) == [("/rules/0/duty", "COMMUNITY_NEVER_LEADS", True)]


@pytest.mark.parametrize("duty", ["TOWNSHIP", WANGJING])
def test_a_departments_matter_is_not_passed_down_to_a_street(duty: str) -> None:
    down = rule("r", duty, "井盖", department_only=True)
    assert found(down) == [("/rules/0/duty", "NOT_FOR_THE_GRASS_ROOTS", True)]


@pytest.mark.parametrize("duty", ["DISTRICT", "110105", "bj-housing", "bj-gas"])
def test_a_departments_matter_stays_with_a_department_a_district_or_an_enterprise(duty: str) -> None:
    assert found(rule("r", duty, "井盖", department_only=True)) == []


def test_a_rule_without_a_keyword_never_matches() -> None:
    assert found(rule("r", "bj-power", categories=("城乡建设",))) == [("/rules/0/keywords", "NEVER_MATCHES", True)]


@pytest.mark.parametrize("word", ["路燈", "井蓋缺失", "ＧＡＳ", "ｇａｓ leak", "①号楼"])
def test_a_keyword_that_no_plain_text_can_hold_never_matches(word: str) -> None:
    assert found(rule("r", "bj-gas", "燃气", word)) == [("/rules/0/keywords/1", "NEVER_MATCHES", True)]


@pytest.mark.parametrize("word", ["Gas Leak", "GAS", "12345", "wi-fi"])
def test_the_case_of_letters_is_no_obstacle(word: str) -> None:
    assert found(rule("r", "bj-gas", word)) == []


@pytest.mark.parametrize(("word", "exception"), [("防止漏气", "防止"), ("漏气", "漏气"), ("GAS leak", "Gas")])
def test_a_keyword_that_holds_one_of_the_exceptions_never_matches(word: str, exception: str) -> None:
    silent = rule("r", "bj-gas", "燃气", word, unless=("别的", exception))
    assert found(silent) == [("/rules/0/keywords/1", "NEVER_MATCHES", True)]


def test_an_exception_that_holds_the_keyword_is_what_exceptions_are_for() -> None:
    assert found(rule("r", "bj-gas", "漏气", unless=("防止漏气",))) == []


def test_a_very_short_keyword_is_advised_against() -> None:
    assert found(rule("r", "bj-power", "路灯", "灯")) == [("/rules/0/keywords/1", "VERY_SHORT", False)]


def test_an_id_that_was_used_before_is_wrong_where_it_is_used_again() -> None:
    twice = [one.model_copy(update={"id": "same"}) for one in (LIGHT, RUBBISH, rule("c", "bj-gas", "漏气"))]
    assert found(*twice) == [("/rules/1/id", "RULE_ID_TWICE", True), ("/rules/2/id", "RULE_ID_TWICE", True)]
    assert all("rule 0 " in one.message for one in findings(twice, UNITS))


def test_a_word_that_two_rules_send_to_different_units_is_pointed_out() -> None:
    assert found(rule("a", "bj-gas", "管道", "漏气"), rule("b", "bj-water", "水压", "管道")) == [
        ("/rules/1/keywords/1", "ALSO_ELSEWHERE", False)
    ]
    assert found(rule("a", "bj-gas", "Wi-Fi"), rule("b", "bj-water", "wi-fi")) == [
        ("/rules/1/keywords/0", "ALSO_ELSEWHERE", False)
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (rule("a", "bj-gas", "管道"), rule("b", "bj-gas", "管道")),
        (rule("a", "bj-gas", "管道", categories=("A",)), rule("b", "bj-water", "管道", categories=("B",))),
        (rule("a", "bj-gas", "管道"), rule("b", "bj-water", "管道堵塞")),
        (rule("a", "bj-gas", "管道", "管道"), rule("b", "bj-water", "水压")),
    ],
)
def test_a_word_of_the_same_unit_or_of_another_category_or_a_longer_one_is_no_matter(first: Rule, second: Rule) -> None:
    assert found(first, second) == []


def test_the_order_of_categories_makes_no_other_category() -> None:
    first = rule("a", "bj-gas", "管道", categories=("A", "B"))
    second = rule("b", "bj-water", "管道", categories=("B", "A"))
    assert found(first, second) == [("/rules/1/keywords/0", "ALSO_ELSEWHERE", False)]


def test_everything_is_said_at_once_in_the_order_of_the_rules() -> None:
    bad = rule("light", "bj-dissolved", "燈", "路灯", unless=("路灯",))
    assert found(LIGHT, rule("x", "TOWNSHIP", department_only=True), bad) == [
        ("/rules/1/duty", "NOT_FOR_THE_GRASS_ROOTS", True),
        ("/rules/1/keywords", "NEVER_MATCHES", True),
        ("/rules/2/duty", "UNIT_UNKNOWN", True),
        ("/rules/2/id", "RULE_ID_TWICE", True),
        ("/rules/2/keywords/0", "NEVER_MATCHES", True),
        ("/rules/2/keywords/0", "VERY_SHORT", False),
        ("/rules/2/keywords/1", "ALSO_ELSEWHERE", False),
        ("/rules/2/keywords/1", "NEVER_MATCHES", True),
    ]


def test_a_finding_points_to_its_place_and_is_wrong_unless_said_otherwise() -> None:
    assert Finding(3, "keywords/1", "X", "x").pointer == "/rules/3/keywords/1"
    assert Finding(3, "duty", "X", "x").wrong is True


def test_every_finding_says_in_words_what_it_means() -> None:
    rules = [rule("a", "bj-dissolved", "灯"), rule("a", COMMUNITY.unit_id), rule("c", "TOWNSHIP", "x", "灯")]
    assert all(len(one.message) > 20 for one in findings(rules, UNITS))


def test_nothing_is_wrong_with_the_shipped_catalogue() -> None:
    assert len(SHIPPED) == 70
    assert [one for one in findings(SHIPPED, CITY) if one.wrong] == []


# ---- what changes ----


def changes(before: Rule, **update: Any) -> Any:
    """What is said when one rule of two changes."""
    told = difference([before, RUBBISH], [RUBBISH, before.model_copy(update=update)])
    assert (told["added"], told["removed"]) == ([], [])
    return told["changed"]


def test_nothing_differs_between_equal_sets_in_whatever_order() -> None:
    nothing: dict[str, Any] = {"added": [], "removed": [], "changed": {}}
    shuffled = random.Random(1).sample(SHIPPED, len(SHIPPED))
    assert difference(SHIPPED, SHIPPED) == difference(SHIPPED, shuffled) == difference([], []) == nothing


def test_rules_that_came_and_went_are_named_in_the_order_of_the_alphabet() -> None:
    one, two, three = rule("c", "bj-gas", "漏气"), rule("a", "bj-water", "水压"), rule("b", "bj-power", "停电")
    assert difference([], [one, two, three]) == {"added": ["a", "b", "c"], "removed": [], "changed": {}}
    assert difference([one, two, three], []) == {"added": [], "removed": ["a", "b", "c"], "changed": {}}
    assert difference([one, two], [two, three]) == {"added": ["b"], "removed": ["c"], "changed": {}}


def test_words_are_told_by_what_was_added_and_removed() -> None:
    assert changes(LIGHT, keywords=("路灯", "灯柱", "灯泡")) == {
        "light": {"keywords": {"added": ["灯柱", "灯泡"], "removed": ["灯杆"]}}
    }
    assert changes(LIGHT, categories=("城乡建设",), unless=("已修",)) == {
        "light": {
            "categories": {"added": ["城乡建设"], "removed": []},
            "unless": {"added": ["已修"], "removed": []},
        }
    }


def test_other_fields_are_told_by_what_they_were_and_are() -> None:
    assert changes(LIGHT, duty="bj-gas", tier=Urgency.LIFELINE, department_only=True) == {
        "light": {
            "duty": {"before": "bj-power", "after": "bj-gas"},
            "tier": {"before": "GENERAL", "after": "LIFELINE"},
            "department_only": {"before": False, "after": True},
        }
    }


def test_words_in_another_order_are_no_change() -> None:
    assert changes(LIGHT, keywords=("灯杆", "路灯")) == {}
