"""What units and officers do with a case, over HTTP. Contract section 4."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator
from sqlalchemy import select

from services.feedback_service.afterwards import Contest, Recheck, Reopen, Review
from services.feedback_service.calling_back import AssignCallback, AttemptCallback, RecordCallback
from services.feedback_service.case import CASE
from services.feedback_service.evidence import alike_before, files_there, recording_there
from services.feedback_service.handling import Contact, GiveFeedback, MarkRead, PostMessage
from services.feedback_service.policy import CallbackPolicy, callback_policy, handling_policy
from services.feedback_service.reading import ownership
from services.feedback_service.state import Case
from services.feedback_service.views import CASES
from shared.contracts.codes import (
    CallbackMethod,
    ContactOutcome,
    EvidenceRole,
    FeedbackKind,
    FeedbackOutcome,
    Question,
    Recipient,
    Satisfaction,
)
from shared.contracts.feedback import Evidence, Reason
from shared.contracts.upcasters import payload_of
from shared.engine.decider import Command
from shared.engine.execute import Intention
from shared.engine.runtime import Running
from shared.web.commands import Call, CommandRoute, Plan, state_and_version
from shared.web.fields import Body, Moment, ShortText, Text
from shared.web.identity import Scope

FileNumber = Annotated[int, Field(ge=1, le=10_000)]


class ContactBody(Body):
    """One try to reach the appellant. `channel`: how, e.g. PHONE, SMS, VISIT."""

    channel: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z_]{0,29}$")]
    outcome: ContactOutcome
    note: ShortText | None = None
    at: Moment | None = None


class EvidenceBody(Body):
    """A file of the appeal, and what it shows."""

    number: FileNumber
    role: EvidenceRole


class FeedbackBody(Body):
    """How it stands, or how it ended; to the appellant or to the hotline. A bare number is a DOCUMENT."""

    kind: FeedbackKind
    recipient: Recipient
    text: Text
    outcome: FeedbackOutcome | None = None
    attachments: Annotated[tuple[FileNumber | EvidenceBody, ...], Field(max_length=20)] = ()


class MessageBody(Body):
    """What is to be said to the appellant. `attachments`: numbers of files of the appeal."""

    text: Text
    attachments: Annotated[tuple[FileNumber, ...], Field(max_length=20)] = ()


class ReadBody(Body):
    """How many of the appellant's messages have been read."""

    count: Annotated[int, Field(ge=1, le=100_000)]


class AttemptBody(Body):
    """What came of trying to reach the resident, and when that was."""

    outcome: ContactOutcome
    method: CallbackMethod = CallbackMethod.PHONE
    at: Moment | None = None


class ReasonCodeBody(Body):
    """Why a question was answered so: one of GET /v1/callbacks/reasons."""

    question: Question
    code: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z_]{0,63}$")]


class CallbackBody(Body):
    """What the resident said. `valid: false` after enough failed attempts. `recording`: a sound file of the appeal."""

    valid: bool
    contacted: bool | None = None
    resolved: bool | None = None
    satisfaction: Satisfaction = Satisfaction.NOT_STATED
    reasons: Annotated[tuple[ShortText, ...], Field(max_length=20)] = ()
    method: CallbackMethod = CallbackMethod.PHONE
    because: Annotated[tuple[ReasonCodeBody, ...], Field(max_length=20)] = ()
    recording: FileNumber | None = None

    @model_validator(mode="after")
    def _answers_belong_to_a_valid_callback(self) -> Self:
        answered = self.contacted is not None and self.resolved is not None
        if self.valid and not answered:
            raise ValueError("a valid callback says whether the unit made contact and whether it is solved")
        said = self.contacted is not None or self.resolved is not None or self.satisfaction != Satisfaction.NOT_STATED
        if not self.valid and said:
            raise ValueError("a callback with answers is valid")
        return self


class NoBody(Body):
    """Nothing needs to be said."""


class RecheckBody(Body):
    """What the resident told the second officer; what was not asked is left out."""

    contacted: bool | None = None
    resolved: bool | None = None
    satisfaction: Satisfaction


class ContestBody(Body):
    """Why the answers are not right."""

    ground: Text


class ReviewBody(Body):
    """Whether the answers stand, and why."""

    stands: bool
    reason: Text


class ReopenBody(Body):
    """What is not solved."""

    reason: Text


async def contact(call: Call[ContactBody]) -> Plan:
    """联系: the unit tried to reach the appellant."""
    body = call.body
    command = Contact(
        at=call.now, actor=call.actor, channel=body.channel, outcome=body.outcome, note=body.note,
        contacted_at=body.at or call.now, policy=handling_policy(),
    )  # fmt: skip
    return on_case(call, command)


async def feedback(call: Call[FeedbackBody]) -> Plan:
    """两种反馈"""
    body, running = call.body, call.running
    evidence = tuple(
        Evidence(number=one, role=EvidenceRole.DOCUMENT) if isinstance(one, int) else Evidence(**one.model_dump())
        for one in body.attachments
    )
    reused = await _shown(call, evidence)
    is_result = body.kind is FeedbackKind.RESULT
    alike = await alike_before(running, call.subject, call.actor.unit_id or "", body.text) if is_result else 0
    command = GiveFeedback(
        at=call.now, actor=call.actor, kind=body.kind, recipient=body.recipient, text=body.text, outcome=body.outcome,
        evidence=evidence, alike=alike, reused=reused, policy=handling_policy(),
    )  # fmt: skip
    return on_case(call, command)


