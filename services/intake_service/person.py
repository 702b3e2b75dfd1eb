"""What is to happen to one person's data: restricted (kept, and used no more), opened again, or erased.

Each takes two different officers: the first asks, the second confirms. Erasing destroys the keys of everything the
person has said so far; the log, its hashes and the scores stay as they are. Law: PIPL Art 47.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    asked: Measure | None = None
    asked_by: str | None = None

    @property
    def state(self) -> str:
        return f"{self.asked}_REQUESTED" if self.asked else self.standing


@dataclass(frozen=True, kw_only=True)
class Take(Command):
    """Take a measure, or confirm one that another officer asked for. `appeals` and `keys` are the person's so far."""

    measure: Measure
    ground: str
    appeals: tuple[str, ...]
    keys: tuple[str, ...]


def decide(command: Command, person: Person) -> Sequence[Payload]:
    if not isinstance(command, Take):
        raise TypeError(command)
    officer = command.actor.sub or ""
    if person.asked is command.measure:
        if officer == person.asked_by:
            raise Refused("SECOND_OFFICER_NEEDED", "another officer must confirm")
        return [_done(command)]
    if command.measure is Measure.RESTORE and person.standing != "RESTRICTED":
        raise Refused("NOT_RESTRICTED", "there is no restriction to lift")
    return [AppellantMeasureRequested(measure=command.measure, ground=command.ground, by=officer)]


def _done(command: Take) -> Payload:
    match command.measure:
        case Measure.RESTRICT:
            return AppellantRestricted(appeals=command.appeals)
        case Measure.RESTORE:
            return AppellantRestored(appeals=command.appeals)
        case Measure.ERASE:
            return AppellantErased(appeals=command.appeals, keys=command.keys)


def evolve(person: Person, event: Payload) -> Person:
    match event:
        case AppellantMeasureRequested():
            return replace(person, asked=event.measure, asked_by=event.by)
        case AppellantRestricted():
            return Person("RESTRICTED")
        case AppellantErased():
            return Person("ERASED")
        case AppellantRestored():
            return Person("ACTIVE")
    return person


PERSON = Decider("appellant", Person(), decide, evolve)
