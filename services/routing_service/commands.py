"""The commands on an order over HTTP. Contract section 3; what each may do is decided in order.py and beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.routing_service.bodies import (
    ConsultationBody,
    ConsultationCloseBody,
    DispatchBody,
    EscalateBody,
    ExtensionBody,
    HandOverBody,
    HandOverManyBody,
    LedgerBody,
    LedgerReviewBody,
    NoBody,
    ObjectBody,
    ReasonBody,
    ReportInBody,
    SignManyBody,
    SubtaskBody,
    UpholdBody,
    WhistleBody,
    WhistleCloseBody,
)
from services.routing_service.climbing import HandOver
from services.routing_service.contesting import CloseConsultation, Object, OpenConsultation, Reject, Uphold
from services.routing_service.cooperating import (
    BlowWhistle,
    CloseSubtask,
    CloseWhistle,
    Escalate,
    ReportIn,
    Supervise,
)
from services.routing_service.directory import read_rules
from services.routing_service.jurisdiction import Unit
from services.routing_service.limits import shipped_limits
from services.routing_service.order import ORDER, DispatchByHand, Sign
from services.routing_service.postponing import (
    AskExtension,
    CloseLedger,
    DenyExtension,
    GrantExtension,
    PutOnLedger,
    ReviewLedger,
)
from services.routing_service.rulebook import GRASS_ROOTS
from services.routing_service.state import Order
from shared.engine.execute import Intention
from shared.web.commands import Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body
from shared.web.identity import Ownership, Scope
from shared.web.many import Many, ManyRoute
from shared.web.problems import Problem


async def dispatch(call: Call[DispatchBody]) -> Plan:
    """派单 by hand."""
    body, unit = call.body, await _unit(call, call.body.unit_id)
    for number, helper in enumerate(body.co_units):
        await _unit(call, helper, f"/co_units/{number}")
    command = DispatchByHand(
        at=call.now, actor=call.actor, unit=unit, tier=body.tier, cc_district=body.cc_district, reason=body.reason,
        limits=shipped_limits(), co_units=body.co_units,
    )  # fmt: skip
    return _plan(call, command)


async def sign(call: Call[NoBody]) -> Plan:
    """签收 by the receiving unit."""
    return _plan(call, Sign(at=call.now, actor=call.actor, unit_id=call.principal.unit_id))


async def sign_many(call: Call[SignManyBody]) -> Sequence[Intention[Any]]:
    """签收, many at once."""
    return [
        _intention(call, one, Sign(at=call.now, actor=call.actor, unit_id=call.principal.unit_id))
        for one in call.body.appeal_ids
    ]


async def hand_over(call: Call[HandOverBody]) -> Plan:
    """Another officer of the unit has it from now on."""
    return _plan(call, HandOver(at=call.now, actor=call.actor, officer=call.body.officer))


async def hand_over_many(call: Call[HandOverManyBody]) -> Sequence[Intention[Any]]:
    """The same, many at once: whoever goes on leave hands over the desk."""
    command = HandOver(at=call.now, actor=call.actor, officer=call.body.officer)
    return [_intention(call, one, command) for one in call.body.appeal_ids]


async def open_consultation(call: Call[ConsultationBody]) -> Plan:
    """派单会商"""
    for number, participant in enumerate(call.body.participants):
        await _unit(call, participant, f"/participants/{number}")
    return _plan(call, OpenConsultation(at=call.now, actor=call.actor, **call.body.model_dump()))


async def close_consultation(call: Call[ConsultationCloseBody]) -> Plan:
    """What was agreed is dispatched."""
    unit, decision = await _unit(call, call.body.unit_id), call.body.decision
    command = CloseConsultation(at=call.now, actor=call.actor, unit=unit, decision=decision, limits=shipped_limits())
    return _plan(call, command)


async def object_(call: Call[ObjectBody]) -> Plan:
    """派单异议"""
    body, unit = call.body, call.principal.unit_id
    if body.proposed_unit:
        await _unit(call, body.proposed_unit, "/proposed_unit")
    command = Object(at=call.now, actor=call.actor, unit_id=unit, limits=shipped_limits(), **body.model_dump())
    return _plan(call, command)


async def uphold(call: Call[UpholdBody]) -> Plan:
    """The objection is right."""
    unit, reason = await _unit(call, call.body.unit_id), call.body.reason
    return _plan(call, Uphold(at=call.now, actor=call.actor, unit=unit, reason=reason, limits=shipped_limits()))


async def reject(call: Call[ReasonBody]) -> Plan:
    """The objection is not right."""
    return _plan(call, Reject(at=call.now, actor=call.actor, reason=call.body.reason))


async def ask_extension(call: Call[ExtensionBody]) -> Plan:
    """延期"""
    unit, body = call.principal.unit_id, call.body.model_dump()
    return _plan(call, AskExtension(at=call.now, actor=call.actor, unit_id=unit, limits=shipped_limits(), **body))


async def grant_extension(call: Call[NoBody]) -> Plan:
    """The due time moves."""
    return _plan(call, GrantExtension(at=call.now, actor=call.actor, limits=shipped_limits()))


async def deny_extension(call: Call[ReasonBody]) -> Plan:
    """The due time stays."""
    return _plan(call, DenyExtension(at=call.now, actor=call.actor, reason=call.body.reason))


async def whistle(call: Call[WhistleBody]) -> Plan:
    """街乡吹哨"""
    for number, department in enumerate(call.body.departments):
        unit = await _unit(call, department, f"/departments/{number}")
        if unit.unit_type in GRASS_ROOTS:
            message = "streets and communities are not whistled for; name departments"
            raise Problem("VALIDATION_FAILED", errors=[{"pointer": f"/departments/{number}", "message": message}])
    body = call.body.model_dump()
    return _plan(call, BlowWhistle(at=call.now, actor=call.actor, limits=shipped_limits(), **body))


async def report_in(call: Call[ReportInBody]) -> Plan:
    """部门报到"""
    return _plan(call, ReportIn(at=call.now, actor=call.actor, **call.body.model_dump()))


async def close_subtask(call: Call[SubtaskBody]) -> Plan:
    """A department's part is done."""
    number = call.path["number"]
    if not (number.isascii() and number.isdigit() and len(number) <= 4):
        raise Problem("NOT_FOUND")
    return _plan(call, CloseSubtask(at=call.now, actor=call.actor, number=int(number), **call.body.model_dump()))


