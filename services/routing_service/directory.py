"""The directory as reactions see it: the tree and the catalogue in force, read from the views, kept while unchanged."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
from pydantic import TypeAdapter

from services.routing_service.jurisdiction import Gazetteer, Unit
from services.routing_service.limits import shipped_limits
from services.routing_service.proposal import Directory
from shared.contracts.codes import UnitType
from shared.contracts.routing import Rule
from shared.eventlog.postgres import Connection

REVISION = """
    SELECT coalesce((SELECT sum(version) FROM units), 0) AS units,
           coalesce((SELECT sum(version) FROM catalogues), 0) AS catalogues,
           (SELECT catalogue_version FROM catalogues WHERE state = 'PUBLISHED' AND effective_from <= $1
            ORDER BY effective_from DESC, updated_at DESC LIMIT 1) AS in_force"""
RULES = "SELECT rules FROM catalogues WHERE catalogue_version = $1"
_RULES = TypeAdapter(tuple[Rule, ...])


_kept: dict[tuple[Any, ...], Directory] = {}
"""The last directory read, by its revision: the tree is four hundred rows, appeals are many."""


async def read_directory(connection: Connection, now: datetime) -> Directory:
    """The directory in force now."""
    revision = (await connection.fetchval("SELECT current_database()"), *await connection.fetchrow(REVISION, now))
    if revision not in _kept:
        directory = await _read(connection, revision[-1])
        _kept.clear()
        _kept[revision] = directory
    return _kept[revision]


async def _read(connection: Connection, in_force: str | None) -> Directory:
    units = {row["unit_id"]: _unit(row) for row in await connection.fetch("SELECT * FROM units")}
    rules = _RULES.validate_json(await connection.fetchval(RULES, in_force)) if in_force else ()
    return Directory(Gazetteer(units), in_force, rules, shipped_limits())


def _unit(row: Any) -> Unit:
    aliases = tuple(orjson.loads(row["aliases"]))
    return Unit(row["unit_id"], row["name"], row["name_en"], UnitType(row["unit_type"]), row["parent_id"], aliases)
