"""Whose ground it is: from what the appeal says about its place to a street or town, or at least a district.

Given codes and names come first, then the address, then the text. Two districts share the name 八里庄街道, so a town's
name alone counts only where it is the only one, or where the district is known too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from shared.contracts.codes import UnitType


@dataclass(frozen=True, slots=True)
class Unit:
    """One organisation of the tree."""

    unit_id: str
    name: str
    name_en: str
    unit_type: UnitType
    parent_id: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


@dataclass(frozen=True, slots=True)
class Ground:
    """What is known of the place, and from where."""

    town: Unit | None = None
    district: Unit | None = None
    source: str = ""


@dataclass(frozen=True)
class Gazetteer:
    """The tree, with the indexes that finding a place needs."""

    units: dict[str, Unit]

    @cached_property
    def _by_name(self) -> dict[str, tuple[Unit, ...]]:
        found: dict[str, tuple[Unit, ...]] = {}
        for unit in self.units.values():
            if unit.unit_type in {UnitType.DISTRICT, UnitType.STREET_TOWN}:
                for name in unit.names:
                    found[name] = (*found.get(name, ()), unit)
        return found

    @cached_property
    def _names(self) -> re.Pattern[str]:
        longest_first = sorted(self._by_name, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def ground(self, township: str | None, district: str | None, texts: Sequence[tuple[str, str | None]]) -> Ground:
        """The place. `texts` are (source, text) in falling order of trust; what was given comes before all of them."""
        evidence = [("given", self._given(township) + self._given(district))]
        evidence += [(source, self._named(text)) for source, text in texts]
        for upto in range(1, len(evidence) + 1):  # a later mention of a district never overrules an earlier town
            _, known = self._first_one(evidence[:upto], UnitType.DISTRICT, None)
            source, town = self._first_one(evidence[:upto], UnitType.STREET_TOWN, known.unit_id if known else None)
            if town is not None:
                return Ground(town, self.units.get(town.parent_id or ""), source)
        found_in, district_unit = self._first_one(evidence, UnitType.DISTRICT, None)
        return Ground(None, district_unit, found_in)

    def _first_one(
        self, evidence: Sequence[tuple[str, Sequence[Unit]]], unit_type: UnitType, parent: str | None
    ) -> tuple[str, Unit | None]:
        """The first source that speaks of exactly one unit of a type (inside a parent, where one is known)."""
        for source, units in evidence:
            fitting = {u.unit_id: u for u in units if u.unit_type is unit_type and parent in (None, u.parent_id)}
            if len(fitting) == 1:
                return source, next(iter(fitting.values()))
        return "", None

    def _given(self, code_or_name: str | None) -> list[Unit]:
        if code_or_name is None:
            return []
        unit = self.units.get(code_or_name)
        return [unit] if unit else list(self._by_name.get(code_or_name, ()))

    def _named(self, text: str | None) -> list[Unit]:
        return [unit for name in self._names.findall(text or "") for unit in self._by_name[name]]
