"""Why a figure is what it is: reasons with their clauses and events, and numbers that can be added up by hand."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scoring_service.counting import MEASURES, Counts, added, counted, numbers_of
from services.scoring_service.explaining import Explained, adds, effect, rounds_of, standing_of, sums
from services.scoring_service.founding import shipped
from services.scoring_service.hearing import fact_of
from services.scoring_service.life import Fact, Kind, life_of
from services.scoring_service.period import neighbour
from services.scoring_service.policy import Policy, read_policy
from shared.contracts.codes import Basis, League
from shared.contracts.envelope import Actor, Envelope, Payload, rfc3339
from shared.contracts.routing import ReportInOverdue, WhistleBlown, WhistleClosed
from shared.contracts.scoring import ExclusionApproved
from tests.unit.test_lives import (
    AT,
    DEPARTMENT,
    OTHER,
    STREET,
    TWO_ROUNDS,
    UNHEARD,
    called_in,
    dropped,
    excluded,
    fact,
    hour,
    reviewed,
    sent,
    verdict,
)

BRIEFLY = settings(max_examples=25, deadline=None)
PERIOD = "2026-12"
SHOWN = Fraction(1, 20_000)
"""Half of the last of four places."""
TINY = Fraction(1, 10**20)


def policy(base: str = "BJ-HR-2025", **changes: Any) -> Policy:
    return read_policy(dict(shipped()[base]) | changes)


HUAIROU = policy()


def explained(*facts: Fact, rules: Policy = HUAIROU) -> Explained:
    return Explained(life_of(facts), rules)


def why(*facts: Fact, rules: Policy = HUAIROU) -> list[tuple[str, str, list[str]]]:
    """Code, clause and events of every reason."""
    return [(one["code"], one["clause"], one["events"]) for one in explained(*facts, rules=rules).why]


IN_PERIOD = ("IN_PERIOD", "/period_start_day", ["e01"])
FIRST_ROUND = ("ROUND", "/counted_round", ["e01"])


@pytest.mark.parametrize(
    ("facts", "reasons"),
    [
        ((), [("NOT_DISPATCHED", "Art 12", [])]),
        ((verdict(2),), [("NOT_DISPATCHED", "Art 12", [])]),
        ((sent(1), dropped(2, "MERGED")), [("MERGED", "domain 4, row 4", ["e02"])]),
        ((*TWO_ROUNDS, dropped(9)), [("WITHDRAWN", "domain 4, row 26", ["e09"])]),
        ((sent(1),), [IN_PERIOD, FIRST_ROUND, ("NO_CALLBACK", "Art 23", [])]),
        ((sent(1), verdict(2)), [IN_PERIOD, FIRST_ROUND, ("VALID", "/levels", ["e02"])]),
        ((sent(1), verdict(2, **UNHEARD)), [IN_PERIOD, FIRST_ROUND, ("INVALID", "/denominator", ["e02"])]),
        (
            (sent(1), verdict(2), reviewed(3, stands=False)),
            [IN_PERIOD, FIRST_ROUND, ("STRUCK", "Art 35", ["e02", "e03"])],
        ),
        ((sent(1), verdict(2), reviewed(3, stands=True)), [IN_PERIOD, FIRST_ROUND, ("VALID", "/levels", ["e02"])]),
        (
            (sent(1), excluded(2)),
            [
                IN_PERIOD,
                FIRST_ROUND,
                ("NO_CALLBACK", "Art 23", []),
                ("EXCLUDED", "/exclusions/grounds/FORCE_MAJEURE", ["e02"]),
            ],
        ),
        (
            (sent(1), excluded(2, "BAD_LUCK")),
            [
                IN_PERIOD,
                FIRST_ROUND,
                ("NO_CALLBACK", "Art 23", []),
                ("GROUND_UNKNOWN", "/exclusions/grounds", ["e02"]),
            ],
        ),
    ],
)
def test_every_reason_has_its_clause_and_the_events_that_show_it(
    facts: tuple[Fact, ...], reasons: list[tuple[str, str, list[str]]]
) -> None:
    assert why(*facts) == reasons


@pytest.mark.parametrize(("rule", "round_", "event"), [("FIRST", 1, "e01"), ("LAST", 2, "e03")])
def test_the_reason_names_the_round_that_counts_under_the_policy(rule: str, round_: int, event: str) -> None:
    found = explained(*TWO_ROUNDS, rules=policy(counted_round=rule)).why
    assert [one["events"] for one in found if one["code"] == "ROUND"] == [[event]]
    assert f"Round {round_} is the one" in found[1]["en"]
    assert f"第{round_}次" in found[1]["zh"]


def test_a_reason_is_told_in_both_languages_with_what_it_is_about() -> None:
    found = {one["code"]: one for one in explained(sent(1), excluded(2)).why}
    assert "period 2026-12" in found["IN_PERIOD"]["en"]
    assert "考核期2026-12" in found["IN_PERIOD"]["zh"]
    assert "Left out (force majeure)" in found["EXCLUDED"]["en"]
    assert "已剔除(不可抗力)" in found["EXCLUDED"]["zh"].replace("（", "(").replace("）", ")")


def test_every_clause_of_a_reason_is_a_place_in_the_policy_or_in_the_law() -> None:
    facts = (sent(1), verdict(2), excluded(3))
    for _, clause, _ in why(*facts):
        found: Any = shipped()["BJ-HR-2025"]
        for part in clause.split("/")[1:]:
            found = found[part]
        assert found is not None


@pytest.mark.parametrize(("start_day", "period"), [(19, "2026-12"), (1, "2026-11"), (24, "2026-11")])
def test_the_period_is_that_of_the_registration(start_day: int, period: str) -> None:
    assert explained(sent(1), rules=policy(period_start_day=start_day)).period == period
    later = sent(2, 2, registered_at=rfc3339(AT + timedelta(days=60)))
    assert explained(later, sent(1), rules=policy(period_start_day=start_day)).period == period
    assert explained(dropped(1)).period is None


@pytest.mark.parametrize(
    ("period", "months", "found"),
    [("2025-12", 1, "2026-01"), ("2026-01", -1, "2025-12"), ("2025-06", 0, "2025-06"), ("2025-06", -18, "2023-12")],
)
def test_the_neighbour_of_a_period_may_lie_in_another_year(period: str, months: int, found: str) -> None:
    assert neighbour(period, months) == found


@pytest.mark.parametrize(
    ("facts", "everywhere", "assessed"),
    [
        ((), False, False),
        ((sent(1), dropped(2)), False, False),
        ((sent(1),), True, True),
        ((sent(1), excluded(2)), True, False),
        ((sent(1), excluded(2, "BAD_LUCK")), True, True),
    ],
)
def test_what_was_left_out_counts_on_the_all_inclusive_basis_alone(
    facts: tuple[Fact, ...], everywhere: bool, assessed: bool
) -> None:
    found = explained(*facts)
    assert (found.counts_on(Basis.ALL), found.counts_on(Basis.ASSESSED)) == (everywhere, assessed)


def test_what_an_appeal_adds_is_named_and_what_it_does_not_add_to_is_left_out() -> None:
    found = explained(sent(1), verdict(2, **UNHEARD))
    assert adds(found.share) == {"received": 1, "closed": 1, "callbacks": 1}
    assert adds(explained().share) == {}


def test_the_share_of_the_responsible_unit_is_told_even_where_others_have_one() -> None:
    found = Explained(called_in(), HUAIROU)
    assert found.share is not None
    assert (found.share.unit_id, len(found.shares)) == (STREET, 3)


@pytest.mark.parametrize(
    ("of", "unit"), [(DEPARTMENT, DEPARTMENT), (STREET, STREET), ("110105", STREET), (None, STREET)]
)
def test_an_appeal_is_explained_for_the_unit_that_asks_where_it_adds_something_to_it(of: str | None, unit: str) -> None:
    """The street's claim was granted; for the department the appeal still counts."""
    found, out = Explained(called_in(), HUAIROU, of=of), unit == STREET
    assert found.share is not None
    assert found.share.unit_id == unit
    assert (found.counts_on(Basis.ASSESSED), "EXCLUDED" in [one["code"] for one in found.why]) == (not out, out)
    assert ("called" in adds(found.share)) is not out


