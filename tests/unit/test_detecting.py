"""What supervision is told to look at, read off single events: each kind at its limits, and nothing besides."""

from __future__ import annotations

from typing import Any

import pytest

from services.feedback_service.detecting import (
    on_callback,
    on_contact,
    on_evaluated,
    on_feedback,
    on_rechecked,
    on_reopened,
)
from services.feedback_service.lead import LEADS
from services.feedback_service.policy import detector_policy
from shared.contracts.catalogue import CATALOGUE
from shared.contracts.codes import Finding, LeadKind
from shared.contracts.envelope import Actor, Payload
from shared.contracts.feedback import (
    AppellantContacted,
    CallbackRechecked,
    CallbackRecorded,
    CaseReopened,
    CitizenEvaluated,
    FeedbackGiven,
)
from shared.contracts.notices import SupervisionLeadRaised
from shared.contracts.upcasters import payload_of
from shared.engine.reacting import Heard
from tests.support.examples import example

WATER, DISTRICT = "bj-water", "110105"
SOON = detector_policy().soon_after_closing.days
IMPOSSIBLE = LeadKind.IMPOSSIBLE_CONTACT
LEADS_OF_ANSWERS = {
    Finding.TEMPLATE: LeadKind.TEMPLATE_ANSWER,
    Finding.EVIDENCE_REUSED: LeadKind.EVIDENCE_REUSED,
    Finding.EVIDENCE_CHANGED: LeadKind.EVIDENCE_CHANGED,
}


def heard(payload: type[Payload], unit: str | None = WATER, **data: Any) -> Heard:
    event = example(CATALOGUE[payload.event_type()], filled=False)
    event = event._replace(actor=Actor("UNIT_HANDLER", unit), data=event.data | data)
    return Heard(event, payload_of(event.type, event.data))


def leads(react: Any, of: Heard) -> list[SupervisionLeadRaised]:
    """What is raised, each once its command has been decided."""
    intentions = react(of, None)
    assert all((one.decider, one.subject, one.cause) == (LEADS, of.subject, of.envelope) for one in intentions)
    return [fact for one in intentions for fact in LEADS.decide(one.command, LEADS.initial)]


def kinds(react: Any, of: Heard) -> list[LeadKind]:
    return [one.kind for one in leads(react, of)]


@pytest.mark.parametrize("finding", list(Finding))
def test_a_finding_about_an_answer_is_a_lead_where_it_may_be_a_violation(finding: Finding) -> None:
    expected = [LEADS_OF_ANSWERS[finding]] if finding in LEADS_OF_ANSWERS else []
    assert kinds(on_feedback, heard(FeedbackGiven, findings=[finding])) == expected


def test_each_finding_is_a_lead_of_its_own_about_the_unit_that_wrote() -> None:
    given = heard(FeedbackGiven, findings=list(Finding), alike=4)
    found = leads(on_feedback, given)
    assert {one.kind for one in found} == set(LEADS_OF_ANSWERS.values())
    assert {one.unit_id for one in found} == {WATER}
    assert len({one.key for one in found}) == len(found)
    assert {one.events for one in found} == {(given.envelope.id,)}


@pytest.mark.parametrize(("alike", "figures"), [(None, None), (0, None), (4, {"alike": "4"})])
def test_a_lead_says_how_many_answers_were_alike(alike: int | None, figures: dict[str, str] | None) -> None:
    (lead,) = leads(on_feedback, heard(FeedbackGiven, findings=[Finding.TEMPLATE], alike=alike))
    assert lead.figures == figures


def test_the_same_event_heard_again_raises_nothing_new() -> None:
    given = heard(FeedbackGiven, findings=[Finding.TEMPLATE])
    (lead,) = leads(on_feedback, given)
    (again,) = on_feedback(given, None)
    assert LEADS.decide(again.command, LEADS.fold([lead])) == []


@pytest.mark.parametrize(("impossible", "raised"), [(True, True), (False, False), (None, False)])
def test_a_contact_that_cannot_have_been_is_a_lead_about_the_unit_that_told_of_it(
    impossible: bool | None, raised: bool
) -> None:
    found = leads(on_contact, heard(AppellantContacted, impossible=impossible))
    assert [(one.kind, one.unit_id, one.figures) for one in found] == [(IMPOSSIBLE, WATER, None)] * raised


@pytest.mark.parametrize(("days", "raised"), [(0, True), (SOON - 1, True), (SOON, True), (SOON + 1, False)])
def test_a_case_that_is_reopened_soon_after_closing_is_a_lead(days: int, raised: bool) -> None:
    found = leads(on_reopened, heard(CaseReopened, unit=None, lead_unit=WATER, days_after_closing=days))
    assert [one.kind for one in found] == [LeadKind.REOPENED_AFTER_CLOSING] * raised
    assert all((one.unit_id, one.figures) == (WATER, {"days_after_closing": str(days)}) for one in found)


@pytest.mark.parametrize(
    ("said", "raised"),
    [
        ({"contradicts": True, "days_after_closing": 0}, True),
        ({"contradicts": True, "days_after_closing": SOON}, True),
        ({"contradicts": True, "days_after_closing": SOON + 1}, False),
        ({"contradicts": True}, False),
        ({"contradicts": False, "days_after_closing": 0}, False),
        ({"days_after_closing": 0}, False),
        ({}, False),
    ],
)
def test_an_evaluation_that_contradicts_a_closed_case_is_a_lead_for_a_while(said: dict[str, Any], raised: bool) -> None:
    found = leads(on_evaluated, heard(CitizenEvaluated, unit=None, lead_unit=WATER, **said))
    assert [one.kind for one in found] == [LeadKind.NEGATIVE_AFTER_CLOSING] * raised
    assert all(one.unit_id == WATER for one in found)


@pytest.mark.parametrize(
    ("asked_by", "district", "raised"),
    [
        (DISTRICT, DISTRICT, True),
        ("110101", DISTRICT, False),
        (None, DISTRICT, False),
        (None, None, False),
        (DISTRICT, None, False),
    ],
)
def test_a_callback_by_the_district_that_watches_over_the_handling_is_a_lead(
    asked_by: str | None, district: str | None, raised: bool
) -> None:
    found = leads(on_callback, heard(CallbackRecorded, unit=asked_by, lead_unit=WATER, cc_district=district))
    assert [one.kind for one in found] == [LeadKind.CALLBACK_BY_CONCERNED_UNIT] * raised
    assert all(one.unit_id == DISTRICT for one in found), "about who asked, not about who was asked about"


@pytest.mark.parametrize("agrees", [True, False])
def test_two_officers_with_two_answers_are_a_lead(agrees: bool) -> None:
    found = leads(on_rechecked, heard(CallbackRechecked, unit=None, lead_unit=WATER, agrees=agrees))
    assert [one.kind for one in found] == [LeadKind.RECHECK_DISAGREES] * (not agrees)


def test_a_lead_names_the_policy_it_was_raised_by_and_its_event() -> None:
    checked = heard(CallbackRechecked, agrees=False)
    (lead,) = leads(on_rechecked, checked)
    assert lead.policy == detector_policy().version
    assert lead.key == f"RECHECK_DISAGREES:{checked.envelope.id}"
