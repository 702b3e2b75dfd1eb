"""Who is told what: the shipped table keeps its promises, and a table that could not be kept is refused."""

from __future__ import annotations

import re
from datetime import timedelta
from string import Formatter
from typing import Any

import pytest
from pydantic import TypeAdapter

from services.feedback_service.links import Purpose
from services.feedback_service.notice import NOTICES, notice_id
from services.feedback_service.policy import read_table
from services.feedback_service.telling import link_of, tell
from services.feedback_service.templates import (
    VALUES,
    WAYS,
    Template,
    TemplatesWrong,
    notifications,
    notifications_of,
)
from shared.contracts.catalogue import CATALOGUE
from shared.contracts.codes import Audience, Language
from shared.contracts.envelope import Envelope
from shared.contracts.upcasters import payload_of
from shared.engine.reacting import Heard
from shared.eventlog.sealing import personal_paths
from tests.support.examples import SEALED, example

TEMPLATES = {one.id: one for one in notifications().templates}
SHIPPED = read_table("notifications.toml")
FILLED = {"ticket_no": "20261123-0000001", "unit": "市自来水集团", "due": "2026-11-24 18:33", "link": "https://x/y"}
every_template = pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
every_language = pytest.mark.parametrize("language", list(Language))


def event_for(template: Template, **data: Any) -> Envelope:
    """An event that this template is about, every field filled."""
    event = example(CATALOGUE[template.event_type])
    wanted = {name: values[0] for name, values in template.when.items()}
    payload = CATALOGUE[template.event_type].payload
    for name, values in template.unless.items():
        codes = list(payload.model_fields[name].annotation)  # type: ignore[arg-type]
        wanted[name] = next(code.value for code in codes if code not in values)
    return event._replace(data=event.data | wanted | data)


def heard(event: Envelope) -> Heard:
    return Heard(event, payload_of(event.type, event.data))


def used(words: str) -> set[str]:
    return {name for _, name, *_ in Formatter().parse(words) if name is not None}


def table(*changes: dict[str, Any]) -> dict[str, Any]:
    """A table with one sound template per change."""
    sound = {"id": "a", "on": "feedback.case-opened", "audience": "UNIT", "zh": "工单{ticket_no}", "en": "{ticket_no}"}
    return SHIPPED | {"templates": [sound | change for change in changes]}


@every_template
def test_a_template_is_about_an_event_that_feedback_reads(template: Template) -> None:
    assert "feedback" in CATALOGUE[template.event_type].readers


@every_template
def test_what_a_template_looks_at_are_fields_of_its_event_and_values_that_they_have(template: Template) -> None:
    fields = CATALOGUE[template.event_type].payload.model_fields
    for name, values in (*template.when.items(), *template.unless.items()):
        for value in values:
            TypeAdapter(fields[name].annotation).validate_python(value)


@every_template
def test_a_template_speaks_chinese_and_english_and_says_the_same_in_both(template: Template) -> None:
    assert re.search("[一-鿿]", template.zh) and template.en.isascii()
    assert "ticket_no" in used(template.zh) & used(template.en)
    assert used(template.zh) | used(template.en) <= VALUES


@every_template
def test_a_resident_sees_that_it_is_the_hotline_that_writes(template: Template) -> None:
    prefixed = template.zh.startswith("【12345】") and template.en.startswith("[12345] ")
    assert prefixed is (template.audience is Audience.APPELLANT)


@every_template
def test_what_the_law_demands_cannot_be_switched_off_and_all_else_can(template: Template) -> None:
    assert not (template.optional and template.basis)
    assert (template.optional or bool(template.basis)) is (template.audience is Audience.APPELLANT)


@pytest.mark.parametrize("article", ["Art 15(1)", "Art 15(2)", "Art 15(3)", "Art 23"])
def test_each_article_that_demands_a_notice_has_one_for_the_appellant(article: str) -> None:
    assert any(one.basis == article and one.audience is Audience.APPELLANT for one in TEMPLATES.values())


@pytest.mark.parametrize("audience", list(Audience))
def test_every_audience_can_be_reached_and_is_told_something(audience: Audience) -> None:
    assert WAYS[audience] and any(one.audience is audience for one in TEMPLATES.values())


