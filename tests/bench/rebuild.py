"""Folding a view anew from 200,000 events of whole lives."""

from __future__ import annotations

import asyncio
import time

from services.city import SERVICES
from services.intake_service.appeal import APPEAL, Register
from services.intake_service.registration import AppealBody, facts_of
from services.intake_service.views import Cases, Story
from services.serving import calm_collector
from shared.contracts.intake import Place
from shared.engine.execute import Intention
from shared.engine.projections import Projection
from shared.engine.runtime import Role, Running, running_city
from shared.engine.settings import Settings
from shared.eventlog.log import Append
from tests.support.city import SECRETS
from tests.support.events import entry

EVENTS = 200_000
PER_LIFE = 20


async def fill(city: dict[str, Running], lives: int) -> None:
    """Lives of twenty events in intake's log: one registration, then events that the view folds as they come."""
    intake = city["intake"]
    who = {"type": "PERSON", "phone": "13800000000"}
    body = AppealBody.model_validate(
        {"kind": "COMPLAINT", "channel": "WEB", "content": "停水", "appellant": who}, strict=False
    )

    async def life(number: int) -> None:
        now = intake.clock.now()
        facts = facts_of(
            body, Place(), ticket_no=f"t-{number}", tracking_code="x", client="bench", now=now, index_key=SECRETS.index,
            subject_key=await intake.keyring.fresh(), ids=intake.ids,
        )  # fmt: skip
        subject = f"bench-{number}"
        register = Register(at=now, facts=facts)
        await intake.executor.execute(Intention(APPEAL, subject, register, sealed_for=facts.appellant.key, fresh=True))
        stream = APPEAL.stream(subject)
        more = [entry(stream, version) for version in range(2, PER_LIFE + 1)]
        await intake.log.append(Append(stream, subject, 1, more))

    for start in range(0, lives, 500):
        await asyncio.gather(*(life(number) for number in range(start, min(start + 500, lives))))


async def rebuild_rates(url: str, settings: Settings) -> dict[str, float]:
    """Events per second into a fresh generation of the case view and of the story."""
    calm_collector()
    async with running_city(SERVICES, url, settings, SECRETS, roles={Role.API}) as city:
        await fill(city, EVENTS // PER_LIFE)
        intake = city["intake"]
        rates: dict[str, float] = {}
        for view in (Cases(), Story()):
            projection = Projection(view, intake.pool, intake.bus)
            counted: list[int] = []
            started = time.perf_counter()
            await projection.rebuild(counted.append)
            rates[view.name] = sum(counted) / (time.perf_counter() - started)
        return rates
