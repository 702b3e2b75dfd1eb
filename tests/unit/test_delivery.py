"""Whether a notice leaves now, later or never: the whole order of reasons, and every limit at its exact moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import combinations
from typing import Any

import pytest

from services.feedback_service.delivery import Circumstances, Later, Never, Send, next_step
from services.feedback_service.policy import next_time
from services.feedback_service.preference import Preference
from services.feedback_service.templates import NoticePolicy, Template
from shared.contracts.codes import Audience, NoticeChannel
from shared.contracts.envelope import BEIJING

SMS, WECHAT, MAIL, WORK = NoticeChannel.SMS, NoticeChannel.WECHAT, NoticeChannel.EMAIL, NoticeChannel.WORK
DAY, HOUR, MOMENT = timedelta(days=1), timedelta(hours=1), timedelta(milliseconds=1)
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=BEIJING)
NIGHT = NOON.replace(hour=23)
MORNING = datetime(2026, 11, 25, 8, 0, tzinfo=BEIJING)
POLICY = NoticePolicy(time(21), time(8), 3, DAY, 3 * DAY, (timedelta(seconds=10),), timedelta(seconds=10))
LAW = Template("result", "feedback.feedback-given", Audience.APPELLANT, "中", "en", basis="Art 15(3)")
OPTIONAL = replace(LAW, id="registered", optional=True, basis=None)
URGENT = replace(LAW, id="urgent", urgent=True)
OFFICE = replace(LAW, id="unit-reminded", audience=Audience.UNIT)
HOTLINE = replace(LAW, id="callback-overdue", audience=Audience.HOTLINE)
EVERY_WAY = {SMS: "13800000000", WECHAT: "p1", MAIL: "a@example.cn"}
ALL_OFF = Preference(off=tuple(EVERY_WAY))


def at(**changes: Any) -> Circumstances:
    usual: dict[str, Any] = {
        "template": LAW,
        "planned_at": NOON,
        "now": NOON,
        "preference": Preference(),
        "addresses": EVERY_WAY,
        "gateways": frozenset(EVERY_WAY),
        "told": (),
    }
    return Circumstances(**usual | changes)


def office(template: Template, **changes: Any) -> Circumstances:
    return at(template=template, addresses={WORK: "bj-water"}, gateways={WORK}, **changes)


def step(**changes: Any) -> Send | Later | Never:
    return next_step(at(**changes), POLICY)


TOLD = tuple(NOON - hours * HOUR for hours in (9, 6, 3))
REASONS: dict[str, dict[str, Any]] = {
    "ERASED": {"closed": "ERASED"},
    "STALE": {"planned_at": NOON - 4 * DAY},
    "MOOT": {"moot": True},
    "OPTED_OUT": {"preference": Preference(optional=False)},
    "NO_ADDRESS": {"addresses": {}},
    "NO_GATEWAY": {"gateways": frozenset()},
    "QUIET_HOURS": {"now": NIGHT},
    "BUDGET": {"told": TOLD},
}
"""The reasons not to send now, the one that is given first."""


def test_without_a_reason_against_it_a_notice_leaves_now() -> None:
    assert step(template=OPTIONAL) == Send(SMS)


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_alone_keeps_a_notice_back(reason: str) -> None:
    said = step(template=OPTIONAL, **REASONS[reason])
    assert isinstance(said, Later if reason in {"QUIET_HOURS", "BUDGET"} else Never)
    assert said.reason == reason


@pytest.mark.parametrize(("first", "second"), list(combinations(REASONS, 2)))
def test_of_two_reasons_the_earlier_one_is_given(first: str, second: str) -> None:
    assert step(template=OPTIONAL, **REASONS[first], **REASONS[second]).reason == first


@pytest.mark.parametrize("closed", ["ERASED", "RESTRICTED"])
@pytest.mark.parametrize("template", [LAW, OPTIONAL, URGENT])
def test_whose_data_may_not_be_used_is_told_nothing_at_all(closed: str, template: Template) -> None:
    assert step(template=template, closed=closed) == Never(closed)


@pytest.mark.parametrize("template", [LAW, OPTIONAL, URGENT])
def test_nobody_is_asked_what_was_answered_already(template: Template) -> None:
    assert step(template=template, moot=True) == Never("MOOT")
    assert step(template=template, moot=True, addresses={}, now=NIGHT, told=TOLD) == Never("MOOT")


@pytest.mark.parametrize("template", [LAW, OPTIONAL, URGENT])
def test_a_notice_is_stale_one_moment_after_its_time_and_not_before(template: Template) -> None:
    last = NOON + POLICY.stale_after
    assert step(template=template, now=last) == Send(SMS)
    assert step(template=template, now=last + MOMENT) == Never("STALE")


@pytest.mark.parametrize(
    ("addresses", "off", "way"),
    [
        (EVERY_WAY, (), SMS),
        (EVERY_WAY, (SMS,), WECHAT),
        (EVERY_WAY, (SMS, WECHAT), MAIL),
        (EVERY_WAY, (WECHAT,), SMS),
        ({MAIL: "a@example.cn"}, (), MAIL),
        ({SMS: "", MAIL: "a@example.cn"}, (), MAIL),
        ({WECHAT: "p1", MAIL: "a@example.cn"}, (WECHAT,), MAIL),
    ],
)
def test_the_most_certain_way_that_the_person_likes_is_taken(
    addresses: dict[NoticeChannel, str], off: tuple[NoticeChannel, ...], way: NoticeChannel
) -> None:
    for template in (LAW, OPTIONAL):
        assert step(template=template, addresses=addresses, preference=Preference(off=off)) == Send(way)


@pytest.mark.parametrize("gateways", [{MAIL}, {MAIL, WORK}])
def test_a_way_without_a_gateway_is_left_out(gateways: set[NoticeChannel]) -> None:
    assert step(gateways=gateways) == Send(MAIL)
    assert step(gateways=gateways, addresses={SMS: "13800000000"}) == Never("NO_GATEWAY")


def test_what_the_law_demands_is_sent_although_every_way_is_switched_off() -> None:
    assert step(preference=ALL_OFF) == Send(SMS)
    assert step(preference=ALL_OFF, addresses={MAIL: "a@example.cn"}) == Send(MAIL)
    assert step(preference=replace(ALL_OFF, optional=False)) == Send(SMS)
    assert step(preference=ALL_OFF, gateways={WORK}) == Never("NO_GATEWAY")


def test_where_no_way_that_is_liked_has_a_gateway_only_what_the_law_demands_goes_by_another() -> None:
    no_sms = {"preference": Preference(off=(SMS,)), "gateways": {SMS}}
    assert step(**no_sms) == step(template=URGENT, **no_sms) == Send(SMS)
    assert step(template=OPTIONAL, **no_sms) == Never("NO_GATEWAY")
    assert step(**no_sms | {"gateways": {SMS, MAIL}}) == Send(MAIL)
    assert step(**no_sms | {"gateways": {WORK}}) == Never("NO_GATEWAY")
    assert step(**no_sms, now=NIGHT) == Later("QUIET_HOURS", MORNING)


def test_what_the_law_does_not_demand_is_not_sent_where_every_way_is_switched_off() -> None:
    assert step(template=OPTIONAL, preference=ALL_OFF) == Never("OPTED_OUT")
    only_off = Preference(off=(SMS,))
    assert step(template=OPTIONAL, preference=only_off, addresses={SMS: "13800000000"}) == Never("OPTED_OUT")


def test_no_address_is_said_before_a_wish_about_ways() -> None:
    assert step(template=OPTIONAL, preference=ALL_OFF, addresses={}) == Never("NO_ADDRESS")
    assert step(addresses={WORK: "bj-water"}) == Never("NO_ADDRESS")


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-24T20:59:59.999", None),
        ("2026-11-24T21:00:00.000", "2026-11-25T08:00"),
        ("2026-11-24T23:59:59.999", "2026-11-25T08:00"),
        ("2026-11-25T00:00:00.000", "2026-11-25T08:00"),
        ("2026-11-25T07:59:59.999", "2026-11-25T08:00"),
        ("2026-11-25T08:00:00.000", None),
        ("2026-12-31T22:00:00.000", "2027-01-01T08:00"),
    ],
)
@pytest.mark.parametrize("zone", [BEIJING, UTC], ids=str)
def test_people_are_not_woken_and_the_quiet_ends_at_its_exact_minute(now: str, until: str | None, zone: Any) -> None:
    moment = datetime.fromisoformat(f"{now}+08:00")
    expected = Later("QUIET_HOURS", datetime.fromisoformat(f"{until}+08:00")) if until else Send(SMS)
    assert step(now=moment.astimezone(zone), planned_at=moment) == expected


@pytest.mark.parametrize(
    ("now", "quiet"), [("12:59", False), ("13:00", True), ("13:59", True), ("14:00", False), ("23:00", False)]
)
def test_quiet_hours_may_lie_within_a_day(now: str, quiet: bool) -> None:
    policy = replace(POLICY, quiet_from=time(13), quiet_until=time(14))
    said = next_step(at(now=datetime.combine(NOON.date(), time.fromisoformat(now), BEIJING)), policy)
    assert said == (Later("QUIET_HOURS", NOON.replace(hour=14)) if quiet else Send(SMS))


def test_quiet_hours_that_end_where_they_begin_are_none() -> None:
    policy = replace(POLICY, quiet_from=time(21), quiet_until=time(21))
    for now in (NOON, NOON.replace(hour=21), NIGHT):
        assert next_step(at(now=now), policy) == Send(SMS)


@pytest.mark.parametrize(
    ("now", "wait"), [(MORNING - MOMENT, MOMENT), (MORNING, DAY), (MORNING + MOMENT, DAY - MOMENT)]
)
def test_the_next_time_of_a_day_is_never_now(now: datetime, wait: timedelta) -> None:
    assert next_time(now, time(8)) == next_time(now.astimezone(UTC), time(8)) == now + wait


def test_where_the_quiet_ends_the_notice_leaves() -> None:
    later = step(now=NIGHT)
    assert later == Later("QUIET_HOURS", MORNING)
    assert step(now=later.until) == Send(SMS)


@pytest.mark.parametrize(
    ("told", "freed_by"),
    [(TOLD[1:], None), (TOLD, 0), ((NOON - 20 * HOUR, *TOLD), 1), ((NOON - 20 * HOUR, NOON - 12 * HOUR, *TOLD), 2)],
)
def test_the_budget_is_freed_by_the_message_that_makes_it_full(
    told: tuple[datetime, ...], freed_by: int | None
) -> None:
    expected = Send(SMS) if freed_by is None else Later("BUDGET", told[freed_by] + DAY)
    assert step(template=OPTIONAL, told=told) == expected
    assert step(told=told) == Send(SMS), "what the law demands has no budget"


def test_at_the_moment_at_which_the_budget_is_free_again_a_notice_leaves() -> None:
    full = (NOON - 13 * HOUR, NOON - 12 * HOUR, NOON - 11 * HOUR)
    until = step(template=OPTIONAL, told=full).until
    within = tuple(one for one in full if one > until - DAY)
    then = at(template=OPTIONAL, now=until, told=within)
    assert next_step(then, replace(POLICY, quiet_from=time(2), quiet_until=time(3))) == Send(SMS)
    assert len(within) == POLICY.budget - 1


def test_an_urgent_notice_knows_neither_night_nor_budget() -> None:
    assert step(template=URGENT, now=NIGHT, told=TOLD) == Send(SMS)


@pytest.mark.parametrize("template", [OFFICE, HOTLINE])
def test_offices_are_told_at_night_and_as_often_as_there_is_something_to_tell(template: Template) -> None:
    assert next_step(office(template, now=NIGHT, told=TOLD), POLICY) == Send(WORK)


@pytest.mark.parametrize("template", [OFFICE, HOTLINE])
def test_an_office_is_not_told_by_the_ways_of_residents(template: Template) -> None:
    assert step(template=template) == Never("NO_ADDRESS")
    assert next_step(replace(office(template), gateways=frozenset(EVERY_WAY)), POLICY) == Never("NO_GATEWAY")
