"""A small file that is either the old one or the new one, whatever happens in between, and on disk on return."""

from __future__ import annotations

import os
from pathlib import Path
from socket import gethostname


def write_durably(file: Path, text: str) -> None:
    """Replace a file's text. Raises OSError; then the old text stands."""
    replace_durably(file, text.encode())


def replace_durably(file: Path, raw: bytes) -> None:
    """The same for bytes. Nobody but the owner may read it."""
    move_durably(_beside(file, raw), file)


def create_durably(file: Path, raw: bytes) -> None:
    """A file that was not there before. Raises FileExistsError; then the other stands."""
    beside = _beside(file, raw)
    try:
        os.link(beside, file)
    finally:
        beside.unlink()
    _note(file.parent)


def move_durably(written: Path, file: Path) -> None:
    """Put a file that is on disk in the place of another in the same folder, and that on disk too."""
    written.replace(file)
    _note(file.parent)


def _beside(file: Path, raw: bytes) -> Path:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{gethostname()}-{os.getpid()}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as opened:
        opened.write(raw)
        opened.flush()
        os.fsync(opened.fileno())
    return beside


def _note(folder: Path) -> None:
    """What a folder lists, on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
