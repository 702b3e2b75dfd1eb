"""More time: the extension, which somebody else grants, and the ledger, on which the handling clock rests.

Rows 13, 16, 17 and 19 of the state machine (domain specification, section 4; Regulation Art 15).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.routing_service.limits import Limit
from services.routing_service.order import ORDER, NoteLimitExpired, StopClock
from services.routing_service.postponing import (
    AskExtension,
    CloseLedger,
    CorrectDueTime,
    DenyExtension,
    GrantExtension,
    NoteAnswerOverdue,
    NoteReviewOverdue,
    PutOnLedger,
    ReviewLedger,
)
from shared.contracts.codes import CaseState, Urgency
from shared.contracts.envelope import Actor, Payload
from shared.contracts.routing import (
    DueTimeCorrected,
    ExtensionAnswerOverdue,
    ExtensionDenied,
    ExtensionGranted,
    ExtensionRequested,
    HandlingCompleted,
    LedgerClosed,
    LedgerOpened,
    LedgerRequested,
    LedgerReviewed,
    LedgerReviewOverdue,
    OrderEnded,
)
from shared.engine.decider import Command
from tests.support.spec import Spec, given
from tests.unit.pairs import ILLEGAL, NOT_YOURS, NOTHING, every_pair, outcome
from tests.unit.test_order import AT, DISPATCHED, EXPIRED, LIMITS, MOMENT, PROPOSED, SIGNED, TOWN, dispatched

DAY = timedelta(days=1)
DUE = DISPATCHED.due_at
UNIT, COLLEAGUE = Actor("STREET_HANDLER", TOWN.unit_id, "wang"), Actor("STREET_HANDLER", TOWN.unit_id, "li")
OFFICER, MOVED = Actor("MUNICIPAL_ADMIN", None, "zhao"), Actor("MUNICIPAL_ADMIN", None, "wang")
REVIEW = AT + 30 * DAY
REQUESTED = ExtensionRequested(
    unit_id=TOWN.unit_id, until=DUE + DAY, reason="等待配件", round=1, answer_due_at=AT + DAY, by="wang"
)
GRANTED = ExtensionGranted(unit_id=TOWN.unit_id, due_at=DUE + DAY, previous_due_at=DUE, round=1, policy=LIMITS.version)
ASKED = LedgerRequested(unit_id=TOWN.unit_id, plan="纳入明年改造", review_on=REVIEW, by="wang", round=1)
OPENED = LedgerOpened(review_on=REVIEW, seconds_left=5 * 86400, round=1)
"""Agreed to two days after dispatch: five of the seven days are left."""


def ask(until: datetime = DUE + DAY, at: datetime = AT, unit_id: str | None = TOWN.unit_id) -> AskExtension:
    return AskExtension(at=at, actor=UNIT, unit_id=unit_id, until=until, reason="等待配件", limits=LIMITS)


def grant(by: Actor = OFFICER) -> GrantExtension:
    return GrantExtension(at=AT + DAY, actor=by, limits=LIMITS)


def ledger(
    by: Actor, review_on: datetime | None = None, plan: str | None = None, at: datetime = AT + 2 * DAY
) -> PutOnLedger:
    return PutOnLedger(at=at, actor=by, plan=plan, review_on=review_on, limits=LIMITS)


def look(review_on: datetime, at: datetime = REVIEW) -> ReviewLedger:
    return ReviewLedger(at=at, actor=OFFICER, finding="方案推进中", review_on=review_on, limits=LIMITS)


def signed(*after: Payload) -> Spec:
    return given(ORDER, PROPOSED, DISPATCHED, SIGNED, *after)


def test_the_unit_asks_for_more_time_with_a_day_and_a_reason_and_the_due_time_stays_until_then() -> None:
    spec = signed().when(ask())
    spec.then(REQUESTED)
    assert spec.state_after().due_at == DUE


def test_more_time_is_asked_for_before_the_time_is_up() -> None:
    assert signed().when(ask(at=DUE - MOMENT)).decided()
    signed().when(ask(at=DUE)).then_refused("EXTENSION_TOO_LATE")


@pytest.mark.parametrize(("tier", "days"), [(Urgency.GENERAL, 7), (Urgency.COMPLEX, 15)])
def test_an_extension_is_at_most_as_long_as_the_original_limit(tier: Urgency, days: int) -> None:
    spec = given(ORDER, PROPOSED, dispatched(tier=tier), SIGNED)
    due = AT + days * DAY
    for until in (due, due - DAY, due + days * DAY + MOMENT):
        spec.when(ask(until)).then_refused("EXTENSION_TOO_LONG")
    for until in (due + MOMENT, due + days * DAY):
        assert spec.when(ask(until)).decided()[0].until == until


def test_an_extension_is_asked_for_once_at_a_time_and_granted_once_in_a_round() -> None:
    signed(REQUESTED).when(ask()).then_refused("EXTENSION_PENDING")
    signed(REQUESTED, GRANTED).when(ask(DUE + 2 * DAY)).then_refused("EXTENDED_ENOUGH")
    second, again = dispatched(2, at=DUE + DAY), SIGNED.model_copy(update={"round": 2})
    spec = signed(REQUESTED, GRANTED, EXPIRED, second, again)
    assert spec.when(ask(second.due_at + DAY, DUE + DAY)).decided()[0].round == 2


def test_granted_the_due_time_moves_and_the_one_before_stays_on_record() -> None:
    spec = signed(REQUESTED).when(grant())
    spec.then(GRANTED)
    assert spec.state_after().due_at == DUE + DAY


def test_the_limit_does_not_expire_at_the_old_due_time_but_at_the_new_one() -> None:
    extended = signed(REQUESTED, GRANTED)
    for at in (DUE, DUE + DAY - MOMENT):
        extended.when(NoteLimitExpired(at=at)).then()
    extended.when(NoteLimitExpired(at=DUE + DAY)).then(EXPIRED.model_copy(update={"due_at": DUE + DAY}))


def test_denied_the_due_time_stays_and_the_unit_may_ask_again() -> None:
    denied = ExtensionDenied(unit_id=TOWN.unit_id, reason="理由不足", round=1)
    signed(REQUESTED).when(DenyExtension(at=AT, actor=OFFICER, reason="理由不足")).then(denied)
    signed(REQUESTED, denied).when(NoteLimitExpired(at=DUE)).then(EXPIRED)
    signed(REQUESTED, denied).when(ask()).then(REQUESTED)


@pytest.mark.parametrize(("by", "code"), [(COLLEAGUE, "OWN_CASE"), (MOVED, "SECOND_OFFICER_NEEDED")])
def test_neither_the_unit_nor_who_asked_decides_about_an_extension(by: Actor, code: str) -> None:
    for command in (grant(by), DenyExtension(at=AT, actor=by, reason="x")):
        signed(REQUESTED).when(command).then_refused(code)


def test_the_unit_asks_for_the_ledger_with_a_plan_and_a_day() -> None:
    spec = signed().when(ledger(UNIT, REVIEW, "纳入明年改造"))
    spec.then(ASKED)
    assert (spec.state_after().state, spec.state_after().running) == (CaseState.SIGNED, True)
    signed().when(ledger(UNIT, REVIEW)).then_refused("PLAN_NEEDED")
    signed().when(ledger(UNIT, plan="纳入明年改造")).then_refused("PLAN_NEEDED")


def test_the_review_lies_ahead_and_not_too_far() -> None:
    at = AT + 2 * DAY
    longest = at + timedelta(days=180)
    for bad in (at, at - DAY, longest + MOMENT):
        signed().when(ledger(UNIT, bad, "纳入明年改造")).then_refused("REVIEW_DAY")
        signed(ASKED).when(ledger(OFFICER, bad)).then_refused("REVIEW_DAY")
        signed(ASKED, OPENED).when(look(bad, at)).then_refused("REVIEW_DAY")
    assert signed().when(ledger(UNIT, longest, "纳入明年改造")).decided()


def test_another_person_agrees_and_the_clock_rests_with_what_is_left() -> None:
    spec = signed(ASKED).when(ledger(OFFICER))
    spec.then(OPENED)
    order = spec.state_after()
    assert (order.state, order.running, order.left) == (CaseState.ON_LEDGER, False, 5 * DAY)
    signed(ASKED, OPENED).when(NoteLimitExpired(at=DUE + 100 * DAY)).then()


def test_whoever_agrees_may_set_another_plan_and_another_day() -> None:
    opened = signed(ASKED).when(ledger(OFFICER, AT + 9 * DAY, "分两期实施")).decided()[0]
    assert (opened.plan, opened.review_on) == ("分两期实施", AT + 9 * DAY)


def test_nothing_goes_on_the_ledger_unless_the_unit_has_asked() -> None:
    signed().when(ledger(OFFICER, REVIEW, "纳入明年改造")).then_refused("LEDGER_NOT_REQUESTED")


def test_neither_the_one_who_asked_nor_a_colleague_agrees() -> None:
    signed(ASKED).when(ledger(OFFICER._replace(sub="wang"))).then_refused("SECOND_OFFICER_NEEDED")
    asked_again = signed(ASKED).when(ledger(COLLEAGUE, REVIEW, "纳入明年改造"))
    asked_again.then(ASKED.model_copy(update={"by": "li"}))


def test_off_the_ledger_the_rest_of_the_time_runs_from_there() -> None:
    later = AT + 60 * DAY
    spec = signed(ASKED, OPENED).when(CloseLedger(at=later, actor=OFFICER, reason="已具备条件"))
    due = later + 5 * DAY
    remind = later + 0.75 * 5 * DAY  # the same part of the rest as of the whole
    closed = LedgerClosed(reason="已具备条件", due_at=due, round=1, remind_at=remind, escalate_at=due)
    spec.then(closed)
    order = spec.state_after()
    assert (order.state, order.running, order.due_at) == (CaseState.SIGNED, True, closed.due_at)
    spec = signed(ASKED, OPENED, closed)
    spec.when(NoteLimitExpired(at=closed.due_at - MOMENT)).then()
    spec.when(NoteLimitExpired(at=closed.due_at)).then(EXPIRED.model_copy(update={"due_at": closed.due_at}))
    spec.when(NoteReviewOverdue(at=closed.due_at)).then()


def test_a_review_that_nobody_made_is_noted_once_and_the_order_stays_on_the_ledger() -> None:
    overdue = LedgerReviewOverdue(review_on=REVIEW, round=1)
    signed(ASKED, OPENED).when(NoteReviewOverdue(at=REVIEW - MOMENT)).then()
    spec = signed(ASKED, OPENED).when(NoteReviewOverdue(at=REVIEW))
    spec.then(overdue)
    assert spec.state_after().state is CaseState.ON_LEDGER
    signed(ASKED, OPENED, overdue).when(NoteReviewOverdue(at=REVIEW + DAY)).then()


def test_a_review_sets_the_day_of_the_next_one() -> None:
    following = REVIEW + 30 * DAY
    reviewed = LedgerReviewed(finding="方案推进中", review_on=following, round=1)
    signed(ASKED, OPENED).when(look(following)).then(reviewed)
    signed(ASKED, OPENED, reviewed).when(NoteReviewOverdue(at=following - MOMENT)).then()
    overdue = LedgerReviewOverdue(review_on=following, round=1)
    signed(ASKED, OPENED, reviewed).when(NoteReviewOverdue(at=following)).then(overdue)


def test_a_request_that_nobody_answers_is_noted_exactly_when_its_time_is_over() -> None:
    overdue = ExtensionAnswerOverdue(unit_id=TOWN.unit_id, answer_due_at=AT + DAY, round=1)
    signed(REQUESTED).when(NoteAnswerOverdue(at=AT + DAY - MOMENT)).then()
    spec = signed(REQUESTED).when(NoteAnswerOverdue(at=AT + DAY))
    spec.then(overdue)
    assert spec.state_after().due_at == DUE
    signed(REQUESTED, overdue).when(grant()).then(GRANTED)


def test_an_answer_is_due_within_a_working_day() -> None:
    friday = datetime.fromisoformat("2026-11-27T16:00+08:00")
    assert signed().when(ask(at=friday)).decided()[0].answer_due_at == friday + 3 * DAY


DENIED = ExtensionDenied(unit_id=TOWN.unit_id, reason="理由不足", round=1)
OFF = LedgerClosed(reason="已具备条件", due_at=AT + 20 * DAY, round=1)
UNTIMED = REQUESTED.model_copy(update={"answer_due_at": None})
DONE, ENDS = HandlingCompleted(round=1), OrderEnded(outcome=CaseState.CLOSED)


@pytest.mark.parametrize(
    "after", [(GRANTED,), (DENIED,), (EXPIRED,), (DONE,), (ENDS,), (ASKED, OPENED), (ASKED, OPENED, OFF)]
)
def test_no_answer_is_missed_where_none_is_due(after: tuple[Payload, ...]) -> None:
    for history in ((REQUESTED, *after), (), (UNTIMED,)):
        signed(*history).when(NoteAnswerOverdue(at=AT + 9 * DAY)).then()


# ---- working days that become official ----

EVE = datetime.fromisoformat("2026-09-30T09:00+08:00")
WEEKDAYS, OFFICIAL = EVE + 7 * DAY, EVE + 13 * DAY
"""Five days on, as the weekdays have it, and as the notice has it: 8, 9, 10 (a Saturday), 12 and 13 October."""
OWN = replace(LIMITS, categories={"劳动": Limit("P5D", "WORKING", "Shandong")})
KNOWN = OWN.due(Urgency.GENERAL, EVE, "劳动").derivation
GUESSED = dispatched(at=EVE).model_copy(
    update={"due_at": WEEKDAYS, "due_derivation": KNOWN.model_copy(update={"provisional": True})}
)
CORRECT = CorrectDueTime(at=EVE + DAY, limits=OWN)
CORRECTED = DueTimeCorrected(due_at=OFFICIAL, previous_due_at=WEEKDAYS, due_derivation=KNOWN, round=1)


def guessed(*after: Payload) -> Spec:
    return given(ORDER, PROPOSED, GUESSED, *after)


@pytest.mark.parametrize("before", [(), (SIGNED,)])
def test_a_provisional_due_time_is_corrected_once_the_working_days_are_known(before: tuple[Payload, ...]) -> None:
    spec = guessed(*before).when(CORRECT)
    spec.then(CORRECTED)
    assert (spec.state_after().due_at, spec.state_after().provisional) == (OFFICIAL, False)
    guessed(*before, CORRECTED).when(CORRECT).then()
    guessed(*before, CORRECTED).when(NoteLimitExpired(at=OFFICIAL - MOMENT)).then()
    guessed(*before, CORRECTED).when(NoteLimitExpired(at=OFFICIAL)).then(
        EXPIRED.model_copy(update={"due_at": OFFICIAL})
    )


def test_a_due_time_that_is_official_or_still_cannot_be_stays() -> None:
    given(ORDER, PROPOSED, DISPATCHED).when(CORRECT).then()
    far = datetime.fromisoformat("2099-01-05T09:00+08:00")
    due = OWN.due(Urgency.GENERAL, far, "劳动")
    ahead = dispatched(at=far).model_copy(update={"due_at": due.handle, "due_derivation": due.derivation})
    assert due.derivation.provisional
    given(ORDER, PROPOSED, ahead).when(CORRECT).then()


@pytest.mark.parametrize("stopped", [(DONE,), (EXPIRED,), (SIGNED, ASKED, OPENED), (ENDS,)])
def test_a_clock_that_does_not_run_is_not_corrected(stopped: tuple[Payload, ...]) -> None:
    guessed(*stopped).when(CORRECT).then()
    given(ORDER).when(CORRECT).then()
    given(ORDER, PROPOSED).when(CORRECT).then()


@pytest.mark.parametrize("more", [DAY, 3 * DAY])
def test_what_an_extension_has_added_stays_added(more: timedelta) -> None:
    longer = GRANTED.model_copy(update={"due_at": WEEKDAYS + more, "previous_due_at": WEEKDAYS})
    corrected = CORRECTED.model_copy(update={"due_at": OFFICIAL + more, "previous_due_at": WEEKDAYS + more})
    guessed(SIGNED, REQUESTED, longer).when(CORRECT).then(corrected)


def test_an_extension_that_was_asked_for_before_a_correction_makes_no_due_time_earlier() -> None:
    asked = REQUESTED.model_copy(update={"until": WEEKDAYS + DAY})
    assert guessed(SIGNED, asked, CORRECTED).when(grant()).state_after().due_at >= OFFICIAL


def test_the_next_round_is_as_provisional_as_its_own_due_time() -> None:
    second = dispatched(2, at=EVE + 20 * DAY)
    guessed(EXPIRED, second).when(CORRECT).then()


HISTORIES: dict[str, tuple[Payload, ...]] = {
    "unknown": (),
    "proposed": (PROPOSED,),
    "dispatched": (PROPOSED, DISPATCHED),
    "signed": (PROPOSED, DISPATCHED, SIGNED),
    "asked": (PROPOSED, DISPATCHED, SIGNED, REQUESTED, ASKED),
    "on the ledger": (PROPOSED, DISPATCHED, SIGNED, ASKED, OPENED),
    "completed": (PROPOSED, DISPATCHED, SIGNED, REQUESTED, ASKED, HandlingCompleted(round=1)),
    "expired": (PROPOSED, DISPATCHED, SIGNED, REQUESTED, EXPIRED),
    "ended": (PROPOSED, DISPATCHED, SIGNED, REQUESTED, ASKED, OrderEnded(outcome=CaseState.CLOSED)),
}
COMMANDS: dict[str, Command] = {
    "ask": ask(),
    "ask as another": ask(unit_id="bj-power"),
    "grant": grant(),
    "deny": DenyExtension(at=AT, actor=OFFICER, reason="x"),
    "ask for ledger": ledger(UNIT, REVIEW, "x"),
    "agree to ledger": ledger(OFFICER),
    "review": look(REVIEW + DAY),
    "close": CloseLedger(at=REVIEW, actor=OFFICER, reason="x"),
    "overdue": NoteReviewOverdue(at=REVIEW),
    "unanswered": NoteAnswerOverdue(at=REVIEW),
    "correct": CORRECT,
    "results": StopClock(at=AT, round=1),
}
NEVER = dict.fromkeys(COMMANDS, ILLEGAL) | {"ask as another": NOT_YOURS, "overdue": NOTHING, "results": NOTHING}
NEVER |= {"agree to ledger": "LEDGER_NOT_REQUESTED", "unanswered": NOTHING, "correct": NOTHING}
UNSENT = NEVER | {"ask": NOT_YOURS, "ask for ledger": ILLEGAL, "agree to ledger": ILLEGAL}
RUNS = NEVER | {"results": "HandlingCompleted"}
EXPECTED = dict.fromkeys(HISTORIES, NEVER) | {
    "unknown": dict.fromkeys(COMMANDS, NOT_YOURS)
    | dict.fromkeys(("overdue", "results", "unanswered", "correct"), NOTHING),
    "proposed": UNSENT,
    "dispatched": RUNS,
    "signed": RUNS | {"ask": "ExtensionRequested", "ask for ledger": "LedgerRequested"},
    "asked": RUNS
    | {"ask": "EXTENSION_PENDING", "grant": "ExtensionGranted", "deny": "ExtensionDenied"}
    | {"ask for ledger": "LedgerRequested", "agree to ledger": "LedgerOpened"}
    | {"unanswered": "ExtensionAnswerOverdue"},
    "on the ledger": RUNS | {"review": "LedgerReviewed", "close": "LedgerClosed", "overdue": "LedgerReviewOverdue"},
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_word_about_more_time_in_every_state_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(ORDER, HISTORIES[state], COMMANDS[command]) == follows
