"""Appeals read against catalogue, classifier and place; dispatched end to end; deadlines swept among a million."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

from services.city import SERVICES
from services.intake_service.appeal import APPEAL, Register
from services.intake_service.registration import AppealBody, facts_of
from services.routing_service.directory import Desk, read_directory
from services.routing_service.founding import found
from services.routing_service.matter import Matter
from services.routing_service.proposal import propose
from services.routing_service.service import SERVICE as ROUTING
from services.routing_service.training import Example, train
from services.serving import calm_collector
from shared.contracts.intake import Place
from shared.engine.deadlines import Sweeper
from shared.engine.execute import Intention
from shared.engine.runtime import EVERY_ROLE, Role, Running, running_city
from shared.engine.settings import Settings
from tests.support.city import SECRETS
from tests.support.orders import dispatch_many
from tests.support.waiting import until

TEXTS = (
    "朝外街道雅宝里社区停水两天了，自来水公司电话打不通，家里有老人和孩子，请尽快处理。",
    "望京街道小区门口垃圾堆了一周没人清运，气味很大，影响居民生活，请相关部门尽快安排。",
    "回龙观的路灯不亮已经半个月，晚上出行很不安全，多次反映没有结果。",
    "单位拖欠农民工工资三个月，老板电话不接，希望人力社保部门帮助讨要。",
)
MATTERS, APPEALS, DUE, OPEN = 4000, 4000, 20_000, 1_000_000
FILL = """
    INSERT INTO deadlines (stream, name, subject, due_at)
    SELECT 'order-far-' || n, 'handle', 'far-' || n, $1 FROM generate_series(1, $2) AS n"""


DUE_NOW = """
    INSERT INTO deadlines (stream, name, subject, due_at)
    SELECT s, 'sign', a, $3 FROM unnest($1::text[], $2::text[]) AS due (s, a)"""


async def dispatch_rates(url: str, settings: Settings) -> dict[str, float]:
    """Things a second: proposals by rules alone and with a classifier, appeals to the dispatch, deadlines."""
    calm_collector()
    async with running_city(SERVICES, url, settings, SECRETS, roles={Role.API}) as city:
        await found(city["routing"])
    async with running_city(SERVICES, url, settings, SECRETS, roles=EVERY_ROLE) as city:
        rates = await _proposals(city["routing"])
        rates["appeals, registered to dispatched"] = await _end_to_end(city)
    async with running_city(SERVICES, url, settings, SECRETS, roles={Role.API}) as city:
        rates |= await _sweeps(city["routing"])
    return rates


async def _proposals(routing: Running) -> dict[str, float]:
    async with routing.pool.acquire() as connection:
        desk = await read_directory(connection, routing.clock.now(), routing.objects)
    examples = [
        Example("", f"{text}{n}", str(label), f"{label}{n}") for label, text in enumerate(TEXTS) for n in range(40)
    ]
    model = train(examples, {}, lambda *_: None).model
    helped = Desk(desk.gazetteer, desk.catalogue_version, desk.rules, desk.limits, model, "bench")
    matters = [Matter(content=f"{TEXTS[n % len(TEXTS)]}第{n}号") for n in range(MATTERS)]
    return {
        "proposals, rules alone": _rate(desk, matters),
        "proposals, with a model": _rate(helped, matters),
    }


def _rate(desk: Desk, matters: list[Matter]) -> float:
    started = time.perf_counter()
    for matter in matters:
        propose(matter, desk, desk.learned(matter))
    return len(matters) / (time.perf_counter() - started)


async def _end_to_end(city: dict[str, Running]) -> float:
    """Registered by 64 writers, read and dispatched by routing, until the last order has left."""
    intake, routing = city["intake"], city["routing"]
    started = time.perf_counter()
    for start in range(0, APPEALS, 64):
        await asyncio.gather(*(_register(intake, number) for number in range(start, min(start + 64, APPEALS))))
    sent = "SELECT count(*) FROM orders WHERE lead_unit IS NOT NULL"
    await until(lambda: routing.pool.fetchval(sent), lambda count: count >= APPEALS)
    return APPEALS / (time.perf_counter() - started)


async def _register(intake: Running, number: int) -> None:
    said: dict[str, Any] = {"kind": "HELP", "channel": "WEB", "content": f"{TEXTS[number % len(TEXTS)]}第{number}号"}
    body = AppealBody.model_validate(said | {"appellant": {"type": "PERSON", "phone": "13800000000"}}, strict=False)
    now = intake.clock.now()
    facts = facts_of(
        body, Place(), ticket_no=f"t-{number}", tracking_code="x", client="bench", now=now, index_key=SECRETS.index,
        subject_key=await intake.keyring.fresh(), ids=intake.ids,
    )  # fmt: skip
    command = Register(at=now, facts=facts)
    intention = Intention(APPEAL, f"bench-{number}", command, sealed_for=facts.appellant.key, fresh=True)
    await intake.executor.execute(intention)


async def _sweeps(routing: Running) -> dict[str, float]:
    """Deadlines that are due, alone and among a million that are not; and looking when nothing is due."""
    assert ROUTING.deadlines is not None
    sweeper = Sweeper("routing", ROUTING.deadlines, routing.pool, routing.executor, routing.clock)
    rates = {"due deadlines, alone": await _sweep_due(routing, sweeper, "few")}
    await routing.pool.execute(FILL, routing.clock.now() + timedelta(days=30), OPEN, timeout=600)
    await routing.pool.execute("ANALYZE deadlines", timeout=600)
    rates[f"due deadlines, among {OPEN:,} open ones"] = await _sweep_due(routing, sweeper, "many")
    started = time.perf_counter()
    for _ in range(1000):
        await sweeper.sweep()
    rates["looks at them when nothing is due"] = 1000 / (time.perf_counter() - started)
    return rates


async def _sweep_due(routing: Running, sweeper: Sweeper, name: str) -> float:
    long_ago = routing.clock.now() - timedelta(hours=3)
    appeals = await dispatch_many(routing, DUE, long_ago, name)
    streams = [f"order-{one}" for one in appeals]
    await routing.pool.execute(DUE_NOW, streams, appeals, long_ago + timedelta(hours=2))
    started = time.perf_counter()
    while await sweeper.sweep():
        pass
    return DUE / (time.perf_counter() - started)
