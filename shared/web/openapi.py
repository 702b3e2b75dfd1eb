"""The OpenAPI 3.1 document of a service: FastAPI writes the reads, this adds the commands and what all have in common.

Everything that an operation may answer is named, so that a client (and tests/e2e/test_openapi_holds.py) can tell what
was foreseen from what was not: a 500 never is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.web.asking import reads
from shared.web.commands import CommandRoute
from shared.web.forms import FORM, FormRoute
from shared.web.identity import Scope
from shared.web.links import link
from shared.web.preconditions import HEADER_PATTERNS, IDEMPOTENCY_KEY, IF_POSITION, POSITION
from shared.web.problems import PROBLEM_TYPE
from shared.web.tracking import TRACKING_CODE
from shared.web.uploads import FileRoute

_SCHEMA = "#/components/schemas/{name}"
_PROBLEM = {"$ref": "#/components/responses/Problem"}
_ALWAYS = (400, 404, 409, 422, 425, 429, 503)
_GUARDED = (401, 403)
_WITH_BODY = (412, 413, 415)
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_WRITES = {
    IDEMPOTENCY_KEY: "the same key and body give the first answer again",
    "If-Match": "the version you read; stale gives 412",
}
_FRESH = "`Appeal-Position` of a write: wait until that has taken effect here; 425 when it takes too long"
_CODE = "shown once, when the appeal was registered"
_PAGE = {
    "type": "object",
    "required": ["items", "next_cursor"],
    "properties": {
        "items": {"type": "array", "items": {"type": "object"}},
        "next_cursor": {"type": ["string", "null"], "description": "`cursor` of the next page; null at the end"},
    },
}


class ProblemDetails(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[dict[str, str]] | None = None


def document(app: FastAPI, commands: Sequence[CommandRoute], routers: Sequence[APIRouter]) -> dict[str, Any]:
    """The whole document; kept by the app after the first time."""
    if app.openapi_schema is None:
        schema = FastAPI.openapi(app)
        _add_components(schema, commands)
        for method, path, scope in _reads_of(routers):
            _complete(schema["paths"][path][method], path, scope)
        for command in commands:
            described = schema["paths"].setdefault(command.path, {})[command.method.lower()] = _operation(command)
            _complete(described, command.path, command.scope, _WRITES)
        link(schema["paths"])
    return app.openapi_schema or schema


def _add_components(schema: dict[str, Any], commands: Sequence[CommandRoute]) -> None:
    models = {model for command in commands for model in (command.body, command.answer)} | {ProblemDetails}
    _, definitions = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda m: m.__name__)],
        ref_template="#/components/schemas/{model}",
    )
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update(definitions.get("$defs", {}))
    schemas["Page"] = _PAGE
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    components["securitySchemes"] = _SECURITY
    components["responses"] = {
        "Problem": {
            "description": "A problem (RFC 9457); `code` is stable.",
            "content": {PROBLEM_TYPE: {"schema": {"$ref": _SCHEMA.format(name="ProblemDetails")}}},
            "headers": {"Retry-After": {"schema": {"type": "string"}, "description": "seconds, where waiting helps"}},
        }
    }


def _reads_of(routers: Sequence[APIRouter]) -> Iterator[tuple[str, str, Scope]]:
    """Method, path and scope of what FastAPI serves."""
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                scopes = [one.call.scope for one in route.dependant.dependencies if isinstance(one.call, reads)]
                yield from ((method.lower(), route.path, scopes[0]) for method in route.methods or ())


def _complete(operation: dict[str, Any], path: str, scope: Scope, headers: dict[str, str] | None = None) -> None:
    """What does not depend on the single operation: who may, which headers, what can go wrong."""
    public = scope is Scope.PUBLIC
    operation["security"] = [] if public else [{name: []} for name in _SECURITY]
    described = {IF_POSITION: _FRESH} | (headers or {}) | ({TRACKING_CODE: _CODE} if "{ticket_no}" in path else {})
    parameters = operation.setdefault("parameters", [])
    known = {one["name"].lower() for one in parameters if one["in"] == "header"}
    parameters += [_header(name, text) for name, text in described.items() if name.lower() not in known]
    responses = operation["responses"]
    for status in (*_ALWAYS, *(() if public else _GUARDED), *(_WITH_BODY if "requestBody" in operation else ())):
        if status == 422 or str(status) not in responses:
            responses[str(status)] = _PROBLEM
    _shape(operation)


def _header(name: str, text: str) -> dict[str, Any]:
    pattern = HEADER_PATTERNS.get(name)
    schema = {"type": "string"} | ({"pattern": pattern} if pattern else {})
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": text}


def _shape(operation: dict[str, Any]) -> None:
    """Every JSON answer is an object, a list has pages."""
    paged = any(parameter["name"] == "cursor" for parameter in operation["parameters"])
    for status, response in operation["responses"].items():
        content = response.get("content", {}).get("application/json")
        if status.startswith("2") and content is not None and not content.get("schema"):
            content["schema"] = {"$ref": _SCHEMA.format(name="Page")} if paged else {"type": "object"}


def _operation(command: CommandRoute) -> dict[str, Any]:
    answer = {"$ref": _SCHEMA.format(name=command.answer.__name__)}
    responses: dict[str, Any] = {
        str(command.status): {
            "description": "Done, and durable.",
            "content": {"application/json": {"schema": answer}},
            "headers": {name: {"schema": {"type": "string"}} for name in ("ETag", POSITION)},
        }
    }
    if isinstance(command, FormRoute):
        responses["303"] = {"description": f"To {FORM}: back to the page, `?said=` is how it went."}
    return {
        "summary": command.summary,
        "operationId": f"{command.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', command.path).strip('_')}",
        "description": f"Scope `{command.scope}`.",
        "parameters": _parameters(command),
        "requestBody": _body(command),
        "responses": responses,
    }


def _parameters(command: CommandRoute) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", command.path)
    ]
    if isinstance(command, FileRoute) and command.query is not None:
        asked = command.query.model_json_schema()
        needed = asked.get("required", [])
        found += [
            {"name": name, "in": "query", "required": name in needed, "schema": schema}
            for name, schema in asked["properties"].items()
        ]
    return found


def _body(command: CommandRoute) -> dict[str, Any]:
    schema: dict[str, Any] = {"$ref": _SCHEMA.format(name=command.body.__name__)}
    if isinstance(command, FileRoute) and command.raw:
        schema = {"type": "string", "format": "binary"}
    required = any(field.is_required() for field in command.body.model_fields.values())
    return {"required": required, "content": {media_type: {"schema": schema} for media_type in command.media_types}}
