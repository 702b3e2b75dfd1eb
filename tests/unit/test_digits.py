"""What digits sent back to a text message say, one a question; what is not three digits is words for the unit."""

from __future__ import annotations

import pytest

from services.feedback_service.policy import callback_policy
from shared.contracts.codes import Question, Satisfaction

SATISFIED, FAIRLY, DISSATISFIED = (
    Satisfaction.SATISFIED,
    Satisfaction.BASICALLY_SATISFIED,
    Satisfaction.DISSATISFIED,
)
ALL_WELL = (True, True, SATISFIED)


def answers(text: str) -> tuple[bool | Satisfaction | None, ...] | None:
    """In the order in which a survey asks."""
    said = callback_policy().said_by(text)
    assert said is None or set(said) == set(Question)
    return None if said is None else (said[Question.CONTACTED], said[Question.RESOLVED], said[Question.SATISFACTION])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("111", ALL_WELL),
        ("112", (True, True, FAIRLY)),
        ("123", (True, False, DISSATISFIED)),
        ("223", (False, False, DISSATISFIED)),
        ("213", (False, True, DISSATISFIED)),
    ],
)
def test_three_digits_answer_three_questions(text: str, said: tuple[bool | Satisfaction, ...]) -> None:
    assert answers(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("000", (None, None, None)),
        ("999", (None, None, None)),
        ("011", (None, True, SATISFIED)),
        ("101", (True, None, SATISFIED)),
        ("110", (True, True, None)),
        ("333", (None, None, DISSATISFIED)),
        ("114", (True, True, None)),
    ],
)
def test_any_other_digit_says_that_one_is_not_sure(text: str, said: tuple[bool | Satisfaction | None, ...]) -> None:
    assert answers(text) == said


@pytest.mark.parametrize(
    "text",
    [
        " 111\r\n",
        "1 1 1",
        "1,1,1",
        "１１１",
        "1，1、1。",
        "1.1.1!",
        "(1)(1)(1)",
        "①①①",
        "1\u20031\u20031",
        "1️⃣1️⃣1️⃣",
        "“111”",
    ],
)
def test_width_spaces_and_punctuation_say_nothing(text: str) -> None:
    assert answers(text) == ALL_WELL


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "。",
        "1",
        "11",
        "1111",
        "1 1",
        "满意",
        "111谢谢",
        "一一一",
        "ok1",
        "abc",
        "1a1",
        "١١١",
        "1_1_1",
        "111\u202eé",
    ],
)
def test_words_and_other_numbers_of_digits_say_nothing_at_all(text: str) -> None:
    assert answers(text) is None
