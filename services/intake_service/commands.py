"""The commands of intake over HTTP: from a request to a command for one appeal, and to the answer.

What each may do is decided in appeal.py; here it is asked for, by an officer or the appellant with the tracking code.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from services.intake_service.appeal import (
    APPEAL,
    Answer,
    Appeal,
    Link,
    Merge,
    RaiseAlert,
    Redirect,
    Register,
    Supplement,
    Tag,
    Urge,
    Withdraw,
)
from services.intake_service.atlas import atlas_of
from services.intake_service.knowing import cited_edition
from services.intake_service.locating import locate
from services.intake_service.notices import advice, hand_overs
from services.intake_service.policy import follow_policy
from services.intake_service.reading import case_by_ticket, case_row, load_appeal, merges_of
from services.intake_service.registration import AppealBody, Tickets, facts_of, hash_of, new_tracking_code
from shared.contracts.codes import CaseState, Route
from shared.contracts.envelope import Actor
from shared.contracts.intake import RiskAlertRaised
from shared.engine.decider import Command, NotYours
from shared.engine.execute import Decision, Intention
from shared.web.commands import Call, Plan, state_and_version
from shared.web.fields import Body, Label, ShortText, Text, Uuid
from shared.web.identity import Ownership

_tickets = Tickets()
APPELLANT = Actor("APPELLANT")


class Receipt(BaseModel):
    """The promise that the appeal is on record: which event, and the hash under which it enters the public tree."""

    event_id: str
    leaf_hash: str


class Advice(BaseModel):
    """What to do now, before anything else: whom to call."""

    call: str
    zh: str
    en: str


class Registered(BaseModel):
    """What a successful registration answers. The tracking code is shown this once."""

    appeal_id: str
    ticket_no: str
    tracking_code: str
    state: CaseState
    version: int
    receipt: Receipt
    advice: list[Advice]
    links: dict[str, str]


class AnswerBody(Body):
    """An answer to a consultation."""

    text: Text
    knowledge_id: Uuid | None = None


class RedirectBody(Body):
    """Which of the six special routes, and why."""

    route: Route
    reason: ShortText
    target: ShortText | None = None


class MergeBody(Body):
    """Into which earlier appeal of the same person, and why."""

    into: Uuid
    reason: ShortText


class WithdrawBody(Body):
    """Why the appeal is taken back, if the appellant says so."""

    reason: ShortText | None = None


class SupplementBody(Body):
    """What is to be added."""

    text: Text


class UrgeBody(Body):
    """Why it is urgent, if anything is said."""

    reason: ShortText | None = None


class TagsBody(Body):
    """The tags from now on."""

    tags: Annotated[tuple[Label, ...], Field(max_length=20)]


class RiskAlertBody(Body):
    """A danger that a person sees. `hand_over`: to whom at once."""

    level: Literal["EMERGENCY", "WATCH"]
    category: Label
    hand_over: Literal["110", "119", "120", "122"] | None = None
    reason: ShortText


class LinkBody(Body):
    """One of the appeals about the same problem."""

    other: Uuid
    reason: ShortText | None = None


async def register(call: Call[AppealBody]) -> Plan:
    """受理"""
    running, body, client = call.running, call.body, call.principal.sub
    appeal_id, tracking_code = running.ids.uuid7(), new_tracking_code(running.ids)
    facts = facts_of(
        body,
        locate(body.location, await atlas_of(running)),
        ticket_no=await _tickets.number(running.pool, call.now),
        tracking_code=tracking_code,
        client=client,
        now=call.now,
        index_key=running.secrets.index,
        subject_key=await running.keyring.fresh(),
        ids=running.ids,
    )
    command = Register(at=call.now, actor=call.actor, facts=facts)

    def answer(decision: Decision[Appeal]) -> dict[str, Any]:
        entry = decision.entries[0]
        case = f"/intake/v1/appeals/{appeal_id}"
        return {
            "appeal_id": appeal_id,
            "ticket_no": facts.ticket_no,
            "tracking_code": tracking_code,
            "state": decision.state.state,
            "version": decision.version,
            "receipt": {"event_id": entry.event_id, "leaf_hash": entry.leaf_hash.hex()},
            "advice": [advice(call) for call in hand_overs(facts.triage)],
            "links": {"self": case, "similar": f"{case}/similar", "track": f"/intake/v1/track/{facts.ticket_no}"},
        }

    intention = Intention(APPEAL, appeal_id, command, sealed_for=facts.appellant.key, fresh=True)
    once = (f"source_ref:{client}", body.source_ref, "SOURCE_REF_TAKEN") if body.source_ref else None
    return Plan(intention, answer, once)


async def answer(call: Call[AnswerBody]) -> Plan:
    """Answer a consultation at once."""
    body, seen = call.body, await _seen(call)
    edition = await cited_edition(call.running, body.knowledge_id) if body.knowledge_id else None
    command = Answer(
        at=call.now,
        actor=call.actor,
        text=body.text,
        knowledge_id=body.knowledge_id,
        knowledge_edition=edition,
        seen=seen,
    )
    return _plan(call, command)


async def redirect(call: Call[RedirectBody]) -> Plan:
    """Take one of the six special routes of Regulation Art 11."""
    body, seen = call.body, await _seen(call)
    command = Redirect(
        at=call.now, actor=call.actor, route=body.route, reason=body.reason, target=body.target, seen=seen
    )
    return _plan(call, command)


async def merge(call: Call[MergeBody]) -> Plan:
    """并单 into an earlier appeal of the same person."""
    body, seen = call.body, await _seen(call)
    appellant = (await load_appeal(call.running, call.subject)).appellant_ref
    before = await merges_of(call.running, appellant)
    target = await load_appeal(call.running, body.into)
    command = Merge(at=call.now, actor=call.actor, into=body.into, reason=body.reason, target=target, seen=seen)
    # Appeals merged into each other at once would all vanish: of one person's appeals one is merged at a time.
    return replace(_plan(call, command), only_once=(f"merge:{appellant}", str(before + 1), "MERGE_CROSSED"))


async def withdraw(call: Call[WithdrawBody]) -> Plan:
    """Take the appeal back on the appellant's behalf."""
    seen = await _seen(call)
    return _plan(call, Withdraw(at=call.now, actor=call.actor, reason=call.body.reason, seen=seen))


