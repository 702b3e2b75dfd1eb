"""The OpenAPI 3.1 document of a service: FastAPI writes the reads, this adds the commands and the shared answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.web.commands import CommandRoute
from shared.web.problems import PROBLEM_TYPE

_REFERENCE = "#/components/schemas/{model}"
_HEADERS = (
    ("Idempotency-Key", "1-200 visible ASCII; the same key and body give the first answer again"),
    ("If-Match", "the version you read; stale gives 412"),
)


class ProblemDetails(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[dict[str, str]] | None = None


def document(app: FastAPI, commands: Sequence[CommandRoute]) -> dict[str, Any]:
    """The whole document; kept by the app after the first time."""
    if app.openapi_schema is None:
        schema = FastAPI.openapi(app)
        models = {model for command in commands for model in (command.body, command.answer)} | {ProblemDetails}
        _, definitions = models_json_schema(
            [(model, "validation") for model in sorted(models, key=lambda m: m.__name__)], ref_template=_REFERENCE
        )
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {}).update(definitions.get("$defs", {}))
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
        schema["security"] = [{"bearer": []}]
        for command in commands:
            schema["paths"].setdefault(command.path, {})[command.method.lower()] = _operation(command)
        for name in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(name, None)
        _answer_with_problems(schema)
    return app.openapi_schema or schema


def _operation(command: CommandRoute) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", command.path)
    ]
    parameters += [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": text}
        for name, text in _HEADERS
    ]
    body = {"$ref": _REFERENCE.format(model=command.body.__name__)}
    answer = {"$ref": _REFERENCE.format(model=command.answer.__name__)}
    return {
        "summary": command.summary,
        "operationId": f"{command.method.lower()}_{re.sub(r'[^a-z0-9]+', '_', command.path).strip('_')}",
        "description": f"Scope `{command.scope}`.",
        "parameters": parameters,
        "requestBody": {
            "required": any(field.is_required() for field in command.body.model_fields.values()),
            "content": {media_type: {"schema": body} for media_type in command.media_types},
        },
        "responses": {
            str(command.status): {
                "description": "Done, and durable.",
                "content": {"application/json": {"schema": answer}},
                "headers": {name: {"schema": {"type": "string"}} for name in ("ETag", "Appeal-Position")},
            }
        },
    }


def _answer_with_problems(schema: dict[str, Any]) -> None:
    problem = {"schema": {"$ref": _REFERENCE.format(model="ProblemDetails")}}
    for path in schema["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            responses.pop("422", None)
            responses["default"] = {"description": "A problem (RFC 9457).", "content": {PROBLEM_TYPE: problem}}
