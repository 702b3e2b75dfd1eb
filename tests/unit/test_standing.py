"""Credits and the managed list: given and taken back by a decision, and never by the unit that they are about."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from services.scoring_service.standing import CREDITS, GOVERNANCE, Enter, GrantCredit, Leave, WithdrawCredit
from shared.contracts.envelope import BEIJING, SYSTEM, Actor, Payload
from shared.contracts.scoring import CreditGranted, CreditWithdrawn, GovernanceEntered, GovernanceLeft
from shared.engine.decider import Command, Decider
from tests.support.spec import given
from tests.unit.pairs import NOT_YOURS, every_pair, outcome

AT = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)
UNIT = "110105026"
ITSELF = Actor("STREET_HANDLER", UNIT, "clerk")
CITY = Actor("MUNICIPAL_ADMIN", "110000001", "officer")


def credit(credit_id: str = "c1", **changes: Any) -> CreditGranted:
    """Each rests on a decision of its own."""
    of = {"kind": "HARD_CASE", "period": "2026-12", "decision": f"2026-{credit_id}", "appeals": ("a1",)}
    return CreditGranted(credit_id=credit_id, unit_id=UNIT, **of | changes)


def grant(credit_id: str = "c1", actor: Actor = CITY, **changes: Any) -> GrantCredit:
    return GrantCredit(at=AT, actor=actor, facts=credit(credit_id, **changes))


def withdraw(credit_id: str = "c1", actor: Actor = CITY) -> WithdrawCredit:
    return WithdrawCredit(at=AT, actor=actor, unit_id=UNIT, credit_id=credit_id, decision="2026-8")


def enter(actor: Actor = CITY) -> Enter:
    return Enter(at=AT, actor=actor, unit_id=UNIT, decision="2026-9")


def leave(actor: Actor = CITY) -> Leave:
    return Leave(at=AT, actor=actor, unit_id=UNIT, decision="2026-10")


WITHDRAWN = CreditWithdrawn(credit_id="c1", unit_id=UNIT, decision="2026-8")
ENTERED = GovernanceEntered(unit_id=UNIT, decision="2026-9")
LEFT = GovernanceLeft(unit_id=UNIT, decision="2026-10")


def test_a_credit_is_given_as_it_was_decided() -> None:
    given(CREDITS).when(grant()).then(credit())


def test_a_credit_is_taken_back_by_another_decision() -> None:
    given(CREDITS, credit()).when(withdraw()).then(WITHDRAWN)


SAME = {"decision": "2026-c1"}


def test_a_decision_is_credited_once_for_a_kind_and_period_until_it_is_taken_back() -> None:
    given(CREDITS, credit(), credit("c2")).when(grant("c3", **SAME)).then_refused("CREDIT_GIVEN")
    given(CREDITS, credit(), WITHDRAWN).when(grant("c3", **SAME)).then(credit("c3", **SAME))
    given(CREDITS, credit(), WITHDRAWN, credit("c2", **SAME)).when(grant("c3", **SAME)).then_refused("CREDIT_GIVEN")
    for other in ({"period": "2027-01"}, {"kind": "PROACTIVE"}):
        given(CREDITS, credit()).when(grant("c3", **SAME | other)).then(credit("c3", **SAME | other))


def test_a_credit_for_a_hard_case_names_the_appeal() -> None:
    given(CREDITS).when(grant(appeals=())).then_refused("CASE_MISSING")
    given(CREDITS).when(grant(appeals=(), kind="PROACTIVE")).then(credit(appeals=(), kind="PROACTIVE"))


def test_a_unit_goes_on_the_list_and_off_it_by_decisions() -> None:
    given(GOVERNANCE).when(enter()).then(ENTERED)
    given(GOVERNANCE, ENTERED).when(leave()).then(LEFT)


CREDIT_HISTORIES: dict[str, tuple[Payload, ...]] = {
    "0 credits": (),
    "1 credits": (credit(),),
    "withdrawn": (credit(), WITHDRAWN),
    "2 credits": (credit(), credit("c2")),
    "another withdrawn": (credit("c2"), credit(), WITHDRAWN),
}
CREDIT_COMMANDS: dict[str, Command] = {"grant": grant("c3"), "withdraw": withdraw(), "withdraw other": withdraw("c2")}
GIVEN, TAKEN, GONE = "CreditGranted", "CreditWithdrawn", "CREDIT_WITHDRAWN"
CREDIT_TABLE = {
    "0 credits": {"grant": GIVEN, "withdraw": NOT_YOURS, "withdraw other": NOT_YOURS},
    "1 credits": {"grant": GIVEN, "withdraw": TAKEN, "withdraw other": NOT_YOURS},
    "withdrawn": {"grant": GIVEN, "withdraw": GONE, "withdraw other": NOT_YOURS},
    "2 credits": {"grant": GIVEN, "withdraw": TAKEN, "withdraw other": TAKEN},
    "another withdrawn": {"grant": GIVEN, "withdraw": GONE, "withdraw other": TAKEN},
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(CREDIT_TABLE))
def test_every_command_in_every_state_of_credits_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(CREDITS, CREDIT_HISTORIES[state], CREDIT_COMMANDS[command]) == follows


@pytest.mark.parametrize(
    ("state", "number"),
    [("0 credits", 0), ("1 credits", 1), ("withdrawn", 0), ("2 credits", 2), ("another withdrawn", 1)],
)
def test_only_credits_that_were_not_taken_back_count(state: str, number: int) -> None:
    assert CREDITS.fold(CREDIT_HISTORIES[state]).state == f"{number} credits"


HISTORIES: dict[str, tuple[Payload, ...]] = {
    "FREE": (),
    "LISTED": (ENTERED,),
    "FREE again": (ENTERED, LEFT),
    "LISTED again": (ENTERED, LEFT, ENTERED),
}
ON, OFF, UNCHANGED = "GovernanceEntered", "GovernanceLeft", "GOVERNANCE_UNCHANGED"
EXPECTED = {
    "FREE": {"enter": ON, "leave": UNCHANGED},
    "LISTED": {"enter": UNCHANGED, "leave": OFF},
    "FREE again": {"enter": ON, "leave": UNCHANGED},
    "LISTED again": {"enter": UNCHANGED, "leave": OFF},
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_command_in_every_state_of_the_list_is_settled(state: str, command: str, follows: str) -> None:
    commands: dict[str, Command] = {"enter": enter(), "leave": leave()}
    assert outcome(GOVERNANCE, HISTORIES[state], commands[command]) == follows
    assert GOVERNANCE.fold(HISTORIES[state]).state == state.split(maxsplit=1)[0]


@pytest.mark.parametrize("command", [grant(actor=ITSELF), withdraw(actor=ITSELF), withdraw("c9", actor=ITSELF)])
def test_no_unit_gives_itself_a_credit_or_takes_one_back(command: Command) -> None:
    for history in CREDIT_HISTORIES.values():
        assert outcome(CREDITS, history, command) == "OWN_CASE"


@pytest.mark.parametrize("command", [enter(ITSELF), leave(ITSELF)])
def test_no_unit_goes_on_or_off_the_list_by_itself(command: Command) -> None:
    for history in HISTORIES.values():
        assert outcome(GOVERNANCE, history, command) == "OWN_CASE"


def test_whoever_acts_for_no_unit_may_decide() -> None:
    assert outcome(CREDITS, (), grant(actor=SYSTEM)) == GIVEN
    assert outcome(GOVERNANCE, (), enter(SYSTEM)) == ON


def test_news_of_something_else_changes_nothing() -> None:
    assert CREDITS.fold([ENTERED, LEFT]) == CREDITS.initial
    assert GOVERNANCE.fold([ENTERED, credit(), WITHDRAWN]) == GOVERNANCE.fold([ENTERED])


@pytest.mark.parametrize("decider", [CREDITS, GOVERNANCE], ids=lambda decider: decider.category)
def test_an_unknown_command_is_a_mistake_in_the_programme(decider: Decider[Any]) -> None:
    with pytest.raises(TypeError):
        decider.decide(Command(at=AT), decider.initial)
