"""What is to happen to one person's data: restricted (kept, and used no more), opened again, or erased.

Each takes two different officers: the first asks, the second confirms the same within a term. Erasing destroys the keys
of everything the person had said when it was asked for; the log, its hashes and the scores stay. Law: PIPL Art 47.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.contracts.codes import Measure
from shared.contracts.envelope import Payload
from shared.contracts.intake import (
    AppellantErased,
    AppellantMeasureRequested,
    AppellantRestored,
    AppellantRestricted,
)
from shared.engine.decider import Command, Decider, Refused


@dataclass(frozen=True)
class Person:
    """How things stand, and what one officer has asked for."""

    standing: str = "ACTIVE"
    asked: AppellantMeasureRequested | None = None

    @property
    def state(self) -> str:
        return f"{self.asked.measure}_REQUESTED" if self.asked else self.standing

    def waits_for(self, measure: Measure, at: datetime) -> AppellantMeasureRequested | None:
        """What another officer may confirm now."""
        asked = self.asked
        good = asked is not None and (asked.good_until is None or at <= asked.good_until)
        return asked if asked is not None and asked.measure is measure and good else None


@dataclass(frozen=True, kw_only=True)
class Take(Command):
    """Take a measure, or confirm one that another officer asked for. `keys`: by the person's appeals so far."""

    measure: Measure
    ground: str
    keys: Mapping[str, str]
    good_for: timedelta


def decide(command: Command, person: Person) -> Sequence[Payload]:
    if not isinstance(command, Take):
        raise TypeError(command)
    officer = command.actor.sub or ""
    if (asked := person.waits_for(command.measure, command.at)) is not None:
        if officer == asked.by:
            raise Refused("SECOND_OFFICER_NEEDED", "another officer must confirm")
        if command.ground != asked.ground:
            raise Refused("OPERATION_DIFFERS", "it was asked for on another ground")
        known = asked.appeals or tuple(command.keys)  # before the appeals were noted, all were meant
        return [_done(command, {one: key for one, key in command.keys.items() if one in known})]
    if command.measure is Measure.RESTORE and person.standing != "RESTRICTED":
        raise Refused("NOT_RESTRICTED", "there is no restriction to lift")
    until = command.at + command.good_for
    return [
        AppellantMeasureRequested(
            measure=command.measure, ground=command.ground, by=officer, appeals=tuple(command.keys), good_until=until
        )
    ]


def _done(command: Take, keys: Mapping[str, str]) -> Payload:
    """What was asked for, about the appeals that there were then: what somebody says later is not meant."""
    match command.measure:
        case Measure.RESTRICT:
            return AppellantRestricted(appeals=tuple(keys))
        case Measure.RESTORE:
            return AppellantRestored(appeals=tuple(keys))
        case Measure.ERASE:
            return AppellantErased(appeals=tuple(keys), keys=tuple(keys.values()))


def evolve(person: Person, event: Payload) -> Person:
    match event:
        case AppellantMeasureRequested():
            return Person(person.standing, event)
        case AppellantRestricted():
            return Person("RESTRICTED")
        case AppellantErased():
            return Person("ERASED")
        case AppellantRestored():
            return Person("ACTIVE")
    return person


PERSON = Decider("appellant", Person(), decide, evolve)
