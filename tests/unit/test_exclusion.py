"""剔除 and 考核申诉: a unit claims, somebody else decides, an appeal goes to a third, and silence changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.scoring_service.exclusion import (
    EXCLUSIONS,
    AppealDecision,
    Approve,
    ClaimExclusion,
    Lapse,
    Reject,
)
from services.scoring_service.life import Rule, life_of, shares
from shared.contracts.envelope import BEIJING, Actor, Payload
from shared.contracts.scoring import (
    ExclusionAppealed,
    ExclusionApproved,
    ExclusionClaimed,
    ExclusionLapsed,
    ExclusionRejected,
)
from shared.engine.decider import Command, IllegalTransition
from tests.support.spec import given
from tests.unit.pairs import ILLEGAL, NOT_YOURS, NOTHING, every_pair, outcome
from tests.unit.test_lives import OTHER, called_in, excluded

AT = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)
MOMENT, DAY = timedelta(milliseconds=1), timedelta(days=1)
STREET, DISTRICT, BUREAU, DEPARTMENT = "110105026", "110105", "110000001", "110105D01"
CLAIM_UNTIL, DECIDE_BY, APPEAL_UNTIL = AT + DAY, AT + 10 * DAY, AT + 15 * DAY
DECIDE_AGAIN_BY = AT + 25 * DAY
CLERK = Actor("STREET_HANDLER", STREET, "clerk")
FIRST, SECOND = Actor("MUNICIPAL_ADMIN", BUREAU, "first"), Actor("MUNICIPAL_ADMIN", BUREAU, "second")


def facts(exclusion_id: str = "x1", **changes: Any) -> ExclusionClaimed:
    known: dict[str, Any] = {
        "exclusion_id": exclusion_id,
        "unit_id": STREET,
        "district": DISTRICT,
        "ground": "FORCE_MAJEURE",
        "kind": "EXCLUSION",
        "evidence": "暴雨",
        "decide_by": DECIDE_BY,
        "period": "2026-12",
        "policy_version": "BJ-HR-2025",
        "by": "clerk",
    }
    return ExclusionClaimed(**known | changes)


def claim(exclusion_id: str = "x1", *, at: datetime = AT, **changes: Any) -> ClaimExclusion:
    return ClaimExclusion(at=at, actor=CLERK, facts=facts(exclusion_id, **changes), until=CLAIM_UNTIL)


def approve(actor: Actor = FIRST, exclusion_id: str = "x1", at: datetime = AT) -> Approve:
    return Approve(at=at, actor=actor, exclusion_id=exclusion_id, reason="属实")


def reject(actor: Actor = FIRST, exclusion_id: str = "x1", at: datetime = AT) -> Reject:
    return Reject(at=at, actor=actor, exclusion_id=exclusion_id, reason="查否", appeal_until=APPEAL_UNTIL)


def appeal(actor: Actor = CLERK, exclusion_id: str = "x1", at: datetime = AT) -> AppealDecision:
    return AppealDecision(at=at, actor=actor, exclusion_id=exclusion_id, argument="有新证据", decide_by=DECIDE_AGAIN_BY)


def lapse(at: datetime = DECIDE_AGAIN_BY, exclusion_id: str = "x1") -> Lapse:
    return Lapse(at=at, exclusion_id=exclusion_id)


def rejected(instance: int = 1, by: str = "first", until: datetime | None = APPEAL_UNTIL) -> ExclusionRejected:
    of = {"exclusion_id": "x1", "unit_id": STREET, "ground": "FORCE_MAJEURE", "reason": "查否"}
    return ExclusionRejected(**of, instance=instance, by=by, appeal_until=until)


def approved(instance: int = 1, by: str = "first", kind: Any = "EXCLUSION") -> ExclusionApproved:
    of = {"exclusion_id": "x1", "unit_id": STREET, "ground": "FORCE_MAJEURE", "reason": "属实"}
    return ExclusionApproved(**of, instance=instance, by=by, kind=kind)


CLAIMED = facts()
APPEALED = ExclusionAppealed(
    exclusion_id="x1", unit_id=STREET, argument="有新证据", decide_by=DECIDE_AGAIN_BY, by="clerk"
)
LAPSED = ExclusionLapsed(exclusion_id="x1", unit_id=STREET, decide_by=DECIDE_BY)


def test_a_unit_claims_with_its_evidence() -> None:
    given(EXCLUSIONS).when(claim()).then(CLAIMED)


def test_somebody_else_agrees() -> None:
    given(EXCLUSIONS, CLAIMED).when(approve()).then(approved())
    given(EXCLUSIONS, facts(kind="TOLERANCE")).when(approve()).then(approved(kind="TOLERANCE"))


def test_somebody_else_refuses_and_says_until_when_the_unit_may_appeal() -> None:
    given(EXCLUSIONS, CLAIMED).when(reject()).then(rejected())


def test_the_unit_appeals_and_another_person_decides_for_good() -> None:
    given(EXCLUSIONS, CLAIMED, rejected()).when(appeal()).then(APPEALED)
    given(EXCLUSIONS, CLAIMED, rejected(), APPEALED).when(approve(SECOND)).then(approved(2, "second"))
    given(EXCLUSIONS, CLAIMED, rejected(), APPEALED).when(reject(SECOND)).then(rejected(2, "second", until=None))


HISTORIES: dict[str, tuple[Payload, ...]] = {
    "NONE": (),
    "CLAIMED": (CLAIMED,),
    "APPROVED": (CLAIMED, approved()),
    "REJECTED": (CLAIMED, rejected()),
    "APPEALED": (CLAIMED, rejected(), APPEALED),
    "REJECTED twice": (CLAIMED, rejected(), APPEALED, rejected(2, "second", until=None)),
    "APPROVED on appeal": (CLAIMED, rejected(), APPEALED, approved(2, "second")),
    "LAPSED": (CLAIMED, LAPSED),
    "LAPSED on appeal": (CLAIMED, rejected(), APPEALED, LAPSED),
}
THIRD = Actor("MUNICIPAL_ADMIN", BUREAU, "third")
COMMANDS: dict[str, Command] = {
    "claim": claim("x2"),
    "claim otherwise": claim("x2", ground="DISPATCH_ERROR"),
    "approve": approve(THIRD),
    "reject": reject(THIRD),
    "appeal": appeal(),
    "lapse": lapse(),
}
CLAIM, DECIDED, PENDING, OUT = "ExclusionClaimed", "CLAIM_DECIDED", "CLAIM_PENDING", "ALREADY_EXCLUDED"
YES, NO, AGAIN, OVER = "ExclusionApproved", "ExclusionRejected", "ExclusionAppealed", "ExclusionLapsed"
FINAL = "APPEAL_DECIDED"
TABLE = {
    "NONE": (CLAIM, CLAIM, NOT_YOURS, NOT_YOURS, NOT_YOURS, NOT_YOURS),
    "CLAIMED": (PENDING, PENDING, YES, NO, ILLEGAL, OVER),
    "APPROVED": (OUT, OUT, ILLEGAL, ILLEGAL, ILLEGAL, NOTHING),
    "REJECTED": (DECIDED, CLAIM, ILLEGAL, ILLEGAL, AGAIN, NOTHING),
    "APPEALED": (PENDING, PENDING, YES, NO, ILLEGAL, OVER),
    "REJECTED twice": (DECIDED, CLAIM, ILLEGAL, ILLEGAL, FINAL, NOTHING),
    "APPROVED on appeal": (OUT, OUT, ILLEGAL, ILLEGAL, ILLEGAL, NOTHING),
    "LAPSED": (CLAIM, CLAIM, ILLEGAL, ILLEGAL, ILLEGAL, NOTHING),
    "LAPSED on appeal": (DECIDED, CLAIM, ILLEGAL, ILLEGAL, ILLEGAL, NOTHING),
}
EXPECTED = {state: dict(zip(COMMANDS, row, strict=True)) for state, row in TABLE.items()}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_command_in_every_state_of_a_claim_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(EXCLUSIONS, HISTORIES[state], COMMANDS[command]) == follows


@pytest.mark.parametrize("state", HISTORIES)
def test_the_state_is_that_of_the_last_claim(state: str) -> None:
    assert EXCLUSIONS.fold(HISTORIES[state]).state == state.split(maxsplit=1)[0]
    assert EXCLUSIONS.fold([*HISTORIES[state], facts("x2")]).state == "CLAIMED"


BOTH = [approve, reject]
SCORED = [Actor("DISTRICT_COORDINATOR", STREET, "other"), Actor("DISTRICT_COORDINATOR", DISTRICT, "other")]


@pytest.mark.parametrize("decide", BOTH)
@pytest.mark.parametrize("actor", SCORED, ids=["the unit", "its district"])
@pytest.mark.parametrize("state", ["CLAIMED", "APPEALED", "APPROVED", "LAPSED"])
def test_whoever_is_scored_decides_nothing_about_it(state: str, actor: Actor, decide: Any) -> None:
    given(EXCLUSIONS, *HISTORIES[state]).when(decide(actor)).then_refused("OWN_CASE")


@pytest.mark.parametrize("decide", BOTH)
@pytest.mark.parametrize("state", ["CLAIMED", "APPEALED"])
def test_no_unit_that_the_appeal_counts_for_decides_whoever_claimed(state: str, decide: Any) -> None:
    history = [facts(scored=(STREET, DEPARTMENT)), *HISTORIES[state][1:]]
    given(EXCLUSIONS, *history).when(decide(Actor("MUNICIPAL_ADMIN", DEPARTMENT, "other"))).then_refused("OWN_CASE")
    assert outcome(EXCLUSIONS, history, decide(SECOND)) in {YES, NO}


@pytest.mark.parametrize("decide", BOTH)
@pytest.mark.parametrize("actor", [SCORED[1], Actor("MUNICIPAL_ADMIN", None, "other")], ids=["a district", "nobody's"])
def test_a_unit_without_a_district_has_only_itself_to_keep_out(actor: Actor, decide: Any) -> None:
    assert outcome(EXCLUSIONS, [facts(district=None)], decide(actor)) in {YES, NO}


@pytest.mark.parametrize("decide", BOTH)
@pytest.mark.parametrize(
    ("state", "sub"),
    [("CLAIMED", "clerk"), ("CLAIMED", None), ("APPEALED", "clerk"), ("APPEALED", "first"), ("APPEALED", None)],
)
def test_four_eyes_whoever_has_had_a_hand_in_a_claim_does_not_decide_it(
    state: str, sub: str | None, decide: Any
) -> None:
    actor = Actor("MUNICIPAL_ADMIN", BUREAU, sub)
    given(EXCLUSIONS, *HISTORIES[state]).when(decide(actor)).then_refused("SECOND_OFFICER_NEEDED")


@pytest.mark.parametrize(
    ("state", "hands"),
    [
        ("CLAIMED", {"clerk"}),
        ("APPROVED", {"clerk", "first"}),
        ("APPEALED", {"clerk", "first"}),
        ("REJECTED twice", {"clerk", "first", "second"}),
        ("APPROVED on appeal", {"clerk", "first", "second"}),
    ],
)
def test_a_claim_remembers_who_has_had_a_hand_in_it(state: str, hands: set[str]) -> None:
    assert EXCLUSIONS.fold(HISTORIES[state]).claims["x1"].hands == hands


COLLEAGUE = Actor("STREET_HANDLER", STREET, "colleague")


@pytest.mark.parametrize("decide", BOTH)
def test_the_account_that_appeals_is_on_record_and_does_not_decide(decide: Any) -> None:
    appealed = APPEALED.model_copy(update={"by": "colleague"})
    given(EXCLUSIONS, CLAIMED, rejected()).when(appeal(COLLEAGUE)).then(appealed)
    history = [CLAIMED, rejected(), appealed]
    assert EXCLUSIONS.fold(history).claims["x1"].hands == {"clerk", "first", "colleague"}
    itself = Actor("MUNICIPAL_ADMIN", BUREAU, "colleague")
    given(EXCLUSIONS, *history).when(decide(itself)).then_refused("SECOND_OFFICER_NEEDED")


def test_whoever_decided_one_claim_may_decide_another() -> None:
    other = facts("x2", ground="DISPATCH_ERROR")
    history = [CLAIMED, rejected(), other]
    assert outcome(EXCLUSIONS, history, approve(FIRST, "x2")) == YES


@pytest.mark.parametrize(("late", "follows"), [(timedelta(0), CLAIM), (MOMENT, "CLAIM_WINDOW_CLOSED")])
def test_a_unit_may_claim_up_to_the_last_moment_of_its_time(late: timedelta, follows: str) -> None:
    assert outcome(EXCLUSIONS, [], claim(at=CLAIM_UNTIL + late)) == follows


@pytest.mark.parametrize(("late", "follows"), [(timedelta(0), AGAIN), (MOMENT, "CLAIM_WINDOW_CLOSED")])
def test_a_unit_may_appeal_up_to_the_last_moment_of_its_time(late: timedelta, follows: str) -> None:
    assert outcome(EXCLUSIONS, HISTORIES["REJECTED"], appeal(at=APPEAL_UNTIL + late)) == follows


@pytest.mark.parametrize("decide", BOTH)
@pytest.mark.parametrize(("state", "by"), [("CLAIMED", DECIDE_BY), ("APPEALED", DECIDE_AGAIN_BY)])
def test_a_claim_is_decided_up_to_the_last_moment_of_its_time(state: str, by: datetime, decide: Any) -> None:
    assert outcome(EXCLUSIONS, HISTORIES[state], decide(SECOND, at=by)) in {YES, NO}
    given(EXCLUSIONS, *HISTORIES[state]).when(decide(SECOND, at=by + MOMENT)).then_refused("CLAIM_LAPSED")


STRANGERS = [FIRST, Actor("STREET_HANDLER", "110105027", "clerk"), Actor("MUNICIPAL_ADMIN")]


@pytest.mark.parametrize("actor", [*STRANGERS, Actor("STREET_HANDLER", STREET)])
def test_only_the_unit_itself_appeals(actor: Actor) -> None:
    assert outcome(EXCLUSIONS, HISTORIES["REJECTED"], appeal(actor)) == NOT_YOURS


SECOND_CLAIM = facts("x2", ground="DISPATCH_ERROR")
OF_SECOND = {"exclusion_id": "x2", "ground": "DISPATCH_ERROR"}
AFTER_SECOND: dict[str, tuple[tuple[Payload, ...], str]] = {
    "claimed": ((), PENDING),
    "approved": ((approved().model_copy(update=OF_SECOND),), OUT),
    "rejected": ((rejected().model_copy(update=OF_SECOND),), AGAIN),
    "lapsed": ((LAPSED.model_copy(update={"exclusion_id": "x2"}),), AGAIN),
    "appealed": (tuple(one.model_copy(update=OF_SECOND) for one in (rejected(), APPEALED)), PENDING),
}


@pytest.mark.parametrize("state", AFTER_SECOND)
def test_a_decision_is_not_appealed_while_another_claim_waits_or_has_been_granted(state: str) -> None:
    later, follows = AFTER_SECOND[state]
    assert outcome(EXCLUSIONS, [CLAIMED, rejected(), SECOND_CLAIM, *later], appeal()) == follows


OF_DEPARTMENT = {"exclusion_id": "x2", "unit_id": DEPARTMENT}


@pytest.mark.parametrize("state", ["CLAIMED", "APPROVED", "REJECTED", "APPEALED", "LAPSED on appeal"])
def test_claims_of_different_units_do_not_get_in_each_others_way(state: str) -> None:
    """Neither claimed for the same ground nor appealed, whatever has become of the other's claim."""
    others = [one.model_copy(update=OF_DEPARTMENT) for one in HISTORIES[state]]
    assert outcome(EXCLUSIONS, others, claim()) == CLAIM
    assert outcome(EXCLUSIONS, [*others, CLAIMED, rejected()], appeal()) == AGAIN
    assert outcome(EXCLUSIONS, [*others, CLAIMED], claim("x3")) == PENDING


