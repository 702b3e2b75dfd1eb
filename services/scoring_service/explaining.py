"""Why a figure is what it is: for one appeal, what counted and what did not, and what the score would be without it.

Everything is in numbers that can be added up by hand. Pure: from the facts, the policy and the counts of the unit.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from services.scoring_service.counting import MEASURES, Counts, added, counted, numbers_of
from services.scoring_service.formula import HUNDRED, decimal, earned, exact, score, text, weights_used
from services.scoring_service.life import Life, Round, Rule, Share, counted_round, shares
from services.scoring_service.period import period_of
from services.scoring_service.policy import Policy
from shared.contracts.codes import Basis, League

_CLAUSES = Path(__file__).parent / "data" / "clauses.toml"


@dataclass(frozen=True)
class Explained:
    """What there is to say about an appeal under a policy, before any table is looked at.

    `of`: for this unit, where the appeal adds something to it; else for the one that was responsible.
    """

    life: Life
    policy: Policy
    of: str | None = None

    @property
    def shares(self) -> list[Share]:
        """What it adds to every unit that it counts for."""
        return shares(self.life, Rule(self.policy.counted_round))

    @property
    def share(self) -> Share | None:
        """What it adds to the unit that this is about."""
        every = self.shares
        return next((one for one in every if one.unit_id == self.of), every[0] if every else None)

    @property
    def period(self) -> str | None:
        at = self.life.registered_at
        return period_of(at, self.policy.period_start_day) if at else None

    def counts_on(self, basis: Basis) -> bool:
        share = self.share
        left_out = share is not None and share.ground in self.policy.exclusions.grounds
        return share is not None and not (basis is Basis.ASSESSED and left_out)

    @property
    def why(self) -> list[dict[str, Any]]:
        """The reasons, each with the clause that it rests on and the events that show it."""
        life = self.life
        if life.dropped:
            return [_reason(life.dropped.data["how"].lower(), [life.dropped.event_id])]
        each = counted_round(life, Rule(self.policy.counted_round))
        if each is None or each.dispatched is None:
            return [_reason("not_dispatched", [])]
        sent = [each.dispatched.event_id]
        reasons = [
            _reason("in_period", sent, period=self.period),
            _reason("round", sent, round=each.number),
            _heard(each),
        ]
        return reasons + self._left_out()

    def _left_out(self) -> list[dict[str, Any]]:
        share = self.share
        fact = self.life.excluded.get(share.unit_id) if share else None
        if fact is None:
            return []
        ground = self.policy.exclusions.grounds.get(fact.data["ground"])
        if ground is None:
            return [_reason("ground_unknown", [fact.event_id])]
        words = {"ground": fact.data["ground"], "ground_zh": ground.zh, "ground_en": ground.en}
        return [_reason("excluded", [fact.event_id], **words)]


def _heard(each: Round) -> dict[str, Any]:
    if each.verdict is None:
        return _reason("no_callback", [])
    if each.struck is not None:
        return _reason("struck", [each.verdict.event_id, each.struck.event_id])
    return _reason("valid" if each.valid else "invalid", [each.verdict.event_id])


def _reason(code: str, events: Sequence[str], **words: Any) -> dict[str, Any]:
    text_of = _clauses()[code]
    said = {name: text_of[name].format(**words) for name in ("clause", "zh", "en")}
    return {"code": code.upper(), **said, "events": list(events)}


@cache
def _clauses() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(_CLAUSES.read_text(encoding="utf-8"))


def standing_of(counts: Counts, policy: Policy, league: League | None, period: str) -> list[dict[str, Any]]:
    """What keeps the unit's figure from being shown or compared."""
    if not score(counts, policy, league, period).rated:
        return [_reason("not_rated", [])]
    return [_reason("provisional", [])] if counts.valid_callbacks < policy.ranking.minimum else []


def effect(share: Share | None, counts: Counts, policy: Policy, league: League | None, period: str) -> dict[str, Any]:
    """The unit's score with this appeal and without it. `counts` are the unit's; the appeal is in them, unless None."""
    with_it = score(counts, policy, league, period)
    answer: dict[str, Any] = {"with": sums(counts, policy, league, period)}
    if share is None:
        return answer
    rest = counted(counts.unit_id, counts.name, added(numbers_of(counts), share.counts, -1))
    without = score(rest, policy, league, period)
    answer["without"] = sums(rest, policy, league, period)
    both = with_it.composite is not None and without.composite is not None
    answer["difference"] = text(with_it.composite - without.composite) if both else None  # type: ignore[operator]
    return answer


def sums(counts: Counts, policy: Policy, league: League | None, period: str | None) -> dict[str, Any]:
    """The composite, step by step: 100 × the sum of weight × (sum of count × each) ÷ over, and the points.

    Neither a rate nor the composite is ever more than `most`.
    """
    found = {name: exact(rate, counts) for name, rate in policy.every_rate.items()}
    weights = weights_used(policy, policy.weights_for(league, period), found) or {}
    one = score(counts, policy, league, period)
    return {
        "rates": [_rate(name, policy, counts, f"{decimal(weight):f}") for name, weight in weights.items()],
        "points": {name: text(points) for name, points in earned(policy, counts).items()} if one.rated else {},
        "composite": text(one.composite),
        "composite_shown": None if one.shown is None else str(one.shown),
        "most": "100",
    }


def _rate(name: str, policy: Policy, counts: Counts, weight: str) -> dict[str, Any]:
    rate = policy.every_rate[name]
    terms = [{"measure": of, "count": getattr(counts, of), "each": f"{each:f}"} for of, each in rate.of.items()]
    over = {"measure": rate.over, "count": getattr(counts, rate.over)}
    part = exact(rate, counts)
    percent = None if part is None else text(decimal(part * HUNDRED))
    return {"rate": name, "weight": weight, "terms": terms, "over": over, "percent": percent}


def rounds_of(life: Life) -> list[dict[str, Any]]:
    """Every round as it is on record."""
    return [_round(each) for _, each in sorted(life.rounds.items())]


def _round(each: Round) -> dict[str, Any]:
    said = each.verdict.data if each.verdict else {}
    answers = {name: said.get(name) for name in ("contacted", "resolved", "satisfaction")}
    log = {name: getattr(each, name) for name in ("signed_late", "contacted_in_time", "answered_in_time")}
    return (
        {"round": each.number, "unit_id": each.unit_id, "valid": each.valid, "struck": bool(each.struck)}
        | answers
        | log
    )


def adds(share: Share | None) -> dict[str, int]:
    """What the appeal adds, measure by measure; what it adds nothing to is left out."""
    return {name: number for name, number in zip(MEASURES, share.counts, strict=True) if number} if share else {}
