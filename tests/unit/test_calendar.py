"""Working days of 2026 as the State Council's notice has them, and what is counted when there is no notice yet."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from services.routing_service.calendar import VERSION, after_working_days


def five(day: str) -> datetime:
    """Five in the afternoon of a day."""
    return datetime.fromisoformat(f"{day}T17:00+08:00")


@pytest.mark.parametrize(
    ("start", "days", "then"),
    [
        ("2026-11-23", 0, "2026-11-23"),
        ("2026-11-23", 1, "2026-11-24"),
        ("2026-11-27", 1, "2026-11-30"),  # Friday to Monday
        ("2026-11-28", 1, "2026-11-30"),  # what begins on a Saturday
        ("2026-11-23", 5, "2026-11-30"),
        ("2026-09-30", 1, "2026-10-08"),  # National Day, 1 to 7 October
        ("2026-10-03", 1, "2026-10-08"),
        ("2026-10-09", 1, "2026-10-10"),  # a Saturday that makes up for it
        ("2026-09-18", 1, "2026-09-20"),  # and a Sunday
        ("2026-09-18", 2, "2026-09-21"),
        ("2026-02-13", 1, "2026-02-14"),  # Spring Festival, 15 to 23 February, with a Saturday before and after
        ("2026-02-14", 1, "2026-02-24"),
        ("2026-02-27", 1, "2026-02-28"),
        ("2026-06-18", 1, "2026-06-22"),  # Dragon Boat Festival on a Friday
    ],
)
def test_so_many_working_days_later_at_the_same_time_of_day(start: str, days: int, then: str) -> None:
    assert after_working_days(five(start), days) == (five(then), False)


@pytest.mark.parametrize("day", range(1, 8))
def test_nobody_has_to_work_in_the_week_of_national_day(day: int) -> None:
    before = five("2026-10-08") - timedelta(days=day)
    assert after_working_days(before, 1).moment == five("2026-10-08")


def test_a_year_without_a_notice_is_counted_by_weekdays_and_marked_as_provisional() -> None:
    assert after_working_days(five("2099-01-02"), 1) == (five("2099-01-05"), True)
    assert after_working_days(five("2099-01-02"), 0) == (five("2099-01-02"), False)
    assert after_working_days(five("2099-01-05"), 4) == (five("2099-01-09"), True)


def test_one_unknown_day_makes_the_whole_count_provisional() -> None:
    assert after_working_days(five("2003-12-30"), 2) == (five("2004-01-02"), True)  # what is known begins with 2004
    assert after_working_days(five("2003-12-31"), 1) == (five("2004-01-02"), False)


def test_the_days_come_from_a_named_version_of_the_calendar() -> None:
    name, _, number = VERSION.partition("-")
    assert name == "chinesecalendar" and number[0].isdigit()
