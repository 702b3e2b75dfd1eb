"""The city as its operator meets it: one process, started, killed, started again; and every refusal is one line."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from services.serving import CannotStart
from services.up import EmbeddedPostgres
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_SECONDS

START_SECONDS = 240
"""How long a command may take on a machine that does much else; nothing is slower for that."""


@contextmanager
def home() -> Iterator[Path]:
    """A home for a city that the unprivileged PostgreSQL user can reach as well."""
    folder = Path(tempfile.mkdtemp(prefix="jiesu-home-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def jiesu(*words: str, **environment: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JIESU_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", *words, env=inherited | environment, stdout=pipe, stderr=pipe
    )


async def refusal(*words: str, code: int = 1, **environment: str) -> str:
    """The one line of a start that must fail."""
    process = await jiesu(*words, **environment)
    _, errors = await asyncio.wait_for(process.communicate(), START_SECONDS)
    assert process.returncode == code
    lines = errors.decode().strip().splitlines()
    assert len(lines) == 1, errors.decode()
    return lines[0]


@asynccontextmanager
async def running(folder: Path, port: int, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A city that has printed its first screen; killed at the end if the test has not ended it."""
    process = await jiesu("up", "--port", str(port), JIESU_HOME=str(folder), JIESU_PARTITIONS="2", **environment)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            screen = b""
            while b"jiesu --help" not in screen:
                line = await process.stderr.readline()
                assert line, screen.decode()
                screen += line
        process.screen = screen.decode()  # type: ignore[attr-defined]
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def register(port: int, folder: Path, key: str) -> dict[str, object]:
    token = (folder / "tokens" / "AGENT").read_text()
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    who = {"type": "PERSON", "phone": "13800000000"}
    body = {"kind": "COMPLAINT", "channel": "PHONE", "content": "停水两天", "appellant": who}
    url = f"http://127.0.0.1:{port}/intake/v1/appeals"
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as response:
        assert response.status == 201
        answer: dict[str, object] = await response.json()
        return answer


async def test_killed_and_started_again_the_city_has_lost_nothing() -> None:
    with home() as folder:
        port = free_port()
        async with running(folder, port) as first:
            answers = [await register(port, folder, f"key-{number}") for number in range(20)]
            first.kill()
            await first.wait()
        async with running(folder, port) as second:
            again = [await register(port, folder, f"key-{number}") for number in range(20)]
            assert again == answers
            second.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(second.wait(), PATIENCE_SECONDS) == 0
        assert not (folder / "postgres" / "postmaster.pid").exists(), "PostgreSQL must have been shut down"


async def test_the_first_screen_shows_docs_a_token_per_role_and_a_curl_that_works() -> None:
    with home() as folder:
        port = free_port()
        async with running(folder, port) as city:
            screen: str = city.screen  # type: ignore[attr-defined]
            assert all(f"http://127.0.0.1:{port}/{name}/docs" in screen for name in ("intake", "scoring"))
            assert all(role in screen for role in ("AGENT", "STREET_HANDLER", "AUDITOR"))
            command = re.search(r"curl .*?\n\n", screen, re.DOTALL)
            assert command is not None
            shell = await asyncio.create_subprocess_shell(command[0], stdout=asyncio.subprocess.PIPE)
            output, _ = await shell.communicate()
            assert b'"ticket_no"' in output, output
            token = await jiesu("token", "--role", "AUDITOR", JIESU_HOME=str(folder))
            printed, errors = await token.communicate()
            assert re.fullmatch(rb"[\w-]+\.[\w-]+\.[\w-]+\n", printed) and errors == b""
            second = await refusal("up", "--port", str(free_port()), JIESU_HOME=str(folder))
            assert "already running" in second


async def test_spans_reach_a_collector() -> None:
    posted: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        posted.append(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with home() as folder:
        port = free_port()
        endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with running(folder, port, JIESU_OTLP_ENDPOINT=endpoint) as city:
            await register(port, folder, "traced")
            city.send_signal(signal.SIGTERM)
            await asyncio.wait_for(city.wait(), PATIENCE_SECONDS)
    await runner.cleanup()
    assert b"POST intake" in b"".join(posted) and b"13800000000" not in b"".join(posted)


async def test_what_an_operator_can_put_right_is_one_line() -> None:
    with home() as folder, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"127.0.0.1:{port}" in await refusal("up", "--port", port, JIESU_HOME=str(folder))
        assert "JIESU_PORT" in await refusal("up", JIESU_HOME=str(folder), JIESU_PORT="many")
        assert "JIESU_TIME_SCALE" in await refusal(
            "up", JIESU_HOME=str(folder), JIESU_TIME_SCALE="5", JIESU_DATABASE_URL="postgresql://h/d"
        )
        unreachable = f"postgresql://u@127.0.0.1:{free_port()}/d"
        missing = await refusal("up", JIESU_HOME=str(folder), JIESU_DATABASE_URL=unreachable)
        assert "master.key" in missing


def test_a_full_disk_is_said_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with home() as folder:
        usage = shutil.disk_usage(folder)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1024))
        with pytest.raises(CannotStart, match="free some space"):
            EmbeddedPostgres(folder).__enter__()
        assert not (folder / "postgres").exists()


def test_a_killed_server_starts_again_beside_its_stale_pid_file() -> None:
    with home() as folder:
        with EmbeddedPostgres(folder) as server:
            server.kill()
            server._process = None
        assert (folder / "postgres" / "postmaster.pid").exists()
        with EmbeddedPostgres(folder) as server:
            assert f"host={folder}/socket" in server.url
