"""A city's cluster is lost, and comes back from what deploy/backup made: whole, or as it was at a moment."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from services.up import DATABASE, EmbeddedPostgres
from shared.eventlog.inspection import findings
from shared.eventlog.migrate import migrate_log
from shared.eventlog.notary import Notary
from shared.eventlog.notes import checkpoint_in
from shared.eventlog.postgres import PostgresLog
from shared.eventlog.tree import Inconsistent, StoredTree
from tests.integration.test_process import home
from tests.support.database import PARTITIONS
from tests.support.events import append
from tests.support.records import SIGNER
from tests.support.waiting import seen, until

SCRIPTS = Path(__file__).parents[2] / "deploy" / "backup"
SEGMENT = "0" * 24
SESSION = {"search_path": "intake", "role": "jiesu_intake"}


@dataclass
class Drill:
    """A cluster that archives, everything that its log ever acknowledged, and what its notary signed."""

    home: Path
    server: EmbeddedPostgres
    full: list[bytes] = field(default_factory=list)
    partitions: list[list[bytes]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    moment: str = ""
    signed_at_moment: int = 0

    @property
    def backup(self) -> Path:
        return self.home / "backup"

    @property
    def base(self) -> Path:
        """The newest."""
        return max((self.backup / "base").iterdir())

    def folder(self, name: str) -> Path:
        """A new one that PostgreSQL's user may write to."""
        made = self.home / name
        made.mkdir()
        self.server._own(made)
        return made

    def notary(self, tree: StoredTree, file: str) -> Notary:
        return Notary(tree, SIGNER, self.home / file)

    async def script(self, name: str, *words: str | Path, **more: str | Path) -> subprocess.CompletedProcess[str]:
        """One of the scripts, as PostgreSQL's user and with its binaries."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        said = {"PGBIN": self.server._bin, "PGHOST": self.server._socket, "PGUSER": "jiesu"} | more
        return await asyncio.to_thread(
            subprocess.run, ["sh", self.home / "scripts" / name, *words], env=inherited | said, cwd="/",
            **self.server._as, capture_output=True, text=True, check=False,
        )  # fmt: skip

    @asynccontextmanager
    async def restored(
        self, name: str, *time: str, backup: Path | None = None, **more: str | Path
    ) -> AsyncIterator[asyncpg.Pool]:
        """The log as it comes back."""
        there = self.folder(name)
        done = await self.script("restore.sh", backup or self.backup, there / "postgres", *time, **more)
        assert done.returncode == 0, done.stderr
        with EmbeddedPostgres(there) as server:
            async with pool_of(server) as pool:
                yield pool

    @property
    def old_wal(self) -> Path:
        """What the lost cluster had not archived yet."""
        return self.home / "postgres" / "pg_wal"


@asynccontextmanager
async def pool_of(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(server.url, min_size=1, max_size=4, server_settings=SESSION) as pool:
        yield pool


def archiving(folder: Path) -> list[str]:
    """The settings that the README gives, for a folder of ours."""
    block = re.findall(r"```sql\n(.*?)```", (SCRIPTS / "README.md").read_text(), re.DOTALL)[0]
    return [line.replace("/backup", str(folder)) for line in block.strip().splitlines()]


async def begin(made: Drill) -> None:
    connection = await asyncpg.connect(made.server.url.replace(f"/{DATABASE}?", "/postgres?"))
    await connection.execute(f"CREATE DATABASE {DATABASE}")
    for statement in archiving(made.backup):
        await connection.execute(statement)
    await connection.close()
    await migrate_log(made.server.url, "intake", PARTITIONS)


async def live(made: Drill) -> None:
    """Events, a backup, events, a moment, events, some of them not even signed; and a power cut."""
    async with pool_of(made.server) as pool:
        log, tree = PostgresLog(pool, PARTITIONS, lambda: None), StoredTree(pool)
        async with log.running():

            async def grow(name: str, count: int) -> None:
                await asyncio.gather(*(log.append(append(f"{name}-{at}", 0)) for at in range(count)))

            async def sign() -> None:
                await tree.integrate()
                made.notes.append(await made.notary(tree, "notary.json").sign(await tree.size()))

            await grow("before", 300)
            await sign()
            done = await made.script("backup.sh", made.backup)
            assert done.returncode == 0, done.stderr
            await grow("between", 200)
            await sign()
            made.signed_at_moment = await tree.size()
            shutil.copy(made.home / "notary.json", made.home / "notary-then.json")
            moment = await pool.fetchval("SELECT clock_timestamp()")
            made.moment = moment.isoformat(" ")
            await grow("after", 200)
            await sign()
            await archived(made)
            await grow("last", 50)
            await sign()
            await grow("unsigned", 20)
            made.full = await bodies(tree)
            made.partitions = await partitions(log)
    made.server.kill()


async def archived(made: Drill) -> None:
    """Everything so far is in the archive."""
    connection = await asyncpg.connect(made.server.url)
    name = await connection.fetchval("SELECT pg_walfile_name(pg_switch_wal())")
    await until(seen((made.backup / "wal" / name).exists))
    await connection.close()


async def bodies(tree: StoredTree) -> list[bytes]:
    return [one.body for one in await tree.entries(0, 10**6)]


async def partitions(log: PostgresLog) -> list[list[bytes]]:
    return [[one.body for one in await log.read_partition(number, 0, 10**6)] for number in range(PARTITIONS)]


@pytest_asyncio.fixture(scope="module")
async def drill() -> AsyncIterator[Drill]:
    with home() as folder:
        shutil.copytree(SCRIPTS, folder / "scripts")
        made = Drill(folder, EmbeddedPostgres(folder))
        for name in ("backup", "backup/wal", "backup/base", "backup/base/20200101000000"):
            made.folder(name)
        (made.backup / "wal" / SEGMENT).touch()
        with made.server:
            await begin(made)
        with made.server:
            await live(made)
        yield made


def beginnings(some: Sequence[Sequence[bytes]], of: Sequence[Sequence[bytes]]) -> bool:
    return all(list(one) == list(whole)[: len(one)] for one, whole in zip(some, of, strict=True))


async def wrong(made: Drill, pool: asyncpg.Pool, notes: Sequence[str], folder: Path) -> list[str]:
    found = findings(StoredTree(pool), pool, SIGNER, notes[-1], notes[:-1])
    return [one async for one in found]


def test_what_is_too_old_to_be_kept_goes_with_its_wal(drill: Drill) -> None:
    assert [path.name for path in (drill.backup / "base").iterdir()] == [drill.base.name]
    assert not (drill.backup / "wal" / SEGMENT).exists() and list((drill.backup / "wal").iterdir())


async def test_restored_to_the_end_nothing_is_lost_that_was_acknowledged(drill: Drill, tmp_path: Path) -> None:
    async with drill.restored("end", OLD_WAL=drill.old_wal) as pool:
        assert await partitions(PostgresLog(pool, PARTITIONS, lambda: None)) == drill.partitions
        assert await wrong(drill, pool, drill.notes, tmp_path) == []
        tree = StoredTree(pool)
        assert await tree.integrate() == 20
        notary = drill.notary(tree, shutil.copy(drill.home / "notary.json", tmp_path))
        assert checkpoint_in(await notary.sign(await tree.size())).size == 770


async def test_restored_to_a_moment_it_is_the_log_as_it_was_and_archives_nothing(drill: Drill, tmp_path: Path) -> None:
    archive = {path.name for path in (drill.backup / "wal").iterdir()}
    async with drill.restored("moment", drill.moment) as pool:
        assert await pool.fetchval("SHOW archive_mode") == "off"
        tree = StoredTree(pool)
        assert await bodies(tree) == drill.full[: drill.signed_at_moment] and drill.signed_at_moment == 500
        log = PostgresLog(pool, PARTITIONS, lambda: None)
        assert beginnings(await partitions(log), drill.partitions) and sum(await log.heads()) == 500
        with pytest.raises(Inconsistent, match=r"500 entries .*, 750 were signed"):
            await drill.notary(tree, "notary.json").sign(await tree.size())
        assert await wrong(drill, pool, drill.notes[:2], tmp_path) == []
        then = drill.notary(tree, "notary-then.json")
        async with log.running():
            await log.append(append("goes-on", 0))
        await tree.integrate()
        assert checkpoint_in(await then.sign(await tree.size())).size == 501
    assert {path.name for path in (drill.backup / "wal").iterdir()} == archive


async def test_from_the_archive_alone_everything_archived_is_back_and_the_notary_names_the_rest(drill: Drill) -> None:
    async with drill.restored("archive") as pool:
        tree = StoredTree(pool)
        assert await bodies(tree) == drill.full[:700]
        with pytest.raises(Inconsistent, match="750 were signed"):
            await drill.notary(tree, "notary.json").sign(await tree.size())


def damaged(file: Path) -> None:
    """One bit, in whatever lies behind the first header."""
    raw = bytearray(file.read_bytes())
    raw[44] ^= 1
    file.write_bytes(raw)


@pytest.mark.parametrize("what", ["base/1/1259", "global/pg_control", "backup_label", "pg_wal/0*"])
async def test_a_damaged_backup_is_refused(drill: Drill, what: str) -> None:
    file = next(drill.base.glob(what))
    whole = file.read_bytes()
    damaged(file)
    try:
        data = drill.folder(f"damaged-{file.name}") / "postgres"
        done = await drill.script("restore.sh", drill.backup, data)
        assert done.returncode == 1 and "is damaged" in done.stderr
        assert not data.exists()
    finally:
        file.write_bytes(whole)


async def test_a_damaged_archive_ends_there_and_the_notary_knows(drill: Drill, tmp_path: Path) -> None:
    last = max(path for path in (drill.backup / "wal").iterdir() if len(path.name) == len(SEGMENT))
    whole = last.read_bytes()
    last.write_bytes(bytes(len(whole)))
    try:
        async with drill.restored("cut", OLD_WAL=drill.old_wal) as pool:
            tree = StoredTree(pool)
            assert beginnings([await bodies(tree)], [drill.full])
            with pytest.raises(Inconsistent, match="750 were signed"):
                await drill.notary(tree, "notary.json").sign(await tree.size())
    finally:
        last.write_bytes(whole)


@pytest.mark.parametrize(
    ("time", "said"),
    [("2020-01-01", "no base backup"), ("2999-01-01", "before configured recovery target"), ("soon'", "a quote")],
)
async def test_a_time_that_cannot_be_restored_is_refused(drill: Drill, time: str, said: str) -> None:
    done = await drill.script("restore.sh", drill.backup, drill.folder(f"at-{time}") / "postgres", time)
    assert done.returncode == 1 and said in done.stderr


async def test_nothing_that_is_there_is_restored_over(drill: Drill) -> None:
    done = await drill.script("restore.sh", drill.backup, drill.home / "postgres")
    assert done.returncode == 1 and "is there already" in done.stderr


def test_a_segment_is_archived_once_and_never_overwritten(tmp_path: Path) -> None:
    line = next(one for one in archiving(tmp_path) if "archive_command" in one).split("'")[1]
    (tmp_path / "wal").mkdir()
    segment = tmp_path / "segment"

    def archive(content: bytes) -> int:
        segment.write_bytes(content)
        command = line.replace("%p", str(segment)).replace("%f", "0001")
        return subprocess.run(["sh", "-c", command], check=False, capture_output=True).returncode

    (tmp_path / "wal" / "0001.part").write_bytes(b"what a crash left")
    assert (archive(b"one"), archive(b"one")) == (0, 0)
    assert archive(b"two") != 0
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "wal").iterdir()] == [("0001", b"one")]


def test_the_mounts_of_the_overlay_exist() -> None:
    text = (SCRIPTS / "compose.yml").read_text()
    sources: list[Any] = re.findall(r"- (\./\S+?):", text)
    assert sources and all((SCRIPTS.parent / one).is_dir() for one in sources)
