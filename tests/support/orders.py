"""Orders by the thousand, straight through routing's log: what timers, sweeps and benches are tried on."""

from __future__ import annotations

import asyncio
from datetime import datetime

from services.routing_service.limits import shipped_limits
from services.routing_service.order import ORDER, DispatchAsProposed, Propose
from shared.contracts.codes import UnitType, Urgency
from shared.contracts.duties import Candidate
from shared.contracts.routing import OrderProposed
from shared.engine.execute import Intention
from shared.engine.runtime import Running

TOGETHER = 500
CANDIDATE = Candidate(
    unit_id="110105026",
    name="望京街道",
    confidence="0.75",
    why=("rule rubbish",),
    rule_id="rubbish",
    unit_type=UnitType.STREET_TOWN,
    tier=Urgency.GENERAL,
    cc_district="110105",
)


async def dispatch_many(routing: Running, count: int, at: datetime, name: str = "order") -> list[str]:
    """So many orders, proposed and dispatched at that moment; answers with their appeals."""
    appeals = [f"{name}-{number}" for number in range(count)]
    for start in range(0, count, TOGETHER):
        await asyncio.gather(*(_dispatch(routing, one, at) for one in appeals[start : start + TOGETHER]))
    return appeals


async def _dispatch(routing: Running, appeal_id: str, at: datetime) -> None:
    facts = OrderProposed(
        ticket_no=appeal_id,
        kind="HELP",
        subject_key="k",
        identity_hidden=False,
        registered_at=at,
        candidates=(CANDIDATE,),
        automatic=True,
        limits_version=shipped_limits().version,
    )
    for command in (Propose(at=at, facts=facts), DispatchAsProposed(at=at, limits=shipped_limits())):
        await routing.executor.execute(Intention(ORDER, appeal_id, command))