@every_template
@every_language
def test_a_text_is_filled_with_what_is_known(template: Template, language: Language) -> None:
    words: str = getattr(template, language)
    said = template.text(language, FILLED | {"secret": "王芳"})
    assert all((FILLED[name] in said) is (name in used(words)) for name in VALUES)
    assert not set("{}") & set(said) and "王芳" not in said


@every_template
@every_language
def test_what_is_not_known_is_left_out_of_a_text(template: Template, language: Language) -> None:
    words: str = getattr(template, language)
    assert template.text(language, {}) == re.sub(r"\{\w+\}", "", words)


def test_a_value_is_not_read_as_a_template() -> None:
    assert TEMPLATES["result"].text(Language.ZH, {"unit": "{link}{secret}"}).startswith("【12345】{link}{secret}")


def test_no_value_that_texts_may_use_holds_words_of_a_person() -> None:
    personal = {part for type_ in CATALOGUE for path in personal_paths(type_) for part in path}
    assert {"text", "name", "phone"} <= personal and not personal & VALUES


PERSONAL = [one for one in TEMPLATES.values() if personal_paths(one.event_type)]


@pytest.mark.parametrize("template", PERSONAL, ids=lambda one: one.id)
def test_nothing_that_a_person_wrote_or_is_called_gets_into_a_notice(template: Template) -> None:
    event = event_for(template)
    assert SEALED.ct in str(event.data)
    (planned,) = [
        one.command.facts for one in tell(heard(event), event.time) if one.command.facts.template == template.id
    ]
    assert SEALED.ct not in planned.model_dump_json()


@every_template
def test_an_event_is_told_once_to_each_and_again_under_the_same_id(template: Template) -> None:
    event = event_for(template)
    first, again = tell(heard(event), event.time), tell(heard(event), event.time)
    assert [one.command for one in first] == [one.command for one in again]
    facts = [one.command.facts for one in first]
    assert template.id in {one.template for one in facts}
    assert [one.notice_id for one in facts] == [notice_id(event.id, one.template) for one in facts]
    assert all((one.decider, one.subject, one.cause) == (NOTICES, event.subject, event) for one in first)
    assert all((one.cause, one.not_before, one.audience) == (event.id, event.time, template.audience) for one in facts)


def test_what_happened_so_long_ago_that_it_would_be_stale_is_told_nobody() -> None:
    event = event_for(TEMPLATES["survey"])
    last = event.time + notifications().policy.stale_after
    assert [one.command.facts.template for one in tell(heard(event), last)] == ["survey"]
    assert tell(heard(event), last + timedelta(milliseconds=1)) == []


LINKED = [one for one in TEMPLATES.values() if one.link]


@pytest.mark.parametrize("template", LINKED, ids=lambda one: one.id)
def test_the_link_of_a_notice_is_planned_with_its_number(template: Template) -> None:
    event = event_for(template, round=7, **({"number": 7} if template.purpose is Purpose.THREAD else {}))
    (planned,) = [
        one.command.facts for one in tell(heard(event), event.time) if one.command.facts.template == template.id
    ]
    link = link_of(event.subject, planned.link)
    assert link is not None and (link.appeal_id, link.purpose, link.number) == (event.subject, template.purpose, 7)


def test_a_notice_without_a_link_leads_nowhere() -> None:
    assert link_of("a1", None) is None


CONDITIONS = {
    "when": {"kind": ["RESULT"], "recipient": ["APPELLANT", "HOTLINE"]},
    "unless": {"outcome": ["UNRESOLVED"]},
}


@pytest.mark.parametrize(
    ("data", "concerns"),
    [
        ({"kind": "RESULT", "recipient": "APPELLANT"}, True),
        ({"kind": "RESULT", "recipient": "HOTLINE", "outcome": "RESOLVED"}, True),
        ({"kind": "RESULT", "recipient": "APPELLANT", "outcome": "UNRESOLVED"}, False),
        ({"kind": "PROGRESS", "recipient": "APPELLANT"}, False),
        ({"kind": "RESULT"}, False),
        ({}, False),
    ],
)
def test_an_event_is_told_when_all_holds_that_must_and_nothing_that_must_not(
    data: dict[str, str], concerns: bool
) -> None:
    (template,) = notifications_of(table(CONDITIONS)).templates
    assert template.concerns(event_for(TEMPLATES["result"])._replace(data=data)) is concerns


