"""The notary signs what is stored, trusts only its own file, and never signs what contradicts it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared.engine.notarising import publish
from shared.eventlog import durable
from shared.eventlog import tree as tree_module
from shared.eventlog.merkle import consistent
from shared.eventlog.notary import Notary
from shared.eventlog.notes import Signer, checkpoint_in
from shared.eventlog.postgres import PostgresLog
from shared.eventlog.tree import Inconsistent, StoredTree
from shared.eventlog.verify import included
from tests.contract.test_event_log import postgres_log
from tests.support.database import TestServer
from tests.support.events import append
from tests.support.records import SIGNER, MemoryTree


class Written:
    """A log that grows, its tree, and a superuser."""

    def __init__(self, log: PostgresLog, superuser: Any, file: Path) -> None:
        self.log, self.superuser, self.file, self.tree = log, superuser, file, StoredTree(log._pool)
        self._streams = 0

    async def grow(self, events: int) -> int:
        """So many events more, integrated."""
        names = [f"s-{self._streams + number}" for number in range(events)]
        self._streams += events
        await asyncio.gather(*(self.log.append(append(name, 0)) for name in names))
        while await self.tree.integrate():
            pass
        return await self.tree.size()

    def notary(self, signer: Signer = SIGNER) -> Notary:
        return Notary(self.tree, signer, self.file)

    async def untouched(self) -> MemoryTree:
        """The tree by its definition over what is stored."""
        return MemoryTree([one.body for one in await self.tree.entries(0, 10**6)])


@asynccontextmanager
async def written(server: TestServer, folder: Path) -> AsyncIterator[Written]:
    async with AsyncExitStack() as stack:
        log = await postgres_log(stack, server)
        superuser = await asyncpg.connect(server.url(await log._pool.fetchval("SELECT current_database()")))
        stack.push_async_callback(superuser.close)
        unguarded = "; ".join(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in ("events", "tree_ranges"))
        await superuser.execute(f"SET search_path TO intake; {unguarded}")
        yield Written(log, superuser, folder / "intake.json")


async def test_the_stored_tree_is_the_tree_of_the_definition(server: TestServer, tmp_path: Path) -> None:
    """Over tiles that are full, half full and just begun: roots, inclusion and consistency at every size asked for."""
    async with written(server, tmp_path) as here:
        for events in (1, 1, 253, 1, 1, 300):
            size = await here.grow(events)
            truth = await here.untouched()
            assert await here.tree.root(size) == truth.root_at(size)
        for at in (1, 2, 255, 256, 257, 511, 512, 557):
            assert await here.tree.root(at) == truth.root_at(at)
            for index in {0, at // 2, at - 1}:
                proof = await here.tree.inclusion(index, at)
                assert proof == truth.proof(index, at)
                assert included(truth.hashes[index], index, at, proof, truth.root_at(at))
            for old in {1, max(1, at // 3), at}:
                proof = await here.tree.consistency(old, at)
                assert consistent(old, at, proof, truth.root_at(old), truth.root_at(at))


async def test_tiles_above_the_first_level_are_made_and_used(server: TestServer, tmp_path: Path) -> None:
    async with written(server, tmp_path) as here:
        await here.log.append(append("long", 0, 65_800))
        while await here.tree.integrate():
            pass
        assert await here.superuser.fetchval("SELECT max(level) FROM tree_tiles") == 1
        truth = await here.untouched()
        for index, size in ((0, 65_800), (65_535, 65_536), (65_536, 65_700), (300, 65_537)):
            assert await here.tree.inclusion(index, size) == truth.proof(index, size)


async def test_a_tile_that_is_not_made_of_what_is_below_it_is_found(server: TestServer, tmp_path: Path) -> None:
    async with written(server, tmp_path) as here:
        await here.log.append(append("long", 0, 65_800))
        while await here.tree.integrate():
            pass
        await here.superuser.execute("ALTER TABLE tree_tiles DISABLE TRIGGER ALL")
        flipped = "set_byte({0}, 31, get_byte({0}, 31) # 1)"
        for place, column in (((0, 0), "hashes"), ((0, 200), "root"), ((1, 0), "hashes"), ((1, 0), "root")):
            assert await here.tree.wrong_tile(65_800) is None
            change = f"UPDATE tree_tiles SET {column} = {flipped.format(column)} WHERE (level, number) = ($1, $2)"
            await here.superuser.execute(change, *place)
            assert await here.tree.wrong_tile(65_800) == place
            await here.superuser.execute(change, *place)
        await here.superuser.execute("DELETE FROM tree_tiles WHERE level = 1")
        assert await here.tree.wrong_tile(65_800) == (1, 0)


async def test_what_others_read_pushes_nothing_out_that_is_being_asked_for(
    server: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_module, "CACHED_TILES", 1)
    async with written(server, tmp_path) as here:
        await here.log.append(append("long", 0, 2_000))
        size = await here.grow(0)
        truth = await here.untouched()
        proofs = await asyncio.gather(*(here.tree.inclusion(at, size) for at in range(0, size, 100)))
        assert proofs == [truth.proof(at, size) for at in range(0, size, 100)]


async def test_two_that_integrate_at_once_give_every_event_one_place(server: TestServer, tmp_path: Path) -> None:
    async with written(server, tmp_path) as here:
        names = [f"x-{number}" for number in range(400)]
        appends = [here.log.append(append(name, 0)) for name in names]
        await asyncio.gather(*appends, *(StoredTree(here.log._pool).integrate() for _ in range(6)))
        await here.grow(0)
        entries = await here.tree.entries(0, 10**6)
        assert [one.place for one in entries] == list(range(400)) and len({one.event_id for one in entries}) == 400


async def test_each_checkpoint_continues_the_last_and_a_new_notary_goes_on(server: TestServer, tmp_path: Path) -> None:
    async with written(server, tmp_path) as here:
        first = checkpoint_in(await here.notary().sign(await here.grow(5)))
        again = here.notary()
        assert again.size == 5
        second = checkpoint_in(await again.sign(await here.grow(300)))
        proof = await here.tree.consistency(5, 305)
        assert consistent(5, 305, proof, first.root, second.root)
        assert await again.sign(305) == again.note


async def test_of_two_processes_the_slower_takes_nothing_back_that_was_published(
    server: TestServer, tmp_path: Path
) -> None:
    async with written(server, tmp_path) as here:
        for size, note in ((9, "nine"), (5, "five"), (9, "nine, signed again"), (12, "twelve")):
            await publish(here.log._pool, size, note)
        notes = await here.log._pool.fetch("SELECT note FROM checkpoints ORDER BY number")
        assert [row["note"] for row in notes] == ["nine", "nine, signed again", "twelve"]


async def test_processes_that_share_a_file_sign_one_history(server: TestServer, tmp_path: Path) -> None:
    async with written(server, tmp_path) as here:
        one, other = here.notary(), here.notary()
        small = await here.grow(5)
        await one.sign(await here.grow(4))
        assert checkpoint_in(await other.sign(small)).size == 9, "it takes up what the other has signed"
        sizes = [await here.grow(1) for _ in range(6)]
        await asyncio.gather(*(notary.sign(size) for size in sizes for notary in (one, other)))
        assert checkpoint_in(here.notary().note or "").size == max(sizes)


async def test_a_lost_file_is_begun_anew_from_what_is_published_if_that_is_what_is_stored(
    server: TestServer, tmp_path: Path
) -> None:
    async with written(server, tmp_path) as here:
        published = await here.notary().sign(await here.grow(7))
        await here.grow(3)
        here.file.unlink()
        notary = here.notary()
        await notary.take_up(published)
        assert (notary.size, here.notary().note) == (7, published)
        here.file.unlink()
        with pytest.raises(Inconsistent, match="was not signed by this"):
            await here.notary().take_up(Signer(SIGNER.name, bytes(32)).sign(published.partition("\n\n")[0] + "\n"))
        await here.superuser.execute("UPDATE events SET body = body || ' ' WHERE stream = 's-0'")
        with pytest.raises(Inconsistent, match="not as published"):
            await here.notary().take_up(published)
        assert not here.file.exists()


async def test_a_file_that_says_less_than_was_signed_stops_the_notary(server: TestServer, tmp_path: Path) -> None:
    async with written(server, tmp_path) as here:
        notary = here.notary()
        await notary.sign(await here.grow(3))
        earlier = here.file.read_text()
        await notary.sign(await here.grow(3))
        here.file.write_text(earlier)
        with pytest.raises(Inconsistent, match="less than was signed"):
            await notary.sign(await here.grow(1))


async def test_a_shorter_log_is_not_signed(server: TestServer, tmp_path: Path) -> None:
    """An older backup was restored, or it is another city's database."""
    async with written(server, tmp_path) as here:
        await here.notary().sign(await here.grow(9))
        await here.superuser.execute("DELETE FROM tree_ranges WHERE first_index > 0")
        with pytest.raises(Inconsistent, match="9 were signed"):
            await here.notary().sign(await here.tree.size())


