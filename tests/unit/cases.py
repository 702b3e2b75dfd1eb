"""The words in which promises about a case are made: what has happened to it, and what is asked of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from services.feedback_service.afterwards import Contest, Evaluate, Recheck, Reopen, Review
from services.feedback_service.calling_back import AssignCallback, AttemptCallback, RecordCallback
from services.feedback_service.handling import Contact, GiveFeedback, MarkRead, NoteWritten, PostMessage, Reply
from services.feedback_service.policy import callback_policy, handling_policy
from shared.contracts.codes import (
    CallbackMethod,
    ContactOutcome,
    FeedbackKind,
    Recipient,
    Satisfaction,
    UnitType,
    Urgency,
    Via,
)
from shared.contracts.envelope import BEIJING, Actor
from shared.contracts.feedback import (
    AppellantContacted,
    AppellantReplied,
    AppellantUnreachable,
    CallbackAssigned,
    CallbackAttempted,
    CallbackContested,
    CallbackInvalidated,
    CallbackRecorded,
    CallbackScheduled,
    CaseOpened,
    CaseReopened,
    CaseSigned,
    CitizenEvaluated,
    FeedbackGiven,
    MessagePosted,
    MessagesRead,
    RecheckOrdered,
    ReplyAwaited,
    ReworkRequested,
)

AT = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)
MS, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("milliseconds", "minutes", "hours", "days"))
CALLS, OWED = callback_policy(), handling_policy()
UNIT, HELPER = "110105026", "bj-water"
HANDLER, HELPING = Actor("STREET_HANDLER", UNIT, "zhao"), Actor("ENTERPRISE_HANDLER", HELPER, "sun")
OFFICER, SECOND = (Actor("CALLBACK_OFFICER", "hotline", name) for name in ("wang", "li"))
REVIEWER, RESIDENT = Actor("MUNICIPAL_ADMIN", None, "chen"), Actor("APPELLANT")
PROGRESS, RESULT = FeedbackKind.PROGRESS, FeedbackKind.RESULT
APPELLANT, HOTLINE = Recipient.APPELLANT, Recipient.HOTLINE
NO_ANSWER, REACHED, PHONE = ContactOutcome.NO_ANSWER, ContactOutcome.REACHED, CallbackMethod.PHONE
SATISFIED, DISSATISFIED = Satisfaction.SATISFIED, Satisfaction.DISSATISFIED
TEXT = "三盏路灯的灯头已更换，当晚复查全部恢复照明"
COPIED: dict[str, Any] = {
    "ticket_no": "20261123-0000001",
    "lead_unit": UNIT,
    "unit_type": UnitType.STREET_TOWN,
    "cc_district": "110105",
    "registered_at": AT,
}
SAID: dict[str, Any] = {"contacted": True, "resolved": True, "satisfaction": SATISFIED}


def opened(round_: int = 1, **changes: Any) -> CaseOpened:
    facts: dict[str, Any] = {"dispatched_at": AT, "due_at": AT + 7 * DAY, "tier": Urgency.GENERAL, "reachable": True}
    return CaseOpened(**{**COPIED, **facts, "subject_key": "p1", "round": round_, "co_units": (HELPER,), **changes})


def signed(round_: int = 1) -> CaseSigned:
    return CaseSigned(unit_id=UNIT, round=round_)


def contacted(result: ContactOutcome = REACHED, at: datetime = AT, round_: int = 1, **more: Any) -> AppellantContacted:
    told = {"channel": "PHONE", "policy": OWED.version, **more}
    return AppellantContacted(outcome=result, at=at, round=round_, **told)


def failed(at: datetime = AT, counts: bool = True, **more: Any) -> AppellantContacted:
    return contacted(NO_ANSWER, at, counts=counts, **more)


def unreachable(attempts: int = 3) -> AppellantUnreachable:
    return AppellantUnreachable(attempts=attempts, round=1, policy=OWED.version)


def fed(kind: FeedbackKind, to: Recipient, completes: bool = False, round_: int = 1, **more: Any) -> FeedbackGiven:
    told = {"text": TEXT, "policy": OWED.version, **more}
    return FeedbackGiven(kind=kind, recipient=to, completes=completes, round=round_, **told)


def posted(number: int = 1, round_: int = 1) -> MessagePosted:
    return MessagePosted(text="请问现在有水吗", number=number, round=round_)


def replied(to: int | None = 1, via: Via = Via.LINK) -> AppellantReplied:
    return AppellantReplied(text="还是没有", via=via, to=to, round=1)


def seen(count: int = 1) -> MessagesRead:
    return MessagesRead(reader="APPELLANT", count=count)


def awaited(written: int = 1, due_at: datetime | None = AT + DAY, round_: int = 1) -> ReplyAwaited:
    return ReplyAwaited(written=written, due_at=due_at, round=round_, policy=OWED.version)


def scheduled(reason: Any = "LIMIT_EXPIRED", round_: int = 1, at: datetime | None = AT) -> CallbackScheduled:
    return CallbackScheduled(reason=reason, at=at, due_at=AT + DAY, round=round_, policy=CALLS.version)


def taken(by: Actor = OFFICER, until: datetime = AT + 30 * MINUTE) -> CallbackAssigned:
    return CallbackAssigned(officer=by.sub or "", until=until, round=1)


def tried(result: ContactOutcome = NO_ANSWER, at: datetime | None = AT, counts: bool | None = True) -> Any:
    return CallbackAttempted(outcome=result, method=PHONE, round=1, at=at, counts=counts)


def recorded(next_state: Any = "CLOSED", round_: int = 1, **changes: Any) -> CallbackRecorded:
    facts = {**COPIED, **SAID, "valid": True, "method": PHONE, "officer": OFFICER.sub, "at": AT}
    return CallbackRecorded(**{**facts, "round": round_, "next_state": next_state, **changes})


def invalidated(**changes: Any) -> CallbackInvalidated:
    return CallbackInvalidated(**{**COPIED, "round": 1, "attempts": 2, "policy": CALLS.version, "at": AT, **changes})


def ordered(officer: Actor = OFFICER) -> RecheckOrdered:
    return RecheckOrdered(round=1, officer=officer.sub or "", due_at=AT + 3 * DAY, policy=CALLS.version)


def contested(at: datetime = AT) -> CallbackContested:
    return CallbackContested(round=1, unit_id=UNIT, ground="打的是别人的电话", review_due_at=at + 5 * DAY)


def evaluated(number: int = 1, **changes: Any) -> CitizenEvaluated:
    told = {"resolved": True, "satisfaction": SATISFIED, "via": Via.LINK, "round": 1, **changes}
    return CitizenEvaluated(number=number, lead_unit=UNIT, **told)


def reopened(days: int = 0, round_: int = 1) -> tuple[CaseReopened, ReworkRequested]:
    said = "又停水了"
    return (
        CaseReopened(round=round_, lead_unit=UNIT, reason=said, days_after_closing=days),
        ReworkRequested(round=round_, reasons=(said,), reopened=True),
    )


OPENED, SIGNED, HANDLING = (opened(),), (opened(), signed()), (opened(), signed(), contacted())
TRIED = (*SIGNED, failed())
DONE = (*HANDLING, fed(RESULT, APPELLANT), fed(RESULT, HOTLINE, completes=True))
DUE = (opened(), scheduled())
REWORK, CLOSED, INVALID = (*DUE, recorded("REWORK")), (*DUE, recorded()), (*DUE, invalidated())
HIDDEN = (opened(identity_hidden=True), signed())


def contact(at: datetime = AT, result: ContactOutcome = REACHED, **changes: Any) -> Contact:
    told = {"channel": "PHONE", "contacted_at": at, "note": None, "policy": OWED, **changes}
    return Contact(**{"at": at, "outcome": result, **told})


def feedback(kind: FeedbackKind = RESULT, to: Recipient = HOTLINE, text: str = TEXT, **changes: Any) -> GiveFeedback:
    told = {"outcome": None, "policy": OWED, **changes}
    return GiveFeedback(at=AT, kind=kind, recipient=to, text=text, **told)


def post(at: datetime = AT) -> PostMessage:
    return PostMessage(at=at, text="请问现在有水吗", policy=OWED)


def reply(to: int | None = 1, via: Via = Via.LINK, at: datetime = AT) -> Reply:
    return Reply(at=at, text="还是没有", via=via, to=to, policy=OWED)


def written(at: datetime = AT) -> NoteWritten:
    return NoteWritten(at=at, policy=OWED)


def read(count: int = 1, by: Any = "UNIT") -> MarkRead:
    return MarkRead(at=AT, reader=by, count=count)


def take(at: datetime = AT, actor: Actor = OFFICER) -> AssignCallback:
    return AssignCallback(at=at, actor=actor, policy=CALLS)


def attempt(actor: Actor = OFFICER, at: datetime = AT, result: ContactOutcome = NO_ANSWER, **more: Any) -> Any:
    return AttemptCallback(at=at, actor=actor, outcome=result, method=PHONE, policy=CALLS, **{"tried_at": at, **more})


def record(actor: Actor = OFFICER, at: datetime = AT, **changes: Any) -> RecordCallback:
    told = {"valid": True, "reasons": (), "method": PHONE, **SAID, **changes}
    return RecordCallback(at=at, actor=actor, policy=CALLS, **told)


def evaluate(at: datetime = AT, via: Via = Via.LINK, **changes: Any) -> Evaluate:
    told = {**SAID, "round": 1, "process_satisfaction": None, "comment": None, **changes}
    return Evaluate(at=at, actor=RESIDENT, via=via, policy=CALLS, **told)


def on_page(at: datetime = AT, **changes: Any) -> Evaluate:
    """Said on the tracking page and kept by intake: nobody asked whether the unit made contact."""
    return evaluate(at, Via.TRACKING, **{"round": None, "contacted": None, **changes})


def reopen(at: datetime = AT) -> Reopen:
    return Reopen(at=at, actor=RESIDENT, reason="又停水了", policy=CALLS)


def recheck(actor: Actor = SECOND, **said: Any) -> Recheck:
    return Recheck(at=AT, actor=actor, **{**SAID, **said})


def contest(at: datetime = AT) -> Contest:
    return Contest(at=at, actor=HANDLER, ground="打的是别人的电话", policy=CALLS)


def review(actor: Actor = REVIEWER, stands: bool = True) -> Review:
    return Review(at=AT, actor=actor, stands=stands, reason="录音可证")
