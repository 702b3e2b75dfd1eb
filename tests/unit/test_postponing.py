"""More time: the extension, which somebody else grants, and the ledger, on which the handling clock rests.

Rows 13, 16, 17 and 19 of the state machine (domain specification, section 4; Regulation Art 15).
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from services.routing_service.order import ORDER, NoteLimitExpired, StopClock
from services.routing_service.postponing import (
    AskExtension,
    CloseLedger,
    DenyExtension,
    GrantExtension,
    NoteReviewOverdue,
    PutOnLedger,
    ReviewLedger,
)
from shared.contracts.codes import CaseState, Urgency
from shared.contracts.envelope import Actor, Payload
from shared.contracts.routing import (
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
OFFICER = Actor("MUNICIPAL_ADMIN", None, "zhao")
REVIEW = AT + 30 * DAY
REQUESTED = ExtensionRequested(
    unit_id=TOWN.unit_id, until=DUE + DAY, reason="等待配件", round=1, answer_due_at=AT + DAY
)
GRANTED = ExtensionGranted(unit_id=TOWN.unit_id, due_at=DUE + DAY, previous_due_at=DUE, round=1, policy=LIMITS.version)
ASKED = LedgerRequested(unit_id=TOWN.unit_id, plan="纳入明年改造", review_on=REVIEW, by="wang", round=1)
OPENED = LedgerOpened(review_on=REVIEW, seconds_left=5 * 86400, round=1)
"""Agreed to two days after dispatch: five of the seven days are left."""


def ask(until: datetime = DUE + DAY, at: datetime = AT, unit_id: str | None = TOWN.unit_id) -> AskExtension:
    return AskExtension(at=at, unit_id=unit_id, until=until, reason="等待配件", limits=LIMITS)


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


@pytest.mark.parametrize("command", [grant(COLLEAGUE), DenyExtension(at=AT, actor=COLLEAGUE, reason="x")])
def test_nobody_of_the_unit_decides_about_its_own_extension(command: Command) -> None:
    signed(REQUESTED).when(command).then_refused("OWN_CASE")


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
    closed = LedgerClosed(reason="已具备条件", due_at=later + 5 * DAY, round=1)
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
    "results": StopClock(at=AT, round=1),
}
NEVER = dict.fromkeys(COMMANDS, ILLEGAL) | {"ask as another": NOT_YOURS, "overdue": NOTHING, "results": NOTHING}
NEVER |= {"agree to ledger": "LEDGER_NOT_REQUESTED"}
UNSENT = NEVER | {"ask": NOT_YOURS, "ask for ledger": ILLEGAL, "agree to ledger": ILLEGAL}
RUNS = NEVER | {"results": "HandlingCompleted"}
EXPECTED = dict.fromkeys(HISTORIES, NEVER) | {
    "unknown": dict.fromkeys(COMMANDS, NOT_YOURS) | {"overdue": NOTHING, "results": NOTHING},
    "proposed": UNSENT,
    "dispatched": RUNS,
    "signed": RUNS | {"ask": "ExtensionRequested", "ask for ledger": "LedgerRequested"},
    "asked": RUNS
    | {"ask": "EXTENSION_PENDING", "grant": "ExtensionGranted", "deny": "ExtensionDenied"}
    | {"ask for ledger": "LedgerRequested", "agree to ledger": "LedgerOpened"},
    "on the ledger": RUNS | {"review": "LedgerReviewed", "close": "LedgerClosed", "overdue": "LedgerReviewOverdue"},
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_word_about_more_time_in_every_state_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(ORDER, HISTORIES[state], COMMANDS[command]) == follows
