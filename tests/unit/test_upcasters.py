"""Old payloads become current ones at the log's read edge: step by step, purely, and never by guessing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from shared.contracts import upcasters
from shared.contracts.catalogue import CATALOGUE, EventType
from shared.contracts.intake import AppealClosed, AppealWithdrawn
from shared.contracts.upcasters import UnknownEvent, UnknownVersion, current, payload_of

NAME = "cn.gov.appeals.intake.appeal-closed"
CLOSED = f"{NAME}.v1"


class AppealClosedV3(AppealClosed):
    """The same event two versions on: `verdict` instead of `resolved`, and a reason."""

    VERSION = 3
    verdict: str
    why: str


@pytest.fixture
def two_steps_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue as it would be after the shape of AppealClosed has changed twice."""
    steps: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        CLOSED: lambda data: data | {"verdict": "SOLVED" if data["resolved"] else "OPEN"},
        f"{NAME}.v2": lambda data: data | {"why": f"was {data['verdict']}"},
    }
    for old, step in steps.items():
        monkeypatch.setitem(upcasters.STEPS, old, step)
    monkeypatch.delitem(CATALOGUE, CLOSED)
    monkeypatch.setitem(CATALOGUE, f"{NAME}.v3", EventType(AppealClosedV3, ("intake",)))


@pytest.mark.parametrize("event_type", sorted(CATALOGUE))
def test_every_event_of_the_catalogue_is_already_current(event_type: str) -> None:
    data = {"round": 1}
    assert current(event_type, data) == (event_type, data)


def test_a_current_payload_comes_back_typed() -> None:
    assert payload_of(CLOSED, {"round": 2, "resolved": True}) == AppealClosed(round=2, resolved=True)


def test_a_field_that_a_newer_neighbour_added_is_ignored_on_reading() -> None:
    assert payload_of(CLOSED, {"round": 2, "mood": "fine"}) == AppealClosed(round=2)


def test_a_field_that_a_newer_neighbour_added_inside_is_ignored_on_reading() -> None:
    data = {"reason": {"key": "p1", "ct": "AAAA", "alg": "new"}}
    withdrawn = payload_of("cn.gov.appeals.intake.appeal-withdrawn.v1", data)
    assert withdrawn == payload_of("cn.gov.appeals.intake.appeal-withdrawn.v1", {"reason": {"key": "p1", "ct": "AAAA"}})


def test_an_unknown_field_is_refused_on_writing() -> None:
    with pytest.raises(ValidationError):
        AppealWithdrawn(mood="fine")  # type: ignore[call-arg]


def test_a_payload_that_lacks_something_is_not_guessed_at() -> None:
    with pytest.raises(ValidationError):
        payload_of(CLOSED, {"resolved": True})


@pytest.mark.usefixtures("two_steps_on")
@pytest.mark.parametrize(
    ("version", "stored"),
    [
        (1, {"round": 1, "resolved": True}),
        (2, {"round": 1, "resolved": True, "verdict": "SOLVED"}),
        (3, {"round": 1, "resolved": True, "verdict": "SOLVED", "why": "was SOLVED"}),
    ],
)
def test_an_old_payload_takes_every_step_that_it_has_not_taken(version: int, stored: dict[str, Any]) -> None:
    before = dict(stored)
    newest = AppealClosedV3(round=1, resolved=True, verdict="SOLVED", why="was SOLVED")
    assert payload_of(f"{NAME}.v{version}", stored) == newest
    assert current(f"{NAME}.v{version}", stored)[0] == f"{NAME}.v3"
    assert stored == before


@pytest.mark.usefixtures("two_steps_on")
def test_an_old_version_whose_step_is_missing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(upcasters.STEPS, f"{NAME}.v2")
    with pytest.raises(UnknownVersion):
        payload_of(CLOSED, {"round": 1, "resolved": True})


@pytest.mark.parametrize("version", ["2", "3", "99", "10"])
def test_a_version_from_the_future_waits_until_it_can_be_read(version: str) -> None:
    with pytest.raises(UnknownVersion):
        payload_of(f"{NAME}.v{version}", {"round": 1})


@pytest.mark.parametrize(
    "event_type",
    [
        "cn.gov.appeals.intake.appeal-sung.v1",
        "cn.gov.appeals.routing.appeal-closed.v1",
        "appeal-closed.v1",
        NAME,
        f"{NAME}.v0",
        f"{NAME}.v01",
        f"{NAME}.v-1",
        f"{NAME}.vX",
        "",
    ],
)
def test_an_event_that_nobody_knows_is_told_apart_from_an_unreadable_version(event_type: str) -> None:
    with pytest.raises(UnknownEvent):
        payload_of(event_type, {"round": 1})


def test_both_are_lookup_errors_but_neither_is_the_other() -> None:
    assert issubclass(UnknownEvent, LookupError)
    assert issubclass(UnknownVersion, LookupError)
    assert not issubclass(UnknownEvent, UnknownVersion)
    assert not issubclass(UnknownVersion, UnknownEvent)


def test_no_step_leads_from_a_version_that_is_still_current() -> None:
    assert not upcasters.STEPS.keys() & CATALOGUE.keys()
