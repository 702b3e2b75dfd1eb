"""Commands that a plain page may send: an HTML form instead of JSON, answered by going back to the page.

No script is needed in the browser. What the form brings is made into the JSON of the same command, and checked as that.
"""

from __future__ import annotations

from typing import get_args
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from shared.engine.runtime import Running
from shared.web.bodies import fingerprint, parse_body, unencoded
from shared.web.commands import Call, CommandRoute
from shared.web.doors import Doors
from shared.web.preconditions import Preconditions
from shared.web.problems import Problem, problem_of

FORM = "application/x-www-form-urlencoded"
MOST_BYTES, MOST_FIELDS = 160 * 1024, 50
"""Room for ten thousand Chinese characters, each nine bytes in a form."""
_TRUTH = {"true": True, "false": False}


class FormRoute(CommandRoute):
    """Takes JSON, or a form: then it answers 303 to its own path with `?said=ok`, or with the code of the problem."""

    @property
    def media_types(self) -> tuple[str, ...]:
        return ("application/json", FORM)

    def route(self, running: Running, doors: Doors) -> Route:
        plain = super().route(running, doors)

        async def endpoint(request: Request) -> Response:
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
                answer: Response = await plain.endpoint(request)
                return answer
            try:
                await self._sent(request, running, doors)
                said = "ok"
            except Exception as error:
                said = problem_of(error).code
                if said == "INTERNAL":
                    raise
            return RedirectResponse(f"{request.url.path}?said={said}", 303, {"Cache-Control": "no-store"})

        return Route(self.path, endpoint, methods=[self.method])

    async def _sent(self, request: Request, running: Running, doors: Doors) -> None:
        principal = await doors.admit(request, self.scope)
        unencoded(request)
        raw = bytearray()
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > MOST_BYTES:
                raise Problem("BODY_TOO_LARGE", f"at most {MOST_BYTES} bytes")
        body = as_json(bytes(raw), self.body)
        parsed, path = parse_body(body, self.body), request.path_params
        subject = path.get(self.subject, "")
        now = running.clock.now()

        def same() -> bytes:
            return fingerprint(running.secrets.index, request.method, request.scope["path"], body)

        call = Call(running, principal, self.scope, subject, parsed, now, request.headers, same, path)
        await self.carry_out(call, Preconditions(None, None))


def as_json(raw: bytes, model: type[BaseModel]) -> bytes:
    """Empty fields are left out, `true` and `false` are meant where the model has a truth value. Raises BAD_REQUEST."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), True, True, "utf-8", "strict", MOST_FIELDS) if raw else []
    except ValueError:
        raise Problem("BAD_REQUEST", "the form cannot be read") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Problem("BAD_REQUEST", "a field occurs twice")
    return orjson.dumps({name: _meant(name, value, model) for name, value in fields.items() if value})


def _meant(name: str, value: str, model: type[BaseModel]) -> str | bool:
    """Browsers send line ends as CRLF, and count them as one when they limit a text."""
    field = model.model_fields.get(name)
    if field is not None and bool in {field.annotation, *get_args(field.annotation)}:
        return _TRUTH.get(value, value)
    return value.replace("\r\n", "\n")
