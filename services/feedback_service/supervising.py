"""What supervision looks at, what was told to whom, and what gateways bring back. Regulation Art 23, 35."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query
from pydantic import StringConstraints
from sqlalchemy import RowMapping, select
from starlette.responses import JSONResponse, Response

from services.feedback_service.afterwards import Evaluate
from services.feedback_service.commands import by_appellant
from services.feedback_service.handling import Reply
from services.feedback_service.lead import LEADS, CloseLead, Outcome
from services.feedback_service.links import Purpose
from services.feedback_service.notice import NOTICES, NoteReceipt, Standing
from services.feedback_service.policy import callback_policy, handling_policy
from services.feedback_service.reading import in_reach
from services.feedback_service.telling import link_of
from services.feedback_service.templates import VALUES, Template, notifications
from services.feedback_service.views import CASES, LEAD_ROWS, NOTICE_ROWS
from shared.contracts.codes import Audience, Language, LeadKind, Question, Satisfaction, Via
from shared.contracts.envelope import Actor, rfc3339
from shared.engine.decider import Command, NotYours
from shared.engine.execute import Intention
from shared.engine.joined import split
from shared.engine.runtime import Running
from shared.web.asking import Asking, reads
from shared.web.commands import Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body, Code, Text, Uuid
from shared.web.identity import Reach, Scope
from shared.web.paging import Window, page
from shared.web.problems import Problem
from shared.web.tracking import APPELLANT

router = APIRouter()
CanInvestigate = Annotated[Asking, Depends(reads(Scope.INVESTIGATE))]
CanRead = Annotated[Asking, Depends(reads(Scope.READ))]
CanReadReference = Annotated[Asking, Depends(reads(Scope.READ_REFERENCE))]
SAMPLE = {
    "ticket_no": "20261126-0000001",
    "unit": "朝外街道",
    "due": "2026-12-03 09:00",
    "link": "https://example.cn/…",
}


class LeadBody(Body):
    """What looking at it came to."""

    key: Annotated[str, StringConstraints(max_length=200, pattern=r"^[A-Z_]+:[A-Za-z0-9:._-]+$")]
    outcome: Outcome


class GatewayReplyBody(Body):
    """What somebody sent back to a notice. `message_id`: the gateway's own; brought again it is the same message."""

    notice_id: Uuid
    message_id: Code
    text: Text


class ReceiptBody(Body):
    """Whether a notice has arrived."""

    notice_id: Uuid
    arrived: bool


@router.get("/v1/leads", summary="What supervision should look at, newest first")
async def list_leads(
    asking: CanInvestigate,
    window: Annotated[Window, Depends()],
    unit_id: Annotated[str | None, Query(max_length=64)] = None,
    kind: LeadKind | None = None,
    state: Literal["OPEN", "CLOSED"] | None = None,
) -> Response:
    """Each with the ids of the events that are its evidence. Regulation Art 35; a lead is not a penalty."""
    conditions = [LEAD_ROWS.c.kind.is_not(None), *window.changed(LEAD_ROWS.c.updated_at)]
    conditions += [LEAD_ROWS.c.unit_id == unit_id] if unit_id else []
    conditions += [LEAD_ROWS.c.kind == str(kind)] if kind else []
    if state:
        closed = LEAD_ROWS.c.outcome.is_not(None)
        conditions.append(closed if state == "CLOSED" else ~closed)
    keys = (LEAD_ROWS.c.raised_at, LEAD_ROWS.c.key)
    what = f"leads:{unit_id}:{kind}:{state}"
    rows, following = await page(
        asking.running, select(LEAD_ROWS).where(*conditions), keys, window, what, descending=True
    )
    return JSONResponse({"items": [_lead(row) for row in rows], "next_cursor": following})


def _lead(row: RowMapping) -> dict[str, Any]:
    shown = {name: row[name] for name in ("key", "subject", "kind", "unit_id", "policy", "outcome")}
    shown |= {"events": split(row["events"]), "figures": orjson.loads(row["figures"] or "{}")}
    return shown | {"raised_at": rfc3339(row["raised_at"]), "state": "CLOSED" if row["outcome"] else "OPEN"}


@router.get("/v1/notifications", summary="What was told to whom, and what became of it")
async def list_notifications(
    asking: CanRead,
    window: Annotated[Window, Depends()],
    appeal_id: Annotated[str | None, Query(max_length=64)] = None,
    standing: Standing | None = None,
    audience: Audience | None = None,
) -> Response:
    """About cases within the caller's reach; no numbers, no addresses, no words."""
    filters = {"appeal_id": appeal_id, "standing": standing, "audience": audience}
    conditions = [NOTICE_ROWS.c[name] == str(value) for name, value in filters.items() if value]
    conditions += [NOTICE_ROWS.c.template.is_not(None), *window.changed(NOTICE_ROWS.c.updated_at)]
    if asking.principal.reach(Scope.READ) is not Reach.ALL:
        mine = select(CASES.c.appeal_id).where(in_reach(asking.principal, Scope.READ))
        conditions.append(NOTICE_ROWS.c.appeal_id.in_(mine))
    keys = (NOTICE_ROWS.c.updated_at, NOTICE_ROWS.c.notice_id)
    what = f"notices:{asking.principal.sub}:{appeal_id}:{standing}:{audience}"
    rows, following = await page(
        asking.running, select(NOTICE_ROWS).where(*conditions), keys, window, what, descending=True
    )
    return JSONResponse({"items": [_notice(row) for row in rows], "next_cursor": following})


