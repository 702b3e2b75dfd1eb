"""What may still be said once a callback is over: evaluated, reopened, asked again, contested and reviewed.

Regulation Art 8, 23, 35; domain specification, section 2.1 (待复核) and section 4 row 25.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.feedback_service.case import CASE
from shared.contracts.codes import CallbackMethod, CaseState, Satisfaction, Via
from shared.contracts.envelope import Actor, Payload
from shared.contracts.feedback import CallbackRechecked, CallbackReviewed, CaseEnded, ReworkRequested
from shared.engine.decider import NotYours
from tests.support.spec import given
from tests.unit.cases import (
    AT,
    CALLS,
    CLOSED,
    DAY,
    DISSATISFIED,
    DONE,
    DUE,
    HANDLER,
    HELPING,
    HOUR,
    INVALID,
    MS,
    OFFICER,
    REVIEWER,
    REWORK,
    SAID,
    SATISFIED,
    SECOND,
    UNIT,
    contest,
    contested,
    evaluate,
    evaluated,
    invalidated,
    on_page,
    opened,
    ordered,
    recheck,
    recorded,
    reopen,
    reopened,
    review,
    scheduled,
    taken,
)

ANOTHER = "110101001"
ANSWERED_AGAIN = (opened(2), scheduled(round_=2), recorded(round_=2))
SECOND_ROUND = [(opened(2),), ANSWERED_AGAIN, (*ANSWERED_AGAIN[:2], invalidated(round=2))]
DRAWN, CONTESTED = (*CLOSED, ordered()), (*CLOSED, contested())
STANDS = CallbackReviewed(round=1, stands=True, reason="录音可证")
ON_PAGE = {"via": Via.TRACKING}
NO = {"resolved": False, "satisfaction": DISSATISFIED}
AFTERWARDS = {"days_after_closing": 0, "contradicts": False}
SOON, LONG = CALLS.reopen_within, CALLS.evaluate_within


def asked_again(agrees: bool = True, **said: Any) -> CallbackRechecked:
    return CallbackRechecked(round=1, lead_unit=UNIT, agrees=agrees, officer=SECOND.sub or "", **{**SAID, **said})


def by_survey(method: CallbackMethod = CallbackMethod.WEB, next_state: str = "CLOSED", **said: Any) -> Payload:
    return recorded(next_state, method=method, officer=None, **said)


def times(number: int) -> tuple[Payload, ...]:
    return tuple(evaluated(n, via=Via.TRACKING) for n in range(1, number + 1))


@pytest.mark.parametrize(
    ("via", "method"),
    [(Via.LINK, "WEB"), (Via.EMAIL, "WEB"), (Via.SMS, "SMS"), (Via.WECHAT, "SMS")],
)
def test_whoever_answers_all_that_an_officer_would_ask_has_been_called_back(via: Via, method: str) -> None:
    spec = given(CASE, *DUE).when(evaluate(via=via))
    spec.then(evaluated(via=via), by_survey(CallbackMethod(method)))
    assert spec.state_after().state is CaseState.CLOSED


def test_also_as_soon_as_both_results_are_in() -> None:
    early = scheduled("RESULTS_COMPLETE")
    given(CASE, *DONE).when(evaluate()).then(evaluated(), early, by_survey())


def test_an_officer_who_is_about_to_ask_need_not_any_more() -> None:
    given(CASE, *DUE, taken(until=AT + DAY)).when(evaluate()).then(evaluated(), by_survey())


def test_what_is_not_solved_goes_back_to_the_unit_in_the_residents_words() -> None:
    unsolved = evaluate(comment="没人来过", **NO)
    callback = by_survey(next_state="REWORK", reasons=("没人来过",), **NO)
    back = ReworkRequested(round=1, reasons=("没人来过",))
    given(CASE, *DUE).when(unsolved).then(evaluated(comment="没人来过", **NO), callback, back)


@pytest.mark.parametrize("unknown", [{"contacted": None}, {"resolved": None}, {"contacted": None, "resolved": None}])
def test_whoever_leaves_a_question_open_is_still_to_be_called(unknown: dict[str, None]) -> None:
    said = {"resolved": unknown.get("resolved", True)}
    spec = given(CASE, *DUE).when(evaluate(**unknown))
    spec.then(evaluated(**said))
    assert spec.state_after().state is CaseState.CALLBACK_DUE
    assert given(CASE, *DONE).when(evaluate(**unknown)).state_after().state is CaseState.FEEDBACK_DONE


def test_on_the_tracking_page_nobody_is_called_back() -> None:
    spec = given(CASE, *DUE).when(on_page(contacted=True))
    spec.then(evaluated(**ON_PAGE))
    assert spec.state_after().state is CaseState.CALLBACK_DUE


def test_both_parts_of_an_evaluation_and_its_words_are_kept() -> None:
    said = {"process_satisfaction": DISSATISFIED, "comment": "跑了三趟"}
    given(CASE, *REWORK).when(evaluate(**said)).then(evaluated(**said))


@pytest.mark.parametrize(("after", "days"), [(timedelta(0), 0), (DAY - MS, 0), (DAY, 1), (LONG, 30)])
def test_a_closed_case_may_be_evaluated_for_a_while(after: timedelta, days: int) -> None:
    told = evaluated(days_after_closing=days, contradicts=False)
    given(CASE, *CLOSED).when(evaluate(AT + after)).then(told)


def test_after_that_only_what_intake_has_taken_already_is_noted() -> None:
    over = AT + LONG + MS
    late = evaluated(days_after_closing=30, contradicts=False, **ON_PAGE)
    given(CASE, *CLOSED).when(evaluate(over)).then_refused("EVALUATION_OVER")
    given(CASE, *INVALID).when(evaluate(over)).then_refused("EVALUATION_OVER")
    given(CASE, *CLOSED).when(on_page(over)).then(late)


def test_a_case_that_is_not_closed_is_evaluated_without_a_clock() -> None:
    given(CASE, *REWORK).when(evaluate(AT + LONG + DAY)).then(evaluated())
    given(CASE, *CLOSED, *reopened()).when(evaluate(AT + LONG + DAY)).then(evaluated())


def test_the_time_runs_from_the_last_closing() -> None:
    twice = (*REWORK, opened(2), scheduled(round_=2), recorded(round_=2, at=AT + DAY))
    told = evaluated(round=2, days_after_closing=30, contradicts=False)
    given(CASE, *twice).when(evaluate(AT + DAY + LONG, round=2)).then(told)


@pytest.mark.parametrize(
    ("closing", "said", "contradicts"),
    [
        (recorded(), NO, True),
        (recorded(), {"resolved": False, "satisfaction": SATISFIED}, True),
        (recorded(), {"resolved": None, "satisfaction": Satisfaction.NOT_STATED}, False),
        (recorded(), {"resolved": None, "satisfaction": DISSATISFIED}, True),
        (recorded(), {"resolved": True, "satisfaction": DISSATISFIED}, False),
        (recorded(resolved=None), {"resolved": None, "satisfaction": DISSATISFIED}, False),
        (recorded(), {"resolved": True, "satisfaction": Satisfaction.BASICALLY_SATISFIED}, False),
        (recorded(resolved=None), NO, False),
        (recorded(**NO), NO, False),
        (invalidated(), NO, False),
    ],
)
@pytest.mark.parametrize("via", [Via.LINK, Via.TRACKING])
def test_a_no_contradicts_a_case_that_was_closed_as_solved(
    closing: Payload, said: dict[str, Any], contradicts: bool, via: Via
) -> None:
    told = evaluated(via=via, days_after_closing=0, contradicts=contradicts, **said)
    given(CASE, *DUE, closing).when(evaluate(via=via, **said)).then(told)


def test_evaluations_are_numbered_and_there_is_a_most_to_them() -> None:
    most = CALLS.most_evaluations
    given(CASE, *CLOSED, *times(most - 1)).when(evaluate()).then(evaluated(most, **AFTERWARDS))
    given(CASE, *CLOSED, *times(most)).when(evaluate()).then_refused("EVALUATED_ENOUGH")
    given(CASE, *CLOSED, *times(most)).when(on_page()).then(evaluated(most + 1, **ON_PAGE, **AFTERWARDS))


def test_each_round_may_be_evaluated_as_often_and_the_numbers_go_on() -> None:
    most = CALLS.most_evaluations
    again = (*REWORK, *times(most), opened(2), scheduled(round_=2), recorded(round_=2))
    given(CASE, *again).when(evaluate(round=2)).then(evaluated(most + 1, round=2, **AFTERWARDS))
    enough = tuple(evaluated(most + n, round=2, **ON_PAGE) for n in range(1, most + 1))
    given(CASE, *again, *enough[1:]).when(evaluate(round=2)).then(evaluated(2 * most + 1, round=2, **AFTERWARDS))
    given(CASE, *again, *enough).when(evaluate(round=2)).then_refused("EVALUATED_ENOUGH")
    given(CASE, *CLOSED, *times(most), *reopened()).when(evaluate()).then_refused("EVALUATED_ENOUGH")


def test_a_question_about_an_earlier_round_is_not_answered_any_more() -> None:
    second = (*REWORK, opened(2), scheduled(round_=2))
    given(CASE, *second).when(evaluate(round=1)).then_refused("LINK_USED")
    given(CASE, *second).when(evaluate(round=2)).then(evaluated(round=2), by_survey(round_=2))
    given(CASE, *second).when(evaluate(round=None)).then(evaluated(round=2), by_survey(round_=2))
    given(CASE, *second).when(on_page()).then(evaluated(round=2, **ON_PAGE))


@pytest.mark.parametrize(("after", "days"), [(timedelta(0), 0), (DAY - MS, 0), (SOON, 7)])
@pytest.mark.parametrize("closed", [CLOSED, INVALID, (*DUE, recorded(**NO)), (*CONTESTED, STANDS)])
def test_a_closed_case_is_reopened_within_the_window(closed: tuple[Payload, ...], after: timedelta, days: int) -> None:
    spec = given(CASE, *closed).when(reopen(AT + after))
    spec.then(*reopened(days))
    assert spec.state_after().state is CaseState.REWORK


@pytest.mark.parametrize("closed", [CLOSED, INVALID, (*DUE, recorded(at=None)), (*DUE, invalidated(at=None))])
def test_and_not_later_nor_where_nobody_knows_when_it_was_closed(closed: tuple[Payload, ...]) -> None:
    given(CASE, *closed).when(reopen(AT + SOON + MS)).then_refused("REOPEN_WINDOW_OVER")


@pytest.mark.parametrize("round_", [1, 2, 3, 4])
def test_there_are_only_so_many_rounds(round_: int) -> None:
    spec = given(CASE, opened(round_), scheduled(round_=round_), recorded(round_=round_)).when(reopen())
    if round_ < CALLS.most_rounds:
        spec.then(*reopened(round_=round_))
    else:
        spec.then_refused("NO_MORE_ROUNDS")


@pytest.mark.parametrize(
    "history",
    [DONE, DUE, REWORK, (*CLOSED, *reopened()), (*CLOSED, *reopened(), opened(2)), (*DUE, CaseEnded(outcome="MERGED"))],
)
def test_only_what_the_callback_has_closed_is_reopened(history: tuple[Payload, ...]) -> None:
    given(CASE, *history).when(reopen()).then_refused("ILLEGAL_TRANSITION")


@pytest.mark.parametrize(
    ("said", "agrees"),
    [
        ({}, True),
        ({"contacted": None, "resolved": None}, True),
        ({"contacted": False}, False),
        ({"resolved": False}, False),
        ({"satisfaction": DISSATISFIED}, False),
        ({"contacted": None, "resolved": None, "satisfaction": Satisfaction.BASICALLY_SATISFIED}, False),
        ({"satisfaction": Satisfaction.NOT_STATED}, True),
        ({"contacted": None, "resolved": None, "satisfaction": Satisfaction.NOT_STATED}, True),
        ({"resolved": False, "satisfaction": Satisfaction.NOT_STATED}, False),
    ],
)
def test_a_second_officer_hears_the_same_or_something_else(said: dict[str, Any], agrees: bool) -> None:
    spec = given(CASE, *DRAWN).when(recheck(**said))
    spec.then(asked_again(agrees, **said))
    assert spec.state_after().state is CaseState.CLOSED


def test_what_was_not_drawn_and_what_was_asked_again_already_is_left() -> None:
    given(CASE, *CLOSED).when(recheck()).then_refused("NOT_DRAWN")
    given(CASE, *DRAWN, asked_again(False)).when(recheck()).then_refused("NOT_DRAWN")
    given(CASE, *INVALID).when(recheck()).then_refused("ILLEGAL_TRANSITION")


def test_the_officer_who_asked_first_and_the_units_do_not_ask_again() -> None:
    given(CASE, *DRAWN).when(recheck(OFFICER)).then_refused("SECOND_OFFICER_NEEDED")
    for own in (HANDLER, HELPING):
        given(CASE, *DRAWN).when(recheck(own)).then_refused("OWN_CASE")


@pytest.mark.parametrize("later", SECOND_ROUND)
def test_what_went_round_again_may_still_be_asked_about(later: tuple[Payload, ...]) -> None:
    given(CASE, *REWORK, ordered(), *later).when(recheck()).then(asked_again())
    given(CASE, *REWORK, ordered(), *later, asked_again()).when(recheck()).then_refused("NOT_DRAWN")


@pytest.mark.parametrize("later", SECOND_ROUND)
def test_what_was_contested_is_still_reviewed_whatever_the_next_rounds_bring(later: tuple[Payload, ...]) -> None:
    given(CASE, *REWORK, contested(), *later).when(review()).then(STANDS)
    given(CASE, *REWORK, contested(), *later, STANDS).when(review()).then_refused("NOT_CONTESTED")


def test_of_two_that_wait_the_later_one_comes_first() -> None:
    again = ordered().model_copy(update={"round": 2}), contested().model_copy(update={"round": 2})
    both = (*REWORK, ordered(), contested(), *ANSWERED_AGAIN, *again)
    first = given(CASE, *both).when(recheck()).decided()[0]
    assert first.round == 2
    given(CASE, *both, first).when(recheck()).then(asked_again())
    reviewed = STANDS.model_copy(update={"round": 2})
    given(CASE, *both).when(review()).then(reviewed)
    given(CASE, *both, reviewed).when(review()).then(STANDS)


def test_a_unit_does_not_decide_about_its_answers_where_another_leads_by_now() -> None:
    handed_on = opened(2, lead_unit=ANOTHER, co_units=())
    given(CASE, *REWORK, ordered(), handed_on).when(recheck(HANDLER)).then_refused("OWN_CASE")
    given(CASE, *REWORK, contested(), handed_on).when(review(HANDLER)).then_refused("OWN_CASE")
    now_leads = Actor("STREET_HANDLER", ANOTHER, "qian")
    given(CASE, *REWORK, ordered(), handed_on).when(recheck(now_leads)).then_refused("OWN_CASE")
    given(CASE, *REWORK, contested(), handed_on).when(review()).then(STANDS)


def test_a_unit_that_the_answers_are_not_about_does_not_contest_them() -> None:
    with pytest.raises(NotYours):
        given(CASE, *REWORK, opened(2, lead_unit=ANOTHER)).when(contest()).decided()


@pytest.mark.parametrize("closed", [CLOSED, REWORK, (*REWORK, opened(2))])
@pytest.mark.parametrize("after", [timedelta(0), CALLS.contest_within])
def test_the_unit_contests_the_answers_within_the_window(closed: tuple[Payload, ...], after: timedelta) -> None:
    before = given(CASE, *closed).state.state
    spec = given(CASE, *closed).when(contest(AT + after))
    spec.then(contested(AT + after))
    assert spec.state_after().state is before


@pytest.mark.parametrize("closing", [recorded(), recorded("REWORK"), recorded(at=None)])
def test_and_not_later(closing: Payload) -> None:
    given(CASE, *DUE, closing).when(contest(AT + CALLS.contest_within + MS)).then_refused("CONTEST_WINDOW_OVER")


def test_answers_are_contested_once() -> None:
    given(CASE, *CONTESTED).when(contest()).then_refused("CONTESTED_ALREADY")
    given(CASE, *CONTESTED, STANDS).when(contest()).then_refused("CONTESTED_ALREADY")


def test_but_the_answers_of_the_next_round_are_others() -> None:
    reviewed = (*REWORK, contested(), STANDS, opened(2), scheduled(round_=2), recorded(round_=2, at=AT + HOUR))
    assert given(CASE, *reviewed).when(contest()).decided()[0].round == 2


def test_only_the_last_answers_are_contested() -> None:
    of_the_second = contested().model_copy(update={"round": 2})
    given(CASE, *REWORK, *ANSWERED_AGAIN, of_the_second).when(contest()).then_refused("CONTESTED_ALREADY")


def test_where_nobody_answered_there_is_nothing_to_contest() -> None:
    for history in (DUE, INVALID):
        given(CASE, *history).when(contest()).then_refused("ILLEGAL_TRANSITION")


@pytest.mark.parametrize("stands", [True, False])
def test_a_reviewer_lets_the_answers_stand_or_strikes_them_once(stands: bool) -> None:
    reviewed = CallbackReviewed(round=1, stands=stands, reason="录音可证")
    given(CASE, *CONTESTED).when(review(stands=stands)).then(reviewed)
    given(CASE, *CONTESTED, reviewed).when(review()).then_refused("NOT_CONTESTED")
    given(CASE, *CLOSED).when(review()).then_refused("NOT_CONTESTED")


@pytest.mark.parametrize("own", [HANDLER, HELPING])
def test_no_unit_decides_about_what_was_said_of_it(own: Actor) -> None:
    given(CASE, *CONTESTED).when(review(own)).then_refused("OWN_CASE")


def test_whoever_recorded_the_answers_does_not_review_them() -> None:
    given(CASE, *CONTESTED).when(review(OFFICER)).then_refused("SECOND_OFFICER_NEEDED")
    given(CASE, *CONTESTED).when(review(SECOND)).then(STANDS)
    by_themselves = (*DUE, by_survey(), contested())
    given(CASE, *by_themselves).when(review(Actor(REVIEWER.role))).then(STANDS)
