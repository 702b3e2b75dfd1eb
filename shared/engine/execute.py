"""How an intention becomes a fact: load, decide, seal, append. The one place that turns events into entries.

Two ways in. `execute` is for a caller who waits for an answer: it goes through the log's group commit. `within`
is for reactions and deadlines, whose events must share a transaction with a cursor row or a claimed deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import structlog

from shared.contracts.envelope import Envelope, Payload
from shared.contracts.upcasters import payload_of
from shared.engine.decider import Command, Decider
from shared.engine.ids import Ids
from shared.engine.telemetry import APPEND_SECONDS
from shared.engine.tracing import current_traceparent
from shared.eventlog.canonical import canonical, leaf_hash
from shared.eventlog.log import Append, Appended, Claim, Entry, Log, Recorded, WrongVersion
from shared.eventlog.postgres import READ_STREAMS, Connection, append_within
from shared.eventlog.sealing import Keyring, holds_personal, seal_data

S = TypeVar("S")
DECISION_ATTEMPTS = 10
"""Of so many that write to one stream at the same moment each gets its turn."""
log = structlog.get_logger()
_ALWAYS = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Intention(Generic[S]):
    """A command for one stream. `subject` is the appeal (or unit, or policy) that it is about.

    `sealed_for` is the key that seals the personal texts; when it is a function it is asked with the state.
    `cause` is the event that a reaction answers to. `guard` may raise NotYours or Refused on the loaded state.
    `expected_version` comes from If-Match and is not retried. `fresh` promises that the stream is new.
    """

    decider: Decider[S]
    subject: str
    command: Command
    sealed_for: str | Callable[[S], str] = ""
    cause: Envelope | None = None
    expected_version: int | None = None
    fresh: bool = False
    guard: Callable[[S], None] | None = None

    @property
    def stream(self) -> str:
        return self.decider.stream(self.subject)


@dataclass(frozen=True)
class Decision(Generic[S]):
    """What a command came to: the state after it, the events (envelopes, sealed) and their exact bytes."""

    state: S
    version: int
    envelopes: Sequence[Envelope] = ()
    entries: Sequence[Entry] = ()
    appended: Appended | None = None


@dataclass
class Loaded(Generic[S]):
    """A stream folded to its state."""

    state: S
    version: int = 0
    last_time: datetime | None = None


Claims = Callable[[Decision[Any]], Sequence[Claim]]


@dataclass
class Executor:
    """Bound to one service's log."""

    source: str
    log: Log
    keyring: Keyring
    ids: Ids
    _types: dict[type[Payload], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._append_seconds = APPEND_SECONDS.labels(self.source.rsplit("/", 1)[-1])

    async def execute(self, intention: Intention[S], claims: Claims | None = None) -> Decision[S]:
        """Commit what the command comes to. Raises Refused, NotYours, WrongVersion, KeyTaken, LogUnavailable.

        Without an expected version a lost race is decided again on the newer state, DECISION_ATTEMPTS times.
        """
        attempts = 1 if intention.expected_version is not None else DECISION_ATTEMPTS
        while True:
            attempts -= 1
            decision = await self.decide(intention, await self.load(intention))
            append = _append(intention, decision, claims(decision) if claims else ())
            if not append.entries and not append.claims:
                return decision
            try:
                with self._append_seconds.time():
                    appended = await self.log.append(append)
            except WrongVersion:
                if attempts == 0:
                    raise
            else:
                return Decision(decision.state, decision.version, decision.envelopes, decision.entries, appended)

    async def onto(self, intention: Intention[S], loaded: Loaded[S]) -> None:
        """Commit what the command comes to on a state that the caller keeps, and bring that up to date.

        For long streams that one process writes. Raises Refused, LogUnavailable; WrongVersion when somebody else wrote.
        """
        decision = await self.decide(intention, loaded)
        if decision.entries:
            await self.log.append(_append(intention, decision))
            loaded.state, loaded.version = decision.state, decision.version
            loaded.last_time = decision.envelopes[-1].time

    async def load(self, intention: Intention[S]) -> Loaded[S]:
        """The state of the stream that an intention is for."""
        loaded: Loaded[S] = Loaded(intention.decider.initial)
        if not intention.fresh:
            _fold(intention.decider, loaded, await self.log.read_stream(intention.stream))
        return loaded

    def within(self, connection: Connection) -> Within:
        """Decide and append in the caller's transaction."""
        return Within(self, connection)

    async def decide(self, intention: Intention[S], loaded: Loaded[S]) -> Decision[S]:
        """What a command comes to on this state; nothing is stored. Raises WrongVersion when If-Match is stale.

        Whether it is the caller's business comes first: strangers do not learn from a version that there is something.
        """
        if intention.guard:
            intention.guard(loaded.state)
        if intention.expected_version is not None and loaded.version != intention.expected_version:
            raise WrongVersion(intention.stream, intention.expected_version)
        payloads = intention.decider.decide(intention.command, loaded.state)
        state = intention.decider.fold(payloads, loaded.state)
        if not payloads:
            return Decision(state, loaded.version)
        ref = intention.sealed_for if isinstance(intention.sealed_for, str) else intention.sealed_for(state)
        if ref:
            await self.keyring.hold(ref)
        time = max(
            intention.command.at, loaded.last_time or _ALWAYS, intention.cause.time if intention.cause else _ALWAYS
        )
        envelopes = [
            self._envelope(intention, payload, loaded.version + offset, time, ref)
            for offset, payload in enumerate(payloads, 1)
        ]
        for one in envelopes:
            log.debug("decided", event_id=one.id, type=one.type, subject=one.subject, correlation=one.correlation)
        return Decision(state, loaded.version + len(payloads), envelopes, [_entry(e) for e in envelopes])

    def _envelope(
        self, intention: Intention[Any], payload: Payload, version: int, time: datetime, ref: str
    ) -> Envelope:
        event_id, cause = self.ids.uuid7(), intention.cause
        type_ = self._types.get(type(payload)) or self._types.setdefault(type(payload), payload.event_type())
        data = payload.model_dump(mode="json", exclude_none=True)
        if ref:
            seal_data(self.keyring, ref, type_, data, f"{intention.stream}/{event_id}")
        elif holds_personal(type_, data):
            raise LookupError(f"{type_} holds personal texts and no key to seal them with was named")
        return Envelope(
            id=event_id,
            source=self.source,
            type=type_,
            subject=intention.subject,
            stream=intention.stream,
            version=version,
            time=time,
            actor=intention.command.actor,
            correlation=cause.correlation if cause else event_id,
            causation=cause.id if cause else None,
            data=data,
            traceparent=current_traceparent() or (cause.traceparent if cause else None),
        )


class Within:
    """Several decisions in one transaction, all or nothing. Several of them may meet on one stream."""

    def __init__(self, executor: Executor, connection: Connection) -> None:
        self._executor = executor
        self._connection = connection
        self._streams: dict[str, Loaded[Any]] = {}
        self._pending: dict[str, Append] = {}

    async def load(self, intentions: Sequence[Intention[Any]]) -> None:
        """Read the streams of all these intentions at once."""
        deciders = {i.stream: i.decider for i in intentions if i.stream not in self._streams}
        self._streams |= {stream: Loaded(decider.initial) for stream, decider in deciders.items()}
        for row in await self._connection.fetch(READ_STREAMS, list(deciders)):
            recorded = Recorded(*row)
            _fold(deciders[recorded.stream], self._streams[recorded.stream], [recorded])

    async def decide(self, intentions: Sequence[Intention[Any]]) -> None:
        """Take these decisions together. When one is Refused none of them counts."""
        streams, pending = dict(self._streams), dict(self._pending)
        for intention in intentions:
            decision = await self._executor.decide(intention, streams[intention.stream])
            if not decision.entries:
                continue
            streams[intention.stream] = Loaded(decision.state, decision.version, decision.envelopes[-1].time)
            held = pending.get(intention.stream)
            added = _append(intention, decision)
            pending[intention.stream] = replace(held, entries=[*held.entries, *added.entries]) if held else added
        self._streams, self._pending = streams, pending

    async def append(self) -> list[Appended]:
        """Store everything decided. Raises WrongVersion when somebody was faster; the caller rolls back."""
        return await append_within(self._connection, self._executor.log.partitions, list(self._pending.values()))


def _append(intention: Intention[Any], decision: Decision[Any], claims: Sequence[Claim] = ()) -> Append:
    first = decision.version - len(decision.entries)
    return Append(intention.stream, intention.subject, first, decision.entries, claims)


def _entry(envelope: Envelope) -> Entry:
    body = canonical(envelope.as_json())
    return Entry(envelope.id, envelope.type, body, leaf_hash(body))


def _fold(decider: Decider[S], loaded: Loaded[S], events: Sequence[Recorded]) -> None:
    for event in events:
        envelope = event.envelope
        loaded.state = decider.evolve(loaded.state, payload_of(envelope.type, envelope.data))
        loaded.version, loaded.last_time = event.version, envelope.time
