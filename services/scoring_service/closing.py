"""关账: a period's tables are published once; what changes later is published beside them, never over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.contracts.codes import League
from shared.contracts.envelope import Payload
from shared.contracts.scoring import PeriodClosed, PeriodRestated
from shared.engine.decider import Command, Decider, Refused


@dataclass(frozen=True)
class Period:
    """The last publication of each league."""

    last: Mapping[League, PeriodClosed | PeriodRestated] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return "CLOSED" if self.last else "OPEN"


@dataclass(frozen=True, kw_only=True)
class ClosePeriod(Command):
    """Publish these tables."""

    tables: Sequence[PeriodClosed]


@dataclass(frozen=True, kw_only=True)
class RestatePeriod(Command):
    """Publish these beside the ones before, where they say something else."""

    tables: Sequence[PeriodRestated]


def decide(command: Command, period: Period) -> Sequence[Payload]:
    match command:
        case ClosePeriod():
            if period.last:
                raise Refused("PERIOD_CLOSED", "this period has been closed; later changes are restatements")
            return list(command.tables)
        case RestatePeriod():
            return [one for one in command.tables if _is_next(one, period)]
    raise TypeError(command)


def _is_next(one: PeriodRestated, period: Period) -> bool:
    """Whether it follows on the last publication, and differs from it."""
    last = period.last.get(League(one.league))
    return last is not None and one.replaces == last.digest and one.figures != last.figures


def evolve(period: Period, event: Payload) -> Period:
    if isinstance(event, PeriodClosed | PeriodRestated):
        return Period({**period.last, League(event.league): event})
    return period


PERIOD = Decider("period", Period(), decide, evolve)
