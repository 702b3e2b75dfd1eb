"""What a unit does for an appeal: it contacts the appellant, writes with them, and answers twice.

两种反馈: a round is done when the result has gone to the appellant and to the hotline, in any order. Law: Regulation
Art 14, 15; domain specification, section 4 rows 11, 12, 18 and section 4.3 (hidden identities).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from services.feedback_service.policy import ContactPolicy, HandlingPolicy
from services.feedback_service.state import HANDLED_IN, Case
from services.feedback_service.wording import findings_of
from shared.contracts.codes import CaseState, ContactOutcome, FeedbackKind, FeedbackOutcome, Finding, Recipient, Via
from shared.contracts.envelope import Payload
from shared.contracts.feedback import (
    AppellantContacted,
    AppellantReplied,
    AppellantUnreachable,
    CaseOpened,
    Evidence,
    FeedbackGiven,
    MessagePosted,
    MessagesRead,
    ReplyAwaited,
    ReplyOverdue,
)
from shared.engine.decider import Command, Refused

CLOCK_SKEW = timedelta(minutes=5)
"""By how much a unit's clock may be ahead of ours."""
RELAY = "RELAY"
WITHOUT_A_NUMBER = frozenset({RELAY, "VISIT", "COUNTER"})
"""Ways to somebody whose number is not known."""
WRITTEN_IN = (*HANDLED_IN, CaseState.CALLBACK_DUE, CaseState.REWORK)


@dataclass(frozen=True, kw_only=True)
class Contact(Command):
    """The unit tried to reach the appellant."""

    channel: str
    outcome: ContactOutcome
    contacted_at: datetime
    note: str | None
    policy: HandlingPolicy


@dataclass(frozen=True, kw_only=True)
class GiveFeedback(Command):
    """The unit tells the appellant or the hotline how it stands, or how it ended.

    `alike`: how many of its earlier answers read nearly the same. `reused`: a file was evidence for another appeal.
    """

    kind: FeedbackKind
    recipient: Recipient
    text: str
    outcome: FeedbackOutcome | None
    evidence: tuple[Evidence, ...] = ()
    alike: int = 0
    reused: bool = False
    policy: HandlingPolicy


@dataclass(frozen=True, kw_only=True)
class PostMessage(Command):
    """The unit writes to the appellant. `attachments`: numbers of files of the appeal."""

    text: str
    attachments: tuple[int, ...] = ()
    policy: HandlingPolicy


@dataclass(frozen=True, kw_only=True)
class Reply(Command):
    """The appellant answers: the unit's message `to` by its one-time link, once, or whatever a gateway has brought."""

    text: str
    via: Via
    to: int | None
    policy: HandlingPolicy


@dataclass(frozen=True, kw_only=True)
class NoteWritten(Command):
    """The appellant wrote on the tracking page."""

    policy: HandlingPolicy


@dataclass(frozen=True, kw_only=True)
class NoteReplyOverdue(Command):
    """The time to answer the appellant is over."""


@dataclass(frozen=True, kw_only=True)
class MarkRead(Command):
    """One side has read so many of the other's messages."""

    reader: Literal["UNIT", "APPELLANT"]
    count: int


COMMANDS = (Contact, GiveFeedback, PostMessage, Reply, NoteReplyOverdue, MarkRead)


