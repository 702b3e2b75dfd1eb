"""Working together: the street whistles and departments report in; beyond one's power it goes up; others may watch.

What a department does or refuses is on the record and enters both sides' assessment. Law: Art 14, 16, 20, 33.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.routing_service.limits import Limits
from services.routing_service.state import ENDED, Order, Whistle
from shared.contracts.codes import CaseState, UnitType
from shared.contracts.envelope import Payload
from shared.contracts.routing import (
    DepartmentReported,
    OrderEscalated,
    ReportInOverdue,
    SubtaskClosed,
    SupervisionOpened,
    WhistleBlown,
    WhistleClosed,
)
from shared.engine.decider import Command, IllegalTransition, NotYours, Refused

WhistleKind = Literal["APPEAL", "KEY_TASK", "ENFORCEMENT", "EMERGENCY"]
Level = Literal["DISTRICT", "MUNICIPAL", "LINE_AUTHORITY"]


@dataclass(frozen=True, kw_only=True)
class BlowWhistle(Command):
    """The street calls departments."""

    kind: WhistleKind
    departments: tuple[str, ...]
    reason: str
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class ReportIn(Command):
    """A department comes, or refuses."""

    number: int | None
    refused: bool
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class CloseSubtask(Command):
    """A department has done its part."""

    number: int
    solved: bool
    result: str


@dataclass(frozen=True, kw_only=True)
class CloseWhistle(Command):
    """The street lets the departments go."""

    number: int | None
    solved: bool
    justified: bool


@dataclass(frozen=True, kw_only=True)
class Escalate(Command):
    """It is beyond the unit's power."""

    level: Level
    reason: str


@dataclass(frozen=True, kw_only=True)
class Supervise(Command):
    """The handling itself is to be watched."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class NoteReportInOverdue(Command):
    """The time to report in has passed."""


def decide(command: Command, order: Order) -> Sequence[Payload]:
    match command:
        case BlowWhistle():
            return _blow(command, order)
        case ReportIn():
            return _report_in(command, order)
        case CloseSubtask():
            return _close_subtask(command, order)
        case CloseWhistle():
            return _close_whistle(command, order)
        case NoteReportInOverdue():
            return [event for one in order.whistles.values() for event in _overdue(one, command, order)]
        case Escalate():
            _in_hand("escalate", order)
            return [OrderEscalated(level=command.level, reason=command.reason)]
        case Supervise():
            if order.dispatch is None or order.state in ENDED:
                raise IllegalTransition("supervise", str(order.state))
            if command.actor.unit_id == order.lead_unit:
                raise Refused("OWN_CASE", "nobody watches themselves")
            return [SupervisionOpened(reason=command.reason)]
    raise TypeError(command)


def _blow(command: BlowWhistle, order: Order) -> Sequence[Payload]:
    _in_hand("whistle", order)
    if order.dispatch is None or command.actor.unit_id != order.lead_unit:
        raise NotYours
    if order.dispatch.unit_type is not UnitType.STREET_TOWN:
        raise Refused("ONLY_STREETS_WHISTLE", "streets and towns whistle for departments (Regulation Art 16)")
    if order.lead_unit in command.departments:
        raise Refused("WHISTLE_FOR_ONESELF", "name the departments that are to come")
    return [
        WhistleBlown(
            number=len(order.whistles) + 1,
            kind=command.kind,
            departments=tuple(dict.fromkeys(command.departments)),
            reason=command.reason,
            report_due_at=command.limits.report_until(command.kind, command.at),
        )
    ]


def _report_in(command: ReportIn, order: Order) -> Sequence[Payload]:
    unit = command.actor.unit_id or ""
    number, whistle = _called(command.number, unit, "report-in", order)
    if unit in whistle.reported:
        return []
    if command.refused and not command.reason:
        raise Refused("REASON_NEEDED", "a department that does not come says why (Regulation Art 14)")
    late = command.at > whistle.blown.report_due_at
    return [DepartmentReported(number=number, unit_id=unit, refused=command.refused, reason=command.reason, late=late)]


def _close_subtask(command: CloseSubtask, order: Order) -> Sequence[Payload]:
    unit = command.actor.unit_id or ""
    number, whistle = _called(command.number, unit, "subtask close", order)
    if unit not in whistle.reported:
        raise Refused("NOT_REPORTED_IN", "a department reports in before it closes its part")
    if unit in whistle.closed:
        return []
    return [SubtaskClosed(number=number, unit_id=unit, solved=command.solved, result=command.result)]


def _close_whistle(command: CloseWhistle, order: Order) -> Sequence[Payload]:
    if order.dispatch is None or command.actor.unit_id != order.lead_unit:
        raise NotYours
    number = command.number or max(order.whistles, default=0)
    whistle = order.whistles.get(number)
    if whistle is None or whistle.over or order.state in ENDED:
        raise IllegalTransition("whistle close", str(order.state))
    absent = tuple(unit for unit in whistle.blown.departments if unit not in whistle.reported)
    return [WhistleClosed(number=number, justified=command.justified, solved=command.solved, absent=absent)]


def _overdue(whistle: Whistle, command: Command, order: Order) -> Sequence[Payload]:
    blown = whistle.blown
    absent = tuple(unit for unit in blown.departments if unit not in whistle.reported)
    if whistle.over or whistle.overdue or not absent or order.state in ENDED or command.at < blown.report_due_at:
        return []
    return [ReportInOverdue(number=blown.number, absent=absent, report_due_at=blown.report_due_at)]


def _called(number: int | None, unit: str, name: str, order: Order) -> tuple[int, Whistle]:
    """The whistle that a department was called by: the one named, or the last. Raises NotYours when it was not."""
    mine = {no: one for no, one in order.whistles.items() if unit in one.blown.departments}
    found = mine.get(number if number is not None else max(mine, default=0))
    if found is None:
        raise NotYours
    if found.over or order.state in ENDED:
        raise IllegalTransition(name, str(order.state) if order.state in ENDED else "whistle closed")
    return found.blown.number, found


def _in_hand(name: str, order: Order) -> None:
    """A unit has signed, and its time runs or rests."""
    if order.state not in {CaseState.SIGNED, CaseState.ON_LEDGER}:
        raise IllegalTransition(name, str(order.state))
