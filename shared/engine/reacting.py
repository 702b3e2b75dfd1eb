"""Reactions: events of neighbours become commands here, in the transaction that moves the cursor.

A reaction is a pure function (event, world) -> intentions; it is never replayed by a rebuild. When its command is
refused or the event cannot be read, the event is parked and its subject waits; three such events in a row about
different subjects mean that we are wrong, not the data, and the consumer stops.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from cryptography.exceptions import InvalidTag
from pydantic import ValidationError

from shared.contracts.envelope import Envelope, Payload
from shared.contracts.upcasters import UnknownEvent, UnknownVersion, current, payload_of
from shared.engine.clock import Clock
from shared.engine.decider import NotYours, Refused
from shared.engine.execute import Executor, Intention, Within
from shared.engine.objects import Objects
from shared.engine.parking import BEHIND, HOLD_CURSORS, TAKE_PARKED, park, subjects_waiting
from shared.engine.telemetry import SKIPPED
from shared.engine.tracing import span
from shared.eventlog.log import Recorded
from shared.eventlog.postgres import Connection
from shared.eventlog.sealing import SubjectErased, personal_paths, sealed_refs, unseal_data

PARKED_IN_A_ROW = 3
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Heard:
    """An event of a neighbour (or our own), decoded; personal texts are open where the reaction asked for them."""

    envelope: Envelope
    payload: Any

    @property
    def subject(self) -> str:
        return self.envelope.subject


React = Callable[[Heard, Any], Sequence[Intention[Any]]]
World = Callable[[Connection, datetime, Objects], Awaitable[Any]]


@dataclass(frozen=True)
class Reactions:
    """What a service does when it hears of something. `world` loads the reference data that reactions may look at."""

    table: Mapping[type[Payload], React]
    world: World | None = None
    opens: frozenset[type[Payload]] = frozenset()

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(sorted({payload.OF for payload in self.table}))


class TooManyParked(Exception):
    """Several events in a row could not be handled; look at `jiesu parked list` before starting again."""


class StillParked(Exception):
    """A parked event could not be handled this time either."""


class Reacting:
    """The handler of the consumer that carries out a service's reactions on one source."""

    def __init__(
        self, consumer: str, source: str, reactions: Reactions, executor: Executor, clock: Clock, objects: Objects
    ) -> None:
        self._consumer, self._source = consumer, source
        self._by_type = {payload.event_type(): react for payload, react in reactions.table.items()}
        self._opens = {payload.event_type() for payload in reactions.opens}
        self._reads_world, self._objects = reactions.world, objects
        self._executor, self._clock = executor, clock
        self._parked_in_a_row: list[str] = []

    async def __call__(self, connection: Connection, events: Sequence[Recorded]) -> None:
        heard = [(event, _decoded(event)) for event in events]
        subjects = [_subject(event, envelope) for event, envelope in heard]
        waiting = await subjects_waiting(connection, self._consumer, subjects)
        world = await self._world(connection)
        within = self._executor.within(connection)
        plans = [await self._plan(envelope, world) for _, envelope in heard]
        await within.load([intention for plan in plans if not isinstance(plan, str) for intention in plan])
        for event, subject, plan in zip(events, subjects, plans, strict=True):
            reason = await self._handle(within, plan, subject in waiting)
            if reason is None and plan:
                self._parked_in_a_row.clear()
            if reason is not None:
                await self._park(connection, event, subject, reason)
                waiting.add(subject)
        await within.append()

    async def _world(self, connection: Connection) -> Any:
        return await self._reads_world(connection, self._clock.now(), self._objects) if self._reads_world else None

    async def _handle(self, within: Within, plan: Sequence[Intention[Any]] | str, behind: bool) -> str | None:
        """Carry a plan out; answers with the reason when the event must be parked."""
        if behind:
            return BEHIND
        if isinstance(plan, str):
            return plan
        if not plan:
            return None
        cause = plan[0].cause
        with span(f"react to {cause.type}" if cause else "react", cause.traceparent if cause else None):
            return await self._carry_out(within, plan)

    async def _plan(self, envelope: Envelope | None, world: Any) -> Sequence[Intention[Any]] | str:
        """The intentions that follow from an event, or the reason why it cannot be read."""
        if envelope is None:
            return "unreadable: not an event"
        try:
            type_, _ = current(envelope.type, envelope.data)
            react = self._by_type.get(type_)
            return react(await self._heard(envelope), world) if react else ()
        except UnknownEvent:
            SKIPPED.labels(self._consumer).inc()
            return ()
        except (UnknownVersion, ValidationError, ValueError, KeyError, TypeError, InvalidTag) as error:
            return f"unreadable: {type(error).__name__}"

    async def _heard(self, envelope: Envelope) -> Heard:
        data = envelope.data
        if envelope.type in self._opens and personal_paths(envelope.type):
            await self._executor.keyring.load(sealed_refs(envelope.type, data))
            place = f"{envelope.stream}/{envelope.id}"
            data = unseal_data(self._executor.keyring, envelope.type, data, place)
        return Heard(envelope, payload_of(envelope.type, data))

    async def _carry_out(self, within: Within, plan: Sequence[Intention[Any]]) -> str | None:
        try:
            await within.decide(plan)
        except Refused as refusal:
            return f"refused: {refusal.code}"
        except (NotYours, SubjectErased) as error:
            return f"refused: {type(error).__name__}"
        return None

    async def _park(self, connection: Connection, event: Recorded, subject: str, reason: str) -> None:
        await park(connection, self._consumer, self._source, event, subject, reason)
        where = f"{self._source}/{event.partition}:{event.position}"
        log.warning("parked", consumer=self._consumer, subject=subject, at=where, reason=reason)
        if reason != BEHIND and subject not in self._parked_in_a_row:
            self._parked_in_a_row.append(subject)
        if len(self._parked_in_a_row) >= PARKED_IN_A_ROW:
            raise TooManyParked(f"{self._consumer} on {self._source}: {', '.join(self._parked_in_a_row)}")

    async def replay(self, connection: Connection, subject: str) -> int:
        """Hand everything parked for a subject to the reactions again, in order. Raises StillParked, changes nothing.

        The caller's transaction holds the effect and the removal of the parked rows; meanwhile the consumer waits.
        """
        await connection.execute(HOLD_CURSORS, self._consumer, self._source, subject)
        rows = await connection.fetch(TAKE_PARKED, self._consumer, self._source, subject)
        events = [Recorded(row["partition"], row["sequence"], "", 0, "", row["body"]) for row in rows]
        world = await self._world(connection)
        within = self._executor.within(connection)
        for event in events:
            plan = await self._plan(_decoded(event), world)
            if isinstance(plan, str):
                raise StillParked(plan)
            await within.load(plan)
            if reason := await self._carry_out(within, plan):
                raise StillParked(reason)
        await within.append()
        return len(events)


def _decoded(event: Recorded) -> Envelope | None:
    try:
        return event.envelope
    except (ValueError, KeyError, TypeError):
        return None


def _subject(event: Recorded, envelope: Envelope | None) -> str:
    """The subject, or the stream where not even the envelope can be read."""
    return envelope.subject if envelope else event.stream
