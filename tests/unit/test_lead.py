"""What supervision should look at: one lead however often it is seen, closed once, never by the unit it is about."""

from __future__ import annotations

from datetime import datetime

import pytest

from services.feedback_service.lead import LEADS, CloseLead, RaiseLead
from shared.contracts.codes import LeadKind
from shared.contracts.envelope import BEIJING, Actor, Payload
from shared.contracts.notices import SupervisionLeadClosed, SupervisionLeadRaised
from shared.engine.decider import Command
from tests.support.spec import given
from tests.unit.pairs import NOT_YOURS, NOTHING, every_pair, outcome

AT = datetime(2026, 11, 24, 9, 0, tzinfo=BEIJING)
WATER = "bj-water"


def raised(key: str = "TEMPLATE_ANSWER:e1") -> SupervisionLeadRaised:
    kind = LeadKind.TEMPLATE_ANSWER
    return SupervisionLeadRaised(key=key, kind=kind, unit_id=WATER, events=("e1",), policy="detectors-2026-1")


def closes(unit: str | None = None, key: str = "TEMPLATE_ANSWER:e1", outcome_: str = "EXPLAINED") -> CloseLead:
    return CloseLead(at=AT, actor=Actor("AUDITOR", unit, "li"), key=key, outcome=outcome_)  # type: ignore[arg-type]


RAISED, CLOSED = raised(), SupervisionLeadClosed(key="TEMPLATE_ANSWER:e1", outcome="EXPLAINED")
RAISE = RaiseLead(at=AT, facts=RAISED)


@pytest.mark.parametrize("result", ["CONFIRMED", "EXPLAINED", "UNFOUNDED"])
@pytest.mark.parametrize("unit", [None, "bj-supervision"])
def test_somebody_from_elsewhere_looks_at_a_lead_and_says_what_it_came_to(result: str, unit: str | None) -> None:
    spec = given(LEADS, RAISED).when(closes(unit, outcome_=result))
    spec.then(SupervisionLeadClosed(key=RAISED.key, outcome=result))  # type: ignore[arg-type]
    assert spec.state_after().outcomes == {RAISED.key: result}


def test_a_subject_has_open_leads_until_all_of_them_were_looked_at() -> None:
    second = raised("TEMPLATE_ANSWER:e2")
    assert LEADS.initial.state == "CLOSED"
    assert LEADS.fold([RAISED]).state == "OPEN"
    assert LEADS.fold([RAISED, second, CLOSED]).state == "OPEN"
    assert LEADS.fold([RAISED, CLOSED]).state == "CLOSED"
    assert LEADS.fold([RAISED, CLOSED, second]).state == "OPEN"


def test_another_event_makes_another_lead() -> None:
    second = raised("TEMPLATE_ANSWER:e2")
    given(LEADS, RAISED, CLOSED).when(RaiseLead(at=AT, facts=second)).then(second)


def test_an_unknown_command_is_a_mistake_in_the_programme() -> None:
    with pytest.raises(TypeError):
        LEADS.decide(Command(at=AT), LEADS.initial)


HISTORIES: dict[str, tuple[Payload, ...]] = {"none": (), "open": (RAISED,), "closed": (RAISED, CLOSED)}
COMMANDS: dict[str, Command] = {
    "raise": RAISE,
    "close": closes(),
    "close as the unit": closes(WATER),
    "close another": closes(key="TEMPLATE_ANSWER:e9"),
}
EXPECTED = {
    "none": dict.fromkeys(COMMANDS, NOT_YOURS) | {"raise": "SupervisionLeadRaised"},
    "open": {
        "raise": NOTHING,
        "close": "SupervisionLeadClosed",
        "close as the unit": "OWN_CASE",
        "close another": NOT_YOURS,
    },
    "closed": {
        "raise": NOTHING,
        "close": "LEAD_CLOSED",
        "close as the unit": "OWN_CASE",
        "close another": NOT_YOURS,
    },
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_word_about_a_lead_in_every_state_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(LEADS, HISTORIES[state], COMMANDS[command]) == follows
