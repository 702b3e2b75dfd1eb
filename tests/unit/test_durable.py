"""Small files that must not be lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.eventlog.durable import create_durably


def test_what_is_there_stands_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    create_durably(tmp_path / "master.old.key", b"first")
    with pytest.raises(FileExistsError):
        create_durably(tmp_path / "master.old.key", b"second")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("master.old.key", b"first")]
    assert (tmp_path / "master.old.key").stat().st_mode & 0o077 == 0
