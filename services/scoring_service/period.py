"""考核期: which month an appeal counts for, and which report day. Beijing time, fixed at +08:00.

With start day 19, month M runs from the 19th of the month before, 00:00, to the 19th of M, 00:00 (domain specification,
section 2.2). A report day D runs from noon to noon and ends on D.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

from shared.contracts.envelope import BEIJING

_PERIOD = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


def period_of(moment: datetime, start_day: int) -> str:
    """The period key, YYYY-MM, of a moment."""
    local = moment.astimezone(BEIJING)
    months = local.year * 12 + local.month - 1 + (1 if start_day > 1 and local.day >= start_day else 0)
    return f"{months // 12:04d}-{months % 12 + 1:02d}"


def bounds(period: str, start_day: int) -> tuple[datetime, datetime]:
    """First moment of a period and first moment after it. Raises ValueError for anything but YYYY-MM."""
    match = _PERIOD.fullmatch(period)
    if match is None or not 1900 <= int(match[1]) <= 2200:
        raise ValueError("a period is written YYYY-MM")
    months = int(match[1]) * 12 + int(match[2]) - 1
    first = months - 1 if start_day > 1 else months
    return _start(first, start_day), _start(first + 1, start_day)


def neighbour(period: str, months: int) -> str:
    """The period so many months later, or with a negative number earlier."""
    year, month = map(int, period.split("-"))
    count = year * 12 + month - 1 + months
    return f"{count // 12:04d}-{count % 12 + 1:02d}"


def _start(months: int, day: int) -> datetime:
    return datetime(months // 12, months % 12 + 1, day, tzinfo=BEIJING)


def report_day(moment: datetime, start_hour: int) -> date:
    """The day of the daily report that a moment counts for."""
    local = moment.astimezone(BEIJING)
    return (local + timedelta(hours=24 - start_hour)).date() if start_hour else local.date()
