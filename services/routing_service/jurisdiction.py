"""Whose ground it is: from what the appeal says about its place to a street or town, or at least a district.

Given codes and names come first, then the address, then the text; shared/language/gazetteer.py weighs the names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from shared.contracts.codes import UnitType
from shared.language.gazetteer import Division, Level
from shared.language.gazetteer import Gazetteer as Names


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


LEVELS = {UnitType.DISTRICT: Level.DISTRICT, UnitType.STREET_TOWN: Level.TOWN}


@dataclass(frozen=True)
class Gazetteer:
    """The tree, with the names that finding a place needs."""

    units: dict[str, Unit]

    @cached_property
    def _names(self) -> Names:
        governing = [unit for unit in self.units.values() if unit.unit_type in LEVELS]
        return Names(
            Division(unit.unit_id, unit.name, LEVELS[unit.unit_type], unit.parent_id, unit.aliases)
            for unit in governing
        )

    def ground(self, township: str | None, district: str | None, texts: Sequence[tuple[str, str | None]]) -> Ground:
        """The place. `texts` are (source, text) in falling order of trust; what was given comes before all of them."""
        names = self._names
        given = [("given", names.given(district)), ("given", names.given(township))]
        found = names.place([*given, *((source, names.named(text)) for source, text in texts)])
        town, district_ = (self.units.get(found.chain.get(level, "")) for level in (Level.TOWN, Level.DISTRICT))
        return Ground(town, district_, found.source)
