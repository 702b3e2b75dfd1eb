"""突击办结: what stands out in the last days of a period, to the day and to the case."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from services.feedback_service.bursts import bursts, last_end
from services.feedback_service.policy import detector_policy

POLICY = detector_policy()
END = date(2026, 11, 19)
BEGIN = END - timedelta(days=POLICY.burst_days)
FIRST = BEGIN - timedelta(days=POLICY.burst_mean_days)
DAY = timedelta(days=1)


def every_day(count: int) -> Counter[date]:
    """As many on each of the days that the mean is taken of."""
    return Counter({FIRST + number * DAY: count for number in range(POLICY.burst_mean_days)})


def completed(counts: Counter[date]) -> str | None:
    figures = bursts(counts, END, POLICY)
    return figures["completed"] if figures else None


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-11-18T23:59:59.999+08:00", date(2026, 10, 19)),
        ("2026-11-19T00:00:00.000+08:00", date(2026, 11, 19)),
        ("2026-11-18T16:00:00.000+00:00", date(2026, 11, 19)),
        ("2026-11-30T12:00:00.000+08:00", date(2026, 11, 19)),
        ("2027-01-01T00:00:00.000+08:00", date(2026, 12, 19)),
        ("2027-03-18T12:00:00.000+08:00", date(2027, 2, 19)),
        ("2028-03-31T12:00:00.000+08:00", date(2028, 3, 19)),
    ],
)
def test_a_period_ends_when_its_day_begins_in_beijing(now: str, end: date) -> None:
    moment = datetime.fromisoformat(now)
    assert last_end(moment, POLICY) == last_end(moment.astimezone(UTC), POLICY) == end


def test_exactly_so_many_times_the_mean_is_no_burst_and_one_more_is() -> None:
    usual = every_day(2)
    times = int(POLICY.burst_times) * 2 * POLICY.burst_days
    assert times >= POLICY.burst_least
    assert completed(usual + Counter({BEGIN: times})) is None
    assert completed(usual + Counter({BEGIN: times + 1})) == str(times + 1)


@pytest.mark.parametrize("day", range(POLICY.burst_days))
def test_fewer_than_the_least_are_no_burst_on_whichever_of_the_last_days(day: int) -> None:
    last = BEGIN + day * DAY
    assert completed(Counter({last: POLICY.burst_least - 1})) is None
    assert completed(Counter({last: POLICY.burst_least})) == str(POLICY.burst_least)


def test_the_last_days_are_added_up_and_the_day_that_ends_the_period_belongs_to_the_next() -> None:
    half = POLICY.burst_least // 2
    assert completed(Counter({END - DAY: half, BEGIN: POLICY.burst_least - half})) == str(POLICY.burst_least)
    assert completed(Counter({END: 1000, BEGIN - DAY: 1})) is None


def test_the_mean_is_taken_of_the_days_before_and_of_no_others() -> None:
    last = Counter({BEGIN: POLICY.burst_least})
    enough = POLICY.burst_least * POLICY.burst_mean_days
    for day in (FIRST, BEGIN - DAY):
        assert completed(last + Counter({day: enough})) is None
    assert completed(last + Counter({FIRST - DAY: enough, END: enough})) == str(POLICY.burst_least)


def test_a_lead_says_what_it_was_read_off() -> None:
    figures = bursts(every_day(1) + Counter({FIRST: 1, BEGIN: 20}), END, POLICY)
    assert figures == {"period_end": "2026-11-19", "completed": "20", "daily_mean_before": "1.04"}


def test_a_unit_that_answered_nothing_shows_nothing() -> None:
    assert completed(Counter()) is None


def test_the_figures_are_the_policys() -> None:
    counts = every_day(2) + Counter({BEGIN: 12})
    assert bursts(counts, END, POLICY) is None
    assert bursts(counts, END, replace(POLICY, burst_times=Decimal("2.99")))
    assert bursts(counts, END, replace(POLICY, burst_times=Decimal(1), burst_least=13)) is None