def test_the_log_tells_who_blew_a_whistle_who_did_not_come_and_whose_claim_was_granted() -> None:
    def heard(payload: type[Payload], **data: Any) -> Fact | None:
        head = ("id", "/services/routing", payload.event_type(), "a1", "order-a1", 1, AT)
        return fact_of(Envelope(*head, Actor("STREET_HANDLER", STREET, "clerk"), "a1", None, data))

    told = {"number": 2, "departments": [DEPARTMENT], "street": STREET}
    assert heard(WhistleBlown, number=2, departments=[DEPARTMENT]) == Fact(hour(0), "id", Kind.WHISTLE, 0, told)
    closed = Fact(hour(0), "id", Kind.WHISTLE_CLOSED, 0, {"number": 2, "justified": True})
    assert heard(WhistleClosed, number=2, justified=True) == closed
    missing = Fact(hour(0), "id", Kind.ABSENT, 0, {"number": 2, "units": [OTHER]})
    assert heard(ReportInOverdue, number=2, absent=[OTHER], report_due_at=hour(0)) == missing
    left_out = Fact(hour(0), "id", Kind.EXCLUDED, 0, {"ground": "A", "kind": "EXCLUSION", "unit": STREET})
    assert heard(ExclusionApproved, unit_id=STREET, ground="A", kind="EXCLUSION") == left_out


