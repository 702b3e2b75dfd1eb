"""Wrong tracking codes: how many are too many, for how long, and how many tickets are counted at once."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from shared.contracts.envelope import BEIJING
from shared.web import tracking
from shared.web.problems import Problem
from shared.web.tracking import TRACKING_CODE, WrongCodes, hash_of, shows_the_code, tracking_policy

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=BEIJING)
MS = timedelta(milliseconds=1)
MOST, WITHIN = tracking_policy().wrong_codes, tracking_policy().within
TICKET, OTHER = "20261123-0000001", "20261123-0000002"
CODE = "0AA203AF-453BFEA8-8DA81047-36171BC6-0011C3AF"


def tried(times: int, at: datetime = NOW, ticket_no: str = TICKET) -> WrongCodes:
    """So many wrong codes, as far as they are taken."""
    counted = WrongCodes()
    for _ in range(times):
        counted_or_refused(counted, at, ticket_no)
    return counted


def counted_or_refused(codes: WrongCodes, at: datetime, ticket_no: str = TICKET) -> int | None:
    """After how many seconds one may try again; None where it was only counted."""
    try:
        codes.note(ticket_no, at)
    except Problem as problem:
        assert problem.code == "TOO_MANY_ATTEMPTS"
        return int(problem.headers["Retry-After"])
    return None


@pytest.mark.parametrize(("before", "refused"), [(0, False), (MOST - 1, False), (MOST, True), (MOST + 5, True)])
def test_so_many_wrong_codes_are_borne_and_the_next_is_not(before: int, refused: bool) -> None:
    assert (counted_or_refused(tried(before), NOW) is not None) is refused


@pytest.mark.parametrize(("times", "exceeded"), [(0, False), (MOST, False), (MOST + 1, True), (MOST + 9, True)])
def test_there_were_too_many_once_one_was_refused(times: int, exceeded: bool) -> None:
    assert tried(times).exceeded(TICKET) is exceeded


@pytest.mark.parametrize(
    ("after", "wait"),
    [
        (timedelta(0), WITHIN.total_seconds() + 1),
        (timedelta(minutes=1), WITHIN.total_seconds() - 59),
        (WITHIN - MS, 1),
        (WITHIN, None),
    ],
)
def test_they_are_forgotten_after_the_policys_time_and_it_is_said_when(after: timedelta, wait: float | None) -> None:
    codes = tried(MOST)
    assert counted_or_refused(codes, NOW + after) == wait
    assert codes.exceeded(TICKET) is (wait is not None)


def test_the_time_runs_from_the_first_one_and_then_all_begins_anew() -> None:
    codes = tried(1)
    for _ in range(MOST - 1):
        assert counted_or_refused(codes, NOW + WITHIN - MS) is None
    assert counted_or_refused(codes, NOW + WITHIN - MS) == 1
    assert [counted_or_refused(codes, NOW + WITHIN) for _ in range(MOST)] == [None] * MOST
    assert counted_or_refused(codes, NOW + WITHIN) is not None


def test_whoever_goes_on_does_not_wait_longer_for_it() -> None:
    assert counted_or_refused(tried(MOST + 100), NOW + WITHIN) is None


def test_each_ticket_is_counted_for_itself() -> None:
    codes = tried(MOST + 1)
    assert counted_or_refused(codes, NOW, OTHER) is None
    assert (codes.exceeded(TICKET), codes.exceeded(OTHER)) == (True, False)


def test_only_so_many_are_kept_and_the_one_that_was_tried_longest_ago_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "MOST_COUNTED", 3)
    codes = tried(MOST + 1)
    for number in range(2):
        codes.note(f"other {number}", NOW)
    counted_or_refused(codes, NOW)
    for number in range(2, 4):
        codes.note(f"other {number}", NOW)
    assert codes.exceeded(TICKET)
    codes.note("one more", NOW)
    assert not codes.exceeded(TICKET)
    assert counted_or_refused(codes, NOW) is None


@pytest.mark.parametrize(
    ("shown", "fits"),
    [(CODE, True), (CODE.lower(), True), (f" {CODE} ", True), (CODE[:-1], False), ("", False), ("王", False)],
)
def test_a_code_is_known_by_its_hash_however_it_is_typed(shown: str, fits: bool) -> None:
    assert shows_the_code({TRACKING_CODE: shown}, hash_of(CODE)) is fits
    assert not shows_the_code({}, hash_of(CODE))
