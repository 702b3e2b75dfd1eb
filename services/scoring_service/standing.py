"""What is given to a unit or asked of it beside its figures: credits (激励, Art 32), and the managed list (治理类)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.contracts.envelope import Payload
from shared.contracts.scoring import CreditGranted, CreditWithdrawn, GovernanceEntered, GovernanceLeft
from shared.engine.decider import Command, Decider, NotYours, Refused


@dataclass(frozen=True)
class Credits:
    """The credits of a unit; True for those that still count. `decided`: kind, period and decision of each."""

    given: Mapping[str, bool] = field(default_factory=dict)
    decided: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return f"{sum(self.given.values())} credits"


@dataclass(frozen=True, kw_only=True)
class GrantCredit(Command):
    """For proactive governance or a hard case."""

    facts: CreditGranted


@dataclass(frozen=True, kw_only=True)
class WithdrawCredit(Command):
    """Given in error."""

    unit_id: str
    credit_id: str
    decision: str


def _not_by(command: Command, unit_id: str) -> None:
    """Raises Refused when a unit would decide about itself."""
    if command.actor.unit_id == unit_id:
        raise Refused("OWN_CASE", "a unit does not decide about its own standing")


def decide_credit(command: Command, credits_: Credits) -> Sequence[Payload]:
    match command:
        case GrantCredit():
            _not_by(command, command.facts.unit_id)
            counting = (credits_.decided[one] for one, counts in credits_.given.items() if counts)
            if _decided(command.facts) in counting:
                raise Refused("CREDIT_GIVEN", "this decision has been credited to the unit for this period")
            if command.facts.kind == "HARD_CASE" and not command.facts.appeals:
                raise Refused("CASE_MISSING", "a credit for a hard case names the appeal")
            return [command.facts]
        case WithdrawCredit():
            _not_by(command, command.unit_id)
            if command.credit_id not in credits_.given:
                raise NotYours
            if not credits_.given[command.credit_id]:
                raise Refused("CREDIT_WITHDRAWN", "this credit has been withdrawn")
            return [CreditWithdrawn(credit_id=command.credit_id, unit_id=command.unit_id, decision=command.decision)]
    raise TypeError(command)


def evolve_credit(credits_: Credits, event: Payload) -> Credits:
    match event:
        case CreditGranted():
            decided = {**credits_.decided, event.credit_id: _decided(event)}
            return Credits({**credits_.given, event.credit_id: True}, decided)
        case CreditWithdrawn():
            return Credits({**credits_.given, event.credit_id: False}, credits_.decided)
    return credits_


def _decided(credit: CreditGranted) -> tuple[str, str, str]:
    return credit.kind, credit.period, credit.decision


@dataclass(frozen=True)
class Governance:
    """Whether a unit is on the managed list."""

    listed: bool = False

    @property
    def state(self) -> str:
        return "LISTED" if self.listed else "FREE"


@dataclass(frozen=True, kw_only=True)
class Enter(Command):
    """On the list, by a decision that has a number."""

    unit_id: str
    decision: str


@dataclass(frozen=True, kw_only=True)
class Leave(Command):
    """Off it."""

    unit_id: str
    decision: str


def decide_governance(command: Command, governance: Governance) -> Sequence[Payload]:
    match command:
        case Enter() | Leave():
            _not_by(command, command.unit_id)
            if isinstance(command, Enter) is governance.listed:
                raise Refused("GOVERNANCE_UNCHANGED", f"the unit is {governance.state}")
            kind = GovernanceEntered if isinstance(command, Enter) else GovernanceLeft
            return [kind(unit_id=command.unit_id, decision=command.decision)]
    raise TypeError(command)


def evolve_governance(governance: Governance, event: Payload) -> Governance:
    match event:
        case GovernanceEntered():
            return Governance(listed=True)
        case GovernanceLeft():
            return Governance()
    return governance


CREDITS = Decider("credits", Credits(), decide_credit, evolve_credit)
GOVERNANCE = Decider("governance", Governance(), decide_governance, evolve_governance)
