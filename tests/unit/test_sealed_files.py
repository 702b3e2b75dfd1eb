"""A sealed file opens to exactly what was put in, under its own name and key, or not at all."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from hashlib import sha256

import pytest

from shared.engine.sealed_files import CHUNK, LENGTH_BYTES, FileDamaged, open_file, seal_file
from shared.eventlog.sealing import Keyring
from shared.eventlog.vault import MemoryVault
from tests.unit.test_sealing import keyring

NAME = "attachments/a-1/one"
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK]


def content(size: int) -> bytes:
    """So many bytes, no two chunks alike."""
    return b"".join(number.to_bytes(8, "big") for number in range(size // 8 + 1))[:size]


async def sealed(ring: Keyring, raw: bytes, name: str = NAME) -> bytes:
    file, digest = await seal_file(ring, "k1", name, io.BytesIO(raw))
    with file:
        file.seek(0)
        whole = file.read()
    assert digest == sha256(whole).hexdigest()
    return whole


async def opened(ring: Keyring, whole: bytes, name: str = NAME, block: int = CHUNK) -> bytes:
    async def blocks() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), block):
            yield whole[start : start + block]

    return b"".join([chunk async for chunk in open_file(ring, "k1", name, blocks())])


def frames(whole: bytes) -> list[bytes]:
    """The chunks of a sealed file, each with its length."""
    found = []
    while whole:
        end = LENGTH_BYTES + int.from_bytes(whole[:LENGTH_BYTES], "big")
        found.append(whole[:end])
        whole = whole[end:]
    return found


@pytest.mark.parametrize("size", SIZES)
async def test_a_file_of_any_size_comes_back_as_it_was(size: int) -> None:
    ring, raw = await keyring("k1"), content(size)
    whole = await sealed(ring, raw)
    assert await opened(ring, whole) == raw
    assert len(frames(whole)) == max(1, -(-size // CHUNK)) and (size < 100 or raw[:50] not in whole)


@pytest.mark.parametrize("block", [1, 3, 5, 1000, CHUNK + 33, 10 * CHUNK])
async def test_a_file_may_come_in_blocks_of_any_size(block: int) -> None:
    ring, raw = await keyring("k1"), content(2 * CHUNK + 7 if block > 100 else 200)
    assert await opened(ring, await sealed(ring, raw), block=block) == raw


async def test_a_file_is_sealed_from_its_beginning_wherever_it_was_read_to() -> None:
    ring, file = await keyring("k1"), io.BytesIO(b"light")
    file.read()
    again, _ = await seal_file(ring, "k1", NAME, file)
    with again:
        again.seek(0)
        assert await opened(ring, again.read()) == b"light"


DAMAGE: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "last chunk dropped": lambda chunks: chunks[:-1],
    "first chunk dropped": lambda chunks: chunks[1:],
    "chunks swapped": lambda chunks: [chunks[1], chunks[0], chunks[2]],
    "chunk sent twice": lambda chunks: [chunks[0], *chunks],
    "last chunk appended": lambda chunks: [*chunks, chunks[2]],
    "first chunk appended": lambda chunks: [*chunks, chunks[0]],
    "cut in a chunk": lambda chunks: [*chunks[:-1], chunks[2][:-1]],
    "cut in a length": lambda chunks: [*chunks, b"\0\0"],
    "everything gone": lambda chunks: [],
    "huge length": lambda chunks: [*chunks, b"\xff" * LENGTH_BYTES + b"x"],
    "empty chunk of noise": lambda chunks: [*chunks, (28).to_bytes(LENGTH_BYTES, "big") + bytes(28)],
}


@pytest.mark.parametrize("what", DAMAGE)
async def test_a_file_that_was_changed_in_the_store_does_not_open(what: str) -> None:
    ring = await keyring("k1")
    changed = b"".join(DAMAGE[what](frames(await sealed(ring, content(2 * CHUNK + 9)))))
    with pytest.raises(FileDamaged):
        await opened(ring, changed)


async def test_not_one_bit_may_change() -> None:
    ring, raw = await keyring("k1"), b"light"
    whole = await sealed(ring, raw)
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FileDamaged):
            await opened(ring, bytes(changed))


async def test_a_huge_length_is_refused_before_anything_is_gathered() -> None:
    ring, read = await keyring("k1"), []

    async def many() -> AsyncIterator[bytes]:
        for _ in range(50):
            read.append(1)
            yield b"\xff" * 100

    with pytest.raises(FileDamaged):
        [chunk async for chunk in open_file(ring, "k1", NAME, many())]
    assert len(read) == 1


async def test_an_object_of_zeros_is_damaged_and_nothing_worse() -> None:
    ring = await keyring("k1")
    with pytest.raises(FileDamaged):
        await opened(ring, bytes(4096))


async def test_a_file_opens_under_its_own_name_alone() -> None:
    ring = await keyring("k1")
    whole = await sealed(ring, b"light")
    with pytest.raises(FileDamaged):
        await opened(ring, whole, "attachments/a-1/two")


async def test_a_chunk_of_another_file_of_the_same_person_does_not_fit() -> None:
    ring, raw = await keyring("k1"), content(2 * CHUNK)
    one, other = frames(await sealed(ring, raw)), frames(await sealed(ring, raw, "attachments/a-1/two"))
    with pytest.raises(FileDamaged):
        await opened(ring, one[0] + other[1])


async def test_without_the_key_nothing_opens() -> None:
    vault = MemoryVault()
    ring = await keyring("k1", vault=vault)
    whole = await sealed(ring, b"light")
    ring.forget("k1")
    with pytest.raises(LookupError):
        await opened(ring, whole)