async def _shown(call: Call[Any], files: Sequence[Evidence]) -> bool:
    """Whether one of these files belongs to another appeal as well. Raises EVIDENCE_UNKNOWN, NotYours.

    Whoever has nothing to do with a case learns nothing of its files either, nor whether there is such a case.
    """
    if not files:
        return False
    recorded = await call.running.log.read_stream(CASE.stream(call.subject))
    call.must_see(ownership(CASE.fold([payload_of(one.envelope.type, one.envelope.data) for one in recorded])))
    return await files_there(call.running, call.subject, files)


async def message(call: Call[MessageBody]) -> Plan:
    """Write to the appellant; who that is need not be known."""
    files = tuple(Evidence(number=one, role=EvidenceRole.DOCUMENT) for one in call.body.attachments)
    await _shown(call, files)
    said = call.body.model_dump()
    return on_case(call, PostMessage(at=call.now, actor=call.actor, policy=handling_policy(), **said))


async def mark_read(call: Call[ReadBody]) -> Plan:
    """The appellant's messages were read."""
    return on_case(call, MarkRead(at=call.now, actor=call.actor, reader="UNIT", count=call.body.count))


async def assign(call: Call[NoBody]) -> Plan:
    """Take a callback from the queue."""
    return on_case(call, AssignCallback(at=call.now, actor=call.actor, policy=callback_policy()))


async def attempt(call: Call[AttemptBody]) -> Plan:
    """One try to call back."""
    body = call.body
    command = AttemptCallback(
        at=call.now, actor=call.actor, outcome=body.outcome, method=body.method, tried_at=body.at or call.now,
        policy=callback_policy(),
    )  # fmt: skip
    return on_case(call, command)


async def callback(call: Call[CallbackBody]) -> Plan:
    """回访: what the resident said."""
    await recording_there(call.running, call.subject, call.body.recording)
    said = call.body.model_dump(exclude={"because"})
    because = tuple(Reason(**one.model_dump()) for one in call.body.because)
    lot = await _drawn(call.running, call.subject)
    command = RecordCallback(
        at=call.now, actor=call.actor, policy=callback_policy(), because=because, drawn=lot, **said
    )
    return on_case(call, command)


async def _drawn(running: Running, appeal_id: str) -> bool:
    """Whether this callback is checked by a second officer."""
    async with running.reads.connect() as connection:
        round_ = await connection.scalar(select(CASES.c.round).where(CASES.c.appeal_id == appeal_id))
    return round_ is not None and drawn(running.secrets.index, appeal_id, round_, callback_policy())


def drawn(key: bytes, appeal_id: str, round_: int, policy: CallbackPolicy) -> bool:
    """By lot, which nobody can foresee who has no key; the same whenever it is asked."""
    lot = hmac.digest(key, f"{policy.version}:{appeal_id}:{round_}".encode(), "sha256")
    return int.from_bytes(lot[:8], "big") < policy.recheck_share * 2**64


async def recheck(call: Call[RecheckBody]) -> Plan:
    """抽查: a second officer has asked again."""
    return on_case(call, Recheck(at=call.now, actor=call.actor, **call.body.model_dump()))


async def contest(call: Call[ContestBody]) -> Plan:
    """The unit says that the answers are not right."""
    return on_case(call, Contest(at=call.now, actor=call.actor, ground=call.body.ground, policy=callback_policy()))


async def review(call: Call[ReviewBody]) -> Plan:
    """复核"""
    return on_case(call, Review(at=call.now, actor=call.actor, **call.body.model_dump()))


async def reopen(call: Call[ReopenBody]) -> Plan:
    """The appellant has called: it is not solved after all."""
    return on_case(call, Reopen(at=call.now, actor=call.actor, reason=call.body.reason, policy=callback_policy()))


def on_case(call: Call[Any], command: Command) -> Plan:
    """A command on a case within the caller's reach."""
    guard = call.may_touch(ownership)
    return Plan(Intention(CASE, call.subject, command, sealed_for=_key, guard=guard), state_and_version)


def by_appellant(appeal_id: str, command: Command) -> Plan:
    """A command by whoever has shown a link or the tracking code, or through a gateway."""
    return Plan(Intention(CASE, appeal_id, command, sealed_for=_key), state_and_version)


def _key(case: Case) -> str:
    return case.subject_key


_CASE = "/v1/cases/{appeal_id}"
COMMANDS = (
    CommandRoute(f"{_CASE}/contact", ContactBody, Scope.HANDLE, contact, "Record a contact"),
    CommandRoute(f"{_CASE}/feedback", FeedbackBody, Scope.HANDLE, feedback, "Give feedback"),
    CommandRoute(f"{_CASE}/messages", MessageBody, Scope.HANDLE, message, "Write to the appellant"),
    CommandRoute(f"{_CASE}/messages/read", ReadBody, Scope.HANDLE, mark_read, "Say that messages were read"),
    CommandRoute(f"{_CASE}/callback/assign", NoBody, Scope.CALL_BACK, assign, "Take a callback from the queue"),
    CommandRoute(f"{_CASE}/callback/attempts", AttemptBody, Scope.CALL_BACK, attempt, "Record a callback attempt"),
    CommandRoute(f"{_CASE}/callback", CallbackBody, Scope.CALL_BACK, callback, "Record the callback"),
    CommandRoute(f"{_CASE}/callback/recheck", RecheckBody, Scope.CALL_BACK, recheck, "What a second officer was told"),
    CommandRoute(f"{_CASE}/callback/contest", ContestBody, Scope.HANDLE, contest, "Contest the answers"),
    CommandRoute(f"{_CASE}/callback/review", ReviewBody, Scope.REVIEW, review, "Let the answers stand, or strike them"),
    CommandRoute(f"{_CASE}/reopen", ReopenBody, Scope.WITHDRAW, reopen, "Reopen for the appellant"),
)
