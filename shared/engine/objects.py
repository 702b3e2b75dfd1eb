"""Where files are kept: a port with two adapters, a folder and an S3-compatible store.

What is put there is sealed already (sealed_files.py), so whoever keeps it learns nothing; names are ours.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from shared.engine.settings import Settings

BLOCK = 1 << 20
_GONE = frozenset({"NoSuchKey", "404"})


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
        partial.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Bucket:
    """Files in a bucket of an S3-compatible store, under a prefix."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix

    async def put(self, name: str, file: IO[bytes]) -> None:
        file.seek(0)
        await self._ask(self._client.put_object(**self._at(name), Body=file))

    async def get(self, name: str) -> AsyncIterator[bytes]:
        answer = await self._ask(self._client.get_object(**self._at(name)))
        async with answer["Body"] as body:
            async for block in body.iter_chunks(BLOCK):
                yield block

    async def remove(self, name: str) -> None:
        await self._ask(self._client.delete_object(**self._at(name)))

    def _at(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + name}

    async def _ask(self, call: Any) -> Any:
        try:
            return await call
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            raise ObjectMissing if code in _GONE else StoreUnavailable(code) from None
        except BotoCoreError as error:
            raise StoreUnavailable(type(error).__name__) from None


@asynccontextmanager
async def objects_of(settings: Settings) -> AsyncIterator[Objects]:
    """The store that the settings name: `JIESU_OBJECTS` is a folder, or s3://bucket/prefix."""
    where = settings.objects or str(settings.home / "objects")
    if not where.startswith("s3://"):
        yield Folder(Path(where))
        return
    bucket, _, prefix = where.removeprefix("s3://").partition("/")
    secret = settings.s3_secret_key_file
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            get_session().create_client(
                "s3",
                endpoint_url=settings.s3_endpoint,
                region_name=settings.s3_region,
                aws_access_key_id=settings.s3_access_key,
                aws_secret_access_key=secret.read_text().strip() if secret else None,
                config=AioConfig(connect_timeout=5, read_timeout=60, retries={"max_attempts": 3}),
            )
        )
        yield Bucket(client, bucket, prefix.rstrip("/") + "/" if prefix else "")
