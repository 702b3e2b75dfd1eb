"""What becomes of the notices about one appeal: planned once per event, sent once, or not sent and why.

What is handed to something that cannot recognise a repeat is put on record first. Without an outcome it counts as
uncertain and is never tried again: nobody is told the same thing twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from services.feedback_service.templates import NoticePolicy
from shared.contracts.codes import Audience, Language, NoticeChannel
from shared.contracts.envelope import Payload
from shared.contracts.notices import (
    NotificationAttempted,
    NotificationDelivered,
    NotificationFailed,
    NotificationPlanned,
    NotificationPostponed,
    NotificationSent,
    NotificationSuppressed,
)
from shared.engine.decider import Command, Decider, NotYours

_NAMES = uuid.UUID("5d5f6c5e-6f3a-5c1b-9d44-0d3f3c9be1a7")
Suppressed = Literal["OPTED_OUT", "NO_ADDRESS", "NO_GATEWAY", "STALE", "ERASED", "RESTRICTED", "UNCERTAIN", "MOOT"]


class Standing(StrEnum):
    """Where a notice stands."""

    WAITING = "WAITING"
    ATTEMPTED = "ATTEMPTED"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    UNDELIVERED = "UNDELIVERED"
    FAILED = "FAILED"
    SUPPRESSED = "SUPPRESSED"


@dataclass(frozen=True)
class Notice:
    """One of them."""

    planned: NotificationPlanned
    standing: Standing = Standing.WAITING
    attempts: int = 0


@dataclass(frozen=True)
class Notices:
    """All about one appeal, by id."""

    by_id: Mapping[str, Notice] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return f"{len(self.by_id)} notices"


def notice_id(cause: str, template: str) -> str:
    """The same for the same event and template, on any machine and at any time."""
    return str(uuid.uuid5(_NAMES, f"{cause}/{template}"))


@dataclass(frozen=True, kw_only=True)
class Plan(Command):
    """An event gives occasion to tell somebody."""

    facts: NotificationPlanned


@dataclass(frozen=True, kw_only=True)
class Postpone(Command):
    """Not now."""

    notice_id: str
    reason: Literal["QUIET_HOURS", "BUDGET"]
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Suppress(Command):
    """Not at all."""

    notice_id: str
    reason: Suppressed


@dataclass(frozen=True, kw_only=True)
class Attempt(Command):
    """It is about to be handed over."""

    notice_id: str
    channel: NoticeChannel


@dataclass(frozen=True, kw_only=True)
class NoteSent(Command):
    """It has been handed over."""

    notice_id: str
    channel: NoticeChannel
    language: Language
    person: str | None


@dataclass(frozen=True, kw_only=True)
class NoteFailed(Command):
    """It could not be handed over. `final`: and it never will be."""

    notice_id: str
    channel: NoticeChannel
    reason: str
    final: bool
    policy: NoticePolicy


@dataclass(frozen=True, kw_only=True)
class NoteReceipt(Command):
    """What the gateway says later."""

    notice_id: str
    arrived: bool


def decide(command: Command, notices: Notices) -> Sequence[Payload]:
    if isinstance(command, Plan):
        return [] if command.facts.notice_id in notices.by_id else [command.facts]
    notice = notices.by_id.get(getattr(command, "notice_id", ""))
    if notice is None:
        raise NotYours
    match command:
        case NoteSent():
            return _sent(command, notice)
        case NoteReceipt():
            told = NotificationDelivered(notice_id=command.notice_id, arrived=command.arrived)
            return [told] if notice.standing is Standing.SENT else []
    return _before_it_is_sent(command, notice)


def _sent(command: NoteSent, notice: Notice) -> Sequence[Payload]:
    """True whatever was thought in the meantime, and told once."""
    if notice.standing in {Standing.SENT, Standing.DELIVERED, Standing.UNDELIVERED}:
        return []
    return [
        NotificationSent(
            notice_id=command.notice_id,
            template=notice.planned.template,
            audience=Audience(notice.planned.audience),
            channel=command.channel,
            language=command.language,
            attempt=max(notice.attempts, 1),
            person=command.person,
        )
    ]


def _before_it_is_sent(command: Command, notice: Notice) -> Sequence[Payload]:
    waiting = notice.standing is Standing.WAITING
    match command:
        case Postpone():
            told = NotificationPostponed(notice_id=command.notice_id, reason=command.reason, until=command.until)
            return [told] if waiting else []
        case Suppress():
            fits = waiting or (command.reason == "UNCERTAIN" and notice.standing is Standing.ATTEMPTED)
            return [NotificationSuppressed(notice_id=command.notice_id, reason=command.reason)] if fits else []
        case Attempt():
            number = notice.attempts + 1
            attempted = NotificationAttempted(notice_id=command.notice_id, channel=command.channel, attempt=number)
            return [attempted] if waiting else []
        case NoteFailed():
            return _failed(command, notice) if waiting or notice.standing is Standing.ATTEMPTED else []
    raise TypeError(command)


def _failed(command: NoteFailed, notice: Notice) -> Sequence[Payload]:
    attempt = max(notice.attempts, 1) if notice.standing is Standing.ATTEMPTED else notice.attempts + 1
    plan = command.policy.retry_after
    over = command.final or attempt > len(plan)
    retry_at = None if over else command.at + plan[attempt - 1]
    return [
        NotificationFailed(
            notice_id=command.notice_id,
            channel=command.channel,
            attempt=attempt,
            reason=command.reason,
            retry_at=retry_at,
        )
    ]


def evolve(notices: Notices, event: Payload) -> Notices:
    if isinstance(event, NotificationPlanned):
        return Notices({**notices.by_id, event.notice_id: Notice(event)})
    notice = notices.by_id.get(getattr(event, "notice_id", ""))
    return notices if notice is None else Notices({**notices.by_id, notice.planned.notice_id: _after(notice, event)})


def _after(notice: Notice, event: Payload) -> Notice:
    standing, attempts = notice.standing, notice.attempts
    match event:
        case NotificationAttempted():
            standing, attempts = Standing.ATTEMPTED, event.attempt
        case NotificationSent():
            standing = Standing.SENT
        case NotificationDelivered():
            standing = Standing.DELIVERED if event.arrived else Standing.UNDELIVERED
        case NotificationFailed():
            standing, attempts = Standing.WAITING if event.retry_at else Standing.FAILED, event.attempt
        case NotificationSuppressed():
            standing = Standing.SUPPRESSED
    return Notice(notice.planned, standing, attempts)


NOTICES = Decider("notices", Notices(), decide, evolve)
