"""Feedback over HTTP: contact, the two answers, the callback. Contract section 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

import orjson
from fastapi import APIRouter, Depends, Query
from pydantic import Field, StringConstraints, model_validator
from sqlalchemy import RowMapping, select
from starlette.responses import JSONResponse, Response

from services.feedback_service.case import (
    CASE,
    AttemptCallback,
    Case,
    Contact,
    GiveFeedback,
    PostMessage,
    RecordCallback,
)
from services.feedback_service.policy import shipped_policy
from services.feedback_service.views import CASES, RESTRICTED
from shared.contracts.codes import (
    CallbackMethod,
    CaseState,
    ContactOutcome,
    FeedbackKind,
    FeedbackOutcome,
    Recipient,
    Satisfaction,
)
from shared.contracts.envelope import rfc3339
from shared.engine.decider import NotYours
from shared.engine.execute import Intention
from shared.engine.runtime import Running
from shared.eventlog.sealing import Closed, Opens, sealed_refs, unseal_data
from shared.web.app import Api
from shared.web.asking import Asking, reads
from shared.web.commands import Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body, Moment, ShortText, Text
from shared.web.identity import Ownership, Scope
from shared.web.paging import Window, between, page
from shared.web.preconditions import etag

router = APIRouter()
CanRead = Annotated[Asking, Depends(reads(Scope.READ))]
CanCallBack = Annotated[Asking, Depends(reads(Scope.CALL_BACK))]


WRITTEN_BY = {"appellant-wrote": "APPELLANT", "message-posted": "UNIT"}


class ContactBody(Body):
    """One try to reach the appellant. `channel`: how, e.g. PHONE, SMS, VISIT."""

    channel: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z_]{0,29}$")]
    outcome: ContactOutcome
    note: ShortText | None = None
    at: Moment | None = None


class FeedbackBody(Body):
    """How it stands, or how it ended; to the appellant or to the hotline."""

    kind: FeedbackKind
    recipient: Recipient
    text: Text
    outcome: FeedbackOutcome | None = None


class MessageBody(Body):
    """What is to be said to the appellant."""

    text: Text


class AttemptBody(Body):
    """What came of trying to reach the resident."""

    outcome: ContactOutcome
    method: CallbackMethod = CallbackMethod.PHONE


class CallbackBody(Body):
    """What the resident said. `valid: false` after enough failed attempts."""

    valid: bool
    contacted: bool | None = None
    resolved: bool | None = None
    satisfaction: Satisfaction = Satisfaction.NOT_STATED
    reasons: Annotated[tuple[ShortText, ...], Field(max_length=20)] = ()
    method: CallbackMethod = CallbackMethod.PHONE

    @model_validator(mode="after")
    def _answers_belong_to_a_valid_callback(self) -> Self:
        answered = self.contacted is not None and self.resolved is not None
        if self.valid and not answered:
            raise ValueError("a valid callback says whether the unit made contact and whether it is solved")
        said = self.contacted is not None or self.resolved is not None or self.satisfaction != Satisfaction.NOT_STATED
        if not self.valid and said:
            raise ValueError("a callback with answers is valid")
        return self


async def contact(call: Call[ContactBody]) -> Plan:
    """联系: the unit tried to reach the appellant."""
    body = call.body
    command = Contact(
        at=call.now, actor=call.actor, channel=body.channel, outcome=body.outcome, note=body.note,
        contacted_at=body.at or call.now,
    )  # fmt: skip
    return _plan(call, command)


async def feedback(call: Call[FeedbackBody]) -> Plan:
    """两种反馈"""
    body = call.body
    command = GiveFeedback(
        at=call.now, actor=call.actor, kind=body.kind, recipient=body.recipient, text=body.text, outcome=body.outcome
    )
    return _plan(call, command)


async def message(call: Call[MessageBody]) -> Plan:
    """Write to the appellant."""
    return _plan(call, PostMessage(at=call.now, actor=call.actor, text=call.body.text))


async def attempt(call: Call[AttemptBody]) -> Plan:
    """One try to call back."""
    body = call.body
    command = AttemptCallback(
        at=call.now, actor=call.actor, outcome=body.outcome, method=body.method, policy=shipped_policy()
    )
    return _plan(call, command)


async def callback(call: Call[CallbackBody]) -> Plan:
    """回访: what the resident said."""
    command = RecordCallback(at=call.now, actor=call.actor, policy=shipped_policy(), **call.body.model_dump())
    return _plan(call, command)


def _plan(call: Call[Any], command: Any) -> Plan:
    guard = call.may_touch(_ownership)
    intention = Intention(CASE, call.subject, command, sealed_for=lambda case: case.subject_key, guard=guard)
    return Plan(intention, state_and_version)


def _owned(row: RowMapping) -> Ownership:
    return Ownership(frozenset({row["lead_unit"]} - {None}), row["cc_district"])


async def owners(running: Running, subjects: Sequence[str]) -> dict[str, Ownership]:
    """Whose these appeals are."""
    async with running.reads.connect() as connection:
        rows = (await connection.execute(select(CASES).where(CASES.c.appeal_id.in_(subjects)))).mappings()
        return {row["appeal_id"]: _owned(row) for row in rows}


def _ownership(case: Case) -> Ownership:
    if case.opened is None:
        return Ownership()
    return Ownership(frozenset({case.opened.lead_unit}), case.opened.cc_district)


@router.get("/v1/cases/{appeal_id}", summary="The file of a case")
async def get_case(appeal_id: str, asking: CanRead) -> Response:
    """Contacts, feedback, callbacks, round by round."""
    row = await _case(asking, appeal_id)
    file = await _file(asking.running, row)
    return JSONResponse(file, headers={"ETag": etag(row["version"]), "Cache-Control": "no-store"})


@router.get("/v1/cases/{appeal_id}/messages", summary="What appellant and unit wrote to each other")
async def get_messages(appeal_id: str, asking: CanRead) -> Response:
    """Oldest first. `from` is APPELLANT or UNIT."""
    file = await _file(asking.running, await _case(asking, appeal_id))
    return JSONResponse({"items": file["messages"]}, headers={"Cache-Control": "no-store"})


async def _case(asking: Asking, appeal_id: str) -> RowMapping:
    async with asking.running.reads.connect() as connection:
        row = (await connection.execute(select(CASES).where(CASES.c.appeal_id == appeal_id))).mappings().first()
    if row is None or row["state"] is None or not asking.principal.can_see(asking.scope, _owned(row)):
        raise NotYours
    return row


async def _file(running: Running, row: RowMapping) -> dict[str, Any]:
    entries = orjson.loads(row["entries"] or "[]")
    opener: Opens = Closed() if await _restricted(running, row["appeal_id"]) else running.keyring
    await running.keyring.load({ref for entry in entries for ref in sealed_refs(entry["type"], entry["data"])})
    told = [(entry["name"], _told(opener, entry)) for entry in entries]
    named = {
        "contacts": ("appellant-contacted",),
        "feedback": ("feedback-given",),
        "callbacks": ("callback-scheduled", "callback-attempted", "callback-recorded", "callback-invalidated"),
        "rework": ("rework-requested",),
    }
    file = _item(row) | {part: [entry for name, entry in told if name in names] for part, names in named.items()}
    rounds = sorted({entry["round"] for _, entry in told if "round" in entry} | ({row["round"]} - {None}))
    return file | {"messages": [_message(name, one) for name, one in told if name in WRITTEN_BY], "rounds": rounds}


def _message(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {"from": WRITTEN_BY[name], "time": entry["time"], "text": entry["text"]}


async def _restricted(running: Running, appeal_id: str) -> bool:
    query = select(RESTRICTED).where(RESTRICTED.c.appeal_id == appeal_id)
    async with running.reads.connect() as connection:
        return (await connection.execute(query)).first() is not None


def _told(opener: Opens, entry: dict[str, Any]) -> dict[str, Any]:
    opened = unseal_data(opener, entry["type"], entry["data"], f"{entry['stream']}/{entry['id']}")
    actor = {name: entry["actor"].get(name) for name in ("role", "unit_id")}
    return {"event": entry["name"], "time": entry["time"], "actor": actor, **opened}


def _item(row: RowMapping) -> dict[str, Any]:
    plain = {
        name: row[name] for name in ("appeal_id", "ticket_no", "state", "lead_unit", "cc_district", "round", "version")
    }
    return plain | {name: row[name] and rfc3339(row[name]) for name in ("due_at", "callback_due_at", "updated_at")}


@router.get("/v1/callbacks", summary="Callbacks to make, soonest due first")
async def list_callbacks(
    asking: CanCallBack, window: Annotated[Window, Depends()], due_before: Annotated[Moment | None, Query()] = None
) -> Response:
    """The queue of the callback officers."""
    conditions = [CASES.c.state == CaseState.CALLBACK_DUE.value, *window.changed(CASES.c.updated_at)]
    query = select(CASES).where(*conditions, *between(CASES.c.callback_due_at, None, due_before))
    keys = (CASES.c.callback_due_at, CASES.c.appeal_id)
    rows, following = await page(asking.running, query, keys, window, f"callbacks:{due_before}")
    return JSONResponse({"items": [_item(row) for row in rows], "next_cursor": following})


_CASE = "/v1/cases/{appeal_id}"
COMMANDS = (
    CommandRoute(f"{_CASE}/contact", ContactBody, Scope.HANDLE, contact, "Record a contact"),
    CommandRoute(f"{_CASE}/feedback", FeedbackBody, Scope.HANDLE, feedback, "Give feedback"),
    CommandRoute(f"{_CASE}/messages", MessageBody, Scope.HANDLE, message, "Write to the appellant"),
    CommandRoute(f"{_CASE}/callback/attempts", AttemptBody, Scope.CALL_BACK, attempt, "Record a callback attempt"),
    CommandRoute(f"{_CASE}/callback", CallbackBody, Scope.CALL_BACK, callback, "Record the callback"),
)

API = Api("Jiesu feedback 两种反馈", router, COMMANDS, owners)
