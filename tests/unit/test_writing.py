"""What appellant and unit write to each other: who waits for whom, links that work once, and hidden identities.

Regulation Art 15; domain specification, section 4.3: whoever must not be known is reached by writing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.feedback_service.case import CASE
from services.feedback_service.handling import NoteReplyOverdue, Reply
from shared.contracts.codes import CaseState, Via
from shared.contracts.envelope import Payload
from shared.contracts.feedback import CaseEnded, MessagesRead, ReplyAwaited, ReplyOverdue
from shared.engine.decider import Command
from tests.support.spec import given
from tests.unit.cases import (
    APPELLANT,
    AT,
    CLOSED,
    DAY,
    DONE,
    DUE,
    HANDLING,
    HIDDEN,
    HOUR,
    INVALID,
    MS,
    NO_ANSWER,
    OPENED,
    OWED,
    RESULT,
    REWORK,
    SIGNED,
    awaited,
    contact,
    contacted,
    failed,
    fed,
    feedback,
    opened,
    post,
    posted,
    read,
    reopened,
    replied,
    reply,
    scheduled,
    seen,
    signed,
    unreachable,
    written,
)

IN_WRITING = (*HANDLING, posted())
OVERDUE = ReplyOverdue(due_at=AT + DAY, round=1)
RELAYED = contacted(channel="RELAY", response_seconds=0, in_time=True)
ASKED = (*HIDDEN, posted(), failed(channel="RELAY"))
MET = (*ASKED, replied(), seen(), awaited(), RELAYED)


def late(at: datetime = AT + DAY) -> NoteReplyOverdue:
    return NoteReplyOverdue(at=at)


@pytest.mark.parametrize("history", [OPENED, SIGNED, HANDLING, DONE, DUE, REWORK])
def test_a_unit_may_write_as_long_as_it_has_the_case(history: tuple[Payload, ...]) -> None:
    spec = given(CASE, *history).when(post())
    spec.then(posted())
    assert spec.state_after().state is given(CASE, *history).state.state


def test_messages_are_numbered_over_all_rounds() -> None:
    given(CASE, *IN_WRITING).when(post()).then(posted(2))
    given(CASE, *IN_WRITING, *REWORK[1:], opened(2)).when(post()).then(posted(2, round_=2))


@pytest.mark.parametrize("asked", [written, lambda at: reply(at=at), lambda at: reply(None, Via.SMS, at)])
def test_whoever_writes_waits_a_day_from_the_first_message_on(asked: Any) -> None:
    assert given(CASE, *IN_WRITING).when(asked(AT)).decided()[-1] == awaited()
    again = given(CASE, *IN_WRITING, awaited()).when(asked(AT + HOUR))
    assert again.decided()[-1] == awaited(2, due_at=None)
    assert again.state_after().thread.awaited.due_at == AT + DAY


def test_an_answer_stops_the_clock_and_the_next_message_starts_it_again() -> None:
    answered = (*IN_WRITING, awaited(), posted(2))
    given(CASE, *answered).when(late()).then()
    given(CASE, *answered).when(written(AT + HOUR)).then(awaited(2, AT + HOUR + DAY))


def test_a_message_not_answered_in_time_is_overdue_once() -> None:
    waiting = (*IN_WRITING, awaited())
    given(CASE, *waiting).when(late(AT + DAY - MS)).then()
    given(CASE, *waiting).when(late()).then(OVERDUE)
    given(CASE, *waiting, awaited(2, due_at=None)).when(late(AT + 2 * DAY)).then(OVERDUE)
    given(CASE, *waiting, OVERDUE).when(late(AT + 2 * DAY)).then()


def test_after_a_time_that_the_unit_let_go_by_the_next_message_has_one_of_its_own() -> None:
    overdue = (*IN_WRITING, awaited(), OVERDUE)
    given(CASE, *overdue).when(written(AT + 2 * DAY)).then(awaited(2, AT + 3 * DAY))
    again = (*overdue, awaited(2, AT + 3 * DAY))
    given(CASE, *again).when(written(AT + 2 * DAY)).then(awaited(3, due_at=None))
    given(CASE, *again).when(late(AT + 3 * DAY - MS)).then()
    given(CASE, *again).when(late(AT + 3 * DAY)).then(ReplyOverdue(due_at=AT + 3 * DAY, round=1))
    given(CASE, *overdue, posted(2)).when(written(AT + 2 * DAY)).then(awaited(2, AT + 3 * DAY))


def test_nothing_is_overdue_where_nobody_waits_or_the_case_is_over() -> None:
    given(CASE, *IN_WRITING).when(late()).then()
    given(CASE, *IN_WRITING, awaited(), *CLOSED[1:]).when(late()).then()
    given(CASE, *IN_WRITING, awaited(), CaseEnded(outcome=CaseState.WITHDRAWN)).when(late()).then()


def test_a_message_from_before_the_dispatch_waits_for_the_unit_to_come() -> None:
    before = awaited(1, None, 0)
    given(CASE).when(written()).then(before)
    given(CASE, before).when(written(AT + HOUR)).then(awaited(2, None, 0))
    given(CASE, before).when(late(AT + 9 * DAY)).then()
    given(CASE, before, *OPENED, awaited()).when(late()).then(OVERDUE)
    given(CASE, before, *OPENED, awaited()).when(written(AT + HOUR)).then(awaited(2, due_at=None))


@pytest.mark.parametrize("closed", [CLOSED, INVALID])
def test_closing_ends_the_waiting_and_after_reopening_a_message_has_a_clock_again(closed: tuple[Payload, ...]) -> None:
    for waiting in ((awaited(),), (awaited(), OVERDUE)):
        again = (*IN_WRITING, *waiting, *closed[1:], *reopened())
        given(CASE, *again).when(late(AT + 9 * DAY)).then()
        given(CASE, *again).when(written(AT + HOUR)).then(awaited(2, AT + HOUR + DAY))
        given(CASE, *again).when(reply(at=AT + HOUR)).then(replied(), seen(), awaited(2, AT + HOUR + DAY))


def test_but_what_goes_round_again_is_waited_for_as_before() -> None:
    again = (*IN_WRITING, awaited(), *REWORK[1:])
    given(CASE, *again).when(written(AT + HOUR)).then(awaited(2, due_at=None))
    given(CASE, *again, opened(2)).when(written(AT + HOUR)).then(awaited(2, None, 2))
    given(CASE, *again).when(late()).then(OVERDUE)


@pytest.mark.parametrize("history", [CLOSED, (CaseEnded(outcome=CaseState.WITHDRAWN),)])
def test_a_message_that_crosses_the_end_waits_for_nobody(history: tuple[Payload, ...]) -> None:
    given(CASE, *history).when(written()).then()


def test_a_link_answers_its_message_once() -> None:
    two = (*IN_WRITING, posted(2))
    given(CASE, *two).when(reply(1)).then(replied(1), seen(2), awaited())
    given(CASE, *two, replied(1), seen(2), awaited()).when(reply(1)).then_refused("LINK_USED")
    given(CASE, *two, replied(1), seen(2), awaited()).when(reply(2)).then(replied(2), awaited(2, due_at=None))
    given(CASE, *two, replied(2), seen(2), awaited()).when(reply(1)).then(replied(1), awaited(2, due_at=None))


@pytest.mark.parametrize("asked", [reply(1), reply(None, Via.SMS)])
def test_whoever_answers_has_read_what_was_there(asked: Reply) -> None:
    said, two = replied(asked.to, asked.via), (*IN_WRITING, posted(2))
    given(CASE, *two).when(asked).then(said, seen(2), awaited())
    given(CASE, *two, seen(1)).when(asked).then(said, seen(2), awaited())
    given(CASE, *two, seen(2)).when(asked).then(said, awaited())
    given(CASE, *two, MessagesRead(reader="UNIT", count=2)).when(asked).then(said, seen(2), awaited())


@pytest.mark.parametrize("number", [-1, 0, 2])
def test_a_link_to_no_message_answers_nothing(number: int) -> None:
    given(CASE, *IN_WRITING).when(reply(number)).then_refused("NO_SUCH_MESSAGE")


@pytest.mark.parametrize("via", [Via.SMS, Via.EMAIL, Via.WECHAT])
def test_a_gateway_brings_answers_to_nothing_in_particular_and_uses_up_no_link(via: Via) -> None:
    given(CASE, *HANDLING).when(reply(None, via)).then(replied(None, via), awaited())
    brought = (*IN_WRITING, replied(None, via), seen(), awaited())
    given(CASE, *brought).when(reply(None, via)).then(replied(None, via), awaited(2, due_at=None))
    given(CASE, *brought).when(reply(1)).then(replied(1), awaited(2, due_at=None))


@pytest.mark.parametrize("before", [1, 2])
def test_there_is_a_most_to_what_comes_by_links_and_gateways(before: int) -> None:
    few = replace(OWED, thread=replace(OWED.thread, most_replies=2))
    sms = Reply(at=AT, text="还是没有", via=Via.SMS, to=None, policy=few)
    spec = given(CASE, *HANDLING, *[replied(None, Via.SMS)] * before, awaited()).when(sms)
    if before == 1:
        spec.then(replied(None, Via.SMS), awaited(2, due_at=None))
    else:
        spec.then_refused("WRITTEN_ENOUGH")


@pytest.mark.parametrize("by", ["UNIT", "APPELLANT"])
def test_reading_goes_forward_and_not_beyond_what_was_written(by: str) -> None:
    there = (*HANDLING, *([awaited(1), awaited(2)] if by == "UNIT" else [posted(1), posted(2)]))
    other = "APPELLANT" if by == "UNIT" else "UNIT"
    given(CASE, *there).when(read(2, by)).then(MessagesRead(reader=by, count=2))
    given(CASE, *there).when(read(3, by)).then_refused("NO_SUCH_MESSAGE")
    given(CASE, *there, MessagesRead(reader=by, count=1)).when(read(2, by)).then(MessagesRead(reader=by, count=2))
    given(CASE, *there, MessagesRead(reader=by, count=2)).when(read(2, by)).then()
    given(CASE, *there, MessagesRead(reader=by, count=2)).when(read(1, by)).then()
    given(CASE, *there).when(read(1, other)).then_refused("NO_SUCH_MESSAGE")
    given(CASE, *there, MessagesRead(reader=other, count=2)).when(read(1, by)).then(MessagesRead(reader=by, count=1))
    both = (MessagesRead(reader=by, count=2), MessagesRead(reader=other, count=1))
    given(CASE, *there, *both).when(read(2, by)).then()


@pytest.mark.parametrize("channel", ["PHONE", "SMS", "EMAIL", "WECHAT"])
def test_whoever_says_to_have_called_somebody_hidden_says_what_cannot_be(channel: str) -> None:
    given(CASE, *HIDDEN).when(contact(channel=channel)).then(contacted(channel=channel, impossible=True))
    given(CASE, *HIDDEN).when(contact(channel=channel, result=NO_ANSWER)).then(failed(channel=channel))
    told = contacted(channel=channel, response_seconds=0, in_time=True)
    given(CASE, *SIGNED).when(contact(channel=channel)).then(told)


@pytest.mark.parametrize("channel", ["RELAY", "VISIT"])
def test_the_hidden_may_be_reached_where_no_number_is_needed(channel: str) -> None:
    told = contacted(channel=channel, response_seconds=0, in_time=True)
    given(CASE, *HIDDEN).when(contact(channel=channel)).then(told)


def test_writing_to_the_hidden_is_a_try_and_starts_the_handling() -> None:
    spec = given(CASE, *HIDDEN).when(post())
    spec.then(posted(), failed(channel="RELAY"))
    assert spec.state_after().state is CaseState.HANDLING
    given(CASE, *SIGNED).when(post()).then(posted())


@pytest.mark.parametrize("after", [timedelta(0), OWED.contact.apart - MS, OWED.contact.apart])
def test_such_tries_count_at_different_times(after: timedelta) -> None:
    counts = after == OWED.contact.apart
    given(CASE, *ASKED).when(post(AT + after)).then(posted(2), failed(AT + after, counts, channel="RELAY"))


def test_who_answers_none_of_them_is_unreachable_and_gets_the_result() -> None:
    second, third = (AT + n * OWED.contact.apart for n in (1, 2))
    twice = (*ASKED, posted(2), failed(second, channel="RELAY"))
    given(CASE, *twice).when(feedback(to=APPELLANT)).then_refused("APPELLANT_NOT_REACHED")
    spec = given(CASE, *twice).when(post(third))
    spec.then(posted(3), failed(third, channel="RELAY"), unreachable())
    done = given(CASE, *twice, *spec.decided())
    done.when(feedback(to=APPELLANT)).then(fed(RESULT, APPELLANT))


def test_the_hidden_are_reached_when_they_answer_in_time_or_late() -> None:
    late_answer = contacted(at=AT + DAY + MS, channel="RELAY", response_seconds=86400, in_time=False)
    given(CASE, *ASKED).when(reply()).then(replied(), seen(), awaited(), RELAYED)
    given(CASE, *ASKED).when(reply(None, Via.SMS)).then(replied(None, Via.SMS), seen(), awaited(), RELAYED)
    given(CASE, *ASKED).when(written()).then(awaited(), RELAYED)
    given(CASE, *ASKED).when(written(AT + DAY + MS)).then(awaited(1, AT + 2 * DAY + MS), late_answer)


def test_an_answer_of_the_hidden_lets_the_result_go_to_them() -> None:
    given(CASE, *MET).when(feedback(to=APPELLANT)).then(fed(RESULT, APPELLANT))


@pytest.mark.parametrize("history", [OPENED, SIGNED, IN_WRITING])
def test_what_others_write_is_no_contact(history: tuple[Payload, ...]) -> None:
    given(CASE, *history).when(written()).then(awaited())


def test_what_the_hidden_write_of_themselves_answers_nobody() -> None:
    given(CASE, *HIDDEN).when(written()).then(awaited())
    given(CASE, *HIDDEN).when(reply(None, Via.SMS)).then(replied(None, Via.SMS), awaited())


@pytest.mark.parametrize(
    ("command", "follows"),
    [
        (post(), (posted(2),)),
        (reply(None, Via.SMS), (replied(None, Via.SMS), awaited(2, due_at=None))),
        (written(), (awaited(2, due_at=None),)),
    ],
)
def test_once_they_were_reached_writing_is_only_writing(command: Command, follows: tuple[Payload, ...]) -> None:
    given(CASE, *MET).when(command).then(*follows)


def test_writing_before_signing_and_after_the_callback_was_due_is_no_contact() -> None:
    for history in (HIDDEN[:1], (*HIDDEN, scheduled())):
        given(CASE, *history).when(post()).then(posted())
        given(CASE, *history, posted()).when(reply()).then(replied(), seen(), awaited())
        given(CASE, *history, posted()).when(written()).then(awaited())


@pytest.mark.parametrize("first", [ASKED, MET])
def test_in_the_second_round_the_hidden_are_to_be_reached_again(first: tuple[Payload, ...]) -> None:
    again = (*first, *REWORK[1:], opened(2, identity_hidden=True), signed(2))
    given(CASE, *again).when(post()).then(posted(2, 2), failed(channel="RELAY", round_=2))
    assert [type(one) for one in given(CASE, *again).when(written()).decided()] == [ReplyAwaited]
    assert given(CASE, *again).when(reply(None, Via.SMS)).state_after().reaching.reached is False
    asked = given(CASE, *again, posted(2, 2), failed(channel="RELAY", round_=2)).when(written())
    assert asked.decided()[1:] == [RELAYED.model_copy(update={"round": 2})]
