"""The host's clock is corrected by what the database says, not by how long it takes to say it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from shared.engine.clock import SystemClock


class Host:
    """A host whose time passes when told to; the database is ahead of it by `ahead` seconds."""

    def __init__(self, ahead: float) -> None:
        self.at, self.ahead = 1_800_000_000.0, ahead

    def time(self) -> float:
        return self.at

    async def database(self) -> datetime:
        """Five seconds there, five seconds back."""
        self.at += 5
        said = datetime.fromtimestamp(self.at + self.ahead, UTC)
        self.at += 5
        return said


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Host:
    made = Host(request.param)
    monkeypatch.setattr("shared.engine.clock.time", made)
    return made


AHEAD = pytest.mark.parametrize("host", [0.0, 300.0, -300.0], indirect=True)


@AHEAD
async def test_a_slow_answer_of_the_database_does_not_count_as_a_difference(host: Host) -> None:
    clock = SystemClock()
    assert await clock.agree_with(host.database) == host.ahead
    assert clock.now().timestamp() == host.at + host.ahead


@AHEAD
async def test_agreeing_again_does_not_add_up(host: Host) -> None:
    clock = SystemClock()
    for _ in range(3):
        await clock.agree_with(host.database)
    host.at += 60
    assert clock.now().timestamp() == host.at + host.ahead
