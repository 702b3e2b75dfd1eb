"""When a token counts: the issuer's clock may be a little ahead of ours, and an end is an end."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from shared.engine.clock import ManualClock
from shared.web.problems import Problem
from shared.web.tokens import Tokens
from tests.support.city import START

SEED = b"t" * 32
HOUR = 3600


def token(issued: datetime, seconds: int = HOUR) -> str:
    return Tokens(SEED, ManualClock(issued)).issue("AGENT", "agent@city", seconds)


@pytest.mark.parametrize("ahead", [-HOUR // 2, 0, 30, 60])
def test_a_token_of_an_issuer_whose_clock_is_a_little_ahead_is_accepted(ahead: int) -> None:
    issued = START + timedelta(seconds=ahead)
    principal = Tokens(SEED, ManualClock(START)).principal(token(issued))
    assert (principal.sub, principal.roles) == ("agent@city", ("AGENT",))
    assert principal.expires == issued.timestamp() + HOUR


@pytest.mark.parametrize("ahead", [61, 120, HOUR])
def test_a_token_from_further_in_the_future_is_refused_until_its_time_has_come(ahead: int) -> None:
    clock = ManualClock(START)
    tokens, early = Tokens(SEED, clock), token(START + timedelta(seconds=ahead))
    with pytest.raises(Problem) as refusal:
        tokens.principal(early)
    assert refusal.value.code == "UNAUTHENTICATED"
    clock.advance(timedelta(seconds=ahead))
    assert tokens.principal(early).sub == "agent@city"


@pytest.mark.parametrize("known", [False, True])
def test_a_token_ends_to_the_second_whether_it_was_seen_before_or_not(known: bool) -> None:
    clock = ManualClock(START)
    tokens, short = Tokens(SEED, clock), token(START, 60)
    if known:
        assert tokens.principal(short).sub == "agent@city"
    clock.advance(timedelta(seconds=60))
    with pytest.raises(Problem):
        tokens.principal(short)