async def supplement(call: Call[SupplementBody]) -> Plan:
    """Add something to what was said."""
    return _plan(call, _supplement(call, await _seen(call), call.actor))


async def urge(call: Call[UrgeBody]) -> Plan:
    """催办"""
    return _plan(call, _urge(call, await _seen(call), call.actor))


async def tags(call: Call[TagsBody]) -> Plan:
    """Set the tags."""
    return _plan(call, Tag(at=call.now, actor=call.actor, tags=call.body.tags))


async def risk_alert(call: Call[RiskAlertBody]) -> Plan:
    """Report a danger. Regulation Art 29."""
    alert = RiskAlertRaised(**call.body.model_dump())
    return _plan(call, RaiseAlert(at=call.now, actor=call.actor, alert=alert))


async def link(call: Call[LinkBody]) -> Plan:
    """Put it beside others about the same problem; each keeps its own answer."""
    body, other = call.body, await load_appeal(call.running, call.body.other)
    command = Link(at=call.now, actor=call.actor, other_id=body.other, other=other, reason=body.reason)
    return _plan(call, command)


async def withdraw_by_citizen(call: Call[WithdrawBody]) -> Plan:
    """The appellant takes the appeal back."""
    appeal_id, seen = await _known(call)
    return _citizens(call, appeal_id, Withdraw(at=call.now, actor=APPELLANT, reason=call.body.reason, seen=seen))


async def supplement_by_citizen(call: Call[SupplementBody]) -> Plan:
    """The appellant adds something."""
    appeal_id, seen = await _known(call)
    return _citizens(call, appeal_id, _supplement(call, seen, APPELLANT))


async def urge_by_citizen(call: Call[UrgeBody]) -> Plan:
    """The appellant asks again."""
    appeal_id, seen = await _known(call)
    return _citizens(call, appeal_id, _urge(call, seen, APPELLANT))


def _supplement(call: Call[SupplementBody], seen: CaseState, actor: Actor) -> Supplement:
    most = follow_policy().most_supplements
    return Supplement(at=call.now, actor=actor, text=call.body.text, most=most, seen=seen)


def _urge(call: Call[UrgeBody], seen: CaseState, actor: Actor) -> Urge:
    every = follow_policy().urge_every
    return Urge(at=call.now, actor=actor, reason=call.body.reason, every=every, seen=seen)


async def _known(call: Call[Any]) -> tuple[str, CaseState]:
    """Appeal and state, for whoever holds ticket number and tracking code. Raises NotYours."""
    row = await case_by_ticket(call.running, call.subject)
    must_know(row["tracking_hash"], call.headers.get("x-tracking-code"))
    return row["appeal_id"], CaseState(row["state"])


def _citizens(call: Call[Any], appeal_id: str, command: Command) -> Plan:
    return Plan(Intention(APPEAL, appeal_id, command, sealed_for=_key), state_and_version)


def _plan(call: Call[Any], command: Command) -> Plan:
    guard = call.may_touch(lambda appeal: Ownership(client=appeal.client))
    return Plan(Intention(APPEAL, call.subject, command, sealed_for=_key, guard=guard), state_and_version)


def _key(appeal: Appeal) -> str:
    return appeal.subject_key


async def _seen(call: Call[Any]) -> CaseState:
    """The state of the whole case; a case that the view does not know yet has only been registered."""
    try:
        return CaseState((await case_row(call.running, call.subject))["state"])
    except NotYours:
        return CaseState.REGISTERED


def must_know(tracking_hash: str, code: str | None) -> None:
    if code is None or not hmac.compare_digest(tracking_hash, hash_of(code)):
        raise NotYours
