"""One RFC 6962 tree over all partitions of a log: integrated in order, kept in tiles of 256 hashes, asked for proofs.

`integrate` gives the events that have come since the last round their places, partition by partition; one transaction
at a time does so in the whole city. Ranges and tiles are only ever added, so a proof for any earlier size can be made.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import asyncpg

from shared.eventlog.merkle import Node, Span, consistency, inclusion, nodes, root_of
from shared.eventlog.postgres import Connection
from shared.eventlog.verify import HASH, node_of

WIDTH_BITS = 8
WIDTH = 1 << WIDTH_BITS
Tile = tuple[int, int]
"""Its level, and its number among those of that level."""
Rows = list[bytes]
"""The hashes of a tile, then those of each height above them up to its two halves."""
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
    SELECT e.sound, e.hashes
    FROM unnest($1::integer[], $2::bigint[], $3::integer[]) WITH ORDINALITY AS r (partition, first, size, at)
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE octet_length(leaf_hash) = 32) AS sound,
               string_agg(leaf_hash, '' ORDER BY position) AS hashes
        FROM events WHERE partition = r.partition AND position >= r.first AND position < r.first + r.size) e
    ORDER BY r.at"""
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
READ_TILES = """
    SELECT level, number, hashes FROM tree_tiles
    JOIN unnest($1::integer[], $2::bigint[]) AS wanted (level, number) USING (level, number)"""
READ_WHOLE_TILES = """
    SELECT number, hashes, root FROM tree_tiles WHERE level = $1 AND number >= $2 AND number < $3"""