def decide(command: Command, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    match command:
        case Contact():
            return _contact(command, case, opened)
        case GiveFeedback():
            return _give_feedback(command, case, opened)
        case PostMessage():
            return _post(command, case, opened)
        case Reply():
            return _reply(command, case, opened)
        case NoteReplyOverdue():
            due = case.thread.awaited.due_at if case.thread.awaited else None
            late = due is not None and command.at >= due and case.state in WRITTEN_IN
            return [ReplyOverdue(due_at=due, round=case.round)] if late and due else []
        case MarkRead():
            return _read(command, case)
    raise TypeError(command)


def _contact(command: Contact, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    case.only_in("contact", CaseState.SIGNED, CaseState.HANDLING)
    if not opened.dispatched_at <= command.contacted_at <= command.at + CLOCK_SKEW:
        raise Refused("CONTACT_TIME_IMPOSSIBLE", "a contact lies between the dispatch and now")
    at = min(command.contacted_at, command.at)
    return _tried(command.channel, command.outcome, at, command.note, case, command.policy)


def _tried(
    channel: str, outcome: ContactOutcome, at: datetime, note: str | None, case: Case, policy: HandlingPolicy
) -> list[Payload]:
    impossible = _cannot_be(channel, outcome, case)
    first = outcome is ContactOutcome.REACHED and not case.reaching.reached and not impossible
    counts = outcome is not ContactOutcome.REACHED and _far_enough(at, case.reaching.failed_at, policy.contact)
    contacted = AppellantContacted(
        channel=channel,
        outcome=outcome,
        at=at,
        note=note,
        round=case.round,
        **(_response(at, case, policy) if first else {}),
        counts=None if outcome is ContactOutcome.REACHED else counts,
        impossible=impossible or None,
        policy=policy.version,
    )
    tries = case.reaching.failed + counts
    gave_up = counts and tries >= policy.contact.unreachable_after and not case.reaching.settled
    unreachable = AppellantUnreachable(attempts=tries, round=case.round, policy=policy.version)
    return [contacted, unreachable] if gave_up else [contacted]


def _cannot_be(channel: str, outcome: ContactOutcome, case: Case) -> bool:
    """Nobody calls somebody whose number is hidden from them."""
    hidden = case.opened is not None and case.opened.identity_hidden
    return hidden and outcome is ContactOutcome.REACHED and channel not in WITHOUT_A_NUMBER


def _far_enough(at: datetime, before: datetime | None, policy: ContactPolicy) -> bool:
    return before is None or at >= before + policy.apart


def _response(at: datetime, case: Case, policy: HandlingPolicy) -> dict[str, int | bool | None]:
    if case.opened is None:
        return {}
    took = at - case.opened.dispatched_at
    limit = policy.contact.within.get(case.opened.tier) if case.opened.tier else None
    return {"response_seconds": int(took.total_seconds()), "in_time": None if limit is None else took <= limit}


def _give_feedback(command: GiveFeedback, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    case.only_in("feedback", CaseState.HANDLING)
    is_result = command.kind is FeedbackKind.RESULT
    to_appellant = command.recipient is Recipient.APPELLANT
    if is_result and to_appellant and command.policy.contact.needed_before_result:
        _must_have_been_reached(case, opened)
    findings = findings_of(
        command.text, command.kind, opened.category, command.evidence, command.alike, command.reused, command.policy
    )
    before = case.results.get(command.recipient) if is_result else None
    if before and set(before) != set(command.evidence):
        findings.append(Finding.EVIDENCE_CHANGED)
    return [
        FeedbackGiven(
            kind=command.kind,
            recipient=command.recipient,
            text=command.text,
            outcome=command.outcome,
            completes=is_result and case.results.keys() | {command.recipient} == set(Recipient),
            round=case.round,
            evidence=command.evidence,
            findings=tuple(findings),
            alike=command.alike or None,
            policy=command.policy.version,
        )
    ]


def _must_have_been_reached(case: Case, opened: CaseOpened) -> None:
    if opened.reachable is True and not case.reaching.settled:
        raise Refused(
            "APPELLANT_NOT_REACHED", "before the result the appellant is reached, or tried as often as the policy says"
        )


def _post(command: PostMessage, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    case.only_in("message", *WRITTEN_IN)
    number = case.thread.posted + 1
    posted = MessagePosted(text=command.text, number=number, round=case.round, attachments=command.attachments)
    # Whoever may not know the number reaches the appellant by writing; until an answer comes it is only a try.
    tries = opened.identity_hidden and case.state in {CaseState.SIGNED, CaseState.HANDLING}
    if not tries or case.reaching.reached:
        return [posted]
    return [posted, *_tried(RELAY, ContactOutcome.NO_ANSWER, command.at, None, case, command.policy)]


def _reply(command: Reply, case: Case, opened: CaseOpened) -> Sequence[Payload]:
    case.only_in("reply", *WRITTEN_IN)
    if command.to is not None and not 0 < command.to <= case.thread.posted:
        raise Refused("NO_SUCH_MESSAGE", "there is no such message to answer")
    if command.to in case.thread.answered:
        raise Refused("LINK_USED", "this link has been used; the tracking code opens the whole conversation")
    if case.thread.replies >= command.policy.thread.most_replies:
        raise Refused("WRITTEN_ENOUGH", f"{command.policy.thread.most_replies} replies at most")
    replied = AppellantReplied(text=command.text, via=command.via, to=command.to, round=case.round)
    unread = case.thread.posted > case.thread.read.get("APPELLANT", 0)
    read = [MessagesRead(reader="APPELLANT", count=case.thread.posted)] if unread else []
    awaited, reached = _awaited(command, case), _reached_by_relay(command.at, case, opened, command.policy)
    return [replied, *read, awaited, *reached]


def noted(command: NoteWritten, case: Case) -> Sequence[Payload]:
    """A message that crosses the end of a case waits for nobody; one before the dispatch waits for the unit to come."""
    if case.opened is None:
        return [_awaited(command, case)] if case.state is None else []
    if case.state not in WRITTEN_IN:
        return []
    return [_awaited(command, case), *_reached_by_relay(command.at, case, case.opened, command.policy)]


def _awaited(command: Reply | NoteWritten, case: Case) -> ReplyAwaited:
    waits = case.thread.awaited is not None and case.thread.awaited.due_at is not None
    begins = not waits and case.state is not None  # also again, when the unit has let one time go by
    due_at = command.at + command.policy.thread.answer_within if begins else None
    return ReplyAwaited(written=case.thread.written + 1, due_at=due_at, round=case.round, policy=command.policy.version)


def _reached_by_relay(at: datetime, case: Case, opened: CaseOpened, policy: HandlingPolicy) -> list[Payload]:
    """Somebody whose identity is hidden has been reached once they answer. Domain specification, 4.3."""
    answers = opened.identity_hidden and case.reaching.wrote and not case.reaching.reached
    if not answers or case.state not in {CaseState.SIGNED, CaseState.HANDLING}:
        return []
    return _tried(RELAY, ContactOutcome.REACHED, at, None, case, policy)


def _read(command: MarkRead, case: Case) -> Sequence[Payload]:
    there = case.thread.written if command.reader == "UNIT" else case.thread.posted
    if command.count > there:
        raise Refused("NO_SUCH_MESSAGE", "there are not so many messages to read")
    known = case.thread.read.get(command.reader, 0)
    return [MessagesRead(reader=command.reader, count=command.count)] if command.count > known else []
