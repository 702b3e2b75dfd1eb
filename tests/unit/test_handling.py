"""What a unit does for an appeal: it contacts the appellant, in time and at different times, and answers twice.

Rows 11, 12 and 18 of the state machine (domain specification, section 4; Regulation Art 14, 15). What it writes to the
appellant stands in test_writing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.feedback_service.case import CASE
from services.feedback_service.wording import letters, said
from shared.contracts.codes import CaseState, ContactOutcome, EvidenceRole, FeedbackOutcome, Finding, Recipient, Urgency
from shared.contracts.envelope import Payload
from shared.contracts.feedback import Evidence
from tests.support.spec import given
from tests.unit.cases import (
    APPELLANT,
    AT,
    CLOSED,
    DAY,
    DONE,
    HANDLING,
    HOTLINE,
    HOUR,
    MINUTE,
    MS,
    NO_ANSWER,
    OWED,
    PROGRESS,
    REACHED,
    RESULT,
    REWORK,
    SIGNED,
    TRIED,
    contact,
    contacted,
    failed,
    fed,
    feedback,
    opened,
    reopened,
    signed,
    unreachable,
)

APART = OWED.contact.apart
TWICE = (*TRIED, failed(AT + APART))
THRICE = (*TWICE, failed(AT + 2 * APART), unreachable())
AGAIN = (*REWORK, opened(2), signed(2))
BEFORE, AFTER, PAPER = (Evidence(number=n, role=role) for n, role in enumerate(EvidenceRole, 1))


def in_round_two(*events: Payload) -> tuple[Payload, ...]:
    return (*AGAIN, contacted(round_=2), *events)


@pytest.mark.parametrize("result", list(ContactOutcome))
def test_trying_to_reach_the_appellant_starts_the_handling_whatever_came_of_it(result: ContactOutcome) -> None:
    spec = given(CASE, *SIGNED).when(contact(result=result))
    spec.then(contacted(response_seconds=0, in_time=True) if result is REACHED else contacted(result, counts=True))
    assert spec.state_after().state is CaseState.HANDLING


@pytest.mark.parametrize("ahead", [timedelta(0), MINUTE, 5 * MINUTE])
def test_a_units_clock_may_be_a_little_ahead_and_the_contact_is_now(ahead: timedelta) -> None:
    given(CASE, *HANDLING).when(contact(AT + HOUR, contacted_at=AT + HOUR + ahead)).then(contacted(at=AT + HOUR))


def test_a_contact_lies_between_the_dispatch_and_now() -> None:
    given(CASE, *HANDLING).when(contact(AT + HOUR, contacted_at=AT)).then(contacted(at=AT))
    for impossible in (AT - MS, AT + HOUR + 5 * MINUTE + MS):
        late = contact(AT + HOUR, contacted_at=impossible)
        given(CASE, *HANDLING).when(late).then_refused("CONTACT_TIME_IMPOSSIBLE")


def test_in_the_second_round_a_contact_lies_after_the_second_dispatch() -> None:
    later = (*REWORK, opened(2, dispatched_at=AT + DAY), signed(2))
    given(CASE, *later).when(contact(AT + DAY, contacted_at=AT + DAY - MS)).then_refused("CONTACT_TIME_IMPOSSIBLE")


def test_how_and_in_which_words_the_unit_tried_is_kept() -> None:
    visit = contact(channel="VISIT", note="家中无人", result=NO_ANSWER)
    given(CASE, *SIGNED).when(visit).then(failed(channel="VISIT", note="家中无人"))


@pytest.mark.parametrize(
    ("tier", "took", "in_time"),
    [
        (Urgency.EMERGENCY, 30 * MINUTE, True),
        (Urgency.EMERGENCY, 30 * MINUTE + MS, False),
        (Urgency.LIFELINE, DAY, True),
        (Urgency.GENERAL, DAY, True),
        (Urgency.GENERAL, DAY + MS, False),
        (Urgency.COMPLEX, 2 * DAY, False),
        (None, 9 * DAY, None),
    ],
)
def test_whether_the_appellant_was_reached_in_time(tier: Urgency | None, took: timedelta, in_time: bool | None) -> None:
    seconds = int(took.total_seconds())
    spec = given(CASE, opened(tier=tier), signed()).when(contact(AT + took))
    spec.then(contacted(at=AT + took, response_seconds=seconds, in_time=in_time))


def test_the_response_counts_from_when_the_unit_spoke_and_not_from_when_it_said_so() -> None:
    told_later = contact(AT + 3 * DAY, contacted_at=AT + HOUR)
    given(CASE, *SIGNED).when(told_later).then(contacted(at=AT + HOUR, response_seconds=3600, in_time=True))


def test_only_the_first_contact_that_reaches_has_a_response_time() -> None:
    first = contacted(at=AT + HOUR, response_seconds=3600, in_time=True)
    given(CASE, *SIGNED).when(contact(AT + HOUR, NO_ANSWER)).then(failed(AT + HOUR))
    given(CASE, *TRIED).when(contact(AT + HOUR)).then(first)
    given(CASE, *TRIED, first).when(contact(AT + 2 * HOUR)).then(contacted(at=AT + 2 * HOUR))
    given(CASE, *HANDLING, *AGAIN[1:]).when(contact(AT + HOUR)).then(
        contacted(at=AT + HOUR, round_=2, response_seconds=3600, in_time=True)
    )


@pytest.mark.parametrize(("after", "counts"), [(timedelta(0), False), (APART - MS, False), (APART, True)])
def test_a_failed_try_counts_when_it_lies_long_enough_after_the_one_before(after: timedelta, counts: bool) -> None:
    spec = given(CASE, *TRIED).when(contact(AT + after, NO_ANSWER))
    spec.then(failed(AT + after, counts))
    assert spec.state_after().reaching.failed == 1 + counts


def test_it_is_measured_from_the_last_try_that_counted() -> None:
    history = (*TRIED, failed(AT + HOUR, counts=False))
    given(CASE, *history).when(contact(AT + APART, NO_ANSWER)).then(failed(AT + APART))
    given(CASE, *history).when(contact(AT + APART - MS, NO_ANSWER)).then(failed(AT + APART - MS, counts=False))
    given(CASE, *TWICE).when(contact(AT + 2 * APART - MS, NO_ANSWER)).then(failed(AT + 2 * APART - MS, counts=False))


def test_and_from_when_it_was_tried_and_not_from_when_that_was_told() -> None:
    told_at_once = contact(AT + DAY, NO_ANSWER, contacted_at=AT + APART - MS)
    given(CASE, *TRIED).when(told_at_once).then(failed(AT + APART - MS, counts=False))


def test_after_enough_tries_at_different_times_the_appellant_is_unreachable_once() -> None:
    given(CASE, *TRIED).when(contact(AT + APART, NO_ANSWER)).then(failed(AT + APART))
    third, fourth = AT + 2 * APART, AT + 3 * APART
    given(CASE, *TWICE).when(contact(third, NO_ANSWER)).then(failed(third), unreachable())
    given(CASE, *TWICE).when(contact(third - MS, NO_ANSWER)).then(failed(third - MS, counts=False))
    given(CASE, *THRICE).when(contact(fourth, NO_ANSWER)).then(failed(fourth))


@pytest.mark.parametrize("result", [one for one in ContactOutcome if one is not REACHED])
def test_whichever_way_it_failed(result: ContactOutcome) -> None:
    at = AT + 2 * APART
    given(CASE, *TWICE).when(contact(at, result)).then(contacted(result, at, counts=True), unreachable())


def test_tries_of_the_first_round_do_not_make_anybody_unreachable_in_the_second() -> None:
    at = AT + 2 * APART
    given(CASE, *TWICE, *AGAIN[1:]).when(contact(at, NO_ANSWER)).then(failed(at, round_=2))
    given(CASE, *THRICE, *AGAIN[1:]).when(contact(at, NO_ANSWER)).then(failed(at, round_=2))


def test_tries_from_before_there_was_such_a_rule_make_nobody_unreachable_by_themselves() -> None:
    old = (*SIGNED, *[contacted(NO_ANSWER)] * 3)
    given(CASE, *old).when(contact(AT)).then(contacted(response_seconds=0, in_time=True))
    given(CASE, *old).when(contact(AT, NO_ANSWER)).then(failed(counts=False))
    given(CASE, *old).when(contact(AT + APART, NO_ANSWER)).then(failed(AT + APART), unreachable(4))


def test_a_contact_that_is_heard_of_late_takes_nothing_back() -> None:
    assert given(CASE, *DONE, contacted()).state.state is CaseState.FEEDBACK_DONE


def test_whoever_was_reached_is_never_unreachable_after_that() -> None:
    third, fourth = AT + 2 * APART, AT + 3 * APART
    for reached in ((*HANDLING, failed(), failed(AT + APART)), (*TWICE, contacted(at=AT + APART))):
        given(CASE, *reached).when(contact(third, NO_ANSWER)).then(failed(third))
        given(CASE, *reached, failed(third)).when(contact(fourth, NO_ANSWER)).then(failed(fourth))


def test_whoever_was_unreachable_may_be_reached_after_all() -> None:
    given(CASE, *THRICE).when(contact(AT + DAY)).then(contacted(at=AT + DAY, response_seconds=86400, in_time=True))


@pytest.mark.parametrize("history", [TRIED, TWICE, (*THRICE, *AGAIN[1:], failed(round_=2))])
def test_no_result_goes_to_an_appellant_whom_nobody_has_reached(history: tuple[Payload, ...]) -> None:
    given(CASE, *history).when(feedback(to=APPELLANT)).then_refused("APPELLANT_NOT_REACHED")
    assert given(CASE, *history).when(feedback(to=HOTLINE)).decided()[0].recipient is HOTLINE
    assert given(CASE, *history).when(feedback(PROGRESS, APPELLANT)).decided()[0].kind is PROGRESS


@pytest.mark.parametrize("history", [HANDLING, THRICE, (*TRIED, contacted())])
def test_it_goes_to_one_who_was_reached_or_was_tried_often_enough(history: tuple[Payload, ...]) -> None:
    given(CASE, *history).when(feedback(to=APPELLANT)).then(fed(RESULT, APPELLANT))


@pytest.mark.parametrize("reachable", [False, None])
def test_and_to_one_who_left_no_way_to_be_reached_or_of_whom_nobody_knows(reachable: bool | None) -> None:
    """Events of earlier versions say nothing of `reachable`."""
    history = (opened(reachable=reachable), *TRIED[1:])
    given(CASE, *history).when(feedback(to=APPELLANT)).then(fed(RESULT, APPELLANT))


def test_a_policy_may_ask_for_no_contact() -> None:
    lax = replace(OWED, contact=replace(OWED.contact, needed_before_result=False))
    given(CASE, *TRIED).when(feedback(to=APPELLANT, policy=lax)).then(fed(RESULT, APPELLANT))


def test_progress_reports_never_complete_a_round() -> None:
    spec = given(CASE, *HANDLING, fed(RESULT, HOTLINE)).when(feedback(PROGRESS, APPELLANT))
    spec.then(fed(PROGRESS, APPELLANT))
    assert spec.state_after().state is CaseState.HANDLING


@pytest.mark.parametrize(("first", "second"), [(APPELLANT, HOTLINE), (HOTLINE, APPELLANT)])
def test_a_round_is_done_when_both_have_the_result_in_any_order(first: Recipient, second: Recipient) -> None:
    given(CASE, *HANDLING).when(feedback(RESULT, first)).then(fed(RESULT, first))
    spec = given(CASE, *HANDLING, fed(RESULT, first)).when(feedback(RESULT, second))
    spec.then(fed(RESULT, second, completes=True))
    assert spec.state_after().state is CaseState.FEEDBACK_DONE


def test_telling_one_side_twice_does_not_complete_a_round() -> None:
    given(CASE, *HANDLING, fed(RESULT, HOTLINE)).when(feedback()).then(fed(RESULT, HOTLINE))


def test_progress_to_one_side_does_not_stand_in_for_the_result() -> None:
    given(CASE, *HANDLING, fed(PROGRESS, APPELLANT)).when(feedback()).then(fed(RESULT, HOTLINE))


@pytest.mark.parametrize("before", [(*DONE, *REWORK[1:]), (*DONE, *CLOSED[1:], *reopened())])
def test_results_of_the_first_round_do_not_count_in_the_second(before: tuple[Payload, ...]) -> None:
    history = (*before, opened(2), signed(2), contacted(round_=2))
    given(CASE, *history).when(feedback()).then(fed(RESULT, HOTLINE, round_=2))


def test_what_the_unit_says_came_of_it_is_kept() -> None:
    explained = feedback(outcome=FeedbackOutcome.EXPLAINED)
    given(CASE, *HANDLING).when(explained).then(fed(RESULT, HOTLINE, outcome=FeedbackOutcome.EXPLAINED))


STOCK = "您好，您反映的问题已收悉，我们将尽快处理，感谢您对我们工作的理解和支持"


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("已修", (Finding.SHORT,)),
        ("十四个字的答复还是太短了一些", (Finding.SHORT,)),
        ("十五个字的答复刚好就不算太短了", ()),
        ("十五个字的答复，刚好就不算太短了。", ()),
        ("十四个字，的答复！还是太短了一些！！", (Finding.SHORT,)),
        (STOCK, (Finding.TEMPLATE,)),
        (STOCK + "路灯已在昨晚修好恢复", (Finding.TEMPLATE,)),
        (STOCK + "路灯已在昨晚修好恢复照明", ()),
        ("您好，已收悉", (Finding.SHORT, Finding.TEMPLATE)),
        ("您好，您反映的問題已收悉，感謝您的監督", (Finding.TEMPLATE,)),
    ],
)
def test_a_result_that_says_little_is_shown_to_the_reviewer(text: str, findings: tuple[Finding, ...]) -> None:
    given(CASE, *HANDLING).when(feedback(text=text)).then(fed(RESULT, HOTLINE, text=text, findings=findings))
    assert given(CASE, *HANDLING).when(feedback(PROGRESS, text=text)).decided()[0].findings == ()


def test_what_is_counted_and_what_is_left_of_it() -> None:
    assert letters("已 修，好。OK 2 次!") == "已修好ok2次"
    assert said("您好，我们将尽快处理，路灯好了", OWED.answers) == "路灯好了"
    assert [len(said(STOCK + rest, OWED.answers)) for rest in ("路灯已在昨晚修好恢复", "")] == [10, 0]


@pytest.mark.parametrize("kind", [PROGRESS, RESULT])
@pytest.mark.parametrize("text", ["。", "……！！？", "好", "好。。。"])
def test_an_answer_that_says_nothing_is_refused(text: str, kind: Any) -> None:
    given(CASE, *HANDLING).when(feedback(kind, text=text)).then_refused("ANSWER_TOO_SHORT")


@pytest.mark.parametrize(("alike", "findings"), [(0, ()), (1, ()), (2, ()), (3, (Finding.TEMPLATE,))])
def test_an_answer_that_was_given_often_reads_like_a_template(alike: int, findings: tuple[Finding, ...]) -> None:
    told = fed(RESULT, HOTLINE, alike=alike or None, findings=findings)
    given(CASE, *HANDLING).when(feedback(alike=alike)).then(told)


@pytest.mark.parametrize(("kind", "findings"), [(RESULT, (Finding.EVIDENCE_REUSED,)), (PROGRESS, ())])
def test_evidence_that_was_shown_for_another_appeal_is_noticed(kind: Any, findings: tuple[Finding, ...]) -> None:
    told = fed(kind, HOTLINE, evidence=(PAPER,), findings=findings)
    given(CASE, *HANDLING).when(feedback(kind, evidence=(PAPER,), reused=True)).then(told)


@pytest.mark.parametrize(
    ("category", "shown", "finding"),
    [
        (None, (), None),
        ("物业管理", (), None),
        ("市政设施", (), Finding.EVIDENCE_MISSING),
        ("市政设施", (BEFORE, PAPER), Finding.EVIDENCE_MISSING),
        ("市政设施", (AFTER,), None),
        ("市政设施", (AFTER, PAPER), None),
        ("道路设施修复", (BEFORE, AFTER), None),
    ],
)
def test_what_a_result_about_this_category_should_show(
    category: str | None, shown: tuple[Evidence, ...], finding: Finding | None
) -> None:
    history = (opened(category=category), *HANDLING[1:])
    told = fed(RESULT, HOTLINE, evidence=shown, findings=(finding,) if finding else ())
    given(CASE, *history).when(feedback(evidence=shown)).then(told)


@pytest.mark.parametrize("category", ["违法建设拆除", "道路设施修复"])
@pytest.mark.parametrize("shown", [(), (BEFORE,), (AFTER, PAPER)])
def test_what_was_to_be_torn_down_or_repaired_is_shown_before_and_after(
    category: str, shown: tuple[Evidence, ...]
) -> None:
    spec = given(CASE, opened(category=category), *HANDLING[1:])
    spec.when(feedback(evidence=shown)).then_refused("EVIDENCE_NEEDED")
    spec.when(feedback(PROGRESS, evidence=shown)).then(fed(PROGRESS, HOTLINE, evidence=shown))


CHANGED = (Finding.EVIDENCE_CHANGED,)


@pytest.mark.parametrize(
    ("before", "shown", "findings"),
    [
        ((), (AFTER,), ()),
        ((AFTER,), (AFTER,), ()),
        ((BEFORE, AFTER), (AFTER, BEFORE), ()),
        ((AFTER,), (PAPER,), CHANGED),
        ((AFTER,), (AFTER, PAPER), CHANGED),
        ((AFTER,), (), CHANGED),
        ((AFTER,), (Evidence(number=AFTER.number, role=EvidenceRole.BEFORE),), CHANGED),
    ],
)
def test_a_result_told_again_with_other_evidence_is_noticed(
    before: tuple[Evidence, ...], shown: tuple[Evidence, ...], findings: tuple[Finding, ...]
) -> None:
    history = (*HANDLING, fed(RESULT, HOTLINE, evidence=before))
    given(CASE, *history).when(feedback(evidence=shown)).then(fed(RESULT, HOTLINE, evidence=shown, findings=findings))


def test_evidence_of_another_answer_is_not_compared() -> None:
    to_appellant = fed(RESULT, APPELLANT, evidence=(AFTER,))
    given(CASE, *HANDLING, to_appellant).when(feedback()).then(fed(RESULT, HOTLINE, completes=True))
    shown = (*HANDLING, fed(RESULT, HOTLINE, evidence=(AFTER,)))
    given(CASE, *shown).when(feedback(PROGRESS)).then(fed(PROGRESS, HOTLINE))
    given(CASE, *shown, *in_round_two()[1:]).when(feedback()).then(fed(RESULT, HOTLINE, round_=2))
