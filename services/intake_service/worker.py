"""Registers the rows of bulk files in the background.

Every lot of rows ends with an event that says how far the import is, so whoever goes on after a crash knows; a row that
was registered before the crash is recognised by its source_ref, or by its place in this file.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import IO, Any, Never

import orjson
import structlog
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.intake_service.atlas import Atlas, atlas_of
from services.intake_service.bulk import ENDED, FILES_KEY, IMPORT, RUNNING, Advance, End, Import, object_of
from services.intake_service.commands import REGISTER, source_refs_of
from services.intake_service.policy import import_policy
from services.intake_service.reference import IMPORTS
from services.intake_service.registration import AppealBody, AppellantBody, LocationBody, check
from services.intake_service.rows import Row, RowMap, WrongFile, rows_of
from shared.contracts.envelope import Actor, Envelope
from shared.contracts.intake import ImportAdvanced, ImportEnded, ImportStarted, RowProblem
from shared.contracts.upcasters import payload_of
from shared.engine.consume import TRANSIENT
from shared.engine.decider import Command, IllegalTransition, Refused
from shared.engine.execute import Intention, Loaded
from shared.engine.runtime import Running
from shared.engine.sealed_files import open_file
from shared.eventlog.log import WrongVersion
from shared.eventlog.postgres import Connection
from shared.web.bodies import fingerprint, parse_body
from shared.web.commands import Call
from shared.web.identity import Principal, Scope
from shared.web.preconditions import REPLAYED, Preconditions
from shared.web.problems import Problem, problem_of

LOOK_SECONDS = 1.0
TRY_LOCK = "SELECT pg_try_advisory_lock(hashtext('import'), hashtext($1))"
UNLOCK = "SELECT pg_advisory_unlock(hashtext('import'), hashtext($1))"
AGAIN = (*TRANSIENT, PoolTimeout)
log = structlog.get_logger()
NEW, KNOWN = "registered", "already there"
Wrong = tuple[str, str | None]
"""Code and message."""


async def keep_importing(running: Running) -> Never:
    """Work on every import that has been started and has not ended; any number of processes may do so."""
    query = select(IMPORTS.c.import_id).where(IMPORTS.c.state == RUNNING).order_by(IMPORTS.c.import_id)
    while True:
        try:
            await running.keyring.pin(FILES_KEY)
            async with running.reads.connect() as connection:
                open_ = list((await connection.execute(query)).scalars())
            for import_id in open_:
                with suppress(IllegalTransition, WrongVersion):  # somebody else has gone on with it
                    await _work_alone(running, import_id)
        except (*AGAIN, DBAPIError) as error:
            log.warning("importing again", reason=type(error).__name__)
        rung = running.bell.next_ring()
        await running.bell.wait(LOOK_SECONDS, rung)


async def _work_alone(running: Running, import_id: str) -> None:
    async with running.pool.acquire() as lock:
        if await lock.fetchval(TRY_LOCK, import_id):
            try:
                await _work(running, import_id)
            finally:
                with suppress(*TRANSIENT):
                    await lock.execute(UNLOCK, import_id)


async def _work(running: Running, import_id: str) -> None:
    recorded = await running.log.read_stream(IMPORT.stream(import_id))
    import_ = IMPORT.fold([payload_of(event.envelope.type, event.envelope.data) for event in recorded])
    if import_.started is None or import_.state != RUNNING:
        return
    record = Record(running, import_id, Loaded(import_, len(recorded)), recorded[0].envelope.actor)
    outcome, reason = "DONE", None
    try:
        with tempfile.TemporaryFile() as file:
            name = import_.started.object
            async for chunk in open_file(running.keyring, FILES_KEY, name, running.objects.get(name)):
                file.write(chunk)
            outcome = await Worker(running, record, import_.started, file).done()
    except (*AGAIN, IllegalTransition):
        raise
    except Exception as error:  # whatever is in a file, it must not stand in the way of others
        if isinstance(error, DBAPIError) and error.connection_invalidated:  # a read by SQLAlchemy lost its connection
            raise
        outcome, reason = "FAILED", str(error)[:500] if isinstance(error, WrongFile) else type(error).__name__
        if not isinstance(error, WrongFile):
            log.error("import failed", import_id=import_id, reason=reason)
    ended = ImportEnded.model_validate({"outcome": outcome, "reason": reason})
    await record.note(End(at=running.clock.now(), actor=record.actor, facts=ended))


@dataclass
class Record:
    """The stream of one import, which one worker at a time writes."""

    running: Running
    import_id: str
    loaded: Loaded[Import]
    actor: Actor

    async def note(self, command: Command) -> None:
        """Raises IllegalTransition and WrongVersion when somebody else has gone on with it."""
        await self.running.executor.onto(Intention(IMPORT, self.import_id, command), self.loaded)


async def remove_file(running: Running, _: Connection, events: list[Envelope]) -> None:
    """What was read is not kept."""
    for event in events:
        if event.type == ENDED:
            await running.objects.remove(object_of(event.subject))


class Refs:
    """What each source_ref of a file stands for, on disk: files may have more rows than memory has room for."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("")
        self._rows.execute("CREATE TABLE refs (ref BLOB PRIMARY KEY, same BLOB) WITHOUT ROWID")

    def setdefault(self, ref: str, same: bytes) -> bytes:
        """The fingerprint that this ref was first seen with."""
        name = sha256(ref.encode()).digest()
        self._rows.execute("INSERT OR IGNORE INTO refs VALUES (?, ?)", (name, same))
        first: bytes = self._rows.execute("SELECT same FROM refs WHERE ref = ?", (name,)).fetchone()[0]
        return first


