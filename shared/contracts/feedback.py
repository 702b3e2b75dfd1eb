"""What feedback can say has happened: the two answers, and what the resident says when asked."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from shared.contracts.codes import (
    CallbackMethod,
    CaseState,
    ContactOutcome,
    EvidenceRole,
    FeedbackKind,
    FeedbackOutcome,
    Finding,
    Question,
    Recipient,
    Satisfaction,
    UnitType,
    Urgency,
    Via,
)
from shared.contracts.envelope import Instant, Payload, Personal, ServiceName


class _Feedback(Payload):
    OF: ClassVar[ServiceName] = "feedback"


class Evidence(BaseModel):
    """A file of the appeal that a unit points at. `number` is intake's."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    number: int
    role: EvidenceRole


class Reason(BaseModel):
    """Why the resident answered a question so: a code of the policy."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    question: Question
    code: str


class CaseOpened(_Feedback):
    """Feedback took note of a dispatch: from here this unit owes two answers for this round.

    `identity_hidden`: the unit writes through us and does not learn who it is. `reachable`: by number or address.
    """

    ticket_no: str
    subject_key: str
    registered_at: Instant
    lead_unit: str
    unit_type: UnitType
    cc_district: str | None = None
    round: int
    dispatched_at: Instant
    due_at: Instant
    lead_unit_name: str | None = None
    co_units: tuple[str, ...] = ()
    tier: Urgency | None = None
    category: str | None = None
    identity_hidden: bool = False
    reachable: bool | None = None


class CaseSigned(_Feedback):
    """Feedback took note that the unit has signed."""

    unit_id: str
    round: int


class AppellantContacted(_Feedback):
    """The unit tried to reach the appellant. Art 15(1). The first one that reaches counts for the response time.

    That one alone has `response_seconds`, from dispatch on, and `in_time`. Channel RELAY: through us, to somebody whose
    identity is hidden from the unit. `counts` is false for a failed try too soon after another; `impossible`:
    by a number that the unit cannot have.
    """

    channel: str
    outcome: ContactOutcome
    at: Instant
    note: Personal | None = None
    round: int
    response_seconds: int | None = None
    in_time: bool | None = None
    counts: bool | None = None
    impossible: bool | None = None
    policy: str | None = None


class AppellantUnreachable(_Feedback):
    """Enough tries at different times have failed: the unit may answer in writing without having spoken to anybody."""

    attempts: int
    round: int
    policy: str


class FeedbackGiven(_Feedback):
    """两种反馈. Art 15(3): to the appellant and to the hotline. `completes`: both results of the round are now in.

    `findings` are for the reviewer; `alike` is how many earlier answers of the unit read nearly the same.
    """

    kind: FeedbackKind
    recipient: Recipient
    text: Personal
    outcome: FeedbackOutcome | None = None
    completes: bool
    round: int
    evidence: tuple[Evidence, ...] = ()
    findings: tuple[Finding, ...] = ()
    alike: int | None = None
    policy: str | None = None


class MessagePosted(_Feedback):
    """The unit writes to the appellant. What the appellant writes is intake's AppellantWrote, or AppellantReplied."""

    text: Personal
    number: int
    round: int
    attachments: tuple[int, ...] = ()


class AppellantReplied(_Feedback):
    """The appellant answered a notice: by its one-time link (message `to`), or through a gateway."""

    text: Personal
    via: Via
    to: int | None = None
    round: int


class ReplyAwaited(_Feedback):
    """The appellant has written and the unit has not answered since. `written`: how many messages that makes."""

    written: int
    due_at: Instant | None = None
    round: int
    policy: str


class ReplyOverdue(_Feedback):
    """The unit has not answered the appellant's message in time."""

    due_at: Instant
    round: int


class MessagesRead(_Feedback):
    """One side has read this many of the messages of the other."""

    reader: Literal["UNIT", "APPELLANT"]
    count: int


class CallbackScheduled(_Feedback):
    """The hotline will ask the resident. Art 23: at the limit; earlier when both results are in."""

    reason: Literal["LIMIT_EXPIRED", "RESULTS_COMPLETE"]
    at: Instant | None = None
    due_at: Instant
    round: int
    policy: str


class CallbackAssigned(_Feedback):
    """An officer has taken the callback from the queue and keeps it for a while."""

    INTERNAL: ClassVar[bool] = True
    officer: str
    until: Instant
    round: int


class CallbackOverdue(_Feedback):
    """Nobody has asked the resident in time."""

    due_at: Instant
    round: int


class CallbackAttempted(_Feedback):
    """One try to reach the resident for the callback. `counts`: it failed, and lies far enough from the one before."""

    outcome: ContactOutcome
    method: CallbackMethod
    round: int
    at: Instant | None = None
    counts: bool | None = None


class CallbackRecorded(_Feedback):
    """回访: what the resident says. Unknown stays unknown; it is never counted as dissatisfied."""

    ticket_no: str
    lead_unit: str
    unit_type: UnitType
    cc_district: str | None = None
    registered_at: Instant
    round: int
    valid: bool
    contacted: bool | None = None
    resolved: bool | None = None
    satisfaction: Satisfaction
    reasons: tuple[Personal, ...] = ()
    method: CallbackMethod
    next_state: Literal["CLOSED", "REWORK"]
    because: tuple[Reason, ...] = ()
    recording: int | None = None
    officer: str | None = None
    at: Instant | None = None


class CallbackInvalidated(_Feedback):
    """Nobody could be reached often enough to count; the appeal closes without a valid callback."""

    ticket_no: str
    lead_unit: str
    unit_type: UnitType
    cc_district: str | None = None
    registered_at: Instant
    round: int
    attempts: int
    policy: str
    at: Instant | None = None


class RecheckOrdered(_Feedback):
    """抽查: this callback was drawn; another officer asks the resident again."""

    INTERNAL: ClassVar[bool] = True
    round: int
    officer: str
    due_at: Instant
    policy: str


class CallbackRechecked(_Feedback):
    """What the resident said the second time, and whether it is the same."""

    INTERNAL: ClassVar[bool] = True
    round: int
    lead_unit: str
    agrees: bool
    contacted: bool | None = None
    resolved: bool | None = None
    satisfaction: Satisfaction
    officer: str


class CallbackContested(_Feedback):
    """待复核: the unit says that the answers are not right, and why."""

    round: int
    unit_id: str
    ground: Personal
    review_due_at: Instant


class CallbackReviewed(_Feedback):
    """复核: the answers stand, or they are struck. Never decided by the unit that they are about."""

    round: int
    stands: bool
    reason: Personal


class CitizenEvaluated(_Feedback):
    """评价 of the unit and of the process, by the resident alone. A later one replaces an earlier one, and both stand.

    `days_after_closing` where the case had been closed; `contradicts`: it had been closed as solved and is not.
    """

    number: int
    round: int
    lead_unit: str
    resolved: bool | None = None
    satisfaction: Satisfaction
    process_satisfaction: Satisfaction | None = None
    comment: Personal | None = None
    via: Via
    days_after_closing: int | None = None
    contradicts: bool | None = None


class CaseReopened(_Feedback):
    """The resident says within the window that it is not solved after all."""

    round: int
    lead_unit: str
    reason: Personal
    days_after_closing: int


class ReworkRequested(_Feedback):
    """退回重办: not solved or not satisfied, so the lead unit gets it again. `reopened`: the case had been closed."""

    round: int
    reasons: tuple[Personal, ...] = ()
    reopened: bool | None = None


class CaseEnded(_Feedback):
    """Feedback took note that the appeal ended outside the callback: withdrawn, answered, redirected or merged."""

    outcome: CaseState
