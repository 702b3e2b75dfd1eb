"""A load generator in a process of its own: many keep-alive connections, one request at a time on each."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable

import uvloop

PHONE_BASE = 13_000_000_000


def request_maker(host: str, path: str, token: str, run: str) -> Callable[[int], bytes]:
    """Requests that are alike but for phone and idempotency key."""
    who = {"type": "PERSON", "name": "王芳", "phone": "@PHONE@"}
    place = {"address": "朝外大街雅宝里社区三号楼二单元", "district": "110105", "township": "110105001"}
    text = "小区停水两天了，自来水公司电话一直打不通，家里有老人和孩子，请尽快派人来处理。" * 3
    body = {"kind": "COMPLAINT", "channel": "WEB", "title": "家里停水两天", "content": text}
    template = json.dumps(body | {"location": place, "appellant": who}, ensure_ascii=False).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nIdempotency-Key: {run}-%d\r\nContent-Length: {len(template) + 4}\r\n\r\n"
    ).encode()

    def make(number: int) -> bytes:
        return head % number + template.replace(b"@PHONE@", b"%d" % (PHONE_BASE + number))

    return make


class Client(asyncio.Protocol):
    """Sends the next request as soon as the answer to the last is whole."""

    def __init__(self, run: Run) -> None:
        self._run, self._buffer, self._sent = run, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self._send()

    def _send(self) -> None:
        if (request := self._run.next_request()) is None:
            self._transport.close()
            self._run.left()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(rest) >= length:
            self._buffer = b""
            self._run.answered(time.perf_counter() - self._sent, head[9:12])
            self._send()


class Run:
    """A bounded number of requests over a number of connections."""

    def __init__(self, make: Callable[[int], bytes], requests: int, clients: int) -> None:
        self._make, self._left, self._number, self._open = make, requests, 0, clients
        self.seconds: list[float] = []
        self.statuses: dict[str, int] = {}
        self.done = asyncio.Event()

    def next_request(self) -> bytes | None:
        if self._number == self._left:
            return None
        self._number += 1
        return self._make(self._number)

    def answered(self, seconds: float, status: bytes) -> None:
        self.seconds.append(seconds)
        self.statuses[status.decode()] = self.statuses.get(status.decode(), 0) + 1

    def left(self) -> None:
        self._open -= 1
        if self._open == 0:
            self.done.set()


async def main(port: int, path: str, token: str, clients: int, requests: int, run_name: str) -> None:
    run = Run(request_maker(f"127.0.0.1:{port}", path, token, run_name), requests, clients)
    started = time.perf_counter()
    loop = asyncio.get_running_loop()
    for _ in range(clients):
        await loop.create_connection(lambda: Client(run), "127.0.0.1", port)
    await run.done.wait()
    took, ordered = time.perf_counter() - started, sorted(run.seconds)
    result = {
        "rate": len(ordered) / took,
        "p50": ordered[len(ordered) // 2] * 1000,
        "p99": ordered[len(ordered) * 99 // 100] * 1000,
        "statuses": run.statuses,
    }
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    port, path, token, clients, requests, run_name = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(port), path, token, int(clients), int(requests), run_name))
