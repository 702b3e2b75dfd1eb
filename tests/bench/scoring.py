"""A month (or a year) of lives in the live tables: reading, counting anew, simulating, and how far the live sums lag.

Lives are invented and their rows written straight into the view's tables; everything measured is the service's own.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

import asyncpg
import orjson

from services.chronicle import CASE, CHRONICLER, ORDER, Note, Past, life, write
from services.laboratory import SCORING, WRITTEN
from services.scoring_service.documents import document_of
from services.scoring_service.founding import shipped
from services.scoring_service.life import day_of, life_of
from services.scoring_service.period import bounds, neighbour
from services.scoring_service.policy import read_policy
from services.scoring_service.publishing import drawn_up, signed, signer_of, table_from
from services.scoring_service.reading import Scope
from services.scoring_service.simulating import moves
from services.scoring_service.tables import expected_at, read_table, snapshot
from services.scoring_service.tallying import MIXES, TALLIES, Shares, add_sums, count_shares, facts_in, summed
from shared.contracts.codes import Basis, League
from shared.contracts.scoring import PeriodClosed
from shared.engine.execute import Intention
from shared.engine.runtime import Role, Running, running_city
from shared.engine.settings import Settings
from tests.support.city import SECRETS
from tests.support.invented import facts_of_life

LIVES = int(os.environ.get("SCORED_LIVES", "100000"))
"""2,100,000 is a month of a city of 70,000 appeals a day; a tenth of a million shows the same shape in a minute."""
STREETS, CHUNK, CORES = 343, 10_000, 2
PERIOD, MONTHS = "2026-10", int(os.environ.get("SCORED_MONTHS", "1"))
"""The last period, and how many there are."""
LIVES_A_SECOND, SECONDS = 50, 20
TIMES = 30
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Times:
    """Of something done several times, in milliseconds."""

    took: Sequence[float]

    def at(self, share: float) -> float:
        return sorted(self.took)[min(len(self.took) - 1, int(share * len(self.took)))]


def rows_of(past: Past, first: int, count: int) -> list[tuple[Any, ...]]:
    """Rows of `lives`, as the view would hold them."""
    streets, rows = past.units, []
    for number in range(first, min(first + count, past.lives)):
        one = life_of(facts_of_life(past, number, streets))
        if one.registered_at is not None:
            kept = orjson.dumps([tuple(fact) for fact in one.facts]).decode()
            changed = datetime.fromisoformat(one.changed_at)
            rows.append((f"{number}", " x ", day_of(one.registered_at)[0], changed, kept))
    return rows


def counted_anew(columns: Sequence[str]) -> tuple[Any, Any]:
    """The sums of lives, from their facts."""
    changed = Shares()
    for column in columns:
        count_shares(changed, life_of(facts_in(column)), 1)
    return summed(changed)


async def scoring_rates(url: str, settings: Settings, progress: Progress) -> dict[str, Any]:
    """Everything that is measured, by name."""
    start, end = bounds(neighbour(PERIOD, 1 - MONTHS), 19)[0], bounds(PERIOD, 19)[1]
    past = Past(start, end, LIVES, STREETS)
    async with running_city(WRITTEN, url, settings, SECRETS, roles={Role.API}) as logs:
        await write(Past(start, end, 0, STREETS), logs["routing"], logs["feedback"], lambda done, goal: None)
        async with running_city((SCORING,), url, settings, SECRETS) as city:
            scoring = city["scoring"]
            with ProcessPoolExecutor(CORES) as pool:
                await _fill(scoring, past, pool, progress)
                found = {"lives": LIVES, "counted anew, lives/s": await _recount(scoring, url, pool, progress)}
            found |= await _read(scoring)
            found["lag"] = await _lag(scoring, logs["routing"], logs["feedback"], past)
            return found


async def _fill(scoring: Running, past: Past, pool: ProcessPoolExecutor, progress: Progress) -> None:
    """The live tables, without going through the logs, which is measured elsewhere."""
    loop = asyncio.get_running_loop()
    generation = await scoring.pool.fetchrow("SELECT version, generation FROM view_generations WHERE view = 'lives'")
    suffix = f"_v{generation['version']}_g{generation['generation']}"
    starts = range(0, past.lives, CHUNK)
    done = 0
    for pair in (starts[n : n + CORES] for n in range(0, len(starts), CORES)):
        made = await asyncio.gather(*(loop.run_in_executor(pool, rows_of, past, one, CHUNK) for one in pair))
        sums = await asyncio.gather(*(loop.run_in_executor(pool, counted_anew, [r[4] for r in rows]) for rows in made))
        async with scoring.pool.acquire() as connection:
            for rows, both in zip(made, sums, strict=True):
                await connection.copy_records_to_table(f"lives{suffix}", records=rows)
                for table, one in zip((TALLIES, MIXES), both, strict=True):
                    await add_sums(connection, table, f"{table.name}{suffix}", one)
                done += len(rows)
        progress("inventing", min(past.lives, pair[-1] + CHUNK), past.lives)
    for name in ("lives", "tallies", "mixes"):
        await scoring.pool.execute(f'ANALYZE "{name}{suffix}"', timeout=600)


async def _recount(scoring: Running, url: str, pool: ProcessPoolExecutor, progress: Progress) -> float:
    """Every life read and counted anew on two cores, each some of the days; the sums must be the live ones."""
    loop = asyncio.get_running_loop()
    days = [row[0] for row in await scoring.pool.fetch("SELECT DISTINCT registered_on FROM lives ORDER BY 1")]
    started = time.perf_counter()
    parts = [loop.run_in_executor(pool, counted_of_days, url, days[core::CORES]) for core in range(CORES)]
    counts, sums = zip(*await asyncio.gather(*parts), strict=True)
    took = time.perf_counter() - started
    progress("counting anew", LIVES, LIVES)
    anew = {key: numbers for part in sums for key, numbers in part.items()}
    live = {tuple(row)[:5]: tuple(row)[5:] for row in await scoring.pool.fetch("SELECT * FROM tallies")}
    assert live == anew, "the live sums are not those of the lives"
    return float(sum(counts)) / took


def counted_of_days(url: str, days: Sequence[date]) -> tuple[int, dict[Any, Any]]:
    """What the lives of some days come to: how many there were, and their sums by half-day."""

    async def count() -> tuple[int, dict[Any, Any]]:
        changed, number = Shares(), 0
        connection = await asyncpg.connect(url, server_settings={"search_path": "scoring"})
        try:
            async with connection.transaction():
                query = "SELECT facts FROM lives WHERE registered_on = ANY($1)"
                async for row in connection.cursor(query, days, prefetch=5000):
                    count_shares(changed, life_of(facts_in(row["facts"])), 1)
                    number += 1
        finally:
            await connection.close()
        return number, summed(changed)[0]

    return asyncio.run(count())


async def _read(scoring: Running) -> dict[str, Any]:
    policies = [read_policy(dict(document)) for document in shipped().values() if document["period_start_day"] == 19]
    now = scoring.clock.now()
    kinds: dict[str, Callable[[Any], Any]] = {
        "one row by its key": lambda connection: connection.exec_driver_sql("SELECT * FROM lives LIMIT 1"),
        "live table": partial(_table, policy=policies[0], now=now),
        "live table with what to expect": partial(_table, policy=policies[0], now=now, weighed=True),
        f"two policies over {MONTHS} months": partial(_simulation, policies=policies, now=now),
        "drawn up for publication": partial(_drawn, policy=policies[0], now=now),
        "published table, from its event": partial(
            _published, await _publication(scoring, policies[0], now), policies[0]
        ),
    }
    found: dict[str, Any] = {}
    for name, ask in kinds.items():
        took = []
        for _ in range(TIMES if "drawn" not in name and "policies" not in name else 3):
            async with snapshot(scoring) as connection:
                started = time.perf_counter()
                await ask(connection)
                took.append(1000 * (time.perf_counter() - started))
        found[name] = Times(took)
    return found


async def _table(connection: Any, policy: Any, now: datetime, weighed: bool = False) -> Any:
    scope = Scope(policy, PERIOD, Basis.ALL)
    expected = await expected_at(connection, scope) if weighed else None
    return await read_table(connection, scope, League.STREET_TOWN, now, expected=expected)


async def _simulation(connection: Any, policies: Sequence[Any], now: datetime) -> None:
    for month in range(MONTHS):
        scopes = [Scope(policy, neighbour(PERIOD, -month), Basis.ALL) for policy in policies[:2]]
        moves(*[await read_table(connection, scope, League.STREET_TOWN, now) for scope in scopes])


async def _drawn(connection: Any, policy: Any, now: datetime) -> None:
    await drawn_up(connection, policy, PERIOD, now)


async def _publication(scoring: Running, policy: Any, now: datetime) -> dict[str, Any]:
    async with snapshot(scoring) as connection:
        drawn = await drawn_up(connection, policy, PERIOD, now)
    streets = next(one for one in drawn if one["league"] is League.STREET_TOWN)
    return signed(PeriodClosed, streets, signer_of(scoring)).model_dump(mode="json")


async def _published(publication: dict[str, Any], policy: Any, _: Any) -> None:
    document_of(table_from(publication, policy, Basis.ALL))


async def _lag(scoring: Running, routing: Running, feedback: Running, past: Past) -> Times:
    """So many lives a second are written; how long until the live sums have each of their callbacks."""
    more = Past(past.begins, past.ends, LIVES_A_SECOND * SECONDS, STREETS, seed=2)
    streets, took = more.units, []

    async def one(number: int) -> None:
        appeal_id, orders, cases = life(more, number, streets)
        for at, payload in orders:
            await routing.executor.execute(_noted(ORDER, appeal_id, at, payload))
        for at, payload in cases[:-1]:
            await feedback.executor.execute(_noted(CASE, appeal_id, at, payload))
        for at, payload in cases[-1:]:
            decision = await feedback.executor.execute(_noted(CASE, appeal_id, at, payload))
            written, position = time.perf_counter(), decision.appended
            while position and not await scoring.views_reached("feedback", position.partition, position.position):
                pass
            took.append(1000 * (time.perf_counter() - written))

    async with asyncio.TaskGroup() as group:
        for number in range(more.lives):
            group.create_task(one(number))
            await asyncio.sleep(random.Random(number).expovariate(LIVES_A_SECOND))
    return Times(took)


def _noted(decider: Any, appeal_id: str, at: datetime, payload: Any) -> Intention[None]:
    return Intention(decider, appeal_id, Note(at=at, actor=CHRONICLER, payload=payload))
