"""Events as they happen, over HTTP: Server-Sent Events (WHATWG HTML, 9.2) that resume without a gap.

The id of every event names the position reached in every partition of the log; a client that comes back with it as
`Last-Event-ID` goes on exactly there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from shared.engine.runtime import Running
from shared.engine.telemetry import STREAMS
from shared.messaging.bus import Batch, Subscription
from shared.messaging.cloudevents import structured
from shared.web.identity import Principal, Scope, Tokens, identify
from shared.web.problems import Problem, problem_of, problem_response
from shared.web.visibility import Owners, visible

HEARTBEAT_SECONDS = 10.0
LONGEST_ID = 20_000


def stream_route(running: Running, tokens: Tokens, owners: Owners) -> Route:
    """GET /v1/events, for a running service."""

    async def endpoint(request: Request) -> Response:
        try:
            principal = identify(request, Scope.READ, tokens)
            types = frozenset(request.query_params.getlist("type"))
            after = await _start(running, request)
        except Exception as error:
            return problem_response(request, problem_of(error))
        stream = _Stream(running, owners, principal, types, after)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream.lines(), media_type="text/event-stream", headers=headers)

    return Route("/v1/events", endpoint, methods=["GET"])


async def _start(running: Running, request: Request) -> list[int]:
    """Where the stream begins. Raises POSITION_INVALID, or UNAVAILABLE when there are too many streams."""
    if STREAMS.labels(running.service.name)._value.get() >= running.settings.stream_limit:
        raise Problem("UNAVAILABLE", "too many streams are open here")
    heads = await running.log.heads()
    last = request.headers.get("last-event-id", "")
    if not last:
        return [0] * len(heads) if request.query_params.get("from") == "start" else heads
    parts = last.split(".") if len(last) <= LONGEST_ID else []
    if len(parts) != len(heads) or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise Problem("POSITION_INVALID", "Last-Event-ID is not one that we gave out")
    return [min(int(part), head) for part, head in zip(parts, heads, strict=True)]


class _Stream:
    """One client's stream."""

    def __init__(
        self, running: Running, owners: Owners, principal: Principal, types: frozenset[str], after: Sequence[int]
    ) -> None:
        self._running, self._owners, self._principal, self._types = running, owners, principal, types
        self._after = list(after)

    async def lines(self) -> AsyncIterator[bytes]:
        """The body: events, and a sign of life when there are none; ends when the process drains."""
        name = self._running.service.name

        async def reached() -> dict[int, int]:
            return dict(enumerate(self._after))

        with STREAMS.labels(name).track_inprogress():
            subscription = await self._running.near.subscribe("stream", name, reached)
            try:
                yield self._mark()
                while not self._running.draining:
                    batches = await self._next(subscription)
                    yield b"".join([await self._told(batch) for batch in batches]) or b": nothing new\n\n"
            finally:
                await subscription.close()

    async def _next(self, subscription: Subscription) -> Sequence[Batch]:
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                return await subscription.next()
        except TimeoutError:
            return ()

    async def _told(self, batch: Batch) -> bytes:
        """What of a batch this client may see; the last id stands for all of it."""
        may = await visible(self._running, self._owners, self._principal, batch.events)
        lines = []
        for event, seen in zip(batch.events, may, strict=True):
            self._after[batch.partition] = event.position
            if seen and (not self._types or event.type in self._types):
                data = orjson.dumps(structured(event)).decode()
                lines.append(f"id: {self._id()}\nevent: {event.type}\ndata: {data}\n\n")
        return "".join(lines).encode() or self._mark()

    def _mark(self) -> bytes:
        """Moves the client's last id without an event."""
        return f"id: {self._id()}\n\n".encode()

    def _id(self) -> str:
        return ".".join(map(str, self._after))
