"""What is counted for a unit: the measures that every assessment policy draws on, and how they add up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Counts:
    """Measures of one unit over some appeals; all but the two names are numbers of appeals (of whistles at the end).

    `callbacks` have ended, valid or not; `*_stated` are the valid ones in which that question was answered; `*_in_time`
    come from the log, not from what was said; `hard` appeals were complex or went up; whistles: Regulation Art 33.
    """

    unit_id: str
    name: str
    received: int = 0
    valid_callbacks: int = 0
    contacted: int = 0
    resolved: int = 0
    satisfied: int = 0
    basically_satisfied: int = 0
    dissatisfied: int = 0
    not_stated: int = 0
    closed: int = 0
    callbacks: int = 0
    contact_stated: int = 0
    resolution_stated: int = 0
    satisfaction_stated: int = 0
    signed_in_time: int = 0
    contacted_in_time: int = 0
    feedback_in_time: int = 0
    reworked: int = 0
    hard: int = 0
    hard_resolved: int = 0
    proactive_credits: int = 0
    hard_case_credits: int = 0
    whistles: int = 0
    whistles_justified: int = 0
    called: int = 0
    reported: int = 0
    reported_in_time: int = 0
    parts_solved: int = 0


MEASURES: tuple[str, ...] = tuple(field.name for field in fields(Counts))[2:]
_KNOWN = frozenset(MEASURES)
CREDITS = ("proactive_credits", "hard_case_credits")
"""Given to a unit for a period, not counted from appeals."""
NOTHING = (0,) * len(MEASURES)
Numbers = tuple[int, ...]
"""One number for each of MEASURES, in that order."""


def numbers(**measures: int) -> Numbers:
    """The numbers with these measures, nought elsewhere. Raises KeyError for a name that is none."""
    if not measures.keys() <= _KNOWN:
        raise KeyError(", ".join(measures.keys() - _KNOWN))
    return tuple([measures.get(name, 0) for name in MEASURES])


def added(one: Sequence[int], other: Sequence[int], sign: int = 1) -> Numbers:
    """The sum, or with another sign (or factor) so much more or less of the other."""
    return tuple([a + sign * b for a, b in zip(one, other, strict=True)])


def numbers_of(counts: Counts) -> Numbers:
    """The inverse of `counted`."""
    return tuple(getattr(counts, name) for name in MEASURES)


def counted(unit_id: str, name: str, found: Sequence[int]) -> Counts:
    """The counts of a unit from its numbers."""
    return Counts(unit_id, name, *found)


def total(units: Iterable[Counts], unit_id: str = "", name: str = "") -> Counts:
    """All of them together, as if they were one unit."""
    found: Numbers = NOTHING
    for one in units:
        found = added(found, numbers_of(one))
    return counted(unit_id, name, found)
