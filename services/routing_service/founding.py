"""A first city: the sample organisation tree and catalogue enter the log once, at the first start."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from services.routing_service.unit import CATALOGUE, UNIT, DraftCatalogue, KeepUnit, PublishCatalogue
from shared.contracts.codes import UnitType
from shared.contracts.duties import Rule, UnitRegistered
from shared.contracts.envelope import Actor
from shared.engine.execute import Intention
from shared.engine.runtime import Running

DATA = Path(__file__).parent / "data"
DRAFTED_AND_PUBLISHED = 2
FOUNDER = Actor("FOUNDING")


async def found(running: Running) -> None:
    """Register every unit, then draft and publish the catalogue; goes on where an earlier start was cut off."""
    catalogue = _read("catalogue.toml")
    version = catalogue["version"]
    steps_done = len(await running.log.read_stream(CATALOGUE.stream(version)))
    if steps_done == DRAFTED_AND_PUBLISHED:
        return
    now = running.clock.now()
    entries = list(units(_read("beijing.toml")))
    keep = [Intention(UNIT, e.unit_id, KeepUnit(at=now, actor=FOUNDER, entry=e)) for e in entries]
    await asyncio.gather(*(running.executor.execute(intention) for intention in keep))
    rules = tuple(Rule(**rule) for rule in catalogue["rules"])
    draft = DraftCatalogue(at=now, actor=FOUNDER, version=version, source=catalogue["source"], rules=rules)
    if not steps_done:
        await running.executor.execute(Intention(CATALOGUE, version, draft))
    effective = datetime.fromisoformat(catalogue["effective_from"])
    publish = PublishCatalogue(at=now, actor=FOUNDER, version=version, effective_from=effective)
    await running.executor.execute(Intention(CATALOGUE, version, publish))


def units(city: dict[str, Any]) -> Iterator[UnitRegistered]:
    """The entries of a city file: districts, their streets and towns, departments, enterprises."""
    for district in city["districts"]:
        yield _unit(district, UnitType.DISTRICT)
        for line in district["towns"]:
            digits, names = line.split(" ", 1)
            name, *aliases = names.split("|")
            yield UnitRegistered(
                unit_id=district["id"] + digits,
                name=name,
                name_en="",
                unit_type=UnitType.STREET_TOWN,
                parent_id=district["id"],
                aliases=tuple(aliases),
            )
    for department in city["departments"]:
        yield _unit(department, UnitType.MUNICIPAL_DEPT)
    for enterprise in city["enterprises"]:
        yield _unit(enterprise, UnitType.PUBLIC_ENTERPRISE)


def _unit(entry: dict[str, Any], unit_type: UnitType) -> UnitRegistered:
    return UnitRegistered(unit_id=entry["id"], name=entry["name"], name_en=entry["name_en"], unit_type=unit_type)


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((DATA / name).read_text(encoding="utf-8"))
