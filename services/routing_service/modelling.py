"""Classifiers over HTTP: a model file comes in, one is put in force, and it can be taken back.

The city goes on without one: then the rules alone serve.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import IO, Annotated, Any

import orjson
from fastapi import APIRouter, Depends
from pydantic import BaseModel
from sqlalchemy import select
from starlette.responses import JSONResponse, Response

from services.routing_service.bodies import NoBody
from services.routing_service.classifier import Classifier, WrongModel, load
from services.routing_service.limits import shipped_limits
from services.routing_service.model import MODELS, SUBJECT, Activate, Models, RollBack, Store, object_of, version_of
from services.routing_service.views import CLASSIFIERS
from shared.contracts.duties import ClassifierStored
from shared.engine.execute import Decision, Intention
from shared.web.asking import Asking, reads
from shared.web.commands import Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body, ShortText
from shared.web.identity import Scope
from shared.web.problems import Problem
from shared.web.uploads import FileRoute, Upload

router = APIRouter()
CanReadReference = Annotated[Asking, Depends(reads(Scope.READ_REFERENCE))]
BINARY = "application/octet-stream"


class ModelFile(Body):
    """The file itself is the body."""

    file: bytes


class RollBackBody(Body):
    """Why."""

    reason: ShortText


class Stored(BaseModel):
    """What the model is called, and which one is in force now."""

    model_version: str
    state: str
    version: int


async def store(call: Call[Upload]) -> Plan:
    """Keep a model file, after it was read once. The same file again is the same version."""
    upload = call.body
    digest = upload.digest.hex()
    facts = _facts(await asyncio.to_thread(_read, upload.file), digest, upload.size)
    await call.running.objects.put(object_of(digest), upload.file)

    def answer(decision: Decision[Models]) -> dict[str, Any]:
        return {"model_version": facts.model_version} | state_and_version(decision)

    return Plan(Intention(MODELS, SUBJECT, Store(at=call.now, actor=call.actor, facts=facts)), answer)


def _read(file: IO[bytes]) -> Classifier:
    file.seek(0)
    try:
        return load(file)
    except WrongModel as error:
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "", "message": str(error)}]) from None


def _facts(model: Classifier, digest: str, size: int) -> ClassifierStored:
    about = model.about
    try:
        f1 = str(Decimal(about["measures"]["macro_f1"]))
        return ClassifierStored(
            model_version=version_of(digest),
            sha256=digest,
            bytes=size,
            categories=tuple(model.categories),
            data=about["data"],
            rows=about["rows"],
            measures={name: str(Decimal(value)) for name, value in about["measures"].items()} | {"macro_f1": f1},
        )
    except (KeyError, ValueError, TypeError, AttributeError, ArithmeticError):
        message = "the model does not say what it learned from, or how good it is; make it with `jiesu train`"
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "", "message": message}]) from None


async def activate(call: Call[NoBody]) -> Plan:
    """Proposals are made with this model from now on."""
    least = shipped_limits().least_macro_f1
    command = Activate(at=call.now, actor=call.actor, version=call.path["version"], least_macro_f1=least)
    return Plan(Intention(MODELS, SUBJECT, command), state_and_version)


async def roll_back(call: Call[RollBackBody]) -> Plan:
    """The model before serves again, or the rules alone."""
    command = RollBack(at=call.now, actor=call.actor, reason=call.body.reason)
    return Plan(Intention(MODELS, SUBJECT, command), state_and_version)


@router.get("/v1/models", summary="Every classifier, and the one in force")
async def list_models(asking: CanReadReference) -> Response:
    """With what each learned from (fingerprint and rows) and how good it was on messages that it had not seen."""
    async with asking.running.reads.connect() as connection:
        row = (await connection.execute(select(CLASSIFIERS))).mappings().first()
    items, history = (orjson.loads(row["items"]), orjson.loads(row["history"])) if row else ({}, [])
    in_force = history[-1] if history else None
    shown = [one | {"active": one["model_version"] == in_force} for one in items.values()]
    return JSONResponse({"active": in_force, "history": history, "items": shown, "next_cursor": None})


COMMANDS = (
    FileRoute(
        "/v1/models", ModelFile, Scope.KEEP_CLASSIFIERS, store, "Keep a model file", 201, "", answer=Stored,
        most_bytes=lambda: shipped_limits().most_model_bytes, raw=(BINARY,),
    ),
    CommandRoute(
        "/v1/models/{version}/activate", NoBody, Scope.KEEP_CLASSIFIERS, activate, "Put a model in force", subject="",
    ),
    CommandRoute("/v1/models/rollback", RollBackBody, Scope.KEEP_CLASSIFIERS, roll_back, "Take it back", subject=""),
)  # fmt: skip
