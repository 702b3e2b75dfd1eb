"""A form that was sent twice says one thing; what was said before a case was closed does not contradict its closing.

Regulation Art 8; the other rules of evaluations stand in test_afterwards.
"""

from __future__ import annotations

from typing import Any

import pytest

from services.feedback_service.case import CASE
from shared.contracts.codes import Via
from tests.support.spec import given
from tests.unit.cases import (
    AT,
    CALLS,
    CLOSED,
    DISSATISFIED,
    DUE,
    HOUR,
    MS,
    REWORK,
    SATISFIED,
    evaluate,
    evaluated,
    on_page,
    opened,
    recorded,
    scheduled,
)

NO: dict[str, Any] = {"resolved": False, "satisfaction": DISSATISFIED}
ON_PAGE: dict[str, Any] = {"via": Via.TRACKING}


def test_the_last_evaluation_is_remembered() -> None:
    assert given(CASE, *REWORK).state.said is None
    assert given(CASE, *REWORK, evaluated(), evaluated(2, **NO)).state.said == evaluated(2, **NO)


@pytest.mark.parametrize(("history", "since"), [(DUE, {}), (REWORK, {}), (CLOSED, {"days_after_closing": 0})])
def test_the_same_without_words_is_taken_once(history: Any, since: dict[str, Any]) -> None:
    for said in ({}, NO):
        again = evaluate(AT + HOUR, **said, contacted=None)
        given(CASE, *history, evaluated(**said, **since)).when(again).then()


def test_the_same_answers_the_callback_once_the_last_question_is_answered() -> None:
    names = [type(one).__name__ for one in given(CASE, *DUE, evaluated()).when(evaluate()).decided()]
    assert names == ["CitizenEvaluated", "CallbackRecorded"]


def test_the_same_again_after_an_officer_has_closed_it_is_news() -> None:
    (again,) = given(CASE, *CLOSED, evaluated(**NO)).when(evaluate(AT + HOUR, **NO)).decided()
    assert (again.number, again.contradicts) == (2, True)


@pytest.mark.parametrize(
    "change",
    [{"resolved": None}, {"satisfaction": DISSATISFIED}, {"process_satisfaction": SATISFIED}, {"comment": "又停了"}],
)
def test_something_else_is_taken_again(change: dict[str, Any]) -> None:
    given(CASE, *REWORK, evaluated()).when(evaluate(**change)).then(evaluated(2, **change))
    given(CASE, *REWORK, evaluated(**change)).when(evaluate()).then(evaluated(2))


def test_so_is_what_comes_another_way_or_about_another_round() -> None:
    given(CASE, *REWORK, evaluated()).when(evaluate(via=Via.SMS)).then(evaluated(2, via=Via.SMS))
    second = (*REWORK, evaluated(), opened(2), scheduled(round_=2))
    assert given(CASE, *second).when(evaluate(round=2)).decided()[0] == evaluated(2, round=2)


def test_what_is_said_in_words_is_taken_as_often_as_it_is_said() -> None:
    given(CASE, *REWORK, evaluated(comment="停水")).when(evaluate(comment="停水")).then(evaluated(2, comment="停水"))


def test_only_the_last_one_is_compared() -> None:
    given(CASE, *REWORK, evaluated(), evaluated(2, **NO)).when(evaluate()).then(evaluated(3))


def test_what_intake_has_taken_is_noted_as_often_as_it_comes() -> None:
    given(CASE, *REWORK, evaluated(**ON_PAGE)).when(on_page()).then(evaluated(2, **ON_PAGE))


def test_what_is_refused_is_refused_although_it_was_said_already() -> None:
    over = AT + CALLS.evaluate_within + MS
    given(CASE, *CLOSED, evaluated()).when(evaluate(over)).then_refused("EVALUATION_OVER")


def test_what_was_said_before_the_closing_and_heard_after_it_contradicts_nothing() -> None:
    closed = (*DUE, recorded(at=AT + HOUR))
    given(CASE, *closed).when(on_page(AT + HOUR - MS, **NO)).then(evaluated(**ON_PAGE, **NO))
    then = evaluated(**ON_PAGE, **NO, days_after_closing=0, contradicts=True)
    given(CASE, *closed).when(on_page(AT + HOUR, **NO)).then(then)
