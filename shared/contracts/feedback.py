"""What feedback can say has happened: the two answers, and what the resident says when asked."""

from __future__ import annotations

from typing import ClassVar, Literal

from shared.contracts.codes import (
    CallbackMethod,
    CaseState,
    ContactOutcome,
    FeedbackKind,
    FeedbackOutcome,
    Recipient,
    Satisfaction,
    UnitType,
)
from shared.contracts.envelope import Instant, Payload, Personal, ServiceName


class _Feedback(Payload):
    OF: ClassVar[ServiceName] = "feedback"


class CaseOpened(_Feedback):
    """Feedback took note of a dispatch: from here this unit owes two answers for this round."""

    ticket_no: str
    subject_key: str
    registered_at: Instant
    lead_unit: str
    unit_type: UnitType
    cc_district: str | None = None
    round: int
    dispatched_at: Instant
    due_at: Instant


class CaseSigned(_Feedback):
    """Feedback took note that the unit has signed."""

    unit_id: str
    round: int


class AppellantContacted(_Feedback):
    """The unit tried to reach the appellant. Art 15(1). The first one that reaches counts for the response time."""

    channel: str
    outcome: ContactOutcome
    at: Instant
    note: Personal | None = None
    round: int


class FeedbackGiven(_Feedback):
    """两种反馈. Art 15(3): to the appellant and to the hotline. `completes`: both results of the round are now in."""

    kind: FeedbackKind
    recipient: Recipient
    text: Personal
    outcome: FeedbackOutcome | None = None
    completes: bool
    round: int


class MessagePosted(_Feedback):
    """The unit writes to the appellant. What the appellant writes is intake's AppellantWrote."""

    text: Personal
    number: int
    round: int


class CallbackScheduled(_Feedback):
    """The hotline will ask the resident. Art 23: at the limit; earlier when both results are in."""

    reason: Literal["LIMIT_EXPIRED", "RESULTS_COMPLETE"]
    due_at: Instant
    round: int
    policy: str


class CallbackAttempted(_Feedback):
    """One try to reach the resident for the callback."""

    outcome: ContactOutcome
    method: CallbackMethod
    round: int


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


class ReworkRequested(_Feedback):
    """退回重办: not solved or not satisfied, so the lead unit gets it again."""

    round: int
    reasons: tuple[Personal, ...] = ()


class CaseEnded(_Feedback):
    """Feedback took note that the appeal ended outside the callback: withdrawn, answered, redirected or merged."""

    outcome: CaseState
