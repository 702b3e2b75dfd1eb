"""三率: the pure arithmetic of assessment, in Decimal from beginning to end.

A rate is a percentage of the valid callbacks; the composite is their weighted sum. The same code serves the service
and an auditor with a table of counts. Law: Regulation Art 32. Formulas and vectors: domain specification, sections 2.1
and 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

from services.scoring_service.policy import Policy
from shared.contracts.codes import Satisfaction

HUNDRED = Decimal(100)
SHOWN_PLACES = Decimal("0.0001")
_MODES = {"HALF_UP": ROUND_HALF_UP, "HALF_EVEN": ROUND_HALF_EVEN}


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted for one unit in one period."""

    unit_id: str
    name: str
    received: int = 0
    valid_callbacks: int = 0
    contacted: int = 0
    resolved: int = 0
    satisfied: int = 0
    basically_satisfied: int = 0
    dissatisfied: int = 0
    not_stated: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """The rates (percent) and composite of one unit; None when it is not rated. `shown` is the composite as ranked."""

    counts: Counts
    rated: bool
    response_rate: Decimal | None = None
    resolution_rate: Decimal | None = None
    satisfaction_rate: Decimal | None = None
    composite: Decimal | None = None
    shown: Decimal | None = None
    rank: int | None = None


def score(counts: Counts, policy: Policy) -> Score:
    """One unit under one policy, not yet ranked."""
    valid = counts.valid_callbacks
    if valid < policy.minimum_sample:
        return Score(counts, rated=False)
    answers = {
        Satisfaction.SATISFIED: counts.satisfied,
        Satisfaction.BASICALLY_SATISFIED: counts.basically_satisfied,
        Satisfaction.DISSATISFIED: counts.dissatisfied,
        Satisfaction.NOT_STATED: counts.not_stated,
    }
    content = sum((policy.levels[level] * number for level, number in answers.items()), Decimal(0))
    response, resolution = Decimal(counts.contacted), Decimal(counts.resolved)
    weights = policy.weights
    weighted = weights.response * response + weights.resolution * resolution + weights.satisfaction * content
    composite = HUNDRED * weighted / valid
    return Score(
        counts,
        rated=True,
        response_rate=HUNDRED * response / valid,
        resolution_rate=HUNDRED * resolution / valid,
        satisfaction_rate=HUNDRED * content / valid,
        composite=composite,
        shown=composite.quantize(Decimal(1).scaleb(-policy.rounding.places), _MODES[policy.rounding.mode]),
    )


def league_table(units: Sequence[Counts], policy: Policy) -> list[Score]:
    """Ranked by the composite as shown, ties by the policy; units that are not rated come last, without a rank."""
    scores = [score(counts, policy) for counts in units]
    rated = sorted((s for s in scores if s.rated), key=lambda s: _order(s, policy))
    ranked = [_with_rank(one, rank) for rank, one in enumerate(rated, 1)]
    return ranked + sorted((s for s in scores if not s.rated), key=lambda s: s.counts.unit_id)


def _order(one: Score, policy: Policy) -> tuple[object, ...]:
    breaks = {"received_desc": -one.counts.received, "unit_id_asc": one.counts.unit_id}
    return (-(one.shown or Decimal(0)), *(breaks[name] for name in policy.tie_break), one.counts.unit_id)


def _with_rank(one: Score, rank: int) -> Score:
    return Score(
        one.counts, True, one.response_rate, one.resolution_rate, one.satisfaction_rate, one.composite, one.shown, rank
    )


def mean_of_units(scores: Sequence[Score]) -> dict[str, Decimal | None]:
    """The 汇总 row: rates and composite are the arithmetic mean over the rated units, not pooled."""
    names = ("response_rate", "resolution_rate", "satisfaction_rate", "composite")
    rated = [one for one in scores if one.rated]
    return {name: sum((getattr(s, name) for s in rated), Decimal(0)) / len(rated) if rated else None for name in names}


def text(figure: Decimal | None) -> str | None:
    """A figure as a decimal string: four places, half up, without trailing zeros."""
    if figure is None:
        return None
    shown = f"{figure.quantize(SHOWN_PLACES, ROUND_HALF_UP):f}"
    return shown.rstrip("0").rstrip(".")
