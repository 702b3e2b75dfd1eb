"""Access over HTTP: keys for integrators, and operations of two officers, of which unmasking many at once is one."""

from __future__ import annotations

import os
import re
from datetime import date, datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Depends, Query
from pydantic import Field, StringConstraints, model_validator
from sqlalchemy import Column, Date, DateTime, MetaData, Table, Text, select
from sqlalchemy.dialects.postgresql import ARRAY
from starlette.responses import JSONResponse, Response

from services.intake_service.credential import CREDENTIAL, Issue, Revoke
from services.intake_service.operation import OPERATION, Approve, AskFor, CarryOut, Operation
from services.intake_service.policy import access_policy
from services.intake_service.privacy import must_be_shown, revealed
from services.intake_service.views import OPERATIONS
from shared.contracts.access import ApiKeyIssued, OperationKind
from shared.contracts.envelope import Actor, Envelope, rfc3339
from shared.contracts.upcasters import payload_of
from shared.engine.decider import NotYours, Refused
from shared.engine.execute import Decision, Intention
from shared.engine.runtime import Running
from shared.eventlog.postgres import Connection
from shared.web.api_keys import new_key
from shared.web.asking import Asking, reads
from shared.web.commands import Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body, Moment
from shared.web.identity import PERMISSIONS, Scope
from shared.web.paging import Window, page
from shared.web.problems import Problem

router = APIRouter()
CanKeepPersons = Annotated[Asking, Depends(reads(Scope.KEEP_PERSONS))]
CanKeepKeys = Annotated[Asking, Depends(reads(Scope.KEEP_API_KEYS))]
Name = Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9A-Za-z][\x21-\x2e\x30-\x7e]*$")]
TARGETS: dict[OperationKind, tuple[str, str]] = {
    "BULK_UNMASK": (r"[0-9a-f-]{36}(,[0-9a-f-]{36})*", "appeal ids, comma separated"),
    "REPLAY": ("intake|routing|feedback|scoring", "the service whose parked events are replayed"),
    "KEY_ROTATION": ("master", "master"),
}
"""What the target of each kind of operation looks like, and in words."""
API_KEYS = Table(
    "api_keys",
    MetaData(schema="vault"),
    *(Column(name, Text) for name in ("key_id", "client", "role", "unit_id", "district")),
    Column("scopes", ARRAY(Text)),
    *(Column(name, DateTime(timezone=True)) for name in ("issued_at", "expires_at", "revoked_at")),
    Column("used_on", Date),
)
KEEP_KEY = """
    INSERT INTO vault.api_keys (key_id, digest, client, role, unit_id, district, scopes, expires_at, issued_at)
    VALUES ($1, decode($2, 'hex'), $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (key_id) DO NOTHING"""
REVOKE_KEY = "UPDATE vault.api_keys SET revoked_at = $2 WHERE key_id = $1 AND revoked_at IS NULL"


class KeyBody(Body):
    """For whom: a client, in one role; `scopes` narrows what the role gives."""

    client: Name
    role: Annotated[str, StringConstraints(min_length=1, max_length=40)] = "INTEGRATOR"
    unit_id: Name | None = None
    district: Name | None = None
    scopes: Annotated[tuple[str, ...], Field(max_length=40)] = ()
    expires_at: Moment


class RevokeBody(Body):
    """Which key of the client."""

    key_id: Name


class OperationBody(Body):
    """What exactly, and why: codes and identifiers, no words about persons."""

    kind: OperationKind
    target: Annotated[str, StringConstraints(max_length=20_000)]
    ground: Annotated[str, StringConstraints(min_length=2, max_length=100, pattern=r"^[A-Z][A-Z0-9_]+$")]

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        form, meant = TARGETS[self.kind]
        if not re.fullmatch(form, self.target):
            raise ValueError(f"the target of {self.kind} is {meant}")
        return self


class ApprovalBody(Body):
    """Nothing needs to be said."""


