"""Files as they are kept: sealed chunk by chunk under the subject's key, so that erasing a person erases them too.

Each chunk is bound to its file, its number and whether it is the last, so that none can be dropped, swapped or added.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import IO

from cryptography.exceptions import InvalidTag

from shared.eventlog.sealing import Keyring

CHUNK = 1 << 20
LENGTH_BYTES = 4
_MOST = CHUNK + 64


class FileDamaged(Exception):
    """What the store gave back is not what was put there."""


async def seal_file(keyring: Keyring, ref: str, name: str, file: IO[bytes]) -> tuple[IO[bytes], str]:
    """The sealed form of a file, from its beginning, and its SHA-256. The key must be at hand."""
    sealed = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        return sealed, await _sealed_into(sealed, keyring, ref, name, file)
    except BaseException:
        sealed.close()
        raise


async def _sealed_into(sealed: IO[bytes], keyring: Keyring, ref: str, name: str, file: IO[bytes]) -> str:
    digest = sha256()
    file.seek(0)
    number, chunk = 0, file.read(CHUNK)
    while True:
        following = file.read(CHUNK)
        framed = keyring.encrypt(ref, chunk, _place(name, number, last=not following))
        for part in (len(framed).to_bytes(LENGTH_BYTES, "big"), framed):
            digest.update(part)
            sealed.write(part)
        if not following:
            return digest.hexdigest()
        number, chunk = number + 1, following
        await asyncio.sleep(0)


async def open_file(keyring: Keyring, ref: str, name: str, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks of a sealed file. Raises FileDamaged; LookupError when the key is not at hand."""
    opens = keyring.opener(ref)
    number, held = 0, bytearray()
    frame: bytes | None = None
    async for block in blocks:
        held += block
        while (following := _frame(held)) is not None:
            if frame is not None:
                yield _opened(opens, _place(name, number, last=False), frame)
                number += 1
            frame = following
    if held or frame is None:
        raise FileDamaged(name)
    yield _opened(opens, _place(name, number, last=True), frame)


def _frame(held: bytearray) -> bytes | None:
    """Take the next whole frame off."""
    length = int.from_bytes(held[:LENGTH_BYTES], "big")
    if length > _MOST:
        raise FileDamaged("frame")
    if len(held) < LENGTH_BYTES or len(held) < LENGTH_BYTES + length:
        return None
    frame = bytes(held[LENGTH_BYTES : LENGTH_BYTES + length])
    del held[: LENGTH_BYTES + length]
    return frame


def _opened(opens: Callable[[bytes, str], bytes], place: str, frame: bytes) -> bytes:
    try:
        return opens(frame, place)
    except (InvalidTag, ValueError):  # changed, or too short to be one
        raise FileDamaged(place) from None


def _place(name: str, number: int, last: bool) -> str:
    return f"file/{name}/{number}{'/last' if last else ''}"
