"""The way every command comes in over HTTP, once for all services.

A service gives a path, a body model, a scope and a pure-looking function from the call to a Plan; reading, identity,
preconditions, idempotency, waiting for neighbours, committing and answering are here. These are lean Starlette routes
(FastAPI's own machinery costs more than our work); shared/web/openapi.py documents them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.contracts.envelope import Actor
from shared.engine.decider import NotYours, Refused
from shared.engine.execute import Claims, Decision, Intention
from shared.engine.runtime import ANSWERS_KEY, Running
from shared.eventlog.log import Appended, Claim, KeyTaken, WrongVersion
from shared.web.bodies import fingerprint, parse_body, read_body
from shared.web.doors import Doors
from shared.web.identity import Ownership, Principal, Scope
from shared.web.preconditions import (
    POSITION,
    REPLAYED,
    Preconditions,
    etag,
    position_header,
    preconditions,
    wait_for_position,
)
from shared.web.problems import Problem, problem_of, problem_response

B = TypeVar("B")


class Answer(BaseModel):
    """What most commands answer: the state that the thing is now in, and its version."""

    state: str
    version: int


@dataclass(frozen=True)
class Call(Generic[B]):
    """A command as it came in: who, what, about which subject, when."""

    running: Running
    principal: Principal
    scope: Scope
    subject: str
    body: B
    now: datetime
    headers: Mapping[str, str]
    fingerprint: Callable[[], bytes]
    path: Mapping[str, str] = field(default_factory=dict)

    @property
    def actor(self) -> Actor:
        return self.principal.actor(self.scope)

    def must_see(self, owned: Ownership) -> None:
        """Raises NotYours unless the thing lies within the caller's reach."""
        if not self.principal.can_see(self.scope, owned):
            raise NotYours

    def may_touch(self, ownership: Callable[[Any], Ownership]) -> Callable[[Any], None]:
        """A guard that looks at the loaded state."""
        return lambda state: self.must_see(ownership(state))


@dataclass(frozen=True)
class Plan:
    """What a call comes to: an intention, how to answer, and `only_once`: a further key that no other request may hold.

    `only_once` is (client, key, code): the same request again is answered again, another one is refused with the code.
    `discard` undoes what was prepared outside the log, when the intention comes to nothing.
    """

    intention: Intention[Any]
    answer: Callable[[Decision[Any]], dict[str, Any]]
    only_once: tuple[str, str, str] | None = None
    discard: Callable[[], Awaitable[None]] | None = None


Handle = Callable[[Call[Any]], Awaitable[Plan]]
REFUSALS = (Refused, NotYours, WrongVersion, KeyTaken)


