"""The life of a case: contact, two answers, the callback at the limit, and rework up to the policy's number of rounds.

How it opens, is signed and ends (domain specification, section 4; Regulation Art 14, 15, 23), then every pair of state
and command. The rules of each part stand in test_handling, test_writing, test_calling_back and test_afterwards.
"""

from __future__ import annotations

import pytest

from services.feedback_service.calling_back import CallBackAtLimit, CallBackEarly, NoteCallbackOverdue
from services.feedback_service.case import CASE, EndCase, NoteSigned, Open
from services.feedback_service.handling import NoteReplyOverdue
from services.feedback_service.state import Asking, Reaching
from shared.contracts.codes import CaseState, ContactOutcome
from shared.contracts.envelope import Payload
from shared.contracts.feedback import CallbackReviewed, CaseEnded
from shared.engine.decider import Command
from tests.support.spec import given
from tests.unit.cases import (
    APPELLANT,
    AT,
    CALLS,
    CLOSED,
    DAY,
    DONE,
    DUE,
    HANDLING,
    HIDDEN,
    HOTLINE,
    HOUR,
    INVALID,
    OPENED,
    OWED,
    PROGRESS,
    RESULT,
    REWORK,
    SECOND,
    SIGNED,
    TRIED,
    UNIT,
    attempt,
    awaited,
    contact,
    contacted,
    contest,
    contested,
    evaluate,
    failed,
    fed,
    feedback,
    on_page,
    opened,
    ordered,
    post,
    posted,
    read,
    recheck,
    record,
    recorded,
    reopen,
    reopened,
    reply,
    review,
    signed,
    take,
    taken,
    tried,
    unreachable,
    written,
)
from tests.unit.pairs import ILLEGAL, NOT_YOURS, NOTHING, every_pair, outcome

WITHDRAWN = CaseEnded(outcome=CaseState.WITHDRAWN)
END = EndCase(at=AT, outcome=CaseState.WITHDRAWN)


def test_a_dispatch_opens_a_case() -> None:
    spec = given(CASE).when(Open(at=AT, facts=opened(), policy=OWED))
    spec.then(opened())
    assert (spec.state_after().state, spec.state_after().subject_key) == (CaseState.DISPATCHED, "p1")


def test_the_next_round_starts_afresh_but_the_conversation_and_the_verdict_go_on() -> None:
    first = (*HANDLING, failed(), posted(), fed(RESULT, HOTLINE), *DUE[1:], taken(), tried(), recorded("REWORK"))
    again = given(CASE, *first, opened(2)).state
    assert (again.state, again.round, again.results) == (CaseState.DISPATCHED, 2, {})
    assert (again.reaching, again.asking) == (Reaching(), Asking())
    assert (again.thread.posted, again.verdict.recorded) == (1, recorded("REWORK"))


def test_a_first_message_is_waited_for_from_the_dispatch_on_and_from_no_later_one() -> None:
    early, later = (awaited(1, None, 0), awaited(2, None, 0)), AT + HOUR
    spec = given(CASE, *early).when(Open(at=later, facts=opened(), policy=OWED))
    spec.then(opened(), awaited(2, later + DAY))
    assert spec.state_after().thread.awaited.due_at == later + DAY
    given(CASE, *HANDLING, awaited(), *REWORK[1:]).when(Open(at=later, facts=opened(2), policy=OWED)).then(opened(2))
    given(CASE, *early, WITHDRAWN).when(Open(at=later, facts=opened(), policy=OWED)).then()


def test_signing_is_noted_for_its_own_round_and_once() -> None:
    given(CASE, opened(2)).when(NoteSigned(at=AT, unit_id=UNIT, round=1)).then()
    given(CASE, opened(2)).when(NoteSigned(at=AT, unit_id=UNIT, round=2)).then(signed(2))
    given(CASE, opened(2), signed(2)).when(NoteSigned(at=AT, unit_id=UNIT, round=2)).then()


@pytest.mark.parametrize("state", ["WITHDRAWN", "ANSWERED", "REDIRECTED", "MERGED"])
def test_a_case_ends_with_its_appeal_and_stays_ended(state: str) -> None:
    ended = CaseEnded(outcome=CaseState(state))
    given(CASE, *HANDLING).when(EndCase(at=AT, outcome=CaseState(state))).then(ended)
    assert given(CASE, *HANDLING, ended).state.state == state
    given(CASE, *HANDLING, ended).when(END).then()
    given(CASE, *HANDLING, ended).when(Open(at=AT, facts=opened(2), policy=OWED)).then()


