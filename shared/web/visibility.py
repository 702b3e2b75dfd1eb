"""Which events a caller may be told of: those about appeals within its reach, now, as the service's views know it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from shared.engine.runtime import Running
from shared.eventlog.log import Recorded
from shared.web.identity import Ownership, Principal, Reach, Scope

Owners = Callable[[Running, Sequence[str]], Awaitable[Mapping[str, Ownership]]]
"""Whose these subjects are; those that nobody owns are left out."""


async def visible(running: Running, owners: Owners, principal: Principal, events: Sequence[Recorded]) -> list[bool]:
    """For each of these events of one partition whether the principal may be told of it.

    Waits until the views have taken them: an event is often what makes an appeal somebody's.
    """
    if principal.reach(Scope.READ) is Reach.ALL:
        return [True] * len(events)
    last = events[-1]
    while not await running.views_reached(running.service.name, last.partition, last.position):
        pass
    subjects = [event.envelope.subject for event in events]
    owned = await owners(running, sorted(set(subjects)))
    return [subject in owned and principal.can_see(Scope.READ, owned[subject]) for subject in subjects]


def reach_of(principal: Principal) -> dict[str, Any]:
    """What must be kept of a principal to know later what it may be told."""
    return {
        "sub": principal.sub,
        "roles": list(principal.roles),
        "unit_id": principal.unit_id,
        "district": principal.district,
    }


def principal_of(reach: Mapping[str, Any]) -> Principal:
    """The inverse of reach_of."""
    return Principal(reach["sub"], tuple(reach["roles"]), reach["unit_id"], reach["district"])