@dataclass(frozen=True)
class CommandRoute:
    """One command of a service's API. `subject` names the path parameter that the command is about."""

    path: str
    body: type[BaseModel]
    scope: Scope
    handle: Handle
    summary: str
    status: int = 200
    subject: str = "appeal_id"
    method: str = "POST"
    answer: type[BaseModel] = Answer
    _in_progress: set[tuple[str, str]] = field(default_factory=set)

    @property
    def media_types(self) -> tuple[str, ...]:
        """What the body may come as."""
        return ("application/json",)

    def route(self, running: Running, doors: Doors) -> Route:
        """The Starlette route, bound to a running service."""

        async def endpoint(request: Request) -> Response:
            try:
                return await self._answer(request, running, doors)
            except Exception as error:
                problem = problem_of(error)
                if problem.code == "INTERNAL":
                    raise
                return problem_response(request, problem)

        return Route(self.path, endpoint, methods=[self.method])

    async def _answer(self, request: Request, running: Running, doors: Doors) -> Response:
        principal = await doors.admit(request, self.scope)
        asked = preconditions(request)
        await wait_for_position(request, running)
        subject = request.path_params.get(self.subject, "")
        async with self.read(request, running) as (body, same):
            now, path = running.clock.now(), request.path_params
            call = Call(running, principal, self.scope, subject, body, now, request.headers, same, path)
            return await self.carry_out(call, asked)

    def path_in(self, service: str) -> str:
        """The path as callers see it."""
        return f"/{service}{self.path}"

    async def carry_out(self, call: Call[Any], asked: Preconditions) -> Response:
        """Do what was called for, once per idempotency key. Raises Problem and what problem_of knows."""
        with self.once_per_key(call, asked) as mark:
            return await self._commit(call, asked.expected_version, mark)

    @contextmanager
    def once_per_key(self, call: Call[Any], asked: Preconditions) -> Iterator[Mark | None]:
        """The request's idempotency key, held while it is worked on. Raises REQUEST_IN_PROGRESS."""
        if asked.key is None:
            yield None
            return
        client = f"public:{call.subject}" if self.scope is Scope.PUBLIC else call.principal.sub
        held = (client, asked.key)
        if held in self._in_progress:
            raise Problem("REQUEST_IN_PROGRESS")
        self._in_progress.add(held)
        try:
            yield Mark(client, asked.key, call.fingerprint(), "IDEMPOTENCY_KEY_REUSED")
        finally:
            self._in_progress.discard(held)

    @asynccontextmanager
    async def read(self, request: Request, running: Running) -> AsyncIterator[tuple[Any, Callable[[], bytes]]]:
        """The body, and what makes a request with it the same request."""
        raw = await self._raw(request, running)
        same = partial(fingerprint, running.secrets.index, request.method, request.scope["path"], raw)
        yield parse_body(raw or b"{}", self.body), same

    async def _raw(self, request: Request, running: Running) -> bytes:
        needs_no_body = not any(field.is_required() for field in self.body.model_fields.values())
        brings_none = request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers
        if needs_no_body and brings_none:
            return b""
        return await read_body(request, running.settings.max_body_bytes)

    async def _commit(self, call: Call[Any], expected: int | None, mark: Mark | None) -> Response:
        """Carry the command out. A refusal is final only when all that neighbours had said has been heard."""
        marks = [mark] if mark else []
        try:
            return await self._once(call, expected, marks)
        except REFUSALS as refusal:
            if isinstance(refusal, NotYours) and self.scope is Scope.PUBLIC:
                raise  # a wrong tracking code: nothing that is still on its way makes it right
            held = marks if isinstance(refusal, KeyTaken) else marks[: 1 if mark else 0]
            if (earlier := await earlier_answer(call.running, held)) is not None:
                return earlier
            if isinstance(refusal, KeyTaken) or not call.subject:
                raise
            if not await call.running.heard_neighbours(call.subject):
                raise Problem("TOO_EARLY", "events that decide this are still on their way") from refusal
            del marks[1 if mark else 0 :]
        return await self._once(replace(call, now=call.running.clock.now()), expected, marks)

    async def _once(self, call: Call[Any], expected: int | None, marks: list[Mark]) -> Response:
        plan = await self.handle(call)
        if plan.only_once is not None:
            client, key, code = plan.only_once
            marks.append(Mark(client, key, call.fingerprint(), code))
        intention = plan.intention if expected is None else replace(plan.intention, expected_version=expected)
        try:
            decision = await call.running.executor.execute(intention, _claims(call.running, plan, marks, self.status))
        except REFUSALS:
            if plan.discard:
                await plan.discard()
            raise
        body = orjson.dumps(plan.answer(decision))
        return _response(call.running, self.status, body, decision.version, decision.appended)


@dataclass(frozen=True, slots=True)
class Mark:
    """An idempotency key, what it was used for, and what to say when it is used for something else."""

    client: str
    key: str
    fingerprint: bytes
    reused: str


def _claims(running: Running, plan: Plan, marks: Sequence[Mark], status: int) -> Claims | None:
    if not marks:
        return None

    def claims(decision: Decision[Any]) -> list[Claim]:
        answer = orjson.dumps({"status": status, "version": decision.version, "body": plan.answer(decision)})
        return [claim_of(running, mark, answer) for mark in marks]

    return claims


def claim_of(running: Running, mark: Mark, answer: bytes) -> Claim:
    """The stored answer is sealed: it may hold a tracking code that is shown once."""
    sealed = running.keyring.encrypt(ANSWERS_KEY, answer, f"{mark.client}/{mark.key}")
    return Claim(mark.client, mark.key, mark.fingerprint, sealed)


async def earlier_answer(running: Running, marks: Sequence[Mark]) -> Response | None:
    for mark in marks:
        stored = await running.log.stored_answer(mark.client, mark.key)
        if stored is None:
            continue
        if stored.fingerprint != mark.fingerprint:
            raise Problem(mark.reused)
        answer = orjson.loads(running.keyring.decrypt(ANSWERS_KEY, stored.answer, f"{mark.client}/{mark.key}"))
        body = orjson.dumps(answer["body"])
        response = _response(running, answer["status"], body, answer["version"], stored.appended)
        response.headers[REPLAYED] = "true"
        return response
    return None


def _response(running: Running, status: int, body: bytes, version: int, appended: Appended | None) -> Response:
    headers = {"ETag": etag(version), "Cache-Control": "no-store"}
    if appended is not None:
        headers[POSITION] = position_header(running.service.name, appended)
    return Response(body, status, headers, "application/json")


def state_and_version(decision: Decision[Any]) -> dict[str, Any]:
    """The usual answer."""
    return {"state": str(decision.state.state), "version": decision.version}
