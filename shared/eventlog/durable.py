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
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{gethostname()}-{os.getpid()}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as opened:
        opened.write(raw)
        opened.flush()
        os.fsync(opened.fileno())
    move_durably(beside, file)


def move_durably(written: Path, file: Path) -> None:
    """Put a file that is on disk in the place of another in the same folder, and that on disk too."""
    written.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
