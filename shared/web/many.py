"""Commands about many things at once: each is done or refused by itself, and the answer says which.

There is no all-or-nothing across streams, so the same call is safe to send again: what is done stays done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from shared.engine.decider import NotYours, Refused
from shared.engine.execute import Intention
from shared.eventlog.log import WrongVersion
from shared.web.commands import Call, CommandRoute
from shared.web.preconditions import Preconditions
from shared.web.problems import problem_of
from shared.web.uploads import FileRoute

TOGETHER = 64


class One(BaseModel):
    """What became of one of them: a state and version, or the code and text of the problem."""

    id: str
    state: str | None = None
    version: int | None = None
    code: str | None = None
    detail: str | None = None


class Many(BaseModel):
    """One line for each, in the order in which they were named."""

    done: int
    refused: int
    items: list[One]


async def each(call: Call[Any], intentions: Sequence[Intention[Any]]) -> Response:
    """Carry them all out, some at a time."""
    items: list[One] = []
    for start in range(0, len(intentions), TOGETHER):
        part = intentions[start : start + TOGETHER]
        items += await asyncio.gather(*(_one(call, intention) for intention in part))
    refused = sum(item.code is not None for item in items)
    answer = Many(done=len(items) - refused, refused=refused, items=items)
    return Response(orjson.dumps(answer.model_dump()), 200, {"Cache-Control": "no-store"}, "application/json")


async def _one(call: Call[Any], intention: Intention[Any]) -> One:
    try:
        decision = await call.running.executor.execute(intention)
    except (Refused, NotYours, WrongVersion) as error:
        problem = problem_of(error)
        return One(id=intention.subject, code=problem.code, detail=problem.detail or problem.title)
    return One(id=intention.subject, state=str(decision.state.state), version=decision.version)


class ManyRoute(CommandRoute):
    """Its `handle` gives the intentions instead of a plan."""

    async def carry_out(self, call: Call[Any], asked: Preconditions) -> Response:
        return await each(call, await self.handle(call))  # type: ignore[arg-type]


class ManyFromFile(FileRoute):
    """The same, for what stands in a file."""

    async def carry_out(self, call: Call[Any], asked: Preconditions) -> Response:
        return await each(call, await self.handle(call))  # type: ignore[arg-type]
