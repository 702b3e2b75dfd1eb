"""What the appellant does, without an account: answers by a link, reopens and chooses by the tracking code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from sqlalchemy import RowMapping, select
from starlette.responses import JSONResponse, Response

from services.feedback_service.afterwards import EVALUATED_IN, Evaluate, Reopen
from services.feedback_service.case import CASE
from services.feedback_service.commands import ReopenBody, by_appellant
from services.feedback_service.handling import WRITTEN_IN, Reply
from services.feedback_service.links import Link, Purpose, read
from services.feedback_service.pages import PAGES
from services.feedback_service.policy import callback_policy, handling_policy
from services.feedback_service.preference import PREFERENCE, Preference, SetPreference
from services.feedback_service.reading import case_row, messages_of, told_of
from services.feedback_service.state import Case
from services.feedback_service.views import RECIPIENTS
from shared.contracts.codes import Language, NoticeChannel, Satisfaction, Via
from shared.contracts.upcasters import payload_of
from shared.engine.decider import NotYours
from shared.engine.each import Each
from shared.engine.execute import Decision, Intention
from shared.engine.runtime import Running
from shared.web.asking import PublicAsking
from shared.web.commands import Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body, ShortText, Text
from shared.web.forms import FormRoute
from shared.web.identity import Reach, Scope
from shared.web.media import page_or_problem
from shared.web.pages import wants_page
from shared.web.tracking import APPELLANT, WrongCodes, shows_the_code

router = APIRouter()
_wrong_codes = Each(WrongCodes)
NO_STORE = {"Cache-Control": "no-store"}


class SurveyBody(Body):
    """How it went. What the resident is not sure of is left out; unknown is never counted as dissatisfied."""

    contacted: bool | None = None
    resolved: bool | None = None
    satisfaction: Satisfaction
    process_satisfaction: Satisfaction | None = None
    comment: ShortText | None = None


class ReplyBody(Body):
    """What is to be said to the unit."""

    text: Text


ByWay = Literal[NoticeChannel.SMS, NoticeChannel.EMAIL, NoticeChannel.WECHAT]


class PreferenceBody(Body):
    """How the appellant wants to be told. `optional`: also what the law does not demand.

    `off`: ways not to be used; what the law demands takes one of them all the same where there is no other.
    """

    language: Language = Language.ZH
    off: Annotated[tuple[ByWay, ...], Field(max_length=3)] = ()
    optional: bool = True


def _link(running: Running, token: str, purpose: Purpose) -> Link:
    """Raises NotYours for whatever is not one of our links for this."""
    link = read(running.secrets.token, token)
    if link is None or link.purpose is not purpose:
        raise NotYours
    return link


@router.get("/v1/survey/{token}", responses=page_or_problem(), summary="What a resident is asked, by one-time link")
async def get_survey(token: str, request: Request, asking: PublicAsking) -> Response:
    """A page for a browser, otherwise JSON."""
    try:
        link = _link(asking.running, token, Purpose.SURVEY)
        case, row = await _case(asking.running, link)
    except NotYours:
        return _nowhere(request)
    seen = _about(row) | {
        "round": link.number,
        "open": _may_answer(case, link, asking.running),
        "answered": case.evaluated,
    }
    seen |= {"questions": callback_policy().reasons}
    return PAGES.shown("survey", request, seen) if wants_page(request) else JSONResponse(seen, headers=NO_STORE)


def _may_answer(case: Case, link: Link, running: Running) -> bool:
    policy, closed_at = callback_policy(), case.closed_at
    in_time = closed_at is None or running.clock.now() <= closed_at + policy.evaluate_within
    mine = case.round == link.number and case.evaluated < policy.most_evaluations
    return case.state in EVALUATED_IN and mine and in_time


@router.get("/v1/thread/{token}", responses=page_or_problem(), summary="What unit and resident wrote, by one-time link")
async def get_thread(token: str, request: Request, asking: PublicAsking) -> Response:
    """A page for a browser, otherwise JSON. Once the link has been used it shows nothing more."""
    running = asking.running
    try:
        link = _link(running, token, Purpose.THREAD)
        case, row = await _case(running, link)
    except NotYours:
        return _nowhere(request)
    open_ = link.number not in case.thread.answered and case.state in WRITTEN_IN
    messages = messages_of(await told_of(running, row, hide=False)) if open_ else []
    seen = _about(row) | {"messages": messages, "open": open_}
    return PAGES.shown("thread", request, seen) if wants_page(request) else JSONResponse(seen, headers=NO_STORE)


def _nowhere(request: Request) -> Response:
    """A link that leads to nothing: a page for a person, a problem for a program. Raises NotYours."""
    if not wants_page(request):
        raise NotYours
    return PAGES.shown("nowhere", request, {}, status=404)


async def _case(running: Running, link: Link) -> tuple[Case, RowMapping]:
    """The case as the log has it, and its row. Raises NotYours."""
    row = await case_row(running, link.appeal_id)
    recorded = await running.log.read_stream(CASE.stream(link.appeal_id))
    return CASE.fold([payload_of(event.envelope.type, event.envelope.data) for event in recorded]), row


def _about(row: RowMapping) -> dict[str, Any]:
    return {"ticket_no": row["ticket_no"], "unit": row["lead_unit_name"] or row["lead_unit"], "state": row["state"]}


async def answer_survey(call: Call[SurveyBody]) -> Plan:
    """评价, and the callback where that is still due."""
    link = _link(call.running, call.subject, Purpose.SURVEY)
    command = Evaluate(
        at=call.now, actor=APPELLANT, round=link.number, via=Via.LINK, policy=callback_policy(),
        **call.body.model_dump(),
    )  # fmt: skip
    return by_appellant(link.appeal_id, command)


async def reply(call: Call[ReplyBody]) -> Plan:
    """Answer the unit's message, once by this link."""
    link = _link(call.running, call.subject, Purpose.THREAD)
    command = Reply(
        at=call.now, actor=APPELLANT, text=call.body.text, via=Via.LINK, to=link.number, policy=handling_policy()
    )
    return by_appellant(link.appeal_id, command)


