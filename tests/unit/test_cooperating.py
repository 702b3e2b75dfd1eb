"""Working together: a street whistles and departments report in; what is beyond a unit goes up; handling is watched.

Rows 14, 15 and 27 and part 4.4 of the domain specification; Regulation Art 14, 16, 20, 33.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from services.routing_service.cooperating import (
    BlowWhistle,
    CloseSubtask,
    CloseWhistle,
    Escalate,
    NoteReportInOverdue,
    ReportIn,
    Supervise,
)
from services.routing_service.order import ORDER, Redispatch
from shared.contracts.codes import CaseState, UnitType
from shared.contracts.envelope import Actor, Payload
from shared.contracts.routing import (
    DepartmentReported,
    LedgerOpened,
    OrderEnded,
    OrderEscalated,
    ReportInOverdue,
    SubtaskClosed,
    SupervisionOpened,
    WhistleBlown,
    WhistleClosed,
)
from shared.engine.decider import Command, NotYours
from tests.support.spec import Spec, given
from tests.unit.pairs import ILLEGAL, NOT_YOURS, NOTHING, every_pair, outcome
from tests.unit.test_order import AT, DISPATCHED, EXPIRED, LIMITS, MOMENT, PROPOSED, SIGNED, TOWN, dispatched

DAY = timedelta(days=1)
FRIDAY = datetime.fromisoformat("2026-11-27T16:00+08:00")
STREET = Actor("STREET_HANDLER", TOWN.unit_id, "wang")
HOUSING, FIRE = "bj-housing", "bj-fire"
BLOWN = WhistleBlown(number=1, kind="APPEAL", departments=(HOUSING, FIRE), reason="群租隐患", report_due_at=AT + DAY)
SECOND = BLOWN.model_copy(update={"number": 2, "departments": (FIRE,)})
REPORTED = DepartmentReported(number=1, unit_id=HOUSING, refused=False, reason=None, late=False)
REFUSED = DepartmentReported(number=1, unit_id=FIRE, refused=True, reason="不属消防职责", late=False)
DONE = SubtaskClosed(number=1, unit_id=HOUSING, solved=True, result="已整改")
SILENT = ReportInOverdue(number=1, absent=(HOUSING, FIRE), report_due_at=AT + DAY)
CLOSED = WhistleClosed(number=1, justified=True, solved=True, absent=())


def blow(*departments: str, by: Actor = STREET, kind: str = "APPEAL", at: datetime = AT) -> BlowWhistle:
    called = departments or (HOUSING, FIRE)
    return BlowWhistle(at=at, actor=by, kind=kind, departments=called, reason="群租隐患", limits=LIMITS)  # type: ignore[arg-type]


def report(
    unit: str | None = HOUSING, number: int | None = None, refused: bool = False, reason: str | None = None,
    at: datetime = AT,
) -> ReportIn:  # fmt: skip
    return ReportIn(at=at, actor=Actor("DEPARTMENT_HANDLER", unit, "li"), number=number, refused=refused, reason=reason)


def part_done(unit: str | None = HOUSING, number: int = 1) -> CloseSubtask:
    return CloseSubtask(
        at=AT, actor=Actor("DEPARTMENT_HANDLER", unit, "li"), number=number, solved=True, result="已整改"
    )


def let_go(number: int | None = None, by: Actor = STREET) -> CloseWhistle:
    return CloseWhistle(at=AT, actor=by, number=number, solved=True, justified=True)


def signed(*after: Payload) -> Spec:
    return given(ORDER, PROPOSED, DISPATCHED, SIGNED, *after)


def test_a_street_calls_departments_each_once() -> None:
    spec = signed().when(blow(HOUSING, FIRE, HOUSING))
    spec.then(BLOWN)
    assert spec.state_after().called == {HOUSING, FIRE}
    assert signed(BLOWN).when(blow(FIRE)).decided() == [SECOND]


@pytest.mark.parametrize(
    ("kind", "due"),
    [
        ("EMERGENCY", FRIDAY + timedelta(minutes=30)),
        ("ENFORCEMENT", FRIDAY + timedelta(hours=2)),
        ("APPEAL", FRIDAY + 3 * DAY),  # a working day: Monday
        ("KEY_TASK", FRIDAY + 3 * DAY),
    ],
)
def test_how_soon_departments_must_be_there_depends_on_what_it_is(kind: str, due: datetime) -> None:
    assert signed().when(blow(kind=kind, at=FRIDAY)).decided()[0].report_due_at == due


@pytest.mark.parametrize("unit_id", [None, HOUSING, "110105"])
def test_only_the_lead_unit_whistles_and_lets_go(unit_id: str | None) -> None:
    for command in (blow(by=STREET._replace(unit_id=unit_id)), let_go(by=STREET._replace(unit_id=unit_id))):
        with pytest.raises(NotYours):
            signed(BLOWN).when(command).decided()


@pytest.mark.parametrize("unit_type", [one for one in UnitType if one is not UnitType.STREET_TOWN])
def test_only_streets_and_towns_whistle(unit_type: UnitType) -> None:
    to_another = DISPATCHED.model_copy(update={"unit_type": unit_type})
    given(ORDER, PROPOSED, to_another, SIGNED).when(blow()).then_refused("ONLY_STREETS_WHISTLE")


def test_nobody_whistles_for_oneself() -> None:
    signed().when(blow(HOUSING, TOWN.unit_id)).then_refused("WHISTLE_FOR_ONESELF")


def test_a_department_reports_in_once() -> None:
    signed(BLOWN).when(report()).then(REPORTED)
    signed(BLOWN, REPORTED).when(report()).then()
    signed(BLOWN, REPORTED).when(report(refused=True, reason="x")).then()


def test_a_report_after_its_time_counts_and_is_marked_late() -> None:
    due = BLOWN.report_due_at
    for at, late in ((due, False), (due + MOMENT, True)):
        assert signed(BLOWN).when(report(at=at)).decided()[0].late is late


def test_a_department_that_does_not_come_says_why() -> None:
    for reason in (None, ""):
        signed(BLOWN).when(report(FIRE, refused=True, reason=reason)).then_refused("REASON_NEEDED")
    signed(BLOWN).when(report(FIRE, refused=True, reason="不属消防职责")).then(REFUSED)


def test_without_a_number_the_last_whistle_that_called_the_department_is_meant() -> None:
    both = signed(BLOWN, SECOND)
    assert [both.when(report(unit)).decided()[0].number for unit in (HOUSING, FIRE)] == [1, 2]
    assert both.when(report(FIRE, 1)).decided()[0].number == 1


@pytest.mark.parametrize("command", [report("bj-gas"), report(None), report(HOUSING, 2), part_done("bj-gas")])
def test_a_department_that_was_not_called_finds_nothing(command: Command) -> None:
    with pytest.raises(NotYours):
        signed(BLOWN, SECOND).when(command).decided()


def test_a_department_closes_its_part_once_and_only_after_it_has_reported_in() -> None:
    signed(BLOWN).when(part_done()).then_refused("NOT_REPORTED_IN")
    signed(BLOWN, REPORTED).when(part_done()).then(DONE)
    signed(BLOWN, REPORTED, DONE).when(part_done()).then()
    elsewhere = REPORTED.model_copy(update={"unit_id": FIRE})
    signed(BLOWN, SECOND, elsewhere).when(part_done(FIRE, 2)).then_refused("NOT_REPORTED_IN")


@pytest.mark.parametrize(
    ("said", "absent"),
    [((), (HOUSING, FIRE)), ((REPORTED,), (FIRE,)), ((REPORTED, REFUSED), ())],
)
def test_closing_a_whistle_names_who_never_answered(said: tuple[Payload, ...], absent: tuple[str, ...]) -> None:
    spec = signed(BLOWN, *said).when(let_go())
    spec.then(CLOSED.model_copy(update={"absent": absent}))
    assert spec.state_after().called == frozenset()


def test_the_street_says_whether_the_whistle_was_justified_and_the_matter_solved() -> None:
    closed = signed(BLOWN).when(CloseWhistle(at=AT, actor=STREET, number=1, solved=False, justified=False)).decided()[0]
    assert (closed.solved, closed.justified) == (False, False)


def test_one_whistle_is_closed_and_another_goes_on() -> None:
    spec = signed(BLOWN, SECOND).when(let_go(1))
    assert spec.state_after().called == {FIRE}
    first = signed(BLOWN, SECOND, CLOSED)
    first.when(let_go(1)).then_refused(ILLEGAL)
    assert first.when(let_go()).decided()[0].number == 2
    first.when(report(HOUSING)).then_refused(ILLEGAL)
    first.when(part_done(FIRE)).then_refused(ILLEGAL)
    assert first.when(report(FIRE)).decided()[0].number == 2


def test_a_whistle_moves_neither_owner_nor_clock() -> None:
    before = signed().state
    after = signed(BLOWN, REPORTED, REFUSED, DONE, CLOSED).state
    assert (after.state, after.lead_unit, after.due_at, after.running) == (
        before.state,
        before.lead_unit,
        before.due_at,
        True,
    )


@pytest.mark.parametrize("level", ["DISTRICT", "MUNICIPAL", "LINE_AUTHORITY"])
def test_what_is_beyond_a_units_power_goes_up(level: str) -> None:
    escalate = Escalate(at=AT, actor=STREET, level=level, reason="超出权限")  # type: ignore[arg-type]
    signed().when(escalate).then(OrderEscalated(level=level, reason="超出权限"))


def test_handling_may_be_watched_from_dispatch_to_the_end() -> None:
    for history in ((), (SIGNED,), (EXPIRED,)):
        spec = given(ORDER, PROPOSED, DISPATCHED, *history).when(Supervise(at=AT, reason="长期未解决"))
        spec.then(SupervisionOpened(reason="长期未解决"))


def silent(at: datetime = AT + DAY) -> NoteReportInOverdue:
    return NoteReportInOverdue(at=at)


def test_departments_that_say_nothing_are_named_exactly_when_their_time_is_over_and_once() -> None:
    signed(BLOWN).when(silent(AT + DAY - MOMENT)).then()
    signed(BLOWN).when(silent()).then(SILENT)
    signed(BLOWN, SILENT).when(silent(AT + 9 * DAY)).then()


def test_only_departments_that_have_not_said_a_word_are_named() -> None:
    signed(BLOWN, REPORTED).when(silent()).then(SILENT.model_copy(update={"absent": (FIRE,)}))
    signed(BLOWN, REFUSED).when(silent()).then(SILENT.model_copy(update={"absent": (HOUSING,)}))
    signed(BLOWN, REPORTED, REFUSED).when(silent()).then()


def test_nobody_is_missed_once_the_whistle_is_closed_or_the_order_has_ended() -> None:
    signed(BLOWN, CLOSED).when(silent()).then()
    signed(BLOWN, OrderEnded(outcome=CaseState.CLOSED)).when(silent()).then()


@pytest.mark.parametrize("after", [EXPIRED, LedgerOpened(review_on=AT + 30 * DAY, seconds_left=60, round=1)])
def test_departments_are_missed_while_the_handling_clock_stands_too(after: Payload) -> None:
    signed(BLOWN, after).when(silent()).then(SILENT)


def test_each_whistle_has_a_time_and_departments_of_its_own() -> None:
    later = SECOND.model_copy(update={"report_due_at": AT + 2 * DAY})
    missed = ReportInOverdue(number=2, absent=(FIRE,), report_due_at=AT + 2 * DAY)
    signed(BLOWN, later).when(silent()).then(SILENT)
    signed(BLOWN, later, SILENT).when(silent(AT + 2 * DAY)).then(missed)
    signed(BLOWN, later).when(silent(AT + 2 * DAY)).then(SILENT, missed)
    signed(BLOWN, later, CLOSED).when(silent(AT + 2 * DAY)).then(missed)


def test_whoever_was_missed_may_still_come_and_is_late() -> None:
    spec = signed(BLOWN, SILENT).when(report(FIRE, at=AT + 2 * DAY))
    assert [(one.unit_id, one.late) for one in spec.decided()] == [(FIRE, True)]
    signed(BLOWN, SILENT).when(let_go()).then(CLOSED.model_copy(update={"absent": (HOUSING, FIRE)}))


def test_co_units_work_on_it_until_the_end_and_a_whistle_calls_others_beside_them() -> None:
    together = DISPATCHED.model_copy(update={"co_units": ("bj-gas",)})
    assert given(ORDER, PROPOSED, together).state.called == {"bj-gas"}
    assert given(ORDER, PROPOSED, together, SIGNED, BLOWN).state.called == {"bj-gas", HOUSING, FIRE}
    assert given(ORDER, PROPOSED, together, SIGNED, BLOWN, CLOSED).state.called == {"bj-gas"}
    again = given(ORDER, PROPOSED, together, EXPIRED).when(Redispatch(at=AT, round=1, limits=LIMITS))
    again.then(dispatched(2).model_copy(update={"co_units": ("bj-gas",)}))
    assert again.state_after().called == {"bj-gas"}


def test_nobody_watches_themselves() -> None:
    signed().when(Supervise(at=AT, actor=STREET, reason="x")).then_refused("OWN_CASE")
    assert signed().when(Supervise(at=AT, actor=STREET._replace(unit_id="110105"), reason="x")).decided()


ON_LEDGER = LedgerOpened(plan="明年改造", review_on=AT + 30 * DAY, seconds_left=60, round=1)
HISTORIES: dict[str, tuple[Payload, ...]] = {
    "unknown": (),
    "proposed": (PROPOSED,),
    "dispatched": (PROPOSED, DISPATCHED),
    "signed": (PROPOSED, DISPATCHED, SIGNED),
    "whistled": (PROPOSED, DISPATCHED, SIGNED, BLOWN, REPORTED),
    "on the ledger": (PROPOSED, DISPATCHED, SIGNED, ON_LEDGER),
    "expired": (PROPOSED, DISPATCHED, SIGNED, EXPIRED),
    "ended": (PROPOSED, DISPATCHED, SIGNED, OrderEnded(outcome=CaseState.CLOSED)),
}
COMMANDS: dict[str, Command] = {
    "whistle": blow(FIRE),
    "report in": report(FIRE),
    "close part": part_done(),
    "let go": let_go(),
    "escalate": Escalate(at=AT, actor=STREET, level="DISTRICT", reason="x"),
    "supervise": Supervise(at=AT, reason="x"),
    "report-in overdue": silent(),
}
NEVER = dict.fromkeys(COMMANDS, ILLEGAL) | dict.fromkeys(("report in", "close part"), NOT_YOURS)
NEVER |= {"report-in overdue": NOTHING}
WATCHED = NEVER | {"supervise": "SupervisionOpened"}
IN_HAND = WATCHED | {"whistle": "WhistleBlown", "escalate": "OrderEscalated"}
EXPECTED = {
    "unknown": dict.fromkeys(COMMANDS, NOT_YOURS) | {"report-in overdue": NOTHING},
    "proposed": NEVER | {"let go": NOT_YOURS},
    "dispatched": WATCHED,
    "signed": IN_HAND,
    "whistled": IN_HAND
    | {"report in": "DepartmentReported", "close part": "SubtaskClosed", "let go": "WhistleClosed"}
    | {"report-in overdue": "ReportInOverdue"},
    "on the ledger": IN_HAND,
    "expired": WATCHED,
    "ended": NEVER,
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_word_between_units_in_every_state_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(ORDER, HISTORIES[state], COMMANDS[command]) == follows
