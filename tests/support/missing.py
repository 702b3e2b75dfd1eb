"""What a machine lacks is a skip with a name; where everything is required (`.ci/run`) it is a failure."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip this test, or fail it where REQUIRE_EVERYTHING is set."""
    if os.environ.get("REQUIRE_EVERYTHING"):
        pytest.fail(what)
    pytest.skip(what)
