"""Whatever a superuser does to the record behind the application's back is found, and the first bad entry is named.

Each case happens in a transaction, with the triggers off, that is rolled back afterwards. TAMPERINGS=50 tries 50 places
of every kind in every log, as an evidence run does.
"""

from __future__ import annotations

import asyncio
import os
import random
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared.eventlog.inspection import GUARDED, findings
from shared.eventlog.notary import Notary, text_of
from shared.eventlog.notes import Signer, checkpoint_in
from shared.eventlog.postgres import PostgresLog
from shared.eventlog.tree import StoredTree
from tests.contract.test_event_log import postgres_log
from tests.support.database import TestServer
from tests.support.events import append

PLACES = int(os.environ.get("TAMPERINGS", "3"))
SIZES = (1, 2, 255, 256, 257, 2_049)
SIGNER = Signer("jiesu.example/log/intake", bytes(range(32)))
PER_STREAM = 3


@dataclass
class Kept:
    """A log, what its notary signed over it at two times, and a superuser's connection."""

    connection: Any
    tree: StoredTree
    size: int
    note: str
    earlier: list[str]
    folder: Path

    async def at(self, place: int) -> Any:
        """The row of an entry."""
        entry = (await self.tree.entries(place, place + 1))[0]
        return await self.connection.fetchrow("SELECT * FROM events WHERE event_id = $1", entry.event_id)

    async def found(self) -> list[str]:
        return [one async for one in findings(self.tree, self.connection, SIGNER, self.note, self.earlier)]

    async def do(self, statement: str, *arguments: object) -> None:
        await self.connection.execute(statement, *arguments)


