"""Following an appeal over HTTP: what the appellant adds, asks and says of it, what officers note, who else helps."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from services.intake_service.along_the_way import (
    Contribute,
    Evaluate,
    FlagMaliciousUse,
    Invite,
    Link,
    RaiseAlert,
    Supplement,
    Tag,
    Urge,
    Write,
)
from services.intake_service.calling import by_appellant, case_seen, known_by_code, on_appeal
from services.intake_service.policy import follow_policy
from services.intake_service.reading import load_appeal
from shared.contracts.codes import CaseState, Satisfaction
from shared.contracts.envelope import Actor
from shared.contracts.intake import AppealEvaluated, RiskAlertRaised
from shared.web.commands import Call, CommandRoute, Handle, Plan
from shared.web.fields import Body, Code, Label, ShortText, Text, Uuid
from shared.web.identity import Scope
from shared.web.tracking import APPELLANT


class SupplementBody(Body):
    """What is to be added."""

    text: Text


class UrgeBody(Body):
    """Why it is urgent, if anything is said."""

    reason: ShortText | None = None


class MessageBody(Body):
    """What is to be said to whoever is dealing with the appeal. `attachments`: numbers of files of the appeal."""

    text: Text
    attachments: Annotated[tuple[Annotated[int, Field(ge=1, le=10_000)], ...], Field(max_length=20)] = ()


class EvaluationBody(Body):
    """How it went: solved or not, satisfied with the result, satisfied with how it was done."""

    resolved: bool | None = None
    satisfaction: Satisfaction
    process_satisfaction: Satisfaction | None = None
    comment: ShortText | None = None


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


class InvitationBody(Body):
    """Who is to help, and with what."""

    unit_id: Code
    reason: ShortText | None = None


class ContributionBody(Body):
    """What was done or found out."""

    text: Text


class MaliciousUseBody(Body):
    """What shows it."""

    evidence: ShortText


async def supplement(call: Call[SupplementBody]) -> Plan:
    """Add something to what was said."""
    return on_appeal(call, _supplement(call, await case_seen(call), call.actor))


async def urge(call: Call[UrgeBody]) -> Plan:
    """催办"""
    return on_appeal(call, _urge(call, await case_seen(call), call.actor))


async def tags(call: Call[TagsBody]) -> Plan:
    """Set the tags."""
    return on_appeal(call, Tag(at=call.now, actor=call.actor, tags=call.body.tags))


async def risk_alert(call: Call[RiskAlertBody]) -> Plan:
    """Report a danger. Regulation Art 29."""
    alert = RiskAlertRaised(**call.body.model_dump())
    return on_appeal(call, RaiseAlert(at=call.now, actor=call.actor, alert=alert))


async def link(call: Call[LinkBody]) -> Plan:
    """Put it beside others about the same problem; each keeps its own answer."""
    body, other = call.body, await load_appeal(call.running, call.body.other)
    return on_appeal(call, Link(at=call.now, actor=call.actor, other_id=body.other, other=other, reason=body.reason))


async def invite(call: Call[InvitationBody]) -> Plan:
    """Ask a mass organisation, a community or somebody else to help. Regulation Art 6."""
    body, seen = call.body, await case_seen(call)
    return on_appeal(call, Invite(at=call.now, actor=call.actor, unit_id=body.unit_id, reason=body.reason, seen=seen))


async def contribute(call: Call[ContributionBody]) -> Plan:
    """What a participant did."""
    seen = await case_seen(call)
    return on_appeal(call, Contribute(at=call.now, actor=call.actor, text=call.body.text, seen=seen))


async def flag_malicious_use(call: Call[MaliciousUseBody]) -> Plan:
    """Regulation Art 9 and 37: noted with its evidence, and nobody is blocked."""
    return on_appeal(call, FlagMaliciousUse(at=call.now, actor=call.actor, evidence=call.body.evidence))


async def supplement_by_citizen(call: Call[SupplementBody]) -> Plan:
    """The appellant adds something."""
    row = await known_by_code(call.running, call.subject, call.headers)
    return by_appellant(row["appeal_id"], _supplement(call, CaseState(row["state"]), APPELLANT))


async def urge_by_citizen(call: Call[UrgeBody]) -> Plan:
    """The appellant asks again."""
    row = await known_by_code(call.running, call.subject, call.headers)
    return by_appellant(row["appeal_id"], _urge(call, CaseState(row["state"]), APPELLANT))


async def write_by_citizen(call: Call[MessageBody]) -> Plan:
    """The appellant writes to whoever is dealing with the appeal."""
    row = await known_by_code(call.running, call.subject, call.headers)
    most, seen = follow_policy().most_messages, CaseState(row["state"])
    command = Write(at=call.now, actor=APPELLANT, most=most, seen=seen, **call.body.model_dump())
    return by_appellant(row["appeal_id"], command)


async def evaluate_by_citizen(call: Call[EvaluationBody]) -> Plan:
    """评价: the appellant says how it went."""
    row = await known_by_code(call.running, call.subject, call.headers)
    policy = follow_policy()
    command = Evaluate(
        at=call.now,
        actor=APPELLANT,
        facts=AppealEvaluated(number=0, **call.body.model_dump()),
        most=policy.most_evaluations,
        until=row["ended_at"] and row["ended_at"] + policy.evaluate_within,
        seen=CaseState(row["state"]),
    )
    return by_appellant(row["appeal_id"], command)


def _supplement(call: Call[SupplementBody], seen: CaseState, actor: Actor) -> Supplement:
    most = follow_policy().most_supplements
    return Supplement(at=call.now, actor=actor, text=call.body.text, most=most, seen=seen)


def _urge(call: Call[UrgeBody], seen: CaseState, actor: Actor) -> Urge:
    every = follow_policy().urge_every
    return Urge(at=call.now, actor=actor, reason=call.body.reason, every=every, seen=seen)


def _officers(name: str, body: type[Body], scope: Scope, handle: Any, summary: str) -> CommandRoute:
    return CommandRoute(f"/v1/appeals/{{appeal_id}}/{name}", body, scope, handle, summary)


def _citizens(name: str, body: type[Body], handle: Handle, summary: str) -> CommandRoute:
    return CommandRoute(f"/v1/track/{{ticket_no}}/{name}", body, Scope.PUBLIC, handle, summary, subject="ticket_no")


COMMANDS = (
    _officers("supplement", SupplementBody, Scope.WITHDRAW, supplement, "Add something for the appellant"),
    _officers("urge", UrgeBody, Scope.WITHDRAW, urge, "Remind the unit (催办)"),
    _officers("tags", TagsBody, Scope.TRIAGE, tags, "Set the tags"),
    _officers("risk-alert", RiskAlertBody, Scope.TRIAGE, risk_alert, "Report a danger (Art 29)"),
    _officers("link", LinkBody, Scope.TRIAGE, link, "Put beside others about the same problem"),
    _officers("participants", InvitationBody, Scope.TRIAGE, invite, "Ask somebody to help (Art 6)"),
    _officers("contributions", ContributionBody, Scope.CONTRIBUTE, contribute, "What a participant did (Art 6)"),
    _officers(
        "malicious-use", MaliciousUseBody, Scope.KEEP_PERSONS, flag_malicious_use, "Note malicious use (Art 9, 37)"
    ),
    _citizens("supplement", SupplementBody, supplement_by_citizen, "Add something by tracking code"),
    _citizens("urge", UrgeBody, urge_by_citizen, "Remind the unit by tracking code"),
    _citizens("messages", MessageBody, write_by_citizen, "Write to the unit by tracking code"),
    _citizens("evaluation", EvaluationBody, evaluate_by_citizen, "Say how it went, by tracking code"),
)