def _notice(row: RowMapping) -> dict[str, Any]:
    plain = ("notice_id", "appeal_id", "template", "audience", "cause", "standing", "channel", "language", "reason")
    shown = {name: row[name] for name in (*plain, "attempts")}
    return shown | {name: row[name] and rfc3339(row[name]) for name in ("planned_at", "due_at", "sent_at")}


@router.get("/v1/notifications/templates", summary="Who is told what, in which words, with a preview")
async def list_templates(asking: CanReadReference) -> Response:
    """The version in force. Previews are filled with sample values; `values` is what a text may say."""
    table = notifications()
    return JSONResponse(
        {"version": table.version, "values": sorted(VALUES), "items": [_template(one) for one in table.templates]}
    )


def _template(one: Template) -> dict[str, Any]:
    plain = ("id", "on", "audience", "urgent", "optional", "basis", "link")
    shown = {name: getattr(one, name) for name in plain}
    shown |= {"when": {k: list(v) for k, v in one.when.items()}, "unless": {k: list(v) for k, v in one.unless.items()}}
    return shown | {"text": {"zh": one.zh, "en": one.en}, "preview": {str(to): one.text(to, SAMPLE) for to in Language}}


async def close_lead(call: Call[LeadBody]) -> Plan:
    """Somebody has looked at it."""
    command = CloseLead(at=call.now, actor=call.actor, **call.body.model_dump())
    return Plan(Intention(LEADS, call.subject, command), state_and_version)


async def bring_receipt(call: Call[ReceiptBody]) -> Plan:
    """A gateway says whether something has arrived."""
    row = await _notice_row(call.running, call.body.notice_id)
    command = NoteReceipt(at=call.now, actor=call.actor, **call.body.model_dump())
    return Plan(Intention(NOTICES, row["appeal_id"], command), state_and_version)


async def bring_reply(call: Call[GatewayReplyBody]) -> Plan:
    """What came back: the digits that a survey asked for, or words for the unit."""
    row = await _notice_row(call.running, call.body.notice_id)
    once = (f"gateway:{call.principal.sub}", call.body.message_id, "IDEMPOTENCY_KEY_REUSED")
    return replace(by_appellant(row["appeal_id"], _said(call, row)), only_once=once)


def _said(call: Call[GatewayReplyBody], row: RowMapping) -> Command:
    link, policy = link_of(row["appeal_id"], row["link"]), callback_policy()
    via = Via(row["channel"]) if row["channel"] in Via.__members__ else Via.SMS
    actor, digits = Actor(APPELLANT.role, None, call.principal.sub), policy.said_by(call.body.text)
    if link is None or link.purpose is not Purpose.SURVEY or digits is None:
        return Reply(at=call.now, actor=actor, text=call.body.text, via=via, to=None, policy=handling_policy())
    return Evaluate(
        at=call.now, actor=actor, round=link.number, via=via, policy=policy, process_satisfaction=None, comment=None,
        contacted=_truth(digits[Question.CONTACTED]), resolved=_truth(digits[Question.RESOLVED]),
        satisfaction=Satisfaction(str(digits[Question.SATISFACTION] or Satisfaction.NOT_STATED)),
    )  # fmt: skip


def _truth(said: bool | Satisfaction | None) -> bool | None:
    return None if said is None else said is True


async def _notice_row(running: Running, notice_id: str) -> RowMapping:
    """Raises NotYours unless it was sent to an appellant."""
    query = select(NOTICE_ROWS).where(NOTICE_ROWS.c.notice_id == notice_id)
    async with running.reads.connect() as connection:
        row = (await connection.execute(query)).mappings().first()
    if row is None or row["audience"] != Audience.APPELLANT:
        raise NotYours
    if row["sent_at"] is None:
        raise Problem("TOO_EARLY", "this notice is not on record as sent yet; try again in a moment")
    return row


COMMANDS = (
    CommandRoute(
        "/v1/leads/{subject}/close", LeadBody, Scope.INVESTIGATE, close_lead, "What a lead came to", subject="subject"
    ),
    CommandRoute("/v1/gateway/receipts", ReceiptBody, Scope.BRING_REPLIES, bring_receipt, "It has arrived, or not"),
    CommandRoute("/v1/gateway/replies", GatewayReplyBody, Scope.BRING_REPLIES, bring_reply, "What somebody sent back"),
)
