"""回访: at the limit or as soon as both results are in; by one officer at a time, at different hours, not by the unit.

Rows 19 to 23 of the state machine (domain specification, section 4; Regulation Art 23).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.feedback_service.calling_back import CallBackAtLimit, CallBackEarly, NoteCallbackOverdue
from services.feedback_service.case import CASE
from shared.contracts.codes import CallbackMethod, CaseState, ContactOutcome, Question, Satisfaction
from shared.contracts.envelope import Actor, Payload
from shared.contracts.feedback import CallbackOverdue, Reason, ReworkRequested
from tests.support.spec import given
from tests.unit.cases import (
    AT,
    CALLS,
    DAY,
    DISSATISFIED,
    DONE,
    DUE,
    HANDLER,
    HANDLING,
    HELPING,
    HOUR,
    MINUTE,
    MS,
    NO_ANSWER,
    OFFICER,
    OPENED,
    REACHED,
    SATISFIED,
    SECOND,
    SIGNED,
    attempt,
    contacted,
    invalidated,
    opened,
    ordered,
    record,
    recorded,
    scheduled,
    signed,
    take,
    taken,
    tried,
)

EARLY = scheduled("RESULTS_COMPLETE")
OVERDUE = CallbackOverdue(due_at=AT + DAY, round=1)
UNRESOLVED: dict[str, Any] = {"resolved": False, "satisfaction": DISSATISFIED, "reasons": ("又黑了",)}
TAKEN = (*DUE, taken())
LEASE, APART = CALLS.assigned_for, CALLS.attempts_apart
TWICE = (*DUE, tried(), tried(at=AT + APART))


@pytest.mark.parametrize("history", [OPENED, SIGNED, HANDLING, DONE])
def test_at_the_limit_the_hotline_calls_back_whatever_the_unit_did(history: tuple[Payload, ...]) -> None:
    spec = given(CASE, *history).when(CallBackAtLimit(at=AT, round=1, policy=CALLS))
    spec.then(scheduled())
    assert spec.state_after().state is CaseState.CALLBACK_DUE


def test_the_limit_of_an_earlier_round_schedules_nothing() -> None:
    given(CASE, opened(2)).when(CallBackAtLimit(at=AT, round=1, policy=CALLS)).then()
    given(CASE, opened(2)).when(CallBackAtLimit(at=AT, round=2, policy=CALLS)).then(scheduled(round_=2))


def test_with_both_results_in_the_callback_comes_early_and_only_once() -> None:
    early = CallBackEarly(at=AT, policy=CALLS)
    given(CASE, *HANDLING).when(early).then()
    given(CASE, *DONE).when(early).then(EARLY)
    given(CASE, *DONE, EARLY).when(early).then()


def test_an_officer_may_call_as_soon_as_both_results_are_in() -> None:
    given(CASE, *DONE).when(take()).then(EARLY, taken())
    given(CASE, *DONE).when(attempt()).then(EARLY, tried())
    given(CASE, *DONE).when(record()).then(EARLY, recorded())


@pytest.mark.parametrize("command", [take, attempt, record])
@pytest.mark.parametrize("actor", [HANDLER, HELPING])
def test_whoever_handled_a_case_does_not_ask_the_resident_about_it(command: Any, actor: Actor) -> None:
    given(CASE, *DUE).when(command(actor=actor)).then_refused("OWN_CASE")
    assert given(CASE, *DUE).when(command(actor=Actor("CALLBACK_OFFICER", None, "wang"))).decided()
    given(CASE, *HANDLING).when(command(actor=actor)).then_refused("ILLEGAL_TRANSITION")


def test_a_callback_that_nobody_made_in_time_is_overdue_once() -> None:
    given(CASE, *DUE).when(NoteCallbackOverdue(at=AT + DAY - MS)).then()
    given(CASE, *DUE).when(NoteCallbackOverdue(at=AT + DAY)).then(OVERDUE)
    given(CASE, *DUE, taken(), tried()).when(NoteCallbackOverdue(at=AT + DAY)).then(OVERDUE)
    given(CASE, *DUE, OVERDUE).when(NoteCallbackOverdue(at=AT + DAY)).then()
    given(CASE, *DUE, recorded()).when(NoteCallbackOverdue(at=AT + DAY)).then()


def test_an_overdue_callback_of_the_first_round_says_nothing_of_the_second() -> None:
    second = (*DUE, OVERDUE, recorded("REWORK"), opened(2), scheduled(round_=2))
    given(CASE, *second).when(NoteCallbackOverdue(at=AT + DAY)).then(CallbackOverdue(due_at=AT + DAY, round=2))


def test_an_officer_takes_a_callback_for_a_while_and_may_keep_it() -> None:
    given(CASE, *DUE).when(take()).then(taken(until=AT + LEASE))
    given(CASE, *TAKEN).when(take(AT + MINUTE)).then(taken(until=AT + MINUTE + LEASE))


@pytest.mark.parametrize("command", [take, attempt, record])
def test_what_one_officer_has_taken_another_leaves_alone_until_the_time_is_over(command: Any) -> None:
    last = AT + LEASE - MS
    given(CASE, *TAKEN).when(command(actor=SECOND, at=AT)).then_refused("CALLBACK_ASSIGNED")
    given(CASE, *TAKEN).when(command(actor=SECOND, at=last)).then_refused("CALLBACK_ASSIGNED")
    assert given(CASE, *TAKEN).when(command(actor=OFFICER, at=last)).decided()
    assert given(CASE, *TAKEN).when(command(actor=SECOND, at=AT + LEASE)).decided()


def test_whoever_took_it_last_has_it() -> None:
    passed_on = (*TAKEN, taken(SECOND, AT + 2 * LEASE))
    given(CASE, *passed_on).when(record(OFFICER, AT + LEASE)).then_refused("CALLBACK_ASSIGNED")
    given(CASE, *passed_on).when(record(SECOND, AT + LEASE)).then(recorded(at=AT + LEASE, officer=SECOND.sub))


def test_what_was_taken_in_the_first_round_is_free_in_the_second() -> None:
    second = (*TAKEN, recorded("REWORK"), opened(2), scheduled(round_=2))
    given(CASE, *second).when(record(SECOND)).then(recorded(round_=2, officer=SECOND.sub))


@pytest.mark.parametrize(("after", "counts"), [(timedelta(0), False), (APART - MS, False), (APART, True)])
def test_failed_attempts_count_at_different_hours(after: timedelta, counts: bool) -> None:
    spec = given(CASE, *DUE, tried()).when(attempt(at=AT + after))
    spec.then(tried(at=AT + after, counts=counts))
    assert spec.state_after().asking.failed == 1 + counts


def test_hours_are_measured_from_the_last_attempt_that_counted() -> None:
    soon = (*DUE, tried(), tried(at=AT + APART - MS, counts=False))
    given(CASE, *soon).when(attempt(at=AT + APART)).then(tried(at=AT + APART))
    given(CASE, *TWICE).when(attempt(at=AT + 2 * APART - MS)).then(tried(at=AT + 2 * APART - MS, counts=False))
    told_later = attempt(at=AT + DAY, tried_at=AT + APART - MS)
    given(CASE, *DUE, tried()).when(told_later).then(tried(at=AT + APART - MS, counts=False))


def test_an_attempt_that_reached_the_resident_neither_counts_nor_delays_the_next() -> None:
    given(CASE, *DUE).when(attempt(result=REACHED)).then(tried(REACHED, counts=None))
    reached = (*DUE, tried(), tried(REACHED, AT + APART - MS, None))
    given(CASE, *reached).when(attempt(at=AT + APART)).then(tried(at=AT + APART))
    assert given(CASE, *reached).state.asking.failed == 1


def test_an_attempt_lies_between_the_scheduling_and_now() -> None:
    given(CASE, *DUE).when(attempt(at=AT + HOUR, tried_at=AT)).then(tried())
    given(CASE, *DUE).when(attempt(at=AT + HOUR)).then(tried(at=AT + HOUR))
    for impossible in (AT - MS, AT + HOUR + MS):
        wrong = attempt(at=AT + HOUR, tried_at=impossible)
        given(CASE, *DUE).when(wrong).then_refused("ATTEMPT_TIME_IMPOSSIBLE")


@pytest.mark.parametrize(
    ("scheduling", "first"),
    [(scheduled(at=AT + HOUR), AT + HOUR), (scheduled(at=None), AT), (EARLY.model_copy(update={"at": None}), AT)],
)
def test_from_before_the_scheduling_was_noted_an_attempt_lies_after_the_dispatch(
    scheduling: Payload, first: datetime
) -> None:
    history = (*DONE, scheduling)
    given(CASE, *history).when(attempt(at=AT + DAY, tried_at=first)).then(tried(at=first))
    too_early = attempt(at=AT + DAY, tried_at=first - MS)
    given(CASE, *history).when(too_early).then_refused("ATTEMPT_TIME_IMPOSSIBLE")


def test_an_attempt_that_schedules_the_callback_itself_is_of_this_moment() -> None:
    early = scheduled("RESULTS_COMPLETE", at=AT + HOUR).model_copy(update={"due_at": AT + HOUR + DAY})
    given(CASE, *DONE).when(attempt(at=AT + HOUR)).then(early, tried(at=AT + HOUR))
    before = attempt(at=AT + HOUR, tried_at=AT + HOUR - MS)
    given(CASE, *DONE).when(before).then_refused("ATTEMPT_TIME_IMPOSSIBLE")


@pytest.mark.parametrize(
    "attempts",
    [(), (tried(),), (tried(), tried(REACHED, counts=None)), (tried(), tried(counts=False), tried(counts=False))],
)
def test_a_callback_is_not_invalid_before_enough_attempts_failed(attempts: tuple[Payload, ...]) -> None:
    given(CASE, *DUE, *attempts).when(record(valid=False)).then_refused("MORE_ATTEMPTS_NEEDED")


def test_attempts_of_the_first_round_do_not_make_the_second_invalid() -> None:
    second = (*TWICE, recorded("REWORK"), opened(2), scheduled(round_=2))
    given(CASE, *second).when(record(valid=False)).then_refused("MORE_ATTEMPTS_NEEDED")


@pytest.mark.parametrize("result", [ContactOutcome.WRONG_NUMBER, ContactOutcome.REFUSED, NO_ANSWER])
def test_a_callback_that_reached_nobody_closes_the_case_without_a_verdict(result: ContactOutcome) -> None:
    last = AT + 2 * APART
    spec = given(CASE, *DUE, tried(), tried(result, AT + APART)).when(record(valid=False, drawn=True, at=last))
    spec.then(invalidated(at=last))
    assert spec.state_after().state is CaseState.CLOSED
    thrice = (*TWICE, tried(at=last))
    given(CASE, *thrice).when(record(valid=False, at=last)).then(invalidated(attempts=3, at=last))


@pytest.mark.parametrize(
    ("resolved", "satisfaction", "next_state"),
    [
        (True, SATISFIED, "CLOSED"),
        (True, Satisfaction.BASICALLY_SATISFIED, "CLOSED"),
        (True, DISSATISFIED, "REWORK"),
        (False, SATISFIED, "REWORK"),
        (None, Satisfaction.NOT_STATED, "CLOSED"),
        (None, DISSATISFIED, "REWORK"),
    ],
)
def test_only_a_clear_no_sends_a_case_round_again(
    resolved: bool | None, satisfaction: Satisfaction, next_state: str
) -> None:
    said = {"resolved": resolved, "satisfaction": satisfaction}
    again = (ReworkRequested(round=1),) if next_state == "REWORK" else ()
    spec = given(CASE, *DUE).when(record(**said))
    spec.then(recorded(next_state, **said), *again)
    assert spec.state_after().state == next_state


def test_that_nobody_made_contact_alone_sends_nothing_back() -> None:
    given(CASE, *DUE).when(record(contacted=False)).then(recorded(contacted=False))


def test_the_residents_reasons_go_to_the_record_and_to_the_unit() -> None:
    rework = ReworkRequested(round=1, reasons=("又黑了",))
    given(CASE, *DUE).when(record(**UNRESOLVED)).then(recorded("REWORK", **UNRESOLVED), rework)


@pytest.mark.parametrize(("round_", "next_state"), [(1, "REWORK"), (2, "REWORK"), (3, "CLOSED")])
def test_after_the_policys_last_round_a_case_closes_even_unresolved(round_: int, next_state: str) -> None:
    rework = ReworkRequested(round=round_, reasons=("又黑了",))
    spec = given(CASE, opened(round_), scheduled(round_=round_)).when(record(**UNRESOLVED))
    spec.then(recorded(next_state, round_, **UNRESOLVED), *([rework] if next_state == "REWORK" else []))


@pytest.mark.parametrize(
    ("question", "code"),
    [(question, code) for question, codes in CALLS.reasons.items() for code in codes],
)
def test_every_question_has_its_reasons_in_codes(question: Question, code: str) -> None:
    because = (Reason(question=question, code=code),)
    given(CASE, *DUE).when(record(because=because)).then(recorded(because=because))


@pytest.mark.parametrize(
    "wrong",
    [
        Reason(question=Question.RESOLVED, code="NO_IDEA"),
        Reason(question=Question.RESOLVED, code="TOO_SLOW"),
        Reason(question=Question.CONTACTED, code="NOTHING_DONE"),
        Reason(question=Question.SATISFACTION, code="rude"),
    ],
)
def test_a_reason_that_does_not_belong_to_its_question_is_refused(wrong: Reason) -> None:
    right = Reason(question=Question.RESOLVED, code="CAME_BACK")
    given(CASE, *DUE).when(record(because=(right, wrong))).then_refused("REASON_UNKNOWN")


def test_how_the_resident_was_asked_and_the_recording_are_kept() -> None:
    how = {"method": CallbackMethod.SMS, "recording": 3}
    given(CASE, *DUE).when(record(**how)).then(recorded(**how))


def test_a_callback_that_was_drawn_is_asked_again_whatever_came_of_it() -> None:
    given(CASE, *DUE).when(record(drawn=True)).then(recorded(), ordered())
    rework = ReworkRequested(round=1, reasons=("又黑了",))
    unresolved = record(drawn=True, **UNRESOLVED)
    given(CASE, *DUE).when(unresolved).then(recorded("REWORK", **UNRESOLVED), ordered(), rework)


def test_nobody_is_asked_again_who_answered_without_an_officer() -> None:
    given(CASE, *DUE).when(record(Actor("APPELLANT"), drawn=True)).then(recorded(officer=None))


def test_a_second_callback_stands_beside_the_first() -> None:
    second = (*DUE, recorded("REWORK"), opened(2), signed(2), contacted(round_=2), scheduled(round_=2))
    spec = given(CASE, *second).when(record(at=AT + DAY))
    spec.then(recorded(round_=2, at=AT + DAY))
    assert spec.state_after().closed_at == AT + DAY