class NewKeyAnswer(Body):
    """The key, shown this once."""

    key_id: str
    api_key: str
    version: int


async def issue(call: Call[KeyBody]) -> Plan:
    """Make a key for a client; the answer is the only place where it ever stands."""
    body, policy = call.body, access_policy()
    if body.role not in policy.key_roles:  # or whoever makes keys would be any officer, also the second one
        said = f"keys are for {', '.join(sorted(policy.key_roles))}"
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "/role", "message": said}])
    if not set(body.scopes) <= {str(scope) for scope in PERMISSIONS[body.role]}:
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "/scopes", "message": "the role does not give these"}])
    if body.expires_at > call.now + policy.longest_key_life:
        raise Refused("KEY_LIFE_TOO_LONG", f"a key lives at most {policy.longest_key_life.days} days")
    made = new_key(os.urandom)
    key = ApiKeyIssued(
        key_id=made.key_id, digest=made.digest, role=body.role, unit_id=body.unit_id, district=body.district,
        scopes=body.scopes, expires_at=body.expires_at,
    )  # fmt: skip
    command = Issue(at=call.now, actor=call.actor, key=key, most_live=policy.most_live_keys)

    def answer(decision: Decision[Any]) -> dict[str, Any]:
        return {"key_id": made.key_id, "api_key": made.text, "version": decision.version}

    return Plan(Intention(CREDENTIAL, body.client, command), answer)


async def revoke(call: Call[RevokeBody]) -> Plan:
    """Take a key of a client back; within seconds it is good for nothing anywhere."""
    command = Revoke(at=call.now, actor=call.actor, key_id=call.body.key_id)
    return Plan(Intention(CREDENTIAL, call.subject, command), lambda decision: {"version": decision.version})


async def ask_for(call: Call[OperationBody]) -> Plan:
    """Ask for what takes two officers."""
    body, operation_id = call.body, call.running.ids.uuid7()
    command = AskFor(at=call.now, actor=call.actor, kind=body.kind, target=body.target, ground=body.ground)

    def answer(decision: Decision[Any]) -> dict[str, Any]:
        return {"operation": operation_id, **state_and_version(decision)}

    return Plan(Intention(OPERATION, operation_id, command, fresh=True), answer)


async def approve(call: Call[ApprovalBody]) -> Plan:
    """Approve what another officer asked for."""
    command = Approve(at=call.now, actor=call.actor, good_for=access_policy().approval_good_for)
    return Plan(Intention(OPERATION, call.subject, command), state_and_version)


async def carry_out(
    running: Running, operation: str, actor: Actor, kind: OperationKind, target: str, count: int
) -> None:
    """Note on the record that an approved operation is being done. Raises Refused, NotYours."""
    await running.executor.execute(Intention(OPERATION, operation, _done(running, actor, kind, target, count)))


def _done(running: Running, actor: Actor, kind: OperationKind, target: str, count: int) -> CarryOut:
    return CarryOut(at=running.clock.now(), actor=actor, kind=kind, target=target, count=count)


async def loaded(running: Running, operation: str) -> Operation:
    """How far an operation has come."""
    events = [recorded.envelope for recorded in await running.log.read_stream(OPERATION.stream(operation))]
    return OPERATION.fold([payload_of(event.type, event.data) for event in events], OPERATION.initial)


