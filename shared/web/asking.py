"""Who reads, checked before anything is read: the dependency of every route that is not a command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from shared.engine.runtime import Running
from shared.web.doors import Doors
from shared.web.identity import Principal, Scope
from shared.web.preconditions import wait_for_position


@dataclass(frozen=True, slots=True)
class Asking:
    """Who reads, and from which running service."""

    principal: Principal
    running: Running
    scope: Scope


class reads:
    """The dependency of every read: identity, scope and If-Position. Carries the scope for the start-up check."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Asking:
        running: Running = request.app.state.running
        doors: Doors = request.app.state.doors
        principal = await doors.admit(request, self.scope)
        await wait_for_position(request, running)
        return Asking(principal, running, self.scope)


PublicAsking = Annotated[Asking, Depends(reads(Scope.PUBLIC))]
