"""A past, invented: what routing and feedback would have recorded over months, for scoring to be tried on.

Every life is drawn from a seed: streets differ in how well they work, matters in how hard they are. Only the events
that assessment reads are written, as their services would have written them; scoring reads, reacts and counts as ever.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.contracts.codes import (
    CallbackMethod,
    ContactOutcome,
    Satisfaction,
    UnitType,
    Urgency,
)
from shared.contracts.derivation import Derivation
from shared.contracts.duties import UnitRegistered
from shared.contracts.envelope import Actor, Payload
from shared.contracts.feedback import AppellantContacted, CallbackInvalidated, CallbackRecorded
from shared.contracts.routing import HandlingCompleted, HandlingLimitExpired, OrderDispatched, OrderSigned, SignOverdue
from shared.engine.decider import Command, Decider
from shared.engine.execute import Intention, Loaded
from shared.engine.runtime import Running
from shared.eventlog.log import Append

WRITERS = 64
CHRONICLER = Actor("SIMULATION")
DISTRICTS = 16
ROUNDS = 3
KEY = "past"
"""What seals words about these lives: they are nobody's."""
MATTERS = (
    ("供水", 0.97),
    ("供暖", 0.90),
    ("噪音扰民", 0.78),
    ("违法建设", 0.66),
    ("停车管理", 0.74),
    ("环境卫生", 0.95),
)
"""Categories, each with the share that an average street solves."""
Told = tuple[datetime, Payload]


@dataclass(frozen=True)
class Street:
    """One street or town. `skill` is added to what an average one would solve."""

    unit_id: str
    district: str
    skill: float


@dataclass(frozen=True)
class Past:
    """From when to when appeals came, how many, in how many streets, by which seed. Nothing happens later."""

    begins: datetime
    ends: datetime
    lives: int
    streets: int
    seed: int = 1

    @property
    def units(self) -> list[Street]:
        chance = random.Random(f"{self.seed}:streets")
        districts = [f"lab-{number:02d}" for number in range(1, min(DISTRICTS, self.streets) + 1)]
        names = [(f"{districts[n % len(districts)]}-{n // len(districts) + 1:02d}", n) for n in range(self.streets)]
        return [Street(name, districts[n % len(districts)], chance.gauss(0, 0.06)) for name, n in names]


def tree(past: Past) -> Iterator[tuple[str, UnitRegistered]]:
    """The organisation: districts, and the streets and towns under them."""
    for district in sorted({street.district for street in past.units}):
        name = f"第{int(district[4:])}区"
        yield district, UnitRegistered(unit_id=district, name=name, name_en=district, unit_type=UnitType.DISTRICT)
    for street in past.units:
        yield street.unit_id, UnitRegistered(
            unit_id=street.unit_id, name=f"{street.unit_id[4:]}街道", name_en=street.unit_id,
            unit_type=UnitType.STREET_TOWN, parent_id=street.district,
        )  # fmt: skip


def life(past: Past, number: int, streets: Sequence[Street]) -> tuple[str, list[Told], list[Told]]:
    """One appeal: its id, and what routing and feedback recorded of it, in order."""
    chance = random.Random(f"{past.seed}:{number}")
    appeal_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    at = past.begins + (past.ends - past.begins) * chance.random()
    street, (category, solved) = chance.choice(streets), chance.choice(MATTERS)
    about = {"ticket_no": f"{at:%Y%m%d}-{number % 10_000_000:07d}", "registered_at": at, "cc_district": street.district}
    orders: list[Told] = []
    cases: list[Told] = []
    moment = at + timedelta(minutes=5)
    for round_ in range(1, ROUNDS + 1):
        sent, due = moment, moment + timedelta(days=7)
        orders.append((sent, _dispatch(about, street, category, round_, sent, due)))
        late = chance.random() < 0.05
        orders += _signed(street, round_, sent, late)
        cases.append((sent + timedelta(hours=3), _contact(chance, round_, sent + timedelta(hours=3))))
        in_time = chance.random() < 0.96
        ended = due if not in_time else sent + timedelta(days=1 + 5 * chance.random())
        orders.append((ended, _ending(street, round_, due, in_time)))
        moment = ended + timedelta(hours=6)
        good = chance.random() < min(0.995, solved + street.skill)
        if chance.random() < 0.06:
            cases.append((moment, _unreachable(about, street, round_)))
            break
        again = not good and round_ < ROUNDS and chance.random() < 0.5
        cases.append((moment, _verdict(chance, about, street, round_, good, again)))
        if not again:
            break
    return appeal_id, _until(past.ends, orders), _until(past.ends, cases)


def _until(end: datetime, told: Sequence[Told]) -> list[Told]:
    return [one for one in told if one[0] <= end]


