"""The organisation tree, one stream a unit, and the catalogue, one stream a version: drafted first, then published.

It takes two to change who is responsible: a version is published by another person in another role than drafted it.
Law: Regulation Art 11 ¶2 (the catalogue is made jointly).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared.contracts.duties import (
    CatalogueDrafted,
    CataloguePublished,
    Rule,
    UnitChanged,
    UnitChangeScheduled,
    UnitEntry,
    UnitRegistered,
)
from shared.contracts.envelope import Actor, Payload
from shared.engine.decider import Command, Decider, NotYours, Refused


@dataclass(frozen=True)
class KnownUnit:
    """The unit's last entry, and the one that is planned."""

    entry: UnitRegistered | None = None
    planned: UnitChangeScheduled | None = None
    state: str = "REGISTERED"


@dataclass(frozen=True, kw_only=True)
class KeepUnit(Command):
    """Enter a unit, or replace its entry; now, or on a day that lies ahead."""

    entry: UnitRegistered
    effective_from: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class CarryOutPlan(Command):
    """The day of a planned entry has come."""


def decide_unit(command: Command, unit: KnownUnit) -> Sequence[Payload]:
    match command:
        case KeepUnit(effective_from=day) if day is not None and day > command.at:
            entry = UnitEntry(**command.entry.model_dump())
            planned = UnitChangeScheduled(effective_from=day, entry=entry)
            return [] if planned == unit.planned else [planned]
        case KeepUnit():
            return _entered(command.entry.model_dump(), unit)
        case CarryOutPlan():
            plan = unit.planned
            return _entered(plan.entry.model_dump(), unit) if plan and command.at >= plan.effective_from else []
    raise TypeError(command)


def _entered(fields: dict[str, Any], unit: KnownUnit) -> Sequence[Payload]:
    if unit.entry is None:
        return [UnitRegistered(**fields)]
    return [] if unit.entry.model_dump() == fields else [UnitChanged(**fields)]


def evolve_unit(unit: KnownUnit, event: Payload) -> KnownUnit:
    match event:
        case UnitRegistered():
            done = unit.planned and unit.planned.entry.model_dump() == event.model_dump()
            return replace(unit, entry=event, planned=None if done else unit.planned)
        case UnitChangeScheduled():
            return replace(unit, planned=event)
    return unit


UNIT = Decider("unit", KnownUnit(), decide_unit, evolve_unit)


@dataclass(frozen=True)
class CatalogueVersion:
    """Where a version of the catalogue stands."""

    state: str = "MISSING"
    drafted: CatalogueDrafted | None = None


@dataclass(frozen=True, kw_only=True)
class DraftCatalogue(Command):
    """Write a version down. Its rules have been looked at before (rulebook.py)."""

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
            return [_drafted(command)]
        case PublishCatalogue():
            if catalogue.state == "MISSING":
                raise NotYours
            if catalogue.state == "PUBLISHED":
                raise Refused("CATALOGUE_PUBLISHED", "this version is already in force or was")
            _by_another(command.actor, catalogue.drafted)
            return [CataloguePublished(catalogue_version=command.version, effective_from=command.effective_from)]
    raise TypeError(command)


def _drafted(command: DraftCatalogue) -> CatalogueDrafted:
    by, role = command.actor.sub or "", command.actor.role
    return CatalogueDrafted(
        catalogue_version=command.version, source=command.source, rules=command.rules, by=by, by_role=role
    )


def _by_another(actor: Actor, drafted: CatalogueDrafted | None) -> None:
    """The sample catalogue of a first start has no person behind it."""
    if drafted is None or not drafted.by:
        return
    if actor.sub == drafted.by or actor.role == drafted.by_role:
        raise Refused(
            "SECOND_OFFICER_NEEDED",
            f"drafted by a {drafted.by_role}; another person in another role publishes it",
        )


def evolve_catalogue(catalogue: CatalogueVersion, event: Payload) -> CatalogueVersion:
    match event:
        case CatalogueDrafted():
            return CatalogueVersion("DRAFTED", event)
        case CataloguePublished():
            return replace(catalogue, state="PUBLISHED")
    return catalogue


CATALOGUE = Decider("catalogue", CatalogueVersion(), decide_catalogue, evolve_catalogue)
