"""Who is responsible: consultation before dispatch, the objection after it, and its review by somebody who is no party.

Rows 5 and 8 to 10 of the state machine (domain specification, section 4; Regulation Art 12, 14).
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from services.routing_service.contesting import (
    CloseConsultation,
    NoteObjectionReviewOverdue,
    Object,
    OpenConsultation,
    Reject,
    Uphold,
)
from services.routing_service.jurisdiction import Unit
from services.routing_service.order import ORDER, NoteLimitExpired, Sign
from shared.contracts.codes import CaseState, UnitType, Urgency
from shared.contracts.envelope import Actor, Payload
from shared.contracts.routing import (
    ConsultationClosed,
    ConsultationOpened,
    HandlingCompleted,
    ObjectionRejected,
    ObjectionReviewOverdue,
    ObjectionUpheld,
    OrderEnded,
    OrderObjected,
)
from shared.engine.decider import Command
from tests.support.spec import Spec, given
from tests.unit.pairs import ILLEGAL, NOT_YOURS, NOTHING, every_pair, outcome
from tests.unit.test_order import (
    AT,
    CANDIDATE,
    COMMUNITY,
    DISPATCHED,
    EXPIRED,
    LIMITS,
    MOMENT,
    POWER,
    PROPOSED,
    SIGNED,
    TOWN,
    dispatched,
    proposed,
)

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
REVIEWER = Actor("MUNICIPAL_ADMIN", None, "reviewer")
GAS = Unit("bj-gas", "北京燃气集团", "", UnitType.PUBLIC_ENTERPRISE)
OPENED = ConsultationOpened(participants=("bj-power", "110105"), reason="职责不清")
OPEN = OpenConsultation(at=AT, participants=("bj-power", "110105"), reason="职责不清")
OBJECTED = OrderObjected(
    unit_id=TOWN.unit_id,
    ground="DUTY",
    reason="路灯不归我们",
    proposed_unit="bj-power",
    round=1,
    review_due_at=AT + HOUR + DAY,
)
REVIEW_DUE = OBJECTED.review_due_at
REVIEW_LATE = ObjectionReviewOverdue(unit_id=TOWN.unit_id, review_due_at=REVIEW_DUE, round=1)
REJECTED = ObjectionRejected(unit_id=TOWN.unit_id, reason="属地", returns_to=CaseState.DISPATCHED, round=1, late=False)


def close(unit: Unit = POWER) -> CloseConsultation:
    return CloseConsultation(at=AT + HOUR, unit=unit, decision="由电力公司办理", limits=LIMITS)


def objection(unit_id: str | None = TOWN.unit_id, at: datetime = AT + HOUR) -> Object:
    return Object(at=at, unit_id=unit_id, ground="DUTY", reason="路灯不归我们", proposed_unit="bj-power", limits=LIMITS)


def uphold(unit: Unit = POWER, at: datetime = AT + 2 * HOUR, by: str | None = None) -> Uphold:
    return Uphold(at=at, actor=REVIEWER._replace(unit_id=by), unit=unit, reason="属实", limits=LIMITS)


def reject(at: datetime = AT + 2 * HOUR, by: str | None = None) -> Reject:
    return Reject(at=at, actor=REVIEWER._replace(unit_id=by), reason="属地")


def objected(*before: Payload) -> Spec:
    return given(ORDER, PROPOSED, DISPATCHED, *before, OBJECTED)


def test_a_consultation_asks_before_dispatch_and_holds_the_order_back() -> None:
    spec = given(ORDER, PROPOSED).when(OPEN)
    spec.then(OPENED)
    assert spec.state_after().state is CaseState.CONSULTING


def test_closing_a_consultation_dispatches_to_the_agreed_unit_with_clocks_that_begin_then() -> None:
    closed, sent = given(ORDER, PROPOSED, OPENED).when(close()).decided()
    assert closed == ConsultationClosed(unit_id="bj-power", decision="由电力公司办理")
    assert (sent.lead_unit, sent.round, sent.by_hand, sent.reason) == ("bj-power", 1, True, "由电力公司办理")
    assert (sent.due_at, sent.rule_id) == (LIMITS.due(sent.tier, AT + HOUR).handle, None)


def test_a_consultation_that_agrees_with_the_catalogue_keeps_rule_tier_and_district() -> None:
    emergency = CANDIDATE.model_copy(update={"tier": Urgency.EMERGENCY})
    sent = given(ORDER, proposed(emergency), OPENED).when(close(TOWN)).decided()[1]
    assert (sent.rule_id, sent.tier, sent.cc_district) == ("rubbish", Urgency.EMERGENCY, "110105")


@pytest.mark.parametrize(("urgency", "tier"), [(Urgency.COMPLEX, Urgency.COMPLEX), (None, Urgency.GENERAL)])
def test_without_a_candidate_the_tier_is_the_appeals_own(urgency: Urgency | None, tier: Urgency) -> None:
    assert given(ORDER, proposed(urgency=urgency), OPENED).when(close()).decided()[1].tier is tier


def test_a_consultation_never_ends_with_a_community_in_the_lead() -> None:
    given(ORDER, PROPOSED, OPENED).when(close(COMMUNITY)).then_refused("COMMUNITY_NEVER_LEADS")


@pytest.mark.parametrize("before", [(), (SIGNED,)])
def test_an_objection_leaves_owner_and_clock_as_they_are(before: tuple[Payload, ...]) -> None:
    spec = given(ORDER, PROPOSED, DISPATCHED, *before).when(objection())
    spec.then(OBJECTED)
    order = spec.state_after()
    assert (order.state, order.lead_unit) == (CaseState.OBJECTED, TOWN.unit_id)
    assert (order.due_at, order.running) == (DISPATCHED.due_at, True)
    objected(*before).when(NoteLimitExpired(at=DISPATCHED.due_at - MOMENT)).then()
    objected(*before).when(NoteLimitExpired(at=DISPATCHED.due_at)).then(EXPIRED)


@pytest.mark.parametrize(
    ("tier", "start", "last"),
    [
        (Urgency.GENERAL, AT, AT + DAY),
        (Urgency.GENERAL, datetime.fromisoformat("2026-11-27T17:00+08:00"), AT + 7 * DAY + 8 * HOUR),
        (Urgency.EMERGENCY, AT, AT + timedelta(minutes=30)),
    ],
)
def test_an_objection_comes_within_a_working_day_or_half_an_hour(
    tier: Urgency, start: datetime, last: datetime
) -> None:
    spec = given(ORDER, PROPOSED, dispatched(tier=tier, at=start))
    spec.when(objection(at=last + MOMENT)).then_refused("OBJECTION_TOO_LATE")
    assert spec.when(objection(at=last)).decided()[0].review_due_at == LIMITS.review_until(tier, last)


def test_a_unit_objects_once_in_a_round_and_again_in_the_next() -> None:
    objected().when(objection()).then_refused(ILLEGAL)
    given(ORDER, PROPOSED, DISPATCHED, OBJECTED, REJECTED).when(objection()).then_refused("OBJECTED_ALREADY")
    again = given(ORDER, PROPOSED, DISPATCHED, OBJECTED, REJECTED, EXPIRED, dispatched(2, at=AT + DAY))
    assert again.when(objection(at=AT + DAY)).decided()[0].round == 2


def passed_on(*units: Unit) -> tuple[Payload, ...]:
    """Each of these objected in turn and was upheld; the last of them has the order."""
    events: list[Payload] = [PROPOSED, DISPATCHED]
    for unit in units:
        events += ORDER.decide(objection(ORDER.fold(events).lead_unit, AT), ORDER.fold(events))
        events += ORDER.decide(uphold(unit, AT), ORDER.fold(events))
    return tuple(events)


def test_after_three_objections_in_a_round_the_reviewers_last_word_stands() -> None:
    water = Unit("bj-water", "市自来水集团", "", UnitType.PUBLIC_ENTERPRISE)
    assert given(ORDER, *passed_on(POWER, GAS)).when(objection("bj-gas")).decided()
    given(ORDER, *passed_on(POWER, GAS, water)).when(objection("bj-water")).then_refused("OBJECTIONS_EXHAUSTED")
    next_round = dispatched(2).model_copy(update={"lead_unit": "bj-water"})
    assert given(ORDER, *passed_on(POWER, GAS, water), next_round).when(objection("bj-water")).decided()


@pytest.mark.parametrize("before", [(), (SIGNED,)])
def test_upheld_the_order_goes_to_another_unit_in_the_same_round_with_new_due_times(
    before: tuple[Payload, ...],
) -> None:
    spec = objected(*before).when(uphold())
    upheld, sent = spec.decided()
    assert upheld == ObjectionUpheld(unit_id=TOWN.unit_id, to_unit="bj-power", reason="属实", round=1, late=False)
    due = LIMITS.due(Urgency.GENERAL, AT + 2 * HOUR)
    assert (sent.lead_unit, sent.lead_unit_name, sent.round) == ("bj-power", POWER.name, 1)
    assert (sent.due_at, sent.sign_due_at, sent.reason) == (due.handle, due.sign, "属实")
    order = spec.state_after()
    assert (order.state, order.due_at, order.objection) == (CaseState.DISPATCHED, due.handle, None)
    given(ORDER, PROPOSED, DISPATCHED, *before, OBJECTED, upheld, sent).when(
        Sign(at=AT + 3 * HOUR, unit_id="bj-power")
    ).then(SIGNED.model_copy(update={"unit_id": "bj-power"}))


def test_upheld_the_tier_that_was_chosen_for_the_order_stays() -> None:
    emergency = given(ORDER, PROPOSED, dispatched(tier=Urgency.EMERGENCY), OBJECTED)
    assert emergency.when(uphold()).decided()[1].tier is Urgency.EMERGENCY


def test_an_upheld_objection_goes_to_another_unit_and_never_to_a_community() -> None:
    objected().when(uphold(TOWN)).then_refused("SAME_UNIT")
    objected().when(uphold(COMMUNITY)).then_refused("COMMUNITY_NEVER_LEADS")


@pytest.mark.parametrize("party", [TOWN.unit_id, "bj-power"])
def test_a_party_reviews_no_objection(party: str) -> None:
    objected().when(reject(by=party)).then_refused("OWN_CASE")
    objected().when(uphold(GAS, by=party)).then_refused("OWN_CASE")
    assert objected().when(reject(by="bj-government-services")).decided()


def test_whoever_is_to_get_the_order_does_not_decide_so() -> None:
    objected().when(uphold(GAS, by="bj-gas")).then_refused("OWN_CASE")


@pytest.mark.parametrize(("before", "back"), [((), CaseState.DISPATCHED), ((SIGNED,), CaseState.SIGNED)])
def test_rejected_the_order_is_where_it_was_before(before: tuple[Payload, ...], back: CaseState) -> None:
    spec = objected(*before).when(reject())
    spec.then(REJECTED.model_copy(update={"returns_to": back}))
    order = spec.state_after()
    assert (order.state, order.lead_unit, order.due_at) == (back, TOWN.unit_id, DISPATCHED.due_at)


def test_a_review_after_its_time_counts_and_is_marked_late() -> None:
    for last, late in ((OBJECTED.review_due_at, False), (OBJECTED.review_due_at + MOMENT, True)):
        assert objected().when(reject(last)).decided()[0].late is late
        assert objected().when(uphold(at=last)).decided()[0].late is late


@pytest.mark.parametrize("before", [(), (SIGNED,)])
def test_a_review_that_nobody_made_is_noted_exactly_when_its_time_is_over(before: tuple[Payload, ...]) -> None:
    objected(*before).when(NoteObjectionReviewOverdue(at=REVIEW_DUE - MOMENT)).then()
    for at in (REVIEW_DUE, REVIEW_DUE + DAY):
        objected(*before).when(NoteObjectionReviewOverdue(at=at)).then(REVIEW_LATE)


def test_the_unit_stays_responsible_and_its_clock_runs_while_the_reviewer_is_late() -> None:
    order = objected().when(NoteObjectionReviewOverdue(at=REVIEW_DUE)).state_after()
    assert (order.state, order.lead_unit, order.running) == (CaseState.OBJECTED, TOWN.unit_id, True)
    assert order.due_at == DISPATCHED.due_at
    late = given(ORDER, PROPOSED, DISPATCHED, OBJECTED, REVIEW_LATE)
    assert late.when(uphold(at=REVIEW_DUE + DAY)).decided()[0].late is True
    assert late.when(reject(REVIEW_DUE + DAY)).decided()[0].late is True


def test_a_review_is_not_late_when_there_was_one_or_the_objection_is_over() -> None:
    note = NoteObjectionReviewOverdue(at=REVIEW_DUE + DAY)
    upheld = objected().when(uphold()).decided()
    for after in ([REJECTED], upheld, [EXPIRED], [HandlingCompleted(round=1)], [OrderEnded(outcome=CaseState.CLOSED)]):
        given(ORDER, PROPOSED, DISPATCHED, OBJECTED, *after).when(note).then()


def test_each_objection_has_a_review_time_of_its_own() -> None:
    second = OBJECTED.model_copy(update={"unit_id": "bj-power", "review_due_at": REVIEW_DUE + DAY})
    history = (PROPOSED, DISPATCHED, OBJECTED, *objected().when(uphold()).decided(), second)
    given(ORDER, *history).when(NoteObjectionReviewOverdue(at=REVIEW_DUE)).then()
    late = given(ORDER, *history).when(NoteObjectionReviewOverdue(at=REVIEW_DUE + DAY)).decided()
    assert [(one.unit_id, one.review_due_at) for one in late] == [("bj-power", REVIEW_DUE + DAY)]


@pytest.mark.parametrize("unit", [TOWN, COMMUNITY])
def test_a_departments_matter_is_passed_down_neither_by_consultation_nor_by_review(unit: Unit) -> None:
    own = CANDIDATE.model_copy(update={"unit_id": "bj-housing", "department_only": True})
    code = "COMMUNITY_NEVER_LEADS" if unit is COMMUNITY else "NOT_FOR_THE_GRASS_ROOTS"
    given(ORDER, proposed(own), OPENED).when(close(unit)).then_refused(code)
    elsewhere = DISPATCHED.model_copy(update={"lead_unit": "bj-housing"})
    theirs = OBJECTED.model_copy(update={"unit_id": "bj-housing"})
    given(ORDER, proposed(own), elsewhere, theirs).when(uphold(unit)).then_refused(code)
    assert given(ORDER, proposed(own), OPENED).when(close(POWER)).decided()[1].lead_unit == "bj-power"
    assert given(ORDER, proposed(own), elsewhere, theirs).when(uphold(GAS)).decided()[1].lead_unit == "bj-gas"


HISTORIES: dict[str, tuple[Payload, ...]] = {
    "unknown": (),
    "proposed": (PROPOSED,),
    "consulting": (PROPOSED, OPENED),
    "dispatched": (PROPOSED, DISPATCHED),
    "signed": (PROPOSED, DISPATCHED, SIGNED),
    "objected": (PROPOSED, DISPATCHED, OBJECTED),
    "completed": (PROPOSED, DISPATCHED, SIGNED, OBJECTED, HandlingCompleted(round=1)),
    "expired": (PROPOSED, DISPATCHED, OBJECTED, EXPIRED),
    "ended": (PROPOSED, DISPATCHED, OBJECTED, OrderEnded(outcome=CaseState.WITHDRAWN)),
}
COMMANDS: dict[str, Command] = {
    "consult": OPEN,
    "close": close(),
    "object": objection(),
    "object as another": objection("bj-power"),
    "uphold": uphold(),
    "reject": reject(),
    "review overdue": NoteObjectionReviewOverdue(at=REVIEW_DUE),
}
REFUSED = dict.fromkeys(COMMANDS, ILLEGAL) | {"object as another": NOT_YOURS, "review overdue": NOTHING}
UNSENT = REFUSED | {"object": NOT_YOURS}
EXPECTED = dict.fromkeys(HISTORIES, REFUSED) | {
    "unknown": dict.fromkeys(COMMANDS, NOT_YOURS) | {"review overdue": NOTHING},
    "proposed": UNSENT | {"consult": "ConsultationOpened"},
    "consulting": UNSENT | {"close": "ConsultationClosed OrderDispatched"},
    "dispatched": REFUSED | {"object": "OrderObjected"},
    "signed": REFUSED | {"object": "OrderObjected"},
    "objected": REFUSED
    | {"uphold": "ObjectionUpheld OrderDispatched", "reject": "ObjectionRejected"}
    | {"review overdue": "ObjectionReviewOverdue"},
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_word_about_responsibility_in_every_state_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(ORDER, HISTORIES[state], COMMANDS[command]) == follows