def test_every_round_is_told_as_it_is_on_record() -> None:
    signed = (fact(4, Kind.SIGNED_LATE, 2), fact(4, Kind.CONTACTED, 2, in_time=True))
    facts = (sent(3, 2, OTHER), *signed, sent(1), verdict(2, resolved=False), reviewed(5, stands=False))
    nothing = {"contacted": None, "resolved": None, "satisfaction": None}
    assert rounds_of(life_of(facts)) == [
        {"round": 1, "unit_id": STREET, "valid": False, "struck": True}
        | {"contacted": True, "resolved": False, "satisfaction": "SATISFIED"}
        | {"signed_late": False, "contacted_in_time": False, "answered_in_time": False},
        {"round": 2, "unit_id": OTHER, "valid": False, "struck": False}
        | nothing
        | {"signed_late": True, "contacted_in_time": True, "answered_in_time": False},
    ]


def by_hand(told: dict[str, Any]) -> Fraction:
    """100 × the sum of weight × (sum of count × each) ÷ over, no rate above 1, and the points; from what is told."""
    whole = Fraction(0)
    for rate in told["rates"]:
        part = sum((Fraction(term["count"]) * Fraction(term["each"]) for term in rate["terms"]), Fraction(0))
        whole += Fraction(rate["weight"]) * min(Fraction(told["most"]) / 100, part / rate["over"]["count"])
    return min(
        Fraction(told["most"]), 100 * whole + sum((Fraction(points) for points in told["points"].values()), Fraction(0))
    )


@st.composite
def some_counts(draw: st.DrawFn) -> Counts:
    levels = {name: draw(st.integers(0, 99)) for name in ("satisfied", "basically_satisfied", "dissatisfied")}
    valid = sum(levels.values()) + 1
    number = st.integers(1, valid)
    said = {name: draw(number) for name in MEASURES if name not in levels}
    said |= {name: draw(st.integers(0, 2)) for name in ("called", "whistles")}
    return Counts("u", "U", **said | levels | {"valid_callbacks": valid, "not_stated": 1})


RULES = [policy(version) for version in shipped()] + [policy(denominator="STATED"), policy(response="FIRST_CONTACT")]


@BRIEFLY
@given(some_counts(), st.sampled_from(RULES), st.sampled_from([None, *League]))
def test_what_is_told_adds_up_to_the_composite(counts: Counts, rules: Policy, league: League | None) -> None:
    told = json.loads(json.dumps(sums(counts, rules, league, PERIOD)))
    assert abs(Fraction(told["composite"]) - by_hand(told)) <= SHOWN
    assert abs(Fraction(told["composite_shown"]) - by_hand(told)) <= Fraction(1, 20)
    assert abs(sum(Fraction(rate["weight"]) for rate in told["rates"]) - 1) < TINY
    for rate in told["rates"]:
        part = sum(Fraction(term["count"]) * Fraction(term["each"]) for term in rate["terms"])
        assert abs(Fraction(rate["percent"]) - min(Fraction(100), 100 * part / rate["over"]["count"])) <= SHOWN
        named = [*rate["terms"], rate["over"]]
        assert all(term["count"] == getattr(counts, term["measure"]) for term in named)


@BRIEFLY
@given(some_counts(), st.sampled_from(RULES))
def test_with_and_without_an_appeal_differ_by_what_it_adds(counts: Counts, rules: Policy) -> None:
    share = explained(sent(1, tier="COMPLEX"), verdict(2)).share
    assert share is not None
    whole = counted("u", "U", added(numbers_of(counts), share.counts))
    told = effect(share, whole, rules, None, PERIOD)
    assert told["with"] == sums(whole, rules, None, PERIOD)
    assert told["without"] == sums(counts, rules, None, PERIOD)
    difference = by_hand(told["with"]) - by_hand(told["without"])
    assert abs(Fraction(told["difference"]) - difference) <= SHOWN


def test_the_effect_of_one_dissatisfied_answer_by_hand() -> None:
    """10 of 10 content: 100. With an eleventh that is not and was not solved: 10 + 40 × 10/11 + 50 × 10/11."""
    share = explained(sent(1), verdict(2, resolved=False, satisfaction="DISSATISFIED")).share
    counts = Counts("u", "U", valid_callbacks=11, contacted=11, resolved=10, satisfied=10, dissatisfied=1, received=11)
    told = effect(share, counts, HUAIROU, League.STREET_TOWN, PERIOD)
    figures = (told["with"]["composite"], told["without"]["composite"], told["difference"])
    assert figures == ("91.8182", "100", "-8.1818")
    assert told["with"]["composite_shown"] == "91.8"
    assert [(rate["rate"], rate["weight"], rate["percent"]) for rate in told["with"]["rates"]] == [
        ("response", "0.1", "100"),
        ("resolution", "0.5", "90.9091"),
        ("satisfaction", "0.4", "90.9091"),
    ]


