"""A past for scoring, as whoever tries a policy meets it: one command, tables on the screen, and a curl that works."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.integration.test_process import home, jiesu
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_SECONDS

COUNT_SECONDS = 120


@asynccontextmanager
async def past(folder: Path, port: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The process once it serves, and what it has printed."""
    words = ("simulate", "--months", "3", "--lives", "400", "--streets", "5", "--seed", "7")
    environment = {"JIESU_HOME": str(folder), "JIESU_PORT": str(port), "JIESU_PARTITIONS": "2", "COLUMNS": "160"}
    process = await jiesu(*words, **environment)
    assert process.stderr is not None and process.stdout is not None
    try:
        async with asyncio.timeout(COUNT_SECONDS):
            screen = b""
            while b"| head" not in screen:
                line = await process.stderr.readline()
                assert line, screen.decode()
                screen += line
        yield process, screen.decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_past_is_written_once_counted_closed_and_served() -> None:
    tables = []
    with home() as folder:
        for _ in range(2):
            async with past(folder, free_port()) as (process, screen):
                assert all(version in screen for version in ("BJ-HR-2025", "BJ-LABELS-2025", "CN-BANDS-2025"))
                pasted = screen[screen.index("TOKEN=") :]
                text = await asyncio.to_thread(_pasted, pasted)
                rows = list(csv.DictReader(io.StringIO(text)))
                assert len(rows) == 5 and all(row["unit_id"].startswith("lab-") for row in rows)
                tables.append([{name: row[name] for name in ("unit_id", "received", "composite")} for row in rows])
                period = re.search(r"period=(\d{4}-\d{2})", screen)
                assert period is not None
                process.send_signal(signal.SIGINT)
                assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0
    assert tables[0] == tables[1], "run again it shows what was there"


def _pasted(commands: str) -> str:
    """What the commands on the screen print."""
    done = subprocess.run(["bash", "-c", commands], capture_output=True, check=True, text=True, timeout=30)
    return done.stdout.removeprefix("\ufeff")
