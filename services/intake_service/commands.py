"""The commands of intake over HTTP: from a request to a command for one appeal, and to the answer.

What each may do is decided in appeal.py; here it is asked for, by an officer or the appellant with the tracking code.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, Self

from pydantic import BaseModel, model_validator

from services.intake_service.appeal import APPEAL, Answer, Merge, Redirect, Register, Withdraw
from services.intake_service.atlas import atlas_of
from services.intake_service.calling import by_appellant, case_seen, known_by_code, on_appeal
from services.intake_service.knowing import cited_edition
from services.intake_service.locating import locate
from services.intake_service.notices import advice, hand_overs
from services.intake_service.reading import load_appeal, merges_of
from services.intake_service.registration import AppealBody, Tickets, facts_of, new_tracking_code
from services.intake_service.state import Appeal
from shared.contracts.codes import REFERRALS, CaseState, Route
from shared.engine.each import Each
from shared.engine.execute import Decision, Intention
from shared.eventlog.notes import promise
from shared.web.commands import Call, CommandRoute, Plan
from shared.web.fields import Body, ShortText, Text, Uuid
from shared.web.identity import Scope
from shared.web.tracking import APPELLANT

_tickets = Each(Tickets)


class Receipt(BaseModel):
    """That the appeal is on record: which event, the hash under which it enters the public tree, and our word for it.

    `promise`: a signed note (C2SP signed-note) of both and of the time, until there is a proof.
    """

    event_id: str
    leaf_hash: str
    promise: str


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
    """Which of the special routes, and why. A referral to another region or a central body names it as `target`."""

    route: Route
    reason: ShortText
    target: ShortText | None = None

    @model_validator(mode="after")
    def _referred_to_somebody(self) -> Self:
        if self.route in REFERRALS and self.target is None:
            raise ValueError("a referral names its target")
        return self


class MergeBody(Body):
    """Into which earlier appeal of the same person, and why."""

    into: Uuid
    reason: ShortText


class WithdrawBody(Body):
    """Why the appeal is taken back, if the appellant says so."""

    reason: ShortText | None = None


async def register(call: Call[AppealBody]) -> Plan:
    """受理"""
    running, body, client = call.running, call.body, call.principal.sub
    appeal_id, tracking_code = running.ids.uuid7(), new_tracking_code(running.ids)
    facts = facts_of(
        body,
        locate(body.location, await atlas_of(running)),
        ticket_no=await _tickets.of(running).number(running.pool, call.now),
        tracking_code=tracking_code,
        client=client,
        now=call.now,
        index_key=running.secrets.index,
        subject_key=await running.keyring.fresh(),
        ids=running.ids,
    )
    command = Register(at=call.now, actor=call.actor, facts=facts)

    @cache
    def receipt(event_id: str, leaf_hash: str) -> dict[str, str]:
        given = promise(running.signer, event_id, leaf_hash, call.now)
        return {"event_id": event_id, "leaf_hash": leaf_hash, "promise": given}

    def answer(decision: Decision[Appeal]) -> dict[str, Any]:
        entry = decision.entries[0]
        case = f"/intake/v1/appeals/{appeal_id}"
        return {
            "appeal_id": appeal_id,
            "ticket_no": facts.ticket_no,
            "tracking_code": tracking_code,
            "state": decision.state.state,
            "version": decision.version,
            "receipt": receipt(entry.event_id, entry.leaf_hash.hex()),
            "advice": [advice(call) for call in hand_overs(facts.triage)],
            "links": {"self": case, "similar": f"{case}/similar", "track": f"/intake/v1/track/{facts.ticket_no}"},
        }

    intention = Intention(APPEAL, appeal_id, command, sealed_for=facts.appellant.key, fresh=True)
    once = (source_refs_of(client), body.source_ref, "SOURCE_REF_TAKEN") if body.source_ref else None
    return Plan(intention, answer, once)


def source_refs_of(client: str) -> str:
    """Under which name a client's own ids are kept, each for one appeal."""
    return f"source_ref:{client}"


async def answer(call: Call[AnswerBody]) -> Plan:
    """Answer a consultation at once."""
    body, seen = call.body, await case_seen(call)
    edition = await cited_edition(call.running, body.knowledge_id) if body.knowledge_id else None
    command = Answer(
        at=call.now,
        actor=call.actor,
        text=body.text,
        knowledge_id=body.knowledge_id,
        knowledge_edition=edition,
        seen=seen,
    )
    return on_appeal(call, command)


async def redirect(call: Call[RedirectBody]) -> Plan:
    """Take one of the six special routes of Regulation Art 11."""
    body, seen = call.body, await case_seen(call)
    command = Redirect(
        at=call.now, actor=call.actor, route=body.route, reason=body.reason, target=body.target, seen=seen
    )
    return on_appeal(call, command)


async def merge(call: Call[MergeBody]) -> Plan:
    """并单 into an earlier appeal of the same person."""
    body, seen = call.body, await case_seen(call)
    appellant = (await load_appeal(call.running, call.subject)).appellant_ref
    before = await merges_of(call.running, appellant)
    target = await load_appeal(call.running, body.into)
    command = Merge(at=call.now, actor=call.actor, into=body.into, reason=body.reason, target=target, seen=seen)
    # Appeals merged into each other at once would all vanish: of one person's appeals one is merged at a time.
    return replace(on_appeal(call, command), only_once=(f"merge:{appellant}", str(before + 1), "MERGE_CROSSED"))


async def withdraw(call: Call[WithdrawBody]) -> Plan:
    """Take the appeal back on the appellant's behalf."""
    seen = await case_seen(call)
    return on_appeal(call, Withdraw(at=call.now, actor=call.actor, reason=call.body.reason, seen=seen))


async def withdraw_by_citizen(call: Call[WithdrawBody]) -> Plan:
    """The appellant takes the appeal back."""
    row = await known_by_code(call.running, call.subject, call.headers)
    seen = CaseState(row["state"])
    return by_appellant(row["appeal_id"], Withdraw(at=call.now, actor=APPELLANT, reason=call.body.reason, seen=seen))


def _officers(name: str, body: type[Body], scope: Scope, handle: Any, summary: str) -> CommandRoute:
    return CommandRoute(f"/v1/appeals/{{appeal_id}}/{name}", body, scope, handle, summary)


REGISTER = CommandRoute(
    "/v1/appeals", AppealBody, Scope.REGISTER, register, "Register an appeal", 201, "", answer=Registered
)
COMMANDS = (
    REGISTER,
    _officers("answer", AnswerBody, Scope.TRIAGE, answer, "Answer a consultation at once"),
    _officers("redirect", RedirectBody, Scope.TRIAGE, redirect, "Take a special route (Art 11)"),
    _officers("merge", MergeBody, Scope.TRIAGE, merge, "Merge into an earlier appeal"),
    _officers("withdraw", WithdrawBody, Scope.WITHDRAW, withdraw, "Withdraw for the appellant"),
    CommandRoute(
        "/v1/track/{ticket_no}/withdraw", WithdrawBody, Scope.PUBLIC, withdraw_by_citizen, "Withdraw by tracking code",
        subject="ticket_no",
    ),
)  # fmt: skip
