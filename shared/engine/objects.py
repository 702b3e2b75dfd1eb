"""Where files are kept: a port with two adapters, a folder and (buckets.py) an S3-compatible store.

What is put there is sealed already (sealed_files.py), so whoever keeps it learns nothing; names are ours.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Protocol

from shared.engine.settings import Settings
from shared.eventlog.durable import move_durably

BLOCK = 1 << 20


class ObjectMissing(Exception):
    """There is no such file in the store."""


class StoreUnavailable(OSError):
    """The store cannot be reached, or refused us; the file may or may not be there."""


class Objects(Protocol):
    """Files by name. `put` returns when the file is durable; a file is written once and never changed."""

    async def put(self, name: str, file: IO[bytes]) -> None:
        """Keep a file, from its beginning. Raises StoreUnavailable."""
        ...

    def get(self, name: str) -> AsyncIterator[bytes]:
        """The file in blocks of any size. Raises ObjectMissing, StoreUnavailable."""
        ...

    async def remove(self, name: str) -> None:
        """Remove a file; one that is not there is removed already. Raises StoreUnavailable."""
        ...


class Folder:
    """Files in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put(self, name: str, file: IO[bytes]) -> None:
        await asyncio.to_thread(self._write, self._root / name, file)

    async def get(self, name: str) -> AsyncIterator[bytes]:
        try:
            file = await asyncio.to_thread((self._root / name).open, "rb")
        except FileNotFoundError:
            raise ObjectMissing(name) from None
        with file:
            while block := await asyncio.to_thread(file.read, BLOCK):
                yield block

    async def remove(self, name: str) -> None:
        await asyncio.to_thread((self._root / name).unlink, True)

    def _write(self, path: Path, file: IO[bytes]) -> None:
        file.seek(0)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}")
        with partial.open("wb") as target:
            shutil.copyfileobj(file, target, BLOCK)
            target.flush()
            os.fsync(target.fileno())
        move_durably(partial, path)


@asynccontextmanager
async def objects_of(settings: Settings) -> AsyncIterator[Objects]:
    """The store that the settings name: `JIESU_OBJECTS` is a folder, or s3://bucket/prefix."""
    where = settings.objects or str(settings.home / "objects")
    if not where.startswith("s3://"):
        yield Folder(Path(where))
        return
    from shared.engine.buckets import bucket_of  # noqa: PLC0415 - a heavy library that few installations need

    async with bucket_of(settings, where.removeprefix("s3://")) as bucket:
        yield bucket
