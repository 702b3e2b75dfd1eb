"""The log is its own outbox: the relay publishes log partition i to topic partition i, in order.

One relay per partition, chosen by an advisory lock. Where it goes on is what the topic itself says: the last position
in it. So after a crash nothing is sent twice as a rule, a topic that was made anew is filled from the start, and the
cursor rows only tell an operator how far it got. A relay that lost its lock unnoticed can repeat events; consumers
drop repeats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg

from shared.eventlog.log import Recorded
from shared.messaging.bus import Bell, BusUnavailable
from shared.messaging.ends import Place
from shared.messaging.pglog import Readable

BATCH = 500
POLL_SECONDS = 0.03
NOTE_SECONDS = 0.5
RETRY_SECONDS, CHECK_SECONDS = 0.5, 3.0
RELAY = "relay"
TRY_LOCK = "SELECT pg_try_advisory_lock(hashtext($1), $2)"
NOTE_CURSORS = """
    INSERT INTO cursors (consumer, source, partition, sequence) SELECT $1, $2, * FROM unnest($3::int[], $4::bigint[])
    ON CONFLICT (consumer, source, partition) DO UPDATE SET sequence = excluded.sequence"""


class Publisher(Protocol):
    """The writing side of a bus."""

    async def places(self) -> Sequence[Place]:
        """Where every partition ends. Raises BusUnavailable."""
        ...

    async def first_position(self, partition: int) -> int:
        """The first position that a partition holds; 0 when it holds none. Raises BusUnavailable."""
        ...

    async def publish(self, partition: int, events: Sequence[Recorded]) -> int:
        """Write consecutive events; answers with the offset of the first. Raises BusUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the topic is behind the log: events, and the age of the oldest of them in seconds."""

    events: int
    seconds: float


class Displaced(BusUnavailable):
    """The topic is not as we left it: somebody else writes, or it was made anew. Look again."""


class Relay:
    """Publishes one service's log; any number may run."""

    def __init__(
        self,
        service: str,
        log: Readable,
        pool: asyncpg.Pool,
        bell: Bell,
        publishing: Callable[[], AbstractAsyncContextManager[Publisher]],
        on_lag: Callable[[Lag], None],
        on_trouble: Callable[[str], None],
    ) -> None:
        self._service, self._log, self._pool, self._bell = service, log, pool, bell
        self._publishing, self._on_lag, self._on_trouble = publishing, on_lag, on_trouble
        self._heads: list[int] = []
        self._sent: dict[int, int] = {}
        self._noted: dict[int, int] = {}
        self._behind_since: float | None = None

    async def run(self) -> None:
        """Publish for ever. What fails is begun again, from where the topic then ends."""
        while True:
            try:
                await self._publish_until_something_fails()
            except* (asyncpg.PostgresError, asyncpg.InterfaceError, BusUnavailable, OSError) as errors:
                self._on_trouble(repr(errors.exceptions[0]))
            await asyncio.sleep(RETRY_SECONDS)

    async def _publish_until_something_fails(self) -> None:
        self._sent, self._noted = {}, {}
        async with self._pool.acquire() as connection, self._publishing() as publisher:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._lead(connection, publisher, group))
            finally:
                if not connection.is_closed():
                    await connection.execute("SELECT pg_advisory_unlock_all()")

    async def _lead(self, connection: Any, publisher: Publisher, group: asyncio.TaskGroup) -> None:
        """Take every partition that nobody else publishes; asking also shows that our locks still hold."""
        news = Bell()
        group.create_task(self._ring_for_news(news))
        group.create_task(self._watch())
        held: set[int] = set()
        while True:
            for partition in range(self._log.partitions):
                name = f"relay-{self._service}"
                if partition not in held and await connection.fetchval(TRY_LOCK, name, partition):
                    held.add(partition)
                    group.create_task(self._follow(partition, publisher, news))
            await asyncio.sleep(1)
            await connection.execute("SELECT 1")

    async def _ring_for_news(self, news: Bell) -> None:
        while True:
            rung = self._bell.next_ring()
            heads = await self._log.heads()
            if heads != self._heads:
                self._heads = heads
                news.ring()
            await self._bell.wait(POLL_SECONDS, rung)

    async def _follow(self, partition: int, publisher: Publisher, news: Bell) -> None:
        """Publish one partition from where its topic ends."""
        end = (await publisher.places())[partition]
        position, offset = await self._going_on(partition, end, publisher), end.end
        while True:
            self._sent[partition] = position
            rung = news.next_ring()
            if not self._heads or self._heads[partition] <= position:
                await news.wait(CHECK_SECONDS, rung)
                if not rung.is_set() and (await publisher.places())[partition].end != offset:
                    raise Displaced(f"{self._service}/{partition} is not where it was")
                continue
            events = await self._log.read_partition(partition, position, BATCH)
            if await publisher.publish(partition, events) != offset:
                raise Displaced(f"{self._service}/{partition} is not where it was")
            position, offset = events[-1].position, offset + len(events)

    async def _going_on(self, partition: int, end: Place, publisher: Publisher) -> int:
        """The last position that need not be sent again."""
        if end.end == end.begin > 0:  # emptied by retention: only the cursor row remembers
            row = "SELECT sequence FROM cursors WHERE consumer = $1 AND source = $2 AND partition = $3"
            return await self._pool.fetchval(row, RELAY, self._service, partition) or 0
        made_anew = end.begin == 0 and await publisher.first_position(partition) > 1
        return 0 if made_anew else end.position

    async def _watch(self) -> None:
        """Report the lag, and note the cursors."""
        loop = asyncio.get_running_loop()
        while True:
            behind = sum(max(0, self._heads[p] - sent) for p, sent in self._sent.items()) if self._heads else 0
            self._behind_since = (self._behind_since or loop.time()) if behind else None
            self._on_lag(Lag(behind, loop.time() - self._behind_since if self._behind_since else 0.0))
            if moved := {p: sent for p, sent in self._sent.items() if self._noted.get(p) != sent}:
                await self._pool.execute(NOTE_CURSORS, RELAY, self._service, list(moved), list(moved.values()))
                self._noted |= moved
            await asyncio.sleep(NOTE_SECONDS)
