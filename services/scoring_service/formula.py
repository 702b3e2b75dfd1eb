"""三率: the pure arithmetic of assessment, exact until it is shown.

A rate is a percentage of a measure, usually of the valid callbacks; the composite is the weighted sum of rates, and
points for what a policy rewards. The same code serves the service and an auditor with a table of counts. Law:
Regulation Art 32. Formulas and vectors: domain specification, sections 2.1 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from functools import lru_cache

from services.scoring_service.counting import Counts, total
from services.scoring_service.policy import THREE, Policy
from services.scoring_service.policy_parts import FINENESS, Rate
from shared.contracts.codes import League

HUNDRED = Fraction(100)
MOST = Decimal(100)
SHOWN_PLACES = Decimal("0.0001")
_MODES = {"HALF_UP": ROUND_HALF_UP, "HALF_EVEN": ROUND_HALF_EVEN}
_EXACT = Context(prec=28, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class Score:
    """The rates (percent) and composite of one unit; None when it is not rated.

    `shown` is the composite rounded, points included; `rates` are the policy's own beside the three; `low` and `high`
    bound the composite, `shrunk` is it drawn towards the league. `provisional`: too few callbacks to be compared.
    """

    counts: Counts
    rated: bool
    response_rate: Decimal | None = None
    resolution_rate: Decimal | None = None
    satisfaction_rate: Decimal | None = None
    composite: Decimal | None = None
    shown: Decimal | None = None
    rank: int | None = None
    rates: Mapping[str, Decimal | None] = field(default_factory=dict)
    points: Mapping[str, Decimal] = field(default_factory=dict)
    low: Decimal | None = None
    high: Decimal | None = None
    shrunk: Decimal | None = None
    provisional: bool = False
    label: str | None = None


def exact(rate: Rate, counts: Counts) -> Fraction | None:
    """The rate as a fraction of 1, and never more; None where there is nothing to divide by."""
    over: int = getattr(counts, rate.over)
    if not over:
        return None
    part = sum(each * int(getattr(counts, name)) for name, each in rate.terms)
    return min(Fraction(1), Fraction(part, FINENESS * over))


def decimal(value: Fraction) -> Decimal:
    """To 28 figures."""
    return _EXACT.divide(Decimal(value.numerator), Decimal(value.denominator))


def _percent(value: Fraction | None) -> Decimal | None:
    return None if value is None else decimal(value * HUNDRED)


def score(counts: Counts, policy: Policy, league: League | None = None, period: str | None = None) -> Score:
    """One unit under one policy, not yet ranked."""
    found = {name: exact(rate, counts) for name, rate in policy.every_rate.items()}
    weights = weights_used(policy, policy.weights_for(league, period), found)
    if counts.valid_callbacks < policy.minimum_sample or weights is None:
        return Score(counts, rated=False)
    points = earned(policy, counts)
    more = sum(points.values(), Decimal(0))
    base = HUNDRED * sum((weight * (found[name] or 0) for name, weight in weights.items()), Fraction(0))
    composite = decimal(min(HUNDRED, base + Fraction(more)))
    low = high = more
    for name, weight in weights.items():
        ends = _interval(found[name] or Fraction(0), getattr(counts, policy.every_rate[name].over), policy.interval.z)
        low, high = low + decimal(weight) * ends[0], high + decimal(weight) * ends[1]
    response, resolution, satisfaction = (_percent(found[name]) for name in THREE)
    return Score(
        counts,
        rated=True,
        response_rate=response,
        resolution_rate=resolution,
        satisfaction_rate=satisfaction,
        composite=composite,
        shown=as_shown(composite, policy),
        rates={name: _percent(found[name]) for name in policy.rates},
        points=points,
        low=min(low, MOST),
        high=min(high, MOST),
    )


def weights_used(
    policy: Policy, weights: Mapping[str, Decimal], found: Mapping[str, Fraction | None]
) -> dict[str, Fraction] | None:
    """What each rate weighs for a unit: those with nothing to divide by are left out, or nothing can be said (None)."""
    there = _fractions(tuple(weights.items()))
    empty = [name for name in there if found[name] is None]
    if not empty:
        return there
    if any(policy.every_rate[name].when_empty == "NOT_RATED" for name in empty):
        return None
    rest = {name: weight for name, weight in there.items() if name not in empty}
    whole = sum(rest.values(), Fraction(0))
    return {name: weight / whole for name, weight in rest.items()} or None


@lru_cache(maxsize=256)
def _fractions(weights: tuple[tuple[str, Decimal], ...]) -> dict[str, Fraction]:
    return {name: Fraction(weight) for name, weight in weights if weight}


def earned(policy: Policy, counts: Counts) -> dict[str, Decimal]:
    """The points of every incentive, within its cap and, in the policy's order, within the cap of all together."""
    left, points = policy.most_points, {}
    for one in policy.incentives:
        got = min(left, one.cap, one.points * getattr(counts, one.measure))
        left -= got
        points[one.id] = got
    return points


def _interval(part: Fraction, over: int, z: Decimal) -> tuple[Decimal, Decimal]:
    """Wilson's score interval in percent; cautious for answers that count in part (their variance is smaller)."""
    share, number = decimal(part), Decimal(over)
    square = z * z
    scale = 1 + square / number
    middle = (share + square / (2 * number)) / scale
    half = z / scale * _EXACT.sqrt(share * (1 - share) / number + square / (4 * number * number))
    return max(Decimal(0), middle - half) * 100, min(Decimal(1), middle + half) * 100


def as_shown(composite: Decimal, policy: Policy) -> Decimal:
    """Rounded as the policy says."""
    return composite.quantize(Decimal(1).scaleb(-policy.rounding.places), _MODES[policy.rounding.mode])


def mean_of_units(scores: Sequence[Score]) -> dict[str, Decimal | None]:
    """The 汇总 row: rates and composite are the arithmetic mean over the rated units, not pooled."""
    names = (*(f"{name}_rate" for name in THREE), "composite")
    rated = [one for one in scores if one.rated]
    return {name: _mean([getattr(one, name) for one in rated]) for name in names}


def _mean(figures: Sequence[Decimal | None]) -> Decimal | None:
    known = [figure for figure in figures if figure is not None]
    return _EXACT.divide(sum(known, Decimal(0)), Decimal(len(known))) if known else None


def summary_of(scores: Sequence[Score], policy: Policy, league: League | None, period: str | None) -> Score:
    """The last row: counts are sums; rates are means over units, or pooled, as the policy says."""
    pooled = score(total(one.counts for one in scores), policy, league, period)
    if policy.aggregation == "POOLED":
        return pooled
    rated = [one for one in scores if one.rated]
    own = {name: _mean([one.rates[name] for one in rated]) for name in policy.rates}
    mean = mean_of_units(scores)
    shown = None if mean["composite"] is None else as_shown(mean["composite"], policy)
    return replace(Score(pooled.counts, rated=bool(rated), shown=shown, rates=own), **mean)  # type: ignore[arg-type]


def text(figure: Decimal | None) -> str | None:
    """A figure as a decimal string: four places, half up, without trailing zeros."""
    if figure is None:
        return None
    shown = f"{figure.quantize(SHOWN_PLACES, ROUND_HALF_UP):f}".rstrip("0").rstrip(".")
    return "0" if shown == "-0" else shown