async def close_whistle(call: Call[WhistleCloseBody]) -> Plan:
    """The departments may go."""
    return _plan(call, CloseWhistle(at=call.now, actor=call.actor, **call.body.model_dump()))


async def escalate(call: Call[EscalateBody]) -> Plan:
    """提级"""
    return _plan(call, Escalate(at=call.now, actor=call.actor, **call.body.model_dump()))


async def supervise(call: Call[ReasonBody]) -> Plan:
    """督办"""
    return _plan(call, Supervise(at=call.now, actor=call.actor, reason=call.body.reason))


async def ledger(call: Call[LedgerBody]) -> Plan:
    """挂账: the unit asks, another person agrees."""
    return _plan(call, PutOnLedger(at=call.now, actor=call.actor, limits=shipped_limits(), **call.body.model_dump()))


async def review_ledger(call: Call[LedgerReviewBody]) -> Plan:
    """It stays on the ledger."""
    return _plan(call, ReviewLedger(at=call.now, actor=call.actor, limits=shipped_limits(), **call.body.model_dump()))


async def close_ledger(call: Call[ReasonBody]) -> Plan:
    """It can be worked on again."""
    return _plan(call, CloseLedger(at=call.now, actor=call.actor, reason=call.body.reason))


async def _unit(call: Call[Any], unit_id: str, pointer: str = "/unit_id") -> Unit:
    async with call.running.pool.acquire() as connection:
        directory = await read_rules(connection, call.now)
    if (unit := directory.unit(unit_id)) is None:
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": pointer, "message": "there is no such unit"}])
    return unit


