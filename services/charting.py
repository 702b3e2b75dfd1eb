"""Loads the facts of a city's places into the organisation tree: divisions, communities, boundaries.

Harmless to repeat. What the tree already knows beside these facts (English names, other aliases) is kept.
"""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from services.addresses import Addresses

TOGETHER = 32
PAGE = 200
GOVERNING = frozenset({"subdistrict", "town", "township", "area_office"})
"""Levels of the statistical code list that are a street or town; special zones have no government of their own."""


class WrongFacts(Exception):
    """A file of places cannot be used; the message says why."""


@dataclass(frozen=True)
class Facts:
    """Units as files have them, by id; `boundaries` by the unit's id."""

    units: dict[str, dict[str, Any]]
    boundaries: dict[str, dict[str, Any]]
    left_out: int


def read_facts(divisions: Path | None, communities: Path | None, boundaries: Path | None) -> Facts:
    """The facts of up to three files. Raises WrongFacts.

    `divisions`: CSV `code,name,level,parent_code,other_name`. `communities`: CSV `code,name,town_code`. `boundaries`:
    a GeoJSON FeatureCollection whose features have the property `code`.
    """
    rows = list(_rows(divisions, {"code", "name", "level", "parent_code", "other_name"}))
    units: dict[str, dict[str, Any]] = {}
    first: dict[tuple[str, str], str] = {}
    same: dict[str, str] = {}
    for row in rows:
        if kind := "DISTRICT" if row["level"] == "district" else "STREET_TOWN" if row["level"] in GOVERNING else None:
            code = first.setdefault((row["name"], row["parent_code"]), row["code"])
            same[row["code"]] = code  # some streets have two codes
            units.setdefault(code, _unit(code, row["name"], kind, row["parent_code"], row["other_name"]))
    left_out = len(rows) - len(units)
    for row in _rows(communities, {"code", "name", "town_code"}):
        if divisions is None or row["town_code"] in same:
            town = same.get(row["town_code"], row["town_code"])
            units[row["code"]] = _unit(row["code"], row["name"], "COMMUNITY", town, "")
        else:
            left_out += 1
    return Facts(units, dict(_boundaries(boundaries)), left_out)


def _unit(code: str, name: str, kind: str, parent: str, alias: str) -> dict[str, Any]:
    above = {} if kind == "DISTRICT" else {"parent_id": parent}
    return {"unit_id": code, "name": name, "unit_type": kind, "aliases": [alias] if alias else []} | above


def _rows(file: Path | None, needed: set[str]) -> Iterator[dict[str, str]]:
    if file is None:
        return
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            if missing := needed - set(reader.fieldnames or ()):
                raise WrongFacts(f"{file} has no column {', '.join(sorted(missing))}")
            yield from reader
    except UnicodeDecodeError:
        raise WrongFacts(f"{file} is not UTF-8; convert it first, e.g. iconv -f GB18030 -t UTF-8") from None


def _boundaries(file: Path | None) -> Iterator[tuple[str, dict[str, Any]]]:
    if file is None:
        return
    try:
        for feature in json.loads(file.read_text(encoding="utf-8"))["features"]:
            shape = feature["geometry"]
            polygons = [shape["coordinates"]] if shape["type"] == "Polygon" else shape["coordinates"]
            flat = [[[_rounded(point) for point in ring] for ring in polygon] for polygon in polygons]
            yield str(feature["properties"]["code"]), {"type": "MultiPolygon", "coordinates": flat}
    except (ValueError, KeyError, TypeError) as error:
        raise WrongFacts(f"{file} is no GeoJSON FeatureCollection with codes: {error}") from None


def _rounded(point: list[float]) -> list[float]:
    """Longitude and latitude to the sixth place, as the tree keeps them."""
    longitude, latitude = point[:2]
    return [round(longitude, 6), round(latitude, 6)]


async def chart(at: Addresses, token: str, facts: Facts, progress: Callable[[int, int], None]) -> dict[str, int]:
    """Enter every unit that the tree lacks or has otherwise; answers with how many were changed and unchanged."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}, raise_for_status=True) as http:
        known = await _tree(http, at)
        wanted = [_merged(unit, known.get(code), facts.boundaries.get(code)) for code, unit in facts.units.items()]
        alone = facts.boundaries.keys() - facts.units.keys()
        wanted += [_merged(known[code], known[code], facts.boundaries[code]) for code in sorted(alone & known.keys())]
        changed = [unit for unit in wanted if unit != _entry(known.get(unit["unit_id"], {}))]
        done = 0
        for part in _in_parts(changed):
            await asyncio.gather(*(_put(http, at, unit) for unit in part))
            done += len(part)
            progress(done, len(changed))
    return {"entered": len(changed), "already there": len(wanted) - len(changed), "left out": facts.left_out}


def _in_parts(units: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    """What others lie in comes first: codes grow longer with every level."""
    for length in sorted({len(unit["unit_id"]) for unit in units}):
        level = [unit for unit in units if len(unit["unit_id"]) == length]
        yield from (level[start : start + TOGETHER] for start in range(0, len(level), TOGETHER))


async def _tree(http: aiohttp.ClientSession, at: Addresses) -> dict[str, dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}
    parameters: dict[str, str] = {"limit": str(PAGE)}
    while True:
        async with http.get(at("/routing/v1/units"), params=parameters) as response:
            page = await response.json()
        known |= {unit["unit_id"]: unit for unit in page["items"]}
        if page["next_cursor"] is None:
            return known
        parameters["cursor"] = page["next_cursor"]


def _merged(unit: dict[str, Any], known: dict[str, Any] | None, boundary: dict[str, Any] | None) -> dict[str, Any]:
    before = known or {}
    merged = {"name_en": "", "parent_id": None, "boundary": None, **_entry(before), **_entry(unit)}
    aliases = [*before.get("aliases", ()), *unit.get("aliases", ())]
    merged["aliases"] = [alias for alias in dict.fromkeys(aliases) if alias != merged["name"]]
    return merged | ({"boundary": boundary} if boundary else {"boundary": before.get("boundary")})


def _entry(unit: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in unit.items() if name not in {"version", "planned"}}
    return kept if kept.get("closed") else {name: value for name, value in kept.items() if name != "closed"}


async def _put(http: aiohttp.ClientSession, at: Addresses, unit: dict[str, Any]) -> None:
    async with http.put(at("/routing/v1/units"), json=unit):
        return
