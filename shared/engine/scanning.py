"""Looks for malware in what residents send: ClamAV's daemon over TCP, if the setting names one (clamd(8), INSTREAM)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import IO, Protocol

BLOCK = 1 << 17
CONNECT_SECONDS, SCAN_SECONDS = 5, 60


class ScannerAway(OSError):
    """The scanner cannot be reached, or did not finish."""


class CannotBeScanned(Exception):
    """The scanner does not take a file of this size, or of this kind; raise its limits (clamd: StreamMaxLength)."""


class Scanner(Protocol):
    """Says whether a file is clean."""

    async def is_clean(self, file: IO[bytes]) -> bool:
        """Look at a file from its beginning. Raises ScannerAway, CannotBeScanned."""
        ...


class ClamAV:
    """clamd at host:port."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")

    async def is_clean(self, file: IO[bytes]) -> bool:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                streams = await asyncio.open_connection(self._host, int(self._port))
        except (OSError, TimeoutError) as error:
            raise ScannerAway(type(error).__name__) from None
        try:
            async with asyncio.timeout(SCAN_SECONDS):
                verdict = await self._asked(file, *streams)
        except TimeoutError:
            raise CannotBeScanned from None
        except (OSError, EOFError) as error:
            raise ScannerAway(type(error).__name__) from None
        if verdict.endswith(b" FOUND"):
            return False
        if not verdict.endswith(b": OK"):
            raise CannotBeScanned
        return True

    async def _asked(self, file: IO[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        try:
            writer.write(b"zINSTREAM\0")
            file.seek(0)
            with suppress(ConnectionError):  # clamd hangs up when it has had enough, and says why
                while block := file.read(BLOCK):
                    writer.write(len(block).to_bytes(4, "big") + block)
                    await writer.drain()
                writer.write(b"\0\0\0\0")
                await writer.drain()
            return (await reader.readuntil(b"\0")).rstrip(b"\0")
        finally:
            writer.close()
