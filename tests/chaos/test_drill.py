"""Exactly once, shown in short: `make chaos` is the long version of this."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.chaos.drill import drill
from tests.support.kafka import needs_java

LIVES, SEED, EVERY_SECONDS = 60, 7, 1.5


async def test_lives_survive_kills_of_services_sessions_and_the_broker() -> None:
    needs_java()
    folder = Path(tempfile.mkdtemp(prefix="jiesu-chaos-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        accounts = await drill(folder, LIVES, SEED, EVERY_SECONDS, lambda *_: None)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert not accounts.wrong, "\n".join(accounts.wrong)
    assert sum(accounts.ended.values()) == LIVES and accounts.events > 10 * LIVES
    assert sum(accounts.faults.values()) > 4, accounts.faults
