"""Working days, as the State Council's yearly notice has them: holidays, and the weekend days that make up for them.

The days of a year are known once its notice is out, in the November before; what lies beyond is counted by weekdays
alone and marked as provisional.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import NamedTuple

import chinese_calendar

VERSION = f"chinesecalendar-{chinese_calendar.__version__}"


class WorkingTime(NamedTuple):
    """A moment so many working days later. `provisional`: the official days of its year are not known yet."""

    moment: datetime
    provisional: bool


Works = Callable[[date], tuple[bool, bool]]
"""Whether people work on a day, and whether that is official."""


def official(day: date) -> tuple[bool, bool]:
    """By the notice of its year; by the weekday where there is none yet."""
    try:
        return chinese_calendar.is_workday(day), True
    except NotImplementedError:
        return day.weekday() < 5, False


def after_working_days(start: datetime, days: int, works: Works = official) -> WorkingTime:
    """The same time of day on the `days`-th working day after that of `start`."""
    moment, provisional, left = start, False, days
    while left:
        moment += timedelta(days=1)
        at_work, known = works(moment.date())
        provisional |= not known
        left -= at_work
    return WorkingTime(moment, provisional)