@asynccontextmanager
async def kept(server: TestServer, size: int, folder: Path) -> AsyncIterator[Kept]:
    async with AsyncExitStack() as stack:
        log: PostgresLog = await postgres_log(stack, server)
        tree = StoredTree(log._pool)
        notary, notes = Notary(tree, SIGNER, folder / "notary.json"), []
        for first, end in ((0, size // 2), (size // 2, size)):
            streams = {f"s-{at}": min(PER_STREAM, end - at) for at in range(first, end, PER_STREAM)}
            await asyncio.gather(*(log.append(append(stream, 0, count)) for stream, count in streams.items()))
            await tree.integrate()
            notes.append(await notary.sign(await tree.size()))
        connection = await asyncpg.connect(server.url(await log._pool.fetchval("SELECT current_database()")))
        stack.push_async_callback(connection.close)
        await connection.execute("SET search_path TO intake")
        yield Kept(connection, StoredTree(connection), size, notes[-1], notes[:-1], folder)  # type: ignore[arg-type]


async def edit_payload(kept: Kept, place: int) -> int:
    return await _rewritten(kept, place, '"round":1', '"round":2')


async def edit_time(kept: Kept, place: int) -> int:
    return await _rewritten(kept, place, '"time":"2026', '"time":"2025')


async def edit_actor(kept: Kept, place: int) -> int:
    return await _rewritten(kept, place, '"role":"SYSTEM"', '"role":"AGENT"')


async def edit_with_its_hash(kept: Kept, place: int) -> int:
    """The copy of the leaf hash beside the event is made to fit."""
    await edit_payload(kept, place)
    row = await kept.at(place)
    await kept.do("UPDATE events SET leaf_hash = sha256('\\x00'::bytea || body) WHERE event_id = $1", row["event_id"])
    return place


async def _rewritten(kept: Kept, place: int, old: str, new: str) -> int:
    row = await kept.at(place)
    body = row["body"].decode().replace(old, new)
    assert body.encode() != row["body"]
    await kept.do("UPDATE events SET body = $2 WHERE event_id = $1", row["event_id"], body.encode())
    return place


async def flip_a_bit(kept: Kept, place: int) -> int:
    row = await kept.at(place)
    bit = random.randrange(8 * len(row["body"]))
    await kept.do(
        "UPDATE events SET body = set_bit(body, $2, 1 - get_bit(body, $2)) WHERE event_id = $1", row["event_id"], bit
    )
    return place


async def swap(kept: Kept, place: int) -> int:
    """Two events of one partition change places, columns and all."""
    one = await kept.at(place)
    other = await kept.connection.fetchrow(
        "SELECT * FROM events WHERE partition = $1 AND position <> $2 ORDER BY random() LIMIT 1",
        one["partition"], one["position"],
    )  # fmt: skip
    if other is None:
        return await edit_payload(kept, place)
    move = "UPDATE events SET position = $2 WHERE event_id = $1"
    await kept.do(move, one["event_id"], -1)
    await kept.do(move, other["event_id"], one["position"])
    await kept.do(move, one["event_id"], other["position"])
    places = [(await kept.tree.place_of(str(row["event_id"])) or (0, b""))[0] for row in (one, other)]
    return min(place for place in places if place is not None)


async def change_stream(kept: Kept, place: int) -> int:
    row = await kept.at(place)
    await kept.do("UPDATE events SET stream = 'elsewhere' WHERE event_id = $1", row["event_id"])
    return place


async def renumber(kept: Kept, place: int) -> int:
    row = await kept.at(place)
    await kept.do("UPDATE events SET version = version + 100 WHERE event_id = $1", row["event_id"])
    return place


async def delete(kept: Kept, place: int) -> int:
    """Of one event: the others of its partition close ranks, the head goes back."""
    row = await kept.at(place)
    await kept.do("DELETE FROM events WHERE event_id = $1", row["event_id"])
    await kept.do(
        "UPDATE events SET position = -position WHERE partition = $1 AND position > $2",
        row["partition"],
        row["position"],
    )
    await kept.do("UPDATE events SET position = -position - 1 WHERE partition = $1 AND position < 0", row["partition"])
    await kept.do("UPDATE log_heads SET position = position - 1 WHERE partition = $1", row["partition"])
    return place


async def delete_tail(kept: Kept, place: int) -> int:
    """Everything from here on, and what the tree kept of it."""
    for entry in await kept.tree.entries(place, kept.size):
        await kept.do("DELETE FROM events WHERE event_id = $1", entry.event_id)
    await kept.do("UPDATE log_heads h SET position = (SELECT count(*) FROM events e WHERE e.partition = h.partition)")
    await kept.do("DELETE FROM tree_ranges WHERE first_index >= $1", place)
    await kept.do(
        "UPDATE tree_ranges SET size = $1 - first_index, hashes = substring(hashes FOR 32 * ($1 - first_index)::int)"
        " WHERE first_index + size > $1", place,
    )  # fmt: skip
    return place


async def insert_back_dated(kept: Kept, place: int) -> int:
    """A new event, dated back, where another stood; the later ones move up."""
    row = await kept.at(place)
    await kept.do(
        "UPDATE events SET position = -position WHERE partition = $1 AND position >= $2",
        row["partition"],
        row["position"],
    )
    await kept.do("UPDATE events SET position = -position + 1 WHERE partition = $1 AND position < 0", row["partition"])
    await kept.do(
        "INSERT INTO events SELECT partition, $2, 'forged', 1, gen_random_uuid(), type, body, leaf_hash FROM events"
        " WHERE event_id = $1", row["event_id"], row["position"],
    )  # fmt: skip
    older = "convert_to(replace(convert_from(body, 'UTF8'), '2026', '2024'), 'UTF8')"
    await kept.do(f"UPDATE events SET body = {older} WHERE stream = 'forged'")
    await kept.do("UPDATE log_heads SET position = position + 1 WHERE partition = $1", row["partition"])
    return place


async def flip_a_bit_of_a_leaf(kept: Kept, place: int) -> int:
    """In the list of leaf hashes that the tree keeps."""
    await kept.do(
        "UPDATE tree_ranges SET hashes = set_bit(hashes, (256 * ($1 - first_index))::int,"
        " 1 - get_bit(hashes, (256 * ($1 - first_index))::int)) WHERE first_index <= $1 AND first_index + size > $1",
        place,
    )  # fmt: skip
    return 0 if place < kept.size // 2 else kept.size // 2


KINDS: Sequence[Callable[[Kept, int], Awaitable[int]]] = (
    edit_payload, edit_time, edit_actor, edit_with_its_hash, flip_a_bit, swap, change_stream, renumber, delete,
    delete_tail, insert_back_dated, flip_a_bit_of_a_leaf,
)  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
async def test_whatever_was_done_is_found_and_named(server: TestServer, tmp_path: Path, size: int) -> None:
    async with kept(server, size, tmp_path) as log:
        assert await log.found() == []
        for kind in KINDS:
            for place in sorted({0, size - 1, *random.sample(range(size), min(PLACES, size))}):
                async with _undone(log.connection):
                    async with _unguarded(log.connection):
                        first = await kind(log, place)
                    found = await log.found()
                assert found, (kind.__name__, place)
                assert any(one.startswith(f"entry {first}:") for one in found), (kind.__name__, place, first, found)
        assert await log.found() == []


@asynccontextmanager
async def _undone(connection: Any) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


@asynccontextmanager
async def _unguarded(connection: Any) -> AsyncIterator[None]:
    """Without the triggers; whoever can do that puts them back."""
    for table in GUARDED:
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only")
    yield
    for table in GUARDED:
        await connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only")


async def test_a_guard_that_was_switched_off_is_reported(server: TestServer, tmp_path: Path) -> None:
    async with kept(server, 3, tmp_path) as log:
        for how in ("DISABLE TRIGGER", "ENABLE TRIGGER", "ENABLE REPLICA TRIGGER"):
            async with _undone(log.connection):
                await log.do(f"ALTER TABLE events {how} events_append_only")
                assert await log.found() == ["the guard against changes of events is off"]
        async with _undone(log.connection):
            await log.do("DROP TRIGGER checkpoints_append_only ON checkpoints")
            assert await log.found() == ["the guard against changes of checkpoints is off"]
        async with _undone(log.connection):
            await log.do(
                "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RETURN NULL; END $$"
            )
            assert len(await log.found()) == len(GUARDED)
        async with _undone(log.connection):
            await log.do("DROP TRIGGER events_append_only ON events")
            await log.do(
                "CREATE TRIGGER events_append_only BEFORE TRUNCATE ON events"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
            await log.do("ALTER TABLE events ENABLE ALWAYS TRIGGER events_append_only")
            assert await log.found() == ["the guard against changes of events is off"]


async def test_a_tile_that_was_touched_is_named(server: TestServer, tmp_path: Path) -> None:
    async with kept(server, 600, tmp_path) as log, _undone(log.connection):
        async with _unguarded(log.connection):
            await log.do("UPDATE tree_tiles SET hashes = set_byte(hashes, 0, get_byte(hashes, 0) # 1) WHERE number = 1")
        assert await log.found() == ["tile 1 of level 0 is not made of the entries below it: their proofs do not hold"]


async def test_a_history_rewritten_whole_with_hashes_and_tiles_does_not_fit_what_was_signed(
    server: TestServer, tmp_path: Path
) -> None:
    async with kept(server, 257, tmp_path) as log, _undone(log.connection):
        async with _unguarded(log.connection):
            await edit_with_its_hash(log, 200)
            row = await log.at(200)
            await log.do("TRUNCATE tree_tiles")
            await log.do(
                "UPDATE tree_ranges SET hashes = overlay(hashes PLACING $2 FROM (32 * (200 - first_index) + 1)::int)"
                " WHERE first_index <= 200 AND first_index + size > 200 AND $1::int IS NOT NULL", 0, row["leaf_hash"],
            )  # fmt: skip
        assert await log.found() == ["entry 128: rewritten: up to 257 this is not what was signed"]


@pytest.mark.parametrize(
    "note",
    ["", "x", "{note}x", "{origin}\n257\n{root}\n\n", "{other}"],
    ids=["empty", "no", "more", "stripped", "other"],
)
async def test_a_checkpoint_in_the_database_that_was_touched_is_found(
    server: TestServer, tmp_path: Path, note: str
) -> None:
    async with kept(server, 9, tmp_path) as log:
        good = checkpoint_in(log.note)
        other = Signer(SIGNER.name, bytes(32)).sign(text_of(good))
        root = b64encode(good.root).decode()
        log.earlier.append(note.format(note=log.note, origin=good.origin, root=root, other=other))
        assert len(await log.found()) == 1


async def test_what_was_acknowledged_and_removed_before_any_checkpoint_is_known_by_its_promise(
    server: TestServer, tmp_path: Path
) -> None:
    """The honest limit, ten seconds wide: the log looks whole, but whoever holds the 201 shows that it is not."""
    async with kept(server, 9, tmp_path) as log:
        one = await log.connection.fetchrow("SELECT * FROM events ORDER BY recorded_at DESC LIMIT 1")
        async with _undone(log.connection):
            await log.do(
                "INSERT INTO events SELECT partition, position + 1, 'late', 1, gen_random_uuid(), type, body, leaf_hash"
                " FROM events WHERE event_id = $1",
                one["event_id"],
            )
            promised = str(await log.connection.fetchval("SELECT event_id FROM events WHERE stream = 'late'"))
            assert await log.tree.place_of(promised) == (None, one["leaf_hash"])
            async with _unguarded(log.connection):
                await log.do("DELETE FROM events WHERE stream = 'late'")
            assert await log.found() == [] and await log.tree.place_of(promised) is None
