"""The keys of one client: never more than two that are good, none that is good for nothing from the start."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.intake_service.credential import CREDENTIAL, Issue, Revoke
from shared.contracts.access import ApiKeyIssued, ApiKeyRevoked, OperationCarriedOut
from shared.contracts.envelope import BEIJING, Actor, Payload
from shared.engine.decider import Command, NotYours
from tests.support.spec import given

AT = datetime(2026, 11, 24, 9, 0, tzinfo=BEIJING)
DAY, MOMENT = timedelta(days=1), timedelta(milliseconds=1)
ADMIN = Actor("MUNICIPAL_ADMIN", None, "zhao")


def key(name: str, expires_at: datetime = AT + DAY) -> ApiKeyIssued:
    scopes = ("appeal:register",)
    return ApiKeyIssued(key_id=name, digest="d" * 64, role="INTEGRATOR", scopes=scopes, expires_at=expires_at)


def revoked(name: str) -> ApiKeyRevoked:
    return ApiKeyRevoked(key_id=name)


def issue(made: ApiKeyIssued, at: datetime = AT, most: int = 2) -> Issue:
    return Issue(at=at, actor=ADMIN, key=made, most_live=most)


def revoke(name: str, at: datetime = AT) -> Revoke:
    return Revoke(at=at, actor=ADMIN, key_id=name)


ROOM: dict[str, list[Payload]] = {
    "none yet": [],
    "one that is good": [key("a")],
    "one that is good and one that expires at this moment": [key("a"), key("b", AT)],
    "two that expired long ago": [key("a", AT - DAY), key("b", AT - DAY)],
    "two, one of them revoked": [key("a"), key("b"), revoked("a")],
    "two, both revoked": [key("a"), key("b"), revoked("a"), revoked("b")],
    "many in its time": [*(key(f"k{number}", AT - MOMENT) for number in range(9)), key("a")],
}


@pytest.mark.parametrize("history", ROOM.values(), ids=ROOM)
def test_a_client_with_fewer_than_two_good_keys_gets_another(history: list[Payload]) -> None:
    spec = given(CREDENTIAL, *history).when(issue(key("new")))
    spec.then(key("new"))
    assert "new" in spec.state_after().live(AT)


FULL: dict[str, list[Payload]] = {
    "two that are good": [key("a"), key("b")],
    "two that are good for one moment more": [key("a", AT + MOMENT), key("b", AT + MOMENT)],
    "two that are good beside expired and revoked ones": [key("x", AT), key("y"), revoked("y"), key("a"), key("b")],
}


@pytest.mark.parametrize("history", FULL.values(), ids=FULL)
def test_a_client_with_two_good_keys_gets_no_third(history: list[Payload]) -> None:
    given(CREDENTIAL, *history).when(issue(key("new"))).then_refused("KEYS_ENOUGH")


def test_a_third_key_is_issued_in_the_moment_in_which_an_old_one_expires() -> None:
    spec = given(CREDENTIAL, key("a", AT + MOMENT), key("b"))
    spec.when(issue(key("new"))).then_refused("KEYS_ENOUGH")
    spec.when(issue(key("new"), AT + MOMENT)).then(key("new"))


@pytest.mark.parametrize("most", [1, 2, 3])
def test_how_many_may_be_good_at_once_is_what_the_policy_says(most: int) -> None:
    held = [key(f"k{number}") for number in range(most)]
    given(CREDENTIAL, *held[1:]).when(issue(key("new"), most=most)).then(key("new"))
    given(CREDENTIAL, *held).when(issue(key("new"), most=most)).then_refused("KEYS_ENOUGH")


@pytest.mark.parametrize("early", [timedelta(0), MOMENT, DAY])
@pytest.mark.parametrize("history", [[], [key("a"), key("b")]], ids=["none", "two"])
def test_a_key_that_has_expired_already_is_not_issued(history: list[Payload], early: timedelta) -> None:
    given(CREDENTIAL, *history).when(issue(key("new", AT - early))).then_refused("ALREADY_EXPIRED")


REVOCABLE: dict[str, list[Payload]] = {
    "the only one": [key("a")],
    "one of two": [key("a"), key("b")],
    "one that has expired": [key("a", AT - DAY)],
}


@pytest.mark.parametrize("history", REVOCABLE.values(), ids=REVOCABLE)
def test_a_key_is_taken_back_and_the_others_stay(history: list[Payload]) -> None:
    spec = given(CREDENTIAL, *history).when(revoke("a"))
    spec.then(revoked("a"))
    after = spec.state_after()
    assert (after.live(AT), "a" in dict(after.keys)) == ([one for one in spec.state.live(AT) if one != "a"], False)


NOT_THEIRS: dict[str, list[Payload]] = {
    "of a client without keys": [],
    "of another client": [key("b")],
    "that was taken back before": [key("a"), revoked("a")],
}


@pytest.mark.parametrize("history", NOT_THEIRS.values(), ids=NOT_THEIRS)
def test_a_key_is_not_there_to_be_taken_back(history: list[Payload]) -> None:
    with pytest.raises(NotYours):
        given(CREDENTIAL, *history).when(revoke("a")).decided()


def test_a_key_is_good_until_just_before_it_expires() -> None:
    state = given(CREDENTIAL, key("a", AT + DAY), key("b", AT + 2 * DAY)).state
    expected: dict[datetime, list[Any]] = {
        AT: ["a", "b"],
        AT + DAY - MOMENT: ["a", "b"],
        AT + DAY: ["b"],
        AT + 2 * DAY: [],
    }
    assert {moment: state.live(moment) for moment in expected} == expected


def test_what_happened_to_something_else_changes_nothing() -> None:
    assert given(CREDENTIAL, key("a"), OperationCarriedOut(count=1)).state == given(CREDENTIAL, key("a")).state


def test_an_unknown_command_is_a_mistake_in_the_programme() -> None:
    with pytest.raises(TypeError):
        CREDENTIAL.decide(Command(at=AT), CREDENTIAL.initial)
