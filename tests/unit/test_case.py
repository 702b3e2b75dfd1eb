"""The life of a case: contact, two answers, the callback at the limit, and rework up to the policy's number of rounds.

Rows 11, 12, 18 to 23 and 26 of the state machine (domain specification, section 4; Regulation Art 14, 15, 23), then
every pair of state and command.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.feedback_service.case import (
    CASE,
    AttemptCallback,
    CallBackAtLimit,
    CallBackEarly,
    Contact,
    EndCase,
    GiveFeedback,
    NoteSigned,
    Open,
    RecordCallback,
)
from services.feedback_service.policy import shipped_policy
from shared.contracts.codes import (
    CallbackMethod,
    CaseState,
    ContactOutcome,
    FeedbackKind,
    FeedbackOutcome,
    Recipient,
    Satisfaction,
    UnitType,
)
from shared.contracts.envelope import BEIJING, SYSTEM, Actor, Payload
from shared.contracts.feedback import (
    AppellantContacted,
    CallbackAttempted,
    CallbackInvalidated,
    CallbackRecorded,
    CallbackScheduled,
    CaseEnded,
    CaseOpened,
    CaseSigned,
    FeedbackGiven,
    ReworkRequested,
)
from shared.engine.decider import Command
from tests.support.spec import given
from tests.unit.pairs import ILLEGAL, NOT_YOURS, NOTHING, every_pair, outcome

AT = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)
POLICY = shipped_policy()
UNIT = "110105026"
PROGRESS, RESULT = FeedbackKind.PROGRESS, FeedbackKind.RESULT
APPELLANT, HOTLINE = Recipient.APPELLANT, Recipient.HOTLINE
NO_ANSWER, REACHED, PHONE = ContactOutcome.NO_ANSWER, ContactOutcome.REACHED, CallbackMethod.PHONE
COPIED: dict[str, Any] = {
    "ticket_no": "20261123-0000001",
    "lead_unit": UNIT,
    "unit_type": UnitType.STREET_TOWN,
    "cc_district": "110105",
    "registered_at": AT,
}


def opened(round_: int = 1) -> CaseOpened:
    due = AT + timedelta(days=7)
    return CaseOpened(subject_key="p1", round=round_, dispatched_at=AT, due_at=due, **COPIED)


def signed(round_: int = 1) -> CaseSigned:
    return CaseSigned(unit_id=UNIT, round=round_)


def contacted(result: ContactOutcome = REACHED, at: datetime = AT, round_: int = 1) -> AppellantContacted:
    return AppellantContacted(channel="PHONE", outcome=result, at=at, round=round_)


def fed(kind: FeedbackKind, to: Recipient, completes: bool = False, round_: int = 1) -> FeedbackGiven:
    return FeedbackGiven(kind=kind, recipient=to, text="已修复", completes=completes, round=round_)


def scheduled(reason: Any = "LIMIT_EXPIRED", round_: int = 1) -> CallbackScheduled:
    return CallbackScheduled(reason=reason, due_at=AT + timedelta(hours=24), round=round_, policy=POLICY.version)


def tried(result: ContactOutcome = NO_ANSWER) -> CallbackAttempted:
    return CallbackAttempted(outcome=result, method=PHONE, round=1)


def contact(at: datetime = AT, result: ContactOutcome = REACHED) -> Contact:
    return Contact(at=AT, channel="PHONE", outcome=result, contacted_at=at, note=None)


def feedback(kind: FeedbackKind, to: Recipient, result: FeedbackOutcome | None = None) -> GiveFeedback:
    return GiveFeedback(at=AT, kind=kind, recipient=to, text="已修复", outcome=result)


def attempt(actor: Actor = SYSTEM) -> AttemptCallback:
    return AttemptCallback(at=AT, actor=actor, outcome=NO_ANSWER, method=PHONE, policy=POLICY)


def record(**changes: Any) -> RecordCallback:
    said: dict[str, Any] = {"valid": True, "contacted": True, "resolved": True, "satisfaction": Satisfaction.SATISFIED}
    return RecordCallback(at=AT, **{"reasons": (), "method": PHONE, "policy": POLICY, **said, **changes})


def recorded(next_state: Any = "CLOSED", round_: int = 1, **changes: Any) -> CallbackRecorded:
    said: dict[str, Any] = {"valid": True, "contacted": True, "resolved": True, "satisfaction": Satisfaction.SATISFIED}
    return CallbackRecorded(**{**COPIED, "round": round_, "method": PHONE, "next_state": next_state, **said, **changes})


OPENED, HANDLING = (opened(),), (opened(), signed(), contacted())
DONE = (*HANDLING, fed(RESULT, APPELLANT), fed(RESULT, HOTLINE, completes=True))
DUE = (opened(), scheduled())
UNRESOLVED = record(resolved=False, satisfaction=Satisfaction.DISSATISFIED, reasons=("又黑了",))


def test_a_dispatch_opens_a_case_and_the_next_round_starts_afresh() -> None:
    given(CASE).when(Open(at=AT, facts=opened())).then(opened())
    again = given(CASE, *DUE, tried(), recorded("REWORK"), opened(2)).state
    assert (again.state, again.round, again.results, again.failed_attempts) == ("DISPATCHED", 2, frozenset(), 0)


def test_signing_is_noted_for_its_own_round_only() -> None:
    given(CASE, opened(2)).when(NoteSigned(at=AT, unit_id=UNIT, round=1)).then()
    given(CASE, opened(2)).when(NoteSigned(at=AT, unit_id=UNIT, round=2)).then(signed(2))


@pytest.mark.parametrize("result", list(ContactOutcome))
def test_trying_to_reach_the_appellant_starts_the_handling_whatever_came_of_it(result: ContactOutcome) -> None:
    spec = given(CASE, opened(), signed()).when(contact(result=result))
    spec.then(contacted(result))
    assert spec.state_after().state is CaseState.HANDLING


def test_a_contact_lies_between_the_dispatch_and_now() -> None:
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    given(CASE, *HANDLING).when(replace(contact(AT), at=AT + hour)).then(contacted(at=AT))
    given(CASE, *HANDLING).when(contact(AT + minute)).then(contacted(at=AT))
    for impossible in (AT - minute, AT + hour):
        given(CASE, *HANDLING).when(contact(impossible)).then_refused("CONTACT_TIME_IMPOSSIBLE")


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
    given(CASE, *HANDLING, fed(RESULT, HOTLINE)).when(feedback(RESULT, HOTLINE)).then(fed(RESULT, HOTLINE))


def test_progress_to_one_side_does_not_stand_in_for_the_result() -> None:
    history = (*HANDLING, fed(PROGRESS, APPELLANT))
    given(CASE, *history).when(feedback(RESULT, HOTLINE)).then(fed(RESULT, HOTLINE))


def test_results_of_the_first_round_do_not_count_in_the_second() -> None:
    history = (*DONE, scheduled("RESULTS_COMPLETE"), recorded("REWORK"), opened(2), signed(2), contacted(round_=2))
    given(CASE, *history).when(feedback(RESULT, HOTLINE)).then(fed(RESULT, HOTLINE, round_=2))


def test_what_the_unit_says_came_of_it_is_kept() -> None:
    explained = feedback(RESULT, HOTLINE, FeedbackOutcome.EXPLAINED)
    assert given(CASE, *HANDLING).when(explained).decided()[0].outcome is FeedbackOutcome.EXPLAINED


@pytest.mark.parametrize("history", [OPENED, (opened(), signed()), HANDLING, DONE])
def test_at_the_limit_the_hotline_calls_back_whatever_the_unit_did(history: tuple[Payload, ...]) -> None:
    spec = given(CASE, *history).when(CallBackAtLimit(at=AT, round=1, policy=POLICY))
    spec.then(scheduled())
    assert spec.state_after().state is CaseState.CALLBACK_DUE


def test_the_limit_of_an_earlier_round_schedules_nothing() -> None:
    given(CASE, opened(2)).when(CallBackAtLimit(at=AT, round=1, policy=POLICY)).then()


def test_with_both_results_in_the_callback_comes_early_and_only_once() -> None:
    early = CallBackEarly(at=AT, policy=POLICY)
    given(CASE, *DONE).when(early).then(scheduled("RESULTS_COMPLETE"))
    given(CASE, *DONE, scheduled("RESULTS_COMPLETE")).when(early).then()


def test_an_officer_may_call_as_soon_as_both_results_are_in() -> None:
    early = scheduled("RESULTS_COMPLETE")
    given(CASE, *DONE).when(attempt()).then(early, tried())
    given(CASE, *DONE).when(record()).then(early, recorded())


@pytest.mark.parametrize("command", [attempt, record])
def test_whoever_handled_a_case_does_not_ask_the_resident_about_it(command: Any) -> None:
    own = command(actor=Actor("STREET_HANDLER", UNIT))
    given(CASE, *DUE).when(own).then_refused("OWN_CASE")
    assert outcome(CASE, DUE, command(actor=Actor("CALLBACK_OFFICER", "hotline"))).startswith("Callback")


@pytest.mark.parametrize(
    ("resolved", "satisfaction", "next_state"),
    [
        (True, Satisfaction.SATISFIED, "CLOSED"),
        (True, Satisfaction.BASICALLY_SATISFIED, "CLOSED"),
        (True, Satisfaction.DISSATISFIED, "REWORK"),
        (False, Satisfaction.SATISFIED, "REWORK"),
        (None, Satisfaction.NOT_STATED, "CLOSED"),
        (None, Satisfaction.DISSATISFIED, "REWORK"),
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


def test_the_residents_reasons_go_to_the_record_and_to_the_unit() -> None:
    callback, rework = given(CASE, *DUE).when(UNRESOLVED).decided()
    assert callback.reasons == rework.reasons == ("又黑了",)


@pytest.mark.parametrize(("round_", "next_state"), [(1, "REWORK"), (2, "REWORK"), (3, "CLOSED")])
def test_after_the_policys_last_round_a_case_closes_even_unresolved(round_: int, next_state: str) -> None:
    events = given(CASE, opened(round_), scheduled(round_=round_)).when(UNRESOLVED).decided()
    assert (events[0].next_state, events[0].round) == (next_state, round_)
    assert len(events) == (2 if next_state == "REWORK" else 1)


@pytest.mark.parametrize("attempts", [(), (tried(),), (tried(), tried(REACHED))])
def test_a_callback_is_not_invalid_before_enough_attempts_failed(attempts: tuple[Payload, ...]) -> None:
    given(CASE, *DUE, *attempts).when(record(valid=False)).then_refused("MORE_ATTEMPTS_NEEDED")


def test_a_callback_that_reached_nobody_closes_the_case_without_a_verdict() -> None:
    spec = given(CASE, *DUE, tried(), tried(REACHED), tried(ContactOutcome.WRONG_NUMBER)).when(record(valid=False))
    spec.then(CallbackInvalidated(**COPIED, round=1, attempts=2, policy=POLICY.version))
    assert spec.state_after().state is CaseState.CLOSED


def test_a_case_ends_with_its_appeal_and_stays_ended() -> None:
    end = EndCase(at=AT, outcome=CaseState.WITHDRAWN)
    given(CASE, *HANDLING).when(end).then(CaseEnded(outcome=CaseState.WITHDRAWN))
    ended = given(CASE, *HANDLING, CaseEnded(outcome=CaseState.WITHDRAWN))
    ended.when(end).then()
    ended.when(Open(at=AT, facts=opened(2))).then()


def test_an_appeal_that_ended_before_its_dispatch_was_heard_of_leaves_no_open_case() -> None:
    ended = CaseEnded(outcome=CaseState.WITHDRAWN)
    given(CASE).when(EndCase(at=AT, outcome=CaseState.WITHDRAWN)).then(ended)
    given(CASE, ended).when(Open(at=AT, facts=opened())).then()
    assert given(CASE, ended).state.state is CaseState.WITHDRAWN


HISTORIES: dict[str, tuple[Payload, ...]] = {
    "unknown": (),
    "never opened": (CaseEnded(outcome=CaseState.WITHDRAWN),),
    "dispatched": OPENED,
    "signed": (opened(), signed()),
    "handling": HANDLING,
    "half told": (*HANDLING, fed(RESULT, APPELLANT)),
    "feedback done": DONE,
    "callback due": DUE,
    "tried twice": (*DUE, tried(), tried()),
    "rework": (*DUE, recorded("REWORK")),
    "closed": (*DUE, recorded()),
    "invalid": (*DUE, CallbackInvalidated(**COPIED, round=1, attempts=2, policy=POLICY.version)),
    **{
        f"ended {name}": (*HANDLING, CaseEnded(outcome=CaseState(name)))
        for name in ("WITHDRAWN", "ANSWERED", "REDIRECTED", "MERGED")
    },
}
COMMANDS: dict[str, Command] = {
    "open": Open(at=AT, facts=opened(2)),
    "signed": NoteSigned(at=AT, unit_id=UNIT, round=1),
    "at limit": CallBackAtLimit(at=AT, round=1, policy=POLICY),
    "early": CallBackEarly(at=AT, policy=POLICY),
    "end": EndCase(at=AT, outcome=CaseState.WITHDRAWN),
    "contact": contact(),
    "progress": feedback(PROGRESS, HOTLINE),
    "result": feedback(RESULT, HOTLINE),
    "attempt": attempt(),
    "record": record(),
    "invalid": record(valid=False),
}
NOTICES = dict.fromkeys(("open", "signed", "at limit", "early", "end"), NOTHING)
ASKED = ("contact", "progress", "result", "attempt", "record", "invalid")
ENDED = NOTICES | dict.fromkeys(ASKED, ILLEGAL)
ALIVE = ENDED | {"open": "CaseOpened", "end": "CaseEnded"}
LIMITED = ALIVE | {"at limit": "CallbackScheduled"}
TOLD = LIMITED | {"contact": "AppellantContacted", "progress": "FeedbackGiven", "result": "FeedbackGiven"}
CALLED = {"attempt": "CallbackAttempted", "record": "CallbackRecorded", "invalid": "MORE_ATTEMPTS_NEEDED"}
EXPECTED = {
    "unknown": NOTICES | dict.fromkeys(ASKED, NOT_YOURS) | {"open": "CaseOpened", "end": "CaseEnded"},
    "never opened": NOTICES | dict.fromkeys(ASKED, NOT_YOURS),
    "dispatched": LIMITED | {"signed": "CaseSigned"},
    "signed": LIMITED | {"contact": "AppellantContacted"},
    "handling": TOLD,
    "half told": TOLD,
    "feedback done": LIMITED
    | CALLED
    | {"early": "CallbackScheduled"}
    | {"attempt": "CallbackScheduled CallbackAttempted", "record": "CallbackScheduled CallbackRecorded"},
    "callback due": ALIVE | CALLED,
    "tried twice": ALIVE | CALLED | {"invalid": "CallbackInvalidated"},
    "rework": ALIVE,
    **{name: ENDED for name in HISTORIES if name.startswith(("closed", "invalid", "ended"))},
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_command_in_every_state_of_a_case_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(CASE, HISTORIES[state], COMMANDS[command]) == follows


def test_the_table_names_every_state_and_an_unknown_command_is_a_mistake() -> None:
    assert EXPECTED.keys() == HISTORIES.keys()
    with pytest.raises(TypeError):
        CASE.decide(Command(at=AT), CASE.fold(OPENED))
