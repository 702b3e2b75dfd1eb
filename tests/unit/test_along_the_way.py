"""Between registration and end: what the appellant adds, and what the hotline notices."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.intake_service.along_the_way import Link, RaiseAlert, Supplement, Tag, Urge
from services.intake_service.appeal import APPEAL, Register
from services.intake_service.state import Appeal
from shared.contracts.codes import ENDED, CaseState
from shared.contracts.intake import (
    Alert,
    AppealLinked,
    AppealSupplemented,
    AppealTagged,
    AppealUrged,
    AppealWithdrawn,
    RiskAlertRaised,
    Triage,
)
from tests.support.spec import given
from tests.unit.test_appeal import AT, registered

HOUR = timedelta(hours=1)
DAY = 24 * HOUR


def supplement(most: int = 2, seen: CaseState = CaseState.HANDLING) -> Supplement:
    return Supplement(at=AT, text="昨晚又停了", most=most, seen=seen)


def urge(at: datetime = AT, seen: CaseState = CaseState.HANDLING) -> Urge:
    return Urge(at=at, reason=None, every=DAY, seen=seen)


def test_what_is_added_is_counted_and_there_is_an_end_to_it() -> None:
    given(APPEAL, registered()).when(supplement()).then(AppealSupplemented(text="昨晚又停了", number=1))
    twice = [registered(), *(AppealSupplemented(text="…", number=number) for number in (1, 2))]
    given(APPEAL, *twice).when(supplement()).then_refused("SUPPLEMENTED_ENOUGH")


def test_the_unit_is_reminded_once_a_day() -> None:
    once = [registered(), AppealUrged(number=1, at=AT)]
    given(APPEAL, registered()).when(urge()).then(AppealUrged(number=1, at=AT))
    given(APPEAL, *once).when(urge(AT + DAY - HOUR)).then_refused("URGED_RECENTLY")
    given(APPEAL, *once).when(urge(AT + DAY)).then(AppealUrged(number=2, at=AT + DAY))


@pytest.mark.parametrize("command", [supplement, urge])
@pytest.mark.parametrize("seen", sorted(ENDED))
def test_after_the_end_new_facts_make_a_new_appeal(command: Any, seen: CaseState) -> None:
    given(APPEAL, registered()).when(command(seen=seen)).then_refused("ILLEGAL_TRANSITION")


def test_tags_are_set_as_a_whole_and_the_same_tags_are_no_news() -> None:
    tagged = AppealTagged(tags=("每月一题",))
    given(APPEAL, registered()).when(Tag(at=AT, tags=("每月一题",))).then(tagged)
    given(APPEAL, registered(), tagged).when(Tag(at=AT, tags=("每月一题",))).then()


def test_appeals_about_one_problem_gather_in_one_cluster() -> None:
    first, second = APPEAL.fold([registered(ticket_no="1")]), APPEAL.fold([registered(ticket_no="2")])
    linked = AppealLinked(cluster="a-1")

    def link(other_id: str, other: Appeal) -> Link:
        return Link(at=AT, other_id=other_id, other=other, reason=None)

    given(APPEAL, registered()).when(link("a-1", first)).then(linked)
    given(APPEAL, registered(), linked).when(link("a-1", first)).then()
    third = given(APPEAL, registered(ticket_no="3")).when(link("a-2", APPEAL.fold([linked], second)))
    third.then(linked)
    given(APPEAL, registered(ticket_no="1")).when(link("a-1", first)).then_refused("LINK_TO_ITSELF")
    given(APPEAL, registered()).when(link("a-9", APPEAL.initial)).then_refused("LINK_TARGET_MISSING")


def test_a_danger_that_the_words_give_away_is_reported_with_the_registration_itself() -> None:
    alert = Alert(level="EMERGENCY", category="fire", hand_over="119", words=("着火了",))
    facts = registered().model_copy(update={"triage": Triage(version="t-1", alerts=(alert,))})
    raised = RiskAlertRaised(
        level="EMERGENCY", category="fire", hand_over="119", words=("着火了",), rules_version="t-1"
    )
    given(APPEAL).when(Register(at=AT, facts=facts)).then(facts, raised)


def test_an_agent_reports_a_danger_in_any_state() -> None:
    seen = RiskAlertRaised(level="WATCH", category="扬言", reason="来电人情绪激动")
    given(APPEAL, registered()).when(RaiseAlert(at=AT, alert=seen)).then(seen)
    given(APPEAL, registered(), AppealWithdrawn()).when(RaiseAlert(at=AT, alert=seen)).then(seen)
