"""Whose duty it is: catalogue and classifier read against one appeal, with the reasons in plain words.

Duty comes from the rules (category and keywords) and from what a model has learned of earlier appeals, ground from the
gazetteer; together they give ranked units. The points of every kind of evidence are policy data. Without a model the
rules alone serve. Law: Regulation Art 11 (职权法定、属地管理、分级负责), Art 12 (a district coordinates what nobody
else can be found for), Art 17 (a community never leads).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

from services.routing_service.jurisdiction import Gazetteer, Ground, Unit
from services.routing_service.limits import Limits
from services.routing_service.matter import Matter
from services.routing_service.rulebook import GRASS_ROOTS
from shared.contracts.codes import UnitType, Urgency
from shared.contracts.duties import Candidate, Rule

DISTRICT_RULE = "art12-district"
NO_UNIT = "its unit cannot be told: the place is not known, or there is no such unit"
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
class Learned:
    """What the model in force says of one appeal.

    `shares`: how likely each label is; a label is a category of the catalogue, or a duty (a unit id, TOWNSHIP,
    DISTRICT). `words`: what decided, label by label. `calibration`: (said, true) pairs, ascending, by which a
    confidence is corrected so that it says how often it is right.
    """

    version: str | None = None
    shares: Mapping[str, Decimal] = field(default_factory=dict)
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    calibration: Sequence[tuple[Decimal, Decimal]] = ()


@dataclass(frozen=True)
class Reading:
    """One rule, or one label of the model, read against one appeal. `why_not`: why it does not count."""

    unit: Unit | None
    points: Decimal
    rule: Rule | None = None
    words: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    why_not: str = ""


def propose(matter: Matter, directory: Directory, learned: Learned | None = None) -> list[Candidate]:
    """Ranked units with confidence and reasons; empty when neither duty nor ground can be told."""
    learned = learned or Learned()
    ground = ground_of(matter, directory)
    read = list(readings(matter, directory, ground, learned))
    counted = [one for one in read if not one.why_not]
    best = _for_departments(_best(counted), counted)
    ranked = best[: directory.limits.points.most_candidates]
    total = sum((one.points for one in ranked), Decimal(1))
    candidates = [_candidate(one, total, matter, ground, learned) for one in ranked]
    if not candidates and ground.district:
        candidates = [_district_coordinates(ground.district, ground.source, matter, directory)]
    missing = [one.rule.id for one in read if one.rule and one.why_not == NO_UNIT]
    if candidates and missing:
        told = tuple(f"rule {id_} fits as well, but {NO_UNIT}" for id_ in missing)
        candidates[0] = candidates[0].model_copy(update={"why": candidates[0].why + told})
    return candidates


def ground_of(matter: Matter, directory: Directory) -> Ground:
    """Whose ground it is, by what was given, then by address, title and text."""
    texts = (("address", matter.address), ("title", matter.title), ("text", matter.content))
    return directory.gazetteer.ground(matter.township, matter.district, texts)


def readings(matter: Matter, directory: Directory, ground: Ground, learned: Learned) -> Iterator[Reading]:
    """Every rule with a word in the appeal, and every label that the model thinks likely enough."""
    for rule in directory.rules:
        if (found := _read_rule(rule, matter, ground, directory, learned)) is not None:
            yield found
    weights = directory.limits.points
    for label, share in learned.shares.items():
        unit = _duty(label, ground, directory)
        if unit is not None and share >= weights.least_share and unit.unit_type is not UnitType.COMMUNITY:
            yield Reading(unit, weights.model_points * share, labels=(label,))


def _read_rule(rule: Rule, matter: Matter, ground: Ground, directory: Directory, learned: Learned) -> Reading | None:
    title, content = matter.title.lower(), matter.content.lower()
    in_title = [word for word in rule.keywords if word.lower() in title]
    in_text = [word for word in rule.keywords if word.lower() in content and word not in in_title]
    words = tuple(in_title + in_text)
    if not words:
        return None
    unit = _duty(rule.duty, ground, directory)
    weights = directory.limits.points
    points = Decimal(weights.title_points * len(in_title) + weights.text_points * len(in_text))
    reading = Reading(unit, points + _by_category(rule, matter, directory, learned), rule, words)
    return replace(reading, why_not=_why_not(rule, matter, unit))


def _why_not(rule: Rule, matter: Matter, unit: Unit | None) -> str:
    category = matter.category_path[0] if matter.category_path else None
    if rule.categories and category and category not in rule.categories:
        return "the appeal is of another category"
    for word in rule.unless:
        if word.lower() in matter.title.lower() or word.lower() in matter.content.lower():
            return f"the appeal says {word}"
    if unit is None:
        return NO_UNIT
    return "a community never leads (Art 17)" if unit.unit_type is UnitType.COMMUNITY else ""


def _by_category(rule: Rule, matter: Matter, directory: Directory, learned: Learned) -> Decimal:
    """A category that was given counts in full; one that the model tells, as far as it is likely."""
    weights = directory.limits.points
    if matter.category_path:
        return Decimal(weights.category_points if matter.category_path[0] in rule.categories else 0)
    return weights.category_points * sum((learned.shares.get(one, Decimal(0)) for one in rule.categories), Decimal(0))


def _duty(duty: str, ground: Ground, directory: Directory) -> Unit | None:
    if duty == "TOWNSHIP":
        return ground.town or ground.district
    if duty == "DISTRICT":
        return ground.district
    return directory.unit(duty)


def _best(found: Sequence[Reading]) -> list[Reading]:
    """One reading a unit: its best rule, and what the model says of the unit on top."""
    best: dict[str, Reading] = {}
    for one in sorted(found, key=lambda r: (r.rule is None, -r.points, r.rule.id if r.rule else r.labels[0])):
        assert one.unit is not None
        before = best.setdefault(one.unit.unit_id, one)
        if before is not one and one.rule is None:
            best[one.unit.unit_id] = replace(
                before, points=before.points + one.points, labels=before.labels + one.labels
            )
    return sorted(best.values(), key=lambda r: (-r.points, r.rule.id if r.rule else r.labels[0]))


def _for_departments(best: list[Reading], counted: Sequence[Reading]) -> list[Reading]:
    """Where the strongest rule says that a department does it itself, the grass roots are not proposed at all."""
    strongest = max((one for one in counted if one.rule), key=lambda one: one.points, default=None)
    if strongest is None or strongest.rule is None or not strongest.rule.department_only:
        return best
    return [one for one in best if one.unit and one.unit.unit_type not in GRASS_ROOTS]


def _candidate(reading: Reading, total: Decimal, matter: Matter, ground: Ground, learned: Learned) -> Candidate:
    unit, rule = reading.unit, reading.rule
    assert unit is not None
    confidence = calibrated(reading.points / total, learned.calibration)
    if rule is None:  # nobody is surer than the model itself
        confidence = min(confidence, sum((learned.shares[label] for label in reading.labels), Decimal(0)))
    confidence = confidence.quantize(_HUNDREDTH, ROUND_HALF_UP)
    return Candidate(
        unit_id=unit.unit_id,
        name=unit.name,
        unit_type=unit.unit_type,
        confidence=str(confidence),
        why=tuple(_why(reading, matter, ground, learned)),
        rule_id=rule.id if rule else None,
        department_only=rule.department_only if rule else False,
        tier=matter.urgency or (rule.tier if rule else Urgency.GENERAL),
        cc_district=copied_district(unit),
    )


def _why(reading: Reading, matter: Matter, ground: Ground, learned: Learned) -> Iterator[str]:
    rule, unit = reading.rule, reading.unit
    if rule is not None:
        yield f"rule {rule.id} {rule.name} ({rule.basis})"
        yield f"words: {', '.join(reading.words)}"
    by_category = rule.categories if rule and not matter.category_path else ()
    for label in (*by_category, *reading.labels):
        if (share := learned.shares.get(label, Decimal(0))) >= _HUNDREDTH:
            words = learned.words.get(label, ())
            decided = f", by {', '.join(words)}" if words else ""
            yield f"model {learned.version}: {label} {share.quantize(_HUNDREDTH, ROUND_HALF_UP)}{decided}"
    if unit is not None and unit in (ground.town, ground.district):
        yield f"place: {unit.name} ({ground.source})"


def calibrated(said: Decimal, pairs: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    """The confidence that experience gives, on straight lines between the pairs; without any as it was said. Below the
    first pair nothing was measured: it falls to 0 with what was said.
    """
    if not pairs:
        return said
    pairs = [(Decimal(0), Decimal(0)), *pairs] if pairs[0][0] > 0 else pairs
    for (low, low_true), (high, high_true) in pairwise(pairs):
        if low <= said <= high:
            part = (said - low) / (high - low) if high > low else Decimal(1)
            return low_true + part * (high_true - low_true)
    return pairs[-1][1]


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
