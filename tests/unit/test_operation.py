"""What takes two officers: every command in every state, and the moment in which an approval lapses."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from services.intake_service.operation import OPERATION, Approve, AskFor, CarryOut, NoteDestroyed
from shared.contracts.access import (
    ApiKeyRevoked,
    MasterKeyDestroyed,
    OperationApproved,
    OperationCarriedOut,
    OperationKind,
    OperationRequested,
)
from shared.contracts.envelope import BEIJING, Actor, Payload
from shared.engine.decider import Command, NotYours
from tests.support.spec import given

AT = datetime(2026, 11, 24, 9, 0, tzinfo=BEIJING)
DAY, MOMENT = timedelta(days=1), timedelta(milliseconds=1)
TARGET = "01890000-0000-7000-8000-000000000000"
ASKED = OperationRequested(kind="BULK_UNMASK", target=TARGET, ground="COURT_ORDER", by="li")
APPROVED = OperationApproved(by="wang", good_until=AT + DAY)
DONE = OperationCarriedOut(count=1)
KINDS: list[OperationKind] = ["BULK_UNMASK", "KEY_ROTATION", "REPLAY"]
STATES: dict[str, list[Payload]] = {
    "UNKNOWN": [],
    "REQUESTED": [ASKED],
    "APPROVED": [ASKED, APPROVED],
    "CARRIED_OUT": [ASKED, APPROVED, DONE],
}


def officer(name: str | None) -> Actor:
    return Actor("HOTLINE_SUPERVISOR", None, name)


def ask(kind: OperationKind = "BULK_UNMASK", by: str | None = "li") -> AskFor:
    return AskFor(at=AT, actor=officer(by), kind=kind, target=TARGET, ground="COURT_ORDER")


def approve(by: str | None = "wang", at: datetime = AT) -> Approve:
    return Approve(at=at, actor=officer(by), good_for=DAY)


def carry_out(
    by: str = "li", at: datetime = AT, kind: OperationKind = "BULK_UNMASK", target: str = TARGET, count: int = 1
) -> CarryOut:
    return CarryOut(at=at, actor=officer(by), kind=kind, target=target, count=count)


ALL: list[tuple[str, Command, list[Payload] | str]] = [
    ("UNKNOWN", ask(), [ASKED]),
    ("UNKNOWN", approve(), "NOT_YOURS"),
    ("UNKNOWN", carry_out(), "NOT_YOURS"),
    ("REQUESTED", ask(), []),
    ("REQUESTED", ask(by="wang"), []),
    ("REQUESTED", approve(), [APPROVED]),
    ("REQUESTED", approve("li"), "SECOND_OFFICER_NEEDED"),
    ("REQUESTED", carry_out(), "SECOND_OFFICER_NEEDED"),
    ("REQUESTED", carry_out("wang"), "SECOND_OFFICER_NEEDED"),
    ("APPROVED", ask(), []),
    ("APPROVED", approve(), [APPROVED]),
    ("APPROVED", approve("li"), "SECOND_OFFICER_NEEDED"),
    ("APPROVED", carry_out(), [DONE]),
    ("APPROVED", carry_out("wang"), [DONE]),
    ("APPROVED", carry_out("zhao"), [DONE]),
    ("CARRIED_OUT", ask(), []),
    ("CARRIED_OUT", approve(), "OPERATION_OVER"),
    ("CARRIED_OUT", approve("li"), "OPERATION_OVER"),
    ("CARRIED_OUT", carry_out(), "OPERATION_OVER"),
    ("CARRIED_OUT", carry_out("wang"), "OPERATION_OVER"),
]


@pytest.mark.parametrize(
    ("state", "command", "outcome"),
    ALL,
    ids=[f"{state}-{type(command).__name__}-by-{command.actor.sub}" for state, command, _ in ALL],
)
def test_every_command_in_every_state_has_one_outcome(
    state: str, command: Command, outcome: list[Payload] | str
) -> None:
    spec = given(OPERATION, *STATES[state]).when(command)
    if outcome == "NOT_YOURS":
        with pytest.raises(NotYours):
            spec.decided()
    elif isinstance(outcome, str):
        spec.then_refused(outcome)
    else:
        spec.then(*outcome)


@pytest.mark.parametrize("state", ["REQUESTED", "APPROVED", "CARRIED_OUT"])
def test_the_state_is_what_happened_last(state: str) -> None:
    spec = given(OPERATION, *STATES[state])
    assert (spec.state.state, spec.state.kind, spec.state.target) == (state, "BULK_UNMASK", TARGET)
    assert spec.state.asked_by == "li"


@pytest.mark.parametrize("kind", KINDS)
def test_one_asks_another_approves_and_it_is_done_once(kind: OperationKind) -> None:
    spec = given(OPERATION)
    for command in (ask(kind), approve(), carry_out(kind=kind, count=7)):
        spec.state = spec.when(command).state_after()
    assert spec.state.state == "CARRIED_OUT"
    spec.when(carry_out("zhao", kind=kind)).then_refused("OPERATION_OVER")


@pytest.mark.parametrize("late", [-MOMENT, timedelta(0)])
def test_an_approval_is_good_to_its_last_moment(late: timedelta) -> None:
    given(OPERATION, ASKED, APPROVED).when(carry_out(at=AT + DAY + late)).then(DONE)


@pytest.mark.parametrize("late", [MOMENT, DAY])
def test_an_approval_lapses_the_moment_after(late: timedelta) -> None:
    given(OPERATION, ASKED, APPROVED).when(carry_out(at=AT + DAY + late)).then_refused("OPERATION_OVER")


def test_what_has_lapsed_may_be_approved_anew_by_another_and_not_by_whoever_asked() -> None:
    later = AT + 2 * DAY
    spec = given(OPERATION, ASKED, APPROVED)
    spec.when(approve("li", later)).then_refused("SECOND_OFFICER_NEEDED")
    spec.state = spec.when(approve("wang", later)).state_after()
    spec.when(carry_out(at=later + DAY)).then(DONE)


OTHERS: list[tuple[OperationKind, str]] = [
    ("BULK_UNMASK", TARGET + "," + TARGET),
    ("BULK_UNMASK", TARGET[:-1] + "1"),
    ("BULK_UNMASK", ""),
    ("REPLAY", TARGET),
    ("KEY_ROTATION", "master"),
]


@pytest.mark.parametrize(("kind", "target"), OTHERS)
def test_nothing_but_what_was_approved_is_done(kind: OperationKind, target: str) -> None:
    spec = given(OPERATION, ASKED, APPROVED).when(carry_out(kind=kind, target=target))
    spec.then_refused("OPERATION_DIFFERS")


def test_officers_without_an_account_are_not_two_officers() -> None:
    nobody = OperationRequested(kind="REPLAY", target="intake", ground="COURT_ORDER", by="")
    given(OPERATION, nobody).when(approve(None)).then_refused("SECOND_OFFICER_NEEDED")


def test_whoever_asks_is_taken_from_the_account_and_not_from_what_is_said() -> None:
    (event,) = given(OPERATION).when(ask(by="wang")).decided()
    assert event == OperationRequested(kind="BULK_UNMASK", target=TARGET, ground="COURT_ORDER", by="wang")


def test_what_happened_to_something_else_changes_nothing() -> None:
    assert given(OPERATION, ASKED, ApiKeyRevoked(key_id="k")).state == given(OPERATION, ASKED).state


@pytest.mark.parametrize("state", ["REQUESTED", "APPROVED"])
def test_an_unknown_command_is_a_mistake_in_the_programme(state: str) -> None:
    with pytest.raises(TypeError):
        given(OPERATION, *STATES[state]).when(Command(at=AT)).decided()


def test_that_the_old_master_key_is_destroyed_is_noted_once_and_only_after_a_rotation() -> None:
    note, gone = NoteDestroyed(at=AT, actor=officer("zhao"), key_id="5f0c22aa"), MasterKeyDestroyed(key_id="5f0c22aa")
    asked = ASKED.model_copy(update={"kind": "KEY_ROTATION", "target": "master"})
    given(OPERATION, asked, APPROVED, DONE).when(note).then(gone)
    given(OPERATION, asked, APPROVED, DONE, gone).when(note).then()
    for events in ([asked], [asked, APPROVED], STATES["CARRIED_OUT"]):
        given(OPERATION, *events).when(note).then_refused("OPERATION_DIFFERS")
    with pytest.raises(NotYours):
        OPERATION.decide(note, OPERATION.initial)
