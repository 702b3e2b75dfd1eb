"""The life of an order: one lead unit from the first dispatch on, two clocks, and rounds.

Rows 6, 7, 19, 23 and 26 of the state machine (domain specification, section 4; Regulation Art 11 to 14, 17, 23), then
every pair of state and command.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from services.routing_service.jurisdiction import Unit
from services.routing_service.limits import shipped_limits
from services.routing_service.order import (
    ORDER,
    DispatchAsProposed,
    DispatchByHand,
    End,
    NoteLimitExpired,
    NoteSignOverdue,
    Propose,
    Redispatch,
    Sign,
    StopClock,
    automatic,
)
from shared.contracts.codes import CaseState, UnitType, Urgency
from shared.contracts.duties import Candidate
from shared.contracts.envelope import BEIJING, Payload
from shared.contracts.routing import (
    HandlingCompleted,
    HandlingLimitExpired,
    OrderDispatched,
    OrderEnded,
    OrderProposed,
    OrderSigned,
    SignOverdue,
)
from shared.engine.decider import Command, NotYours
from tests.support.spec import given
from tests.unit.pairs import ILLEGAL, NOT_YOURS, NOTHING, every_pair, outcome

AT = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)
MOMENT = timedelta(milliseconds=1)
LIMITS = shipped_limits()
TOWN = Unit("110105026", "望京街道", "", UnitType.STREET_TOWN, "110105")
POWER = Unit("bj-power", "国网北京市电力公司", "", UnitType.PUBLIC_ENTERPRISE)
COMMUNITY = Unit("110105026001", "望京西园社区", "", UnitType.COMMUNITY, "110105026")
CANDIDATE = Candidate(
    unit_id=TOWN.unit_id,
    name=TOWN.name,
    confidence="0.75",
    why=("rule rubbish",),
    rule_id="rubbish",
    unit_type=UnitType.STREET_TOWN,
    tier=Urgency.GENERAL,
    cc_district="110105",
)
OUTCOMES = ("ANSWERED", "REDIRECTED", "MERGED", "WITHDRAWN", "CLOSED")


def proposed(*candidates: Candidate, urgency: Urgency | None = None) -> OrderProposed:
    return OrderProposed(
        ticket_no="20261123-0000001",
        kind="HELP",
        subject_key="p1",
        identity_hidden=False,
        registered_at=AT,
        candidates=candidates,
        automatic=bool(candidates),
        urgency=urgency,
        catalogue_version="BJ-2026-1",
        limits_version=LIMITS.version,
    )


def dispatched(round_: int = 1, tier: Urgency = Urgency.GENERAL, at: datetime = AT) -> OrderDispatched:
    due = LIMITS.due(tier, at)
    return OrderDispatched(
        ticket_no="20261123-0000001",
        subject_key="p1",
        identity_hidden=False,
        registered_at=AT,
        lead_unit=TOWN.unit_id,
        lead_unit_name=TOWN.name,
        unit_type=TOWN.unit_type,
        cc_district="110105",
        tier=tier,
        round=round_,
        due_at=due.handle,
        sign_due_at=due.sign,
        due_derivation=due.derivation,
        remind_at=due.remind,
        escalate_at=max(AT + LIMITS.ladder.escalate_open, at),
        by_hand=False,
        catalogue_version="BJ-2026-1",
        rule_id="rubbish",
    )


def by_hand(
    unit: Unit = TOWN, tier: Urgency | None = None, cc: str | None = None, reason: str | None = None
) -> DispatchByHand:
    return DispatchByHand(at=AT, unit=unit, tier=tier, cc_district=cc, reason=reason, limits=LIMITS)


PROPOSED = proposed(CANDIDATE)
DISPATCHED = dispatched()
SIGNED = OrderSigned(unit_id=TOWN.unit_id, round=1)
SIGN_DUE = DISPATCHED.sign_due_at
OVERDUE = SignOverdue(unit_id=TOWN.unit_id, round=1, due_at=SIGN_DUE, supervise_at=SIGN_DUE + timedelta(days=1))
EXPIRED = HandlingLimitExpired(unit_id=TOWN.unit_id, round=1, due_at=DISPATCHED.due_at)
AS_PROPOSED = DispatchAsProposed(at=AT, limits=LIMITS)
SIGN = Sign(at=AT, unit_id=TOWN.unit_id)


def test_an_appeal_is_proposed_once() -> None:
    given(ORDER).when(Propose(at=AT, facts=PROPOSED)).then(PROPOSED)
    given(ORDER, PROPOSED).when(Propose(at=AT, facts=proposed())).then()


def test_an_order_goes_to_the_first_candidate_with_rule_catalogue_and_both_due_times() -> None:
    second = CANDIDATE.model_copy(update={"unit_id": "bj-power"})
    given(ORDER, proposed(CANDIDATE, second)).when(AS_PROPOSED).then(DISPATCHED)


def test_the_clocks_start_at_dispatch_and_not_at_registration() -> None:
    later = AT + timedelta(hours=3)
    event = given(ORDER, PROPOSED).when(DispatchAsProposed(at=later, limits=LIMITS)).decided()[0]
    assert (event.due_at, event.sign_due_at) == (later + timedelta(days=7), later + timedelta(hours=2))
    assert event.due_derivation.started_at == later


def test_without_a_candidate_nothing_leaves_by_itself() -> None:
    given(ORDER, proposed()).when(AS_PROPOSED).then()


def test_an_order_that_has_left_does_not_leave_again_by_itself() -> None:
    given(ORDER, PROPOSED, DISPATCHED).when(AS_PROPOSED).then()


def test_a_dispatcher_needs_no_reason_to_follow_the_catalogue() -> None:
    given(ORDER, PROPOSED).when(by_hand()).then(DISPATCHED.model_copy(update={"by_hand": True}))


def test_a_dispatcher_who_leaves_the_catalogue_must_say_why() -> None:
    given(ORDER, PROPOSED).when(by_hand(POWER)).then_refused("REASON_NEEDED")
    given(ORDER, PROPOSED).when(by_hand(POWER, reason="")).then_refused("REASON_NEEDED")
    event = given(ORDER, PROPOSED).when(by_hand(POWER, reason="路灯由其维护")).decided()[0]
    by_catalogue = (event.rule_id, event.catalogue_version)
    assert (event.lead_unit, event.reason, by_catalogue) == ("bj-power", "路灯由其维护", (None, None))


def test_a_community_never_leads_whatever_the_reason() -> None:
    given(ORDER, PROPOSED).when(by_hand(COMMUNITY, reason="就近")).then_refused("COMMUNITY_NEVER_LEADS")


@pytest.mark.parametrize(
    ("asked", "candidate", "urgency", "tier"),
    [
        (Urgency.EMERGENCY, True, Urgency.COMPLEX, Urgency.EMERGENCY),
        (None, True, Urgency.COMPLEX, Urgency.GENERAL),
        (None, False, Urgency.COMPLEX, Urgency.COMPLEX),
        (None, False, None, Urgency.GENERAL),
    ],
)
def test_the_tier_is_the_dispatchers_then_the_rules_then_the_appeals_then_general(
    asked: Urgency | None, candidate: bool, urgency: Urgency | None, tier: Urgency
) -> None:
    history = proposed(*([CANDIDATE] if candidate else []), urgency=urgency)
    event = given(ORDER, history).when(by_hand(tier=asked, reason="属地")).decided()[0]
    assert (event.tier, event.due_derivation.tier) == (tier, tier)
    assert event.due_at == LIMITS.due(tier, AT).handle


def test_an_order_for_a_street_is_copied_to_its_district() -> None:
    for asked in (None, "110101"):
        event = given(ORDER, proposed()).when(by_hand(cc=asked, reason="属地")).decided()[0]
        assert event.cc_district == "110105"


def test_an_order_for_an_enterprise_is_copied_only_where_the_dispatcher_says_so() -> None:
    for asked in (None, "110101"):
        assert given(ORDER, proposed()).when(by_hand(POWER, cc=asked, reason="职责")).decided()[0].cc_district == asked


def test_co_units_are_named_once_each_and_stay_in_the_next_round_and_the_lead_unit_is_none_of_them() -> None:
    spec = given(ORDER, PROPOSED).when(replace(by_hand(), co_units=("bj-gas", "bj-power", "bj-gas")))
    sent = DISPATCHED.model_copy(update={"by_hand": True, "co_units": ("bj-gas", "bj-power")})
    spec.then(sent)
    again = given(ORDER, PROPOSED, sent).when(Redispatch(at=AT, round=1, limits=LIMITS)).decided()[0]
    assert again.co_units == ("bj-gas", "bj-power")
    spec.when(replace(by_hand(), co_units=("bj-gas", TOWN.unit_id))).then_refused("LEAD_IS_NO_HELPER")


def test_what_a_department_must_do_itself_is_not_passed_down_whatever_the_reason() -> None:
    own = CANDIDATE.model_copy(update={"unit_id": POWER.unit_id, "department_only": True})
    spec = given(ORDER, proposed(own, CANDIDATE)).when(by_hand(reason="属地"))
    spec.then_refused("NOT_FOR_THE_GRASS_ROOTS")
    for unit in (POWER, replace(POWER, unit_type=UnitType.MUNICIPAL_DEPT), replace(TOWN, unit_type=UnitType.DISTRICT)):
        assert spec.when(by_hand(unit, reason="职责")).decided()[0].lead_unit == unit.unit_id


def test_an_order_has_one_lead_unit_and_is_not_dispatched_twice() -> None:
    given(ORDER, PROPOSED, DISPATCHED).when(by_hand(POWER, reason="换")).then_refused(ILLEGAL)


def test_the_receiving_unit_signs() -> None:
    spec = given(ORDER, PROPOSED, DISPATCHED).when(SIGN)
    spec.then(SIGNED)
    assert spec.state_after().state is CaseState.SIGNED


def test_a_unit_cannot_sign_twice() -> None:
    given(ORDER, PROPOSED, DISPATCHED, SIGNED).when(SIGN).then_refused(ILLEGAL)


@pytest.mark.parametrize("after", [(), (SIGNED,), (EXPIRED,), (OrderEnded(outcome=CaseState.CLOSED),)])
@pytest.mark.parametrize("unit_id", ["110105", "bj-power", None])
def test_another_unit_cannot_sign_and_learns_nothing(unit_id: str | None, after: tuple[Payload, ...]) -> None:
    with pytest.raises(NotYours):
        given(ORDER, PROPOSED, DISPATCHED, *after).when(Sign(at=AT, unit_id=unit_id)).decided()


def test_an_unsigned_order_is_overdue_exactly_when_the_signing_limit_is_reached() -> None:
    spec = given(ORDER, PROPOSED, DISPATCHED)
    spec.when(NoteSignOverdue(at=DISPATCHED.sign_due_at - MOMENT, limits=LIMITS)).then()
    spec.when(NoteSignOverdue(at=DISPATCHED.sign_due_at, limits=LIMITS)).then(OVERDUE)


def test_an_overdue_signature_can_still_be_given() -> None:
    given(ORDER, PROPOSED, DISPATCHED, OVERDUE).when(SIGN).then(SIGNED)


def test_a_signed_order_is_not_overdue_for_signing() -> None:
    given(ORDER, PROPOSED, DISPATCHED, SIGNED).when(NoteSignOverdue(at=DISPATCHED.sign_due_at, limits=LIMITS)).then()


@pytest.mark.parametrize("before", [(), (SIGNED,)])
def test_the_limit_expires_exactly_when_due_signed_or_not(before: tuple[Payload, ...]) -> None:
    spec = given(ORDER, PROPOSED, DISPATCHED, *before)
    spec.when(NoteLimitExpired(at=DISPATCHED.due_at - MOMENT)).then()
    spec.when(NoteLimitExpired(at=DISPATCHED.due_at)).then(EXPIRED)
    assert spec.state_after().state is CaseState.CALLBACK_DUE


def test_a_stopped_clock_does_not_expire_and_an_expired_one_does_not_stop() -> None:
    done = HandlingCompleted(round=1)
    given(ORDER, PROPOSED, DISPATCHED, done).when(NoteLimitExpired(at=DISPATCHED.due_at)).then()
    given(ORDER, PROPOSED, DISPATCHED, EXPIRED).when(StopClock(at=AT, round=1)).then()


def test_results_of_an_earlier_round_do_not_stop_the_clock_of_the_present_one() -> None:
    spec = given(ORDER, PROPOSED, DISPATCHED, EXPIRED, dispatched(2))
    spec.when(StopClock(at=AT, round=1)).then()
    spec.when(StopClock(at=AT, round=2)).then(HandlingCompleted(round=2))


def test_rework_goes_to_the_same_unit_one_round_further_with_fresh_clocks() -> None:
    later = AT + timedelta(days=8)
    given(ORDER, PROPOSED, DISPATCHED, SIGNED, EXPIRED).when(Redispatch(at=later, round=1, limits=LIMITS)).then(
        dispatched(2, at=later)
    )


def test_rework_keeps_the_tier_and_the_district_that_a_dispatcher_chose() -> None:
    chosen = given(ORDER, proposed()).when(by_hand(POWER, Urgency.COMPLEX, "110101", "职责")).decided()[0]
    again = given(ORDER, proposed(), chosen).when(Redispatch(at=AT, round=1, limits=LIMITS)).decided()[0]
    assert (again.lead_unit, again.tier, again.cc_district) == ("bj-power", Urgency.COMPLEX, "110101")
    assert (again.round, again.due_at) == (2, AT + timedelta(days=15))


@pytest.mark.parametrize("round_", [0, 2])
def test_a_request_for_rework_of_another_round_changes_nothing(round_: int) -> None:
    given(ORDER, PROPOSED, DISPATCHED, EXPIRED).when(Redispatch(at=AT, round=round_, limits=LIMITS)).then()


@pytest.mark.parametrize("name", OUTCOMES)
def test_an_order_ends_with_the_appeal_and_only_once(name: str) -> None:
    end = End(at=AT, outcome=CaseState(name))
    given(ORDER, PROPOSED, DISPATCHED).when(end).then(OrderEnded(outcome=CaseState(name)))
    given(ORDER, PROPOSED, DISPATCHED, OrderEnded(outcome=CaseState(name))).when(end).then()


HISTORIES: dict[str, tuple[Payload, ...]] = {
    "unknown": (),
    "proposed": (PROPOSED,),
    "for a dispatcher": (proposed(),),
    "dispatched": (PROPOSED, DISPATCHED),
    "overdue": (PROPOSED, DISPATCHED, OVERDUE),
    "signed": (PROPOSED, DISPATCHED, SIGNED),
    "completed": (PROPOSED, DISPATCHED, SIGNED, HandlingCompleted(round=1)),
    "expired": (PROPOSED, DISPATCHED, EXPIRED),
    "second round": (PROPOSED, DISPATCHED, OVERDUE, EXPIRED, dispatched(2)),
    **{f"ended {name}": (PROPOSED, DISPATCHED, OrderEnded(outcome=CaseState(name))) for name in OUTCOMES},
}
LATE = AT + timedelta(days=30)
COMMANDS: dict[str, Command] = {
    "propose": Propose(at=AT, facts=PROPOSED),
    "as proposed": AS_PROPOSED,
    "by hand": by_hand(reason="属地"),
    "sign": SIGN,
    "sign overdue": NoteSignOverdue(at=LATE, limits=LIMITS),
    "limit expired": NoteLimitExpired(at=LATE),
    "stop clock": StopClock(at=AT, round=1),
    "redispatch": Redispatch(at=AT, round=1, limits=LIMITS),
    "end": End(at=AT, outcome=CaseState.WITHDRAWN),
}
NOTED = dict.fromkeys(COMMANDS, NOTHING)
ASKED_IN_VAIN = NOTED | {"by hand": ILLEGAL, "sign": ILLEGAL}
WAITING = NOTED | {"by hand": "OrderDispatched", "sign": NOT_YOURS, "end": "OrderEnded"}
CALLING_BACK = ASKED_IN_VAIN | {"redispatch": "OrderDispatched", "end": "OrderEnded"}
RUNNING = CALLING_BACK | {"limit expired": "HandlingLimitExpired", "stop clock": "HandlingCompleted"}
UNSIGNED = RUNNING | {"sign": "OrderSigned", "sign overdue": "SignOverdue"}
EXPECTED = {
    "unknown": NOTED | {"propose": "OrderProposed", "by hand": NOT_YOURS, "sign": NOT_YOURS},
    "proposed": WAITING | {"as proposed": "OrderDispatched"},
    "for a dispatcher": WAITING,
    "dispatched": UNSIGNED,
    "overdue": UNSIGNED | {"sign overdue": NOTHING},
    "signed": RUNNING,
    "completed": CALLING_BACK,
    "expired": CALLING_BACK,
    "second round": UNSIGNED | {"stop clock": NOTHING, "redispatch": NOTHING},
    **{f"ended {name}": ASKED_IN_VAIN for name in OUTCOMES},
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_command_in_every_state_of_an_order_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(ORDER, HISTORIES[state], COMMANDS[command]) == follows


def test_an_unknown_command_is_a_mistake_in_the_programme() -> None:
    with pytest.raises(TypeError):
        ORDER.decide(Command(at=AT), ORDER.fold([PROPOSED]))


@pytest.mark.parametrize(
    ("confidence", "kind", "leaves"),
    [("0.45", "HELP", True), ("0.44", "HELP", False), ("0.99", "CONSULT", False), ("0.99", "PRAISE", False)],
)
def test_an_order_leaves_by_itself_only_when_confident_and_not_for_a_question(
    confidence: str, kind: str, leaves: bool
) -> None:
    candidate = CANDIDATE.model_copy(update={"confidence": confidence})
    assert automatic([candidate], kind, LIMITS) is leaves
    assert automatic([], kind, LIMITS) is False
