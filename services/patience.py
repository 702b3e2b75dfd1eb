"""How long a client may take, and how much: one that is slow on purpose holds a connection, and that for seconds.

uvicorn itself waits for ever for the rest of a header, for the rest of a body, and for a client that does not read.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.engine.ids import SystemIds
from shared.web.problems import PROBLEM_TYPE, Problem, problem_body

HEADER_SECONDS = 10.0
"""From the first byte of a request, or from the connection, to the end of its header."""
STILL_SECONDS = 30.0
"""Without a byte of the body; without a byte of the answer taken."""
BODY_SECONDS = 600.0
"""For a whole body, however busily it drips; for what waits of an answer, however busily it is taken."""
LARGEST_HEADER = 64 * 1024
"""Bytes of a request's header, all lines together."""


class PatientProtocol(HttpToolsProtocol):
    """The protocol of uvicorn, with an end to its patience."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._header_bytes = 0
        self._refused_as = "BAD_REQUEST"
        self._within("header", HEADER_SECONDS)

    def data_received(self, data: bytes) -> None:
        if "body" in self._timers:
            self._within("still", STILL_SECONDS)
        elif "header" not in self._timers and (self.cycle is None or self.cycle.response_complete):
            self._within("header", HEADER_SECONDS)
        self._header_bytes += len(data)
        super().data_received(data)
        if "header" in self._timers and self._header_bytes > LARGEST_HEADER:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if "header" not in self._timers:  # the answer before may still be under way
            self._within("header", HEADER_SECONDS)

    def on_headers_complete(self) -> None:
        self._done("header")
        self._header_bytes = 0
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > LARGEST_HEADER:
            self._refused_as = "HEADER_TOO_LARGE"
            raise ValueError  # the parser gives up, and the request is refused below
        self._within("body", BODY_SECONDS)
        self._within("still", STILL_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._header_bytes = 0
        self._done("body")
        self._done("still")
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What cannot be read as a request is refused as everything else is, and the connection is over."""
        problem = Problem(self._refused_as)
        body = problem_body(problem, SystemIds().uuid7())
        head = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n"
        head += f"Content-Type: {PROBLEM_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._untaken = self.transport.get_write_buffer_size()
        self._within("reader", STILL_SECONDS)
        self._within("answer", BODY_SECONDS)

    def resume_writing(self) -> None:
        self._done("reader")
        self._done("answer")
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        for name in list(self._timers):
            self._done(name)
        super().connection_lost(exc)

    def _within(self, name: str, seconds: float) -> None:
        self._done(name)
        self._timers[name] = self.loop.call_later(seconds, self._cut, name)

    def _done(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

    def _cut(self, name: str) -> None:
        if name in {"still", "body"} and self.flow.read_paused:
            self._within(name, STILL_SECONDS)  # it is we who do not read on
        elif name == "reader" and (left := self.transport.get_write_buffer_size()) < self._untaken:
            self._untaken = left  # slowly, but it takes
            self._within(name, STILL_SECONDS)
        else:
            self.transport.abort()
