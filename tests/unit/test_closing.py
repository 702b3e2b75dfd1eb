"""关账: a period is published once; a restatement follows on what stands, differs, and covers nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from services.scoring_service.closing import PERIOD, ClosePeriod, RestatePeriod
from shared.contracts.codes import Basis, League
from shared.contracts.envelope import BEIJING, Payload
from shared.contracts.scoring import Figures, PeriodClosed, PeriodRestated
from shared.engine.decider import Command
from tests.support.spec import given
from tests.unit.pairs import NOTHING, every_pair, outcome

AT = datetime(2026, 12, 24, 0, 0, tzinfo=BEIJING)
STREETS, DISTRICTS = League.STREET_TOWN, League.DISTRICT


def published(number: int, league: League = STREETS, digest: str = "d0") -> dict[str, Any]:
    """What is published when so many appeals count."""
    return {
        "period": "2026-12",
        "league": league,
        "policy_version": "BJ-HR-2025",
        "starts_at": AT,
        "ends_at": AT,
        "as_of": AT,
        "columns": ("received",),
        "figures": (Figures(basis=Basis.ALL, units=(("u", "U", (number,)),), expected={}),),
        "digest": digest,
        "note": "",
    }


def closed(number: int = 7, league: League = STREETS, digest: str = "d0") -> PeriodClosed:
    return PeriodClosed(**published(number, league, digest))


def restated(
    number: int, replaces: str = "d0", digest: str = "d1", league: League = STREETS, no: int = 1
) -> PeriodRestated:
    said = published(number, league, digest)
    return PeriodRestated(**said, number=no, replaces=replaces, causes=(), causes_in_all=0)


def close(*tables: PeriodClosed) -> ClosePeriod:
    return ClosePeriod(at=AT, tables=tables)


def restate(*tables: PeriodRestated) -> RestatePeriod:
    return RestatePeriod(at=AT, tables=tables)


def test_a_period_is_published_league_by_league() -> None:
    both = (closed(), closed(3, DISTRICTS, "e0"))
    given(PERIOD).when(close(*both)).then(*both)


def test_a_published_period_is_not_published_again_not_even_for_another_league() -> None:
    given(PERIOD, closed()).when(close(closed())).then_refused("PERIOD_CLOSED")
    given(PERIOD, closed()).when(close(closed(league=DISTRICTS))).then_refused("PERIOD_CLOSED")


def test_other_figures_are_published_beside_the_ones_before() -> None:
    given(PERIOD, closed()).when(restate(restated(8))).then(restated(8))


def test_the_same_figures_are_no_news() -> None:
    given(PERIOD, closed()).when(restate(restated(7))).then()


def test_a_restatement_of_what_no_longer_stands_is_dropped() -> None:
    first = restated(8)
    given(PERIOD, closed(), first).when(restate(restated(9))).then()
    given(PERIOD, closed(), first).when(restate(first)).then()
    second = restated(9, replaces="d1", digest="d2", no=2)
    given(PERIOD, closed(), first).when(restate(second)).then(second)


def test_figures_may_come_back_to_what_they_were() -> None:
    back = restated(7, replaces="d1", digest="d2", no=2)
    given(PERIOD, closed(7), restated(8)).when(restate(back)).then(back)


def test_every_league_has_a_history_of_its_own() -> None:
    history = (closed(), closed(3, DISTRICTS, "e0"), restated(8))
    streets, districts = restated(9, "d1", "d2"), restated(4, "e0", "e1", DISTRICTS)
    given(PERIOD, *history).when(restate(restated(9), districts)).then(districts)
    given(PERIOD, *history).when(restate(streets, restated(3, "e0", "e1", DISTRICTS))).then(streets)


def test_a_league_that_was_not_published_cannot_be_restated() -> None:
    given(PERIOD, closed()).when(restate(restated(4, "d0", "e1", DISTRICTS))).then()


HISTORIES: dict[str, tuple[Payload, ...]] = {"OPEN": (), "CLOSED": (closed(),), "restated": (closed(), restated(8))}
EXPECTED = {
    "OPEN": {"close": "PeriodClosed", "restate": NOTHING, "restate again": NOTHING},
    "CLOSED": {"close": "PERIOD_CLOSED", "restate": "PeriodRestated", "restate again": NOTHING},
    "restated": {"close": "PERIOD_CLOSED", "restate": NOTHING, "restate again": "PeriodRestated"},
}
COMMANDS: dict[str, Command] = {
    "close": close(closed()),
    "restate": restate(restated(8)),
    "restate again": restate(restated(9, "d1", "d2", no=2)),
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_command_in_every_state_of_a_period_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(PERIOD, HISTORIES[state], COMMANDS[command]) == follows


@pytest.mark.parametrize(("state", "called"), [("OPEN", "OPEN"), ("CLOSED", "CLOSED"), ("restated", "CLOSED")])
def test_a_period_is_open_until_something_is_published(state: str, called: str) -> None:
    assert PERIOD.fold(HISTORIES[state]).state == called


def test_the_last_publication_is_what_stands() -> None:
    assert PERIOD.fold(HISTORIES["restated"]).last == {STREETS: restated(8)}


def test_an_unknown_command_is_a_mistake_in_the_programme() -> None:
    with pytest.raises(TypeError):
        PERIOD.decide(Command(at=AT), PERIOD.initial)
