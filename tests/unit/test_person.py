"""Two officers, always: the first asks, another confirms."""

from __future__ import annotations

from datetime import datetime

import pytest

from services.intake_service.person import PERSON, Take
from shared.contracts.codes import Measure
from shared.contracts.envelope import BEIJING, Actor, Payload
from shared.contracts.intake import (
    AppellantErased,
    AppellantMeasureRequested,
    AppellantRestored,
    AppellantRestricted,
)
from shared.engine.decider import Command
from tests.support.spec import given

AT = datetime(2026, 11, 24, 9, 0, tzinfo=BEIJING)
DONE: dict[Measure, Payload] = {
    Measure.RESTRICT: AppellantRestricted(appeals=("a1",)),
    Measure.RESTORE: AppellantRestored(appeals=("a1",)),
    Measure.ERASE: AppellantErased(appeals=("a1",), keys=("k1",)),
}


def take(measure: Measure, officer: str) -> Take:
    actor = Actor("HOTLINE_SUPERVISOR", None, officer)
    return Take(at=AT, actor=actor, measure=measure, ground="COURT_ORDER", appeals=("a1",), keys=("k1",))


def asked(measure: Measure, officer: str = "li") -> AppellantMeasureRequested:
    return AppellantMeasureRequested(measure=measure, ground="COURT_ORDER", by=officer)


@pytest.mark.parametrize("measure", [Measure.RESTRICT, Measure.ERASE])
def test_the_first_officer_asks(measure: Measure) -> None:
    given(PERSON).when(take(measure, "li")).then(asked(measure))


@pytest.mark.parametrize("measure", list(Measure))
def test_another_officer_confirms_and_it_is_done(measure: Measure) -> None:
    spec = given(PERSON, AppellantRestricted(), asked(measure)).when(take(measure, "wang"))
    spec.then(DONE[measure])
    expected = {Measure.RESTRICT: "RESTRICTED", Measure.RESTORE: "ACTIVE", Measure.ERASE: "ERASED"}
    assert spec.state_after().state == expected[measure]


@pytest.mark.parametrize("measure", list(Measure))
def test_nobody_confirms_what_they_asked_for(measure: Measure) -> None:
    given(PERSON, AppellantRestricted(), asked(measure)).when(take(measure, "li")).then_refused("SECOND_OFFICER_NEEDED")


def test_asking_for_something_else_replaces_what_was_asked_for() -> None:
    given(PERSON, asked(Measure.RESTRICT)).when(take(Measure.ERASE, "wang")).then(asked(Measure.ERASE, "wang"))


def test_there_is_no_restriction_to_lift_where_there_is_none() -> None:
    given(PERSON).when(take(Measure.RESTORE, "li")).then_refused("NOT_RESTRICTED")


def test_an_unknown_command_is_a_mistake_in_the_programme() -> None:
    with pytest.raises(TypeError):
        PERSON.decide(Command(at=AT), PERSON.initial)
