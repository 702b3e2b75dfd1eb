"""Two officers, always: the first asks, another confirms."""

from __future__ import annotations

from datetime import datetime, timedelta

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

AT, TERM = datetime(2026, 11, 24, 9, 0, tzinfo=BEIJING), timedelta(days=30)
DONE: dict[Measure, Payload] = {
    Measure.RESTRICT: AppellantRestricted(appeals=("a1",)),
    Measure.RESTORE: AppellantRestored(appeals=("a1",)),
    Measure.ERASE: AppellantErased(appeals=("a1",), keys=("k1",)),
}


def take(
    measure: Measure, officer: str, at: datetime = AT, ground: str = "COURT_ORDER", keys: dict[str, str] | None = None
) -> Take:
    actor = Actor("HOTLINE_SUPERVISOR", None, officer)
    return Take(at=at, actor=actor, measure=measure, ground=ground, keys=keys or {"a1": "k1"}, good_for=TERM)


def asked(measure: Measure, officer: str = "li") -> AppellantMeasureRequested:
    return AppellantMeasureRequested(
        measure=measure, ground="COURT_ORDER", by=officer, appeals=("a1",), good_until=AT + TERM
    )


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


def test_what_is_confirmed_is_what_was_asked_for_and_nothing_that_came_later() -> None:
    later = take(Measure.ERASE, "wang", keys={"a1": "k1", "a2": "k2"})
    given(PERSON, asked(Measure.ERASE)).when(later).then(DONE[Measure.ERASE])
    other = take(Measure.ERASE, "wang", ground="DATA_ERROR")
    given(PERSON, asked(Measure.ERASE)).when(other).then_refused("OPERATION_DIFFERS")


def test_what_nobody_confirms_in_time_has_to_be_asked_for_again() -> None:
    spec = given(PERSON, asked(Measure.ERASE))
    spec.when(take(Measure.ERASE, "wang", AT + TERM)).then(DONE[Measure.ERASE])
    late = AT + TERM + timedelta(microseconds=1)
    for officer in ("li", "wang"):
        anew = asked(Measure.ERASE, officer).model_copy(update={"good_until": late + TERM})
        spec.when(take(Measure.ERASE, officer, late)).then(anew)


def test_what_was_asked_for_before_appeals_were_noted_is_about_all_of_them() -> None:
    old = AppellantMeasureRequested(measure=Measure.ERASE, ground="COURT_ORDER", by="li")
    given(PERSON, old).when(take(Measure.ERASE, "wang")).then(DONE[Measure.ERASE])


def test_asking_for_something_else_replaces_what_was_asked_for() -> None:
    given(PERSON, asked(Measure.RESTRICT)).when(take(Measure.ERASE, "wang")).then(asked(Measure.ERASE, "wang"))


def test_there_is_no_restriction_to_lift_where_there_is_none() -> None:
    given(PERSON).when(take(Measure.RESTORE, "li")).then_refused("NOT_RESTRICTED")


def test_an_unknown_command_is_a_mistake_in_the_programme() -> None:
    with pytest.raises(TypeError):
        PERSON.decide(Command(at=AT), PERSON.initial)
