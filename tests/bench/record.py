"""What the record costs: the tree beside the appends, the way to a checkpoint, proofs, and checking all of it again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import uuid_utils

from services.city import SERVICES
from services.serving import calm_collector, doors_of, faces
from shared.engine.ids import SystemIds
from shared.engine.notarising import PUBLISHED_SIZE, notarise, signer_of
from shared.engine.runtime import Role, Running, running_city
from shared.engine.settings import Settings
from shared.eventlog.canonical import canonical, leaf_hash
from shared.eventlog.exporting import export
from shared.eventlog.inspection import findings
from shared.eventlog.log import Append, Entry, partition_of
from shared.eventlog.notary import Notary
from shared.eventlog.tree import StoredTree
from shared.eventlog.verify import Tree, leaf_of
from shared.web.app import create_city
from shared.web.tokens import Tokens
from tests.bench.log import Speed, measured
from tests.bench.scoring import Times
from tests.bench.serving import listening
from tests.support.city import SECRETS
from tests.support.events import envelope

LEAVES = int(os.environ.get("LEAVES", "100000"))
"""How many events the log holds when it is asked: 1,000,000 takes some minutes more."""
APPENDS, WRITERS, STREAM, BATCH = 20_000, 64, 20, 10_000
A_SECOND, SECONDS, LOOK_SECONDS = 50, 20, 0.02
ASKED = int(os.environ.get("ASKED", "300"))
COLUMNS = ["partition", "position", "stream", "version", "event_id", "type", "body", "leaf_hash"]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Measured:
    """Microseconds an event (or a page), what takes a while, and shares."""

    each: dict[str, float]
    speeds: dict[str, Speed]
    times: dict[str, Times]
    seconds: dict[str, float]


def entry(stream: str, version: int) -> Entry:
    """An event of about 600 bytes, half of them a sealed text, as most are."""
    # As long as the ciphertext of some sixty characters.
    text = {"key": f"k{uuid_utils.uuid7().hex}", "ct": random.randbytes(84).hex()}
    one = envelope(stream, version)
    body = canonical(one._replace(data=one.data | {"note": text}).as_json())
    return Entry(one.id, one.type, body, leaf_hash(body))


def work(name: str, count: int) -> list[Append]:
    return [Append(f"{name}-{n}", f"{name}-{n}", 0, [entry(f"{name}-{n}", 1)], ()) for n in range(count)]


async def record_costs(url: str, settings: Settings, progress: Progress) -> Measured:
    """Everything about the tree that is measured."""
    calm_collector()
    found = Measured({}, {}, {}, {})
    async with running_city(SERVICES, url, settings, SECRETS, roles={Role.API}) as city:
        intake = city["intake"]
        await _appends(intake, found, progress)
        await fill(intake, url, LEAVES, progress)
        await _integrated(intake, found)
        await _lag(intake, found, progress)
        await _proofs(intake, found, progress)
        async with serving(city, settings) as address:
            await _proofs_over_http(intake, address, found, progress)
        with tempfile.TemporaryDirectory() as folder:
            await _verified(intake, Path(folder), found, progress)
    return found


def notary_of(intake: Running) -> tuple[StoredTree, Notary]:
    tree, settings = StoredTree(intake.pool), intake.settings
    signer = signer_of(settings, "intake", intake.secrets.signing)
    return tree, Notary(tree, signer, settings.notary_dir / "intake.json")


@asynccontextmanager
async def notarising(intake: Running) -> AsyncIterator[None]:
    """The service's own job, meanwhile."""
    job = notarise("intake", intake.pool, intake.settings, intake.signer, intake.bell)
    async with asyncio.TaskGroup() as group:  # so that whoever waits for a signature learns that there will be none
        task = group.create_task(job)
        yield
        task.cancel()


