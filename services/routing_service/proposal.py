"""Whose duty it is: the catalogue read against one appeal, with the reasons in plain words.

Duty comes from the rules (category and keywords), ground from the gazetteer; together they give ranked units. The
points for a fitting category and for words in title and text are policy data. Law: Regulation Art 11
(职权法定、属地管理、分级负责), Art 12 (a district coordinates what nobody else can be found for), Art 17 (a community
never leads).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from services.routing_service.jurisdiction import Gazetteer, Ground, Unit
from services.routing_service.limits import Limits
from shared.contracts.codes import UnitType, Urgency
from shared.contracts.routing import Candidate, Rule

DISTRICT_RULE = "art12-district"
_HUNDREDTH = Decimal("0.01")


@dataclass(frozen=True)
class Directory:
    """What a proposal is made from: the organisation tree and the catalogue in force."""

    gazetteer: Gazetteer
    catalogue_version: str | None
    rules: Sequence[Rule]
    limits: Limits

    def unit(self, unit_id: str) -> Unit | None:
        return self.gazetteer.units.get(unit_id)


@dataclass(frozen=True)
class Matter:
    """What an appeal says, as far as dispatch is concerned."""

    title: str
    content: str
    category_path: Sequence[str]
    urgency: Urgency | None
    district: str | None
    township: str | None
    address: str | None


@dataclass(frozen=True)
class _Match:
    rule: Rule
    unit: Unit
    points: int
    words: tuple[str, ...]


def propose(matter: Matter, directory: Directory) -> list[Candidate]:
    """Ranked units with confidence and reasons; empty when neither duty nor ground can be told."""
    texts = (("address", matter.address), ("title", matter.title), ("text", matter.content))
    ground = directory.gazetteer.ground(matter.township, matter.district, texts)
    matches = [match for rule in directory.rules if (match := _match(rule, matter, ground, directory))]
    best: dict[str, _Match] = {}
    for match in sorted(matches, key=lambda m: (-m.points, m.rule.id)):
        best.setdefault(match.unit.unit_id, match)
    ranked = list(best.values())[: directory.limits.points.most_candidates]
    total = sum(match.points for match in ranked) + 1
    candidates = [_candidate(match, total, matter, ground) for match in ranked]
    if not candidates and ground.district:
        candidates = [_district_coordinates(ground.district, ground.source, matter, directory)]
    return candidates


def _match(rule: Rule, matter: Matter, ground: Ground, directory: Directory) -> _Match | None:
    """None when the rule does not speak of this matter, or when its unit cannot be told."""
    category = matter.category_path[0] if matter.category_path else None
    if rule.categories and category and category not in rule.categories:
        return None
    title, content = matter.title.lower(), matter.content.lower()
    if any(word.lower() in title or word.lower() in content for word in rule.unless):
        return None
    in_title = [word for word in rule.keywords if word.lower() in title]
    in_text = [word for word in rule.keywords if word.lower() in content and word not in in_title]
    weights = directory.limits.points
    points = weights.title_points * len(in_title) + weights.text_points * len(in_text)
    unit = _duty(rule.duty, ground, directory)
    if points == 0 or unit is None or unit.unit_type is UnitType.COMMUNITY:
        return None
    if category and category in rule.categories:
        points += weights.category_points
    return _Match(rule, unit, points, tuple(in_title + in_text))


def _duty(duty: str, ground: Ground, directory: Directory) -> Unit | None:
    if duty == "TOWNSHIP":
        return ground.town or ground.district
    if duty == "DISTRICT":
        return ground.district
    return directory.unit(duty)


def _candidate(match: _Match, total: int, matter: Matter, ground: Ground) -> Candidate:
    unit, rule = match.unit, match.rule
    why = [f"rule {rule.id} {rule.name} ({rule.basis})", f"words: {', '.join(match.words)}"]
    if unit in (ground.town, ground.district):
        why.append(f"place: {unit.name} ({ground.source})")
    confidence = (Decimal(match.points) / total).quantize(_HUNDREDTH, ROUND_HALF_UP)
    return Candidate(
        unit_id=unit.unit_id,
        name=unit.name,
        unit_type=unit.unit_type,
        confidence=str(confidence),
        why=tuple(why),
        rule_id=rule.id,
        tier=matter.urgency or rule.tier,
        cc_district=copied_district(unit),
    )


def _district_coordinates(district: Unit, source: str, matter: Matter, directory: Directory) -> Candidate:
    return Candidate(
        unit_id=district.unit_id,
        name=district.name,
        unit_type=district.unit_type,
        confidence=directory.limits.points.district_confidence,
        why=("no rule fits; the district coordinates (Reg. Art 12)", f"place: {district.name} ({source})"),
        rule_id=DISTRICT_RULE,
        tier=matter.urgency or Urgency.GENERAL,
    )


def copied_district(unit: Unit) -> str | None:
    """A street's or town's order is copied to its district, which supervises. Art 12."""
    return unit.parent_id if unit.unit_type is UnitType.STREET_TOWN else None
