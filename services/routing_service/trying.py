"""Rules tried before they count: one text explained rule by rule, and a draft run over past appeals. Nothing is stored.

A dry run says what would change and for whom, and how often each version names the unit that led in the end.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.routing_service.directory import Desk
from services.routing_service.matter import Matter
from services.routing_service.order import automatic
from services.routing_service.past import Past
from services.routing_service.proposal import Learned, Reading, ground_of, propose, readings
from shared.contracts.duties import Candidate


def explained(matter: Matter, desk: Desk) -> dict[str, Any]:
    """The ranked units, the place, and every rule with a word in the text: what it counts, or why it does not."""
    learned, ground = desk.learned(matter), ground_of(matter, desk)
    read = list(readings(matter, desk, ground, learned))
    named = {"district": ground.district, "township": ground.town}
    return {
        "items": [candidate.model_dump(mode="json") for candidate in propose(matter, desk, learned)],
        "place": {level: unit and unit.unit_id for level, unit in named.items()} | {"found_by": ground.source or None},
        "rules": [_shown(one) for one in read if one.rule],
        "model": {label: str(share) for label, share in learned.shares.items()},
        "catalogue_version": desk.catalogue_version,
        "model_version": learned.version,
    }


def _shown(reading: Reading) -> dict[str, Any]:
    assert reading.rule is not None
    return {
        "rule_id": reading.rule.id,
        "unit_id": reading.unit.unit_id if reading.unit else None,
        "words": list(reading.words),
        "points": str(reading.points),
        "counts": not reading.why_not,
        "why_not": reading.why_not or None,
    }


@dataclass
class DryRun:
    """What two versions make of the same appeals. `led`: the unit that led in the end, where that is known."""

    now: Desk
    draft: Desk
    most_shown: int
    appeals: int = 0
    items: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    gained: Counter[str] = field(default_factory=Counter)

    async def take(self, past: Sequence[Past], led: Mapping[str, str]) -> None:
        """Some more appeals."""
        for one, before, after in await asyncio.to_thread(lambda: list(self._read(past))):
            self.appeals += 1
            self._count(led.get(one.appeal_id), before, after)
            was, becomes = self._sent(one, before, self.now), self._sent(one, after, self.draft)
            if was != becomes:
                self._differs(one, was, becomes)

    def report(self) -> dict[str, Any]:
        """Counts, then the units that win or lose appeals, then the first appeals that go elsewhere."""
        names = {id_: unit.name for id_, unit in self.draft.gazetteer.units.items()}
        units = sorted(self.lost.keys() | self.gained.keys(), key=lambda id_: (-self.lost[id_] - self.gained[id_], id_))
        by_unit = [
            {
                "unit_id": id_,
                "name": names.get(id_),
                "gains": self.gained[id_],
                "loses": self.lost[id_],
            }
            for id_ in units
        ]
        keys = ("changed", "with_outcome", "right_now", "right_draft", "automatic_now", "automatic_draft")
        counts = {name: self.counts[name] for name in keys}
        return {"appeals": self.appeals} | counts | {"by_unit": by_unit, "items": self.items}

    def _read(self, past: Sequence[Past]) -> Iterator[tuple[Past, Candidate | None, Candidate | None]]:
        for one in past:
            learned = self.now.learned(one.matter)
            yield one, _first(one.matter, self.now, learned), _first(one.matter, self.draft, learned)

    def _count(self, led: str | None, before: Candidate | None, after: Candidate | None) -> None:
        if led is not None:
            self.counts["with_outcome"] += 1
            self.counts["right_now"] += before is not None and before.unit_id == led
            self.counts["right_draft"] += after is not None and after.unit_id == led

    def _sent(self, past: Past, first: Candidate | None, desk: Desk) -> dict[str, Any]:
        goes = automatic([first] if first else [], past.kind, desk.limits)
        self.counts["automatic_now" if desk is self.now else "automatic_draft"] += goes
        known = {"unit_id": first.unit_id, "rule_id": first.rule_id, "tier": str(first.tier)} if first else {}
        return dict.fromkeys(("unit_id", "rule_id", "tier")) | known | {"automatic": goes}

    def _differs(self, past: Past, was: Mapping[str, Any], becomes: Mapping[str, Any]) -> None:
        self.counts["changed"] += 1
        if was["unit_id"] != becomes["unit_id"]:
            self.lost.update(filter(None, [was["unit_id"]]))
            self.gained.update(filter(None, [becomes["unit_id"]]))
        if len(self.items) < self.most_shown:
            ids = {"appeal_id": past.appeal_id, "ticket_no": past.ticket_no}
            self.items.append(ids | {"now": dict(was), "draft": dict(becomes)})


def _first(matter: Matter, desk: Desk, learned: Learned) -> Candidate | None:
    return next(iter(propose(matter, desk, learned)), None)
