"""What we are made of: pinned with hashes, above the versions with known weaknesses, and listed as it is installed."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PINNED = dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", LOCK, re.MULTILINE))
FLOORS = {"starlette": "1.3.1", "python-multipart": "0.0.31", "h11": "0.16", "pyjwt": "2.13", "authlib": "1.6.9"}
"""Below these there are published weaknesses (SECURITY.md); those that are not used need no pin."""
REFUSED = {"python-jose", "passlib", "clamd"}


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


@pytest.mark.parametrize("name", FLOORS)
def test_no_component_is_older_than_its_floor(name: str) -> None:
    assert name not in PINNED or _numbers(PINNED[name]) >= _numbers(FLOORS[name])


def test_what_is_no_longer_looked_after_is_not_used() -> None:
    assert not REFUSED & PINNED.keys()


def test_every_component_is_pinned_with_hashes_and_no_place_to_fetch_it_from() -> None:
    entries = re.split(r"\n(?=[a-z0-9])", LOCK)
    assert len(PINNED) > 50 and all("--hash=sha256:" in entry for entry in entries if "==" in entry)
    assert "://" not in LOCK and "--index" not in LOCK


def test_kafka_is_no_older_than_its_floor() -> None:
    found = re.findall(r"apache/kafka:(\S+)", (ROOT / "deploy" / "compose.yml").read_text())
    found += re.findall(r"<version>(4[\d.]+)</version>", (ROOT / "deploy" / "kafka" / "pom.xml").read_text())
    assert found and all(_numbers(version) >= [4, 1, 2] for version in found)


def test_the_list_of_components_is_what_is_installed(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--of", "JSON", "-o", file, sys.executable]
    subprocess.run(command, check=True, capture_output=True)
    listed = {
        (one["name"].lower().replace("_", "-"), one["version"]) for one in json.loads(file.read_text())["components"]
    }
    installed = {(one.name.lower().replace("_", "-"), one.version) for one in distributions()}
    assert {one for one in installed if one[0] != "jiesu"} <= listed | {("jiesu", "0.1.0")}


def test_every_requirement_of_the_standard_has_an_answer_that_is_there() -> None:
    """docs/asvs.csv: OWASP ASVS 5.0.0, levels 1 and 2."""
    lines = (ROOT / "docs" / "asvs.csv").read_text().splitlines()[1:]

    rows = list(csv.reader(lines))
    assert len(rows) == 253 and len({row[0] for row in rows}) == 253
    for identity, level, about, status, evidence, note in rows:
        assert level in {"1", "2"} and about and status in {"test", "code", "document", "outside", "open"}, identity
        if status in {"test", "code", "document"}:
            assert (ROOT / evidence.partition("::")[0]).exists(), (identity, evidence)
        else:
            assert note, identity
