"""A real ClamAV daemon for the tests, with one signature: that of the EICAR test file."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import md5
from pathlib import Path

import pytest

from tests.support.waiting import until

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-" + rb"ANTIVIRUS-TEST-FILE!$H+H*"
"""Harmless, and harmful to every scanner. In two halves, so that no scanner stops at this file."""
SETTINGS = """
Foreground yes
TCPSocket {port}
TCPAddr 127.0.0.1
DatabaseDirectory {folder}
TemporaryDirectory {folder}
"""


def needs_clamd() -> str:
    """The program; skips the test by name where there is none."""
    program = shutil.which("clamd")
    if program is None:
        pytest.skip("clamd is not installed")
    return program


@asynccontextmanager
async def clamd(folder: Path, port: int) -> AsyncIterator[None]:
    """clamd on this port of loopback, ready to scan."""
    program = needs_clamd()
    folder = folder / str(port)  # two that run at once share nothing
    folder.mkdir()
    hexed = EICAR.hex()
    (folder / "eicar.ndb").write_text(f"Eicar-In-Any-File:0:*:{hexed}\n")
    (folder / "eicar.hdb").write_text(f"{md5(EICAR).hexdigest()}:{len(EICAR)}:Eicar-Alone\n")
    (folder / "clamd.conf").write_text(SETTINGS.format(port=port, folder=folder))
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(folder / "clamd.conf"), stdout=quiet, stderr=quiet, stdin=quiet
    )

    async def answers() -> bool:
        assert process.returncode is None, "clamd does not start"
        return await _answers(port)

    try:
        await until(answers)
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _answers(port: int) -> bool:
    """PING, PONG"""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"zPING\0")
        answer = await reader.read(16)
        writer.close()
    except OSError:
        return False
    return answer == b"PONG\0"