@pytest.mark.parametrize(("ground", "follows"), [("FORCE_MAJEURE", DECIDED), ("DISPATCH_ERROR", DECIDED), ("A", CLAIM)])
def test_a_ground_that_was_refused_once_is_not_claimed_again_whatever_came_after(ground: str, follows: str) -> None:
    refused_too = rejected().model_copy(update=OF_SECOND)
    history = [*HISTORIES["LAPSED on appeal"], SECOND_CLAIM, refused_too]
    assert outcome(EXCLUSIONS, history, claim("x3", ground=ground)) == follows


@pytest.mark.parametrize(("state", "by"), [("CLAIMED", DECIDE_BY), ("APPEALED", DECIDE_AGAIN_BY)])
def test_a_claim_lapses_when_its_time_is_over_and_not_before(state: str, by: datetime) -> None:
    given(EXCLUSIONS, *HISTORIES[state]).when(lapse(by - MOMENT)).then()
    given(EXCLUSIONS, *HISTORIES[state]).when(lapse(by)).then(LAPSED.model_copy(update={"decide_by": by}))


def test_an_exclusion_that_was_granted_is_that_of_its_unit_alone() -> None:
    found = shares(called_in(), Rule.LAST)
    assert [(one.unit_id, one.ground) for one in found] == [(STREET, "FORCE_MAJEURE"), (DEPARTMENT, ""), (OTHER, "")]
    both = shares(life_of([*called_in().facts, excluded(7, "DISPATCH_ERROR", OTHER)]), Rule.LAST)
    assert [share.ground for share in both] == ["FORCE_MAJEURE", "", "DISPATCH_ERROR"]


def test_what_is_said_about_a_claim_that_there_is_not_changes_nothing() -> None:
    state = EXCLUSIONS.fold([CLAIMED])
    assert EXCLUSIONS.evolve(state, LAPSED.model_copy(update={"exclusion_id": "x9"})) == state
    for command in (approve(FIRST, "x9"), reject(FIRST, "x9"), appeal(CLERK, "x9"), lapse(exclusion_id="x9")):
        assert outcome(EXCLUSIONS, [CLAIMED], command) == NOT_YOURS


def test_a_refusal_names_the_command_and_where_the_claim_stands() -> None:
    with pytest.raises(IllegalTransition, match="approve is not possible in state LAPSED"):
        EXCLUSIONS.decide(approve(), EXCLUSIONS.fold(HISTORIES["LAPSED"]))


@dataclass(frozen=True, kw_only=True)
class Ponder(Command):
    """Nothing that a claim knows."""

    exclusion_id: str = "x1"


def test_an_unknown_command_is_a_mistake_in_the_programme() -> None:
    with pytest.raises(TypeError):
        EXCLUSIONS.decide(Ponder(at=AT), EXCLUSIONS.fold([CLAIMED]))
