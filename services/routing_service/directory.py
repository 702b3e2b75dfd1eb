"""The directory as reactions see it: tree, catalogue and classifier in force, kept while unchanged."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from hashlib import sha256
from typing import Any

import orjson
import structlog
from pydantic import TypeAdapter

from services.routing_service.classifier import Classifier, WrongModel, load
from services.routing_service.jurisdiction import Gazetteer, Unit
from services.routing_service.limits import shipped_limits
from services.routing_service.matter import Matter
from services.routing_service.model import object_of, version_of
from services.routing_service.proposal import Directory, Learned
from shared.contracts.codes import UnitType
from shared.contracts.duties import Rule
from shared.engine.objects import ObjectMissing, Objects, StoreUnavailable
from shared.eventlog.postgres import Connection

UNITS = "SELECT * FROM units WHERE NOT coalesce(closed, name IS NULL)"
REVISION = """
    SELECT coalesce((SELECT sum(version) FROM units), 0) AS units,
           coalesce((SELECT sum(version) FROM catalogues), 0) AS catalogues,
           (SELECT catalogue_version FROM catalogues WHERE state = 'PUBLISHED' AND effective_from <= $1
            ORDER BY effective_from DESC, updated_at DESC LIMIT 1) AS in_force,
           (SELECT sha256 FROM classifiers) AS classifier"""
RULES = "SELECT rules FROM catalogues WHERE catalogue_version = $1"
_RULES = TypeAdapter(tuple[Rule, ...])
PATIENCE_SECONDS, AGAIN_SECONDS = 10, 30
"""So long a model file is waited for, and after that no more is asked for it."""
EXPLAINED = 2
"""For so many labels the decisive words are looked for."""
log = structlog.get_logger()


@dataclass(frozen=True)
class Desk(Directory):
    """A directory, and the classifier that helps to read appeals; None where there is none, or it cannot be read."""

    classifier: Classifier | None = None
    model_version: str | None = None

    def learned(self, matter: Matter) -> Learned:
        """What the classifier says of an appeal."""
        if self.classifier is None:
            return Learned()
        found, said = self.classifier.explained(matter.title, matter.content, EXPLAINED)
        shares = {name: Decimal(f"{share:.4f}") for name, share in zip(self.classifier.categories, found, strict=True)}
        words = {label: [pair for pair in pairs if pair in self._told_openly] for label, pairs in said.items()}
        return Learned(self.model_version, shares, words, self._calibration)

    @cached_property
    def _calibration(self) -> Sequence[tuple[Decimal, Decimal]]:
        """What the model knows of its own confidence, read once and not for every appeal."""
        about = self.classifier.about if self.classifier else {}
        return [(Decimal(said), Decimal(true)) for said, true in about.get("calibration", ())]

    @cached_property
    def _told_openly(self) -> frozenset[str]:
        """Pairs of letters of the catalogue: only these are named as reasons. A resident's own words stay sealed."""
        texts = [text for rule in self.rules for text in (rule.name, *rule.keywords, *rule.categories)]
        return frozenset(text[at : at + 2] for text in texts for at in range(len(text) - 1))


_kept: dict[tuple[Any, ...], Desk] = {}
"""The last directory read, by its revision: the tree is four hundred rows, appeals are many."""
_models: dict[str, Classifier] = {}
"""The last classifier read, by the hash of its file."""
_ask_again: dict[str, float] = {}
"""When to look again for a file that could not be had, by the event loop's clock."""


async def read_directory(connection: Connection, now: datetime, objects: Objects) -> Desk:
    """The directory in force now."""
    revision, desk = await _read(connection, now)
    model = revision[-1]
    classifier = await _classifier(model, objects) if model else None
    if classifier is None or desk.classifier is classifier:
        return desk
    desk = replace(desk, classifier=classifier, model_version=version_of(model))
    if revision in _kept:  # the file was waited for, and somebody may have read a newer one meanwhile
        _kept[revision] = desk
    return desk


async def read_rules(connection: Connection, now: datetime) -> Desk:
    """The same without looking for a classifier."""
    return (await _read(connection, now))[1]


async def _read(connection: Connection, now: datetime) -> tuple[tuple[Any, ...], Desk]:
    """The revision, which ends with the hash of the model in force, and its desk."""
    revision = (await connection.fetchval("SELECT current_database()"), *await connection.fetchrow(REVISION, now))
    if revision not in _kept:
        desk = await read_version(connection, revision[-2])
        _kept.clear()
        _kept[revision] = desk
    return revision, _kept[revision]


async def read_version(connection: Connection, catalogue: str | None) -> Desk:
    """The tree as it is, with one version of the catalogue and no classifier."""
    units = {row["unit_id"]: _unit(row) for row in await connection.fetch(UNITS)}
    rules = _RULES.validate_json(await connection.fetchval(RULES, catalogue)) if catalogue else ()
    return Desk(Gazetteer(units), catalogue, rules, shipped_limits())


async def _classifier(digest: str, objects: Objects) -> Classifier | None:
    """The model in force. None where its file cannot be had or is another: then the rules alone serve."""
    if digest in _models:
        return _models[digest]
    now = asyncio.get_running_loop().time()
    if now < _ask_again.get(digest, now):
        return None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            file = io.BytesIO(b"".join([block async for block in objects.get(object_of(digest))]))
        if sha256(file.getbuffer()).hexdigest() != digest:
            raise WrongModel("the stored file is not what was put there")
        model = await asyncio.to_thread(load, file)
    except (ObjectMissing, StoreUnavailable, TimeoutError, WrongModel) as error:
        _ask_again[digest] = now + AGAIN_SECONDS
        log.error("the rules alone serve", reason="the classifier in force cannot be read", error=type(error).__name__)
        return None
    _models.clear()
    _models[digest] = model
    return model


def _unit(row: Any) -> Unit:
    aliases = tuple(orjson.loads(row["aliases"]))
    return Unit(row["unit_id"], row["name"], row["name_en"], UnitType(row["unit_type"]), row["parent_id"], aliases)
