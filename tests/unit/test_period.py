"""考核期 and report day: the calendar of assessment, in Beijing time whatever the zone of a moment (vectors V12)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scoring_service.period import bounds, period_of, report_day
from shared.contracts.envelope import BEIJING

BRIEFLY = settings(max_examples=50, deadline=None)
MOMENT = timedelta(microseconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("moment", "period"),
    [
        ("2025-10-18T23:59:59+08:00", "2025-10"),
        ("2025-10-19T00:00:00+08:00", "2025-11"),
        ("2025-10-18T16:00:00+00:00", "2025-11"),
        ("2025-10-18T15:59:59+00:00", "2025-10"),
        ("2024-12-18T23:59:59+08:00", "2024-12"),
        ("2024-12-19T00:00:00+08:00", "2025-01"),
    ],
)
def test_v12_month_m_begins_on_the_19th_of_the_month_before(moment: str, period: str) -> None:
    assert period_of(at(moment), 19) == period


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2025-05-01T11:59:59+08:00", date(2025, 5, 1)),
        ("2025-05-01T12:00:00+08:00", date(2025, 5, 2)),
        ("2025-05-01T04:00:00+00:00", date(2025, 5, 2)),
        ("2025-12-31T12:00:00+08:00", date(2026, 1, 1)),
    ],
)
def test_v12_a_report_day_runs_from_noon_to_noon(moment: str, day: date) -> None:
    assert report_day(at(moment), 12) == day


def test_a_report_day_that_starts_at_midnight_is_the_calendar_day() -> None:
    assert report_day(at("2025-05-01T00:00:00+08:00"), 0) == date(2025, 5, 1)
    assert report_day(at("2025-05-01T23:59:59+08:00"), 0) == date(2025, 5, 1)


@pytest.mark.parametrize(
    ("moment", "period"),
    [
        ("2025-10-01T00:00:00+08:00", "2025-10"),
        ("2025-10-31T23:59:59+08:00", "2025-10"),
        ("2025-10-31T16:00:00+00:00", "2025-11"),
        ("2025-12-31T23:59:59+08:00", "2025-12"),
    ],
)
def test_with_start_day_one_a_period_is_the_calendar_month(moment: str, period: str) -> None:
    assert period_of(at(moment), 1) == period


@pytest.mark.parametrize(
    ("period", "start_day", "first", "after"),
    [
        ("2025-11", 19, "2025-10-19", "2025-11-19"),
        ("2025-01", 19, "2024-12-19", "2025-01-19"),
        ("2025-12", 1, "2025-12-01", "2026-01-01"),
        ("2024-02", 1, "2024-02-01", "2024-03-01"),
        ("2025-03", 28, "2025-02-28", "2025-03-28"),
    ],
)
def test_bounds_are_midnights_in_beijing(period: str, start_day: int, first: str, after: str) -> None:
    assert bounds(period, start_day) == (at(f"{first}T00:00+08:00"), at(f"{after}T00:00+08:00"))


@pytest.mark.parametrize(
    "period", ["", "2025", "2025-00", "2025-13", "2025-1", "25-01", "2025-01-01", "1899-12", "2201-01"]
)
def test_what_is_not_a_period_has_no_bounds(period: str) -> None:
    with pytest.raises(ValueError):
        bounds(period, 19)


@pytest.mark.parametrize("period", ["2025-10\n", "２０２５-10"])
def test_a_period_is_written_in_exactly_seven_ascii_characters(period: str) -> None:
    with pytest.raises(ValueError):
        bounds(period, 19)


moments = st.datetimes(datetime(1950, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC))
days = st.integers(1, 28)


@BRIEFLY
@given(moments, days)
def test_every_moment_lies_within_the_bounds_of_its_period(moment: datetime, start_day: int) -> None:
    first, after = bounds(period_of(moment, start_day), start_day)
    assert first <= moment < after


@BRIEFLY
@given(moments, days)
def test_periods_follow_each_other_without_gap_or_overlap(moment: datetime, start_day: int) -> None:
    period = period_of(moment, start_day)
    first, after = bounds(period, start_day)
    assert period_of(first, start_day) == period
    assert period_of(after - MOMENT, start_day) == period
    following = period_of(after, start_day)
    assert following > period
    assert bounds(following, start_day)[0] == after


@BRIEFLY
@given(moments, days, st.integers(-14 * 60, 14 * 60))
def test_the_zone_that_a_moment_is_written_in_does_not_matter(moment: datetime, start_day: int, offset: int) -> None:
    elsewhere = moment.astimezone(timezone(timedelta(minutes=offset)))
    assert period_of(elsewhere, start_day) == period_of(moment, start_day)
    assert report_day(elsewhere, 12) == report_day(moment, 12)


@BRIEFLY
@given(moments, st.integers(1, 23))
def test_a_report_day_holds_the_24_hours_that_end_on_it(moment: datetime, hour: int) -> None:
    end = datetime.combine(report_day(moment, hour), datetime.min.time(), BEIJING) + timedelta(hours=hour)
    assert end - timedelta(hours=24) <= moment < end
