"""Whatever is asked of an order, in any sequence: one unit leads, its time is never cut short, and an end is an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import product
from typing import NamedTuple

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from services.routing_service import climbing, contesting, cooperating, postponing
from services.routing_service import order as order_module
from services.routing_service.climbing import (
    EscalateByItself,
    HandOver,
    NoteDispatchOverdue,
    NoteUrged,
    Remind,
    SuperviseByItself,
)
from services.routing_service.contesting import (
    CloseConsultation,
    NoteObjectionReviewOverdue,
    Object,
    OpenConsultation,
    Reject,
    Uphold,
)
from services.routing_service.cooperating import (
    BlowWhistle,
    CloseSubtask,
    CloseWhistle,
    Escalate,
    NoteReportInOverdue,
    ReportIn,
    Supervise,
)
from services.routing_service.jurisdiction import Unit
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
)
from services.routing_service.postponing import (
    AskExtension,
    CloseLedger,
    CorrectDueTime,
    DenyExtension,
    GrantExtension,
    NoteAnswerOverdue,
    NoteReviewOverdue,
    PutOnLedger,
    ReviewLedger,
)
from services.routing_service.state import ENDED, Order
from shared.contracts.codes import CaseState, UnitType, Urgency
from shared.contracts.envelope import Actor, Payload
from shared.contracts.routing import HandlingLimitExpired, ObjectionUpheld, OrderDispatched, OrderEnded
from shared.engine.decider import Command, NotYours, Refused
from tests.unit.test_order import AT, COMMUNITY, LIMITS, POWER, PROPOSED, TOWN

STREET = Unit("110105025", "大屯街道", "", UnitType.STREET_TOWN, "110105")
UNITS = (TOWN, STREET, POWER, COMMUNITY)
LENGTHS = [timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=6), timedelta(days=40)]


TURNING = {End, Redispatch, StopClock, NoteLimitExpired, Supervise, Escalate}
"""What is nearly always possible happens less often, so that orders live long enough for the rest."""


class Step(NamedTuple):
    """What happens next: how long after the last thing, about which unit, and which of all that is possible."""

    gap: timedelta
    unit: Unit
    length: timedelta
    right: bool
    tier: Urgency
    pick: int
    turns: bool


class Asked(NamedTuple):
    """A step against the order as it is then: numbers and days that could be right, mostly."""

    at: datetime
    actor: Actor
    unit: Unit
    number: int
    day: datetime
    yes: bool
    tier: Urgency


ALL: dict[type[Command], Callable[[Asked], Command]] = {
    Propose: lambda d: Propose(at=d.at, facts=PROPOSED),
    DispatchAsProposed: lambda d: DispatchAsProposed(at=d.at, limits=LIMITS),
    DispatchByHand: lambda d: DispatchByHand(
        at=d.at, unit=d.unit, tier=d.tier, cc_district=None, reason="x" if d.yes else None, limits=LIMITS
    ),
    Sign: lambda d: Sign(at=d.at, unit_id=d.actor.unit_id),
    NoteSignOverdue: lambda d: NoteSignOverdue(at=d.at, limits=LIMITS),
    NoteObjectionReviewOverdue: lambda d: NoteObjectionReviewOverdue(at=d.at),
    NoteAnswerOverdue: lambda d: NoteAnswerOverdue(at=d.at),
    NoteReportInOverdue: lambda d: NoteReportInOverdue(at=d.at),
    CorrectDueTime: lambda d: CorrectDueTime(at=d.at, limits=LIMITS),
    NoteDispatchOverdue: lambda d: NoteDispatchOverdue(at=d.at),
    Remind: lambda d: Remind(at=d.at),
    NoteUrged: lambda d: NoteUrged(at=d.at, number=d.number, limits=LIMITS),
    SuperviseByItself: lambda d: SuperviseByItself(at=d.at),
    EscalateByItself: lambda d: EscalateByItself(at=d.at),
    HandOver: lambda d: HandOver(at=d.at, actor=d.actor, officer="officer" if d.yes else None),
    NoteLimitExpired: lambda d: NoteLimitExpired(at=d.at),
    StopClock: lambda d: StopClock(at=d.at, round=d.number),
    Redispatch: lambda d: Redispatch(at=d.at, round=d.number, limits=LIMITS),
    End: lambda d: End(at=d.at, outcome=CaseState.WITHDRAWN if d.yes else CaseState.CLOSED),
    OpenConsultation: lambda d: OpenConsultation(at=d.at, participants=(d.unit.unit_id,), reason=None),
    CloseConsultation: lambda d: CloseConsultation(at=d.at, unit=d.unit, decision="x", limits=LIMITS),
    Object: lambda d: Object(
        at=d.at,
        unit_id=d.actor.unit_id,
        ground="DUTY",
        reason="x",
        limits=LIMITS,
        proposed_unit=d.unit.unit_id if d.yes else None,
    ),
    Uphold: lambda d: Uphold(at=d.at, actor=d.actor, unit=d.unit, reason="x", limits=LIMITS),
    Reject: lambda d: Reject(at=d.at, actor=d.actor, reason="x"),
    AskExtension: lambda d: AskExtension(at=d.at, unit_id=d.actor.unit_id, until=d.day, reason="x", limits=LIMITS),
    GrantExtension: lambda d: GrantExtension(at=d.at, actor=d.actor, limits=LIMITS),
    DenyExtension: lambda d: DenyExtension(at=d.at, actor=d.actor, reason="x"),
    PutOnLedger: lambda d: PutOnLedger(at=d.at, actor=d.actor, plan="x", review_on=d.day, limits=LIMITS),
    ReviewLedger: lambda d: ReviewLedger(at=d.at, actor=d.actor, finding="x", review_on=d.day, limits=LIMITS),
    CloseLedger: lambda d: CloseLedger(at=d.at, actor=d.actor, reason="x"),
    NoteReviewOverdue: lambda d: NoteReviewOverdue(at=d.at),
    BlowWhistle: lambda d: BlowWhistle(
        at=d.at, actor=d.actor, kind="APPEAL", departments=(d.unit.unit_id,), reason="x", limits=LIMITS
    ),
    ReportIn: lambda d: ReportIn(at=d.at, actor=d.actor, number=d.number, refused=d.yes, reason="x"),
    CloseSubtask: lambda d: CloseSubtask(at=d.at, actor=d.actor, number=d.number, solved=d.yes, result="x"),
    CloseWhistle: lambda d: CloseWhistle(at=d.at, actor=d.actor, number=d.number, solved=d.yes, justified=d.yes),
    Escalate: lambda d: Escalate(at=d.at, actor=d.actor, level="DISTRICT", reason="x"),
    Supervise: lambda d: Supervise(at=d.at, actor=d.actor, reason="x"),
}


steps = st.builds(
    Step,
    gap=st.sampled_from([timedelta(), timedelta(), *LENGTHS]),
    unit=st.sampled_from(UNITS),
    length=st.sampled_from(LENGTHS),
    right=st.sampled_from([True, True, False]),
    tier=st.sampled_from(list(Urgency)),
    pick=st.integers(0, 99),
    turns=st.sampled_from([False] * 7 + [True]),
)


class Turn(NamedTuple):
    """What may happen at one moment, the order before and after, and all that happened before."""

    command: type[Command]
    at: datetime
    past: Sequence[Payload]
    before: Order
    events: Sequence[Payload]
    after: Order


def possible(step: Step, past: Sequence[Payload], at: datetime) -> Iterator[Turn]:
    """Everything that is not refused, whether the lead unit, a reviewer or the unit of this step asks for it."""
    order = ORDER.fold(past)
    number = max(order.round, 1) if step.right else 2
    day = (order.due_at if step.right and order.due_at else at) + step.length
    for kind, who in product(ALL, (order.lead_unit, "bj-reviewer", step.unit.unit_id)):
        asked = Asked(at, Actor("R", who, who), step.unit, number, day, step.right, step.tier)
        with suppress(Refused, NotYours):
            if events := ORDER.decide(ALL[kind](asked), order):
                yield Turn(kind, at, past, order, events, ORDER.fold(events, order))


def life(asked: Sequence[Step]) -> Iterator[Turn]:
    """At each step everything that could happen; one of these things does."""
    past, at = [PROPOSED], AT
    for step in asked:
        at += step.gap
        turns = list(possible(step, past, at))
        yield from turns
        by_kind = {turn.command: turn for turn in turns if (turn.command in TURNING) is step.turns}
        follows = list(by_kind.values())
        past = [*past, *follows[step.pick % len(follows)].events] if follows else past


lives = given(st.lists(steps, min_size=15, max_size=40))
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)  # to explain a failure takes minutes
often = settings(max_examples=100, deadline=None, phases=PHASES)


def of(kind: type[Payload], turn: Turn) -> list[Payload]:
    return [event for event in turn.events if isinstance(event, kind)]


def test_every_command_of_an_order_takes_part() -> None:
    named = [
        one for module in (order_module, climbing, contesting, cooperating, postponing) for one in vars(module).values()
    ]
    commands = {one for one in named if isinstance(one, type) and issubclass(one, Command)} - {Command}
    assert commands == ALL.keys()


@often
@lives
def test_from_the_first_dispatch_on_exactly_one_unit_leads_and_another_only_after_an_objection(
    asked: list[Step],
) -> None:
    for turn in life(asked):
        before, after = turn.before.lead_unit, turn.after.lead_unit
        sent = [event.lead_unit for event in of(OrderDispatched, turn)]
        assert len(sent) <= 1 and after == (sent[0] if sent else before) != COMMUNITY.unit_id
        assert before in (None, after) or [event.to_unit for event in of(ObjectionUpheld, turn)] == [after]


@often
@lives
def test_a_round_follows_its_predecessor_and_within_it_a_due_time_never_comes_nearer(asked: list[Step]) -> None:
    for turn in life(asked):
        before, after = turn.before, turn.after
        assert after.round - before.round in (0, 1)
        if after.round == before.round > 0 and not of(ObjectionUpheld, turn):
            assert before.due_at <= after.due_at


@often
@lives
def test_nothing_happens_after_an_end(asked: list[Step]) -> None:
    for turn in life(asked):
        assert turn.before.state not in ENDED or not turn.events
        assert (turn.after.state in ENDED) is (turn.before.state in ENDED or bool(of(OrderEnded, turn)))


@often
@lives
def test_the_limit_expires_at_most_once_in_a_round_and_never_before_it_is_due(asked: list[Step]) -> None:
    for turn in life(asked):
        for event in of(HandlingLimitExpired, turn):
            assert event.due_at == turn.before.due_at <= turn.at and turn.before.running
            assert event.round not in [one.round for one in turn.past if isinstance(one, HandlingLimitExpired)]
