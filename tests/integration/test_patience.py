"""Clients that are slow on purpose are cut off in time; those that wait for us, or are merely slow, are not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from services import patience
from services.serving import Server, configuration
from shared.engine.settings import Settings
from tests.support.waiting import PATIENCE_SECONDS, until

MEGABYTE = 1024 * 1024
CHUNKS = 64
QUICK = b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"
BEGUN = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"


class Stage:
    """A server, and what its application waits for."""

    def __init__(self) -> None:
        self.port = 0
        self.go_on, self.asked, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        match scope["path"]:
            case "/slow":
                self.asked.set()
                await self.go_on.wait()
                await self._answer(send, str(await _length(receive)).encode())
            case "/echo":
                await self._answer(send, str(await _length(receive)).encode())
            case "/endless":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                for _ in range(CHUNKS):
                    await send({"type": "http.response.body", "body": bytes(MEGABYTE), "more_body": True})
                self.ended.set()
            case "/large":
                await self._answer(send, bytes(16 * MEGABYTE))
            case _:
                await self._answer(send, b"quick")

    @staticmethod
    async def _answer(send: Any, body: bytes) -> None:
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _length(receive: Callable[[], Awaitable[Any]]) -> int:
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        length, more = length + len(message["body"]), message["more_body"]
    return length


@pytest_asyncio.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """Patience of tenths of a second."""
    for name, seconds in (("HEADER_SECONDS", 0.3), ("STILL_SECONDS", 0.4), ("BODY_SECONDS", 2.0)):
        monkeypatch.setattr(patience, name, seconds)
    made = Stage()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        made.port = listener.getsockname()[1]
        serving = Server(configuration(made, Settings()))
        task = asyncio.create_task(serving.serve(sockets=[listener]))
        try:
            yield made
        finally:
            made.go_on.set()
            serving.should_exit = True
            await task


class Client:
    """A connection, and what is done with it byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> bytes:
        """The body of the next answer."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
            return await self.reader.readexactly(length)

    async def gone(self) -> int:
        """Wait until the server has closed the connection; how many bytes came before."""
        came = 0
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                while piece := await self.reader.read(MEGABYTE):
                    came += len(piece)
            except ConnectionError:
                pass
        return came

    async def drip(self, piece: bytes) -> None:
        """Send a little again and again until the server has had enough."""

        async def more() -> bool:
            try:
                self.send(piece)
                await self.writer.drain()
            except ConnectionError:
                return True
            return self.reader.at_eof() or self.reader.exception() is not None

        await until(more)


@asynccontextmanager
async def connected(stage: Stage) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection("127.0.0.1", stage.port))
    try:
        yield client
    finally:
        client.writer.transport.abort()


async def a_while(stage: Stage) -> None:
    """Until somebody who came later has been cut for half a header, and somebody after them for half a body."""
    for part in (QUICK[:-2], BEGUN + b"\r\nx"):
        async with connected(stage) as client:
            client.send(part)
            await client.gone()


@pytest.mark.parametrize("sent", [b"", b"G", QUICK[:-2], b"POST /echo HTTP/1.1\r\nHost:"])
async def test_a_header_that_is_not_finished_is_cut(stage: Stage, sent: bytes) -> None:
    async with connected(stage) as client:
        client.send(sent)
        assert await client.gone() == 0


@pytest.mark.parametrize(("start", "piece"), [(b"GET /", b"a"), (QUICK[:-2], b"X-More: 1\r\n")])
async def test_a_header_that_drips_is_cut_however_busily(stage: Stage, start: bytes, piece: bytes) -> None:
    async with connected(stage) as client:
        client.send(start)
        await client.drip(piece)


async def test_the_second_header_of_a_connection_is_cut_like_the_first(stage: Stage) -> None:
    async with connected(stage) as client:
        client.send(QUICK)
        assert await client.answer() == b"quick"
        client.send(QUICK[:10])
        await client.drip(b"a")


@pytest.mark.parametrize("body", [b"", b"half"])
async def test_a_body_that_stops_in_the_middle_is_cut(stage: Stage, body: bytes) -> None:
    async with connected(stage) as client:
        client.send(BEGUN + b"\r\n" + body)
        assert await client.gone() == 0


@pytest.mark.parametrize("kind", ["counted", "chunked"])
async def test_a_body_that_drips_on_is_cut_in_the_end(stage: Stage, kind: str) -> None:
    start, piece = BEGUN.replace(b"1000", b"1000000000") + b"\r\n", b"x"
    if kind == "chunked":
        start, piece = BEGUN.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked") + b"\r\n", b"1\r\nx\r\n"
    async with connected(stage) as client:
        client.send(start)
        await client.drip(piece)


async def test_a_body_that_comes_slowly_and_steadily_is_taken(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "BODY_SECONDS", PATIENCE_SECONDS)
    length, sent = 100_000, 0
    others = asyncio.create_task(a_while(stage))
    async with connected(stage) as client:
        client.send(BEGUN.replace(b"1000", str(length).encode()) + b"\r\n")

        async def more() -> bool:
            nonlocal sent
            client.send(b"x")
            sent += 1
            return others.done()

        await until(more)
        client.send(b"x" * (length - sent))
        assert await client.answer() == str(length).encode()
    await others


async def test_a_client_that_never_reads_its_answer_is_cut(stage: Stage) -> None:
    async with connected(stage) as client:
        client.send(QUICK.replace(b"/quick", b"/endless"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await stage.ended.wait()
        assert await client.gone() < CHUNKS * MEGABYTE


async def test_a_client_that_reads_slowly_gets_all_of_its_answer(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "BODY_SECONDS", PATIENCE_SECONDS)
    async with connected(stage) as client:
        client.send(QUICK.replace(b"/quick", b"/large"))
        await client.reader.readuntil(b"\r\n\r\n")
        came = 0

        async def some() -> int:
            nonlocal came
            came += len(piece := await client.reader.read(MEGABYTE // 4))
            return came if piece else -1

        assert await until(some, lambda found: found < 0 or found >= 16 * MEGABYTE) == 16 * MEGABYTE


async def test_a_client_that_takes_its_answer_by_drops_is_cut_in_the_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "BODY_SECONDS", 0.8)
    async with connected(stage) as client:
        client.send(QUICK.replace(b"/quick", b"/endless"))
        await client.reader.readuntil(b"\r\n\r\n")

        async def a_drop() -> bool:
            await client.reader.read(64)
            return stage.ended.is_set()

        await until(a_drop)


async def test_a_connection_that_is_kept_is_not_cut_between_two_requests(stage: Stage) -> None:
    async with connected(stage) as client:
        for _ in range(2):
            client.send(QUICK)
            assert await client.answer() == b"quick"
            await a_while(stage)
        client.send(BEGUN + b"\r\n" + bytes(1000))
        assert await client.answer() == b"1000"


@pytest.mark.parametrize("length", [0, 10, 60_000, 4 * MEGABYTE])
async def test_whoever_waits_for_us_is_not_cut(stage: Stage, length: int) -> None:
    async with connected(stage) as client:
        client.send(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length + bytes(length))
        await stage.asked.wait()
        await a_while(stage)
        await a_while(stage)
        stage.go_on.set()
        assert await client.answer() == str(length).encode()


async def test_requests_that_come_together_are_all_answered(stage: Stage) -> None:
    async with connected(stage) as client:
        client.send(QUICK * 3 + BEGUN + b"\r\n" + bytes(1000) + QUICK)
        assert [await client.answer() for _ in range(5)] == [b"quick"] * 3 + [b"1000", b"quick"]


@pytest.mark.parametrize("header_seconds", [0.3, PATIENCE_SECONDS], ids=["by time", "by size"])
async def test_a_header_behind_an_answer_that_is_under_way_is_cut_like_any(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, header_seconds: float
) -> None:
    monkeypatch.setattr(patience, "HEADER_SECONDS", header_seconds)
    async with connected(stage) as client:
        client.send(QUICK.replace(b"quick", b"slow"))
        await stage.asked.wait()
        client.send(QUICK[:-2])
        await client.drip(b"X-More: " + b"x" * 4000 + b"\r\n")


async def test_others_are_served_while_many_are_slow(stage: Stage) -> None:
    opened = [await asyncio.open_connection("127.0.0.1", stage.port) for _ in range(100)]
    slow = [Client(*pair) for pair in opened]
    try:
        for number, client in enumerate(slow):
            client.send((QUICK[:-2], BEGUN + b"\r\nx", b"")[number % 3])
        async with connected(stage) as quick:
            for _ in range(50):
                quick.send(QUICK)
                assert await quick.answer() == b"quick"
        assert await asyncio.gather(*(client.gone() for client in slow)) == [0] * 100
    finally:
        for client in slow:
            client.writer.transport.abort()


async def test_a_header_without_end_is_cut_by_its_size(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEADER_SECONDS", PATIENCE_SECONDS)
    async with connected(stage) as client:
        client.send(QUICK[:-2])
        await client.drip(b"X-More: " + b"x" * 4000 + b"\r\n")
