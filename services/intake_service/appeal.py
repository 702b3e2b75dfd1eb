"""The life of an appeal, as far as intake is answerable for it: it arrives once, and it ends once.

Between those two it belongs to routing and feedback. What they have made of it reaches a decision here as `seen`, the
state of the whole case when the command was given. Law: Regulation Art 10, 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.intake_service import along_the_way
from services.intake_service.state import Appeal, evolve
from shared.contracts.codes import ENDED, CaseState, Kind, Route
from shared.contracts.envelope import Payload
from shared.contracts.intake import (
    Alert,
    AppealAnsweredDirectly,
    AppealClosed,
    AppealMerged,
    AppealRedirected,
    AppealRegistered,
    AppealReopened,
    AppealWithdrawn,
    RiskAlertRaised,
)
from shared.engine.decider import Command, Decider, IllegalTransition, NotYours, Refused


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
class Close(Command):
    """The callback is over and nothing more is to be done."""

    round: int
    resolved: bool | None


@dataclass(frozen=True, kw_only=True)
class NoteReopened(Command):
    """Feedback lets the appellant have another round."""

    round: int


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
        case NoteReopened():
            return [AppealReopened(round=command.round)] if appeal.state is CaseState.CLOSED else []
    return along_the_way.decide(command, appeal)


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


def _only_before_dispatch(name: str, appeal: Appeal, seen: CaseState) -> None:
    if appeal.state is not CaseState.REGISTERED:
        raise IllegalTransition(name, str(appeal.state))
    if seen is not CaseState.REGISTERED:
        raise IllegalTransition(name, seen)


APPEAL = Decider("appeal", Appeal(), decide, evolve)
