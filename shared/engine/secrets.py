"""The key files of an installation: read once at start, never logged, never in the database."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

KEY_BYTES = 32


class KeyFileMissing(Exception):
    """A key file is missing or has the wrong size; the message names it."""


@dataclass(frozen=True)
class Secrets:
    """`master` wraps the subjects' keys, `token` signs local bearer tokens, `index` blinds contact data and cursors,
    `signing` is the Ed25519 seed that publications are signed with. `folder` is where they came from.
    """

    master: bytes = field(repr=False)
    token: bytes = field(repr=False)
    index: bytes = field(repr=False)
    signing: bytes = field(repr=False)
    folder: Path | None = None


def read_secrets(directory: Path, create: bool, random_bytes: Callable[[int], bytes] = os.urandom) -> Secrets:
    """Read `master.key`, `token.key`, `index.key`, `signing.key`, 32 bytes each; create missing ones where allowed."""
    master, token, index, signing = (
        one_key(directory / f"{name}.key", create, random_bytes) for name in ("master", "token", "index", "signing")
    )
    return Secrets(master, token, index, signing, directory)


def one_key(path: Path, create: bool, random_bytes: Callable[[int], bytes] = os.urandom) -> bytes:
    """The 32 bytes of a key file. Raises KeyFileMissing."""
    if create and not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(random_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
    if not path.exists() and not path.parent.exists():
        raise KeyFileMissing(
            f"{path} is not there; go to the city's folder or name it in JIESU_HOME, or restore your backup of the keys"
        )
    if not path.exists() or len(key := path.read_bytes()) != KEY_BYTES:
        raise KeyFileMissing(f"{path} must hold {KEY_BYTES} random bytes; restore it from your backup of the keys")
    return key
