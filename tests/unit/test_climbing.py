"""What happens by itself when handling drags on: the unit is reminded, watched, and the matter goes up; and who in the
unit has the order.

Row 27 of the state machine and 催办, 督办, 提级 (domain specification, section 4; Regulation Art 20, 24).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.routing_service.climbing import EscalateByItself, HandOver, NoteUrged, Remind, SuperviseByItself
from services.routing_service.order import ORDER, NoteSignOverdue, Redispatch
from shared.contracts.codes import CaseState, UnitType, Urgency
from shared.contracts.envelope import Actor, Payload
from shared.contracts.routing import (
    ConsultationOpened,
    ExtensionGranted,
    HandlingCompleted,
    LadderStepTaken,
    LedgerClosed,
    LedgerOpened,
    OrderDispatched,
    OrderEnded,
    OrderEscalated,
    OrderHandedOver,
    OrderReminded,
    SupervisionOpened,
)
from shared.engine.decider import Command, NotYours
from tests.support.spec import Spec, given
from tests.unit.pairs import ILLEGAL, NOT_YOURS, NOTHING, every_pair, outcome
from tests.unit.test_contesting import OBJECTED, REJECTED, uphold
from tests.unit.test_order import (
    AT,
    DISPATCHED,
    EXPIRED,
    LIMITS,
    MOMENT,
    OVERDUE,
    PROPOSED,
    SIGNED,
    TOWN,
    dispatched,
)

DAY = timedelta(days=1)
REMINDED = OrderReminded(unit_id=TOWN.unit_id, round=1, ground="CLOCK", urges=0, due_at=DISPATCHED.due_at)
WATCH_AT = DISPATCHED.sign_due_at + DAY
UP_AT = AT + 45 * DAY
RING = AT + 60 * DAY
ON_LEDGER = LedgerOpened(plan="明年改造", review_on=AT + 30 * DAY, seconds_left=5 * 86400, round=1)
DONE = HandlingCompleted(round=1)
ENDED = OrderEnded(outcome=CaseState.CLOSED)
CHIEF = Actor("STREET_HANDLER", TOWN.unit_id, "chief")


def urged(number: int, at: datetime = AT) -> NoteUrged:
    return NoteUrged(at=at, number=number, limits=LIMITS)


def by_appellant(urges: int) -> OrderReminded:
    return REMINDED.model_copy(update={"ground": "APPELLANT", "urges": urges})


def watched(ground: Any, round_: int = 1) -> LadderStepTaken:
    return LadderStepTaken(step="SUPERVISION", ground=ground, unit_id=TOWN.unit_id, round=round_)


def up(ground: Any, level: Any = "DISTRICT", unit_id: str = TOWN.unit_id, round_: int = 1) -> LadderStepTaken:
    return LadderStepTaken(step="ESCALATION", ground=ground, level=level, unit_id=unit_id, round=round_)


def to(officer: str | None, by: Actor = CHIEF) -> HandOver:
    return HandOver(at=AT, actor=by, officer=officer)


def handed(officer: str | None, previous: str | None = None) -> OrderHandedOver:
    return OrderHandedOver(unit_id=TOWN.unit_id, officer=officer, previous_officer=previous)


def sent(*after: Payload) -> Spec:
    return given(ORDER, PROPOSED, DISPATCHED, *after)


def passed_on(first: OrderDispatched = DISPATCHED, *before: Payload) -> tuple[Payload, ...]:
    """The first unit objected and was right; the power company has the order in the same round."""
    history = (PROPOSED, first, *before, OBJECTED)
    return (*history, *ORDER.decide(uphold(), ORDER.fold(history)))


@pytest.mark.parametrize("before", [(), (SIGNED,), (OVERDUE,), (OBJECTED,), (SIGNED, OBJECTED)])
def test_the_clock_reminds_the_unit_once_in_a_round(before: tuple[Payload, ...]) -> None:
    sent(*before).when(Remind(at=DISPATCHED.remind_at - MOMENT)).then()
    sent(*before).when(Remind(at=DISPATCHED.remind_at)).then(REMINDED)
    sent(*before, REMINDED).when(Remind(at=RING)).then()


def test_the_clock_reminds_anew_in_the_next_round() -> None:
    second = dispatched(2, at=AT + 8 * DAY)
    again = REMINDED.model_copy(update={"round": 2, "due_at": second.due_at})
    sent(REMINDED, EXPIRED, second).when(Remind(at=RING)).then(again)
    sent(EXPIRED, second, again).when(Remind(at=RING)).then()


def test_a_unit_that_gets_the_order_after_an_objection_is_reminded_by_its_own_clock() -> None:
    """With a limit of 24 hours the first unit can be reminded and still object; the time of the second begins anew."""
    lifeline = dispatched(tier=Urgency.LIFELINE)
    reminded = REMINDED.model_copy(update={"due_at": lifeline.due_at})
    reminder = given(ORDER, *passed_on(lifeline, reminded)).when(Remind(at=RING)).decided()
    assert [(one.unit_id, one.round) for one in reminder] == [("bj-power", 1)]


@pytest.mark.parametrize("stopped", [(DONE,), (EXPIRED,), (SIGNED, ON_LEDGER), (ENDED,)])
def test_nobody_is_reminded_while_the_clock_does_not_run(stopped: tuple[Payload, ...]) -> None:
    sent(*stopped).when(Remind(at=RING)).then()


def test_a_reminder_names_the_due_time_as_it_is_now() -> None:
    later = DISPATCHED.due_at + DAY
    extended = ExtensionGranted(
        unit_id=TOWN.unit_id, due_at=later, previous_due_at=DISPATCHED.due_at, round=1, policy=LIMITS.version
    )
    closed = LedgerClosed(reason="已具备条件", due_at=later, round=1, remind_at=AT + DAY)
    for history in ((SIGNED, extended), (SIGNED, ON_LEDGER, closed)):
        sent(*history).when(Remind(at=RING)).then(REMINDED.model_copy(update={"due_at": later}))
        sent(*history).when(urged(1)).then(by_appellant(1).model_copy(update={"due_at": later}))


def test_an_urge_reminds_the_unit_however_often_the_clock_has() -> None:
    sent(REMINDED).when(urged(1)).then(by_appellant(1))
    sent(by_appellant(1)).when(Remind(at=RING)).then(REMINDED.model_copy(update={"urges": 1}))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_urge_that_was_heard_already_is_not_heard_again(number: int) -> None:
    sent(by_appellant(1), by_appellant(2)).when(urged(number)).then()
    sent(by_appellant(2), REMINDED.model_copy(update={"urges": 2})).when(urged(number)).then()


def test_urges_count_on_from_round_to_round() -> None:
    spec = sent(by_appellant(1), by_appellant(2), EXPIRED, dispatched(2))
    spec.when(urged(2)).then()
    second = by_appellant(3).model_copy(update={"round": 2})
    spec.when(urged(3)).then(second, watched("URGED", 2))


@pytest.mark.parametrize("after", [(DONE,), (EXPIRED,), (SIGNED, ON_LEDGER), (OBJECTED,)])
def test_an_appellant_is_heard_until_the_end(after: tuple[Payload, ...]) -> None:
    sent(*after).when(urged(1)).then(by_appellant(1))


@pytest.mark.parametrize("number", [1, 3])
def test_an_urge_before_dispatch_or_after_the_end_reminds_nobody(number: int) -> None:
    given(ORDER, PROPOSED).when(urged(number)).then()
    given(ORDER, PROPOSED, ConsultationOpened(participants=("bj-power",))).when(urged(number)).then()
    sent(ENDED).when(urged(number)).then()


# ---- 督办: watched ----


def test_the_third_urge_opens_supervision_and_no_later_one_does_so_again() -> None:
    sent(by_appellant(1)).when(urged(2)).then(by_appellant(2))
    sent(by_appellant(1), by_appellant(2)).when(urged(3)).then(by_appellant(3), watched("URGED"))
    sent(by_appellant(3), watched("URGED")).when(urged(4)).then(by_appellant(4))


def test_an_urge_that_comes_before_the_ones_before_it_counts_by_its_number() -> None:
    sent().when(urged(3)).then(by_appellant(3), watched("URGED"))
    sent(by_appellant(3), watched("URGED")).when(urged(2)).then()


@pytest.mark.parametrize("opened", [SupervisionOpened(reason="长期未解决"), watched("NOT_SIGNED")])
def test_what_is_watched_already_is_not_watched_twice(opened: Payload) -> None:
    sent(opened).when(urged(3)).then(by_appellant(3))
    sent(OVERDUE, opened).when(SuperviseByItself(at=WATCH_AT)).then()


def test_an_order_that_stays_unsigned_is_watched_exactly_when_its_time_is_over() -> None:
    spec = sent(OVERDUE)
    spec.when(SuperviseByItself(at=WATCH_AT - MOMENT)).then()
    spec.when(SuperviseByItself(at=WATCH_AT)).then(watched("NOT_SIGNED"))


PATIENCE = {Urgency.EMERGENCY: DAY / 72, Urgency.LIFELINE: DAY / 4, Urgency.GENERAL: DAY, Urgency.COMPLEX: DAY}


@pytest.mark.parametrize(("tier", "patience"), PATIENCE.items())
def test_how_long_an_order_may_stay_unsigned_depends_on_its_tier(tier: Urgency, patience: timedelta) -> None:
    order = dispatched(tier=tier)
    spec = given(ORDER, PROPOSED, order).when(NoteSignOverdue(at=order.sign_due_at + DAY, limits=LIMITS))
    assert spec.decided()[0].supervise_at == order.sign_due_at + patience


def test_what_was_signed_is_not_watched_for_it() -> None:
    sent(OVERDUE, SIGNED).when(SuperviseByItself(at=WATCH_AT)).then()
    sent(OVERDUE, SIGNED, OBJECTED).when(SuperviseByItself(at=WATCH_AT)).then()


def test_an_objection_does_not_replace_a_signature() -> None:
    sent(OVERDUE, OBJECTED).when(SuperviseByItself(at=WATCH_AT)).then(watched("NOT_SIGNED"))
    sent(OBJECTED, OVERDUE).when(SuperviseByItself(at=WATCH_AT)).then(watched("NOT_SIGNED"))
    sent(OVERDUE, OBJECTED, REJECTED).when(SuperviseByItself(at=WATCH_AT)).then(watched("NOT_SIGNED"))


def test_a_unit_is_not_watched_for_a_signature_that_another_owed() -> None:
    given(ORDER, *passed_on(DISPATCHED, OVERDUE)).when(SuperviseByItself(at=WATCH_AT)).then()
    sent(OVERDUE, EXPIRED, dispatched(2)).when(SuperviseByItself(at=WATCH_AT)).then()


def test_without_a_time_on_record_nobody_is_watched() -> None:
    """Orders that were overdue before the ladder came have no such time."""
    sent(OVERDUE.model_copy(update={"supervise_at": None})).when(SuperviseByItself(at=WATCH_AT + 99 * DAY)).then()


# ---- 提级: up ----


def test_what_is_open_for_very_long_goes_up_exactly_then_and_once() -> None:
    for history in ((), (SIGNED,), (DONE,), (EXPIRED,), (OBJECTED,)):
        sent(*history).when(EscalateByItself(at=UP_AT - MOMENT)).then()
        sent(*history).when(EscalateByItself(at=UP_AT)).then(up("LONG_OPEN"))
        sent(*history, up("LONG_OPEN")).when(EscalateByItself(at=UP_AT + DAY)).then()


@pytest.mark.parametrize("before", [up("ROUNDS"), OrderEscalated(level="LINE_AUTHORITY", reason="超出权限")])
def test_what_is_up_already_does_not_go_up_again_by_itself(before: Payload) -> None:
    sent(SIGNED, before).when(EscalateByItself(at=UP_AT)).then()
    again = sent(EXPIRED, dispatched(2), before, EXPIRED).when(Redispatch(at=AT, round=2, limits=LIMITS)).decided()
    assert [type(one) for one in again] == [OrderDispatched]


def test_what_rests_on_the_ledger_does_not_go_up_until_it_is_off() -> None:
    sent(SIGNED, ON_LEDGER).when(EscalateByItself(at=UP_AT + 99 * DAY)).then()
    off = LedgerClosed(reason="已具备条件", due_at=UP_AT + 5 * DAY, round=1)
    sent(SIGNED, ON_LEDGER, off).when(EscalateByItself(at=UP_AT + 5 * DAY)).then(up("LONG_OPEN"))
    sent(SIGNED, ON_LEDGER, ENDED).when(EscalateByItself(at=UP_AT)).then()


def test_the_long_time_counts_from_the_first_dispatch_whoever_has_the_order_now() -> None:
    spec = given(ORDER, *passed_on())
    spec.when(EscalateByItself(at=UP_AT - MOMENT)).then()
    spec.when(EscalateByItself(at=UP_AT)).then(up("LONG_OPEN", "MUNICIPAL", "bj-power"))
    spec = sent(EXPIRED, dispatched(2, at=AT + 40 * DAY))
    spec.when(EscalateByItself(at=UP_AT - MOMENT)).then()
    spec.when(EscalateByItself(at=UP_AT)).then(up("LONG_OPEN", round_=2))


@pytest.mark.parametrize("unit_type", list(UnitType))
def test_a_streets_order_goes_up_to_its_district_and_any_other_to_the_municipal_department(unit_type: UnitType) -> None:
    level = {UnitType.STREET_TOWN: "DISTRICT"}.get(unit_type, "MUNICIPAL")
    first, second = (one.model_copy(update={"unit_type": unit_type}) for one in (DISPATCHED, dispatched(2)))
    given(ORDER, PROPOSED, first).when(EscalateByItself(at=UP_AT)).then(up("LONG_OPEN", level))
    third = given(ORDER, PROPOSED, first, EXPIRED, second).when(Redispatch(at=AT, round=2, limits=LIMITS))
    assert (third.decided()[1].ground, third.decided()[1].level) == ("ROUNDS", level)


def test_an_order_that_comes_back_for_a_third_round_goes_up_with_it() -> None:
    sent(EXPIRED).when(Redispatch(at=AT, round=1, limits=LIMITS)).then(dispatched(2))
    spec = sent(EXPIRED, dispatched(2)).when(Redispatch(at=AT, round=2, limits=LIMITS))
    spec.then(dispatched(3), up("ROUNDS", round_=3))
    assert (spec.state_after().state, spec.state_after().escalated) == (CaseState.DISPATCHED, True)


# ---- who in the unit ----


def test_an_officer_takes_the_order_and_gives_it_on_or_back_and_who_has_it_is_not_handed_it_again() -> None:
    spec = sent(SIGNED).when(to("wang"))
    spec.then(handed("wang"))
    assert spec.state_after().officer == "wang"
    sent(SIGNED, handed("wang")).when(to("li")).then(handed("li", "wang"))
    sent(SIGNED, handed("wang")).when(to(None)).then(handed(None, "wang"))
    sent(handed("wang")).when(to("wang")).then()
    sent().when(to(None)).then()


@pytest.mark.parametrize("unit_id", [None, "", "110105", "bj-power"])
@pytest.mark.parametrize("after", [(), (SIGNED,), (EXPIRED,), (ENDED,)])
def test_only_the_lead_unit_hands_over_and_others_learn_nothing(
    unit_id: str | None, after: tuple[Payload, ...]
) -> None:
    with pytest.raises(NotYours):
        sent(*after).when(to("wang", CHIEF._replace(unit_id=unit_id))).decided()


def test_an_officer_is_forgotten_when_another_unit_leads_and_kept_when_the_same_does() -> None:
    assert given(ORDER, *passed_on(DISPATCHED, handed("wang"))).state.officer is None
    again = sent(handed("wang"), EXPIRED, dispatched(2))
    assert again.state.officer == "wang"
    again.when(to("wang")).then()


HISTORIES: dict[str, tuple[Payload, ...]] = {
    "unknown": (),
    "proposed": (PROPOSED,),
    "consulting": (PROPOSED, ConsultationOpened(participants=("bj-power",))),
    "dispatched": (PROPOSED, DISPATCHED),
    "reminded": (PROPOSED, DISPATCHED, REMINDED),
    "overdue": (PROPOSED, DISPATCHED, OVERDUE),
    "watched": (PROPOSED, DISPATCHED, OVERDUE, watched("NOT_SIGNED")),
    "objected": (PROPOSED, DISPATCHED, OVERDUE, OBJECTED),
    "signed": (PROPOSED, DISPATCHED, OVERDUE, SIGNED),
    "signed and objected": (PROPOSED, DISPATCHED, OVERDUE, SIGNED, OBJECTED),
    "handed over": (PROPOSED, DISPATCHED, SIGNED, handed("wang")),
    "gone up": (PROPOSED, DISPATCHED, SIGNED, up("LONG_OPEN")),
    "on the ledger": (PROPOSED, DISPATCHED, SIGNED, ON_LEDGER),
    "completed": (PROPOSED, DISPATCHED, SIGNED, DONE),
    "expired": (PROPOSED, DISPATCHED, OVERDUE, EXPIRED),
    "second round": (PROPOSED, DISPATCHED, REMINDED, OVERDUE, EXPIRED, dispatched(2)),
    "ended": (PROPOSED, DISPATCHED, OVERDUE, ENDED),
}
COMMANDS: dict[str, Command] = {
    "remind": Remind(at=RING),
    "urged": urged(1),
    "urged often": urged(3),
    "supervise": SuperviseByItself(at=UP_AT),
    "escalate": EscalateByItself(at=UP_AT),
    "hand over": to("wang"),
    "hand over as another": to("wang", CHIEF._replace(unit_id="bj-power")),
}
UNSENT = dict.fromkeys(COMMANDS, NOTHING) | {"hand over": NOT_YOURS, "hand over as another": NOT_YOURS}
HEARD = UNSENT | {"urged": "OrderReminded", "urged often": "OrderReminded LadderStepTaken"}
BACK = HEARD | {"escalate": "LadderStepTaken", "hand over": ILLEGAL}
RUNS = BACK | {"remind": "OrderReminded", "hand over": "OrderHandedOver"}
UNSIGNED = RUNS | {"supervise": "LadderStepTaken"}
EXPECTED = dict.fromkeys(HISTORIES, RUNS) | {
    "unknown": UNSENT,
    "proposed": UNSENT,
    "consulting": UNSENT,
    "reminded": RUNS | {"remind": NOTHING},
    "overdue": UNSIGNED,
    "watched": RUNS | {"urged often": "OrderReminded"},
    "objected": UNSIGNED,
    "handed over": RUNS | {"hand over": NOTHING},
    "gone up": RUNS | {"escalate": NOTHING},
    "on the ledger": HEARD | {"hand over": "OrderHandedOver"},
    "completed": BACK,
    "expired": BACK,
    "ended": UNSENT | {"hand over": ILLEGAL},
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_step_of_the_ladder_in_every_state_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(ORDER, HISTORIES[state], COMMANDS[command]) == follows
