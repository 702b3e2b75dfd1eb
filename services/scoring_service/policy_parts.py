"""The parts of an assessment policy, each checked by itself; messages say what to write instead."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from services.scoring_service.counting import MEASURES
from shared.contracts.codes import League

_FIGURE = re.compile(r"(?:0|1)(?:\.[0-9]{1,10})?")
_POINTS = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.[0-9]{1,6})?")
MOST = 50
"""Of any kind of part in one policy."""
PLACES = 10
FINENESS = 10**PLACES
"""Figures have at most so many places, so that sums of them are whole numbers."""
PERIOD_PATTERN = r"^(19|20|21)\d{2}-(0[1-9]|1[0-2])$"


def _figure(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or not _FIGURE.fullmatch(value):
        raise ValueError('write figures from 0 to 1 as decimal strings, e.g. "0.40"')
    return Decimal(value)


def _points(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str) or not _POINTS.fullmatch(value):
        raise ValueError('write points as decimal strings, e.g. "0.5"')
    return Decimal(value)


def _measure(value: str) -> str:
    if value not in MEASURES:
        raise ValueError(f"no such measure; there are {', '.join(MEASURES)}")
    return value


Figure = Annotated[Decimal, BeforeValidator(_figure), Field(ge=0, le=1, strict=False)]
Points = Annotated[Decimal, BeforeValidator(_points), Field(ge=0, le=100, strict=False)]
MeasureName = Annotated[str, AfterValidator(_measure)]
RateName = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}$")]
Code = Annotated[str, Field(pattern=r"^[A-Z][A-Z_]{0,63}$")]
Words = Annotated[str, Field(min_length=1, max_length=200)]
PeriodKey = Annotated[str, Field(pattern=PERIOD_PATTERN)]
Days = Annotated[int, Field(ge=0, le=366)]
Share = Annotated[int, Field(ge=1, le=1000)]


class Part(BaseModel):
    """Frozen, strict, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _sum_to_one(weights: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
    if sum(weights.values()) != 1:
        raise ValueError("the weights must sum to 1")
    return weights


Weights = Annotated[dict[RateName, Figure], AfterValidator(_sum_to_one)]


class Rate(Part):
    """A percentage: measures, each with what one of it counts, over a measure. `LEFT_OUT`: the other rates share its
    weight where there is nothing to divide by; otherwise such a unit is not rated.
    """

    of: Annotated[dict[MeasureName, Figure], Field(min_length=1)]
    over: MeasureName
    when_empty: Literal["NOT_RATED", "LEFT_OUT"] = "NOT_RATED"
    name: Words | None = None
    source: Words | None = None

    @cached_property
    def terms(self) -> tuple[tuple[str, int], ...]:
        """The measures, and what each counts in units of one over FINENESS."""
        return tuple((name, int(each.scaleb(PLACES))) for name, each in self.of.items())


class WeightChange(Part):
    """Other weights for some leagues (all, where none is named), from a period to another, both included."""

    leagues: tuple[Annotated[League, Field(strict=False)], ...] = ()
    from_period: PeriodKey
    until_period: PeriodKey | None = None
    weights: Weights
    source: Words

    def covers(self, league: League | None, period: str) -> bool:
        """Whether these weights are the ones to take."""
        within = self.from_period <= period and (self.until_period is None or period <= self.until_period)
        return within and (not self.leagues or league in self.leagues)


def no_overlap(changes: Sequence[WeightChange]) -> Sequence[WeightChange]:
    """Raises ValueError when a league has two sets of weights for one period, or a change ends before it begins."""
    for change in changes:
        if change.until_period is not None and change.until_period < change.from_period:
            raise ValueError("a change of weights ends before it begins")
    for league in League:
        mine = sorted((c for c in changes if c.covers(league, c.from_period)), key=lambda c: c.from_period)
        for earlier, later in pairwise(mine):
            if earlier.until_period is None or later.from_period <= earlier.until_period:
                raise ValueError(f"two changes of weights overlap for {league} in {later.from_period}")
    return changes


class Rounding(Part):
    """How a composite is shown, and ranked."""

    places: Annotated[int, Field(ge=0, le=6)]
    mode: Literal["HALF_UP", "HALF_EVEN"]


class Ranking(Part):
    """How units are put in order. One with fewer than `minimum` valid callbacks never stands before one that has them.

    SHRUNK: by the composite drawn towards the league's, as if `strength` further callbacks had been average.
    """

    mode: Literal["RANKING", "BANDS"] = "RANKING"
    minimum: Annotated[int, Field(ge=1, le=100_000)] = 1
    by: Literal["COMPOSITE", "SHRUNK"] = "COMPOSITE"
    strength: Annotated[int, Field(ge=0, le=100_000)] = 0
    ties: Literal["ORDERED", "SHARED"] = "ORDERED"


class Band(Part):
    """分档: composites from `least` up to, and not including, `below`; 100 belongs to the highest."""

    code: Code
    zh: Words
    en: Words
    least: Points
    below: Points


def whole(bands: Sequence[Band]) -> Sequence[Band]:
    """Raises ValueError unless the bands cover 0 to 100 without gap or overlap."""
    in_order = sorted(bands, key=lambda band: band.least)
    if in_order and (in_order[0].least != 0 or in_order[-1].below != 100):
        raise ValueError("the bands must begin at 0 and end at 100")
    if any(band.below <= band.least for band in bands):
        raise ValueError("a band ends above its beginning")
    if len({band.code for band in bands}) < len(bands):
        raise ValueError("two bands have the same code")
    for lower, upper in pairwise(in_order):
        if lower.below != upper.least:
            kind = "a gap" if lower.below < upper.least else "an overlap"
            raise ValueError(f"there is {kind} between the bands {lower.code} and {upper.code}")
    return bands


class Labels(Part):
    """四类: the first by composite, the first by gain over the period before, the last, and the managed list."""

    leagues: tuple[Annotated[League, Field(strict=False)], ...]
    advanced: Share | None = None
    improved: Share | None = None
    rectify: Share | None = None
    governance: bool = False


class Ground(Part):
    """Why an appeal may be left out. TOLERANCE is 容错 (Art 36): an honest attempt that did not succeed."""

    zh: Words
    en: Words
    source: Words
    kind: Literal["EXCLUSION", "TOLERANCE"] = "EXCLUSION"


class Exclusions(Part):
    """剔除: the grounds; until how many days after the period a unit may claim, after which a claim lapses undecided,
    and within which a refusal may be appealed (考核申诉).
    """

    grounds: Annotated[dict[Code, Ground], Field(max_length=MOST)] = Field(default_factory=dict)
    claim_days: Days = 0
    decide_days: Annotated[int, Field(ge=1, le=366)] = 1
    appeal_days: Days = 0


class Incentive(Part):
    """Art 32: points for each of a measure, up to `cap`; `id` is the clause that an explanation names."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    zh: Words
    en: Words
    measure: MeasureName
    points: Points
    cap: Points
    source: Words


class Publishing(Part):
    """A period may be closed so many days after its end; what changed later is restated after so many days.

    Open data leaves out figures of fewer than `small_cell` valid callbacks.
    """

    close_after_days: Days = 0
    restate_after_days: Annotated[int, Field(ge=1, le=366)] = 1
    small_cell: Annotated[int, Field(ge=1, le=1000)] = 1


class Interval(Part):
    """Wilson's interval of each rate at this many standard errors; the composite's is their weighted sum."""

    z: Points = Decimal("1.96")

    @model_validator(mode="after")
    def _some_width(self) -> Self:
        if self.z == 0:
            raise ValueError("an interval needs a width")
        return self
