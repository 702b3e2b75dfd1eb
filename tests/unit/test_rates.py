"""A policy's own rates, weights and points: a published table of another city comes out, and what always holds."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scoring_service.counting import NOTHING, Counts, added, counted, numbers, numbers_of, total
from services.scoring_service.formula import Score, earned, exact, score, summary_of, text, weights_used
from services.scoring_service.founding import shipped
from services.scoring_service.policy import Policy, read_policy
from services.scoring_service.policy_parts import Rate
from services.scoring_service.ranking import league_table
from shared.contracts.codes import League

BRIEFLY = settings(max_examples=25, deadline=None)
TINY = Decimal("1e-20")
ZERO = Decimal(0)


def policy(base: str = "BJ-HR-2025", **changes: Any) -> Policy:
    return read_policy(dict(shipped()[base]) | changes)


def weights(response: str, resolution: str, satisfaction: str, **own: str) -> dict[str, str]:
    return {"response": response, "resolution": resolution, "satisfaction": satisfaction} | own


def unit(**measures: int) -> Counts:
    return Counts("u", "U", **measures)


def good(valid: int, part: int, **measures: int) -> Counts:
    """Of so many valid callbacks so many were good in every way."""
    return unit(valid_callbacks=valid, contacted=part, resolved=part, satisfied=part, **measures)


PANJIN = {
    "大洼": ("98.06", "99.00", "100", "100", "99.3"),
    "盘山": ("98.44", "98.37", "100", "100", "99.2"),
    "兴隆台": ("97.95", "98.44", "100", "99.96", "99.1"),
    "双台子": ("96.21", "94.01", "100", "100", "97.4"),
    "高新": ("100", "100", "100", "100", "100.0"),
    "辽滨": ("99.25", "97.02", "100", "100", "99.0"),
}


@pytest.mark.parametrize("district", PANJIN)
def test_the_published_table_of_panjin_comes_out_to_one_decimal(district: str) -> None:
    *published, shown = PANJIN[district]
    closed, satisfied, answered, reached = (Fraction(rate) / 100 for rate in published)
    many = 10**8
    counts = unit(
        received=many,
        closed=int(many * closed),
        feedback_in_time=int(many * answered),
        callbacks=many,
        valid_callbacks=int(many * reached),
        satisfied=int(many * reached * satisfied),
    )
    result = score(counts, policy("PJ-RATES-2023"))
    own = (result.rates[name] for name in ("completion", "feedback", "reached"))
    assert [result.satisfaction_rate, *own] == [Decimal(published[n]) for n in (1, 0, 2, 3)]
    assert str(result.shown) == shown


OWN = {"own": {"of": {"resolved": "1", "reworked": "0.5"}, "over": "hard", "when_empty": "LEFT_OUT"}}
LEFT_OUT = policy(rates=OWN, weights=weights("0.10", "0.30", "0.40", own="0.20"))
HALF = unit(valid_callbacks=10, contacted=10, resolved=6, satisfied=4, received=10, reworked=2)


def test_a_rate_of_ones_own_adds_up_what_each_measure_counts() -> None:
    result = score(replace(HALF, hard=28), LEFT_OUT)
    assert (result.rates["own"], result.composite) == (25, Decimal(49))


@pytest.mark.parametrize("more", [28, 29, 10**6])
def test_a_rate_is_never_above_a_hundred(more: int) -> None:
    """28 resolved, or more, of 28 hard ones."""
    result = score(replace(HALF, hard=28, resolved=more, valid_callbacks=10**6), LEFT_OUT)
    assert result.rates["own"] == 100
    alone = score(replace(HALF, hard=28, resolved=more), policy(rates=OWN, weights=weights("0", "0", "0", own="1")))
    assert (alone.composite, alone.shown, alone.high) == (100, 100, 100)
    assert (alone.low or ZERO) < 100


def test_a_rate_above_a_hundred_makes_up_for_no_other() -> None:
    """100 × (0.1 + 0.3 × 0.6 + 0.4 × 0.4 + 0.2 × 1)."""
    assert score(replace(HALF, hard=1), LEFT_OUT).composite == 64


def test_without_anything_to_divide_by_the_other_rates_share_the_weight() -> None:
    """100 × (1/8 + 3/8 × 0.6 + 4/8 × 0.4)."""
    result = score(HALF, LEFT_OUT)
    assert (result.rates["own"], result.composite) == (None, Decimal(55))


def test_a_rate_that_may_not_be_empty_leaves_its_unit_unrated() -> None:
    strict = {"own": OWN["own"] | {"when_empty": "NOT_RATED"}}
    assert not score(HALF, policy(rates=strict, weights=weights("0.10", "0.30", "0.40", own="0.20"))).rated
    assert score(HALF, policy(rates=strict)).rated


def test_when_every_rate_is_left_out_nothing_can_be_said() -> None:
    alone = policy(rates=OWN, weights=weights("0", "0", "0", own="1"))
    assert not score(HALF, alone).rated
    assert score(replace(HALF, hard=28), alone).composite == 25


def test_what_is_left_to_weigh_sums_to_one() -> None:
    found = {name: exact(rate, HALF) for name, rate in LEFT_OUT.every_rate.items()}
    used = weights_used(LEFT_OUT, LEFT_OUT.weights, found)
    assert used == {"response": Fraction(1, 8), "resolution": Fraction(3, 8), "satisfaction": Fraction(1, 2)}


def test_stated_divides_by_those_that_answered_that_question() -> None:
    counts = unit(
        **{"valid_callbacks": 100, "contacted": 40, "resolved": 30, "satisfied": 10, "basically_satisfied": 10},
        **{"contact_stated": 80, "resolution_stated": 50, "satisfaction_stated": 25, "not_stated": 75},
    )
    result = score(counts, policy(denominator="STATED"))
    assert (result.response_rate, result.resolution_rate, result.satisfaction_rate) == (50, 60, 76)
    assert score(counts, policy()).resolution_rate == 30
    assert not score(replace(counts, resolution_stated=0), policy(denominator="STATED")).rated


def test_first_contact_in_time_is_a_response_from_the_log_and_not_from_the_callback() -> None:
    counts = unit(received=40, valid_callbacks=10, contacted=10, contacted_in_time=30)
    for denominator in ("VALID_CALLBACKS", "STATED"):
        assert policy(response="FIRST_CONTACT", denominator=denominator).every_rate["response"] == Rate(
            of={"contacted_in_time": Decimal(1)}, over="received"
        )
    assert score(counts, policy(response="FIRST_CONTACT")).response_rate == 75
    assert score(counts, policy()).response_rate == 100


def test_a_unit_is_scored_by_the_weights_of_its_league_and_month() -> None:
    change = {"leagues": ["MUNICIPAL_DEPT"], "from_period": "2025-07", "source": "[P]"}
    rules = policy(weight_changes=[change | {"weights": weights("0", "1", "0")}])
    assert score(HALF, rules, League.MUNICIPAL_DEPT, "2025-07").composite == 60
    assert score(HALF, rules, League.MUNICIPAL_DEPT, "2025-06").composite == 56
    assert score(HALF, rules, League.STREET_TOWN, "2025-07").composite == score(HALF, rules).composite == 56


def incentive(name: str, measure: str, points: str, cap: str) -> dict[str, str]:
    return {"id": name, "zh": "一", "en": "a", "measure": measure, "points": points, "cap": cap, "source": "[P]"}


REWARDS = policy(
    incentives=[incentive("hard", "hard_resolved", "0.2", "0.5"), incentive("done", "proactive_credits", "0.4", "1")],
    most_points="1.2",
)


@pytest.mark.parametrize(
    ("hard", "credits_", "points"),
    [
        (0, 0, ("0", "0")),
        (1, 1, ("0.2", "0.4")),
        (2, 2, ("0.4", "0.8")),
        (9, 1, ("0.5", "0.4")),
        (9, 9, ("0.5", "0.7")),
    ],
)
def test_points_are_capped_one_by_one_and_then_all_together(hard: int, credits_: int, points: tuple[str, str]) -> None:
    counts = replace(HALF, hard_resolved=hard, proactive_credits=credits_)
    expected = dict(zip(("hard", "done"), map(Decimal, points), strict=True))
    result = score(counts, REWARDS)
    assert (earned(REWARDS, counts), result.points) == (expected, expected)
    assert result.composite == 56 + sum(expected.values())


def test_a_policy_that_names_incentives_but_no_points_gives_none() -> None:
    none = policy(incentives=[incentive("hard", "hard_resolved", "0.2", "0.5")])
    assert score(replace(HALF, hard_resolved=2), none).points == {"hard": 0}


def test_points_raise_nobody_above_a_hundred() -> None:
    best = good(10, 10, hard_resolved=5, proactive_credits=5)
    assert (score(best, REWARDS).composite, str(score(best, REWARDS).shown)) == (100, "100.0")
    sure = good(10**6, 10**6, hard_resolved=5, proactive_credits=5)
    assert (score(best, REWARDS).high, score(sure, REWARDS).low, score(sure, REWARDS).high) == (100, 100, 100)


NEWCOMBE = {
    (81, 263): ("25.53", "36.62"),
    (15, 148): ("6.24", "16.05"),
    (0, 20): ("0.00", "16.11"),
    (1, 29): ("0.61", "17.18"),
}


@pytest.mark.parametrize(("part", "number"), NEWCOMBE)
def test_the_interval_is_wilsons_as_published(part: int, number: int) -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    result = score(good(number, part), policy(weights=weights("0", "1", "0")))
    assert result.low is not None
    assert result.high is not None
    assert (str(round(result.low, 2)), str(round(result.high, 2))) == NEWCOMBE[part, number]


def test_the_interval_of_a_composite_is_the_weighted_sum_of_those_of_its_rates() -> None:
    counts = unit(valid_callbacks=50, contacted=49, resolved=30, satisfied=20, basically_satisfied=10)
    alone = [
        score(counts, policy(weights=weights(*one))) for one in (("1", "0", "0"), ("0", "1", "0"), ("0", "0", "1"))
    ]
    expected = sum((Decimal(w) * (one.low or ZERO) for w, one in zip(("0.1", "0.5", "0.4"), alone, strict=True)), ZERO)
    assert abs((score(counts, policy()).low or ZERO) - expected) < TINY


@st.composite
def some_counts(draw: st.DrawFn) -> Counts:
    levels = dict.fromkeys(("satisfied", "basically_satisfied", "dissatisfied", "not_stated"), 0)
    levels = {name: draw(st.integers(0, 200)) for name in levels}
    valid = sum(levels.values())
    number = st.integers(0, valid)
    hard = draw(number)
    return unit(
        **levels,
        **{"received": valid, "valid_callbacks": valid, "contacted": draw(number), "resolved": draw(number)},
        **{"hard": hard, "hard_resolved": draw(st.integers(0, hard)), "proactive_credits": draw(st.integers(0, 9))},
    )


rated = some_counts().filter(lambda one: one.valid_callbacks > 0)
SOME = {
    "rates": {"hard_ones": {"of": {"hard_resolved": "1"}, "over": "hard", "when_empty": "LEFT_OUT"}},
    "weights": weights("0.10", "0.40", "0.30", hard_ones="0.20"),
}
PLAIN, WIDE = policy(**SOME), policy(**SOME, interval={"z": "2.58"})


@BRIEFLY
@given(rated)
def test_the_interval_contains_the_composite_and_lies_within_a_hundred(counts: Counts) -> None:
    result = score(counts, PLAIN)
    low, composite, high = result.low or ZERO, result.composite or ZERO, result.high or ZERO
    assert 0 <= low <= composite + TINY <= high + 2 * TINY
    assert high <= 100 + TINY


@BRIEFLY
@given(rated)
def test_the_interval_contains_the_composite_with_its_points_and_moves_along_with_them(counts: Counts) -> None:
    plain, rewarded = score(counts, policy()), score(counts, REWARDS)
    points = sum(rewarded.points.values(), ZERO)
    for name in ("low", "high"):
        expected = min(Decimal(100), getattr(plain, name) + points)
        assert abs(getattr(rewarded, name) - expected) <= TINY
    low, composite, high = rewarded.low or ZERO, rewarded.composite or ZERO, rewarded.high or ZERO
    assert 0 <= low <= composite + TINY <= high + 2 * TINY
    assert high <= 100


@BRIEFLY
@given(rated, st.integers(2, 50))
def test_more_callbacks_with_the_same_answers_narrow_the_interval_and_change_no_score(counts: Counts, by: int) -> None:
    names = ("satisfied", "basically_satisfied", "dissatisfied", "not_stated", "received", "contacted", "resolved")
    more = unit(**{name: by * getattr(counts, name) for name in (*names, "valid_callbacks", "hard", "hard_resolved")})
    few, many = score(counts, PLAIN), score(more, PLAIN)
    assert many.composite == few.composite
    assert (many.high or ZERO) - (many.low or ZERO) < (few.high or ZERO) - (few.low or ZERO)


@BRIEFLY
@given(rated)
def test_a_wider_interval_is_one_of_more_standard_errors(counts: Counts) -> None:
    narrow, wide = score(counts, PLAIN), score(counts, WIDE)
    assert (wide.low or ZERO) <= (narrow.low or ZERO) + TINY
    assert (wide.high or ZERO) + TINY >= (narrow.high or ZERO)


@BRIEFLY
@given(rated)
def test_points_never_take_away_nor_lift_above_a_hundred(counts: Counts) -> None:
    plain, rewarded = score(counts, policy()).composite or ZERO, score(counts, REWARDS).composite or ZERO
    assert plain <= rewarded <= min(Decimal(100), plain + Decimal("1.2"))


def table(rules: Policy) -> tuple[list[Score], Score]:
    units = [replace(good(900, 900), unit_id="b"), replace(good(100, 0, received=7), unit_id="s"), unit()]
    scores = league_table(units, rules)
    return scores, summary_of(scores, rules, None, None)


def test_the_summary_is_the_mean_of_units_or_pooled_as_the_policy_says() -> None:
    mean, pooled = table(policy())[1], table(policy(aggregation="POOLED"))[1]
    assert (mean.composite, str(mean.shown), mean.resolution_rate) == (50, "50.0", 50)
    assert (pooled.composite, str(pooled.shown), pooled.resolution_rate) == (90, "90.0", 90)
    assert mean.counts == pooled.counts
    assert (mean.counts.valid_callbacks, mean.counts.received, mean.rated) == (1000, 7, True)


def test_the_mean_of_a_rate_of_ones_own_leaves_out_the_units_that_have_none() -> None:
    units = [replace(HALF, hard=28), replace(HALF, unit_id="v", hard=7), replace(HALF, unit_id="w")]
    assert summary_of(league_table(units, LEFT_OUT), LEFT_OUT, None, None).rates == {"own": Decimal("62.5")}


def test_the_summary_of_units_that_are_not_rated_is_not_rated() -> None:
    for rules in (policy(), policy(aggregation="POOLED")):
        result = summary_of(league_table([unit(received=3)], rules), rules, None, None)
        assert (result.rated, result.composite, result.shown, result.counts.received) == (False, None, None, 3)


def test_a_pooled_summary_is_weighed_as_its_league_and_month() -> None:
    change = {"from_period": "2025-07", "source": "[P]", "weights": weights("0", "1", "0")}
    rules = policy(aggregation="POOLED", weight_changes=[change])
    scores = league_table([HALF], rules, None, "2025-07")
    assert text(summary_of(scores, rules, None, "2025-07").composite) == "60"
    assert text(summary_of(scores, rules, None, "2025-06").composite) == "56"


@pytest.mark.parametrize(
    ("figure", "shown"),
    [("-0.00004", "0"), ("-0", "0"), ("0", "0"), ("-0.00005", "-0.0001"), ("-10", "-10"), ("100.0000", "100")],
)
def test_a_figure_is_written_without_a_sign_where_it_is_nought(figure: str, shown: str) -> None:
    assert text(Decimal(figure)) == shown


def test_numbers_are_named_and_a_name_that_is_no_measure_is_a_mistake() -> None:
    assert counted("u", "U", numbers(resolved=2, parts_solved=1)) == Counts("u", "U", resolved=2, parts_solved=1)
    with pytest.raises(KeyError):
        numbers(speed=1)


def test_sums_come_apart_again() -> None:
    one, other = Counts("u", "U", received=5, resolved=3), Counts("v", "V", received=2, not_stated=1)
    assert total([one, other], "all", "全部") == Counts("all", "全部", received=7, resolved=3, not_stated=1)
    assert added(numbers_of(total([one, other])), numbers_of(other), -1) == numbers_of(one)
    assert numbers_of(total([])) == NOTHING
