"""The log is its own outbox: the relay publishes log partition i to topic partition i, in order.

One relay per partition, chosen by an advisory lock. Where it goes on is what the topic itself says: the last position
in it. So after a crash nothing is sent twice as a rule, a topic that was made anew is filled from the start, and the
cursor rows only tell an operator how far it got. A relay that lost its lock unnoticed can repeat events; consumers
drop repeats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import asyncpg

from shared.eventlog.log import Recorded
from shared.messaging.bus import Bell, BusUnavailable
from shared.messaging.ends import Place
from shared.messaging.pglog import Readable

BATCH = 2000
POLL_SECONDS = 0.03
RETRY_SECONDS, LOOK_SECONDS = 0.5, 1.0
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
    """How far the topic is behind the log: events, and for how many seconds it has lacked the oldest of them."""

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
        self._sent: dict[int, int] = {}
        self._offsets: dict[int, int] = {}
        self._noted: dict[int, int] = {}
        self._goal: Mapping[int, int] = {}
        self._goal_at = 0.0

    async def run(self) -> None:
        """Publish for ever. What fails is begun again, from where the topic then ends."""
        while True:
            self._sent, self._offsets, self._noted = {}, {}, {}
            try:
                async with self._pool.acquire() as connection, self._publishing() as publisher:
                    try:
                        await self._publish(connection, publisher)
                    finally:
                        if not connection.is_closed():
                            await connection.execute("SELECT pg_advisory_unlock_all()")
            except Exception as error:  # nothing can go wrong that looking again does not mend
                self._on_trouble(str(error) if isinstance(error, BusUnavailable) else type(error).__name__)
                with suppress(Exception):  # the database may be what is wrong
                    await self._report(await self._published())
            await asyncio.sleep(RETRY_SECONDS)

    async def _publish(self, connection: Any, publisher: Publisher) -> None:
        """Round after round; once a second look at what is ours to publish, and whether the topic is as we left it."""
        loop, look_at = asyncio.get_running_loop(), 0.0
        while True:
            if loop.time() >= look_at:
                await self._look(connection, publisher)
                look_at = loop.time() + LOOK_SECONDS
            rung = self._bell.next_ring()
            if not await self._round(publisher):
                await self._bell.wait(POLL_SECONDS, rung)

    async def _look(self, connection: Any, publisher: Publisher) -> None:
        """Take every partition that nobody else publishes; asking also shows that our locks still hold."""
        name = f"relay-{self._service}"
        free = [partition for partition in range(self._log.partitions) if partition not in self._sent]
        taken = [partition for partition in free if await connection.fetchval(TRY_LOCK, name, partition)]
        places = await publisher.places()
        for partition, offset in self._offsets.items():
            if places[partition].end != offset:
                raise Displaced(f"{self._service}/{partition} is not where it was")
        for partition in taken:
            self._sent[partition] = await self._going_on(partition, places[partition], publisher)
            self._offsets[partition] = places[partition].end
        await self._report(self._sent)
        if moved := {p: sent for p, sent in self._sent.items() if self._noted.get(p) != sent}:
            await connection.execute(NOTE_CURSORS, RELAY, self._service, list(moved), list(moved.values()))
            self._noted |= moved

    async def _round(self, publisher: Publisher) -> bool:
        """Publish what is new in all our partitions; False when there is nothing."""
        heads = await self._log.heads()
        behind = {partition: sent for partition, sent in self._sent.items() if heads[partition] > sent}
        if not behind:
            return False
        events = await self._log.read_partitions(behind, BATCH)
        batches = [(partition, list(some)) for partition, some in groupby(events, lambda event: event.partition)]
        offsets = await asyncio.gather(*(publisher.publish(partition, some) for partition, some in batches))
        for (partition, some), offset in zip(batches, offsets, strict=True):
            if offset != self._offsets[partition]:
                raise Displaced(f"{self._service}/{partition} is not where it was")
            self._sent[partition], self._offsets[partition] = some[-1].position, offset + len(some)
        return True

    async def _going_on(self, partition: int, end: Place, publisher: Publisher) -> int:
        """The last position that need not be sent again."""
        if end.end == end.begin > 0:  # emptied by retention: only the cursor row remembers
            return (await self._published())[partition]
        made_anew = end.begin == 0 and await publisher.first_position(partition) > 1
        if end.position > (await self._log.heads())[partition]:  # not ours: an imitation that only ACLs can prevent
            return (await self._published())[partition]
        return 0 if made_anew else end.position

    async def _published(self) -> dict[int, int]:
        """How far the topic had got when somebody last noted it."""
        rows = await self._pool.fetch("SELECT partition, sequence FROM cursors WHERE consumer = $1", RELAY)
        return dict.fromkeys(range(self._log.partitions), 0) | {row["partition"]: row["sequence"] for row in rows}

    async def _report(self, sent: Mapping[int, int]) -> None:
        """The lag, for people to see: events, and for how long the topic has lacked something."""
        heads, now = await self._log.heads(), asyncio.get_running_loop().time()
        if all(sent.get(partition, 0) >= head for partition, head in self._goal.items()):
            self._goal, self._goal_at = {partition: heads[partition] for partition in sent}, now
        behind = sum(max(0, heads[partition] - position) for partition, position in sent.items())
        self._on_lag(Lag(behind, now - self._goal_at))
