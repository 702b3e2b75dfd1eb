"""A department that is called: the appeal is its business from then on, and it comes once however often it says so."""

from __future__ import annotations

from services.scoring_service.counting import MEASURES
from services.scoring_service.life import Fact, Kind, Rule, life_of, shares
from services.scoring_service.lives import owned

SENT = {"unit": "street", "district": "district", "registered_at": "2026-11-20T09:00:00.000+08:00"}
CAME = {"number": 1, "unit": "a", "refused": False, "late": False}


def at(minutes: int, kind: Kind, data: dict[str, object]) -> Fact:
    return Fact(f"2026-11-20T10:{minutes:02d}:00.000+08:00", f"e{minutes}", kind, 1, data)


FACTS = (
    at(5, Kind.DISPATCHED, SENT),
    at(10, Kind.WHISTLE, {"number": 1, "departments": ["a", "b"], "street": "street"}),
    at(15, Kind.REPORTED, CAME),
    at(20, Kind.REPORTED, CAME),
)


def test_the_appeal_is_theirs_as_soon_as_they_are_called() -> None:
    assert owned(life_of(FACTS[:1])).units == {"street"}
    assert owned(life_of(FACTS[:2])).units == {"street", "a", "b"}
    assert owned(life_of(FACTS)).district == "district"


def test_coming_twice_is_coming_once() -> None:
    mine = next(share for share in shares(life_of(FACTS), Rule.LAST) if share.unit_id == "a")
    assert [mine.counts[MEASURES.index(name)] for name in ("called", "reported", "reported_in_time")] == [1, 1, 1]
