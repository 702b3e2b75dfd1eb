"""Who does what in the city: the organisation tree, the catalogue of duties, and the models that help to read it."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from shared.contracts.codes import UnitType, Urgency
from shared.contracts.envelope import Instant, Payload, ServiceName


class _Routing(Payload):
    OF: ClassVar[ServiceName] = "routing"


class Rule(BaseModel):
    """One line of the 派单目录. `department_only`: the matter may not be passed down to the grass roots."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    name: str
    categories: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    duty: str
    tier: Urgency = Urgency.GENERAL
    department_only: bool = False
    basis: str


class Candidate(BaseModel):
    """One unit that could be responsible, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    unit_id: str
    name: str
    confidence: str
    why: tuple[str, ...]
    rule_id: str | None = None
    unit_type: UnitType
    tier: Urgency
    cc_district: str | None = None
    department_only: bool = False


Boundary = tuple[tuple[tuple[int, ...], ...], ...]
"""Polygons, each a ring and its holes, each longitude, latitude, longitude … in millionths of a degree (WGS-84)."""


class UnitEntry(BaseModel):
    """An organisation of the tree.

    `boundary`: the ground that a district, street or town is answerable for. `closed`: it exists no more, and nothing
    new is dispatched to it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    unit_id: str
    name: str
    name_en: str
    unit_type: UnitType
    parent_id: str | None = None
    aliases: tuple[str, ...] = ()
    boundary: Boundary | None = None
    closed: bool | None = None


class UnitRegistered(UnitEntry, _Routing):
    """An organisation entered the tree."""


class UnitChanged(UnitRegistered):
    """An organisation's entry was replaced as a whole."""


class UnitChangeScheduled(_Routing):
    """An organisation's entry will be replaced as a whole on that day; a later plan replaces this one."""

    effective_from: Instant
    entry: UnitEntry


class CatalogueDrafted(_Routing):
    """A version of the 派单目录 was written down. Art 11 ¶2: made jointly, adjusted dynamically.

    `by` and `by_role` are who drafted it; somebody else in another role publishes it.
    """

    catalogue_version: str
    source: str
    rules: tuple[Rule, ...]
    by: str = ""
    by_role: str = ""


class CataloguePublished(_Routing):
    """A drafted version came into force."""

    catalogue_version: str
    effective_from: Instant


class ClassifierStored(_Routing):
    """A model file was kept: `data` is the fingerprint of what it learned from, `measures` how good it is on messages
    that it had not seen (decimal strings).
    """

    model_version: str
    sha256: str
    bytes: int
    categories: tuple[str, ...]
    data: str
    rows: int
    measures: dict[str, str]


class ClassifierActivated(_Routing):
    """From here on proposals are made with this model."""

    model_version: str
    previous: str | None = None


class ClassifierRolledBack(_Routing):
    """The model in force went; the one before serves again, or the rules alone."""

    model_version: str
    to: str | None = None
    reason: str
