"""四类排名: who stands where, and what that is called. Nobody leads on a handful of callbacks; ties are policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from decimal import Decimal

from services.scoring_service.counting import Counts
from services.scoring_service.formula import Score, as_shown, score
from services.scoring_service.policy import Policy
from shared.contracts.codes import League

NOBODY: AbstractSet[str] = frozenset()


def league_table(
    units: Sequence[Counts],
    policy: Policy,
    league: League | None = None,
    period: str | None = None,
    before: Mapping[str, Decimal] | None = None,
    governed: AbstractSet[str] = NOBODY,
) -> list[Score]:
    """Ranked by what the policy ranks by, after those with enough callbacks those with too few, and nobody where all
    have too few; units that are not rated come last, without a rank.

    `before`: composites of the period before, by unit, for the label of the most improved. `governed`: 治理类.
    """
    scores = [score(counts, policy, league, period) for counts in units]
    rated = _placed([one for one in scores if one.rated], policy)
    in_order = sorted(rated, key=lambda one: _order(one, policy))
    ranks, labels = _ranks(in_order, policy), _labels(in_order, policy, league, before or {}, governed)
    ranked = [
        replace(one, rank=rank, label=labels.get(one.counts.unit_id)) for one, rank in zip(in_order, ranks, strict=True)
    ]
    return ranked + sorted((one for one in scores if not one.rated), key=lambda one: one.counts.unit_id)


def _placed(rated: Sequence[Score], policy: Policy) -> list[Score]:
    """Whether each has enough callbacks to be compared, and where it stands when it is drawn towards the league:
    (n·own + k·mean) / (n + k), the mean being over all callbacks of the league.
    """
    callbacks = sum(one.counts.valid_callbacks for one in rated)
    together = sum((_composite(one) * one.counts.valid_callbacks for one in rated), Decimal(0))
    mean, strength, least = together / max(callbacks, 1), policy.ranking.strength, policy.ranking.minimum
    placed = []
    for one in rated:
        own = one.counts.valid_callbacks
        whole = own + strength
        shrunk = (_composite(one) * own + mean * strength) / whole if whole else _composite(one)
        placed.append(replace(one, shrunk=shrunk, provisional=own < least))
    return placed


def _composite(one: Score) -> Decimal:
    return one.composite or Decimal(0)


def _stands_at(one: Score, policy: Policy) -> Decimal:
    by = one.shrunk if policy.ranking.by == "SHRUNK" and one.shrunk is not None else _composite(one)
    return as_shown(by, policy)


def _order(one: Score, policy: Policy) -> tuple[object, ...]:
    breaks = {"received_desc": -one.counts.received, "unit_id_asc": one.counts.unit_id}
    tied = (breaks[name] for name in policy.tie_break)
    return (one.provisional, -_stands_at(one, policy), *tied, one.counts.unit_id)


def _ranks(in_order: Sequence[Score], policy: Policy) -> list[int | None]:
    nobody_compares = all(one.provisional for one in in_order)
    if policy.ranking.mode == "BANDS" or nobody_compares:
        return [None] * len(in_order)
    ranks: list[int | None] = []
    for place, one in enumerate(in_order, 1):
        tied = bool(ranks) and _tied(in_order[place - 2], one, policy)
        ranks.append(ranks[-1] if tied else place)
    return ranks


def _tied(one: Score, other: Score, policy: Policy) -> bool:
    same = one.provisional == other.provisional and _stands_at(one, policy) == _stands_at(other, policy)
    return same and policy.ranking.ties == "SHARED"


def _labels(
    in_order: Sequence[Score],
    policy: Policy,
    league: League | None,
    before: Mapping[str, Decimal],
    governed: AbstractSet[str],
) -> dict[str, str]:
    """The label or band of each unit that has one. A managed list (治理类) counts more than a place."""
    fit = [one for one in in_order if not one.provisional]
    if policy.ranking.mode == "BANDS":
        return {one.counts.unit_id: band_of(_stands_at(one, policy), policy) for one in fit}
    rules = policy.labels
    if rules is None or league not in rules.leagues:
        return {}
    names = [one.counts.unit_id for one in fit]
    labels = dict.fromkeys(names[-rules.rectify :] if rules.rectify else (), "RECTIFY")
    advanced = names[: rules.advanced or 0]
    improved = [unit for unit in _improved(fit, before) if unit not in advanced][: rules.improved or 0]
    labels |= dict.fromkeys(improved, "IMPROVED") | dict.fromkeys(advanced, "ADVANCED")
    listed = governed & {one.counts.unit_id for one in in_order} if rules.governance else NOBODY
    return labels | dict.fromkeys(listed, "GOVERNANCE")


def gains(fit: Sequence[Score], before: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """By how much each composite is above that of the period before, of those that had one; the most first."""
    gained = {
        one.counts.unit_id: _composite(one) - before[one.counts.unit_id] for one in fit if one.counts.unit_id in before
    }
    return {unit: gained[unit] for unit in sorted(gained, key=lambda unit: (-gained[unit], unit))}


def _improved(fit: Sequence[Score], before: Mapping[str, Decimal]) -> list[str]:
    return [unit for unit, gain in gains(fit, before).items() if gain > 0]


def band_of(composite: Decimal, policy: Policy) -> str:
    """The band that a composite falls into."""
    return next(band.code for band in sorted(policy.bands, key=lambda band: -band.least) if composite >= band.least)