BEHIND_ITS_BACK = {
    "body": "UPDATE events SET body = body || ' ' WHERE event_id = $1",
    "deleted": "DELETE FROM events WHERE event_id = $1",
    "leaf": "UPDATE tree_ranges SET hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1) WHERE $1::uuid IS NOT NULL",
}


@pytest.mark.parametrize("what", BEHIND_ITS_BACK)
async def test_what_was_changed_before_it_was_signed_is_not(server: TestServer, tmp_path: Path, what: str) -> None:
    async with written(server, tmp_path) as here:
        notary = here.notary()
        note = await notary.sign(await here.grow(9))
        size = await here.grow(9)
        last = (await here.tree.entries(size - 1, size))[0]
        await here.superuser.execute(BEHIND_ITS_BACK[what], last.event_id)
        with pytest.raises(Inconsistent):
            await notary.sign(size)
        assert (notary.note, notary.size) == (note, 9)


async def test_a_hole_in_a_partition_is_not_integrated(server: TestServer, tmp_path: Path) -> None:
    async with written(server, tmp_path) as here:
        await here.grow(9)
        done = await here.log.append(append("more", 0, 3))
        await here.superuser.execute(
            "DELETE FROM events WHERE partition = $1 AND position = $2", done.partition, done.position - 1
        )
        with pytest.raises(Inconsistent, match="lacks events"):
            await here.tree.integrate()