@router.get("/v1/operations/{operation}/appellants", summary="Contact data of many, once two officers agree; on record")
async def unmask(
    operation: str, asking: CanKeepPersons, purpose: Annotated[str, Query(min_length=2, max_length=200)]
) -> Response:
    """The operation's target is the appeal ids, comma separated. Each is revealed on the record of its appeal.

    All are shown or none: the approval is used up last, when everybody's name has been read.
    """
    running, principal = asking.running, asking.principal
    principal.require(Scope.REVEAL)
    found = await loaded(running, operation)
    if found.kind != "BULK_UNMASK":
        raise NotYours
    appeals = list(dict.fromkeys(found.target.split(",")))
    for one in appeals:
        await must_be_shown(running, one, principal)
    command = _done(running, principal.actor(Scope.KEEP_PERSONS), "BULK_UNMASK", found.target, len(appeals))
    OPERATION.decide(command, found)
    items = [{"appeal_id": one, **await revealed(running, one, principal, purpose)} for one in appeals]
    await running.executor.execute(Intention(OPERATION, operation, command))
    return JSONResponse({"items": items}, headers={"Cache-Control": "no-store"})


@router.get("/v1/operations", summary="Operations of two officers, most recently changed first")
async def list_operations(
    asking: CanKeepPersons, window: Annotated[Window, Depends()],
    state: Annotated[str | None, Query(max_length=20)] = None,
) -> Response:  # fmt: skip
    """What waits for a second officer is `REQUESTED`."""
    conditions = [OPERATIONS.c.state == state] if state else []
    query = select(OPERATIONS).where(*conditions, *window.changed(OPERATIONS.c.updated_at))
    keys = (OPERATIONS.c.updated_at, OPERATIONS.c.operation)
    rows, following = await page(asking.running, query, keys, window, f"operations:{state}", descending=True)
    shown = [column.name for column in OPERATIONS.c if column.name != "updated_at"]  # not the keys that paging adds
    items = [{name: row[name] for name in shown} | {"updated_at": rfc3339(row["updated_at"])} for row in rows]
    return JSONResponse({"items": items, "next_cursor": following})


@router.get("/v1/api-keys", summary="Keys of integrators, newest first; the keys themselves are nowhere")
async def list_keys(
    asking: CanKeepKeys,
    window: Annotated[Window, Depends()],
    client: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Who has one, what for, until when, and on which day it was last used."""
    query = select(API_KEYS).where(*([API_KEYS.c.client == client] if client else []))
    query = query.where(*window.changed(API_KEYS.c.issued_at))
    keys = (API_KEYS.c.issued_at, API_KEYS.c.key_id)
    rows, following = await page(asking.running, query, keys, window, f"api-keys:{client}", descending=True)
    items = [{column.name: _said(row[column.name]) for column in API_KEYS.c} for row in rows]
    return JSONResponse({"items": items, "next_cursor": following})


def _said(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, datetime):
        return rfc3339(value)
    return value.isoformat() if isinstance(value, date) else value


async def keep_keys(running: Running, connection: Connection, events: list[Envelope]) -> None:
    """What issuing and revoking mean outside the log: every service knows the key, or knows it no more."""
    for event in events:
        if event.type.endswith(".api-key-issued.v1"):
            key = payload_of(event.type, event.data)
            assert isinstance(key, ApiKeyIssued)
            await connection.execute(
                KEEP_KEY, key.key_id, key.digest, event.subject, key.role, key.unit_id, key.district, list(key.scopes),
                key.expires_at, event.time,
            )  # fmt: skip
        elif event.type.endswith(".api-key-revoked.v1"):
            await connection.execute(REVOKE_KEY, event.data["key_id"], event.time)


_KEYS, _MEASURES = Scope.KEEP_API_KEYS, Scope.KEEP_PERSONS
COMMANDS = (
    CommandRoute("/v1/api-keys", KeyBody, _KEYS, issue, "A key for a client, shown once", 201, answer=NewKeyAnswer),
    CommandRoute("/v1/api-keys/{client}/revoke", RevokeBody, _KEYS, revoke, "Take a key back", subject="client"),
    CommandRoute("/v1/operations", OperationBody, _MEASURES, ask_for, "Ask for what takes two officers", 201),
    CommandRoute(
        "/v1/operations/{operation}/approve", ApprovalBody, _MEASURES, approve,
        "Approve what another officer asked for", subject="operation",
    ),
)  # fmt: skip
