"""The life of an import: it starts, advances row by row, and ends; what was done is never done again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.envelope import Payload
from shared.contracts.intake import ImportAdvanced, ImportEnded, ImportStarted
from shared.engine.decider import Command, Decider, IllegalTransition, NotYours

FILES_KEY = "system:imports"
"""The key that bulk files are sealed with until they have been read."""
RUNNING = "RUNNING"
ENDED = "cn.gov.appeals.intake.import-ended.v1"
NOWHERE = ImportAdvanced(row=0, total=0, registered=0, already_there=0, refused=0, warned=0)


def object_of(import_id: str) -> str:
    """Under which name the file of an import is kept."""
    return f"imports/{import_id}"


@dataclass(frozen=True)
class Import:
    """How far an import is."""

    state: str | None = None
    started: ImportStarted | None = None
    reached: ImportAdvanced = NOWHERE


@dataclass(frozen=True, kw_only=True)
class Start(Command):
    """A file has come."""

    facts: ImportStarted


@dataclass(frozen=True, kw_only=True)
class Advance(Command):
    """Some more rows were dealt with."""

    facts: ImportAdvanced


@dataclass(frozen=True, kw_only=True)
class End(Command):
    """There is nothing more to be done."""

    facts: ImportEnded


def decide(command: Command, import_: Import) -> Sequence[Payload]:
    match command:
        case Start():
            if import_.state is not None:
                raise IllegalTransition("start", import_.state)
            return [command.facts]
        case Advance() | End() if import_.state is None:
            raise NotYours
        case Advance():
            if import_.state != RUNNING or command.facts.row <= import_.reached.row:
                raise IllegalTransition("advance", str(import_.state))
            return [command.facts]
        case End():
            return [command.facts] if import_.state == RUNNING else []
    raise TypeError(command)


def evolve(import_: Import, event: Payload) -> Import:
    match event:
        case ImportStarted():
            return Import(RUNNING, event)
        case ImportAdvanced():
            return Import(import_.state, import_.started, event)
        case ImportEnded():
            return Import(event.outcome, import_.started, import_.reached)
    return import_


IMPORT = Decider("import", Import(), decide, evolve)
