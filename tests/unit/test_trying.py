"""Rules tried before they count: one text explained rule by rule, and a draft run over appeals of the past.

Small rules of our own on the real sample city, and a classifier made by hand that says the same of every appeal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log
from typing import Any

import numpy as np
import pytest

from services.routing_service.classifier import FIELDS, TABLES, Classifier
from services.routing_service.directory import Desk
from services.routing_service.jurisdiction import Gazetteer
from services.routing_service.matter import Matter
from services.routing_service.past import Past
from services.routing_service.proposal import DISTRICT_RULE
from services.routing_service.trying import DryRun, explained
from shared.contracts.codes import Urgency
from shared.contracts.duties import Rule
from tests.unit.test_jurisdiction import CITY
from tests.unit.test_proposal import CHAOYANG, COMMUNITY, LIGHT, LIMITS, RUBBISH, WANGJING, rule

PIPE = rule("pipe", "bj-water", "水管", tier=Urgency.LIFELINE)
TREE = Gazetteer(CITY | {COMMUNITY.unit_id: COMMUNITY})


def desk(*rules: Rule, version: str | None = "test-1") -> Desk:
    return Desk(TREE, version, rules, LIMITS)


def hears(shares: Mapping[str, float], **about: Any) -> Classifier:
    """A classifier that finds each label as likely as this, whatever it reads."""
    used, weights = [np.zeros(0, np.int32) for _ in FIELDS], [np.zeros(0, np.float32) for _ in FIELDS]
    tables = [np.zeros((0, TABLES * len(shares)), np.float32) for _ in FIELDS]
    bias = np.array([log(share) for share in shares.values()] * TABLES)
    return Classifier(list(shares), used, weights, tables, bias, 1.0, about)


def ruled(matter: Matter, *rules: Rule) -> list[dict[str, Any]]:
    return list(explained(matter, desk(*rules))["rules"])


def test_a_text_is_explained_with_its_units_its_place_and_every_rule_that_has_a_word_in_it() -> None:
    told = explained(Matter(title="路灯", content="灯杆歪了，水管漏水", township=WANGJING), desk(LIGHT, RUBBISH, PIPE))
    assert [(one["unit_id"], one["rule_id"], one["confidence"]) for one in told["items"]] == [
        ("bj-power", "light", "0.60"),
        ("bj-water", "pipe", "0.20"),
    ]
    assert told["place"] == {"district": CHAOYANG, "township": WANGJING, "found_by": "given"}
    assert told["rules"] == [
        {"rule_id": "light", "unit_id": "bj-power", "words": ["路灯", "灯杆"], "points": "3"}
        | {"counts": True, "why_not": None},
        {"rule_id": "pipe", "unit_id": "bj-water", "words": ["水管"], "points": "1", "counts": True, "why_not": None},
    ]
    assert (told["catalogue_version"], told["model_version"], told["model"]) == ("test-1", None, {})


def test_where_nothing_fits_there_is_neither_unit_nor_place_nor_rule() -> None:
    told = explained(Matter(content="天上有怪声"), desk(LIGHT, version=None))
    assert (told["items"], told["rules"], told["catalogue_version"]) == ([], [], None)
    assert told["place"] == {"district": None, "township": None, "found_by": None}


def test_where_only_the_place_is_known_the_district_stands_among_the_units_and_no_rule_among_the_rules() -> None:
    told = explained(Matter(content="天上有怪声", address="朝阳区"), desk(LIGHT))
    assert [one["rule_id"] for one in told["items"]] == [DISTRICT_RULE]
    assert (told["rules"], told["place"]["found_by"]) == ([], "address")


@pytest.mark.parametrize(
    ("matter", "one", "unit_id", "why_not"),
    [
        (Matter(content="收到垃圾短信", township=WANGJING), RUBBISH, WANGJING, "the appeal says 垃圾短信"),
        (Matter(title="垃圾短信", content="烦", township=WANGJING), RUBBISH, WANGJING, "the appeal says 垃圾短信"),
        (
            Matter(content="垃圾", category_path=("教育文体",), township=WANGJING),
            RUBBISH,
            WANGJING,
            "the appeal is of another category",
        ),
        (
            Matter(content="垃圾"),
            RUBBISH,
            None,
            "its unit cannot be told: the place is not known, or there is no such unit",
        ),
        (
            Matter(content="路灯"),
            rule("r", "bj-dissolved", "路灯"),
            None,
            "its unit cannot be told: the place is not known, or there is no such unit",
        ),
        (
            Matter(content="路灯"),
            rule("r", COMMUNITY.unit_id, "路灯"),
            COMMUNITY.unit_id,
            "a community never leads (Art 17)",
        ),
    ],
)
def test_a_rule_that_does_not_count_says_why(matter: Matter, one: Rule, unit_id: str | None, why_not: str) -> None:
    (shown,) = ruled(matter, one)
    assert (shown["rule_id"], shown["unit_id"]) == (one.id, unit_id)
    assert (shown["counts"], shown["why_not"]) == (False, why_not)
    assert [item["rule_id"] for item in explained(matter, desk(one))["items"] if item["rule_id"] == one.id] == []


def test_a_rule_without_a_word_in_the_text_is_not_shown() -> None:
    assert [one["rule_id"] for one in ruled(Matter(content="水管"), LIGHT, PIPE, RUBBISH)] == ["pipe"]


def test_a_fitting_category_is_among_the_points() -> None:
    (shown,) = ruled(Matter(content="垃圾", category_path=("城乡建设", "环卫"), township=WANGJING), RUBBISH)
    assert shown["points"] == "4"


def test_what_the_classifier_says_is_shown_and_counts() -> None:
    heard = replace(desk(RUBBISH), classifier=hears({"bj-water": 0.75, "城乡建设": 0.25}), model_version="clf-1")
    told = explained(Matter(content="垃圾", township=WANGJING), heard)
    assert told["model"] == {"bj-water": "0.7500", "城乡建设": "0.2500"}
    assert told["model_version"] == "clf-1"
    assert [one["unit_id"] for one in told["items"]] == ["bj-water", WANGJING]
    assert [(one["rule_id"], one["points"]) for one in told["rules"]] == [("rubbish", "1.7500")]
    assert told["items"][0]["why"] == ["model clf-1: bj-water 0.75"]


def test_the_confidence_is_corrected_by_what_the_model_file_knows_of_itself() -> None:
    sure = hears({"bj-water": 1.0}, calibration=[["0", "0"], ["0.8", "0.4"], ["1", "1"]])
    told = explained(Matter(content="x"), replace(desk(), classifier=sure, model_version="clf-1"))
    assert [one["confidence"] for one in told["items"]] == ["0.40"]


# ---- dry runs ----


def past(number: int, content: str, kind: str = "COMPLAINT", **more: Any) -> Past:
    return Past(f"a{number}", f"20261123-{number:07}", kind, Matter(content=content, **more))


async def run(now: Desk, draft: Desk, *appeals: Past, led: Mapping[str, str] | None = None, most: int = 9) -> Any:
    tried = DryRun(now, draft, most)
    await tried.take(appeals, led or {})
    return tried.report()


def sent(unit_id: str | None, rule_id: str | None, tier: str | None = "GENERAL", automatic: bool = True) -> Any:
    return {"unit_id": unit_id, "rule_id": rule_id, "tier": tier, "automatic": automatic}


NOBODY = sent(None, None, None, automatic=False)


async def test_the_same_rules_change_nothing() -> None:
    assert await run(desk(LIGHT), desk(LIGHT), past(1, "路灯"), past(2, "怪声")) == {
        "appeals": 2,
        "changed": 0,
        "with_outcome": 0,
        "right_now": 0,
        "right_draft": 0,
        "automatic_now": 1,
        "automatic_draft": 1,
        "by_unit": [],
        "items": [],
    }


async def test_an_appeal_that_goes_to_another_unit_is_shown_and_won_by_one_and_lost_by_the_other() -> None:
    draft = desk(rule("light", "bj-gas", "路灯", tier=Urgency.LIFELINE))
    told = await run(desk(LIGHT), draft, past(1, "路灯"), past(2, "怪声"))
    assert told["items"] == [
        {"appeal_id": "a1", "ticket_no": "20261123-0000001"}
        | {"now": sent("bj-power", "light"), "draft": sent("bj-gas", "light", "LIFELINE")}
    ]
    assert (told["appeals"], told["changed"]) == (2, 1)
    assert told["by_unit"] == [
        {"unit_id": "bj-gas", "name": CITY["bj-gas"].name, "gains": 1, "loses": 0},
        {"unit_id": "bj-power", "name": CITY["bj-power"].name, "gains": 0, "loses": 1},
    ]


async def test_an_appeal_that_nobody_had_is_won_and_one_that_nobody_has_any_more_is_lost() -> None:
    told = await run(desk(LIGHT), desk(PIPE), past(1, "路灯"), past(2, "水管"))
    assert [(one["now"], one["draft"]) for one in told["items"]] == [
        (sent("bj-power", "light"), NOBODY),
        (NOBODY, sent("bj-water", "pipe", "LIFELINE")),
    ]
    gains = {one["unit_id"]: (one["gains"], one["loses"]) for one in told["by_unit"]}
    assert gains == {"bj-power": (0, 1), "bj-water": (1, 0)}


@pytest.mark.parametrize(
    "other", [rule("lamp", "bj-power", "路灯"), rule("light", "bj-power", "路灯", tier=Urgency.COMPLEX)]
)
async def test_another_rule_or_tier_is_a_change_by_which_no_unit_wins(other: Rule) -> None:
    told = await run(desk(LIGHT), desk(other), past(1, "路灯"))
    assert (told["changed"], told["by_unit"]) == (1, [])


async def test_what_no_longer_leaves_by_itself_is_a_change() -> None:
    told = await run(desk(LIGHT), desk(LIGHT, rule("other", "bj-gas", "路灯")), past(1, "路灯"))
    assert (told["automatic_now"], told["automatic_draft"], told["changed"]) == (1, 0, 1)
    assert told["items"][0]["draft"] == sent("bj-power", "light", automatic=False)


@pytest.mark.parametrize(("kind", "automatic"), [("HELP", 1), ("REPORT", 1), ("CONSULT", 0), ("PRAISE", 0)])
async def test_a_question_leaves_by_itself_in_neither_version(kind: str, automatic: int) -> None:
    told = await run(desk(LIGHT), desk(LIGHT), past(1, "路灯", kind))
    assert (told["automatic_now"], told["automatic_draft"], told["changed"]) == (automatic, automatic, 0)


async def test_each_version_is_measured_by_the_unit_that_led_in_the_end_where_that_is_known() -> None:
    draft = desk(rule("light", "bj-gas", "路灯"), PIPE)
    appeals = [past(1, "路灯"), past(2, "路灯"), past(3, "水管"), past(4, "怪声"), past(5, "路灯")]
    led = {"a1": "bj-power", "a2": "bj-gas", "a3": "bj-water", "a4": "bj-heat", "elsewhere": "bj-gas"}
    told = await run(desk(LIGHT), draft, *appeals, led=led)
    assert (told["with_outcome"], told["right_now"], told["right_draft"]) == (4, 1, 2)


async def test_only_the_first_changes_are_shown_and_all_are_counted() -> None:
    told = await run(desk(LIGHT), desk(PIPE), *(past(number, "路灯") for number in range(5)), most=2)
    assert [one["appeal_id"] for one in told["items"]] == ["a0", "a1"]
    assert (told["changed"], told["by_unit"][0]["loses"]) == (5, 5)
    assert (await run(desk(LIGHT), desk(PIPE), past(1, "路灯"), most=0))["items"] == []


async def test_units_stand_in_the_order_of_what_they_win_and_lose() -> None:
    now = desk(rule("a", "bj-gas", "甲"), rule("b", "bj-water", "乙"), rule("c", "bj-power", "丙"))
    draft = desk(rule("a", "bj-water", "甲"), rule("b", "bj-gas", "乙"), rule("c", "bj-heat", "丙"))
    told = await run(now, draft, past(1, "丙"), past(2, "甲"), past(3, "乙"), past(4, "丙"), past(5, "丙"))
    assert [(one["unit_id"], one["gains"], one["loses"]) for one in told["by_unit"]] == [
        ("bj-heat", 3, 0),
        ("bj-power", 0, 3),
        ("bj-gas", 1, 1),
        ("bj-water", 1, 1),
    ]


async def test_appeals_come_in_parts_and_are_counted_together() -> None:
    tried = DryRun(desk(LIGHT), desk(PIPE), 2)
    parts: Sequence[Sequence[Past]] = ([past(1, "路灯")], [], [past(2, "水管"), past(3, "路灯")])
    for part in parts:
        await tried.take(part, {"a1": "bj-power", "a2": "bj-water"})
    told = tried.report()
    assert (told["appeals"], told["changed"], [one["appeal_id"] for one in told["items"]]) == (3, 3, ["a1", "a2"])
    assert (told["with_outcome"], told["right_now"], told["right_draft"]) == (2, 1, 1)


async def test_both_versions_are_tried_with_the_classifier_in_force() -> None:
    """A draft has no classifier of its own, and rules alone must not look worse for it."""
    heard = replace(desk(), classifier=hears({"bj-water": 0.9, "bj-gas": 0.1}), model_version="clf-1")
    assert (await run(heard, desk(), past(1, "怪声")))["changed"] == 0
    told = await run(heard, desk(rule("r", "bj-gas", "怪声", "怪", "声", "怪声声")), past(1, "怪声声"))
    assert [one["draft"]["unit_id"] for one in told["items"]] == ["bj-gas"]
