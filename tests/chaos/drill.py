"""The drill: whole lives over HTTP while processes, sessions and the broker are killed; then the accounts are checked.

What must hold afterwards: every accepted appeal is there once, every effect happened once, every topic holds every
event of its log in order, and every view equals a fresh fold of the logs.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer

from services.city import SERVICES
from services.simulation import Tally, invented, simulate
from shared.contracts.envelope import decode_envelope
from shared.engine.buses import kafka_options
from shared.engine.clock import SystemClock
from shared.engine.runtime import Role, Running, running_city
from shared.engine.secrets import read_secrets
from shared.messaging.cloudevents import from_message
from shared.web.tokens import Tokens
from tests.chaos.stage import Stage, stage, trouble, without_kafka
from tests.support.running import job
from tests.support.views import dump, quiet, rebuilt

DRAIN_SECONDS = 120
PATIENCE_SECONDS = 180.0
ONCE_A_ROUND = (
    "case-opened",
    "order-signed",
    "case-signed",
    "callback-scheduled",
    "callback-recorded",
    "assessment-recorded",
)


@dataclass
class Accounts:
    """What the drill did, and what is wrong (nothing, that is)."""

    lives: int = 0
    events: int = 0
    published: int = 0
    repeats: int = 0
    seconds: float = 0.0
    ended: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    views: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def drill(
    folder: Path, lives: int, seed: int, every_seconds: float, progress: Callable[[str, int, int], None]
) -> Accounts:
    """Live so many lives under trouble, heal, and check the accounts."""
    chance = random.Random(seed)
    started = time.monotonic()
    async with stage(folder) as made:
        tokens = Tokens(read_secrets(made.settings.keys_dir, create=False).token, SystemClock())

        def token_for(role: str, unit: str | None) -> str:
            return tokens.issue(role, f"{role.lower()}@{unit or 'city'}", 86400, unit)

        async with job(trouble(made, chance, every_seconds)):
            tally = await simulate(made.at(), token_for, invented(lives, chance), seed, progress, PATIENCE_SECONDS)
        accounts = Accounts(lives, ended=dict(tally.ended))
        accounts.wrong += [f"{count} × {failure}" for failure, count in tally.failures.items()]
        await offline_intake(made, token_for, accounts)
        await made.make_topic_anew("routing")
        async with beside(made) as city:
            accounts.wrong += await drained(made, city)
            accounts.faults = dict(made.faults)
            await check_topics(made, accounts)
            await check_logs(city, accounts, tally)
    accounts.seconds = time.monotonic() - started
    return accounts


async def offline_intake(made: Stage, token_for: Callable[[str, str | None], str], accounts: Accounts) -> None:
    """While the broker is gone every appeal is accepted all the same."""
    made.broker.kill()
    headers = {"Authorization": f"Bearer {token_for('AGENT', None)}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        for body in invented(20, random.Random(0)):
            async with http.post(made.at()("/intake/v1/appeals"), json=body) as response:
                if response.status != 201:
                    accounts.wrong.append(f"without a broker: {response.status}")
    accounts.lives += 20
    made.broker.start()
    await asyncio.to_thread(made.broker.wait)


@asynccontextmanager
async def beside(made: Stage) -> AsyncIterator[dict[str, Running]]:
    """The same databases, to look at: nothing is consumed, reacted to or relayed from here."""
    settings = without_kafka(made.settings)
    secrets = read_secrets(settings.keys_dir, create=False)
    async with running_city(SERVICES, made.url, settings, secrets, roles={Role.API}) as city:
        yield city


async def drained(made: Stage, city: dict[str, Running]) -> list[str]:
    """Wait until all relays and consumers have caught up by themselves, and all services are ready.

    Gauges are looked at every few seconds, each service at its own time, so cursors and logs have the last word.
    """
    give_up = time.monotonic() + DRAIN_SECONDS
    behind: list[str] = ["?"]
    async with aiohttp.ClientSession() as http:
        while behind and time.monotonic() < give_up:
            await asyncio.sleep(0.5)
            behind = [line for service in made.ports for line in await _behind(http, made, service)]
            if not behind and not await quiet(city):
                behind = ["cursors have not reached the heads of the logs"]
    return [f"not drained after {DRAIN_SECONDS} s: {line}" for line in behind]


async def _behind(http: aiohttp.ClientSession, made: Stage, service: str) -> list[str]:
    base = made.at()(f"/{service}")
    try:
        async with http.get(f"{base}/health/ready") as ready, http.get(f"{base}/metrics") as metrics:
            if ready.status != 200:
                return [f"{service} is not ready: {await ready.text()}"]
            text = await metrics.text()
    except aiohttp.ClientError as error:
        process = made.children[service].process
        return [f"{service}: {type(error).__name__}, its process has {process and process.returncode}"]
    lagging = ("jiesu_relay_lag_events", "jiesu_consumer_lag_events", "jiesu_parked_now")
    return [line for line in text.splitlines() if line.startswith(lagging) and not line.endswith(" 0.0")]


async def check_topics(made: Stage, accounts: Accounts) -> None:
    """Every topic holds positions 1, 2, 3 … of every partition of its log; repeats are only ever repeats."""
    options = kafka_options(made.settings)
    for service in SERVICES:
        topic = options.topic(service.name)
        client = AIOKafkaConsumer(topic, bootstrap_servers=options.bootstrap, auto_offset_reset="earliest")
        await client.start()
        await client.seek_to_beginning()
        ends = await client.end_offsets(list(client.assignment()))
        next_position: Counter[int] = Counter()
        versions: Counter[str] = Counter()
        while any([await client.position(place) < end for place, end in ends.items()]):
            for place, records in (await client.getmany(timeout_ms=200)).items():
                for record in records:
                    event = from_message(
                        service.name, place.partition, len(ends), record.key, record.value, dict(record.headers)
                    )
                    accounts.published += 1
                    if event.position != next_position[place.partition] + 1:
                        accounts.repeats += 1  # or sent to a topic made anew, before its relay noticed
                        continue
                    next_position[place.partition] = event.position
                    stream = decode_envelope(event.body).stream
                    if event.version != versions[stream] + 1:
                        accounts.wrong.append(f"{stream}: version {event.version} after {versions[stream]}")
                    versions[stream] = event.version
        await client.stop()
        accounts.events += sum(next_position.values())


async def check_logs(city: dict[str, Running], accounts: Accounts, tally: Tally) -> None:
    """The logs themselves: nothing lost, nothing twice; and the views say what the logs say."""
    in_logs = sum([sum(await running.log.heads()) for running in city.values()])
    if in_logs != accounts.events:
        accounts.wrong.append(f"{in_logs} events in the logs, {accounts.events} in the topics")
    await _count_effects(city, accounts)
    for running in city.values():
        for projection in running.projections:
            before = await dump(running, projection.view)
            after = await rebuilt(running, projection)
            if before != after:
                live, fresh = set(before) - set(after), set(after) - set(before)
                told = f"only live: {list(live)[:2]}, only fresh: {list(fresh)[:2]}"
                accounts.wrong.append(f"view {projection.view.name} differs from a fresh fold; {told}")
            accounts.views.append(f"{projection.view.name} ({len(before)} rows)")


async def _count_effects(city: dict[str, Running], accounts: Accounts) -> None:
    appeals = await _per_subject(city["intake"], "appeal-registered")
    if len(appeals) != accounts.lives or set(appeals.values()) - {1}:
        accounts.wrong.append(f"{len(appeals)} appeals on record, {accounts.lives} were accepted")
    proposed = await _per_subject(city["routing"], "order-proposed")
    if proposed != appeals:
        accounts.wrong.append(f"{len(appeals)} appeals, {len(proposed)} orders")
    for running in city.values():
        for name in ONCE_A_ROUND:
            twice = [key for key, count in (await _per_round(running, name)).items() if count > 1]
            accounts.wrong += [f"{name} of {key} happened twice" for key in twice]
        parked = await running.pool.fetchval("SELECT count(*) FROM parked")
        if parked:
            accounts.wrong.append(f"{parked} events are parked in {running.service.name}")


async def _events(running: Running, name: str) -> list[Any]:
    rows = await running.pool.fetch("SELECT body FROM events WHERE type LIKE '%.' || $1 || '.v%'", name)
    return [decode_envelope(row["body"]) for row in rows]


async def _per_subject(running: Running, name: str) -> Counter[str]:
    return Counter(event.subject for event in await _events(running, name))


async def _per_round(running: Running, name: str) -> Counter[tuple[str, int]]:
    return Counter((event.subject, event.data["round"]) for event in await _events(running, name))
