"""What happens around an appeal and changes nothing about where it stands: reminders, words, files, helpers, alerts.

Law: Regulation Art 6 (others who help), Art 8 (files, evaluation), Art 9 and 37 (malicious use), Art 29 (risks).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from services.intake_service.state import Appeal
from shared.contracts.codes import ENDED, CaseState
from shared.contracts.envelope import Payload
from shared.contracts.intake import (
    AppealEvaluated,
    AppealLinked,
    AppealSupplemented,
    AppealTagged,
    AppealUrged,
    AppellantRevealed,
    AppellantWrote,
    AttachmentAdded,
    AttachmentScanned,
    MaliciousUseFlagged,
    ParticipantContributed,
    ParticipantInvited,
    RiskAlertRaised,
)
from shared.engine.decider import Command, IllegalTransition, NotYours, Refused

Verdict = Literal["CLEAN", "INFECTED", "UNSCANNABLE"]
EVALUATED_IN = (ENDED | {CaseState.FEEDBACK_DONE, CaseState.CALLBACK_DUE, CaseState.REWORK}) - {
    CaseState.WITHDRAWN,
    CaseState.MERGED,
}
"""States in which there is something to evaluate."""


@dataclass(frozen=True, kw_only=True)
class Supplement(Command):
    """Add something to what was said. `most` is how often that may be done."""

    text: str
    most: int
    seen: CaseState


@dataclass(frozen=True, kw_only=True)
class Urge(Command):
    """催办: ask again. `every` is how long to wait between two times."""

    reason: str | None
    every: timedelta
    seen: CaseState


@dataclass(frozen=True, kw_only=True)
class Write(Command):
    """A message to whoever is dealing with the appeal. `most` is how many there may be."""

    text: str
    attachments: tuple[int, ...] = ()
    most: int
    seen: CaseState


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """评价. `facts` are numbered here; `until` is when the time for it is over, where it has begun to run."""

    facts: AppealEvaluated
    most: int
    until: datetime | None
    seen: CaseState


@dataclass(frozen=True, kw_only=True)
class Attach(Command):
    """Put a file to the appeal. `facts` are numbered here; `most` is how many there may be."""

    facts: AttachmentAdded
    most: int
    seen: CaseState


@dataclass(frozen=True, kw_only=True)
class NoteScan(Command):
    """The scanner has looked at a file that waited for it."""

    number: int
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Tag(Command):
    """Set the tags."""

    tags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RaiseAlert(Command):
    """An agent sees a danger that no rule saw, or says so for another reason."""

    alert: RiskAlertRaised


@dataclass(frozen=True, kw_only=True)
class Link(Command):
    """Put the appeal beside others about the same problem. `other` is one of these as it is now."""

    other_id: str
    other: Appeal
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Invite(Command):
    """Ask somebody to help."""

    unit_id: str
    reason: str | None
    seen: CaseState


@dataclass(frozen=True, kw_only=True)
class Contribute(Command):
    """What somebody who was asked did or says."""

    text: str
    seen: CaseState


@dataclass(frozen=True, kw_only=True)
class FlagMaliciousUse(Command):
    """Say that this use of the line looks malicious, and why."""

    evidence: str


@dataclass(frozen=True, kw_only=True)
class Reveal(Command):
    """Show somebody the appellant's name and contact."""

    purpose: str


def decide(command: Command, appeal: Appeal) -> Sequence[Payload]:
    match command:
        case Supplement() | Urge() | Write() | Evaluate():
            return _by_the_appellant(command, appeal)
        case Attach():
            return _attach(command, appeal)
        case NoteScan():
            return _scanned(command, appeal)
        case Tag():
            return [] if command.tags == appeal.tags else [AppealTagged(tags=command.tags)]
        case RaiseAlert():
            return [command.alert]
        case Link():
            return _link(command, appeal)
        case Invite() | Contribute():
            return _helped(command, appeal)
        case FlagMaliciousUse():
            return [MaliciousUseFlagged(evidence=command.evidence)]
        case Reveal():
            return [AppellantRevealed(purpose=command.purpose)]
    raise TypeError(command)


def _by_the_appellant(command: Supplement | Urge | Write | Evaluate, appeal: Appeal) -> Sequence[Payload]:
    match command:
        case Supplement():
            appeal.must_be_open("supplement", command.seen)
            _not_too_many("SUPPLEMENTED_ENOUGH", appeal.supplements, command.most)
            return [AppealSupplemented(text=command.text, number=appeal.supplements + 1)]
        case Urge():
            appeal.must_be_open("urge", command.seen)
            if appeal.urged_at is not None and command.at < appeal.urged_at + command.every:
                raise Refused("URGED_RECENTLY", "the unit was reminded a short while ago")
            return [AppealUrged(number=appeal.urges + 1, at=command.at, reason=command.reason)]
        case Write():
            appeal.must_be_open("message", command.seen)
            _not_too_many("WRITTEN_ENOUGH", appeal.messages, command.most)
            if not set(command.attachments) <= appeal.scans.keys():
                raise Refused("EVIDENCE_UNKNOWN", "the appeal has no such file; add it first")
            number, files = appeal.messages + 1, command.attachments
            return [AppellantWrote(text=command.text, number=number, attachments=files)]
    return _evaluate(command, appeal)


def _evaluate(command: Evaluate, appeal: Appeal) -> Sequence[Payload]:
    if appeal.state not in EVALUATED_IN and command.seen not in EVALUATED_IN:
        raise IllegalTransition("evaluation", str(command.seen))
    if command.until is not None and command.at > command.until:
        raise Refused("EVALUATION_OVER", "the time for evaluating this appeal is over")
    _not_too_many("EVALUATED_ENOUGH", appeal.evaluations, command.most)
    return [command.facts.model_copy(update={"number": appeal.evaluations + 1})]


def _attach(command: Attach, appeal: Appeal) -> Sequence[Payload]:
    appeal.must_be_open("attach", command.seen)
    _not_too_many("ATTACHED_ENOUGH", len(appeal.scans), command.most)
    return [command.facts.model_copy(update={"number": len(appeal.scans) + 1})]


def _scanned(command: NoteScan, appeal: Appeal) -> Sequence[Payload]:
    waits = appeal.scans.get(command.number) == "PENDING"
    return [AttachmentScanned(number=command.number, verdict=command.verdict)] if waits else []


def _link(command: Link, appeal: Appeal) -> Sequence[Payload]:
    if command.other.state is None:
        raise Refused("LINK_TARGET_MISSING", "the appeal to link with does not exist")
    if command.other == appeal:
        raise Refused("LINK_TO_ITSELF", "an appeal is not linked with itself")
    cluster = command.other.cluster or command.other_id
    return [] if cluster == appeal.cluster else [AppealLinked(cluster=cluster, reason=command.reason)]


def _helped(command: Invite | Contribute, appeal: Appeal) -> Sequence[Payload]:
    if isinstance(command, Invite):
        appeal.must_be_open("participants", command.seen)
        known = command.unit_id in appeal.participants
        return [] if known else [ParticipantInvited(unit_id=command.unit_id, reason=command.reason)]
    unit = command.actor.unit_id or ""
    if unit not in appeal.participants:
        raise NotYours
    appeal.must_be_open("contributions", command.seen)
    return [ParticipantContributed(unit_id=unit, text=command.text, number=appeal.contributions + 1)]


def _not_too_many(code: str, count: int, most: int) -> None:
    if count >= most:
        raise Refused(code, f"{most} times at most")
