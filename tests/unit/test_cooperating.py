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
    ReportIn,
    Supervise,
)
from services.routing_service.order import ORDER
from shared.contracts.codes import CaseState, UnitType
from shared.contracts.envelope import Actor, Payload
from shared.contracts.routing import (
    DepartmentReported,
    LedgerOpened,
    OrderEnded,
    OrderEscalated,
    SubtaskClosed,
    SupervisionOpened,
    WhistleBlown,
    WhistleClosed,
)
from shared.engine.decider import Command, NotYours
from tests.support.spec import Spec, given
from tests.unit.pairs import ILLEGAL, NOT_YOURS, every_pair, outcome
from tests.unit.test_order import AT, DISPATCHED, EXPIRED, LIMITS, MOMENT, PROPOSED, SIGNED, TOWN

DAY = timedelta(days=1)
FRIDAY = datetime.fromisoformat("2026-11-27T16:00+08:00")
STREET = Actor("STREET_HANDLER", TOWN.unit_id, "wang")
HOUSING, FIRE = "bj-housing", "bj-fire"
BLOWN = WhistleBlown(number=1, kind="APPEAL", departments=(HOUSING, FIRE), reason="群租隐患", report_due_at=AT + DAY)
SECOND = BLOWN.model_copy(update={"number": 2, "departments": (FIRE,)})
REPORTED = DepartmentReported(number=1, unit_id=HOUSING, refused=False, reason=None, late=False)
REFUSED = DepartmentReported(number=1, unit_id=FIRE, refused=True, reason="不属消防职责", late=False)
DONE = SubtaskClosed(number=1, unit_id=HOUSING, solved=True, result="已整改")
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
    signed().when(escalate).then(OrderEscalated(level=level, reason="超出权限"))  # type: ignore[arg-type]


def test_handling_may_be_watched_from_dispatch_to_the_end() -> None:
    for history in ((), (SIGNED,), (EXPIRED,)):
        spec = given(ORDER, PROPOSED, DISPATCHED, *history).when(Supervise(at=AT, reason="长期未解决"))
        spec.then(SupervisionOpened(reason="长期未解决"))


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
}
NEVER = dict.fromkeys(COMMANDS, ILLEGAL) | dict.fromkeys(("report in", "close part"), NOT_YOURS)
WATCHED = NEVER | {"supervise": "SupervisionOpened"}
IN_HAND = WATCHED | {"whistle": "WhistleBlown", "escalate": "OrderEscalated"}
EXPECTED = {
    "unknown": dict.fromkeys(COMMANDS, NOT_YOURS),
    "proposed": NEVER | {"let go": NOT_YOURS},
    "dispatched": WATCHED,
    "signed": IN_HAND,
    "whistled": IN_HAND | {"report in": "DepartmentReported", "close part": "SubtaskClosed", "let go": "WhistleClosed"},
    "on the ledger": IN_HAND,
    "expired": WATCHED,
    "ended": NEVER,
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_word_between_units_in_every_state_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(ORDER, HISTORIES[state], COMMANDS[command]) == follows
