"""Bad inputs by the hundred: a table of cases is run at once over one city, and whatever goes wrong is named.

A refusal is the same for all: the documented 4xx, a whole RFC 9457 problem with a stable code, nothing of the refused
text in body or headers, nothing on record, and a city that goes on answering.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeVar

from tests.support.bad import recorded, what_is_wrong
from tests.support.city import City, Reply

Codes = str | Collection[str]
CLOSING = {"Connection": "close"}
AT_ONCE = 48
STREAMS = {"intake": "appeal", "routing": "order", "feedback": "case", "scoring": "assessment"}
T = TypeVar("T")


class Case(NamedTuple):
    """One bad input: how it is sent, and the status and code (or one of the codes) that it is refused with."""

    name: str
    send: Callable[[City], Awaitable[Reply]]
    status: int = 422
    code: Codes = "VALIDATION_FAILED"
    unsaid: str = ""
    """What the answer must not repeat, beside the canary."""


async def all_refused(city: City, cases: Sequence[Case], appeal_id: str | None = None) -> list[Reply]:
    """Every case is refused as it says. Raises AssertionError with the name of each that is not.

    Nothing is on record: of an appeal where other things happen meanwhile, of anything where the city stands still.
    """
    assert len({case.name for case in cases}) == len(cases) > 0, "every case has a name of its own"
    before = await on_record(city, appeal_id)
    replies = await together(*(in_time(city, case.send) for case in cases))
    said = [(case.name, wrong_with(case, reply)) for case, reply in zip(cases, replies, strict=True)]
    none_wrong(said)
    assert await on_record(city, appeal_id) == before, "something that was refused is on record"
    await still_serving(city)
    return replies


async def in_time(city: City, send: Callable[[City], Awaitable[Reply]]) -> Reply:
    """The answer, once it is not "too early" any more, which a busy machine may say for a while."""
    reply: Reply = await city.until(lambda: send(city), lambda reply: reply.status != 425)
    return reply


async def together(*waiting: Awaitable[T]) -> list[T]:
    """All of these, some dozens at a time: what is looked at is what they come to, not how many there are."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(of: Awaitable[T]) -> T:
        async with room:
            return await of

    return await asyncio.gather(*map(one, waiting))


async def on_record(city: City, appeal_id: str | None = None) -> int:
    """How many events there are, of an appeal or of all."""
    if appeal_id is None:
        return await recorded(city)
    logs = [(city.running[name].log, f"{stream}-{appeal_id}") for name, stream in STREAMS.items()]
    return sum([len(await log.read_stream(stream)) for log, stream in logs])


def wrong_with(case: Case, reply: Reply) -> str | None:
    """What is wrong with the answer to a case."""
    codes = {case.code} if isinstance(case.code, str) else set(case.code)
    said = reply.body.get("code") if isinstance(reply.body, dict) else None
    if said not in codes:
        return f"{reply.status} {said} instead of {case.status} {' or '.join(sorted(codes))}: {reply.raw[:200]!r}"
    if case.unsaid and case.unsaid.encode() in reply.raw + str(reply.headers).encode():
        return "repeats the refused text"
    return what_is_wrong(reply, case.status, said)


def none_wrong(said: Sequence[tuple[str, Any]]) -> None:
    """Raises AssertionError with the names of those with which something is wrong."""
    wrong = [f"{name}: {what}" for name, what in said if what]
    assert not wrong, f"{len(wrong)} of {len(said)}:\n" + "\n".join(wrong)


async def still_serving(city: City) -> None:
    """Health and a good read, after all that."""
    for service in city.running:
        assert (await city.get(f"/{service}/health/live", None)).status == 200
    assert (await city.get("/intake/v1/channels", "AGENT")).status == 200


class Answer(NamedTuple):
    """What came over the wire: every status line, the codes of the problems, all bytes, and whether it was closed."""

    statuses: list[int]
    codes: list[str]
    raw: bytes
    closed: bool

    def header(self, name: str) -> list[str]:
        found = re.findall(rb"(?im)^" + name.encode() + rb":[ \t]*([^\r\n]*)", self.raw)
        return [value.decode("latin-1") for value in found]


async def wire(city: City, request: bytes, answers: int = 1, seconds: float = 20) -> Answer:
    """Send exactly these bytes; read until so many answers have come whole, or the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(city.url.rsplit(":", 1)[1]))
    raw, closed = b"", False
    try:
        async with asyncio.timeout(seconds):
            writer.write(request)
            while not closed and _whole(raw) < answers:
                piece = await reader.read(1 << 16)
                raw, closed = raw + piece, not piece
    except ConnectionError:
        closed = True
    finally:
        writer.close()
    statuses = [int(one) for one in re.findall(rb"(?m)^HTTP/1\.1 (\d{3})", raw)]
    codes = [one.decode() for one in re.findall(rb'"code":"(\w+)"', raw)]
    return Answer(statuses, codes, raw, closed)


def _whole(raw: bytes) -> int:
    """How many answers have come to their end."""
    count = 0
    while (head := raw.find(b"\r\n\r\n")) >= 0:
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", raw[: head + 2])
        raw = raw[head + 4 :]
        if length is None:
            count += 0 if b"100 Continue" in raw[:20] else 1
            continue
        if len(raw) < int(length[1]):
            break
        raw, count = raw[int(length[1]) :], count + 1
    return count