def _plan(call: Call[Any], command: Any) -> Plan:
    return Plan(_intention(call, call.subject, command), state_and_version)


def _intention(call: Call[Any], appeal_id: str, command: Any) -> Intention[Order]:
    guard = call.may_touch(_ownership)
    return Intention(ORDER, appeal_id, command, sealed_for=lambda order: order.subject_key, guard=guard)


def _ownership(order: Order) -> Ownership:
    if order.dispatch is None:
        candidates = order.proposal.candidates if order.proposal else ()
        return Ownership(district=candidates[0].cc_district or candidates[0].unit_id if candidates else None)
    return Ownership(order.called | {order.dispatch.lead_unit}, order.dispatch.cc_district)


def _command(path: str, body: type[Body], scope: Scope, handle: Any, summary: str) -> CommandRoute:
    return CommandRoute(f"/v1/orders/{{appeal_id}}/{path}", body, scope, handle, summary)


COMMANDS = (
    _command("dispatch", DispatchBody, Scope.DISPATCH, dispatch, "Dispatch by hand"),
    ManyRoute(
        "/v1/orders/sign", SignManyBody, Scope.HANDLE, sign_many, "Sign for many orders",  # type: ignore[arg-type]
        subject="", answer=Many,
    ),
    ManyRoute(
        "/v1/orders/hand-over", HandOverManyBody, Scope.HANDLE, hand_over_many,  # type: ignore[arg-type]
        "Hand many orders over", subject="", answer=Many,
    ),
    _command("hand-over", HandOverBody, Scope.HANDLE, hand_over, "Hand it over to another officer of the unit"),
    _command("sign", NoBody, Scope.HANDLE, sign, "Sign for an order"),
    _command("consultation", ConsultationBody, Scope.DISPATCH, open_consultation, "Talk over who is responsible"),
    _command("consultation/close", ConsultationCloseBody, Scope.DISPATCH, close_consultation, "Dispatch as agreed"),
    _command("object", ObjectBody, Scope.HANDLE, object_, "Say that it is another unit's"),
    _command("objection/uphold", UpholdBody, Scope.REVIEW, uphold, "Agree with an objection"),
    _command("objection/reject", ReasonBody, Scope.REVIEW, reject, "Reject an objection"),
    _command("extension", ExtensionBody, Scope.HANDLE, ask_extension, "Ask for more time"),
    _command("extension/grant", NoBody, Scope.REVIEW, grant_extension, "Grant more time"),
    _command("extension/deny", ReasonBody, Scope.REVIEW, deny_extension, "Deny more time"),
    _command("whistle", WhistleBody, Scope.HANDLE, whistle, "Call departments (街乡吹哨)"),
    _command("report-in", ReportInBody, Scope.HANDLE, report_in, "Report in (部门报到), or refuse"),
    _command("subtasks/{number}/close", SubtaskBody, Scope.HANDLE, close_subtask, "Close a department's part"),
    _command("whistle/close", WhistleCloseBody, Scope.HANDLE, close_whistle, "Let the departments go"),
    _command("escalate", EscalateBody, Scope.SUPERVISE, escalate, "Take it to a higher level (提级)"),
    _command("supervise", ReasonBody, Scope.SUPERVISE, supervise, "Watch the handling (督办)"),
    _command("ledger", LedgerBody, Scope.KEEP_LEDGER, ledger, "Ask for the ledger (挂账), or agree to it"),
    _command("ledger/review", LedgerReviewBody, Scope.REVIEW, review_ledger, "Review what is on the ledger"),
    _command("ledger/close", ReasonBody, Scope.REVIEW, close_ledger, "Take it off the ledger"),
)  # fmt: skip
