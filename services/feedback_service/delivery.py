"""Whether a notice leaves now, later or never, and by which way: pure, from everything that is known at the moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.feedback_service.notice import Suppressed
from services.feedback_service.policy import next_time, within_hours
from services.feedback_service.preference import Preference
from services.feedback_service.templates import WAYS, NoticePolicy, Template
from shared.contracts.codes import Audience, NoticeChannel


@dataclass(frozen=True)
class Send:
    """Now, this way."""

    channel: NoticeChannel


@dataclass(frozen=True)
class Later:
    """Not before."""

    reason: Literal["QUIET_HOURS", "BUDGET"]
    until: datetime


@dataclass(frozen=True)
class Never:
    """And why."""

    reason: Suppressed


@dataclass(frozen=True)
class Circumstances:
    """What is known. `told`: when the person was last told something, within the budget's time, oldest first.

    `closed` is why a person's data may not be used, where that is so. `moot`: what it asks has been answered.
    """

    template: Template
    planned_at: datetime
    now: datetime
    preference: Preference
    addresses: Mapping[NoticeChannel, str]
    gateways: AbstractSet[NoticeChannel]
    told: Sequence[datetime]
    closed: Literal["ERASED", "RESTRICTED"] | None = None
    moot: bool = False


def next_step(at: Circumstances, policy: NoticePolicy) -> Send | Later | Never:
    """What to do with a notice."""
    if at.closed:
        return Never(at.closed)
    if at.now > at.planned_at + policy.stale_after:
        return Never("STALE")
    if at.moot:
        return Never("MOOT")
    if at.template.optional and not at.preference.optional:
        return Never("OPTED_OUT")
    reachable = [way for way in WAYS[at.template.audience] if at.addresses.get(way)]
    if not reachable:
        return Never("NO_ADDRESS")
    wanted = [way for way in reachable if way not in at.preference.off]
    if not wanted and at.template.optional:
        return Never("OPTED_OUT")
    there = [way for way in wanted if way in at.gateways]
    # What the law demands is sent where no way that the person likes is left.
    if not there and not at.template.optional:
        there = [way for way in reachable if way in at.gateways]
    if not there:
        return Never("NO_GATEWAY")
    return _later(at, policy) or Send(there[0])


def _later(at: Circumstances, policy: NoticePolicy) -> Later | None:
    """Residents sleep, and are not to be tired."""
    if at.template.urgent or at.template.audience is not Audience.APPELLANT:
        return None
    if within_hours(at.now, policy.quiet_from, policy.quiet_until):
        return Later("QUIET_HOURS", next_time(at.now, policy.quiet_until))
    if at.template.basis is None and len(at.told) >= policy.budget:
        return Later("BUDGET", at.told[-policy.budget] + policy.budget_within)
    return None
