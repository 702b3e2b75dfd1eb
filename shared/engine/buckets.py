"""Files in an S3-compatible store. The only file that knows aiobotocore."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from shared.engine.objects import BLOCK, ObjectMissing, StoreUnavailable
from shared.engine.settings import Settings

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 60, 3
_GONE = frozenset({"NoSuchKey", "404"})


class Bucket:
    """Files in a bucket of an S3-compatible store, under a prefix."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix

    async def put(self, name: str, file: IO[bytes]) -> None:
        file.seek(0)
        await self._ask(self._client.put_object(**self._at(name), Body=file))

    async def get(self, name: str) -> AsyncIterator[bytes]:
        answer = await self._ask(self._client.get_object(**self._at(name)))
        try:
            async with answer["Body"] as body:
                async for block in body.iter_chunks(BLOCK):
                    yield block
        except (aiohttp.ClientError, BotoCoreError) as error:
            raise StoreUnavailable(type(error).__name__) from None

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
async def bucket_of(settings: Settings, where: str) -> AsyncIterator[Bucket]:
    """The bucket that `where` (bucket/prefix) names, with the credentials of the settings."""
    bucket, _, prefix = where.partition("/")
    secret = settings.s3_secret_key_file
    retries: Any = {"max_attempts": ATTEMPTS}
    async with get_session().create_client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=secret.read_text().strip() if secret else None,
        config=AioConfig(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries=retries),
    ) as client:
        yield Bucket(client, bucket, prefix.rstrip("/") + "/" if prefix else "")