@pytest.mark.parametrize("damage", [lambda text: "", lambda text: text[:-9], lambda text: text.replace("edge", "egde")])
async def test_a_damaged_file_is_not_trusted(server: TestServer, tmp_path: Path, damage: Callable[[str], str]) -> None:
    async with written(server, tmp_path) as here:
        await here.notary().sign(await here.grow(3))
        here.file.write_text(damage(here.file.read_text()))
        with pytest.raises(Inconsistent, match="damaged"):
            here.notary()


async def test_a_file_of_another_key_is_not_trusted(server: TestServer, tmp_path: Path) -> None:
    async with written(server, tmp_path) as here:
        await here.notary().sign(await here.grow(3))
        with pytest.raises(Inconsistent, match="JIESU_ORIGIN"):
            here.notary(Signer(SIGNER.name, bytes(32)))


@pytest.mark.parametrize("call", ["open", "fsync", "close", "write", "replace", "mkdir"])
@pytest.mark.parametrize("nth", [1, 2])
async def test_whatever_fails_while_it_writes_the_old_checkpoint_stands_or_the_new(
    server: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int
) -> None:
    async with written(server, tmp_path) as here:
        notary = here.notary()
        old = await notary.sign(await here.grow(3))
        size = await here.grow(3)
        with monkeypatch.context() as patched:
            _fails(patched, call, nth)
            try:
                new = await notary.sign(size)
            except OSError:
                assert (notary.note, notary.size) == (old, 3)
        assert here.notary().size in {3, 6}
        new = await here.notary().sign(size)
        assert checkpoint_in(new).size == 6 and here.notary().note == new


def _fails(patched: pytest.MonkeyPatch, call: str, nth: int) -> None:
    """The nth such call of the writer answers that the disk is full."""
    counted = 0
    owner: Any = os if call in {"fsync"} else Path if call in {"replace", "mkdir"} else durable.os
    name = {"write": "fsync", "open": "open", "close": "close"}.get(call, call)
    real = getattr(owner, name)

    def failing(*arguments: Any, **named: Any) -> Any:
        nonlocal counted
        counted += 1
        if counted == nth:
            raise OSError(28, "No space left on device")
        return real(*arguments, **named)

    patched.setattr(owner, name, failing)
