"""An import starts once, only ever goes forward, and ends once: whoever comes late finds that it is done."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from services.intake_service.bulk import IMPORT, NOWHERE, Advance, End, Import, Start
from shared.contracts.envelope import BEIJING
from shared.contracts.intake import ImportAdvanced, ImportEnded, ImportStarted
from shared.engine.decider import Command, NotYours
from tests.support.spec import given

AT = datetime(2026, 11, 24, 9, 0, tzinfo=BEIJING)
STARTED = ImportStarted(
    form="CSV",
    columns={"content": "detail"},
    constants={"kind": "HELP"},
    all_or_none=False,
    object="imports/i-1",
    bytes=10,
    sha256="0" * 64,
)
OUTCOMES = ("DONE", "REFUSED", "FAILED")


def advanced(row: int, **counts: int) -> ImportAdvanced:
    known = {"total": 9, "registered": row, "already_there": 0, "refused": 0, "warned": 0}
    return ImportAdvanced(row=row, **(known | counts))


def ended(outcome: Any) -> ImportEnded:
    return ImportEnded(outcome=outcome)


def test_a_file_starts_one_import() -> None:
    given(IMPORT).when(Start(at=AT, facts=STARTED)).then(STARTED)
    given(IMPORT, STARTED).when(Start(at=AT, facts=STARTED)).then_refused("ILLEGAL_TRANSITION")
    given(IMPORT, STARTED, ended("DONE")).when(Start(at=AT, facts=STARTED)).then_refused("ILLEGAL_TRANSITION")


def test_it_advances_row_by_row() -> None:
    given(IMPORT, STARTED).when(Advance(at=AT, facts=advanced(3))).then(advanced(3))
    given(IMPORT, STARTED, advanced(3)).when(Advance(at=AT, facts=advanced(4))).then(advanced(4))


@pytest.mark.parametrize("row", [0, 1, 3])
def test_rows_that_were_dealt_with_are_not_dealt_with_again(row: int) -> None:
    spec = given(IMPORT, STARTED, advanced(3)).when(Advance(at=AT, facts=advanced(row, registered=9)))
    spec.then_refused("ILLEGAL_TRANSITION")


def test_it_cannot_advance_to_where_it_starts() -> None:
    given(IMPORT, STARTED).when(Advance(at=AT, facts=NOWHERE)).then_refused("ILLEGAL_TRANSITION")


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_what_has_ended_neither_advances_nor_ends_again(outcome: str) -> None:
    over = given(IMPORT, STARTED, advanced(3), ended(outcome))
    over.when(Advance(at=AT, facts=advanced(4))).then_refused("ILLEGAL_TRANSITION")
    over.when(End(at=AT, facts=ended("DONE"))).then()
    over.when(End(at=AT, facts=ended("FAILED"))).then()


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_it_may_end_wherever_it_is(outcome: str) -> None:
    given(IMPORT, STARTED).when(End(at=AT, facts=ended(outcome))).then(ended(outcome))
    given(IMPORT, STARTED, advanced(3)).when(End(at=AT, facts=ended(outcome))).then(ended(outcome))


@pytest.mark.parametrize("command", [Advance(at=AT, facts=advanced(1)), End(at=AT, facts=ended("DONE"))])
def test_an_import_that_never_started_looks_like_somebody_elses(command: Command) -> None:
    with pytest.raises(NotYours):
        IMPORT.decide(command, IMPORT.initial)


def test_its_state_tells_where_to_go_on() -> None:
    assert given(IMPORT).state == Import(None, None, NOWHERE)
    assert given(IMPORT, STARTED).state == Import("RUNNING", STARTED, NOWHERE)
    assert given(IMPORT, STARTED, advanced(3), advanced(7)).state == Import("RUNNING", STARTED, advanced(7))
    assert given(IMPORT, STARTED, advanced(7), ended("REFUSED")).state == Import("REFUSED", STARTED, advanced(7))


def test_an_unknown_command_is_a_mistake() -> None:
    with pytest.raises(TypeError):
        IMPORT.decide(Command(at=AT), IMPORT.fold([STARTED]))
