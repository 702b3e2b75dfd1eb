"""Four processes under one supervisor: they live whole lives, come back when killed, and end clean."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.city import ports
from tests.integration.test_process import START_SECONDS, home, jiesu
from tests.support.ports import free_port


def free_base() -> int:
    """A gateway port with four free ones after it."""
    while True:
        base = free_port()
        if all(_free(port) for port in ports(base).values()):
            return base


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@asynccontextmanager
async def split(folder: Path, base: int, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    told = {"JIESU_HOME": str(folder), "JIESU_PARTITIONS": "2", "JIESU_LOG_LEVEL": "error"} | more
    process = await jiesu("up", "--split", "--port", str(base), **told)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            while b"jiesu --help" not in await process.stderr.readline():
                assert process.returncode is None
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), START_SECONDS)


@pytest.mark.parametrize("bus", ["logs", "kafka"])
async def test_four_processes_live_whole_lives_and_come_back_when_killed(
    bus: str, request: pytest.FixtureRequest
) -> None:
    more: dict[str, str] = {}
    if bus == "kafka":
        more = {"JIESU_KAFKA_BOOTSTRAP": request.getfixturevalue("kafka"), "JIESU_KAFKA_PREFIX": f"split{os.getpid()}."}
    with home() as folder:
        async with split(folder, free_base(), **more) as supervisor:
            kill_a_service(supervisor.pid, "routing")
            simulated = await jiesu("simulate", "--lives", "6", JIESU_HOME=str(folder), JIESU_LOG_LEVEL="error")
            _, screen = await asyncio.wait_for(simulated.communicate(), START_SECONDS * 2)
            assert simulated.returncode == 0, screen.decode()
            ended = sum(int(count) for count in re.findall(r"(?:CLOSED|ANSWERED|WITHDRAWN) (\d+)", screen.decode()))
            assert ended == 6, screen.decode()
            supervisor.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(supervisor.wait(), START_SECONDS) == 0


def kill_a_service(supervisor: int, name: str) -> None:
    found = subprocess.run(["pgrep", "-P", str(supervisor), "-f", f"serve {name}"], capture_output=True, check=True)
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
