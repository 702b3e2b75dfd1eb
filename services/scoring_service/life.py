"""One life as assessment sees it: the facts that the log holds about an appeal, and what they come to.

Pure, and the same whatever order the facts were heard in: they are sorted by time before they are read. What comes out
is a share for every unit that the appeal counts for, under either rule of which round counts; tables are sums of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple

from services.scoring_service.counting import Numbers, numbers
from shared.contracts.codes import Satisfaction, Urgency
from shared.contracts.envelope import BEIJING


class Kind(StrEnum):
    """What a fact is about."""

    DISPATCHED = "DISPATCHED"
    SIGNED = "SIGNED"
    SIGNED_LATE = "SIGNED_LATE"
    CONTACTED = "CONTACTED"
    ANSWERED = "ANSWERED"
    ESCALATED = "ESCALATED"
    VERDICT = "VERDICT"
    REVIEWED = "REVIEWED"
    DROPPED = "DROPPED"
    EXCLUDED = "EXCLUDED"
    WHISTLE = "WHISTLE"
    REPORTED = "REPORTED"
    ABSENT = "ABSENT"
    PART_DONE = "PART_DONE"
    WHISTLE_CLOSED = "WHISTLE_CLOSED"


class Fact(NamedTuple):
    """What an event says here. `at` is written as in the log; with `event_id` it gives the one order of facts."""

    at: str
    event_id: str
    kind: str
    round: int
    data: dict[str, Any]


class Rule(StrEnum):
    """Which round counts: the first that was answered for, or the last."""

    FIRST = "FIRST"
    LAST = "LAST"


class Share(NamedTuple):
    """What one appeal adds to one unit. `ground`: why it was left out of the assessed basis, empty where it was not."""

    unit_id: str
    category: str
    ground: str
    counts: Numbers


@dataclass(slots=True)
class Round:
    """One time round: who was responsible, what the log says of it, and what the resident said."""

    number: int
    dispatched: Fact | None = None
    signed: bool = False
    signed_late: bool = False
    contacted_in_time: bool = False
    answered_in_time: bool = False
    verdict: Fact | None = None
    struck: Fact | None = None

    @property
    def unit_id(self) -> str | None:
        """Whoever was asked about, or else whoever had it last."""
        of = self.verdict or self.dispatched
        return of.data["unit"] if of else None

    @property
    def valid(self) -> bool:
        return self.verdict is not None and bool(self.verdict.data["valid"]) and self.struck is None


@dataclass(slots=True)
class Life:
    """All facts about an appeal, in order, and what they say together."""

    facts: Sequence[Fact]
    registered_at: datetime | None = None
    rounds: dict[int, Round] = field(default_factory=dict)
    dropped: Fact | None = None
    excluded: dict[str, Fact] = field(default_factory=dict)
    escalated: bool = False
    whistles: list[Fact] = field(default_factory=list)

    @property
    def changed_at(self) -> str:
        return self.facts[-1].at if self.facts else ""

    @property
    def counts(self) -> bool:
        """Whether it is in any denominator: somebody was responsible, and it was neither merged nor withdrawn."""
        return self.dropped is None and any(each.dispatched for each in self.rounds.values())


def life_of(facts: Iterable[Fact], until: datetime | None = None) -> Life:
    """What these facts come to; only those up to a moment, where one is given."""
    in_order = sorted(facts, key=lambda fact: fact[:2])
    if until is not None:
        in_order = [fact for fact in in_order if datetime.fromisoformat(fact.at) <= until]
    life = Life(in_order)
    for fact in in_order:
        _take(life, fact)
    return life


def _take(life: Life, fact: Fact) -> None:
    if fact.kind in _MARKS:
        each = life.rounds.get(fact.round)
        if each is None:
            each = life.rounds[fact.round] = Round(fact.round)
        _MARKS[fact.kind](each, fact)
    elif fact.kind in _WHISTLES:
        life.whistles.append(fact)
    elif fact.kind == Kind.DROPPED:
        life.dropped = fact
    elif fact.kind == Kind.EXCLUDED:
        life.excluded.setdefault(fact.data["unit"], fact)
    elif fact.kind == Kind.ESCALATED:
        life.escalated = True
    if life.registered_at is None and "registered_at" in fact.data:
        life.registered_at = datetime.fromisoformat(fact.data["registered_at"])


def _sent(each: Round, fact: Fact) -> None:
    """Sent on to another unit within the round, it begins anew for that one."""
    each.dispatched = fact
    each.signed = each.signed_late = each.contacted_in_time = each.answered_in_time = False


def _signed(each: Round, _: Fact) -> None:
    each.signed = True


def _signed_late(each: Round, _: Fact) -> None:
    each.signed_late = True


def _contacted(each: Round, fact: Fact) -> None:
    each.contacted_in_time = bool(fact.data["in_time"])


def _answered(each: Round, _: Fact) -> None:
    each.answered_in_time = True


def _judged(each: Round, fact: Fact) -> None:
    each.verdict = fact


def _reviewed(each: Round, fact: Fact) -> None:
    each.struck = None if fact.data["stands"] else fact


_MARKS: Mapping[str, Callable[[Round, Fact], None]] = {
    Kind.DISPATCHED: _sent,
    Kind.SIGNED: _signed,
    Kind.SIGNED_LATE: _signed_late,
    Kind.CONTACTED: _contacted,
    Kind.ANSWERED: _answered,
    Kind.VERDICT: _judged,
    Kind.REVIEWED: _reviewed,
}
"""What a fact about one round changes in it."""
_WHISTLES = frozenset((Kind.WHISTLE, Kind.REPORTED, Kind.ABSENT, Kind.PART_DONE, Kind.WHISTLE_CLOSED))


def counted_round(life: Life, rule: Rule) -> Round | None:
    """The round that counts. One without a valid answer never hides another: not being reachable mends no score."""
    if not life.counts:
        return None
    there = [each for each in life.rounds.values() if each.dispatched]
    sign = 1 if rule is Rule.LAST else -1
    return max(there, key=lambda each: (each.valid, sign * each.number))


def shares(life: Life, rule: Rule) -> list[Share]:
    """What the appeal adds to every unit that it counts for. None where it counts for nobody."""
    each = counted_round(life, rule)
    if each is None or each.dispatched is None or each.unit_id is None:
        return []
    category = each.dispatched.data.get("category") or ""
    whistles = _whistles(life, each.unit_id) if life.whistles else {}
    mine = _lead(life, each) | whistles.pop(each.unit_id, {})
    found = {each.unit_id: mine, **whistles}
    return [Share(unit, category, _ground(life, unit), numbers(**measures)) for unit, measures in found.items()]


def _ground(life: Life, unit: str) -> str:
    """Why the appeal was left out for a unit: what one has claimed does nothing for another."""
    return str(life.excluded[unit].data["ground"]) if unit in life.excluded else ""


def _lead(life: Life, each: Round) -> dict[str, int]:
    """What the responsible unit is counted for."""
    ended = [one for one in life.rounds.values() if one.verdict and one.dispatched]
    hard = life.escalated or (each.dispatched is not None and each.dispatched.data.get("tier") == Urgency.COMPLEX)
    found = {
        "received": 1,
        "closed": int(any(one.verdict.data["final"] for one in ended if one.verdict)),
        "callbacks": int(each.verdict is not None),
        "signed_in_time": int(each.signed and not each.signed_late),
        "contacted_in_time": int(each.contacted_in_time),
        "feedback_in_time": int(each.answered_in_time),
        "reworked": int(max(one.number for one in life.rounds.values()) > 1),
        "hard": int(hard),
    }
    if not each.valid or each.verdict is None:
        return found
    said = each.verdict.data
    resolved = said.get("resolved") is True
    return found | {
        "valid_callbacks": 1,
        "contacted": int(said.get("contacted") is True),
        "contact_stated": int(said.get("contacted") is not None),
        "resolved": int(resolved),
        "resolution_stated": int(said.get("resolved") is not None),
        said["satisfaction"].lower(): 1,
        "satisfaction_stated": int(said["satisfaction"] != Satisfaction.NOT_STATED),
        "hard_resolved": int(hard and resolved),
    }


def _whistles(life: Life, lead: str) -> dict[str, dict[str, int]]:
    """双考核: whoever whistled for whether that was right, every department for whether it came. Art 33.

    A whistle counts once it is over; a call once the department has come, has refused, or should have come.
    """
    found: dict[str, dict[str, int]] = {}
    blown: dict[int, Fact] = {}
    called: set[tuple[int, str]] = set()
    came: set[tuple[int, str]] = set()

    def count(unit: str, name: str, number: int = 1) -> None:
        mine = found.setdefault(unit, {})
        mine[name] = mine.get(name, 0) + number

    def call(number: int, units: Iterable[str]) -> None:
        for unit in units:
            if (number, unit) not in called:
                called.add((number, unit))
                count(unit, "called")

    for fact in life.whistles:
        data = fact.data
        whistle = blown.get(data["number"])
        match fact.kind:
            case Kind.WHISTLE:
                blown[data["number"]] = fact
            case Kind.REPORTED:
                call(data["number"], [data["unit"]])
                if not data["refused"] and (data["number"], data["unit"]) not in came:
                    came.add((data["number"], data["unit"]))
                    count(data["unit"], "reported")
                    count(data["unit"], "reported_in_time", int(not data["late"]))
            case Kind.ABSENT:
                call(data["number"], data["units"])
            case Kind.PART_DONE:
                count(data["unit"], "parts_solved", int(data["solved"]))
            case Kind.WHISTLE_CLOSED:
                call(data["number"], whistle.data["departments"] if whistle else ())
                street = (whistle.data.get("street") if whistle else None) or lead
                count(street, "whistles")
                count(street, "whistles_justified", int(data["justified"]))
    return found


def day_of(moment: datetime) -> tuple[date, bool]:
    """The Beijing day that an appeal was registered on, and whether in its second half (report days begin at noon)."""
    local = moment.astimezone(BEIJING)
    return local.date(), local.hour >= 12
