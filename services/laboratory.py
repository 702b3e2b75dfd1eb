"""A city's past for scoring alone: months of lives written into logs of their own, counted, closed, and then served.

It lies in a folder of its own and touches no other city. Run again it goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial

from rich.table import Table

from services.chronicle import Past, write
from services.city import SERVICES
from services.scoring_service.documents import document_of
from services.scoring_service.founding import FIRST, shipped
from services.scoring_service.period import bounds, neighbour, period_of
from services.scoring_service.policy import read_policy
from services.scoring_service.publishing import drawn_up, signer_of
from services.scoring_service.reading import Scope, policy_for, policy_named
from services.scoring_service.restating import closing
from services.scoring_service.tables import closes_at, read_table, snapshot
from services.screen import bar, run, screen, step
from services.serving import listening, serve
from services.up import alone, database
from shared.contracts.codes import Basis, League
from shared.contracts.envelope import Actor
from shared.engine.clock import SystemClock
from shared.engine.runtime import Role, Running, running_city
from shared.engine.secrets import Secrets, read_secrets
from shared.engine.settings import Settings
from shared.engine.telemetry import configure_logging
from shared.web.tokens import Tokens

SCORING = next(service for service in SERVICES if service.name == "scoring")
WRITTEN = tuple(service for service in SERVICES if service.name in {"routing", "feedback"})
CLOSER = Actor("SIMULATION")
START_DAY = read_policy(shipped()[FIRST]).period_start_day
LOOK_AGAIN_SECONDS = 0.5
SHOWN = 5
COLUMNS = {
    **{"rank": "rank", "name": "unit", "valid_callbacks": "callbacks", "resolution_rate": "solved %"},
    **{"composite_shown": "score", "low": "low", "high": "high", "label": "label"},
}
Progress = Callable[[str, int, int], None]


def past_of(months: int, lives: int, streets: int, seed: int, now: datetime) -> Past:
    """So many assessment periods, of which the last is still running."""
    first = neighbour(period_of(now, START_DAY), 1 - months)
    return Past(bounds(first, START_DAY)[0], now, lives, streets, seed)


async def experiment(settings: Settings, past: Past, progress: Progress, started: Callable[[Tokens], None]) -> None:
    """Write the past, count it, close its periods, show what three policies make of it, and serve scoring."""
    with listening(settings) as listener, alone(settings.home):
        secrets = read_secrets(settings.keys_dir, create=True)
        async with database(settings) as url:
            async with running_city(WRITTEN, url, settings, secrets, roles={Role.API}) as city:
                if not sum(await city["routing"].log.heads()):
                    await write(past, city["routing"], city["feedback"], partial(progress, "writing"))
            await _count(url, settings, secrets, progress)
            await serve((SCORING,), url, settings, secrets, started, listener=listener)


async def _count(url: str, settings: Settings, secrets: Secrets, progress: Progress) -> None:
    async with running_city((SCORING,), url, settings, secrets, roles={Role.REACT, Role.CLOCK}) as city:
        scoring = city["scoring"]
        await caught_up(scoring, partial(progress, "counting"))
        await close_all(scoring, partial(progress, "closing"))
        await _show(scoring)


async def caught_up(scoring: Running, progress: Callable[[int, int], None]) -> None:
    """Until scoring has heard, and counted, everything that the others had said."""
    goal = sum([sum(await scoring.bus.heads(source)) for source in ("routing", "feedback")])
    while True:
        left = await scoring.pool.fetchval(LEFT, ["routing", "feedback"])
        progress(min(goal, int(left or 0)), goal)
        if await scoring.heard_everything():
            return
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


LEFT = "SELECT sum(sequence) FROM cursors WHERE consumer LIKE 'lives%' AND source = ANY($1)"


async def close_all(scoring: Running, progress: Callable[[int, int], None]) -> None:
    """Every period that is over is closed, under the policy that was in force."""
    now = scoring.clock.now()
    first = await scoring.pool.fetchval("SELECT min(registered_on) FROM lives")
    closed = {row[0] for row in await scoring.pool.fetch("SELECT DISTINCT period FROM publications")}
    async with snapshot(scoring) as connection:
        start_day = (await policy_for(connection, None, period_of(now, 1), now)).period_start_day
    period, periods = period_of(datetime.combine(first, datetime.min.time(), now.tzinfo), start_day), []
    while period < period_of(now, start_day):
        if period not in closed:
            periods.append(period)
        period = neighbour(period, 1)
    for number, one in enumerate(periods, 1):
        async with snapshot(scoring) as connection:
            policy = await policy_for(connection, None, one, now)
            if now < closes_at(one, policy):
                continue
            drawn = await drawn_up(connection, policy, one, now)
        await scoring.executor.execute(closing(one, drawn, now, CLOSER, signer_of(scoring)))
        progress(number, len(periods))


async def _show(scoring: Running) -> None:
    """The first of the last whole period, under every shipped policy."""
    now = scoring.clock.now()
    for version in shipped():
        async with snapshot(scoring) as connection:
            policy = await policy_named(connection, version)
            period = neighbour(period_of(now, policy.period_start_day), -1)
            table = await read_table(connection, Scope(policy, period, Basis.ALL), League.STREET_TOWN, now)
        items = document_of(table)["items"]
        shown = Table(title=f"{policy.version} · {policy.name} · {period}", title_justify="left", box=None)
        for name, heading in COLUMNS.items():
            shown.add_column(heading, justify="left" if name in {"name", "label"} else "right")
        for item in items[:SHOWN]:
            shown.add_row(*("" if item[name] is None else str(item[name]) for name in COLUMNS))
        screen.print(shown)


def simulate_past(settings: Settings, months: int, lives: int, streets: int, seed: int) -> None:
    """`jiesu simulate --months`: in a folder beside the city's."""
    configure_logging(settings.log_level)
    lab = settings.model_copy(update={"home": settings.home / "past", "keys": None})
    past = past_of(months, lives, streets, seed, SystemClock().now())
    with bar() as progress_bar:
        run(experiment(lab, past, partial(step, progress_bar, {}), partial(_served, lab, progress_bar.stop)))


def _served(settings: Settings, stop: Callable[[], None], tokens: Tokens) -> None:
    stop()
    token = tokens.issue("AUDITOR", "auditor@past", 24 * 3600)
    period = neighbour(period_of(SystemClock().now(), START_DAY), -1)
    query = f"league=STREET_TOWN&policy=BJ-LABELS-2025&period={period}"
    screen.print(f"\n[bold green]The past is counted.[/] It is kept in {settings.home}; Ctrl-C ends this.\n")
    screen.print(f"  more tokens: JIESU_HOME={settings.home} jiesu token --role MUNICIPAL_ADMIN\n", soft_wrap=True)
    screen.print("[bold]A league table[/] (paste as it is):\n")
    screen.out(f"TOKEN={token}\ncurl -s -H \"Authorization: Bearer $TOKEN\" -H 'Accept: text/csv' \\")
    screen.out(f"  'http://127.0.0.1:{settings.port}/scoring/v1/scores?{query}' | head\n")
