"""What every store of files promises: a folder of this machine, and a real S3 server over HTTP."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aiobotocore.session import get_session
from moto.server import ThreadedMotoServer

from shared.engine.objects import ObjectMissing, Objects, StoreUnavailable, objects_of
from shared.engine.settings import Settings

NAME = "attachments/01a20ef3/one"
BIG = b"".join(number.to_bytes(8, "big") for number in range(6 * 1024 * 1024 // 8))
BUCKET = "files"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of an S3 server of our own."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("not-a-secret\n")
    return path


def bucket_settings(endpoint: str, secret: Path, bucket: str, prefix: str) -> Settings:
    return Settings(
        objects=f"s3://{bucket}/{prefix}", s3_endpoint=endpoint, s3_access_key="tester", s3_secret_key_file=secret
    )


async def make_bucket(endpoint: str) -> None:
    keys = {"aws_access_key_id": "tester", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    async with get_session().create_client("s3", endpoint_url=endpoint, **keys) as client:
        await client.create_bucket(Bucket=BUCKET)


@pytest_asyncio.fixture(params=["folder", "bucket", "bucket without a prefix"])
async def objects(request: pytest.FixtureRequest, tmp_path: Path, secret: Path) -> AsyncIterator[Objects]:
    async with AsyncExitStack() as stack:
        if request.param == "folder":
            settings = Settings(objects=str(tmp_path / "files"))
        else:
            endpoint = request.getfixturevalue("s3")
            await make_bucket(endpoint)
            settings = bucket_settings(endpoint, secret, BUCKET, "" if "without" in request.param else "city/1")
        store = await stack.enter_async_context(objects_of(settings))
        await store.remove(NAME)
        yield store


async def read(objects: Objects, name: str = NAME) -> bytes:
    return b"".join([block async for block in objects.get(name)])


async def test_what_was_put_is_got_back_from_its_beginning(objects: Objects) -> None:
    file = io.BytesIO(b"light")
    file.read()
    await objects.put(NAME, file)
    assert await read(objects) == b"light"
    assert await read(objects) == b"light", "as often as it is asked for"


@pytest.mark.parametrize("content", [b"", b"\0\r\n\xff", BIG], ids=["empty", "bytes", "big"])
async def test_a_file_of_any_size_comes_back_byte_for_byte(objects: Objects, content: bytes) -> None:
    await objects.put(NAME, io.BytesIO(content))
    assert await read(objects) == content


async def test_a_big_file_comes_in_blocks(objects: Objects) -> None:
    await objects.put(NAME, io.BytesIO(BIG))
    sizes = [len(block) async for block in objects.get(NAME)]
    assert len(sizes) > 1 and max(sizes) <= 1 << 20


async def test_what_is_not_there_is_missing(objects: Objects) -> None:
    for name in (NAME, "nowhere/at/all"):
        with pytest.raises(ObjectMissing):
            await read(objects, name)


async def test_what_was_removed_is_missing_and_may_be_removed_again(objects: Objects) -> None:
    await objects.put(NAME, io.BytesIO(b"light"))
    for _ in range(2):
        await objects.remove(NAME)
        with pytest.raises(ObjectMissing):
            await read(objects)


async def test_removing_one_file_leaves_the_others(objects: Objects) -> None:
    await objects.put(NAME, io.BytesIO(b"light"))
    await objects.put(NAME + "-2", io.BytesIO(b"water"))
    await objects.remove(NAME)
    assert await read(objects, NAME + "-2") == b"water"


@pytest.mark.parametrize("later", [b"w", b"water and more"])
async def test_a_file_that_is_put_again_is_the_later_one_as_a_whole(objects: Objects, later: bytes) -> None:
    for content in (b"light", later):
        await objects.put(NAME, io.BytesIO(content))
    assert await read(objects) == later


async def test_many_may_be_put_and_got_at_once(objects: Objects) -> None:
    async def there_and_back(number: int) -> bytes:
        await objects.put(f"{NAME}-{number}", io.BytesIO(f"file {number}".encode()))
        return await read(objects, f"{NAME}-{number}")

    assert await asyncio.gather(*map(there_and_back, range(20))) == [f"file {n}".encode() for n in range(20)]


@asynccontextmanager
async def nobody_there(secret: Path) -> AsyncIterator[Objects]:
    """A store at an address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        settings = bucket_settings(f"http://127.0.0.1:{taken.getsockname()[1]}", secret, BUCKET, "")
        async with objects_of(settings) as store:
            yield store


async def all_unavailable(store: Objects) -> None:
    asked = (store.put(NAME, io.BytesIO(b"x")), read(store), store.remove(NAME))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3


async def test_a_store_that_cannot_be_reached_is_unavailable(secret: Path) -> None:
    async with nobody_there(secret) as store:
        await all_unavailable(store)


async def test_a_bucket_that_is_not_there_is_unavailable_and_not_a_missing_file(s3: str, secret: Path) -> None:
    async with objects_of(bucket_settings(s3, secret, "no-such-bucket", "")) as store:
        await all_unavailable(store)


async def test_files_lie_under_the_prefix_that_the_setting_names(s3: str, secret: Path) -> None:
    await make_bucket(s3)
    async with objects_of(bucket_settings(s3, secret, BUCKET, "a/b/")) as inner:
        await inner.put("one", io.BytesIO(b"light"))
    async with objects_of(bucket_settings(s3, secret, BUCKET, "")) as outer:
        assert await read(outer, "a/b/one") == b"light"


async def test_a_folder_shows_no_half_written_file_and_keeps_others_out(tmp_path: Path) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError("the disk is full")

    async with objects_of(Settings(objects=str(tmp_path / "files"))) as store:
        with pytest.raises(OSError, match="full"):
            await store.put(NAME, Breaking(b"light"))
        with pytest.raises(ObjectMissing):
            await read(store)
        await store.put(NAME, io.BytesIO(b"light"))
    assert (tmp_path / "files" / NAME).parent.stat().st_mode & 0o077 == 0
