"""One FastAPI application per service, all alike: commands, reads, health, metrics, problems; and the city around them.

Deny by default: `create_app` refuses to build a service that has a route without a scope.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from shared.contracts.catalogue import CATALOGUE
from shared.contracts.documents import asyncapi, event_schema
from shared.engine.ids import Ids
from shared.engine.readiness import why_not_ready
from shared.engine.runtime import Running
from shared.engine.settings import Settings
from shared.engine.telemetry import REQUEST_SECONDS, REQUESTS
from shared.engine.tracing import span
from shared.eventlog.tree import StoredTree
from shared.web.asking import reads
from shared.web.commands import CommandRoute
from shared.web.doors import HEADERS, Doors
from shared.web.openapi import document
from shared.web.problems import Problem, pointer, problem_of, problem_response
from shared.web.record import router as record_router
from shared.web.streams import stream_route
from shared.web.visibility import Owners
from shared.web.webhooks import webhook_router

log = structlog.get_logger()
_INDEX = """<!doctype html><html lang="zh-CN"><meta charset="utf-8"><title>接诉即办 Jiesu</title>
<h1>接诉即办 <small>Jiesu</small></h1><ul>{services}</ul></html>"""
_LINK = """<li><a href="/{name}/docs">{name}</a> · <a href="/{name}/openapi.json">OpenAPI</a> ·
<a href="/{name}/asyncapi.json">AsyncAPI</a> · <a href="/{name}/health/ready">ready?</a></li>"""
_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_NOTHING_ELSE = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""For every answer that does not bring a policy of its own: a browser that shows it loads nothing."""
_DOCS = (
    b"content-security-policy",
    b"default-src 'self'; script-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net;"
    b" style-src 'self' https://cdn.jsdelivr.net; img-src 'self' data: https://fastapi.tiangolo.com;"
    b" frame-ancestors 'none'",
)
"""The viewer of the API's description comes from where FastAPI has it."""
_HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
REFUSED = frozenset({401, 403, 429})
METHODS = ("GET", "POST", "PUT", "DELETE")
ALLOWED = (
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-Position",
    "Idempotency-Key",
    "X-API-Key",
    "X-Tracking-Code",
)
EXPOSED = ("ETag", "Appeal-Position", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Retry-After")


@dataclass(frozen=True)
class Api:
    """The public face of a service."""

    title: str
    reads: APIRouter
    commands: Sequence[CommandRoute]
    owners: Owners


class RouteWithoutScope(Exception):
    """Every route must name the scope it needs; this one does not."""


@dataclass(frozen=True, slots=True)
class Face:
    """A service as the city mounts it: its commands, and the application that does everything else."""

    commands: Sequence[BaseRoute]
    app: FastAPI


def create_app(api: Api, running: Running, doors: Doors) -> Face:
    """The face of one service, to be mounted at its short name."""
    app = FastAPI(title=api.title, version="1", redoc_url=None, openapi_url="/openapi.json", docs_url="/docs")
    app.router.redirect_slashes = False
    app.state.running, app.state.doors, app.state.tree = running, doors, StoredTree(running.pool)
    routers = (api.reads, webhook_router(), record_router)
    for router in routers:
        _refuse_unscoped(router)
        app.include_router(router)
    own = [*_operational(running), stream_route(running, doors, api.owners)]
    app.router.routes.extend(own)
    app.openapi = lambda: document(app, api.commands, routers)  # type: ignore[method-assign]
    for error in (Problem, RequestValidationError, Exception):
        app.add_exception_handler(error, _handle)
    commands = [command.route(running, doors) for command in api.commands]
    served = [*commands, *own, *(route for router in routers for route in router.routes)]
    app.add_exception_handler(HTTPException, _handle_unrouted(served))
    return Face(commands, app)


def create_city(faces: Mapping[str, Face], ids: Ids, settings: Settings) -> ASGIApp:
    """All services under one root. Commands come before FastAPI, whose own machinery costs more than our work."""

    async def index(_: Request) -> Response:
        return HTMLResponse(_INDEX.format(services="".join(_LINK.format(name=name) for name in faces)))

    mounts = [Mount(f"/{name}", Router([*face.commands, Mount("", face.app)], False)) for name, face in faces.items()]
    handlers = dict.fromkeys((Problem, HTTPException, Exception), _handle)
    starlette = Starlette(routes=[Route("/", index), *mounts], exception_handlers=handlers)
    starlette.router.redirect_slashes = False  # it redirects to whatever host the caller has named
    city: ASGIApp = starlette
    if hosts := _listed(settings.hosts):
        city = OurNames(city, hosts)
    if origins := _listed(settings.cors_origins):
        city = Origins(city, origins, allow_methods=METHODS, allow_headers=ALLOWED, expose_headers=EXPOSED)
    return Observed(city, ids, settings.tls_cert_file is not None)


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _refuse_unscoped(router: APIRouter) -> None:
    for route in router.routes:
        needs = route.dependant.dependencies if isinstance(route, APIRoute) else []
        if not any(isinstance(need.call, reads) for need in needs):
            raise RouteWithoutScope(getattr(route, "path", repr(route)))


class _Look:
    """One look at a time, however many ask: whoever comes meanwhile is told what it finds."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._task: asyncio.Task[dict[str, str]] | None = None

    async def reasons(self) -> dict[str, str]:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(why_not_ready(self._running))
        return await asyncio.shield(self._task)


def _operational(running: Running) -> list[Route]:
    look = _Look(running)

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        reasons = await look.reasons()
        body: dict[str, Any] = {"status": "not ready" if reasons else "ready", "reasons": reasons}
        body |= {
            "service": running.service.name,
            "time_scale": running.clock.scale,
            "time": running.clock.now().isoformat(),
        }
        return JSONResponse(body, 503 if reasons else 200)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def channels(_: Request) -> Response:
        return JSONResponse(asyncapi(running.service.name))

    async def schema(request: Request) -> Response:
        event = CATALOGUE.get(request.path_params["event_type"])
        if event is None or event.owner != running.service.name:
            raise Problem("NOT_FOUND")
        return JSONResponse(event_schema(event), media_type="application/schema+json")

    return [
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/metrics", metrics),
        Route("/asyncapi.json", channels),
        Route("/schemas/{event_type}.json", schema),
    ]


async def _handle(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        errors = [{"pointer": pointer(item["loc"]), "message": item["msg"][:200]} for item in error.errors()[:20]]
        return problem_response(request, Problem("VALIDATION_FAILED", errors=errors))
    return problem_response(request, problem_of(error))


def _handle_unrouted(routes: Sequence[BaseRoute]) -> Callable[[Request, Exception], Awaitable[Response]]:
    """A path that is served, only not with this method, is told so, with the methods that are (RFC 9110, 15.5.6).

    Commands and reads are routed one after the other, and neither knows what the other has.
    """

    async def handle(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code in {404, 405}:
            path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
            if allowed := {method for route in routes for method in _methods(route, path)}:
                error = Problem("METHOD_NOT_ALLOWED", headers={"Allow": ", ".join(sorted(allowed))})
        return await _handle(request, error)

    return handle


def _methods(route: BaseRoute, path: str) -> Collection[str]:
    if isinstance(route, Route | APIRoute) and route.path_regex.match(path):
        return route.methods or ()
    return ()


class OurNames:
    """Answers to the names that it was given, `*.` before one for all below it; any other is refused."""

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        below = (re.escape(name.lower()).replace(r"\*", "[a-z0-9.-]+", 1) for name in names)
        self._app, self._ours = app, re.compile(f"({'|'.join(below)})(:[0-9]*)?")

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        named = [value.decode("latin-1").lower() for name, value in scope.get("headers", ()) if name == b"host"]
        if scope["type"] == "http" and not (len(named) == 1 and self._ours.fullmatch(named[0])):
            raise Problem("BAD_REQUEST", "this is not a name of ours")
        await self._app(scope, receive, send)


class Origins(CORSMiddleware):
    """Pages of which origins may ask; what they may not is refused as everything is."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code != 200:
            raise Problem("BAD_REQUEST", "a page of this origin may not ask that")
        return response


class Observed:
    """Outermost: request id, security headers, metrics, and the last answer when something was not foreseen."""

    def __init__(self, app: ASGIApp, ids: Ids, https: bool) -> None:
        self._app, self._ids = app, ids
        self._always = [*_SECURITY_HEADERS, *([_HTTPS_ONLY] if https else [])]

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        scope["jiesu.request_id"] = request_id = self._ids.uuid7()
        started, status, begun = time.perf_counter(), 500, False

        async def observed(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                ours = [*self._always, *scope.get(HEADERS, ()), (b"x-request-id", request_id.encode())]
                if not any(name == b"content-security-policy" for name, _ in message["headers"]):
                    ours.append(_DOCS if scope["path"].endswith("/docs") else _NOTHING_ELSE)
                message["headers"] = [*message["headers"], *ours]
            await send(message)

        arrived = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
        try:
            if b"%00" in scope["raw_path"] + scope["query_string"]:
                raise Problem("BAD_REQUEST", "a NUL is not text")
            with span(f"{scope['method']} {scope['path'].strip('/').partition('/')[0]}", arrived):
                await self._app(scope, receive, observed)
        except Exception as error:
            known = problem_of(error)
            if known.code == "INTERNAL":
                log.error("not foreseen", request_id=request_id, error=type(error).__name__, exc_info=_trace(error))
            if not begun:
                await problem_response(Request(scope), known)(scope, receive, observed)
        finally:
            if status in REFUSED:  # who keeps being refused is worth a look; what they sent is not kept
                log.info("refused", status=status, route=_route(scope), request_id=request_id)
            requests, seconds = _meters(*_route(scope), status)
            requests.inc()
            seconds.observe(time.perf_counter() - started)


@cache
def _meters(service: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Looking a labelled metric up costs more than counting."""
    return REQUESTS.labels(service, route, str(status)), REQUEST_SECONDS.labels(service, route)


def _trace(error: Exception) -> str:
    """Where it happened, without the values that were at hand."""
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        frames.append(f"{traceback.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return " ".join(frames[-6:])


def _route(scope: AsgiScope) -> tuple[str, str]:
    """The route's template, never the path itself: paths hold identifiers."""
    root = scope.get("root_path", "").strip("/")
    route = scope.get("route")
    return root or "none", getattr(route, "path", "none")
