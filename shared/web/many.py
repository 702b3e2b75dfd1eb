"""Commands about many things at once: each is done or refused by itself, and the answer says which.

There is no all-or-nothing across streams: what is done stays done. With an idempotency key the same call again gives
the first answer again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from shared.engine.decider import NotYours, Refused
from shared.engine.execute import Intention
from shared.engine.runtime import Running
from shared.eventlog.log import Append, LogUnavailable, WrongVersion
from shared.eventlog.sealing import SubjectErased
from shared.web.commands import Call, CommandRoute, Mark, claim_of, earlier_answer
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


async def each(call: Call[Any], intentions: Sequence[Intention[Any]], mark: Mark | None) -> Response:
    """Carry them all out, some at a time; under an idempotency key once, as long as anything came of it."""
    if mark and (earlier := await earlier_answer(call.running, [mark])) is not None:
        return earlier
    once = list({intention.subject: intention for intention in intentions}.values())
    items: list[One] = []
    for start in range(0, len(once), TOGETHER):
        items += await asyncio.gather(*(_one(call, intention) for intention in once[start : start + TOGETHER]))
    refused = sum(item.code is not None for item in items)
    answer = Many(done=len(items) - refused, refused=refused, items=items).model_dump()
    done = next((place for place, item in enumerate(items) if item.code is None), None)
    if mark and done is not None:
        await _keep(call.running, mark, once[done], answer)
    return Response(orjson.dumps(answer), 200, {"Cache-Control": "no-store"}, "application/json")


async def _one(call: Call[Any], intention: Intention[Any]) -> One:
    try:
        decision = await call.running.executor.execute(intention)
    except (Refused, NotYours, WrongVersion, SubjectErased, LogUnavailable) as error:
        problem = problem_of(error)
        return One(id=intention.subject, code=problem.code, detail=problem.detail or problem.title)
    return One(id=intention.subject, state=str(decision.state.state), version=decision.version)


async def _keep(running: Running, mark: Mark, done: Intention[Any], answer: dict[str, Any]) -> None:
    """The answer goes beside the first thing that was done, whatever its version is by now."""
    stored = orjson.dumps({"status": 200, "version": 0, "body": answer})
    while True:
        loaded = await running.executor.load(done)
        claims = [claim_of(running, mark, stored)]
        with suppress(WrongVersion):
            await running.log.append(Append(done.stream, done.subject, loaded.version, (), claims))
            return


class ManyRoute(CommandRoute):
    """Its `handle` gives the intentions instead of a plan."""

    async def carry_out(self, call: Call[Any], asked: Preconditions) -> Response:
        with self.once_per_key(call, asked) as mark:
            return await each(call, await self.handle(call), mark)  # type: ignore[arg-type]


class ManyFromFile(ManyRoute, FileRoute):
    """The same, for what stands in a file."""
