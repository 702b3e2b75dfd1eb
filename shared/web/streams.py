"""Events as they happen, over HTTP: Server-Sent Events (WHATWG HTML, 9.2) that resume without a gap.

The id of every event names the position reached in every partition of the log; a client that comes back with it as
`Last-Event-ID` goes on exactly there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from shared.engine.runtime import Running
from shared.engine.telemetry import STREAMS
from shared.messaging.bus import Batch, Subscription
from shared.web.doors import Doors
from shared.web.identity import Principal, Scope
from shared.web.problems import Problem, problem_of, problem_response
from shared.web.visibility import Owners, told

HEARTBEAT_SECONDS, PAUSE_SECONDS = 10.0, 0.5
SIGN_OF_LIFE = b": nothing new\n\n"
LONGEST_ID = 20_000


def stream_route(running: Running, doors: Doors, owners: Owners) -> Route:
    """GET /v1/events, for a running service."""

    seats = _Seats(running)

    async def endpoint(request: Request) -> Response:
        try:
            principal = await doors.admit(request, Scope.READ)
            types = frozenset(request.query_params.getlist("type"))
            after = await _start(running, request)
            seats.take(principal.sub)
        except Exception as error:
            return problem_response(request, problem_of(error))
        lines = _Stream(running, owners, principal, types, after).lines()
        return _Seated(lines, lambda: seats.give_back(principal.sub))

    return Route("/v1/events", endpoint, methods=["GET"])


async def _start(running: Running, request: Request) -> list[int]:
    """Where the stream begins. Raises POSITION_INVALID."""
    heads = await running.log.heads()
    last = request.headers.get("last-event-id", "")
    if not last:
        return [0] * len(heads) if request.query_params.get("from") == "start" else heads
    parts = last.split(".") if len(last) <= LONGEST_ID else []
    if len(parts) != len(heads) or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise Problem("POSITION_INVALID", "Last-Event-ID is not one that we gave out")
    return [min(int(part), head) for part, head in zip(parts, heads, strict=True)]


class _Seats:
    """How many streams are open in this process, by account."""

    def __init__(self, running: Running) -> None:
        self._limits, self._open = running.settings, STREAMS.labels(running.service.name)
        self._taken: Counter[str] = Counter()

    def take(self, account: str) -> None:
        """Raises UNAVAILABLE when there are too many."""
        if self._taken.total() >= self._limits.stream_limit:
            raise Problem("UNAVAILABLE", "too many streams are open here")
        if self._taken[account] >= self._limits.stream_limit_each:
            raise Problem("UNAVAILABLE", "this account has too many streams open here")
        self._taken[account] += 1
        self._open.inc()

    def give_back(self, account: str) -> None:
        """The stream is over, however it ended."""
        self._taken -= Counter([account])
        self._open.dec()


class _Seated(StreamingResponse):
    """Gives its seat back when it is over, also when the client was gone before it began."""

    def __init__(self, lines: AsyncIterator[bytes], over: Callable[[], None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(lines, media_type="text/event-stream", headers=headers)
        self._over = over

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()


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

        subscription = await self._running.near.subscribe("stream", name, reached)
        try:
            yield self._mark()
            while self._open():
                waiting = list(await self._next(subscription))
                if not waiting:
                    yield SIGN_OF_LIFE
                while waiting and self._open():
                    if (lines := await self._told(waiting[0])) is None:
                        yield SIGN_OF_LIFE
                        await asyncio.sleep(PAUSE_SECONDS)
                    else:
                        yield lines
                        del waiting[0]
        finally:
            await subscription.close()

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
