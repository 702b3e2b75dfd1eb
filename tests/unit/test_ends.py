"""Where a topic begins and ends is found by reading a few records, whoever else asks and whoever gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from shared.eventlog.log import Recorded
from shared.messaging.cloudevents import to_message
from shared.messaging.ends import Ends, Place
from tests.support.events import entry

PLACE = TopicPartition("appeals.intake.v1", 0)
LONG, CHUNK, FEW = 100_000, 50, 1_000


class OnePartition:
    """A client on a partition of `end` records: strangers first, then ours from position 1 on. Counts what is read."""

    def __init__(self, end: int, strangers: int = 0, begin: int = 0) -> None:
        self.begin, self.end, self._strangers = begin, end, strangers
        self.read, self._at = 0, begin
        one = entry("a-1", 1)
        self._message = to_message(Recorded(0, 1, "a-1", 1, one.type, one.body))

    async def beginning_offsets(self, places: Sequence[Any]) -> dict[Any, int]:
        return dict.fromkeys(places, self.begin)

    async def end_offsets(self, places: Sequence[Any]) -> dict[Any, int]:
        return dict.fromkeys(places, self.end)

    def assign(self, places: Sequence[Any]) -> None:
        self._at = self.begin

    def seek(self, place: Any, offset: int) -> None:
        self._at = offset

    def resume(self, *places: Any) -> None: ...

    def pause(self, *places: Any) -> None: ...

    async def getmany(self, *places: Any, timeout_ms: int) -> dict[Any, list[Any]]:
        """As the real one: what it has fetched, whatever of it was asked for."""
        offsets = range(self._at, min(self._at + CHUNK, self.end))
        self.read, self._at = self.read + len(offsets), offsets.stop
        return {place: [self._record(offset) for offset in offsets] for place in places}

    def _record(self, offset: int) -> Any:
        if offset < self._strangers:
            return SimpleNamespace(offset=offset, key=None, value=b"hello", headers=[])
        position = {"ce_sequence": str(offset - self._strangers + 1).encode()}
        headers = list((dict(self._message.headers) | position).items())
        return SimpleNamespace(offset=offset, key=self._message.key, value=self._message.value, headers=headers)


async def ends_of(client: Any) -> Ends:
    """Of this client, after a first look."""
    ends = Ends(client, "intake", [PLACE])
    await ends.places()
    return ends


@pytest.mark.parametrize("strangers", [0, 1, 60])
async def test_the_first_position_of_a_long_partition_is_found_by_reading_a_few_records(strangers: int) -> None:
    client = OnePartition(LONG, strangers)
    assert await (await ends_of(client)).first_position(0) == 1
    assert client.read < FEW


async def test_the_first_position_is_that_of_the_oldest_record_that_is_kept() -> None:
    client = OnePartition(LONG, begin=LONG // 2)
    assert await (await ends_of(client)).first_position(0) == LONG // 2 + 1
    assert client.read < FEW


@pytest.mark.parametrize("strangers", [0, 100])
async def test_a_partition_without_a_record_of_ours_has_no_first_position(strangers: int) -> None:
    assert await (await ends_of(OnePartition(strangers, strangers))).first_position(0) == 0


async def test_the_end_of_a_long_partition_is_found_by_reading_a_few_records() -> None:
    client = OnePartition(LONG)
    ends = Ends(client, "intake", [PLACE])
    assert await ends.places() == [Place(LONG, 0, LONG)]
    assert client.read < FEW


class Moody(OnePartition):
    """Cancels itself instead of answering while it is cross; answers when `may_answer` is set."""

    def __init__(self, end: int) -> None:
        super().__init__(end)
        self.cross, self.asked, self.may_answer = False, asyncio.Event(), asyncio.Event()
        self.may_answer.set()

    async def end_offsets(self, places: Sequence[Any]) -> dict[Any, int]:
        self.asked.set()
        await self.may_answer.wait()
        if self.cross:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
        return await super().end_offsets(places)


async def test_a_look_that_the_client_cancels_is_an_aborted_connection_and_the_next_look_is_a_new_one() -> None:
    client = Moody(3)
    client.cross = True
    ends = Ends(client, "intake", [PLACE])
    answers = await asyncio.gather(ends.places(), ends.places(), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionAbortedError] * 2
    client.cross = False
    assert await ends.places() == [Place(3, 0, 3)]


async def test_who_gives_up_does_not_disturb_those_who_wait_for_the_same_look() -> None:
    client = Moody(3)
    client.may_answer.clear()
    ends = Ends(client, "intake", [PLACE])
    hasty, patient = (asyncio.create_task(ends.places()) for _ in range(2))
    await client.asked.wait()
    hasty.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hasty
    client.may_answer.set()
    assert await patient == [Place(3, 0, 3)]
