"""Commands that bring a file: read piece by piece into a file without a name, hashed on the way, gone when answered."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import Message
from functools import partial
from hashlib import sha256
from typing import IO, Any

from pydantic import BaseModel
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from shared.engine.runtime import Running
from shared.web.bodies import unencoded
from shared.web.commands import CommandRoute
from shared.web.problems import Problem

MULTIPART = "multipart/form-data"
MOST_FIELDS = 10
LONGEST_FIELD = 2048
BLOCK = 1 << 20


@dataclass(frozen=True)
class Upload:
    """What came: the file, what its sender called it and said it was, and the other fields of the form.

    `notes` is for whoever works on it: a command may be decided twice, the file need not be looked at twice. Files that
    are `made` of it are closed with it.
    """

    file: IO[bytes]
    name: str | None
    media_type: str
    size: int
    digest: bytes
    fields: Mapping[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    made: list[IO[bytes]] = field(default_factory=list)


@dataclass(frozen=True)
class FileRoute(CommandRoute):
    """A command whose body is a file of at most `most_bytes`: a form with `file` in it, or one of the `raw` types.

    `query` describes what is said beside a raw file; `handle` finds it in the upload's fields.
    """

    most_bytes: Callable[[], int] = lambda: 0
    raw: tuple[str, ...] = ()
    before: Callable[[Request, Running], Awaitable[None]] | None = None
    query: type[BaseModel] | None = None

    @property
    def media_types(self) -> tuple[str, ...]:
        return self.raw or (MULTIPART,)

    @asynccontextmanager
    async def read(self, request: Request, running: Running) -> AsyncIterator[tuple[Any, Callable[[], bytes]]]:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        unencoded(request)
        if self.before is not None:
            await self.before(request, running)
        pieces = _limited(request, self.most_bytes())
        if media_type not in self.media_types:
            raise Problem("UNSUPPORTED_MEDIA_TYPE", f"send {', '.join(self.media_types)}")
        if self.raw:
            with tempfile.TemporaryFile() as file:
                yield await self._taken(request, file, pieces, media_type)
        else:
            async with _form(request, pieces) as upload:
                yield upload, partial(_fingerprint, request, upload.digest)

    async def _taken(
        self, request: Request, file: IO[bytes], pieces: AsyncIterator[bytes], media_type: str
    ) -> tuple[Upload, Callable[[], bytes]]:
        digest, size = sha256(), 0
        async for piece in pieces:
            digest.update(piece)
            size += file.write(piece)
        fields = _parameters(request.headers.get("content-type", "")) | dict(request.query_params)
        upload = Upload(file, None, media_type, size, digest.digest(), fields)
        return upload, partial(_fingerprint, request, upload.digest)


def _parameters(content_type: str) -> dict[str, str]:
    """What a media type says beside itself, e.g. its charset."""
    message = Message()
    message["content-type"] = content_type
    charset = message.get_content_charset()
    return {"charset": charset} if charset else {}


async def _limited(request: Request, most: int) -> AsyncIterator[bytes]:
    too_large = Problem("BODY_TOO_LARGE", f"at most {most} bytes", headers={"Connection": "close"})
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > most:
        raise too_large
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise too_large
        yield piece


@asynccontextmanager
async def _form(request: Request, pieces: AsyncIterator[bytes]) -> AsyncIterator[Upload]:
    """RFC 7578: one part `file`, and a few short fields."""
    limits: Any = {"max_files": 1, "max_fields": MOST_FIELDS, "max_part_size": LONGEST_FIELD}
    parser = MultiPartParser(request.headers, pieces, **limits)  # type: ignore[arg-type]
    made: list[IO[bytes]] = []
    try:
        yield await _parsed(parser, made)
    finally:
        for opened in (*parser._files_to_close_on_error, *made):  # those of a form that was cut off among them
            opened.close()


async def _parsed(parser: MultiPartParser, made: list[IO[bytes]]) -> Upload:
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError):
        raise Problem("BAD_REQUEST", "the form cannot be read") from None
    part = form.get("file")
    if part is None or isinstance(part, str):
        raise Problem("VALIDATION_FAILED", errors=[{"pointer": "/file", "message": "the form has no file"}])
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    digest, size = await asyncio.to_thread(_digest, part.file)
    return Upload(part.file, part.filename, part.content_type or "", size, digest, fields, made=made)


def _digest(file: IO[bytes]) -> tuple[bytes, int]:
    digest, size = sha256(), 0
    file.seek(0)
    while block := file.read(BLOCK):
        digest.update(block)
        size += len(block)
    return digest.digest(), size


def _fingerprint(request: Request, digest: bytes) -> bytes:
    """What makes an upload the same upload: method, path with its query, and the file."""
    asked = f"{request.method} {request.scope['path']}?{request.url.query}\n"
    return sha256(asked.encode() + digest).digest()
