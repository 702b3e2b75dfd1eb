"""The residents' pages: in the language they like, safe whatever anybody wrote, loading nothing else."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import pytest
from starlette.requests import Request

from services.feedback_service.pages import PAGES
from services.feedback_service.policy import read_table
from services.feedback_service.residents import ReplyBody, SurveyBody
from shared.contracts.codes import Language, Satisfaction
from shared.web.pages import language_of, wants_page

WORDS = read_table("pages.toml")
HOSTILE = [
    "<script>alert(1)</script>",
    "</p></div></main><script src=//evil.example></script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><script>alert(1)</script>",
    "<!-- ",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;script&gt;&amp;",
    "]]><svg/onload=alert(1)>",
]
SURVEY = {"ticket_no": "20261123-0000001", "unit": "市自来水集团", "open": True}


def request(query: str = "", **headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": query.encode(), "headers": pairs})


def thread(*texts: str, **changes: Any) -> dict[str, Any]:
    senders = ("UNIT", "APPELLANT")
    messages = [
        {"from": senders[number % 2], "time": "2026-11-24T09:00:00.000+08:00", "text": text}
        for number, text in enumerate(texts)
    ]
    return {"ticket_no": "20261123-0000001", "unit": "市自来水集团", "messages": messages, "open": True} | changes


class Page(HTMLParser):
    """A page as a browser reads it: its elements, and its texts."""

    def __init__(self, name: str, seen: dict[str, Any], query: str = "", **headers: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.response = PAGES.shown(name, request(query, **headers), seen)
        self.html = bytes(self.response.body).decode("utf-8")
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def __contains__(self, text: str) -> bool:
        return text in "".join(self.texts)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


EVERY_PAGE = [
    ("survey", SURVEY),
    ("survey", SURVEY | {"open": False}),
    ("thread", thread("您好", "好的")),
    ("thread", thread()),
    ("nowhere", {}),
]
every_page = pytest.mark.parametrize(("name", "seen"), EVERY_PAGE)


@pytest.mark.parametrize(
    ("liked", "language"),
    [
        ("", Language.ZH),
        ("en", Language.EN),
        ("EN", Language.EN),
        ("zh-CN,zh;q=0.9,en;q=0.8", Language.ZH),
        ("en-GB,en;q=0.9,zh;q=0.8", Language.EN),
        ("en;q=0.5,zh;q=0.8", Language.ZH),
        ("zh;q=0.5,en;q=0.8", Language.EN),
        ("zh;q=0.5 , en ; q=0.501", Language.EN),
        ("en;q=0.8,zh;q=0.8", Language.ZH),
        ("en,zh", Language.ZH),
        ("zh-Hant-TW", Language.ZH),
        ("fr,de;q=0.9", Language.ZH),
        ("fr,en;q=0.1", Language.EN),
        ("en;q=0", Language.ZH),
        ("en;q=0,zh;q=0", Language.ZH),
        ("en;q=0.000,zh;q=0.001", Language.ZH),
        ("zh;q=0,en-US;q=0.2,en;q=0.1", Language.EN),
        ("*", Language.ZH),
        ("english", Language.ZH),
        (",,;q=,en;q=x", Language.ZH),
        ("en;q=0.1234", Language.ZH),
        ("zh;Q=0.5,en;Q=0.8", Language.EN),
        ("en;Q=0.5,zh;Q=0.8", Language.ZH),
        ("en;q=1.5,zh", Language.ZH),
        ("en;q=1.999,zh;q=1.000", Language.ZH),
        ("en;q=1.5,zh;q=0.999", Language.EN),
        ("en;q=1.,zh;q=0.9", Language.EN),
        ("en;q=0.,zh;q=0.001", Language.ZH),
        ("en;q=2", Language.ZH),
        ("\xff\xfe", Language.ZH),
        (" " * 500 + ",en", Language.ZH),
        ("x-" * 5000 + "en", Language.ZH),
    ],
)
def test_the_better_liked_language_is_spoken_and_chinese_where_neither_is_named(liked: str, language: Language) -> None:
    assert language_of(request(accept_language=liked)) is language


def test_without_a_word_about_languages_it_is_chinese() -> None:
    assert language_of(request()) is Language.ZH


@pytest.mark.parametrize(
    ("accept", "page"),
    [("text/html,application/xhtml+xml,*/*;q=0.8", True), ("application/json", False), ("*/*", False), ("", False)],
)
def test_a_browser_gets_a_page_and_a_programme_does_not(accept: str, page: bool) -> None:
    assert wants_page(request(accept=accept)) is page
    assert wants_page(request()) is False


@every_page
@pytest.mark.parametrize(("language", "tag"), [("zh", "zh-CN"), ("en", "en")])
def test_a_page_says_which_language_it_speaks_and_speaks_it(
    name: str, seen: dict[str, Any], language: str, tag: str
) -> None:
    page = Page(name, seen, accept_language=language)
    other = WORDS["en" if language == "zh" else "zh"]
    assert page.all("html") == [{"lang": tag}]
    assert WORDS[language]["title"] in page and WORDS[language][name] in page
    assert other["title"] not in page and other[name] not in page


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_link_that_leads_nowhere_is_told_in_words_and_as_not_found(language: str) -> None:
    page = Page("nowhere", {}, accept_language=language)
    assert WORDS[language]["call"] in page and "12345" in WORDS[language]["call"] and not page.all("form")
    assert page.response.status_code == 200
    missing = PAGES.shown("nowhere", request(accept_language=language), {}, status=404)
    assert (missing.status_code, missing.body) == (404, page.response.body)


def keys(words: dict[str, Any]) -> set[str]:
    return {f"{outer}.{inner}" for outer, value in words.items() if isinstance(value, dict) for inner in value} | set(
        words
    )


def test_every_word_is_there_in_both_languages() -> None:
    assert keys(WORDS["zh"]) == keys(WORDS["en"])


@every_page
def test_the_only_style_that_a_browser_may_use_is_the_one_in_the_page(name: str, seen: dict[str, Any]) -> None:
    page = Page(name, seen)
    (style,) = re.findall(r"<style>(.*?)</style>", page.html, re.DOTALL)
    allowed = b64encode(sha256(style.encode()).digest()).decode()
    policy = page.response.headers["content-security-policy"].split("; ")
    assert f"style-src 'sha256-{allowed}'" in policy and "default-src 'none'" in policy
    assert {"form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)


@every_page
def test_a_page_loads_nothing_runs_nothing_and_is_kept_nowhere(name: str, seen: dict[str, Any]) -> None:
    page = Page(name, seen)
    assert not page.all("script") and not page.all("link") and not page.all("img")
    assert not any(set(attributes) & {"src", "href", "style", "action"} for _, attributes in page.tags)
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert page.response.headers["cache-control"] == "no-store"
    assert "Accept-Language" in page.response.headers["vary"]
    assert page.response.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("hostile", HOSTILE)
def test_whatever_was_written_is_text_and_nothing_else(hostile: str) -> None:
    harmless, page = Page("thread", thread("您好", "好的")), Page("thread", thread(hostile, hostile))
    assert page.tags == harmless.tags
    assert "".join(page.texts).count(hostile) == 2


@pytest.mark.parametrize("name", ["survey", "thread"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_unit_may_be_called_anything(name: str, hostile: str) -> None:
    seen = SURVEY if name == "survey" else thread()
    page = Page(name, seen | {"unit": hostile})
    assert page.tags == Page(name, seen).tags and hostile in page


@pytest.mark.parametrize("name", ["survey", "thread"])
@pytest.mark.parametrize("hostile", [*HOSTILE, "OK", "other'"])
def test_what_an_address_says_is_not_repeated(name: str, hostile: str) -> None:
    seen = SURVEY if name == "survey" else thread()
    page = Page(name, seen, f"said={quote(hostile)}")
    assert WORDS["zh"]["problems"]["other"] in page
    assert hostile not in page.html


@pytest.mark.parametrize("code", sorted(set(WORDS["zh"]["problems"]) - {"other"}))
@pytest.mark.parametrize("name", ["survey", "thread"])
def test_a_problem_is_told_in_words_and_the_form_stays(name: str, code: str) -> None:
    page = Page(name, SURVEY if name == "survey" else thread(), f"said={code}")
    assert WORDS["zh"]["problems"][code] in page
    assert {"role": "alert", "class": "wrong"} in page.all("p") and page.all("form")


def test_messages_are_shown_in_order_with_whose_they_are_and_when() -> None:
    page = Page("thread", thread("您好", "水还没来", "今晚恢复"))
    assert [one["class"] for one in page.all("div")] == ["message", "message mine", "message"]
    said = "".join(page.texts)
    assert said.index("您好") < said.index("水还没来") < said.index("今晚恢复")
    assert "您 · 2026-11-24 09:00" in page and "承办单位 · 2026-11-24 09:00" in page


@pytest.mark.parametrize(
    ("name", "seen", "query", "form", "word"),
    [
        ("survey", SURVEY, "", True, "survey"),
        ("survey", SURVEY, "said=ok", False, "thanks"),
        ("survey", SURVEY | {"open": False}, "", False, "over"),
        ("thread", thread(), "", True, "thread"),
        ("thread", thread(open=False), "", False, "used"),
        ("thread", thread(open=False), "said=ok", False, "sent"),
    ],
)
def test_a_form_is_there_as_long_as_something_may_be_said(
    name: str, seen: dict[str, Any], query: str, form: bool, word: str
) -> None:
    page = Page(name, seen, query)
    assert bool(page.all("form")) is form and WORDS["zh"][word] in page


@pytest.mark.parametrize(("name", "body"), [("survey", SurveyBody), ("thread", ReplyBody)])
def test_a_form_sends_every_field_that_its_command_takes_and_no_other(name: str, body: Any) -> None:
    page = Page(name, SURVEY if name == "survey" else thread())
    fields = [*page.all("input"), *page.all("textarea")]
    assert {one["name"] for one in fields} == set(body.model_fields)
    needed = {name for name, field in body.model_fields.items() if field.is_required()}
    assert {one["name"] for one in fields if "required" in one} == needed
    assert page.all("form") == [{"method": "post"}]


def test_the_choices_are_the_levels_and_nobody_is_asked_to_choose_not_to_say() -> None:
    page = Page("survey", SURVEY)
    for name in ("satisfaction", "process_satisfaction"):
        values = [one["value"] for one in page.all("input") if one["name"] == name]
        assert values == [one.value for one in Satisfaction if one is not Satisfaction.NOT_STATED]
    for name in ("contacted", "resolved"):
        assert [one["value"] for one in page.all("input") if one["name"] == name] == ["true", "false", ""]
