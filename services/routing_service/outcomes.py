"""What became of past orders, as training signal: whose each was in the end, and how often the desk was right at first.

A label is the duty, not the unit, where the place decides: TOWNSHIP for a street or town, DISTRICT for a district. An
order counts once a callback has closed it; upheld objections and corrections by hand have their say by who led then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import sha256

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sqlalchemy import select

from services.routing_service.directory import Desk
from services.routing_service.past import Past, past_appeals
from services.routing_service.proposal import Learned, propose
from services.routing_service.training import FOLDS, Example, Trained, train
from services.routing_service.views import ORDERS, UNITS
from shared.contracts.codes import CaseState, UnitType
from shared.engine.runtime import Running

BY_PLACE = {str(UnitType.STREET_TOWN): "TOWNSHIP", str(UnitType.DISTRICT): "DISTRICT"}
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Outcome:
    """A past appeal, the unit that led in the end, and that unit's duty."""

    past: Past
    unit_id: str
    duty: str


async def outcomes(running: Running, progress: Progress) -> list[Outcome]:
    """Every appeal whose order has ended and that can still be read. Raises BusUnavailable."""
    led, found, read = await _led(running), [], 0
    total = await running.pool.fetchval("SELECT count(*) FROM orders")
    async for past in past_appeals(running):
        read += 1
        if (last := led.get(past.appeal_id)) is not None:
            found.append(Outcome(past, *last))
        if read % 500 == 0:
            progress(read, max(read, total))
    progress(read, read)
    return found


async def _led(running: Running) -> dict[str, tuple[str, str]]:
    query = select(ORDERS.c.appeal_id, ORDERS.c.lead_unit, UNITS.c.unit_type)
    query = query.join(UNITS, UNITS.c.unit_id == ORDERS.c.lead_unit).where(ORDERS.c.state == str(CaseState.CLOSED))
    async with running.reads.connect() as connection:
        rows = (await connection.execute(query)).mappings().all()
    return {row["appeal_id"]: (row["lead_unit"], BY_PLACE.get(row["unit_type"], row["lead_unit"])) for row in rows}


def learned_from(found: Sequence[Outcome], desk: Desk, progress: Progress) -> Trained:
    """A model of duties, with a calibration of what the desk will say with its help. Raises TooLittle.

    Duties with too few different texts to be measured are left out.
    """
    often = Counter(duty for duty, _ in {(one.duty, one.past.matter.content) for one in found})
    used = [one for one in found if often[one.duty] >= FOLDS]
    data = sha256("\n".join(f"{one.past.appeal_id} {one.duty}" for one in used).encode()).hexdigest()
    trained = train([_example(one) for one in used], {"data": data, "rows": len(used)}, progress)
    about = trained.model.about | {"calibration": _calibration(used, trained, desk)}
    return replace(trained, model=replace(trained.model, about=about))


def _example(one: Outcome) -> Example:
    """Identical texts are one group: a model must not be measured on what it has seen."""
    matter = one.past.matter
    return Example(matter.title, matter.content, one.duty, f"{matter.title}\n{matter.content}")


def _calibration(used: Sequence[Outcome], trained: Trained, desk: Desk) -> list[tuple[str, str]]:
    """What the desk says of its first proposal, and how often that is right: a rising line through experience."""
    said, right = [], []
    for one, row in zip(used, trained.unseen, strict=True):
        shares = {name: Decimal(f"{share:.4f}") for name, share in zip(trained.model.categories, row, strict=True)}
        first = next(iter(propose(one.past.matter, desk, Learned("unseen", shares))), None)
        if first is not None:
            said.append(float(first.confidence))
            right.append(first.unit_id == one.unit_id)
    if not said:
        return []
    line = IsotonicRegression(y_min=0.01, y_max=0.99, out_of_bounds="clip").fit(said, np.array(right, float))
    return [(f"{x:.2f}", f"{y:.2f}") for x, y in zip(line.X_thresholds_, line.y_thresholds_, strict=True)]
