"""A life comes to shares: which round counts, for whom, and for how much, whatever order its facts were heard in."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scoring_service.counting import MEASURES, counted
from services.scoring_service.life import Fact, Kind, Life, Rule, Share, counted_round, day_of, life_of, shares
from shared.contracts.envelope import BEIJING, rfc3339

AT = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)
STREET, SECOND, DEPARTMENT, OTHER = "110105026", "110105027", "110105D01", "110105D02"
BRIEFLY = settings(max_examples=25, deadline=None)


def hour(number: int) -> str:
    return rfc3339(AT + timedelta(hours=number))


def fact(number: int, kind: Kind, round_: int = 0, /, **data: Any) -> Fact:
    """The fact of an hour."""
    return Fact(hour(number), f"e{number:02d}", kind, round_, data)


def sent(number: int, round_: int = 1, unit: str = STREET, **data: Any) -> Fact:
    known = {"unit": unit, "registered_at": rfc3339(AT), "category": "NOISE", "tier": "GENERAL"}
    return fact(number, Kind.DISPATCHED, round_, **known | data)


def verdict(number: int, round_: int = 1, unit: str = STREET, **data: Any) -> Fact:
    said = {"valid": True, "contacted": True, "resolved": True, "satisfaction": "SATISFIED", "final": True}
    return fact(number, Kind.VERDICT, round_, unit=unit, registered_at=rfc3339(AT), **said | data)


def dropped(number: int, how: str = "WITHDRAWN") -> Fact:
    return fact(number, Kind.DROPPED, how=how)


def excluded(number: int, ground: str = "FORCE_MAJEURE", unit: str = STREET) -> Fact:
    return fact(number, Kind.EXCLUDED, ground=ground, kind="EXCLUSION", unit=unit)


def blown(number: int, whistle: int = 1, street: str | None = None, **data: Any) -> Fact:
    said = {"number": whistle, "departments": [DEPARTMENT, OTHER], "street": street}
    return fact(number, Kind.WHISTLE, **said | data)


def reported(number: int, whistle: int = 1, unit: str = DEPARTMENT, **data: bool) -> Fact:
    return fact(number, Kind.REPORTED, number=whistle, unit=unit, **{"refused": False, "late": False} | data)


def absent(number: int, whistle: int = 1, *units: str) -> Fact:
    return fact(number, Kind.ABSENT, number=whistle, units=list(units))


def ended(number: int, whistle: int = 1, *, justified: bool = True) -> Fact:
    return fact(number, Kind.WHISTLE_CLOSED, number=whistle, justified=justified)


def reviewed(number: int, *, stands: bool, round_: int = 1) -> Fact:
    return fact(number, Kind.REVIEWED, round_, stands=stands)


SILENT = {"contacted": None, "resolved": None, "satisfaction": "NOT_STATED"}
UNHEARD = SILENT | {"valid": False}
ANSWERED = verdict(2, resolved=False, satisfaction="DISSATISFIED", final=False)


def named(share: Share) -> dict[str, int]:
    """What a share adds to, by name."""
    return {name: number for name, number in zip(MEASURES, share.counts, strict=True) if number}


def only(*facts: Fact, rule: Rule = Rule.LAST) -> dict[str, int]:
    """What these facts add to the one unit that they count for."""
    (share,) = shares(life_of(facts), rule)
    return named(share)


def test_an_appeal_that_nobody_has_been_called_back_about_is_received_and_no_more() -> None:
    assert only(sent(1)) == {"received": 1}


def test_a_satisfied_answer_adds_one_to_everything_it_says() -> None:
    said = ("received", "valid_callbacks", "contacted", "resolved", "satisfied", "closed", "callbacks")
    stated = ("contact_stated", "resolution_stated", "satisfaction_stated")
    assert only(sent(1), verdict(2)) == dict.fromkeys((*said, *stated), 1)


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ({}, ["not_stated"]),
        ({"contacted": True}, ["not_stated", "contact_stated", "contacted"]),
        ({"contacted": False}, ["not_stated", "contact_stated"]),
        ({"resolved": True}, ["not_stated", "resolution_stated", "resolved"]),
        ({"resolved": False}, ["not_stated", "resolution_stated"]),
        ({"satisfaction": "BASICALLY_SATISFIED"}, ["satisfaction_stated", "basically_satisfied"]),
        ({"satisfaction": "DISSATISFIED"}, ["satisfaction_stated", "dissatisfied"]),
    ],
    ids=str,
)
def test_no_is_an_answer_and_silence_is_none(said: dict[str, Any], counts: list[str]) -> None:
    expected = {*counts, "received", "valid_callbacks", "callbacks", "closed"}
    assert only(sent(1), verdict(2, **SILENT | said)) == dict.fromkeys(expected, 1)


def test_who_could_not_be_reached_is_a_callback_and_in_none_of_the_rates() -> None:
    assert only(sent(1), verdict(2, **UNHEARD)) == {"received": 1, "callbacks": 1, "closed": 1}


def test_answers_that_were_struck_on_review_count_as_if_nobody_had_been_reached() -> None:
    struck = (sent(1), verdict(2, satisfaction="DISSATISFIED"), reviewed(3, stands=False))
    assert only(*struck) == {"received": 1, "callbacks": 1, "closed": 1}
    assert only(*struck[:2], reviewed(3, stands=True)) == only(*struck[:2])


TWO_ROUNDS = (sent(1), ANSWERED, sent(3, 2), verdict(4, 2))


@pytest.mark.parametrize(("rule", "resolved"), [(Rule.FIRST, 0), (Rule.LAST, 1)])
def test_the_rule_says_whether_the_first_or_the_last_answer_counts(rule: Rule, resolved: int) -> None:
    found = only(*TWO_ROUNDS, rule=rule)
    assert (found.get("resolved", 0), found["reworked"]) == (resolved, 1)
    assert (found["received"], found["valid_callbacks"], found["closed"]) == (1, 1, 1)


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize(
    "later",
    [(sent(3, 2),), (sent(3, 2), verdict(4, 2, **UNHEARD)), (*TWO_ROUNDS[2:], reviewed(5, stands=False, round_=2))],
    ids=["not asked", "not reached", "struck"],
)
def test_a_round_without_a_valid_answer_never_hides_an_earlier_verdict(rule: Rule, later: tuple[Fact, ...]) -> None:
    found = only(sent(1), ANSWERED, *later, rule=rule)
    assert (found["valid_callbacks"], found["dissatisfied"]) == (1, 1)


@pytest.mark.parametrize("rule", Rule)
def test_under_either_rule_the_answer_that_there_is_counts_even_if_the_first_round_has_none(rule: Rule) -> None:
    assert only(sent(1), verdict(2, **UNHEARD), *TWO_ROUNDS[2:], rule=rule)["satisfied"] == 1


@pytest.mark.parametrize(("rule", "unit"), [(Rule.FIRST, STREET), (Rule.LAST, OTHER)])
def test_without_any_answer_the_rule_picks_the_round_all_the_same(rule: Rule, unit: str) -> None:
    (share,) = shares(life_of([sent(1), sent(2, 2, unit=OTHER, category="WATER")]), rule)
    assert (share.unit_id, share.category) == (unit, {STREET: "NOISE", OTHER: "WATER"}[unit])


def test_the_unit_that_was_asked_about_is_scored() -> None:
    (share,) = shares(life_of([sent(1), verdict(2, unit=OTHER)]), Rule.LAST)
    assert share.unit_id == OTHER


def test_a_verdict_that_is_heard_of_before_its_dispatch_waits_for_it() -> None:
    assert shares(life_of([verdict(2)]), Rule.LAST) == shares(life_of([]), Rule.LAST) == []
    assert only(verdict(2), sent(1))["resolved"] == 1
    assert "closed" not in only(sent(1), verdict(2, 2))


@pytest.mark.parametrize("how", ["MERGED", "WITHDRAWN"])
@pytest.mark.parametrize("rule", Rule)
def test_what_was_merged_or_withdrawn_counts_nowhere(how: str, rule: Rule) -> None:
    life = life_of([*TWO_ROUNDS, blown(5), dropped(6, how)])
    assert (life.counts, counted_round(life, rule), shares(life, rule)) == (False, None, [])


def test_an_exclusion_leaves_the_numbers_alone_and_names_the_first_ground() -> None:
    facts = (sent(1), verdict(2))
    (plain,) = shares(life_of(facts), Rule.LAST)
    (left_out,) = shares(life_of([*facts, excluded(3), excluded(4, "DISPATCH_ERROR")]), Rule.LAST)
    assert (plain.ground, left_out) == ("", plain._replace(ground="FORCE_MAJEURE"))


@pytest.mark.parametrize(
    ("facts", "measure", "number"),
    [
        ((fact(2, Kind.SIGNED, 1),), "signed_in_time", 1),
        ((fact(2, Kind.SIGNED_LATE, 1),), "signed_in_time", 0),
        ((fact(2, Kind.SIGNED_LATE, 1), fact(3, Kind.SIGNED, 1)), "signed_in_time", 0),
        ((), "signed_in_time", 0),
        ((fact(2, Kind.SIGNED_LATE, 1), sent(3, unit=OTHER), fact(4, Kind.SIGNED, 1)), "signed_in_time", 1),
        ((fact(2, Kind.SIGNED, 1), sent(3, unit=OTHER)), "signed_in_time", 0),
        ((fact(2, Kind.CONTACTED, 1, in_time=True), sent(3, unit=OTHER)), "contacted_in_time", 0),
        ((fact(2, Kind.ANSWERED, 1), sent(3, unit=OTHER)), "feedback_in_time", 0),
        ((fact(2, Kind.CONTACTED, 1, in_time=True),), "contacted_in_time", 1),
        ((fact(2, Kind.CONTACTED, 1, in_time=False),), "contacted_in_time", 0),
        ((fact(2, Kind.ANSWERED, 1),), "feedback_in_time", 1),
        ((fact(2, Kind.ANSWERED, 2),), "feedback_in_time", 0),
        ((fact(2, Kind.ESCALATED),), "hard", 1),
        ((fact(2, Kind.ESCALATED), verdict(3)), "hard_resolved", 1),
        ((fact(2, Kind.ESCALATED), verdict(3, resolved=False)), "hard_resolved", 0),
        ((sent(2, tier="COMPLEX"),), "hard", 1),
        ((sent(2, tier="COMPLEX"), verdict(3)), "hard_resolved", 1),
        ((verdict(3),), "hard_resolved", 0),
        ((verdict(2, final=False),), "closed", 0),
    ],
)
def test_what_the_log_says_is_counted_beside_what_was_said(facts: tuple[Fact, ...], measure: str, number: int) -> None:
    assert only(sent(1), *facts).get(measure, 0) == number


def called_in(*, refused: bool = False, late: bool = False, solved: bool = True, justified: bool = True) -> Life:
    done = fact(4, Kind.PART_DONE, number=1, unit=DEPARTMENT, solved=solved)
    came = (blown(2, street=STREET), reported(3, refused=refused, late=late), done)
    return life_of([sent(1), *came, ended(5, justified=justified), excluded(6)])


def by_unit(life: Life) -> dict[str, dict[str, int]]:
    return {share.unit_id: named(share) for share in shares(life, Rule.LAST)}


def test_a_whistle_assesses_the_street_that_called_and_every_department_that_was_called() -> None:
    """双考核, Art 33."""
    assert by_unit(called_in()) == {
        STREET: {"received": 1, "whistles": 1, "whistles_justified": 1},
        DEPARTMENT: {"called": 1, "reported": 1, "reported_in_time": 1, "parts_solved": 1},
        OTHER: {"called": 1},
    }
    found = [(share.unit_id, share.category) for share in shares(called_in(), Rule.LAST)]
    assert found == [(STREET, "NOISE"), (DEPARTMENT, "NOISE"), (OTHER, "NOISE")], "the responsible unit comes first"


def test_a_late_department_has_come_and_one_that_refuses_has_not() -> None:
    assert by_unit(called_in(late=True, solved=False))[DEPARTMENT] == {"called": 1, "reported": 1}
    assert by_unit(called_in(refused=True, solved=False))[DEPARTMENT] == {"called": 1}
    assert "whistles_justified" not in by_unit(called_in(justified=False))[STREET]


def test_a_whistle_is_credited_to_whoever_blew_it_and_to_whoever_has_the_appeal_only_where_it_names_nobody() -> None:
    facts = [sent(1), blown(2, 1, STREET, departments=[]), ended(5), sent(6, 2, SECOND), verdict(7, 2, SECOND)]
    facts += [blown(3, 2, SECOND, departments=[]), ended(4, 2, justified=False), blown(8, 3, STREET, departments=[])]
    facts += [ended(9, 3, justified=False), blown(10, 4, STREET)]
    found = by_unit(life_of(facts))
    assert found[STREET] == {"whistles": 2, "whistles_justified": 1}
    assert [found[SECOND].get(name) for name in ("received", "whistles", "whistles_justified")] == [1, 1, None]
    assert only(sent(1), blown(2, departments=[]), ended(3)) == {"received": 1, "whistles": 1, "whistles_justified": 1}
    assert only(sent(1), ended(3)) == {"received": 1, "whistles": 1, "whistles_justified": 1}


CALLED = (sent(1), blown(2, street=STREET, departments=[DEPARTMENT, OTHER, OTHER]))


@pytest.mark.parametrize(
    ("facts", "called"),
    [
        ((), {}),
        ((fact(3, Kind.PART_DONE, number=1, unit=OTHER, solved=True),), {}),
        ((reported(3),), {DEPARTMENT: 1}),
        ((reported(3, refused=True),), {DEPARTMENT: 1}),
        ((absent(3, 1, OTHER),), {OTHER: 1}),
        ((ended(3),), {DEPARTMENT: 1, OTHER: 1}),
        ((absent(3, 1, OTHER), reported(4, unit=OTHER, late=True), ended(5)), {DEPARTMENT: 1, OTHER: 1}),
        ((reported(3), ended(4), blown(5, 2), absent(6, 2, OTHER), ended(7, 2)), {DEPARTMENT: 2, OTHER: 2}),
    ],
)
def test_a_call_counts_once_it_is_settled_and_a_whistle_once_it_is_closed(
    facts: tuple[Fact, ...], called: dict[str, int]
) -> None:
    found = by_unit(life_of([*CALLED, *facts]))
    assert {unit: own["called"] for unit, own in found.items() if "called" in own} == called
    assert ("whistles" in found[STREET]) is any(one.kind == Kind.WHISTLE_CLOSED for one in facts)


def test_a_life_up_to_a_moment_knows_what_happened_at_that_moment_and_nothing_later() -> None:
    facts = (sent(1), ANSWERED, dropped(3))
    moment = datetime.fromisoformat(hour(2))
    assert life_of(facts, moment).facts == [facts[0], facts[1]]
    assert life_of(facts, moment - timedelta(milliseconds=1)).facts == [facts[0]]
    assert (life_of(facts, moment).counts, life_of(facts).counts) == (True, False)


verdicts = st.builds(
    lambda number, round_, valid, contacted, resolved, level, final: verdict(
        number, round_, valid=valid, contacted=contacted, resolved=resolved, satisfaction=level, final=final
    ),
    *(st.integers(0, 30), st.integers(1, 3), st.booleans(), *[st.sampled_from([True, False, None])] * 2),
    st.sampled_from(["SATISFIED", "BASICALLY_SATISFIED", "DISSATISFIED", "NOT_STATED"]),
    st.booleans(),
)
hours, rounds = st.integers(0, 30), st.integers(1, 3)
units = st.sampled_from([STREET, DEPARTMENT, OTHER])
some_facts = st.lists(
    st.one_of(
        verdicts,
        st.builds(sent, hours, rounds, units, tier=st.sampled_from(["GENERAL", "COMPLEX"])),
        st.builds(lambda n, r, kind: fact(n, kind, r), hours, rounds, st.sampled_from([Kind.SIGNED, Kind.SIGNED_LATE])),
        st.builds(lambda n, r, yes: fact(n, Kind.CONTACTED, r, in_time=yes), hours, rounds, st.booleans()),
        st.builds(lambda n, r, yes: reviewed(n, stands=yes, round_=r), hours, rounds, st.booleans()),
        st.builds(excluded, hours, st.sampled_from(["FORCE_MAJEURE", "DISPATCH_ERROR"]), units),
        st.builds(reported, hours, st.integers(1, 2), units, late=st.booleans(), refused=st.booleans()),
        st.builds(absent, hours, st.integers(1, 2), units),
        st.builds(lambda n: fact(n, Kind.ESCALATED), hours),
        st.builds(blown, hours, st.integers(1, 2), st.sampled_from([None, STREET, OTHER])),
        st.builds(lambda n, whistle, yes: ended(n, whistle, justified=yes), hours, st.integers(1, 2), st.booleans()),
    ),
    max_size=14,
    unique_by=lambda one: one.event_id,
)


@BRIEFLY
@given(some_facts, st.randoms(use_true_random=False))
def test_the_order_in_which_facts_are_heard_does_not_matter(facts: list[Fact], chance: Any) -> None:
    shuffled = list(facts)
    chance.shuffle(shuffled)
    assert life_of(shuffled) == life_of(facts)
    assert [shares(life_of(shuffled), rule) for rule in Rule] == [shares(life_of(facts), rule) for rule in Rule]


@BRIEFLY
@given(some_facts.filter(lambda facts: not any("number" in one.data for one in facts)))
def test_a_fact_that_is_heard_twice_says_nothing_new(facts: list[Fact]) -> None:
    assert [shares(life_of(facts * 2), rule) for rule in Rule] == [shares(life_of(facts), rule) for rule in Rule]


@BRIEFLY
@given(some_facts)
def test_the_answers_of_every_share_add_up(facts: list[Fact]) -> None:
    for rule in Rule:
        for one in (counted("", "", share.counts) for share in shares(life_of(facts), rule)):
            said = one.satisfied + one.basically_satisfied + one.dissatisfied
            assert said + one.not_stated == one.valid_callbacks
            assert said == one.satisfaction_stated
            assert one.contacted <= one.contact_stated <= one.valid_callbacks <= one.callbacks <= one.received <= 1
            assert one.resolved <= one.resolution_stated <= one.valid_callbacks
            assert one.hard_resolved <= min(one.hard, one.resolved)
            assert one.called <= 2, "of two whistles"


@BRIEFLY
@given(some_facts)
def test_an_appeal_is_received_once_and_answers_count_wherever_there_are_any(facts: list[Fact]) -> None:
    life = life_of(facts)
    heard = any(each.valid and each.dispatched for each in life.rounds.values())
    for rule in Rule:
        found = shares(life, rule)
        assert sum(counted("", "", share.counts).received for share in found) == int(life.counts)
        assert sum(counted("", "", share.counts).valid_callbacks for share in found) == int(heard and life.counts)


def test_a_day_is_a_beijing_day_in_two_halves() -> None:
    moments = ("2026-11-23T11:59:59+08:00", "2026-11-23T12:00:00+08:00", "2026-11-22T16:00:00+00:00")
    found = [day_of(datetime.fromisoformat(moment)) for moment in moments]
    assert found == [(date(2026, 11, 23), second) for second in (False, True, False)]
