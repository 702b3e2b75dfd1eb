"""Events as they happen, over HTTP: Server-Sent Events (WHATWG HTML, 9.2) that resume without a gap.

The id of every event names the position reached in every partition of the log; a client that comes back with it as
`Last-Event-ID` goes on exactly there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from shared.engine.runtime import Running
from shared.engine.telemetry import STREAMS
from shared.messaging.bus import Batch, Subscription
from shared.web.identity import Principal, Scope, Tokens, identify
from shared.web.problems import Problem, problem_of, problem_response
from shared.web.visibility import Owners, told

HEARTBEAT_SECONDS, PAUSE_SECONDS = 10.0, 0.5
SIGN_OF_LIFE = b": nothing new\n\n"
LONGEST_ID = 20_000


def stream_route(running: Running, tokens: Tokens, owners: Owners) -> Route:
    """GET /v1/events, for a running service."""

    open_streams: Counter[str] = Counter()

    async def endpoint(request: Request) -> Response:
        try:
            principal = identify(request, Scope.READ, tokens)
            types = frozenset(request.query_params.getlist("type"))
            after = await _start(running, request, open_streams[principal.sub])
        except Exception as error:
            return problem_response(request, problem_of(error))
        stream = _Stream(running, owners, principal, types, after, open_streams)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream.lines(), media_type="text/event-stream", headers=headers)

    return Route("/v1/events", endpoint, methods=["GET"])


async def _start(running: Running, request: Request, mine: int) -> list[int]:
    """Where the stream begins. Raises POSITION_INVALID, or UNAVAILABLE when there are too many streams."""
    if mine >= running.settings.stream_limit_each:
        raise Problem("UNAVAILABLE", "this account has too many streams open here")
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
        self,
        running: Running,
        owners: Owners,
        principal: Principal,
        types: frozenset[str],
        after: Sequence[int],
        counts: Counter[str],
    ) -> None:
        self._counts = counts
        self._running, self._owners, self._principal, self._types = running, owners, principal, types
        self._after = list(after)

    async def lines(self) -> AsyncIterator[bytes]:
        """The body: events, and a sign of life when there are none; ends when the process drains."""
        name = self._running.service.name

        async def reached() -> dict[int, int]:
            return dict(enumerate(self._after))

        with STREAMS.labels(name).track_inprogress(), self._counted():
            subscription = await self._running.near.subscribe("stream", name, reached)
            try:
                yield self._mark()
                while self._open():
                    batches = await self._next(subscription)
                    if not batches:
                        yield SIGN_OF_LIFE
                    for batch in batches:
                        while (lines := await self._told(batch)) is None and self._open():
                            yield SIGN_OF_LIFE
                            await asyncio.sleep(PAUSE_SECONDS)
                        yield lines or SIGN_OF_LIFE
            finally:
                await subscription.close()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._counts[self._principal.sub] += 1
        try:
            yield
        finally:
            self._counts[self._principal.sub] -= 1

    def _open(self) -> bool:
        return not self._running.draining and self._running.clock.now().timestamp() < self._principal.expires

    async def _next(self, subscription: Subscription) -> Sequence[Batch]:
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                return await subscription.next()
        except TimeoutError:
            return ()

    async def _told(self, batch: Batch) -> bytes | None:
        """What of a batch this client may see; the last id stands for all of it. None: our views are not there yet."""
        said = await told(self._running, self._owners, self._principal, batch.events)
        if said is None:
            return None
        lines = []
        for event, one in zip(batch.events, said, strict=True):
            self._after[batch.partition] = event.position
            if one is not None and (not self._types or event.type in self._types):
                lines.append(f"id: {self._id()}\nevent: {event.type}\ndata: {orjson.dumps(one).decode()}\n\n")
        return "".join(lines).encode() or self._mark()

    def _mark(self) -> bytes:
        """Moves the client's last id without an event."""
        return f"id: {self._id()}\n\n".encode()

    def _id(self) -> str:
        return ".".join(map(str, self._after))