@dataclass
class Worker:
    """One import, from where it stands to its end."""

    running: Running
    record: Record
    started: ImportStarted
    file: IO[bytes]

    async def done(self) -> str:
        """DONE or REFUSED. Raises WrongFile, IllegalTransition."""
        started = self.started
        self.reached, self.policy, self._refs = self.record.loaded.state.reached, import_policy(), Refs()
        self.total = await asyncio.to_thread(lambda: sum(1 for _ in self._rows()))
        if started.all_or_none and (self.reached.refused or not self.reached.row):
            await self._lots(self._check)
            if self.reached.refused:
                return "REFUSED"
        await self._lots(self._register)
        return "DONE"

    def _rows(self) -> Generator[Row]:
        started = self.started
        given = RowMap(started.columns, started.constants)
        return rows_of(self.file, started.form, started.charset, given, self.policy)

    async def _lots(self, deal_with: Callable[[Sequence[Row]], Any]) -> None:
        with closing(self._rows()) as rows:
            ahead = islice(rows, self.reached.row, None)
            while lot := await asyncio.to_thread(lambda: list(islice(ahead, self.policy.together))):
                await deal_with(lot)

    async def _check(self, lot: Sequence[Row]) -> None:
        """Says something only when something is wrong: then nothing will be registered."""
        for ref, known in (await self._known(lot)).items():
            self._refs.setdefault(ref, known)
        found = [(row, problem) for row in lot if (problem := self._wrong_with(row))]
        if found or self.reached.refused:
            await self._advance(lot, refused=[_problem(row, *problem) for row, problem in found])

    def _wrong_with(self, row: Row) -> Wrong | None:
        if row.problem:
            return row.problem
        try:
            body = parse_body(row.body, AppealBody)
            check(body, self.running.clock.now())
        except (Problem, Refused) as error:
            return _told(error)
        same = fingerprint(self.running.secrets.index, "POST", REGISTER.path_in("intake"), row.body)
        taken = body.source_ref is not None and self._refs.setdefault(body.source_ref, same) != same
        return ("SOURCE_REF_TAKEN", "another row of this file, or an appeal on record, has it") if taken else None

    async def _register(self, lot: Sequence[Row]) -> None:
        known, atlas = await self._known(lot), await atlas_of(self.running)
        answers = await self._all(lot, known)
        refused = [_problem(row, *one) for row, one in zip(lot, answers, strict=True) if isinstance(one, tuple)]
        warned = [
            _problem(row, code, None, warning=True)
            for row, one in zip(lot, answers, strict=True)
            if not isinstance(one, tuple)
            for code in (*row.warnings, *_unplaced(row, atlas))
        ]
        await self._advance(lot, answers.count(NEW), answers.count(KNOWN), refused, warned)

    async def _all(self, lot: Sequence[Row], known: Mapping[str, bytes]) -> list[str | Wrong]:
        """What became of each row. When one is to be tried again, the others are waited for first."""
        answers = await asyncio.gather(*(self._registered(row, known) for row in lot), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    async def _known(self, lot: Sequence[Row]) -> Mapping[str, bytes]:
        """Rows of this lot that are on record, by source_ref: most of them, when an import is run again."""
        refs = [row.source_ref for row in lot if row.source_ref]
        return await self.running.log.fingerprints(source_refs_of(self.record.actor.sub or ""), refs)

    async def _registered(self, row: Row, known: Mapping[str, bytes]) -> str | Wrong:
        """What became of a row, or why it was not acceptable. Raises what is worth trying again."""
        if row.problem:
            return row.problem
        same = partial(fingerprint, self.running.secrets.index, "POST", REGISTER.path_in("intake"), row.body)
        try:
            body = parse_body(row.body, AppealBody)
            if row.source_ref and known.get(row.source_ref) == same():
                return KNOWN
            key = None if body.source_ref else f"import:{self.record.import_id}:{row.number}"
            answer = await REGISTER.carry_out(self._call(body, same), Preconditions(key, None))
        except (Problem, Refused) as error:
            return _told(error)
        except Exception as error:
            if isinstance(error, AGAIN) or problem_of(error).code == "INTERNAL":
                raise
            return _told(problem_of(error))
        return KNOWN if key is None and REPLAYED in answer.headers else NEW

    def _call(self, body: AppealBody, same: Callable[[], bytes]) -> Call[AppealBody]:
        principal = Principal(self.record.actor.sub or "", (self.record.actor.role,), self.record.actor.unit_id)
        return Call(self.running, principal, Scope.REGISTER, "", body, self.running.clock.now(), {}, same)

    async def _advance(
        self,
        lot: Sequence[Row],
        registered: int = 0,
        already_there: int = 0,
        refused: Sequence[RowProblem] = (),
        warned: Sequence[RowProblem] = (),
    ) -> None:
        before = self.reached
        self.reached = ImportAdvanced(
            row=lot[-1].number,
            total=self.total,
            registered=before.registered + registered,
            already_there=before.already_there + already_there,
            refused=before.refused + len(refused),
            warned=before.warned + len({one.row for one in warned}),
            problems=(*refused, *warned),
        )
        await self.record.note(Advance(at=self.running.clock.now(), actor=self.record.actor, facts=self.reached))


def _unplaced(row: Row, atlas: Atlas) -> Iterator[str]:
    district = (orjson.loads(row.body).get("location") or {}).get("district")
    if district and not atlas.names.given(district):
        yield "DISTRICT_UNKNOWN"


def _problem(row: Row, code: str, message: str | None, warning: bool = False) -> RowProblem:
    return RowProblem(row=row.number, source_ref=row.source_ref, code=code, message=message, warning=warning)


def _told(error: Problem | Refused) -> Wrong:
    problem = error if isinstance(error, Problem) else problem_of(error)
    where = "; ".join(f"{_known_names(one['pointer'])} {one['message']}" for one in problem.errors)
    return problem.code, (where or problem.detail or problem.title)[:300]


def _known_names(pointer: str) -> str:
    """A pointer without names that are not ours: what a file calls its fields may be what somebody is called."""
    return "/".join(part if part in _NAMES or part.isdigit() else "…" for part in pointer.split("/"))


_NAMES = frozenset({"", *AppealBody.model_fields, *LocationBody.model_fields, *AppellantBody.model_fields})
