"""One appeal as scoring knows it, and whose it is."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scoring_service.life import Life, Rule, life_of, shares
from services.scoring_service.tallying import LIVES, facts_in
from shared.engine.decider import NotYours
from shared.engine.runtime import Running
from shared.web.identity import Ownership


async def read_life(connection: AsyncConnection, appeal_id: str) -> Life:
    """The life with everything that is known now. Raises NotYours."""
    facts = (await connection.execute(select(LIVES.c.facts).where(LIVES.c.appeal_id == appeal_id))).scalar()
    if facts is None:
        raise NotYours
    return life_of(facts_in(facts))


def owned(life: Life) -> Ownership:
    """The units that ever had the appeal or were called to it, and the district that watches over it."""
    sent = [each.dispatched for each in life.rounds.values() if each.dispatched]
    units = {str(fact.data["unit"]) for fact in sent}
    units |= {each.unit_id for each in life.rounds.values() if each.unit_id is not None}
    units |= {share.unit_id for share in shares(life, Rule.LAST)}
    units |= {unit for fact in life.whistles for unit in fact.data.get("departments", ())}
    districts = [fact.data.get("district") for fact in sent]
    return Ownership(frozenset(units), next((one for one in reversed(districts) if one), None))


async def owners(running: Running, subjects: Sequence[str]) -> dict[str, Ownership]:
    """Whose these appeals are."""
    query = select(LIVES.c.appeal_id, LIVES.c.facts).where(LIVES.c.appeal_id.in_(subjects))
    async with running.reads.connect() as connection:
        rows = (await connection.execute(query)).all()
    return {row.appeal_id: owned(life_of(facts_in(row.facts))) for row in rows}
