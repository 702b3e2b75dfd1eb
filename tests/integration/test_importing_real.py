"""Real exports, read as they come: every row accounted for, what looks wrong counted exactly, in constant memory."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from typing import IO

import pytest

from services.intake_service.policy import import_policy
from services.intake_service.rows import CSV, RowMap, rows_of
from tests.support.city import City
from tests.support.imports import counts, ended, registered, started
from tests.support.realdata import FOLDER

PATIENCE_SECONDS = 300
STREAM, SERVICE_REQUESTS = "appeals_stream.csv", "service_requests_311.csv"
ROWS = {STREAM: 2_710, SERVICE_REQUESTS: 23_360}
MAP = RowMap(
    {
        "content": "{category} / {subcategory} {resolution}",
        "raised_at": "created_at",
        "closed_at": "closed_at",
        "source_ref": "{city}-{request_id}",
        "zone": "tz",
        "location.longitude": "lon",
        "location.latitude": "lat",
    }
)
MOST_MEMORY = 3_000_000


@pytest.fixture
def requests() -> Iterator[IO[bytes]]:
    with opened(SERVICE_REQUESTS) as file:
        yield file


def opened(name: str) -> IO[bytes]:
    """One file of real data as it is. Skips where the data is not."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"real data: {path.name}")
    return path.open("rb")


def test_of_three_cities_service_requests_every_row_can_be_registered(requests: IO[bytes]) -> None:
    warnings, problems, references = Counter[str](), Counter[str](), set[str | None]()
    for number, row in enumerate(rows_of(requests, CSV, None, MAP, import_policy()), 1):
        assert row.number == number and (row.body or row.problem)
        warnings.update(row.warnings)
        problems.update([row.problem[0]] if row.problem else ())
        references.add(row.source_ref)
    assert number == ROWS[SERVICE_REQUESTS] and problems == {}
    assert warnings == {"CLOSED_BEFORE_RAISED": 164, "POINT_IS_ZERO": 4_264}
    assert len(references) > 1 and None not in references


def test_a_file_is_read_in_constant_memory(requests: IO[bytes]) -> None:
    rows = rows_of(requests, CSV, None, MAP, import_policy())
    next(rows)  # what is loaded once is not counted
    tracemalloc.start()
    try:
        assert sum(1 for _ in rows) == ROWS[SERVICE_REQUESTS] - 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_MEMORY < requests.tell()


async def test_a_real_file_is_registered_once_however_often_it_is_sent(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.waiting.PATIENCE_SECONDS", PATIENCE_SECONDS)
    with opened(STREAM) as file:
        data = file.read()
    for expected in ((ROWS[STREAM], 0, 0, 0), (0, ROWS[STREAM], 0, 0)):
        over = await ended(city, await started(city, data, "r-stream"), "r-stream")
        assert (over["state"], over["total"], counts(over)) == ("DONE", ROWS[STREAM], expected)
    assert await registered(city, "r-stream") == ROWS[STREAM]
