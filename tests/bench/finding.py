"""Finding among many appeals: what resembles a text, what contains a word, what is near; beside reading one row."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rich.progress import Progress
from sqlalchemy import select

from services.city import SERVICES
from services.intake_service.appeal import APPEAL, Register
from services.intake_service.finding import similar, those_that_are, wanted
from services.intake_service.reading import case_row, in_reach
from services.intake_service.registration import AppealBody, facts_of
from services.intake_service.search import Search
from services.intake_service.views import CASES, Cases, Story
from services.serving import calm_collector
from shared.contracts.codes import Datum
from shared.contracts.intake import Place
from shared.engine.execute import Intention
from shared.engine.projections import Projection
from shared.engine.runtime import Role, Running, running_city
from shared.engine.settings import Settings
from shared.web.identity import Principal
from tests.support.city import SECRETS

APPEALS, ASKED = 200_000, 300
SENTENCES, WORDS = 6, 900
TOGETHER = 500


@dataclass(frozen=True)
class Times:
    """Milliseconds."""

    p50: float
    p95: float


def _texts(chance: random.Random, count: int) -> list[str]:
    """Sentences of syllables that are as unevenly common as in real messages."""
    syllables = [chr(0x4E00 + number) for number in range(WORDS)]
    weights = [1 / (rank + 5) for rank in range(WORDS)]
    sentences = ["".join(chance.choices(syllables, weights, k=chance.randint(8, 40))) for _ in range(count // 4 + 50)]
    return ["，".join(chance.sample(sentences, chance.randint(2, SENTENCES))) + f"。第{n}号" for n in range(count)]


async def _fill(intake: Running, texts: list[str], chance: random.Random, progress: Progress) -> None:
    task = progress.add_task("registering", total=len(texts))

    async def one(number: int, text: str) -> None:
        now = intake.clock.now()
        longitude, latitude = f"{116 + chance.random():.6f}", f"{39.5 + chance.random():.6f}"
        at = Place(
            longitude=longitude, latitude=latitude, datum=Datum.WGS84, district=f"1101{chance.randrange(1, 17):02d}"
        )
        body = AppealBody.model_validate(
            {"kind": "COMPLAINT", "channel": "WEB", "content": text, "appellant": {"anonymous": True}}, strict=False
        )
        facts = facts_of(
            body, at, ticket_no=f"t-{number}", tracking_code="x", client="bench", now=now, index_key=SECRETS.index,
            subject_key=await intake.keyring.fresh(), ids=intake.ids,
        )  # fmt: skip
        command = Register(at=now, facts=facts)
        await intake.executor.execute(
            Intention(APPEAL, f"f-{number}", command, sealed_for=facts.appellant.key, fresh=True)
        )

    for start in range(0, len(texts), TOGETHER):
        await asyncio.gather(*(one(n, texts[n]) for n in range(start, min(start + TOGETHER, len(texts)))))
        progress.update(task, completed=start)
    progress.update(task, completed=len(texts))


async def _timed(ask: Callable[[int], Awaitable[object]]) -> Times:
    took = []
    for number in range(ASKED):
        started = time.perf_counter()
        await ask(number)
        took.append((time.perf_counter() - started) * 1000)
    cuts = statistics.quantiles(took, n=20)
    return Times(statistics.median(took), cuts[-1])


async def finding_times(url: str, settings: Settings, progress: Progress) -> tuple[float, dict[str, Times]]:
    """Appeals indexed per second, and how long each kind of question takes among all of them."""
    calm_collector()
    chance = random.Random(1)
    texts = _texts(chance, APPEALS)
    async with running_city(SERVICES, url, settings, SECRETS, roles={Role.API}) as city:
        intake = city["intake"]
        await _fill(intake, texts, chance, progress)
        rate = 0.0
        for view in (Cases(), Story(), Search(intake.keyring, SECRETS.index)):
            task = progress.add_task(f"view {view.name}", total=APPEALS)
            started = time.perf_counter()
            await Projection(view, intake.pool, intake.bus).rebuild(lambda n, task=task: progress.advance(task, n))
            rate = APPEALS / (time.perf_counter() - started)
        picked = [chance.randrange(APPEALS) for _ in range(ASKED)]

        async def listed(q: str | None = None, near: str | None = None, **equal: str) -> None:
            sought, principal = wanted(q, near), Principal("bench", ("HOTLINE_SUPERVISOR",))
            conditions = [] if sought.nothing else sought.conditions(SECRETS.index)
            conditions += [CASES.c[name] == value for name, value in equal.items()]
            query = select(CASES).where(CASES.c.state.is_not(None), in_reach(principal), *conditions)
            async with intake.reads.connect() as connection:
                latest = query.order_by(CASES.c.updated_at.desc(), CASES.c.appeal_id.desc()).limit(51)
                rows = list((await connection.execute(latest)).mappings())
            await those_that_are(intake, rows, sought, Principal("bench", ("AUDITOR",)))

        district = "1101{:02d}".format
        return rate, {
            "one row by its key": await _timed(lambda n: case_row(intake, f"f-{picked[n]}")),
            "similar": await _timed(lambda n: similar(intake, texts[picked[n]], None, None)),
            "contains ten letters": await _timed(lambda n: listed(texts[picked[n]][:10].replace("，", ""))),
            "contains two letters": await _timed(lambda n: listed(texts[picked[n]][:2])),
            "within 500 m": await _timed(lambda n: listed(near=f"{116 + n / ASKED},{39.5 + n / ASKED},500")),
            "a district": await _timed(lambda n: listed(district=district(n % 16 + 1))),
            "a district and state": await _timed(lambda n: listed(district=district(n % 16 + 1), state="REGISTERED")),
            "a state nobody is in": await _timed(lambda _: listed(state="ON_LEDGER")),
        }
