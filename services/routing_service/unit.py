"""The organisation tree, one stream a unit, and the catalogue, one stream a version: drafted first, then published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.contracts.envelope import Payload
from shared.contracts.routing import CatalogueDrafted, CataloguePublished, Rule, UnitChanged, UnitRegistered
from shared.engine.decider import Command, Decider, NotYours, Refused


@dataclass(frozen=True)
class KnownUnit:
    """The unit's last entry."""

    entry: UnitRegistered | None = None
    state: str = "REGISTERED"


@dataclass(frozen=True, kw_only=True)
class KeepUnit(Command):
    """Enter a unit, or replace its entry."""

    entry: UnitRegistered


def decide_unit(command: Command, unit: KnownUnit) -> Sequence[Payload]:
    if not isinstance(command, KeepUnit):
        raise TypeError(command)
    if unit.entry is None:
        return [command.entry]
    fields = command.entry.model_dump()
    return [] if unit.entry.model_dump() == fields else [UnitChanged(**fields)]


def evolve_unit(unit: KnownUnit, event: Payload) -> KnownUnit:
    return replace(unit, entry=event) if isinstance(event, UnitRegistered) else unit


UNIT = Decider("unit", KnownUnit(), decide_unit, evolve_unit)


@dataclass(frozen=True)
class CatalogueVersion:
    """Where a version of the catalogue stands."""

    state: str = "MISSING"


@dataclass(frozen=True, kw_only=True)
class DraftCatalogue(Command):
    """Write a version down."""

    version: str
    source: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, kw_only=True)
class PublishCatalogue(Command):
    """Let a drafted version come into force."""

    version: str
    effective_from: datetime


def decide_catalogue(command: Command, catalogue: CatalogueVersion) -> Sequence[Payload]:
    match command:
        case DraftCatalogue():
            if catalogue.state != "MISSING":
                raise Refused("CATALOGUE_VERSION_EXISTS", "this version exists; draft the change under a new one")
            _ids_once(command.rules)
            return [CatalogueDrafted(catalogue_version=command.version, source=command.source, rules=command.rules)]
        case PublishCatalogue():
            if catalogue.state == "MISSING":
                raise NotYours
            if catalogue.state == "PUBLISHED":
                raise Refused("CATALOGUE_PUBLISHED", "this version is already in force or was")
            return [CataloguePublished(catalogue_version=command.version, effective_from=command.effective_from)]
    raise TypeError(command)


def _ids_once(rules: Sequence[Rule]) -> None:
    ids = [rule.id for rule in rules]
    if len(set(ids)) != len(ids):
        raise Refused("RULE_ID_TWICE", "every rule of a catalogue needs an id of its own")


def evolve_catalogue(catalogue: CatalogueVersion, event: Payload) -> CatalogueVersion:
    match event:
        case CatalogueDrafted():
            return CatalogueVersion("DRAFTED")
        case CataloguePublished():
            return CatalogueVersion("PUBLISHED")
    return catalogue


CATALOGUE = Decider("catalogue", CatalogueVersion(), decide_catalogue, evolve_catalogue)
