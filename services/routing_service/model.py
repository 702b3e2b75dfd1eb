"""The classifiers that were trained, and which of them is in force: stored, activated, and rolled back.

One stream for all, so that exactly one is in force at any time. A rollback goes to the one before, or to none: then
the rules alone serve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from shared.contracts.duties import ClassifierActivated, ClassifierRolledBack, ClassifierStored
from shared.contracts.envelope import Payload
from shared.engine.decider import Command, Decider, NotYours, Refused

SUBJECT = "classifiers"


def object_of(sha256: str) -> str:
    """Under which name a model file is kept."""
    return f"models/{sha256}"


def version_of(sha256: str) -> str:
    """What a model is called: by its content, so that the same file is the same version."""
    return f"clf-{sha256[:12]}"


@dataclass(frozen=True)
class Models:
    """`stored`: how good each version is; `history` are the activations that stand, the last one in force."""

    stored: Mapping[str, ClassifierStored] = field(default_factory=dict)
    history: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """The version in force, or NONE."""
        return self.history[-1] if self.history else "NONE"


@dataclass(frozen=True, kw_only=True)
class Store(Command):
    """A model file has been read and kept."""

    facts: ClassifierStored


@dataclass(frozen=True, kw_only=True)
class Activate(Command):
    """Let proposals be made with it, if it is good enough."""

    version: str
    least_macro_f1: Decimal


@dataclass(frozen=True, kw_only=True)
class RollBack(Command):
    """The version in force goes; the one before serves again."""

    reason: str


def decide(command: Command, models: Models) -> Sequence[Payload]:
    match command:
        case Store():
            return [] if command.facts.model_version in models.stored else [command.facts]
        case Activate():
            if command.version not in models.stored:
                raise NotYours
            if models.history and models.history[-1] == command.version:
                return []
            if Decimal(models.stored[command.version].measures["macro_f1"]) < command.least_macro_f1:
                detail = f"its macro-F1 on messages that it had not seen is below {command.least_macro_f1}"
                raise Refused("CLASSIFIER_TOO_POOR", f"{detail}; train it on more or better examples")
            before = models.history[-1] if models.history else None
            return [ClassifierActivated(model_version=command.version, previous=before)]
        case RollBack():
            if not models.history:
                raise Refused("NO_CLASSIFIER", "no classifier is in force; the rules alone serve")
            gone, *rest = reversed(models.history)
            return [ClassifierRolledBack(model_version=gone, to=rest[0] if rest else None, reason=command.reason)]
    raise TypeError(command)


def evolve(models: Models, event: Payload) -> Models:
    match event:
        case ClassifierStored():
            return replace(models, stored={**models.stored, event.model_version: event})
        case ClassifierActivated():
            return replace(models, history=(*models.history, event.model_version))
        case ClassifierRolledBack():
            return replace(models, history=models.history[:-1])
    return models


MODELS = Decider("model", Models(), decide, evolve)