@pytest.mark.parametrize("closed", [CLOSED, INVALID])
def test_a_withdrawal_that_crosses_the_closing_still_ends_the_case_and_nothing_else_does(
    closed: tuple[Payload, ...],
) -> None:
    spec = given(CASE, *closed).when(END)
    spec.then(WITHDRAWN)
    assert spec.state_after().state is CaseState.WITHDRAWN
    given(CASE, *closed, WITHDRAWN).when(END).then()
    for name in ("ANSWERED", "REDIRECTED", "MERGED"):
        given(CASE, *closed).when(EndCase(at=AT, outcome=CaseState(name))).then()


def test_an_appeal_that_ended_before_its_dispatch_was_heard_of_leaves_no_open_case() -> None:
    given(CASE).when(END).then(WITHDRAWN)
    given(CASE, WITHDRAWN).when(Open(at=AT, facts=opened(), policy=OWED)).then()
    assert given(CASE, WITHDRAWN).state.state is CaseState.WITHDRAWN


@pytest.mark.parametrize("result", [result for result in ContactOutcome if result is not ContactOutcome.REACHED])
def test_failed_tries_from_before_there_were_hours_between_them_all_count(result: ContactOutcome) -> None:
    """Events of earlier versions say nothing of `counts`."""
    old = given(CASE, *SIGNED, contacted(result), contacted(result), *DUE[1:], tried(result, None, None)).state
    assert (old.reaching.failed, old.asking.failed) == (2, 1)
    given(CASE, *DUE, tried(result, None, None)).when(attempt()).then(tried())


