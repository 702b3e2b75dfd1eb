"""Which events a caller may be told of: those about appeals within its reach, now, as the service's views know it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from shared.contracts.catalogue import CATALOGUE
from shared.engine.runtime import Running
from shared.eventlog.log import Recorded
from shared.messaging.cloudevents import structured
from shared.web.identity import Ownership, Principal, Reach, Scope

Owners = Callable[[Running, Sequence[str]], Awaitable[Mapping[str, Ownership]]]
"""Whose these subjects are; those that nobody owns are left out."""


Told = Sequence[Mapping[str, Any] | None]
"""For each event what a caller is told of it: None where it is not the caller's business."""


async def told(running: Running, owners: Owners, principal: Principal, events: Sequence[Recorded]) -> Told | None:
    """What the principal is told of these events of one partition; None when our views have not taken them yet.

    An event is often what makes an appeal somebody's, so the views come first.
    """
    if principal.reach(Scope.READ) is Reach.ALL:
        return [structured(event, whole=True) for event in events]
    last = events[-1]
    if not await running.views_reached(running.service.name, last.partition, last.position):
        return None
    subjects = [event.envelope.subject for event in events]
    owned = await owners(running, sorted(set(subjects)))
    mine = {subject for subject in owned if principal.can_see(Scope.READ, owned[subject])}
    pairs = zip(events, subjects, strict=True)
    return [
        structured(event, whole=False, hidden=principal.outside and owned[subject].hidden)
        if subject in mine and not internal(event.type)
        else None
        for event, subject in pairs
    ]


def internal(event_type: str) -> bool:
    """Whether an event is for the hotline alone; what we do not know is."""
    return event_type not in CATALOGUE or CATALOGUE[event_type].payload.INTERNAL


def reach_of(principal: Principal) -> dict[str, Any]:
    """What must be kept of a principal to know later what it may be told."""
    return {
        "sub": principal.sub,
        "roles": list(principal.roles),
        "unit_id": principal.unit_id,
        "district": principal.district,
        "scopes": None if principal.scopes is None else sorted(principal.scopes),
    }


def principal_of(reach: Mapping[str, Any]) -> Principal:
    """The inverse of reach_of."""
    scopes = reach.get("scopes")
    narrowed = None if scopes is None else frozenset(scopes)
    return Principal(reach["sub"], tuple(reach["roles"]), reach["unit_id"], reach["district"], scopes=narrowed)
