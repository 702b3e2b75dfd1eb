"""Real appeals that nobody here wrote. They lie beside the project, never in it; tests that need them say so."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("JIESU_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def real(name: str) -> list[dict[str, str]]:
    """The rows of one file. Skips where the data is not."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"real data: {path.name}")  # it may not be published, so nobody can be required to have it
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
