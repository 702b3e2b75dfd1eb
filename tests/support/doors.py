"""Every door of a running city: method, path, scope and what a path names, read off the built applications."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi.routing import APIRoute

from services.city import APIS
from services.serving import doors_of, faces
from shared.web.app import Face
from shared.web.asking import reads
from shared.web.commands import CommandRoute
from shared.web.identity import Scope
from shared.web.uploads import FileRoute
from tests.support.bad import GOOD
from tests.support.city import City

PARAMETER = re.compile(r"{(\w+)}")


@dataclass(frozen=True)
class Door:
    """One route of one service. `scope` is None where no token is ever looked at."""

    method: str
    path: str
    scope: Scope | None
    command: CommandRoute | None = None
    query: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters of its path."""
        return tuple(PARAMETER.findall(self.path))

    @property
    def takes_file(self) -> bool:
        return isinstance(self.command, FileRoute)

    def filled(self, **values: Any) -> str:
        return PARAMETER.sub(lambda found: str(values[found[1]]), self.path)

    def body(self) -> dict[str, Any]:
        """A good body, without the other things that it could name."""
        good = GOOD[self.command.body.__name__] if self.command and not self.takes_file else {}
        return {name: value for name, value in good.items() if name not in {"knowledge_id", "recording", "policy"}}


def doors(city: City) -> list[Door]:
    """All there are, in every service; whatever is added to a service is among them."""
    built = faces(city.running, doors_of(city.running, city.tokens))
    return [door for name in APIS for door in _of_service(name, built[name])]


def _of_service(name: str, face: Face) -> Iterator[Door]:
    for command in APIS[name].commands:
        yield Door(command.method, f"/{name}{command.path}", command.scope, command)
    mounted = [inner for route in face.app.routes for inner in _inside(route)]
    for route in mounted:
        for method in sorted(getattr(route, "methods", None) or ()):
            if method != "HEAD":
                yield Door(method, f"/{name}{route.path}", _scope(route), None, _query(route))


def _inside(route: Any) -> list[Any]:
    """FastAPI keeps an included router whole."""
    router = getattr(route, "original_router", None)
    return [inner for one in router.routes for inner in _inside(one)] if router else [route]


def _scope(route: Any) -> Scope | None:
    if not isinstance(route, APIRoute):
        return Scope.READ if route.path == "/v1/events" else None  # a stream looks at its caller by itself
    return next(need.call.scope for need in route.dependant.dependencies if isinstance(need.call, reads))


def _query(route: Any) -> tuple[str, ...]:
    if not isinstance(route, APIRoute):
        return ()
    asked = [route.dependant, *route.dependant.dependencies]
    return tuple(one.alias for each in asked for one in each.query_params)
