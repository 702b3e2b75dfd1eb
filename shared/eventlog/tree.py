"""One RFC 6962 tree over all partitions of a log: integrated in order, kept in tiles of 256 hashes, asked for proofs.

`integrate` gives the events that have come since the last round their places, partition by partition; one transaction
at a time does so in the whole city. Ranges and tiles are only ever added, so a proof for any earlier size can be made.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

import asyncpg

from shared.eventlog.merkle import Node, consistency, inclusion, nodes, root_of
from shared.eventlog.postgres import Connection
from shared.eventlog.verify import HASH, node_of

WIDTH_BITS = 8
WIDTH = 1 << WIDTH_BITS
LONGEST_RANGE, LARGEST_ROUND = 4096, 50_000
CACHED_TILES = 2_000
READ_SIZE = "SELECT first_index + size FROM tree_ranges ORDER BY first_index DESC LIMIT 1"
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext(current_schema() || '.tree'))"
READ_NEW = """
    SELECT h.partition, h.position AS head, coalesce((
        SELECT r.first_position + r.size - 1 FROM tree_ranges r
        WHERE r.partition = h.partition ORDER BY r.first_position DESC LIMIT 1), 0) AS integrated
    FROM log_heads h ORDER BY h.partition"""
READ_LEAVES = """
    SELECT leaf_hash FROM events WHERE partition = $1 AND position > $2 AND position <= $3 ORDER BY position"""
ADD_RANGES = """
    INSERT INTO tree_ranges (first_index, partition, first_position, size, hashes)
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::integer[], $5::bytea[])"""
ADD_TILES = """
    INSERT INTO tree_tiles (level, number, hashes, root)
    SELECT $1, * FROM unnest($2::bigint[], $3::bytea[], $4::bytea[])"""
READ_RANGES = """
    SELECT first_index, hashes FROM tree_ranges
    WHERE first_index >= coalesce((SELECT max(first_index) FROM tree_ranges WHERE first_index <= $1), 0)
      AND first_index < $2 ORDER BY first_index"""
READ_TILE = "SELECT hashes FROM tree_tiles WHERE level = $1 AND number = $2"
READ_ROOTS = "SELECT root FROM tree_tiles WHERE level = $1 AND number >= $2 AND number < $3 ORDER BY number"
READ_INDEX = """
    SELECT r.first_index + e.position - r.first_position AS place, e.leaf_hash
    FROM events e JOIN LATERAL (
        SELECT * FROM tree_ranges WHERE partition = e.partition AND first_position <= e.position
        ORDER BY first_position DESC LIMIT 1) r ON e.position < r.first_position + r.size
    WHERE e.event_id = $1"""
READ_LEAF = "SELECT leaf_hash FROM events WHERE event_id = $1"
READ_ENTRIES = """
    SELECT r.first_index + e.position - r.first_position AS place, e.event_id, e.stream, e.version, e.type, e.body,
           e.leaf_hash, e.partition
    FROM tree_ranges r JOIN events e
      ON e.partition = r.partition AND e.position >= r.first_position AND e.position < r.first_position + r.size
    WHERE r.first_index >= coalesce((SELECT max(first_index) FROM tree_ranges WHERE first_index <= $1), 0)
      AND r.first_index < $2 AND r.first_index + e.position - r.first_position BETWEEN $1 AND $2 - 1
    ORDER BY place"""


class Inconsistent(Exception):
    """The stored record contradicts itself, or what was signed before; nothing more is signed until somebody looked."""


class Entry(NamedTuple):
    """A stored event in its place; the columns beside the body are copies of what stands in it."""

    place: int
    event_id: str
    stream: str
    version: int
    type: str
    body: bytes
    leaf_hash: bytes
    partition: int


class Range(NamedTuple):
    """Consecutive positions of one partition, and the places that they have among the leaves."""

    first_index: int
    partition: int
    first_position: int
    size: int
    hashes: bytes


class StoredTree:
    """The tree of one service's log, in its schema."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._full: OrderedDict[Node, list[bytes]] = OrderedDict()

    async def size(self) -> int:
        """The number of leaves."""
        return await self._pool.fetchval(READ_SIZE) or 0

    async def integrate(self) -> int:
        """Give up to LARGEST_ROUND new events their places; answers with how many. Raises Inconsistent."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(ONE_AT_A_TIME)
            size = await connection.fetchval(READ_SIZE) or 0
            ranges: list[Range] = []
            count = 0
            for row in await connection.fetch(READ_NEW):
                first = row["integrated"] + 1
                while first <= row["head"] and count < LARGEST_ROUND:
                    last = min(row["head"], first + LONGEST_RANGE - 1)
                    new = [
                        one["leaf_hash"]
                        for one in await connection.fetch(READ_LEAVES, row["partition"], first - 1, last)
                    ]
                    if len(new) != last - first + 1 or any(len(one) != HASH for one in new):
                        raise Inconsistent(f"partition {row['partition']} lacks events between {first} and {last}")
                    ranges.append(Range(size + count, row["partition"], first, len(new), b"".join(new)))
                    count += len(new)
                    first = last + 1
            await self.add(connection, size, ranges)
        return count

    async def add(self, connection: Connection, size: int, ranges: Sequence[Range]) -> None:
        """Write ranges, which go on from a tree of this size, and the tiles that they complete."""
        if ranges:
            await connection.execute(ADD_RANGES, *map(list, zip(*ranges, strict=True)))
            await self._add_tiles(connection, size, [leaf for one in ranges for leaf in _cut(one.hashes)])

    async def _add_tiles(self, connection: Connection, size: int, leaves: list[bytes]) -> None:
        """The tiles that new leaves complete, height by height."""
        level, number, hashes = 0, size >> WIDTH_BITS, leaves
        if begun := size % WIDTH:
            hashes = await self._leaves(connection, size - begun, size) + leaves
        while len(hashes) >= WIDTH:
            tiles = [hashes[at : at + WIDTH] for at in range(0, len(hashes) - WIDTH + 1, WIDTH)]
            roots = [root_of(tile) for tile in tiles]
            numbers = list(range(number, number + len(tiles)))
            await connection.execute(ADD_TILES, level, numbers, [b"".join(tile) for tile in tiles], roots)
            first = number >> WIDTH_BITS << WIDTH_BITS
            earlier = await connection.fetch(READ_ROOTS, level, first, number)
            level, number, hashes = level + 1, number >> WIDTH_BITS, [row["root"] for row in earlier] + roots

    async def inclusion(self, index: int, size: int) -> list[bytes]:
        """The proof that a leaf stands in the tree of a size, from the leaf up."""
        return [await self._span(span) for span in inclusion(index, size)]

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the tree of `old` leaves is the beginning of the tree of `new`."""
        return [await self._span(span) for span in consistency(old, new)]

    async def root(self, size: int) -> bytes:
        """The root over the first `size` leaves (size > 0)."""
        return await self._span((0, size))

    async def place_of(self, event_id: str) -> tuple[int | None, bytes] | None:
        """Where an event stands among the leaves (None: not integrated yet), and its hash; None: no such event."""
        if row := await self._pool.fetchrow(READ_INDEX, event_id):
            return row["place"], row["leaf_hash"]
        leaf = await self._pool.fetchval(READ_LEAF, event_id)
        return None if leaf is None else (None, leaf)

    async def entries(self, first: int, end: int) -> list[Entry]:
        """The entries from a place up to before another, as far as they are there."""
        return [
            Entry(row["place"], str(row["event_id"]), *row[2:])
            for row in await self._pool.fetch(READ_ENTRIES, first, end)
        ]

    async def leaves(self, first: int, end: int) -> list[bytes]:
        """The leaf hashes from a place up to before another, as they were integrated."""
        return await self._leaves(self._pool, first, end)

    async def _leaves(self, connection: Any, first: int, end: int) -> list[bytes]:
        found: list[bytes] = []
        for row in await connection.fetch(READ_RANGES, first, end):
            skipped = max(0, first - row["first_index"]) * HASH
            found += [row["hashes"][at : at + HASH] for at in range(skipped, len(row["hashes"]), HASH)]
        return found[: end - first]

    async def _span(self, span: tuple[int, int]) -> bytes:
        hashes = [await self._node(node) for node in nodes(span)]
        root = hashes[-1]
        for left in reversed(hashes[:-1]):
            root = node_of(left, root)
        return root

    async def _node(self, node: Node) -> bytes:
        height, number = node
        level, above = divmod(height, WIDTH_BITS)
        first = number << above
        tile = await self._tile(level, first >> WIDTH_BITS)
        hashes = tile[first % WIDTH : first % WIDTH + (1 << above)]
        if len(hashes) != 1 << above:
            raise Inconsistent(f"tile {first >> WIDTH_BITS} of level {level} is not whole")
        return root_of(hashes)

    async def _tile(self, level: int, number: int) -> list[bytes]:
        """The hashes of a tile; of one that is not full yet, those that are there."""
        if (level, number) in self._full:
            self._full.move_to_end((level, number))
            return self._full[level, number]
        if whole := await self._pool.fetchval(READ_TILE, level, number):
            self._full[level, number] = _cut(whole)
            while len(self._full) > CACHED_TILES:
                self._full.popitem(last=False)
            return self._full[level, number]
        first, end = number << WIDTH_BITS, (number + 1) << WIDTH_BITS
        if level == 0:
            return await self.leaves(first, end)
        return [row["root"] for row in await self._pool.fetch(READ_ROOTS, level - 1, first, end)]


def _cut(whole: bytes) -> list[bytes]:
    return [whole[at : at + HASH] for at in range(0, len(whole), HASH)]


async def all_entries(tree: StoredTree, first: int, end: int, step: int = 5_000) -> AsyncIterator[Sequence[Entry]]:
    """The entries from a place up to before another, a few thousand at a time."""
    for at in range(first, end, step):
        yield await tree.entries(at, min(at + step, end))
