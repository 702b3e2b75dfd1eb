"""An export becomes a log again: the same bytes in the same places, so that every old checkpoint and receipt holds.

Positions are those that the events had: the order of the export is the order of integration, which within a partition
is the order of the log. Nothing is believed: leaves are hashed anew, and the root must be the one that was signed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from shared.contracts.envelope import decode_envelope
from shared.eventlog.log import partition_of
from shared.eventlog.notes import checkpoint_in
from shared.eventlog.postgres import Connection
from shared.eventlog.tree import LONGEST_RANGE, ONE_AT_A_TIME, Range, StoredTree
from shared.eventlog.verify import Bad, Checkpoint, Tree, leaf_of

AT_ONCE = 5_000
COLUMNS = ("partition", "position", "stream", "version", "event_id", "type", "body", "leaf_hash")
LOCK_HEADS = "SELECT position FROM log_heads ORDER BY partition FOR UPDATE"
IS_THERE = """
    SELECT EXISTS (SELECT FROM events) OR EXISTS (SELECT FROM tree_ranges) OR EXISTS (SELECT FROM checkpoints)"""
SET_HEADS = """
    UPDATE log_heads h SET position = new.position
    FROM unnest($1::integer[], $2::bigint[]) AS new (partition, position) WHERE h.partition = new.partition"""
ADD_CHECKPOINTS = """
    INSERT INTO checkpoints (size, note)
    SELECT size, note FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS c (size, note, number) ORDER BY number"""


class NotEmpty(Exception):
    """There are events already; a log is restored into an empty one only."""


class Row(NamedTuple):
    """An event as it stands in the table `events`."""

    partition: int
    position: int
    stream: str
    version: int
    event_id: str
    type: str
    body: bytes
    leaf_hash: bytes


async def restore(
    connection: Connection,
    folder: Path,
    checkpoint: Checkpoint,
    notes: Sequence[str],
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Fill the log of this search path, in the caller's transaction. Raises NotEmpty, and Bad for another root.

    `notes` are the checkpoints that were published, oldest first.
    """
    await connection.execute(ONE_AT_A_TIME)
    heads = [row["position"] for row in await connection.fetch(LOCK_HEADS)]
    if any(heads) or await connection.fetchval(IS_THERE):
        raise NotEmpty
    seen, stored = Tree(), StoredTree(connection)
    with (folder / "entries.ndjson").open("rb") as file:
        lines = islice((line.removesuffix(b"\n") for line in file), checkpoint.size)
        for rows in _batches(_rows(lines, heads)):
            await connection.copy_records_to_table("events", records=rows, columns=COLUMNS)
            await stored.add(connection, seen.size, list(_ranges(rows, seen.size)))
            for row in rows:
                seen.add(row.leaf_hash)
            progress(len(rows))
    if (seen.size, seen.root()) != (checkpoint.size, checkpoint.root):
        raise Bad("the entries have changed since they were verified")
    await connection.execute(SET_HEADS, list(range(len(heads))), heads)
    await connection.execute(ADD_CHECKPOINTS, [checkpoint_in(one).size for one in notes], list(notes))


def _rows(lines: Iterable[bytes], heads: list[int]) -> Iterator[Row]:
    """The entries with the places in their partitions that they had; moves the heads."""
    for body in lines:
        event = decode_envelope(body)
        partition = partition_of(event.subject, len(heads))
        heads[partition] += 1
        yield Row(
            partition, heads[partition], event.stream, event.version, event.id, event.type, body, leaf_of(body)
        )  # fmt: skip


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, AT_ONCE)):
        yield batch


def _ranges(rows: Sequence[Row], first_index: int) -> Iterator[Range]:
    """One for each run of one partition: within it, positions follow one another."""
    begun = 0
    for at in range(1, len(rows) + 1):
        if at == len(rows) or rows[at].partition != rows[begun].partition or at - begun == LONGEST_RANGE:
            run = rows[begun:at]
            hashes = b"".join(row.leaf_hash for row in run)
            yield Range(first_index + begun, run[0].partition, run[0].position, len(run), hashes)
            begun = at
