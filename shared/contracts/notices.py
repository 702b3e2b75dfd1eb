"""What feedback tells people, what became of it, how they want to be told, and what supervision should look at."""

from __future__ import annotations

from typing import ClassVar, Literal

from shared.contracts.codes import Audience, Language, LeadKind, NoticeChannel
from shared.contracts.envelope import Instant, Payload, ServiceName

NoticeId = str
"""The same for the same event, template and audience: a UUIDv5, and the idempotency key towards gateways."""


class _Feedback(Payload):
    OF: ClassVar[ServiceName] = "feedback"
    INTERNAL: ClassVar[bool] = True


class NotificationPlanned(_Feedback):
    """Somebody is to be told of an event. Once for an event, whatever happens. `link`: what its link leads to."""

    notice_id: NoticeId
    template: str
    templates_version: str
    audience: Audience
    cause: str
    not_before: Instant
    link: str | None = None


class NotificationPostponed(_Feedback):
    """Not now: people sleep, or have been told enough for a day."""

    notice_id: NoticeId
    reason: Literal["QUIET_HOURS", "BUDGET"]
    until: Instant


class NotificationAttempted(_Feedback):
    """About to be handed over to something that cannot recognise a repeat. Without an outcome it is not tried again."""

    notice_id: NoticeId
    channel: NoticeChannel
    attempt: int


class NotificationSent(_Feedback):
    """The gateway has taken it. `person` is the appellant's pseudonym."""

    notice_id: NoticeId
    template: str
    audience: Audience
    channel: NoticeChannel
    language: Language
    attempt: int
    person: str | None = None


class NotificationDelivered(_Feedback):
    """The gateway says that it has arrived, or that it never will."""

    notice_id: NoticeId
    arrived: bool


class NotificationFailed(_Feedback):
    """The gateway did not take it. Without `retry_at` that is the end of it."""

    notice_id: NoticeId
    channel: NoticeChannel
    attempt: int
    reason: str
    retry_at: Instant | None = None


class NotificationSuppressed(_Feedback):
    """It is not sent, and why."""

    notice_id: NoticeId
    reason: Literal["OPTED_OUT", "NO_ADDRESS", "NO_GATEWAY", "STALE", "ERASED", "RESTRICTED", "UNCERTAIN", "MOOT"]


class PreferencesSet(_Feedback):
    """How a person wants to be told. Kept whatever comes after; what the law demands is sent all the same."""

    language: Language
    off: tuple[NoticeChannel, ...] = ()
    optional: bool


class SupervisionLeadRaised(_Feedback):
    """Something for supervision to look at. Art 35. `events` are its evidence; a lead is not a penalty."""

    key: str
    kind: LeadKind
    unit_id: str
    events: tuple[str, ...] = ()
    figures: dict[str, str] | None = None
    policy: str


class SupervisionLeadClosed(_Feedback):
    """What looking at it came to."""

    key: str
    outcome: Literal["CONFIRMED", "EXPLAINED", "UNFOUNDED"]
