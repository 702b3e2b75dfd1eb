"""Whoever reads a bulk file may die at any moment, and others may read it beside: every row is registered once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from services.intake_service import worker
from services.intake_service.policy import import_policy
from services.intake_service.worker import Record, keep_importing
from shared.contracts.intake import ImportAdvanced
from shared.engine.runtime import Role
from tests.support.city import City
from tests.support.imports import NDJSON, counts, csv, ended, kept, problems, progress, registered, started, told

ROWS, TOGETHER = 23, 5
WITH_REFERENCE = csv(*(f"停水{n},{n}" for n in range(ROWS)))
WITHOUT = csv(*(f"停水{n}" for n in range(ROWS)), header="content")


class Crash(BaseException):
    """As sudden as a power cut: nothing handles it."""


@pytest_asyncio.fixture(scope="module")
async def unread(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    """A city in which views follow, and bulk files are read when a test says so."""
    async with new_city(jobs=False) as city:
        jobs = city.running["intake"].jobs({Role.REACT})
        wanted = ("view:import", "effect:remove-imports")
        tasks = [asyncio.create_task(job) for name, job in jobs.items() if name.startswith(wanted)]
        for name, job in jobs.items():
            if not name.startswith(wanted):
                job.close()
        yield city
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(autouse=True)
def small_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "import_policy", lambda: replace(import_policy(), together=TOGETHER))


@asynccontextmanager
async def readers(city: City, number: int = 1) -> AsyncIterator[None]:
    """So many read bulk files meanwhile."""
    tasks = [asyncio.create_task(keep_importing(city.running["intake"])) for _ in range(number)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def dies(city: City, monkeypatch: pytest.MonkeyPatch, when: Callable[[Any], bool], after: bool = False) -> None:
    """Read until a reader dies just before (or after) this is noted."""
    note = Record.note

    async def deadly(record: Record, command: Any) -> None:
        if when(command.facts) and not after:
            raise Crash
        await note(record, command)
        if when(command.facts):
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Record, "note", deadly)
        with suppress(Crash):
            await keep_importing(city.running["intake"])


def row_is(row: int) -> Callable[[Any], bool]:
    return lambda facts: isinstance(facts, ImportAdvanced) and facts.row >= row


@pytest.mark.parametrize("data", [WITH_REFERENCE, WITHOUT], ids=["with a reference", "without"])
@pytest.mark.parametrize("row", [TOGETHER, 2 * TOGETHER, ROWS])
@pytest.mark.parametrize("after", [False, True], ids=["before it was noted", "after it was noted"])
async def test_rows_of_a_reader_that_died_are_not_doubled(
    unread: City, monkeypatch: pytest.MonkeyPatch, data: bytes, row: int, after: bool
) -> None:
    sub = f"c-{row}-{after}-{len(data)}"
    import_id = await started(unread, data, sub)
    await dies(unread, monkeypatch, row_is(row), after)
    assert await registered(unread, sub) == row, "it died in the middle"
    async with readers(unread):
        over = await ended(unread, import_id, sub)
    assert await registered(unread, sub) == ROWS
    assert (over["state"], over["row"], over["total"], over["refused"]) == ("DONE", ROWS, ROWS, 0)
    assert over["registered"] + over["already_there"] == ROWS


async def test_a_reader_that_dies_again_and_again_gets_there(unread: City, monkeypatch: pytest.MonkeyPatch) -> None:
    import_id = await started(unread, WITHOUT, "c-often")
    for row in range(TOGETHER, ROWS + TOGETHER, TOGETHER):
        await dies(unread, monkeypatch, row_is(min(row, ROWS)), after=row % 2 == 0)
    async with readers(unread):
        over = await ended(unread, import_id, "c-often")
    assert counts(over) == (ROWS, 0, 0, 0) and await registered(unread, "c-often") == ROWS


async def test_problems_that_were_told_are_not_told_again(unread: City, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"停水{n},{n}" if n % 4 else f",{n}" for n in range(ROWS)]
    import_id = await started(unread, csv(*rows), "c-told")
    await dies(unread, monkeypatch, row_is(2 * TOGETHER), after=True)
    async with readers(unread):
        over = await ended(unread, import_id, "c-told")
    wrong = [n + 1 for n in range(0, ROWS, 4)]
    assert told(await problems(unread, import_id, "c-told")) == [(row, "VALIDATION_FAILED") for row in wrong]
    assert over["refused"] == len(wrong) and over["registered"] + over["refused"] == ROWS


@pytest.mark.parametrize("after", [False, True])
async def test_all_or_none_stays_none_when_its_reader_died_while_looking(
    unread: City, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    sub, rows = f"c-none-{after}", [f"停水{n},{n}" for n in range(ROWS)]
    rows[7], rows[21] = ",7", ",21"
    import_id = await started(unread, csv(*rows), sub, mode="all")
    await dies(unread, monkeypatch, row_is(2 * TOGETHER), after)
    async with readers(unread):
        over = await ended(unread, import_id, sub)
    assert (over["state"], *counts(over)) == ("REFUSED", 0, 0, 2, 0) and await registered(unread, sub) == 0
    assert [row for row, _ in told(await problems(unread, import_id, sub))] == [8, 22]


async def test_all_or_none_becomes_all_when_its_reader_died_while_registering(
    unread: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id = await started(unread, WITHOUT, "c-all", mode="all")
    await dies(unread, monkeypatch, row_is(3 * TOGETHER))
    async with readers(unread):
        over = await ended(unread, import_id, "c-all")
    assert (over["state"], over["registered"]) == ("DONE", ROWS) and await registered(unread, "c-all") == ROWS


@pytest.mark.parametrize("data", [WITH_REFERENCE, WITHOUT], ids=["with a reference", "without"])
async def test_many_readers_of_many_files_do_not_double_anything(unread: City, data: bytes) -> None:
    subs = [f"c-many-{number}-{len(data)}" for number in range(4)]
    async with readers(unread, 4):
        ids = [await started(unread, data, sub) for sub in subs]
        overs = [await ended(unread, one, sub) for one, sub in zip(ids, subs, strict=True)]
    assert [counts(over) for over in overs] == [(ROWS, 0, 0, 0)] * 4
    assert [await registered(unread, sub) for sub in subs] == [ROWS] * 4


async def test_files_that_wait_are_read_when_somebody_comes(unread: City) -> None:
    import_id = await started(unread, WITHOUT, "c-waits")
    assert len(kept(unread, import_id)) == 1
    seen = await unread.until(lambda: progress(unread, import_id, "c-waits"), lambda one: one["state"] == "RUNNING")
    assert (seen["row"], seen["total"]) == (0, 0)
    async with readers(unread):
        assert counts(await ended(unread, import_id, "c-waits")) == (ROWS, 0, 0, 0)


async def test_a_file_that_the_store_lost_or_changed_ends_as_failed(unread: City) -> None:
    lost, changed = [await started(unread, WITHOUT, "c-lost") for _ in range(2)]
    kept(unread, lost)[0].unlink()
    kept(unread, changed)[0].write_bytes(kept(unread, changed)[0].read_bytes()[:-1])
    body = {"kind": "HELP", "channel": "IMPORT", "content": "x", "appellant": {}}
    fine = await started(unread, json.dumps(body).encode(), "c-lost", NDJSON)
    async with readers(unread):
        overs = [await ended(unread, one, "c-lost") for one in (lost, changed, fine)]
    assert [(one["state"], one["reason"]) for one in overs] == [
        ("FAILED", "ObjectMissing"),
        ("FAILED", "FileDamaged"),
        ("DONE", None),
    ]
    assert await registered(unread, "c-lost") == 1 and not kept(unread, changed)
