"""The assessment of an appeal: one event for every round that a callback has ended. Which round counts is policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.envelope import Payload
from shared.contracts.scoring import AssessmentRecorded
from shared.engine.decider import Command, Decider


@dataclass(frozen=True)
class Assessment:
    """The rounds on record."""

    rounds: frozenset[int] = frozenset()

    @property
    def state(self) -> str:
        return "ASSESSED" if self.rounds else "OPEN"


@dataclass(frozen=True, kw_only=True)
class Record(Command):
    """A round has ended with a callback, valid or not."""

    facts: AssessmentRecorded


def decide(command: Command, assessment: Assessment) -> Sequence[Payload]:
    if not isinstance(command, Record):
        raise TypeError(command)
    return [] if command.facts.round in assessment.rounds else [command.facts]


def evolve(assessment: Assessment, event: Payload) -> Assessment:
    return Assessment(assessment.rounds | {event.round}) if isinstance(event, AssessmentRecorded) else assessment


ASSESSMENT = Decider("assessment", Assessment(), decide, evolve)
