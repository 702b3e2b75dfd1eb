"""What was done to a database beside the hashes: columns, positions, heads, and guards that were switched off.

The bytes of an event are under the tree; the columns that stand beside them are copies for the indexes, and a copy that
says something else would mislead readers without touching a hash.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import asyncpg

from shared.contracts.envelope import decode_envelope
from shared.eventlog.log import partition_of
from shared.eventlog.notes import Signer, checkpoint_in
from shared.eventlog.tree import Entry, StoredTree, all_entries
from shared.eventlog.verify import Bad, Policy, check_entries, check_leaves, checkpoint_of, leaf_of

GUARDED = ("events", "idempotency", "tree_ranges", "tree_tiles", "checkpoints")
STEP = 100_000
# 58: before each UPDATE, DELETE and TRUNCATE (pg_trigger.h); and the function is the one that refuses, as it was made.
READ_GUARDS = r"""
    SELECT c.relname, coalesce(bool_or(
        t.tgenabled = 'A' AND t.tgtype = 58 AND t.tgqual IS NULL AND btrim(p.prosrc, E' \n') ~
        '^BEGIN\s+RAISE EXCEPTION [^;]+ USING ERRCODE = .insufficient_privilege.;\s+END$'), false) AS guarded
    FROM pg_class c LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = c.relname || '_append_only'
    LEFT JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY($1) GROUP BY c.relname"""
READ_PARTITIONS = """
    SELECT h.partition, h.position AS head, count(e.position) AS events, coalesce(max(e.position), 0) AS last
    FROM log_heads h LEFT JOIN events e ON e.partition = h.partition GROUP BY h.partition, h.position
    ORDER BY h.partition"""
READ_GAPS = """
    SELECT first_index FROM (
        SELECT first_index, first_position,
               lag(first_index + size, 1, 0::bigint) OVER (ORDER BY first_index) AS index_due,
               lag(first_position + size, 1, 1::bigint) OVER (PARTITION BY partition ORDER BY first_index)
                   AS position_due
        FROM tree_ranges) r
    WHERE first_index <> index_due OR first_position <> position_due ORDER BY first_index LIMIT 1"""


async def findings(
    tree: StoredTree, pool: asyncpg.Pool, signer: Signer, note: str, earlier: Sequence[str],
    progress: Callable[[int], None] = lambda count: None,
) -> AsyncIterator[str]:  # fmt: skip
    """What is wrong with a log whose notary signed `note`, each in a sentence."""
    size, policy = checkpoint_in(note).size, Policy(f"log {signer.verifier_key}\nquorum none\n")
    async for one in _beside_the_hashes(pool):
        yield one
    try:
        signed = [checkpoint_of(policy.opened(one)) for one in (note, *earlier)]
        leaves = b"".join([b"".join(await tree.leaves(at, min(size, at + STEP))) for at in range(0, size, STEP)])
        await asyncio.to_thread(check_leaves, leaves, signed)
    except Bad as bad:
        yield str(bad)
        return
    if (tile := await tree.wrong_tile(size)) is not None:
        yield f"tile {tile[1]} of level {tile[0]} is not made of the entries below it: their proofs do not hold"
    copies = Copies(len(await pool.fetch(READ_PARTITIONS)))
    loop = asyncio.get_running_loop()
    try:
        bodies = _drawn(loop, all_entries(tree, 0, size), copies, progress)
        await asyncio.to_thread(check_entries, bodies, leaves)
    except Bad as bad:
        yield str(bad)
    if copies.wrong is not None:
        yield copies.wrong


class Copies:
    """Whether the columns beside the bodies say what these say; the first that does not."""

    def __init__(self, partitions: int) -> None:
        self.wrong: str | None = None
        self._partitions = partitions

    def look_at(self, entry: Entry) -> None:
        if self.wrong is None and (column := _copied_wrong(entry, self._partitions)):
            self.wrong = f"entry {entry.place}: the column {column} does not say what the event says"


def _drawn(
    loop: asyncio.AbstractEventLoop,
    batches: AsyncIterator[Sequence[Entry]],
    copies: Copies,
    progress: Callable[[int], None],
) -> Iterator[bytes]:
    """The bodies of entries that a loop reads, for whoever hashes them in a thread."""

    async def following() -> Sequence[Entry]:
        try:
            return await anext(batches)
        except StopAsyncIteration:
            return ()

    while batch := asyncio.run_coroutine_threadsafe(following(), loop).result():
        for entry in batch:
            copies.look_at(entry)
            yield entry.body
        progress(len(batch))


async def _beside_the_hashes(pool: asyncpg.Pool) -> AsyncIterator[str]:
    guards = {row["relname"]: row["guarded"] for row in await pool.fetch(READ_GUARDS, list(GUARDED))}
    for table in GUARDED:
        if not guards.get(table):
            yield f"the guard against changes of {table} is off"
    for row in await pool.fetch(READ_PARTITIONS):
        if not row["head"] == row["last"] == row["events"]:
            found = f"{row['events']} events up to {row['last']}"
            yield f"partition {row['partition']}: there are {found}, the head says {row['head']}"
    if (first := await pool.fetchval(READ_GAPS)) is not None:
        yield f"entry {first}: renumbered: it does not stand where the one before it ends"


def _copied_wrong(entry: Entry, partitions: int) -> str | None:
    """The first column that is no copy of what the event says."""
    try:
        event = decode_envelope(entry.body)
    except (ValueError, KeyError, TypeError):
        return "body"
    said = (event.id, event.stream, event.version, event.type, leaf_of(entry.body))
    shown = (entry.event_id, entry.stream, entry.version, entry.type, entry.leaf_hash)
    names = ("event_id", "stream", "version", "type", "leaf_hash")
    wrong = next((name for name, one, other in zip(names, said, shown, strict=True) if one != other), None)
    return wrong or (None if partition_of(event.subject, partitions) == entry.partition else "partition")
