"""What feedback remembers of a case in order to decide, and how events change it. Most is of the present round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.contracts.codes import CaseState, ContactOutcome, FeedbackKind, Recipient
from shared.contracts.envelope import Payload
from shared.contracts.feedback import (
    AppellantContacted,
    AppellantReplied,
    AppellantUnreachable,
    CallbackAssigned,
    CallbackAttempted,
    CallbackContested,
    CallbackInvalidated,
    CallbackOverdue,
    CallbackRechecked,
    CallbackRecorded,
    CallbackReviewed,
    CallbackScheduled,
    CaseEnded,
    CaseOpened,
    CaseReopened,
    CaseSigned,
    CitizenEvaluated,
    Evidence,
    FeedbackGiven,
    MessagePosted,
    MessagesRead,
    RecheckOrdered,
    ReplyAwaited,
    ReplyOverdue,
)
from shared.engine.decider import IllegalTransition, Refused


@dataclass(frozen=True)
class Thread:
    """What appellant and unit wrote to each other, over all rounds.

    `answered` are the unit's messages whose link has been used. `awaited`: the appellant wrote last.
    """

    posted: int = 0
    written: int = 0
    replies: int = 0
    answered: frozenset[int] = frozenset()
    awaited: ReplyAwaited | None = None
    read: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Reaching:
    """Whether the unit has reached the appellant in this round. `wrote`: through us; `claimed`: as cannot have been."""

    reached: bool = False
    claimed: bool = False
    wrote: bool = False
    failed: int = 0
    failed_at: datetime | None = None
    unreachable: bool = False

    @property
    def settled(self) -> bool:
        """Whether nothing more need be tried before the result."""
        return self.reached or self.unreachable or self.claimed


@dataclass(frozen=True)
class Asking:
    """The callback of this round."""

    since: datetime | None = None
    due_at: datetime | None = None
    failed: int = 0
    tried_at: datetime | None = None
    assigned: CallbackAssigned | None = None
    overdue: bool = False


@dataclass(frozen=True)
class Verdict:
    """What the last callback came to, and what has become of its answers since."""

    recorded: CallbackRecorded | CallbackInvalidated
    recheck: RecheckOrdered | None = None
    contested: CallbackContested | None = None
    reviewed: bool = False


@dataclass(frozen=True)
class Case:
    """`state` is None before the first dispatch. `verdicts` by round; `evaluated`: how often in this round."""

    state: CaseState | None = None
    opened: CaseOpened | None = None
    results: Mapping[Recipient, tuple[Evidence, ...]] = field(default_factory=dict)
    reaching: Reaching = Reaching()
    asking: Asking = Asking()
    thread: Thread = Thread()
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)
    evaluations: int = 0
    evaluated: int = 0
    said: CitizenEvaluated | None = None

    @property
    def round(self) -> int:
        return self.opened.round if self.opened else 0

    @property
    def subject_key(self) -> str:
        return self.opened.subject_key if self.opened else ""

    @property
    def verdict(self) -> Verdict | None:
        """The last one."""
        return self.verdicts[max(self.verdicts)] if self.verdicts else None

    @property
    def closed_at(self) -> datetime | None:
        """When the callback closed it; None while it is open, and when it ended otherwise."""
        return self.verdict.recorded.at if self.verdict and self.state is CaseState.CLOSED else None

    def only_in(self, name: str, *states: CaseState) -> None:
        """Raises ILLEGAL_TRANSITION."""
        if self.state not in states:
            raise IllegalTransition(name, str(self.state))

    def not_by_the_handler(self, unit_id: str | None) -> None:
        """Raises OWN_CASE for whoever handled the case."""
        if self.opened and unit_id in {self.opened.lead_unit, *self.opened.co_units}:
            raise Refused("OWN_CASE", "a unit that handled a case does not call back or decide about it")


HANDLED_IN = (CaseState.DISPATCHED, CaseState.SIGNED, CaseState.HANDLING, CaseState.FEEDBACK_DONE)
"""Before the callback."""
ENDED = frozenset({CaseState.CLOSED, CaseState.WITHDRAWN, CaseState.ANSWERED, CaseState.REDIRECTED, CaseState.MERGED})


def evolve(case: Case, event: Payload) -> Case:
    match event:
        case CaseOpened():
            afresh = replace(case, results={}, reaching=Reaching(), asking=Asking(), evaluated=0)
            return replace(afresh, state=CaseState.DISPATCHED, opened=event)
        case CaseSigned():
            return replace(case, state=CaseState.SIGNED)
        case AppellantContacted() | AppellantUnreachable():
            return _contacted(case, event)
        case FeedbackGiven(kind=FeedbackKind.RESULT):
            state = CaseState.FEEDBACK_DONE if event.completes else case.state
            return replace(case, state=state, results={**case.results, event.recipient: event.evidence})
        case CaseEnded():
            return replace(case, state=event.outcome)
        case MessagePosted() | AppellantReplied() | ReplyAwaited() | ReplyOverdue() | MessagesRead():
            wrote = case.reaching.wrote or isinstance(event, MessagePosted)
            return replace(case, thread=_wrote(case.thread, event), reaching=replace(case.reaching, wrote=wrote))
    return _asked(case, event)


def _contacted(case: Case, event: AppellantContacted | AppellantUnreachable) -> Case:
    if isinstance(event, AppellantUnreachable):
        return replace(case, reaching=replace(case.reaching, unreachable=True, failed=event.attempts))
    # A contact after the handling has begun, through a reply of the appellant's say, takes nothing back.
    state = CaseState.HANDLING if case.state is CaseState.SIGNED else case.state
    if event.outcome is ContactOutcome.REACHED:
        claimed = bool(event.impossible)
        reached = case.reaching.reached or not claimed
        known = replace(case.reaching, reached=reached, claimed=case.reaching.claimed or claimed)
        return replace(case, state=state, reaching=known)
    counted = replace(case.reaching, failed=case.reaching.failed + 1, failed_at=event.at)
    return replace(case, state=state, reaching=counted if event.counts is not False else case.reaching)


def _wrote(thread: Thread, event: Payload) -> Thread:
    match event:
        case MessagePosted():
            return replace(thread, posted=event.number, awaited=None)
        case AppellantReplied():
            answered = thread.answered | ({event.to} if event.to else set())
            return replace(thread, replies=thread.replies + 1, answered=answered)
        case ReplyAwaited():
            begun = thread.awaited is not None and not event.due_at
            return replace(thread, written=event.written, awaited=thread.awaited if begun else event)
        case ReplyOverdue():
            return replace(thread, awaited=thread.awaited and thread.awaited.model_copy(update={"due_at": None}))
        case MessagesRead():
            return replace(thread, read={**thread.read, event.reader: event.count})
    return thread


def _asked(case: Case, event: Payload) -> Case:
    match event:
        case CallbackScheduled():
            return replace(case, state=CaseState.CALLBACK_DUE, asking=Asking(since=event.at, due_at=event.due_at))
        case CallbackAssigned():
            return replace(case, asking=replace(case.asking, assigned=event))
        case CallbackOverdue():
            return replace(case, asking=replace(case.asking, overdue=True))
        case CallbackAttempted() if event.outcome is not ContactOutcome.REACHED:
            failed = case.asking.failed + (event.counts is not False)
            tried_at = case.asking.tried_at if event.counts is False else event.at
            return replace(case, asking=replace(case.asking, failed=failed, tried_at=tried_at))
        case CallbackRecorded():
            return _over(case, event, CaseState(event.next_state))
        case CallbackInvalidated():
            return _over(case, event, CaseState.CLOSED)
        case CaseReopened():
            return replace(case, state=CaseState.REWORK)
        case CitizenEvaluated():
            return replace(case, evaluations=event.number, evaluated=case.evaluated + 1, said=event)
    verdict = case.verdicts.get(getattr(event, "round", 0))
    if verdict is None:
        return case
    return replace(case, verdicts={**case.verdicts, verdict.recorded.round: _looked_at_again(verdict, event)})


def _over(case: Case, event: CallbackRecorded | CallbackInvalidated, state: CaseState) -> Case:
    """With the end of a case nobody waits for an answer any more."""
    awaited = None if state is CaseState.CLOSED else case.thread.awaited
    verdicts = {**case.verdicts, event.round: Verdict(event)}
    return replace(case, state=state, verdicts=verdicts, thread=replace(case.thread, awaited=awaited))


def _looked_at_again(verdict: Verdict, event: Payload) -> Verdict:
    match event:
        case RecheckOrdered():
            return replace(verdict, recheck=event)
        case CallbackRechecked():
            return replace(verdict, recheck=None)
        case CallbackContested():
            return replace(verdict, contested=event)
        case CallbackReviewed():
            return replace(verdict, contested=None, reviewed=True)
    return verdict