HISTORIES: dict[str, tuple[Payload, ...]] = {
    "unknown": (),
    "written to before": (awaited(round_=0),),
    "never opened": (WITHDRAWN,),
    "dispatched": OPENED,
    "signed": SIGNED,
    "tried in vain": TRIED,
    "unreachable": (*TRIED, failed(AT + 2 * HOUR), failed(AT + 4 * HOUR), unreachable()),
    "handling": HANDLING,
    "half told": (*HANDLING, fed(RESULT, APPELLANT)),
    "in writing": (*HANDLING, posted(), awaited()),
    "hidden": HIDDEN,
    "hidden, written to": (*HIDDEN, posted(), failed(channel="RELAY")),
    "feedback done": DONE,
    "callback due": DUE,
    "taken by another": (*DUE, taken(SECOND, AT + DAY)),
    "tried twice": (*DUE, tried(), tried(at=AT + HOUR)),
    "rework": REWORK,
    "closed": CLOSED,
    "closed, drawn": (*CLOSED, ordered()),
    "closed, contested": (*CLOSED, contested()),
    "closed, reviewed": (*CLOSED, contested(), CallbackReviewed(round=1, stands=False, reason="录音可证")),
    "reopened": (*CLOSED, *reopened()),
    "invalid": INVALID,
    **{f"ended {name}": (*HANDLING, CaseEnded(outcome=name)) for name in ("WITHDRAWN", "ANSWERED")},
    **{f"ended {name}": (*HANDLING, CaseEnded(outcome=name)) for name in ("REDIRECTED", "MERGED")},
    "ended in rework": (*REWORK, WITHDRAWN),
}
COMMANDS: dict[str, Command] = {
    "open": Open(at=AT, facts=opened(2), policy=OWED),
    "signed": NoteSigned(at=AT, unit_id=UNIT, round=1),
    "at limit": CallBackAtLimit(at=AT, round=1, policy=CALLS),
    "early": CallBackEarly(at=AT, policy=CALLS),
    "callback late": NoteCallbackOverdue(at=AT + DAY),
    "written": written(),
    "reply late": NoteReplyOverdue(at=AT + DAY),
    "on page": on_page(),
    "end": END,
    "contact": contact(),
    "progress": feedback(PROGRESS),
    "result": feedback(),
    "result to appellant": feedback(to=APPELLANT),
    "post": post(),
    "reply": reply(to=None),
    "read": read(),
    "take": take(),
    "attempt": attempt(),
    "record": record(),
    "invalid": record(valid=False),
    "evaluate": evaluate(),
    "reopen": reopen(),
    "recheck": recheck(),
    "contest": contest(),
    "review": review(),
}
NOTES = dict.fromkeys(tuple(COMMANDS)[:9], NOTHING)
ASKED = tuple(COMMANDS)[9:]
STRANGE = NOTES | dict.fromkeys(ASKED, NOT_YOURS)
ENDED = NOTES | dict.fromkeys(ASKED, ILLEGAL) | {"read": "NO_SUCH_MESSAGE"}
WRITES = {"written": "ReplyAwaited", "post": "MessagePosted", "reply": "AppellantReplied ReplyAwaited"}
BY_RELAY = {
    "written": "ReplyAwaited AppellantContacted",
    "post": "MessagePosted AppellantContacted",
    "reply": "AppellantReplied MessagesRead ReplyAwaited AppellantContacted",
}
ALIVE = ENDED | WRITES | {"open": "CaseOpened", "end": "CaseEnded"}
LIMITED = ALIVE | {"at limit": "CallbackScheduled"}
SIGNS = LIMITED | {"contact": "AppellantContacted"}
TRYING = SIGNS | dict.fromkeys(("progress", "result"), "FeedbackGiven")
REACHES = TRYING | {"result to appellant": "FeedbackGiven"}
UNREACHED = TRYING | {"result to appellant": "APPELLANT_NOT_REACHED"}
JUDGED = dict.fromkeys(("on page", "evaluate"), "CitizenEvaluated")
CALLED = ALIVE | {
    "callback late": "CallbackOverdue",
    "take": "CallbackAssigned",
    "attempt": "CallbackAttempted",
    "record": "CallbackRecorded",
    "invalid": "MORE_ATTEMPTS_NEEDED",
    "on page": "CitizenEvaluated",
    "evaluate": "CitizenEvaluated CallbackRecorded",
}
EARLY = {
    "early": "CallbackScheduled",
    **{name: f"CallbackScheduled {CALLED[name]}" for name in ("take", "attempt", "record")},
    "evaluate": "CitizenEvaluated CallbackScheduled CallbackRecorded",
    "callback late": NOTHING,
}
HELD = "CALLBACK_ASSIGNED"
ANSWERS = {"recheck": "NOT_DRAWN", "contest": "CallbackContested", "review": "NOT_CONTESTED"}
IS_CLOSED = ENDED | JUDGED | {"end": "CaseEnded", "reopen": "CaseReopened ReworkRequested"}
SHUT = IS_CLOSED | ANSWERS
AGAIN = ALIVE | JUDGED | ANSWERS
EXPECTED = {
    "unknown": STRANGE | {"open": "CaseOpened", "end": "CaseEnded", "written": "ReplyAwaited"},
    "written to before": STRANGE | {"open": "CaseOpened ReplyAwaited", "end": "CaseEnded", "written": "ReplyAwaited"},
    "never opened": STRANGE,
    "dispatched": LIMITED | {"signed": "CaseSigned"},
    "signed": SIGNS,
    "tried in vain": UNREACHED,
    "unreachable": REACHES,
    "handling": REACHES,
    "half told": REACHES,
    "in writing": REACHES
    | {"read": "MessagesRead", "reply": "AppellantReplied MessagesRead ReplyAwaited", "reply late": "ReplyOverdue"},
    "hidden": SIGNS | {"post": BY_RELAY["post"]},
    "hidden, written to": UNREACHED | BY_RELAY,
    "feedback done": LIMITED | CALLED | EARLY | {"at limit": "CallbackScheduled"},
    "callback due": CALLED,
    "taken by another": CALLED | dict.fromkeys(("take", "attempt", "record", "invalid"), HELD),
    "tried twice": CALLED | {"invalid": "CallbackInvalidated"},
    "rework": AGAIN,
    "closed": SHUT,
    "closed, drawn": SHUT | {"recheck": "CallbackRechecked"},
    "closed, contested": SHUT | {"contest": "CONTESTED_ALREADY", "review": "CallbackReviewed"},
    "closed, reviewed": SHUT | {"contest": "CONTESTED_ALREADY"},
    "reopened": AGAIN,
    "invalid": IS_CLOSED,
    **{name: ENDED for name in HISTORIES if name.startswith("ended")},
    "ended in rework": ENDED | ANSWERS,
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_command_in_every_state_of_a_case_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(CASE, HISTORIES[state], COMMANDS[command]) == follows


def test_the_table_names_every_state_and_command_and_an_unknown_command_is_a_mistake() -> None:
    assert EXPECTED.keys() == HISTORIES.keys()
    assert all(row.keys() == COMMANDS.keys() for row in EXPECTED.values())
    assert {given(CASE, *history).state.state for history in HISTORIES.values()} == {
        None,
        *(CaseState(name) for name in ("DISPATCHED", "SIGNED", "HANDLING", "FEEDBACK_DONE", "CALLBACK_DUE")),
        *(CaseState(name) for name in ("REWORK", "CLOSED", "WITHDRAWN", "ANSWERED", "REDIRECTED", "MERGED")),
    }
    with pytest.raises(TypeError):
        CASE.decide(Command(at=AT), CASE.fold(OPENED))
