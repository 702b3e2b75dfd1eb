"""剔除 and 考核申诉: claimed by the unit, decided by another organisation, appealed once, lapsed when nobody decides.

One stream an appeal. Law: Regulation Art 32, 36; domain specification, section 4.1. Whoever is scored never decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from shared.contracts.envelope import Payload
from shared.contracts.scoring import (
    ExclusionAppealed,
    ExclusionApproved,
    ExclusionClaimed,
    ExclusionLapsed,
    ExclusionRejected,
)
from shared.engine.decider import Command, Decider, IllegalTransition, NotYours, Refused

Standing = Literal["CLAIMED", "APPROVED", "REJECTED", "APPEALED", "LAPSED"]


@dataclass(frozen=True)
class Claim:
    """One claim, and the accounts that have had a hand in it so far: none of them decides about it any more."""

    facts: ExclusionClaimed
    hands: frozenset[str]
    state: Standing = "CLAIMED"
    decide_by: datetime | None = None
    appeal_until: datetime | None = None
    refused: bool = False


@dataclass(frozen=True)
class Exclusions:
    """Every claim about one appeal, by its id."""

    claims: Mapping[str, Claim] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return list(self.claims.values())[-1].state if self.claims else "NONE"


@dataclass(frozen=True, kw_only=True)
class ClaimExclusion(Command):
    """The unit claims. `until`: when its time to do so ends."""

    facts: ExclusionClaimed
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Approve(Command):
    """Left out of the assessed basis."""

    exclusion_id: str
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Reject(Command):
    """查否. `appeal_until`: how long the unit may appeal."""

    exclusion_id: str
    reason: str
    appeal_until: datetime


@dataclass(frozen=True, kw_only=True)
class AppealDecision(Command):
    """考核申诉 by the unit."""

    exclusion_id: str
    argument: str
    decide_by: datetime


@dataclass(frozen=True, kw_only=True)
class Lapse(Command):
    """The clock: nobody has decided."""

    exclusion_id: str


def decide(command: Command, exclusions: Exclusions) -> Sequence[Payload]:
    if isinstance(command, ClaimExclusion):
        return _claim(command, exclusions)
    claim = exclusions.claims.get(getattr(command, "exclusion_id", ""))
    if claim is None:
        raise NotYours
    match command:
        case Approve() | Reject():
            return [_decided(command, claim)]
        case AppealDecision():
            return [_appealed(command, claim, exclusions)]
        case Lapse():
            waiting = claim.state in {"CLAIMED", "APPEALED"} and claim.decide_by is not None
            if not waiting or claim.decide_by is None or command.at < claim.decide_by:
                return []
            of = claim.facts
            return [ExclusionLapsed(exclusion_id=of.exclusion_id, unit_id=of.unit_id, decide_by=claim.decide_by)]
    raise TypeError(command)


def _claim(command: ClaimExclusion, exclusions: Exclusions) -> Sequence[Payload]:
    if command.at > command.until:
        raise Refused("CLAIM_WINDOW_CLOSED", "the time to claim for this period is over")
    own = [claim for claim in exclusions.claims.values() if claim.facts.unit_id == command.facts.unit_id]
    _nothing_else_is_open(own)
    for claim in own:
        if claim.refused and claim.facts.ground == command.facts.ground:
            raise Refused("CLAIM_DECIDED", "this ground was claimed before; appeal the decision instead")
    return [command.facts]


def _nothing_else_is_open(claims: Iterable[Claim]) -> None:
    """Raises Refused when another claim of the unit about the appeal waits, or has been granted."""
    for claim in claims:
        if claim.state in {"CLAIMED", "APPEALED"}:
            raise Refused("CLAIM_PENDING", "a claim about this appeal waits for its decision")
        if claim.state == "APPROVED":
            raise Refused("ALREADY_EXCLUDED", "this appeal has been left out")


def _decided(command: Approve | Reject, claim: Claim) -> Payload:
    facts, actor = claim.facts, command.actor
    if actor.unit_id is not None and actor.unit_id in {facts.unit_id, facts.district, *facts.scored}:
        raise Refused("OWN_CASE", "whoever is scored does not decide what counts")
    if claim.state not in {"CLAIMED", "APPEALED"}:
        raise IllegalTransition(type(command).__name__.lower(), claim.state)
    if claim.decide_by is not None and command.at > claim.decide_by:
        raise Refused("CLAIM_LAPSED", "the time to decide is over; the appeal stays assessed")
    if actor.sub is None or actor.sub in claim.hands:
        raise Refused("SECOND_OFFICER_NEEDED", "somebody who has had no hand in this claim must decide")
    instance = 2 if claim.state == "APPEALED" else 1
    same: dict[str, Any] = {name: getattr(facts, name) for name in ("exclusion_id", "unit_id", "ground")}
    same |= {"instance": instance, "by": actor.sub}
    if isinstance(command, Approve):
        return ExclusionApproved(**same, kind=facts.kind, reason=command.reason)
    until = command.appeal_until if instance == 1 else None
    return ExclusionRejected(**same, reason=command.reason, appeal_until=until)


def _appealed(command: AppealDecision, claim: Claim, exclusions: Exclusions) -> Payload:
    facts = claim.facts
    if command.actor.unit_id != facts.unit_id or command.actor.sub is None:
        raise NotYours
    others = (one for one in exclusions.claims.values() if one is not claim)
    _nothing_else_is_open(one for one in others if one.facts.unit_id == facts.unit_id)
    if claim.state != "REJECTED":
        raise IllegalTransition("appeal", claim.state)
    if claim.appeal_until is None:
        raise Refused("APPEAL_DECIDED", "the second decision is final")
    if command.at > claim.appeal_until:
        raise Refused("CLAIM_WINDOW_CLOSED", "the time to appeal is over")
    return ExclusionAppealed(
        exclusion_id=facts.exclusion_id,
        unit_id=facts.unit_id,
        argument=command.argument,
        decide_by=command.decide_by,
        by=command.actor.sub,
    )


def evolve(exclusions: Exclusions, event: Payload) -> Exclusions:
    if isinstance(event, ExclusionClaimed):
        claim = Claim(event, frozenset({event.by}), decide_by=event.decide_by)
        return Exclusions({**exclusions.claims, event.exclusion_id: claim})
    found = exclusions.claims.get(getattr(event, "exclusion_id", ""))
    if found is None:
        return exclusions
    return Exclusions({**exclusions.claims, found.facts.exclusion_id: _after(found, event)})


def _after(claim: Claim, event: Payload) -> Claim:
    match event:
        case ExclusionApproved():
            return replace(claim, state="APPROVED", hands=claim.hands | {event.by})
        case ExclusionRejected():
            hands = claim.hands | {event.by}
            return replace(claim, state="REJECTED", appeal_until=event.appeal_until, hands=hands, refused=True)
        case ExclusionAppealed():
            return replace(claim, state="APPEALED", decide_by=event.decide_by, hands=claim.hands | {event.by})
        case ExclusionLapsed():
            return replace(claim, state="LAPSED")
    return claim


EXCLUSIONS = Decider("exclusions", Exclusions(), decide, evolve)
