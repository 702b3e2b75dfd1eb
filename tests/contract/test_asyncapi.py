"""The AsyncAPI documents are valid: the official parser says so."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from shared.contracts.documents import SERVICES, asyncapi
from shared.contracts.envelope import ServiceName
from tests.support.missing import missing

HERE = Path(__file__).parent / "asyncapi"
INSTALL = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--silent"]


@pytest.fixture(scope="module")
def parser() -> list[str]:
    """The command of the official parser, installed once."""
    if shutil.which("npm") is None:
        missing("npm is not installed")
    if subprocess.run(INSTALL, cwd=HERE, capture_output=True, check=False, timeout=120).returncode:
        missing("npm could not install @asyncapi/parser")
    return ["node", str(HERE / "validate.mjs")]


@pytest.mark.parametrize("service", SERVICES)
def test_the_official_parser_finds_nothing_wrong(parser: list[str], service: ServiceName) -> None:
    document = asyncapi(service)
    checked = subprocess.run(parser, input=json.dumps(document), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert int(checked.stdout) >= len(document["components"]["messages"])


def test_the_official_parser_would_find_what_is_wrong(parser: list[str]) -> None:
    document = asyncapi("intake")
    del document["channels"]["intake"]
    checked = subprocess.run(parser, input=json.dumps(document), capture_output=True, text=True, check=False)
    assert checked.returncode == 1 and "channels" in checked.stderr
