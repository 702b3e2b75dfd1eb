"""Whose ground it is: from what the appeal says about its place to a street or town, or at least a district.

Given codes and names come first, then the address, then the text. Two districts share the name 八里庄街道, so a town's
name alone counts only where it is the only one, or where the district is known too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
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
        """The place. `texts` are (source, text) in falling order of trust."""
        given = self._pick(self._given(township), self._given(district), "given")
        if given.town or (given.district and not texts):
            return given
        for source, text in texts:
            units = [unit for name in self._names.findall(text or "") for unit in self._by_name[name]]
            towns = [unit for unit in units if unit.unit_type is UnitType.STREET_TOWN]
            districts = [given.district] if given.district else [u for u in units if u.unit_type is UnitType.DISTRICT]
            found = self._pick(towns, districts, source)
            if found.town or found.district:
                return found
        return given

    def _given(self, code_or_name: str | None) -> list[Unit]:
        if code_or_name is None:
            return []
        unit = self.units.get(code_or_name)
        return [unit] if unit else list(self._by_name.get(code_or_name, ()))

    def _pick(self, towns: Iterable[Unit], districts: Iterable[Unit], source: str) -> Ground:
        """One town if there is exactly one that fits, else one district if there is exactly one."""
        wanted = {unit.unit_id: unit for unit in districts if unit.unit_type is UnitType.DISTRICT}
        fitting = {unit.unit_id: unit for unit in towns if unit.unit_type is UnitType.STREET_TOWN}
        if wanted:
            fitting = {code: unit for code, unit in fitting.items() if unit.parent_id in wanted}
        if len(fitting) == 1:
            town = next(iter(fitting.values()))
            return Ground(town, self.units.get(town.parent_id or ""), source)
        if len(wanted) == 1:
            return Ground(None, next(iter(wanted.values())), source)
        return Ground()