async def reopen_by_citizen(call: Call[ReopenBody]) -> Plan:
    """It is not solved after all."""
    row = await _known_by_code(call.running, call.subject, call.headers)
    command = Reopen(at=call.now, actor=APPELLANT, reason=call.body.reason, policy=callback_policy())
    return by_appellant(row["appeal_id"], command)


async def prefer(call: Call[PreferenceBody]) -> Plan:
    """Holds for every appeal of this person, also later ones."""
    row = await _known_by_code(call.running, call.subject, call.headers)
    command = SetPreference(at=call.now, actor=APPELLANT, **call.body.model_dump())

    def answer(decision: Decision[Preference]) -> dict[str, Any]:
        held = decision.state
        shown_ = {"language": held.language, "off": list(held.off), "optional": held.optional}
        return {"state": held.state, "version": decision.version, **shown_}

    return Plan(Intention(PREFERENCE, row["person"], command), answer)


async def prefer_for(call: Call[PreferenceBody]) -> Plan:
    """An agent is told on the phone."""
    if call.principal.reach(Scope.WITHDRAW) is not Reach.ALL:
        raise NotYours
    query = select(RECIPIENTS.c.person).where(RECIPIENTS.c.person == call.subject).limit(1)
    async with call.running.reads.connect() as connection:
        if await connection.scalar(query) is None:
            raise NotYours
    command = SetPreference(at=call.now, actor=call.actor, **call.body.model_dump())
    return Plan(Intention(PREFERENCE, call.subject, command), state_and_version)


async def _known_by_code(running: Running, ticket_no: str, headers: Mapping[str, str]) -> RowMapping:
    """Whose appeal it is, for whoever holds ticket number and code. Raises NotYours, TOO_MANY_ATTEMPTS."""
    query = select(RECIPIENTS).where(RECIPIENTS.c.ticket_no == ticket_no)
    async with running.reads.connect() as connection:
        row = (await connection.execute(query)).mappings().first()
    if row is not None and shows_the_code(headers, row["tracking_hash"]):
        return row
    _wrong_codes.of(running).note(ticket_no, running.clock.now())
    raise NotYours


_TRACK = "/v1/track/{ticket_no}"
COMMANDS = (
    FormRoute("/v1/survey/{token}", SurveyBody, Scope.PUBLIC, answer_survey, "Say how it went", subject="token"),
    FormRoute("/v1/thread/{token}", ReplyBody, Scope.PUBLIC, reply, "Answer the unit", subject="token"),
    CommandRoute(
        f"{_TRACK}/reopen", ReopenBody, Scope.PUBLIC, reopen_by_citizen, "Reopen by tracking code",
        subject="ticket_no",
    ),
    CommandRoute(
        f"{_TRACK}/preferences", PreferenceBody, Scope.PUBLIC, prefer, "Choose how to be told, by tracking code",
        subject="ticket_no",
    ),
    CommandRoute(
        "/v1/appellants/{ref}/preferences", PreferenceBody, Scope.WITHDRAW, prefer_for,
        "Note how a person wants to be told", subject="ref",
    ),
)  # fmt: skip
