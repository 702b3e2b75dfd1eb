"""The assessment of an appeal: every round that a callback has ended enters the record exactly once.

Row 23 of the state machine (domain specification, section 4): assessment keeps every round; the policy picks which one
counts.
"""

from __future__ import annotations

from datetime import datetime

import pytest

from services.scoring_service.assessment import ASSESSMENT, Record
from shared.contracts.codes import Satisfaction, UnitType
from shared.contracts.envelope import BEIJING
from shared.contracts.scoring import AssessmentRecorded
from shared.engine.decider import Command
from tests.support.spec import given
from tests.unit.pairs import NOTHING, every_pair, outcome

AT = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)


def facts(round_: int, *, valid: bool = True, final: bool = False) -> AssessmentRecorded:
    return AssessmentRecorded(
        ticket_no="20261123-0000001",
        unit_id="110105026",
        unit_type=UnitType.STREET_TOWN,
        cc_district="110105",
        registered_at=AT,
        round=round_,
        valid=valid,
        satisfaction=Satisfaction.NOT_STATED,
        final=final,
    )


def record(round_: int) -> Record:
    return Record(at=AT, facts=facts(round_))


def test_a_round_is_recorded_as_the_callback_left_it() -> None:
    invalid = facts(1, valid=False, final=True)
    given(ASSESSMENT).when(Record(at=AT, facts=invalid)).then(invalid)


def test_a_round_is_recorded_once_even_if_it_is_told_differently_the_second_time() -> None:
    given(ASSESSMENT, facts(1)).when(Record(at=AT, facts=facts(1, valid=False))).then()


def test_rounds_may_be_heard_of_in_any_order() -> None:
    given(ASSESSMENT, facts(2)).when(record(1)).then(facts(1))


def test_every_round_stays_on_record() -> None:
    state = given(ASSESSMENT, facts(1), facts(2), facts(3, final=True)).state
    assert (state.rounds, state.state) == (frozenset({1, 2, 3}), "ASSESSED")
    assert ASSESSMENT.initial.state == "OPEN"


HISTORIES = {"nothing": (), "first": (facts(1),), "second alone": (facts(2),), "both": (facts(1), facts(2))}
NEW = "AssessmentRecorded"
EXPECTED = {
    "nothing": {"1": NEW, "2": NEW},
    "first": {"1": NOTHING, "2": NEW},
    "second alone": {"1": NEW, "2": NOTHING},
    "both": {"1": NOTHING, "2": NOTHING},
}


@pytest.mark.parametrize(("state", "round_", "follows"), every_pair(EXPECTED))
def test_every_round_in_every_state_of_an_assessment_is_settled(state: str, round_: str, follows: str) -> None:
    assert outcome(ASSESSMENT, HISTORIES[state], record(int(round_))) == follows


def test_an_unknown_command_is_a_mistake_in_the_programme() -> None:
    with pytest.raises(TypeError):
        ASSESSMENT.decide(Command(at=AT), ASSESSMENT.initial)
