"""The figures of feedback, as versioned data: what a unit owes, how it calls back, what supervision looks at."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

from shared.contracts.codes import EvidenceRole, Language, Question, Satisfaction, Urgency
from shared.contracts.envelope import BEIJING

DATA = Path(__file__).parent / "data"
T = TypeVar("T")
Words = Mapping[Language, str]


@dataclass(frozen=True)
class CallbackPolicy:
    """callback.toml"""

    version: str
    early_after: timedelta
    start_within: timedelta
    attempts_before_invalid: int
    attempts_apart: timedelta
    most_attempts_a_day: int
    calls_from: time
    calls_until: time
    assigned_for: timedelta
    most_rounds: int
    reopen_within: timedelta
    evaluate_within: timedelta
    most_evaluations: int
    recheck_share: Decimal
    recheck_within: timedelta
    contest_within: timedelta
    review_within: timedelta
    reasons: Mapping[Question, Mapping[str, Words]]
    digits: Mapping[Question, Mapping[str, bool | Satisfaction]]

    def said_by(self, text: str) -> dict[Question, bool | Satisfaction | None] | None:
        """What digits sent back to a message say, one a question; None for words."""
        digits = unicodedata.normalize("NFKC", re.sub(r"\W", "", text))
        if len(digits) != len(Question) or not digits.isascii() or not digits.isdigit():
            return None
        return {question: self.digits[question].get(digit) for question, digit in zip(Question, digits, strict=True)}


@dataclass(frozen=True)
class ContactPolicy:
    """When the appellant counts as reached in time, and when as not to be reached at all."""

    unreachable_after: int
    apart: timedelta
    needed_before_result: bool
    within: Mapping[Urgency, timedelta]


@dataclass(frozen=True)
class ThreadPolicy:
    """How long the appellant waits for an answer to a message."""

    answer_within: timedelta
    most_replies: int


@dataclass(frozen=True)
class AnswerPolicy:
    """What is looked at in an answer."""

    refused_below: int
    short_below: int
    template_below: int
    alike: Decimal
    most_alike: int
    alike_within: timedelta
    alike_from: int
    stock: Sequence[str]


@dataclass(frozen=True)
class EvidenceRule:
    """What an answer about these categories must show."""

    categories: Sequence[str]
    roles: frozenset[EvidenceRole]
    action: Literal["REFUSE", "NOTE"]


@dataclass(frozen=True)
class HandlingPolicy:
    """handling.toml"""

    version: str
    contact: ContactPolicy
    thread: ThreadPolicy
    answers: AnswerPolicy
    evidence: Sequence[EvidenceRule]


@dataclass(frozen=True)
class DetectorPolicy:
    """detectors.toml"""

    version: str
    soon_after_closing: timedelta
    period_day: int
    burst_days: int
    burst_times: Decimal
    burst_least: int
    burst_mean_days: int


@cache
def callback_policy() -> CallbackPolicy:
    """How the hotline calls back."""
    return _shipped("callback.toml", CallbackPolicy)


@cache
def handling_policy() -> HandlingPolicy:
    """What a unit owes."""
    return _shipped("handling.toml", HandlingPolicy)


@cache
def detector_policy() -> DetectorPolicy:
    """What supervision looks at."""
    return _shipped("detectors.toml", DetectorPolicy)


def _shipped(name: str, shape: type[T]) -> T:
    return TypeAdapter(shape).validate_python(read_table(name))


def read_table(name: str) -> dict[str, Any]:
    """One of the shipped tables."""
    return tomllib.loads((DATA / name).read_text(encoding="utf-8"))


def within_hours(at: datetime, begin: time, end: time) -> bool:
    """Whether a moment lies between two times of day in Beijing; past midnight where the end is the earlier."""
    now = at.astimezone(BEIJING).time()
    return begin <= now < end if begin <= end else now >= begin or now < end


def next_time(at: datetime, of_day: time) -> datetime:
    """The next moment that has this time of day in Beijing."""
    local = at.astimezone(BEIJING)
    today = datetime.combine(local.date(), of_day, BEIJING)
    return today if today > local else today + timedelta(days=1)
