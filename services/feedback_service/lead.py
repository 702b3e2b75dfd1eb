"""What supervision should look at: raised by detectors with its evidence, looked at by people, never a penalty.

One stream for each appeal, and one for each unit where a lead is about many of its appeals. Law: Regulation Art 35, 36.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from shared.contracts.envelope import Payload
from shared.contracts.notices import SupervisionLeadClosed, SupervisionLeadRaised
from shared.engine.decider import Command, Decider, NotYours, Refused

Outcome = Literal["CONFIRMED", "EXPLAINED", "UNFOUNDED"]


@dataclass(frozen=True)
class Leads:
    """The leads about one subject, by key; the outcome of those that were looked at."""

    raised: Mapping[str, SupervisionLeadRaised] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return "OPEN" if self.raised.keys() - self.outcomes.keys() else "CLOSED"


@dataclass(frozen=True, kw_only=True)
class RaiseLead(Command):
    """A detector has seen something; seen twice it is one lead."""

    facts: SupervisionLeadRaised


@dataclass(frozen=True, kw_only=True)
class CloseLead(Command):
    """Somebody has looked at it."""

    key: str
    outcome: Outcome


def decide(command: Command, leads: Leads) -> Sequence[Payload]:
    match command:
        case RaiseLead():
            return [] if command.facts.key in leads.raised else [command.facts]
        case CloseLead():
            return _close(command, leads)
    raise TypeError(command)


def _close(command: CloseLead, leads: Leads) -> Sequence[Payload]:
    lead = leads.raised.get(command.key)
    if lead is None:
        raise NotYours
    if command.actor.unit_id == lead.unit_id:
        raise Refused("OWN_CASE", "the unit that a lead is about does not decide about it")
    if command.key in leads.outcomes:
        raise Refused("LEAD_CLOSED", "this lead has been looked at")
    return [SupervisionLeadClosed(key=command.key, outcome=command.outcome)]


def evolve(leads: Leads, event: Payload) -> Leads:
    match event:
        case SupervisionLeadRaised():
            return Leads({**leads.raised, event.key: event}, leads.outcomes)
        case SupervisionLeadClosed():
            return Leads(leads.raised, {**leads.outcomes, event.key: event.outcome})
    return leads


LEADS = Decider("leads", Leads(), decide, evolve)
