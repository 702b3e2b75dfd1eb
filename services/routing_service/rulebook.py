"""What is wrong with a set of rules before anybody is dispatched by it, and what one set has that another has not.

Law: Regulation Art 17 (a community never leads); 国办函〔2025〕66号: what a department must do is not passed down to
the grass roots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from services.routing_service.jurisdiction import Unit
from shared.contracts.codes import UnitType
from shared.contracts.duties import Rule
from shared.language.script import plain

BY_PLACE = {"TOWNSHIP": UnitType.STREET_TOWN, "DISTRICT": UnitType.DISTRICT}
"""Duties that the place decides."""
_LISTED = re.compile("[,，、;；]")
GRASS_ROOTS = frozenset({UnitType.STREET_TOWN, UnitType.COMMUNITY})


class Finding(NamedTuple):
    """Something about one rule. A `wrong` one keeps the set from being drafted; the others are advice."""

    rule: int
    field: str
    code: str
    message: str
    wrong: bool = True

    @property
    def pointer(self) -> str:
        """Where it stands (RFC 6901)."""
        return f"/rules/{self.rule}/{self.field}"


def findings(rules: Sequence[Rule], units: Mapping[str, Unit]) -> list[Finding]:
    """Everything that is wrong or doubtful, rule by rule."""
    found = [one for number, rule in enumerate(rules) for one in _of_one(number, rule, units)]
    return sorted([*found, *_of_all(rules)])


def _of_one(number: int, rule: Rule, units: Mapping[str, Unit]) -> Iterator[Finding]:
    unit = units.get(rule.duty)
    led_by = BY_PLACE.get(rule.duty) or (unit.unit_type if unit else None)
    if led_by is None:
        yield Finding(number, "duty", "UNIT_UNKNOWN", "there is no such unit; TOWNSHIP and DISTRICT follow the place")
    if led_by is UnitType.COMMUNITY:
        yield Finding(number, "duty", "COMMUNITY_NEVER_LEADS", "a community assists, it never leads (Art 17)")
    elif rule.department_only and led_by in GRASS_ROOTS:
        message = "a department's matter is not passed down to the grass roots (国办函〔2025〕66号)"
        yield Finding(number, "duty", "NOT_FOR_THE_GRASS_ROOTS", message)
    if not rule.keywords:
        yield Finding(number, "keywords", "NEVER_MATCHES", "without a keyword the rule never matches")
    unless = [other.lower() for other in rule.unless]
    for place, word in enumerate(rule.keywords):
        if plain(word) != word.lower():
            message = "appeals are read in simplified script and half-width letters; write the keyword so"
            yield Finding(number, f"keywords/{place}", "NEVER_MATCHES", message)
        if _LISTED.search(word):
            message = "this looks like several keywords in one; separate them with |"
            yield Finding(number, f"keywords/{place}", "SEVERAL_IN_ONE", message)
        if any(other in word.lower() for other in unless):
            message = "a word of `unless` is part of this keyword, which therefore never matches"
            yield Finding(number, f"keywords/{place}", "NEVER_MATCHES", message)
        if len(word) == 1:
            yield Finding(
                number, f"keywords/{place}", "VERY_SHORT", "one letter matches nearly everything", wrong=False
            )
    for place, word in enumerate(rule.unless):
        if plain(word) != word.lower():
            message = "appeals are read in simplified script; written so the word never keeps one out"
            yield Finding(number, f"unless/{place}", "NEVER_MATCHES", message)


def _of_all(rules: Sequence[Rule]) -> Iterator[Finding]:
    ids: dict[str, int] = {}
    words: dict[tuple[str, frozenset[str]], int] = {}
    for number, rule in enumerate(rules):
        if rule.id in ids:
            yield Finding(number, "id", "RULE_ID_TWICE", f"rule {ids[rule.id]} has this id already")
        ids.setdefault(rule.id, number)
        for place, word in enumerate(rule.keywords):
            before = words.setdefault((word.lower(), frozenset(rule.categories)), number)
            if before != number and rules[before].duty != rule.duty:
                message = f"rule {before} sends the same word to another unit; points decide between them"
                yield Finding(number, f"keywords/{place}", "ALSO_ELSEWHERE", message, wrong=False)


def difference(before: Sequence[Rule], after: Sequence[Rule]) -> dict[str, Any]:
    """Which rules came, went and changed, field by field; words of a list by what was added and removed."""
    old, new = {rule.id: rule for rule in before}, {rule.id: rule for rule in after}
    changed = {id_: _changes(old[id_], new[id_]) for id_ in old.keys() & new.keys()}
    return {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": {id_: fields for id_, fields in sorted(changed.items()) if fields},
    }


def _changes(before: Rule, after: Rule) -> dict[str, Any]:
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    differ = [name for name in old if _unordered(old[name]) != _unordered(new[name])]
    return {name: _change(old[name], new[name]) for name in differ}


def _unordered(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _change(before: Any, after: Any) -> dict[str, Any]:
    if not isinstance(before, list):
        return {"before": before, "after": after}
    return {
        "added": [one for one in after if one not in before],
        "removed": [one for one in before if one not in after],
    }
