"""四眼原则: what takes two officers. The first asks, the second approves, and then it is done once (ASVS 2.3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.contracts.access import (
    MasterKeyDestroyed,
    OperationApproved,
    OperationCarriedOut,
    OperationKind,
    OperationRequested,
)
from shared.contracts.envelope import Payload
from shared.engine.decider import Command, Decider, NotYours, Refused


@dataclass(frozen=True)
class Operation:
    """How far it has come."""

    kind: OperationKind | None = None
    target: str = ""
    asked_by: str = ""
    good_until: datetime | None = None
    done: bool = False
    key_destroyed: bool = False

    @property
    def state(self) -> str:
        if self.done:
            return "CARRIED_OUT"
        return "APPROVED" if self.good_until else "REQUESTED"


@dataclass(frozen=True, kw_only=True)
class AskFor(Command):
    """Ask for an operation."""

    kind: OperationKind
    target: str
    ground: str


@dataclass(frozen=True, kw_only=True)
class Approve(Command):
    """Approve what another officer asked for."""

    good_for: timedelta


@dataclass(frozen=True, kw_only=True)
class CarryOut(Command):
    """Note that it is being done, just before it is. `target` is what is about to be done."""

    kind: OperationKind
    target: str
    count: int = 0


@dataclass(frozen=True, kw_only=True)
class NoteDestroyed(Command):
    """Note that the master key which a rotation replaced is destroyed, just before it is. `key_id`: in hexadecimal."""

    key_id: str


def decide(command: Command, operation: Operation) -> Sequence[Payload]:
    officer = command.actor.sub or ""
    if isinstance(command, AskFor):
        asked = {"kind": command.kind, "target": command.target, "ground": command.ground}
        return [OperationRequested(**asked, by=officer)] if operation.kind is None else []
    if operation.kind is None:
        raise NotYours
    if isinstance(command, NoteDestroyed):
        return _destroyed(command, operation)
    if operation.done:
        raise Refused("OPERATION_OVER", "this was done already; ask for it anew")
    match command:
        case Approve():
            if officer == operation.asked_by:
                raise Refused("SECOND_OFFICER_NEEDED", "another officer must approve")
            return [OperationApproved(by=officer, good_until=command.at + command.good_for)]
        case CarryOut():
            if operation.good_until is None:
                raise Refused("SECOND_OFFICER_NEEDED", "another officer must approve first")
            if (command.kind, command.target) != (operation.kind, operation.target):
                raise Refused("OPERATION_DIFFERS", "this is not what was approved")
            if command.at > operation.good_until:
                raise Refused("OPERATION_OVER", "the approval has lapsed; ask for it anew")
            return [OperationCarriedOut(count=command.count)]
    raise TypeError(command)


def _destroyed(command: NoteDestroyed, operation: Operation) -> Sequence[Payload]:
    if operation.kind != "KEY_ROTATION" or not operation.done:
        raise Refused("OPERATION_DIFFERS", "no master key was replaced by this")
    return [] if operation.key_destroyed else [MasterKeyDestroyed(key_id=command.key_id)]


def evolve(operation: Operation, event: Payload) -> Operation:
    match event:
        case OperationRequested():
            return Operation(event.kind, event.target, event.by)
        case OperationApproved():
            return replace(operation, good_until=event.good_until)
        case OperationCarriedOut():
            return replace(operation, done=True)
        case MasterKeyDestroyed():
            return replace(operation, key_destroyed=True)
    return operation


OPERATION = Decider("operation", Operation(), decide, evolve)
