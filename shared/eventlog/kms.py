"""The master key, behind a port: it wraps the keys that personal texts are sealed with, and never leaves its keeper.

Envelope encryption: one key per appeal seals its texts, the master key wraps that key. So the master key may change
without touching the log: every wrapped key is wrapped anew. Here the keeper is a file; an HSM or a cloud's key service
is another adapter of the same two calls.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MASTER, OLD = "master.key", "master.old.key"
NONCE_BYTES, ID_BYTES, KEY_BYTES = 12, 4, 32
_VERSION = b"\x01"
_BEFORE_IDS = NONCE_BYTES + KEY_BYTES + 16
"""Length of a key that was wrapped before master keys had ids: nonce, key, tag."""


class WrongMasterKey(Exception):
    """The master key does not open the keys in the vault; restore the key file that belongs to this database."""


class MasterKeys(Protocol):
    """Whoever keeps the master key. Each key is bound to its ref: wrapped for another it does not open."""

    async def wrap(self, keys: Mapping[str, bytes]) -> dict[str, bytes]:
        """These keys, by ref, wrapped under the newest master key."""
        ...

    async def unwrap(self, wrapped: Mapping[str, bytes]) -> dict[str, bytes]:
        """The inverse, under whichever master key. Raises WrongMasterKey."""
        ...


class FileMasterKeys:
    """Master keys in files: `master.key` wraps, `master.old.key` still opens while a rotation is under way.

    With a folder, files that change are read again: a rotation needs no restart.
    """

    def __init__(
        self, master: bytes, folder: Path | None = None, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._folder, self._random = folder, random_bytes
        self._keys = {key_id(master): AESGCM(master)}
        self._current = key_id(master)
        self._seen = self._stamp()
        self._read_again()

    @property
    def current(self) -> bytes:
        """What a key that the newest master key has wrapped begins with."""
        self._freshen()
        return _VERSION + self._current

    async def wrap(self, keys: Mapping[str, bytes]) -> dict[str, bytes]:
        self._freshen()
        return {ref: self._wrapped(ref, key) for ref, key in keys.items()}

    async def unwrap(self, wrapped: Mapping[str, bytes]) -> dict[str, bytes]:
        self._freshen()
        return {ref: self._unwrapped(ref, one) for ref, one in wrapped.items()}

    def _wrapped(self, ref: str, key: bytes) -> bytes:
        nonce = self._random(NONCE_BYTES)
        return _VERSION + self._current + nonce + self._keys[self._current].encrypt(nonce, key, ref.encode())

    def _unwrapped(self, ref: str, wrapped: bytes) -> bytes:
        if len(wrapped) == _BEFORE_IDS:
            candidates, sealed = list(self._keys.values()), wrapped
        else:
            known = self._keys.get(wrapped[1 : 1 + ID_BYTES]) if wrapped[:1] == _VERSION else None
            candidates, sealed = [known] if known else [], wrapped[1 + ID_BYTES :]
        for key in candidates:
            try:
                return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], ref.encode())
            except (InvalidTag, ValueError):  # another key, or cut off
                continue
        raise WrongMasterKey(f"the key {ref} in the vault was wrapped by another master key, or is damaged")

    def _freshen(self) -> None:
        if (stamp := self._stamp()) != self._seen:
            self._seen = stamp
            self._read_again()

    def _stamp(self) -> tuple[int, ...]:
        files = [self._folder / name for name in (MASTER, OLD)] if self._folder else []
        return tuple(part for file in files for part in _mark(file))

    def _read_again(self) -> None:
        if self._folder and (master := _read(self._folder / MASTER)):
            raw = [master, *([old] if (old := _read(self._folder / OLD)) else [])]
            self._keys = {key_id(key): AESGCM(key) for key in raw}
            self._current = key_id(master)


def _mark(file: Path) -> tuple[int, ...]:
    """What changes when a file does; it may go at any moment."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_mtime_ns


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def key_id(master: bytes) -> bytes:
    """The name of a master key, which tells nothing about it."""
    return sha256(b"jiesu master key\n" + master).digest()[:ID_BYTES]