TILES_AT_ONCE = 64
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
    FROM tree_ranges r CROSS JOIN LATERAL (
        SELECT * FROM events
        WHERE partition = r.partition AND position >= r.first_position + greatest(0, $1 - r.first_index)
          AND position < r.first_position + least(r.size, $2 - r.first_index)
        ORDER BY position LIMIT r.size) e
    WHERE r.first_index >= coalesce((SELECT max(first_index) FROM tree_ranges WHERE first_index <= $1), 0)
      AND r.first_index < $2
    ORDER BY place"""
"""LIMIT keeps the planner from reading all events of a partition, or all there are, to find those of a few ranges."""


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
        self._known: OrderedDict[Tile, Rows] = OrderedDict()

    async def size(self) -> int:
        """The number of leaves."""
        return await self._pool.fetchval(READ_SIZE) or 0

    async def integrate(self) -> int:
        """Give up to LARGEST_ROUND new events their places; answers with how many. Raises Inconsistent."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(ONE_AT_A_TIME)
            size = await connection.fetchval(READ_SIZE) or 0
            new = _ranges(await connection.fetch(READ_NEW))
            if not new:
                return 0
            found = await connection.fetch(READ_LEAVES, *map(list, zip(*new, strict=True)))
            ranges: list[Range] = []
            end = size
            for (partition, first, count), row in zip(new, found, strict=True):
                if row["sound"] != count:
                    raise Inconsistent(f"partition {partition} lacks events between {first} and {first + count - 1}")
                ranges.append(Range(end, partition, first, count, row["hashes"]))
                end += count
            await self.add(connection, size, ranges)
        return end - size

    async def add(self, connection: Connection, size: int, ranges: Sequence[Range]) -> None:
        """Write ranges, which go on from a tree of this size, and the tiles that they complete."""
        if not ranges:
            return
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
        return await self._hashes(inclusion(index, size))

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the tree of `old` leaves is the beginning of the tree of `new`."""
        return await self._hashes(consistency(old, new))

    async def root(self, size: int) -> bytes:
        """The root over the first `size` leaves (size > 0)."""
        return (await self._hashes([(0, size)]))[0]

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

    async def wrong_tile(self, size: int) -> Tile | None:
        """The first tile of the tree of a size that is not made of what lies below it."""
        level, count = 0, size >> WIDTH_BITS
        while count:
            for first in range(0, count, TILES_AT_ONCE):
                end = min(count, first + TILES_AT_ONCE)
                below = await self._below(level, first, end)
                rows = {row["number"]: row for row in await self._pool.fetch(READ_WHOLE_TILES, level, first, end)}
                for number in range(first, end):
                    due = below[(number - first) << WIDTH_BITS : (number - first + 1) << WIDTH_BITS]
                    row = rows.get(number)
                    if row is None or (row["hashes"], row["root"]) != (b"".join(due), root_of(due)):
                        return level, number
            level, count = level + 1, count >> WIDTH_BITS
        return None

    async def _below(self, level: int, first: int, end: int) -> list[bytes]:
        """The hashes that these tiles are to hold."""
        first, end = first << WIDTH_BITS, end << WIDTH_BITS
        if level == 0:
            return await self.leaves(first, end)
        return [row["root"] for row in await self._pool.fetch(READ_ROOTS, level - 1, first, end)]

    async def _leaves(self, connection: Any, first: int, end: int) -> list[bytes]:
        found: list[bytes] = []
        for row in await connection.fetch(READ_RANGES, first, end):
            skipped = max(0, first - row["first_index"]) * HASH
            found += [row["hashes"][at : at + HASH] for at in range(skipped, len(row["hashes"]), HASH)]
        return found[: end - first]

    async def _hashes(self, spans: Sequence[Span]) -> list[bytes]:
        """The roots over some spans; what they need is read together."""
        parts = [[_placed(node) for node in nodes(span)] for span in spans]
        wanted: dict[Tile, int] = {}
        for tile, height, number in chain.from_iterable(parts):
            wanted[tile] = max(wanted.get(tile, 0), (number + 1) << height)
        tiles = await self._tiles(wanted)
        roots = []
        for part in parts:
            hashes = [tiles[tile][height][HASH * number : HASH * (number + 1)] for tile, height, number in part]
            root = hashes[-1]
            for left in reversed(hashes[:-1]):
                root = node_of(left, root)
            roots.append(root)
        return roots

    async def _tiles(self, wanted: Mapping[Tile, int]) -> dict[Tile, Rows]:
        """These tiles, each with so many hashes at least. What has once been read of one never changes."""
        found = {tile: self._known[tile] for tile, count in wanted.items() if self._knows(tile, count)}
        if missing := [tile for tile in wanted if tile not in found]:
            rows = await self._pool.fetch(READ_TILES, *map(list, zip(*missing, strict=True)))
            read = {(row["level"], row["number"]): row["hashes"] for row in rows}
            for tile in missing:
                hashes = read.get(tile) or await self._begun(tile)
                if len(hashes) < HASH * wanted[tile]:
                    raise Inconsistent(f"tile {tile[1]} of level {tile[0]} is not whole")
                found[tile] = self._known[tile] = _rows(hashes)
        for tile in wanted:
            if tile in self._known:  # or somebody else has pushed it out while we read
                self._known.move_to_end(tile)
        while len(self._known) > CACHED_TILES:
            self._known.popitem(last=False)
        return found

    def _knows(self, tile: Tile, count: int) -> bool:
        return tile in self._known and len(self._known[tile][0]) >= HASH * count

    async def _begun(self, tile: Tile) -> bytes:
        """What there is of a tile that is not full yet."""
        level, number = tile
        return b"".join(await self._below(level, number, number + 1))


def _ranges(partitions: Iterable[Any]) -> list[tuple[int, int, int]]:
    """What is to be integrated next: partition, first position, how many."""
    found: list[tuple[int, int, int]] = []
    count = 0
    for row in partitions:
        first = row["integrated"] + 1
        while first <= row["head"] and count < LARGEST_ROUND:
            size = min(row["head"] - first + 1, LONGEST_RANGE)
            found.append((row["partition"], first, size))
            first, count = first + size, count + size
    return found


def _placed(node: Node) -> tuple[Tile, int, int]:
    """The tile that a node stands in, its height there, and its number among those of that height there."""
    height, number = node
    level, above = divmod(height, WIDTH_BITS)
    across = WIDTH_BITS - above
    return (level, number >> across), above, number & (1 << across) - 1


def _rows(hashes: bytes) -> Rows:
    rows = [hashes]
    while len(rows) < WIDTH_BITS:
        below = rows[-1]
        pairs = range(0, len(below) - HASH, 2 * HASH)
        rows.append(b"".join([node_of(below[at : at + HASH], below[at + HASH : at + 2 * HASH]) for at in pairs]))
    return rows


def _cut(whole: bytes) -> list[bytes]:
    return [whole[at : at + HASH] for at in range(0, len(whole), HASH)]


async def all_entries(tree: StoredTree, first: int, end: int, step: int = 5_000) -> AsyncIterator[Sequence[Entry]]:
    """The entries from a place up to before another, a few thousand at a time."""
    for at in range(first, end, step):
        yield await tree.entries(at, min(at + step, end))