def _dispatch(
    about: Mapping[str, Any], street: Street, category: str, round_: int, sent: datetime, due: datetime
) -> OrderDispatched:
    hard = category == "违法建设"
    tier = Urgency.COMPLEX if hard else Urgency.GENERAL
    rule = Derivation(
        tier=tier,
        limit="P7D",
        calendar="NATURAL",
        clock_start="DISPATCH",
        started_at=sent,
        policy="lab",
        source="invented",
    )
    return OrderDispatched(
        **about, subject_key=KEY, identity_hidden=False, lead_unit=street.unit_id, lead_unit_name=street.unit_id,
        unit_type=UnitType.STREET_TOWN, tier=tier, round=round_, due_at=due, sign_due_at=sent + timedelta(hours=2),
        due_derivation=rule, by_hand=False, category=category,
    )  # fmt: skip


def _signed(street: Street, round_: int, sent: datetime, late: bool) -> list[Told]:
    due = sent + timedelta(hours=2)
    overdue: list[Told] = [(due, SignOverdue(unit_id=street.unit_id, round=round_, due_at=due))] if late else []
    at = due + timedelta(minutes=30) if late else sent + timedelta(minutes=30)
    return [*overdue, (at, OrderSigned(unit_id=street.unit_id, round=round_))]


def _contact(chance: random.Random, round_: int, at: datetime) -> AppellantContacted:
    return AppellantContacted(
        channel="PHONE", outcome=ContactOutcome.REACHED, at=at, round=round_, response_seconds=10_800,
        in_time=chance.random() < 0.97,
    )  # fmt: skip


def _ending(street: Street, round_: int, due: datetime, in_time: bool) -> Payload:
    if in_time:
        return HandlingCompleted(round=round_)
    return HandlingLimitExpired(unit_id=street.unit_id, round=round_, due_at=due)


def _verdict(
    chance: random.Random, about: Mapping[str, Any], street: Street, round_: int, good: bool, again: bool
) -> CallbackRecorded:
    drawn = chance.random()
    liked = Satisfaction.SATISFIED if drawn < 0.85 else Satisfaction.BASICALLY_SATISFIED
    said = liked if good else Satisfaction.DISSATISFIED if drawn < 0.7 else Satisfaction.NOT_STATED
    return CallbackRecorded(
        **about, lead_unit=street.unit_id, unit_type=UnitType.STREET_TOWN, round=round_, valid=True,
        contacted=chance.random() < 0.985, resolved=good, satisfaction=said, method=CallbackMethod.PHONE,
        next_state="REWORK" if again else "CLOSED",
    )  # fmt: skip


def _unreachable(about: Mapping[str, Any], street: Street, round_: int) -> CallbackInvalidated:
    return CallbackInvalidated(
        **about, lead_unit=street.unit_id, unit_type=UnitType.STREET_TOWN, round=round_, attempts=2, policy="lab"
    )


@dataclass(frozen=True, kw_only=True)
class Note(Command):
    """Write this down as it is."""

    payload: Payload


def _as_it_is(category: str) -> Decider[None]:
    return Decider(category, None, lambda command, _: [command.payload], lambda state, _: state)  # type: ignore[attr-defined]


ORDER, CASE, UNIT = _as_it_is("order"), _as_it_is("case"), _as_it_is("unit")


async def write(past: Past, routing: Running, feedback: Running, progress: Callable[[int, int], None]) -> None:
    """The tree first, then life by life; some at a time."""
    await routing.keyring.pin(KEY)
    for unit_id, payload in tree(past):
        await _append(routing, UNIT, unit_id, [(past.begins, payload)])
    streets, done = past.units, 0
    numbers = iter(range(past.lives))

    async def some() -> None:
        nonlocal done
        for number in numbers:
            appeal_id, orders, cases = life(past, number, streets)
            await _append(routing, ORDER, appeal_id, orders)
            await _append(feedback, CASE, appeal_id, cases)
            done += 1
            if done % 100 == 0 or done == past.lives:
                progress(done, past.lives)

    async with asyncio.TaskGroup() as writers:
        for _ in range(WRITERS):
            writers.create_task(some())


async def _append(running: Running, decider: Decider[None], subject: str, told: Sequence[Told]) -> None:
    loaded: Loaded[None] = Loaded(None)
    entries: list[Any] = []
    for at, payload in told:
        intention = Intention(decider, subject, Note(at=at, actor=CHRONICLER, payload=payload), fresh=True)
        decision = await running.executor.decide(intention, loaded)
        loaded = Loaded(None, decision.version, decision.envelopes[-1].time)
        entries += decision.entries
    if entries:
        await running.log.append(Append(decider.stream(subject), subject, 0, entries))
