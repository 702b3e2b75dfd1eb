"""The life of an appeal, as far as intake is answerable for it: it arrives once, and it ends once.

Between those two it belongs to routing and feedback. What they have made of it reaches a decision here as `seen`, the
state of the whole case when the command was given. Law: Regulation Art 10, 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.contracts.codes import ENDED, CaseState, Kind, Route
from shared.contracts.envelope import Payload
from shared.contracts.intake import (
    Alert,
    AppealAnsweredDirectly,
    AppealClosed,
    AppealLinked,
    AppealMerged,
    AppealRedirected,
    AppealRegistered,
    AppealSupplemented,
    AppealTagged,
    AppealUrged,
    AppealWithdrawn,
    AppellantRevealed,
    RiskAlertRaised,
)
from shared.engine.decider import Command, Decider, IllegalTransition, NotYours, Refused


@dataclass(frozen=True)
class Appeal:
    """What intake must remember to decide. `state` is None before registration."""

    state: CaseState | None = None
    ticket_no: str = ""
    kind: Kind = Kind.OTHER
    appellant_ref: str = ""
    subject_key: str = ""
    client: str = ""
    tracking_hash: str = ""
    tags: tuple[str, ...] = ()
    cluster: str | None = None
    supplements: int = 0
    urges: int = 0
    urged_at: datetime | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True, kw_only=True)
class Register(Command):
    """受理: put the appeal on record."""

    facts: AppealRegistered


@dataclass(frozen=True, kw_only=True)
class Answer(Command):
    """Answer a consultation at once."""

    text: str
    knowledge_id: str | None
    knowledge_edition: int | None = None
    seen: CaseState


@dataclass(frozen=True, kw_only=True)
class Redirect(Command):
    """Take one of the six special routes."""

    route: Route
    reason: str
    target: str | None
    seen: CaseState


@dataclass(frozen=True, kw_only=True)
class Merge(Command):
    """并单 into an earlier appeal of the same person. `target` is that appeal as it is now."""

    into: str
    reason: str
    target: Appeal
    seen: CaseState


@dataclass(frozen=True, kw_only=True)
class Withdraw(Command):
    """The appellant takes the appeal back."""

    reason: str | None
    seen: CaseState = CaseState.REGISTERED


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
class Reveal(Command):
    """Show somebody the appellant's name and contact."""

    purpose: str


@dataclass(frozen=True, kw_only=True)
class Close(Command):
    """The callback is over and nothing more is to be done."""

    round: int
    resolved: bool | None


def decide(command: Command, appeal: Appeal) -> Sequence[Payload]:
    if isinstance(command, Register):
        return _register(command, appeal)
    if appeal.state is None:
        raise NotYours
    match command:
        case Answer():
            return _answer(command, appeal)
        case Redirect():
            return _redirect(command, appeal)
        case Merge():
            return _merge(command, appeal)
        case Withdraw():
            return _withdraw(command, appeal)
        case Close():
            # Withdrawal and callback may cross; whoever was first has ended the appeal.
            return [] if appeal.ended else [AppealClosed(round=command.round, resolved=command.resolved)]
    return _along_the_way(command, appeal)


def _along_the_way(command: Command, appeal: Appeal) -> Sequence[Payload]:
    """What changes nothing about where the appeal stands."""
    match command:
        case Supplement():
            return _supplement(command, appeal)
        case Urge():
            return _urge(command, appeal)
        case Tag():
            return [] if command.tags == appeal.tags else [AppealTagged(tags=command.tags)]
        case RaiseAlert():
            return [command.alert]
        case Link():
            return _link(command, appeal)
        case Reveal():
            return [AppellantRevealed(purpose=command.purpose)]
    raise TypeError(command)


def _register(command: Register, appeal: Appeal) -> Sequence[Payload]:
    if appeal.state is not None:
        raise IllegalTransition("register", appeal.state)
    triage = command.facts.triage
    return [command.facts, *(_raised(alert, triage.version) for alert in triage.alerts)] if triage else [command.facts]


def _raised(alert: Alert, version: str) -> RiskAlertRaised:
    """What the words give away is reported in the same breath. Art 29."""
    return RiskAlertRaised(
        level=alert.level,
        category=alert.category,
        hand_over=alert.hand_over,
        words=alert.words,
        rules_version=version,
    )


def _answer(command: Answer, appeal: Appeal) -> Sequence[Payload]:
    _only_before_dispatch("answer", appeal, command.seen)
    if appeal.kind is not Kind.CONSULT:
        raise Refused("NOT_A_CONSULTATION", "only a consultation can be answered at once (Regulation Art 11)")
    return [
        AppealAnsweredDirectly(
            text=command.text, knowledge_id=command.knowledge_id, knowledge_edition=command.knowledge_edition
        )
    ]