def test_figures_are_told_without_exponents_and_with_the_most_that_there_can_be() -> None:
    weights = {"response": "0.0000000001", "resolution": "0.9999999999", "satisfaction": "0"}
    told = sums(Counts("u", "U", valid_callbacks=4, contacted=4), policy(weights=weights), None, PERIOD)
    assert ([rate["weight"] for rate in told["rates"]], told["most"]) == ([*weights.values()][:2], "100")
    own = {"own": {"of": {"resolved": "0.0000000001"}, "over": "valid_callbacks"}}
    rules = policy(rates=own, weights={"own": "1"})
    assert sums(Counts("u", "U", valid_callbacks=4), rules, None, PERIOD)["rates"][0]["terms"] == [
        {"measure": "resolved", "count": 0, "each": "0.0000000001"}
    ]


def test_an_appeal_that_does_not_count_here_has_no_effect_to_tell() -> None:
    assert set(effect(None, Counts("u", "U", valid_callbacks=1), HUAIROU, None, PERIOD)) == {"with"}


def test_without_its_only_callback_a_unit_is_not_rated_and_there_is_no_difference() -> None:
    share = explained(sent(1), verdict(2)).share
    assert share is not None
    told = effect(share, counted("u", "U", share.counts), HUAIROU, None, PERIOD)
    assert (told["with"]["composite"], told["without"]["composite"], told["difference"]) == ("100", None, None)
    assert (told["without"]["rates"], told["without"]["points"], told["without"]["composite_shown"]) == ([], {}, None)


def test_the_effect_goes_by_the_weights_of_the_league_and_month() -> None:
    new = {"response": "1", "resolution": "0", "satisfaction": "0"}
    change = {"leagues": ["DISTRICT"], "from_period": PERIOD, "weights": new, "source": "[P]"}
    rules = policy(weight_changes=[change])
    counts = Counts("u", "U", valid_callbacks=4, contacted=1)
    told = {one: effect(None, counts, rules, one, PERIOD)["with"] for one in (League.DISTRICT, League.STREET_TOWN)}
    assert [one["composite"] for one in told.values()] == ["25", "2.5"]
    assert [rate["rate"] for rate in told[League.DISTRICT]["rates"]] == ["response"]


@pytest.mark.parametrize(
    ("valid", "codes"),
    [(0, ["NOT_RATED"]), (1, ["PROVISIONAL"]), (29, ["PROVISIONAL"]), (30, [])],
)
def test_what_keeps_a_figure_from_being_shown_or_compared_is_said(valid: int, codes: list[str]) -> None:
    found = standing_of(Counts("u", "U", valid_callbacks=valid), HUAIROU, League.STREET_TOWN, PERIOD)
    assert [one["code"] for one in found] == codes
    assert all(one["clause"] in {"/minimum_sample", "/ranking/minimum"} for one in found)


def test_whether_a_unit_is_rated_goes_by_the_weights_of_its_league_and_month() -> None:
    """Called to nothing, a department has no rate of reporting: it is not rated where that rate weighs something."""
    own = {"reporting": {"of": {"reported": "1"}, "over": "called"}}
    new = {"response": "0", "resolution": "0.5", "satisfaction": "0.4", "reporting": "0.1"}
    change = {"leagues": ["MUNICIPAL_DEPT"], "from_period": PERIOD, "weights": new, "source": "[P]"}
    rules, counts = policy(rates=own, weight_changes=[change]), Counts("u", "U", valid_callbacks=30)
    places = [(League.MUNICIPAL_DEPT, PERIOD), (League.MUNICIPAL_DEPT, "2026-11"), (League.STREET_TOWN, PERIOD)]
    found = [[one["code"] for one in standing_of(counts, rules, *place)] for place in [*places, (None, PERIOD)]]
    assert found == [["NOT_RATED"], [], [], []]


def test_a_life_up_to_a_moment_is_explained_by_what_was_known_then() -> None:
    facts = (sent(1), verdict(2), excluded(3))
    then = Explained(life_of(facts, datetime.fromisoformat(facts[1].at)), HUAIROU)
    assert (then.counts_on(Basis.ASSESSED), explained(*facts).counts_on(Basis.ASSESSED)) == (True, False)
    assert "EXCLUDED" not in [one["code"] for one in then.why]