@pytest.mark.parametrize("channel", ["PHONE", "COUNTER", "IMPORT", "OPEN311", "GRID"])
def test_who_was_told_the_number_in_person_or_did_not_ask_is_not_told_it_again(channel: str) -> None:
    event = event_for(TEMPLATES["registered"], channel=channel)
    assert "registered" not in [one.id for one in notifications().about(event)]


@pytest.mark.parametrize("kind", ["PROGRESS", "RESULT"])
@pytest.mark.parametrize("recipient", ["APPELLANT", "HOTLINE"])
def test_only_a_result_for_the_appellant_is_told_to_the_appellant(kind: str, recipient: str) -> None:
    told = notifications().about(event_for(TEMPLATES["result"], kind=kind, recipient=recipient))
    assert [one.id for one in told] == ["result"] * ((kind, recipient) == ("RESULT", "APPELLANT"))


def test_another_version_of_an_event_is_another_event() -> None:
    event = event_for(TEMPLATES["survey"])
    assert [one.id for one in notifications().about(event)] == ["survey"]
    assert notifications().about(event._replace(type=event.type.replace(".v1", ".v2"))) == []


def test_a_template_is_found_by_its_id_as_long_as_there_is_one() -> None:
    assert notifications().named("survey") is TEMPLATES["survey"]
    assert notifications().named("dropped") is None


@pytest.mark.parametrize(
    "changes",
    [
        ({"zh": "{name}，您好"},),
        ({"en": "Dear {name}"},),
        ({"zh": "{}"},),
        ({"zh": "{0}"},),
        ({"zh": "{ticket_no.__class__}"},),
        ({"zh": "{ticket_no[0]}"},),
        ({"link": "SURVEY"},),
        ({"zh": "{link}", "en": "{link}"},),
        ({"link": "SURVEY", "zh": "{link}"},),
        ({"link": "SURVEY", "en": "{link}"},),
        ({"link": "LOGIN", "zh": "{link}", "en": "{link}"},),
        ({"link": "survey", "zh": "{link}", "en": "{link}"},),
        ({}, {"on": "feedback.reply-awaited"}),
        ({"zh": "{ticket_no:>30}"},),
        ({"en": "{ticket_no:{due}}"},),
        ({"zh": "{ticket_no!r}"},),
        ({"en": "{ticket_no!x}"},),
        ({"zh": "{ticket_no"},),
        ({"zh": "ticket_no}"},),
        ({"en": "{ticket_no} {"},),
        ({"en": "{ticket_no}}"},),
        ({"zh": "{ ticket_no}"},),
        ({"zh": "{Ticket_no}"},),
        ({"optionel": True},),
        ({"audience": "EVERYBODY"},),
        ({"audience": "APPELLANT"},),
        ({"audience": "APPELLANT", "basis": ""},),
        ({"audience": "APPELLANT", "basis": "Art 23", "optional": True},),
        ({"zh": None},),
    ],
    ids=str,
)
def test_a_table_that_could_not_be_kept_is_refused(changes: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(TemplatesWrong):
        notifications_of(table(*changes))


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"policy": SHIPPED["policy"] | {"budgett": 3}}, "policy.budgett"),
        ({"templates": [{"id": "a"}]}, "templates.0"),
        ({"version": 1}, "version"),
    ],
)
def test_a_table_with_other_keys_is_refused_and_told_where(wrong: dict[str, Any], where: str) -> None:
    with pytest.raises(TemplatesWrong, match=f"^{where}"):
        notifications_of(table({}) | wrong)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"zh": "无"},
        {"zh": "{{}}"},
        {"link": "THREAD", "zh": "{link}", "en": "{link} {due} {unit}"},
        {"audience": "APPELLANT", "basis": "Art 23"},
        {"audience": "APPELLANT", "optional": True},
    ],
    ids=str,
)
def test_a_sound_table_is_read(change: dict[str, Any]) -> None:
    (template,) = notifications_of(table(change)).templates
    assert template.zh == change.get("zh", "工单{ticket_no}")