async def _appends(intake: Running, found: Measured, progress: Progress) -> None:
    """The same appends alone, and while they are signed; then what is left over, and all of it by itself."""
    progress("appending", 0, 1)
    await measured(work("warm", APPENDS // 4), WRITERS, intake.log.append)
    found.speeds["appended, nobody signs"] = await measured(work("alone", APPENDS), WRITERS, intake.log.append)
    await _caught_up(intake)
    async with notarising(intake):
        found.speeds["appended while being signed"] = await measured(
            work("signed", APPENDS), WRITERS, intake.log.append
        )
    await _caught_up(intake)
    progress("appending", 1, 1)


async def _caught_up(intake: Running) -> None:
    tree, notary = notary_of(intake)
    while await tree.integrate():
        pass
    await notary.sign(await tree.size())


async def fill(intake: Running, url: str, leaves: int, progress: Progress) -> None:
    """Events straight into the tables, without going through the log, which is measured elsewhere."""
    owner = await asyncpg.connect(url, server_settings={"search_path": "intake"})
    heads = {row["partition"]: row["position"] for row in await owner.fetch("SELECT * FROM log_heads")}
    begun = sum(heads.values())
    for first in range(begun, leaves, BATCH):
        rows = []
        for number in range(first, min(first + BATCH, leaves)):
            stream = f"fill-{number // STREAM}"
            one, partition = entry(stream, number % STREAM + 1), partition_of(stream, len(heads))
            heads[partition] += 1
            version = number % STREAM + 1
            rows.append((partition, heads[partition], stream, version, one.event_id, one.type, one.body, one.leaf_hash))
        async with owner.transaction():
            await owner.copy_records_to_table("events", records=rows, columns=COLUMNS)
            await owner.executemany("UPDATE log_heads SET position = $2 WHERE partition = $1", heads.items())
        progress("writing events", first + len(rows) - begun, leaves - begun)
    await owner.execute("ANALYZE events", timeout=600)
    await owner.close()


async def _integrated(intake: Running, found: Measured) -> None:
    """Microseconds an event: giving places, and reading and hashing what is signed."""
    tree, notary = notary_of(intake)
    before, started, cpu = await tree.size(), time.perf_counter(), time.process_time()
    while await tree.integrate():
        pass
    integrated, size = time.perf_counter(), await tree.size()
    if size > before:
        await notary.sign(size)
        signed, ours = time.perf_counter(), time.process_time() - cpu
        found.each["of both, CPU of this process"] = ours * 1e6 / (size - before)
        found.each["integrated"] = (integrated - started) * 1e6 / (size - before)
        found.each["read again, hashed and signed"] = (signed - integrated) * 1e6 / (size - before)


async def _lag(intake: Running, found: Measured, progress: Progress) -> None:
    """So many appends a second, come what may; how long until a published checkpoint covers each."""
    tree, waiting, took = StoredTree(intake.pool), dict[str, float](), list[float]()
    total, appended, run = A_SECOND * SECONDS, list[float](), uuid_utils.uuid7().hex

    async def one(number: int) -> None:
        stream = f"{run}-{number}"
        event, started = entry(stream, 1), time.perf_counter()
        await intake.log.append(Append(stream, stream, 0, [event], ()))
        waiting[event.event_id] = time.perf_counter()
        appended.append((waiting[event.event_id] - started) * 1000)

    async def watch() -> None:
        published = 0
        while len(took) < total:
            size = await intake.pool.fetchval(PUBLISHED_SIZE) or 0
            now = time.perf_counter()
            if size > published:
                published = size
                for event_id in [one for one, since in waiting.items() if since < now]:
                    place = await tree.place_of(event_id)
                    if place and place[0] is not None and place[0] < size:
                        took.append((now - waiting.pop(event_id)) * 1000)
                progress("signed within", len(took), total)
            await asyncio.sleep(LOOK_SECONDS)

    async with notarising(intake), asyncio.TaskGroup() as group:
        group.create_task(watch())
        for number in range(total):
            group.create_task(one(number))
            await asyncio.sleep(random.Random(number).expovariate(A_SECOND))
    found.times["from append to published checkpoint"] = Times(took)
    found.times["append meanwhile"] = Times(appended)


async def timed(ask: Callable[[int], Awaitable[object]], count: int = ASKED) -> Times:
    took = []
    for number in range(count):
        started = time.perf_counter()
        await ask(number)
        took.append((time.perf_counter() - started) * 1000)
    return Times(took)


async def _proofs(intake: Running, found: Measured, progress: Progress) -> None:
    """Cold: of a process that has read no tile yet (PostgreSQL has). Warm: the same ones again."""
    chance, size = random.Random(1), await StoredTree(intake.pool).size()
    leaves = [chance.randrange(size) for _ in range(ASKED)]
    olds = [chance.randrange(1, size) for _ in range(ASKED)]
    kinds: dict[str, Callable[[StoredTree, int], Awaitable[object]]] = {
        "inclusion": lambda tree, n: tree.inclusion(leaves[n], size),
        "inclusion of one of the last 256": lambda tree, n: tree.inclusion(size - 1 - n % 256, size),
        "consistency": lambda tree, n: tree.consistency(olds[n], size),
    }
    for name, ask in kinds.items():
        fresh = [StoredTree(intake.pool) for _ in range(ASKED)]
        found.times[f"{name}, cold"] = await timed(partial(_of_many, ask, fresh))
        await timed(partial(ask, fresh[0]))
        found.times[f"{name}, warm"] = await timed(partial(ask, fresh[0]))
        progress("proving", len(found.times), 2 * len(kinds) + 2)
    found.times["a row by its key"] = await timed(lambda n: intake.pool.fetchrow(ONE, leaves[n] // 20 + 1))
    pages = StoredTree(intake.pool)
    for length in (200, 1000):
        found.times[f"a page of {length} entries"] = await timed(partial(_page, pages, leaves, length), 60)


async def _of_many(ask: Callable[[StoredTree, int], Awaitable[object]], trees: Sequence[StoredTree], n: int) -> None:
    await ask(trees[n], n)


async def _page(tree: StoredTree, places: Sequence[int], length: int, n: int) -> None:
    await tree.entries(places[n], places[n] + length)


ONE = "SELECT * FROM events WHERE partition = 1 AND position = $1"
SOME = """
    SELECT e.event_id FROM tree_ranges r JOIN events e ON e.partition = r.partition AND e.position = r.first_position
    ORDER BY md5(e.event_id::text) LIMIT $1"""


@asynccontextmanager
async def serving(city: dict[str, Running], settings: Settings) -> AsyncIterator[str]:
    doors = doors_of(city, Tokens(SECRETS.token, city["intake"].clock))
    async with listening(create_city(faces(city, doors, {Role.API}), SystemIds(), settings), settings) as address:
        yield address


async def _proofs_over_http(intake: Running, address: str, found: Measured, progress: Progress) -> None:
    size = await intake.pool.fetchval(PUBLISHED_SIZE)
    ids = [str(row["event_id"]) for row in await intake.pool.fetch(SOME, ASKED)]
    chance = random.Random(2)
    olds = [chance.randrange(1, size) for _ in range(ASKED)]
    async with aiohttp.ClientSession(address) as http:

        async def get(path: str) -> None:
            async with http.get(f"/intake/v1/log/{path}") as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()

        found.times["HTTP: the checkpoint"] = await timed(lambda _: get("checkpoint"))
        for name in ("for the first time", "again"):
            found.times[f"HTTP: inclusion, {name}"] = await timed(
                lambda n: get(f"proof?event_id={ids[n % len(ids)]}"), len(ids)
            )
            found.times[f"HTTP: consistency, {name}"] = await timed(
                lambda n: get(f"consistency?from={olds[n]}&to={size}")
            )
    progress("proving", 1, 1)


async def _verified(intake: Running, folder: Path, found: Measured, progress: Progress) -> None:
    """An export, checked by a process of its own on one core; and the database itself."""
    progress("verifying", 0, 1)
    tree, notary = notary_of(intake)
    signer = signer_of(intake.settings, "intake", intake.secrets.signing)
    assert notary.note is not None
    started = time.perf_counter()
    await export(tree, signer, notary.note, [], folder)
    found.seconds["exported"] = time.perf_counter() - started
    command = ["taskset", "-c", "0", sys.executable, f"{folder}/verify.py", f"{folder}/policy", str(folder)]
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    found.seconds["verify.py"] = time.perf_counter() - started
    found.seconds["its CPU"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    found.seconds.update(parts_of(folder))
    started = time.perf_counter()
    assert [one async for one in findings(tree, intake.pool, signer, notary.note, [])] == []
    found.seconds["jiesu audit verify, whole"] = time.perf_counter() - started
    found.seconds["entries"] = notary.size
    progress("verifying", 1, 1)


def parts_of(folder: Path) -> dict[str, float]:
    """CPU seconds of what verify.py must do with an export, each by itself."""
    lines: list[bytes] = []
    parts: dict[str, Callable[[], Any]] = {
        "of it reading": lambda: lines.extend((folder / "entries.ndjson").open("rb")),
        "of it digests of the files": lambda: [
            sha256(one.read_bytes()) for one in folder.iterdir() if one.name != "manifest"
        ],
        "of it hashing entries": lambda: [leaf_of(line) for line in lines],
        "of it hashing the tree": lambda: _grown([lines[0][:32]] * len(lines)),
        "of it JSON": lambda: [json.loads(line)["stream"] for line in lines],
    }
    seconds = {}
    for name, part in parts.items():
        started = time.process_time()
        part()
        seconds[name] = time.process_time() - started
    return seconds


def _grown(leaves: list[bytes]) -> None:
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf)
