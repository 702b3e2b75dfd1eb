"""What was done to a database beside the hashes: columns, positions, heads, and guards that were switched off.

The bytes of an event are under the tree; the columns that stand beside them are copies for the indexes, and a copy that
says something else would mislead readers without touching a hash.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import asyncpg

from shared.contracts.envelope import decode_envelope
from shared.eventlog.exporting import export
from shared.eventlog.log import partition_of
from shared.eventlog.notes import Signer, checkpoint_in
from shared.eventlog.tree import Entry, StoredTree, all_entries
from shared.eventlog.verify import Bad, Policy, check_log, leaf_of

GUARDED = ("events", "idempotency", "tree_ranges", "tree_tiles", "checkpoints")
READ_GUARDS = """
    SELECT c.relname, coalesce(bool_or(t.tgenabled = 'A'), false) AS guarded
    FROM pg_class c LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = c.relname || '_append_only'
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
    tree: StoredTree, pool: asyncpg.Pool, signer: Signer, note: str, earlier: Sequence[str], folder: Path,
    progress: Callable[[int], None] = lambda count: None,
) -> AsyncIterator[str]:  # fmt: skip
    """What is wrong with a log whose notary signed `note`, each in a sentence. `folder` takes an export meanwhile."""
    size = checkpoint_in(note).size
    async for one in _beside_the_hashes(tree, pool, size, progress):
        yield one
    await export(tree, signer, note, earlier, folder, progress)
    try:
        check_log(folder, Policy(f"log {signer.verifier_key}\nquorum none\n"))
    except Bad as bad:
        yield str(bad)


async def _beside_the_hashes(
    tree: StoredTree, pool: asyncpg.Pool, size: int, progress: Callable[[int], None]
) -> AsyncIterator[str]:
    guards = {row["relname"]: row["guarded"] for row in await pool.fetch(READ_GUARDS, list(GUARDED))}
    for table in GUARDED:
        if not guards.get(table):
            yield f"the guard against changes of {table} is off"
    partitions = await pool.fetch(READ_PARTITIONS)
    for row in partitions:
        if not row["head"] == row["last"] == row["events"]:
            found = f"{row['events']} events up to {row['last']}"
            yield f"partition {row['partition']}: there are {found}, the head says {row['head']}"
    if (first := await pool.fetchval(READ_GAPS)) is not None:
        yield f"entry {first}: renumbered: it does not stand where the one before it ends"
    async for entries in all_entries(tree, 0, size):
        progress(len(entries))
        for entry in entries:
            if wrong := _copied_wrong(entry, len(partitions)):
                yield f"entry {entry.place}: the column {wrong} does not say what the event says"
                return


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