def _redirect(command: Redirect, appeal: Appeal) -> Sequence[Payload]:
    _only_before_dispatch("redirect", appeal, command.seen)
    return [AppealRedirected(route=command.route, reason=command.reason, target=command.target)]


def _merge(command: Merge, appeal: Appeal) -> Sequence[Payload]:
    _only_before_dispatch("merge", appeal, command.seen)
    if command.target == appeal:
        raise Refused("MERGE_INTO_ITSELF", "an appeal cannot be merged into itself")
    if command.target.state is None:
        raise Refused("MERGE_TARGET_MISSING", "the appeal to merge into does not exist")
    if command.target.state is CaseState.MERGED:
        raise Refused("MERGE_TARGET_MERGED", "the appeal to merge into has itself been merged")
    if command.target.state in {CaseState.WITHDRAWN, CaseState.REDIRECTED}:
        raise Refused("MERGE_TARGET_ENDED", "nobody is dealing with the appeal to merge into")
    if command.target.appellant_ref != appeal.appellant_ref:
        raise Refused("DIFFERENT_APPELLANT", "only appeals of one appellant are merged; others keep their own answer")
    return [AppealMerged(into=command.into, reason=command.reason)]


def _withdraw(command: Withdraw, appeal: Appeal) -> Sequence[Payload]:
    if appeal.ended or command.seen in ENDED:  # the callback may be over before its news has closed the appeal here
        raise IllegalTransition("withdraw", str(appeal.state if appeal.ended else command.seen))
    return [AppealWithdrawn(reason=command.reason)]


def _supplement(command: Supplement, appeal: Appeal) -> Sequence[Payload]:
    _only_while_open("supplement", appeal, command.seen)
    if appeal.supplements >= command.most:
        raise Refused("SUPPLEMENTED_ENOUGH", f"an appeal is supplemented {command.most} times at most")
    return [AppealSupplemented(text=command.text, number=appeal.supplements + 1)]


def _urge(command: Urge, appeal: Appeal) -> Sequence[Payload]:
    _only_while_open("urge", appeal, command.seen)
    if appeal.urged_at is not None and command.at < appeal.urged_at + command.every:
        raise Refused("URGED_RECENTLY", "the unit was reminded a short while ago")
    return [AppealUrged(number=appeal.urges + 1, at=command.at, reason=command.reason)]


def _link(command: Link, appeal: Appeal) -> Sequence[Payload]:
    if command.other.state is None:
        raise Refused("LINK_TARGET_MISSING", "the appeal to link with does not exist")
    if command.other == appeal:
        raise Refused("LINK_TO_ITSELF", "an appeal is not linked with itself")
    cluster = command.other.cluster or command.other_id
    return [] if cluster == appeal.cluster else [AppealLinked(cluster=cluster, reason=command.reason)]


def _only_while_open(name: str, appeal: Appeal, seen: CaseState) -> None:
    """New facts after the end make a new appeal that relates to this one (state machine, row 25)."""
    if appeal.ended or seen in ENDED:
        raise IllegalTransition(name, str(appeal.state if appeal.ended else seen))


def _only_before_dispatch(name: str, appeal: Appeal, seen: CaseState) -> None:
    if appeal.state is not CaseState.REGISTERED:
        raise IllegalTransition(name, str(appeal.state))
    if seen is not CaseState.REGISTERED:
        raise IllegalTransition(name, seen)


_ENDS: dict[type[Payload], CaseState] = {
    AppealAnsweredDirectly: CaseState.ANSWERED,
    AppealRedirected: CaseState.REDIRECTED,
    AppealMerged: CaseState.MERGED,
    AppealWithdrawn: CaseState.WITHDRAWN,
    AppealClosed: CaseState.CLOSED,
}


def evolve(appeal: Appeal, event: Payload) -> Appeal:
    if isinstance(event, AppealRegistered):
        return Appeal(
            state=CaseState.REGISTERED,
            ticket_no=event.ticket_no,
            kind=event.kind,
            appellant_ref=event.appellant.ref,
            subject_key=event.appellant.key,
            client=event.client,
            tracking_hash=event.tracking_hash,
            tags=event.tags,
        )
    match event:
        case AppealSupplemented():
            return replace(appeal, supplements=event.number)
        case AppealUrged():
            return replace(appeal, urges=event.number, urged_at=event.at)
        case AppealTagged():
            return replace(appeal, tags=event.tags)
        case AppealLinked():
            return replace(appeal, cluster=event.cluster)
    return replace(appeal, state=_ENDS.get(type(event), appeal.state))


APPEAL = Decider("appeal", Appeal(), decide, evolve)
