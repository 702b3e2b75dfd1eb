"""Texts from the tables of trouble, at every door: refused where they are no text or no code, and otherwise data: kept
to the byte, never run, never normalised, never a path, a filter that finds more, or a line of a log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest

from tests.support import bad
from tests.support.bad import CANARY, ROUTES, Bad, every_place, good_body, json_of, with_value
from tests.support.bad_cases import CLOSING, Case, all_refused, in_time, none_wrong, still_serving, together
from tests.support.bad_texts import INJECTIONS, RARE, UNSEEN, lookalikes
from tests.support.city import City, Reply

NO_TEXT = [r"\ud800", r"\uDFFF", r"\udc00\ud800", r"\ufffe", r"\uFFFF", r"\ufdd0", "\uffff", "\ufdef"]
NUL = [r"\u0000{}", r"{}\u0000", r"\u0000", r"a\u0000{}", r"\u0000\u0000{}", r"{}\n\u0000\n"]
CODES = {
    *("unit_id", "proposed_unit", "owner_unit", "parent_id", "cc_district", "co_units", "participants", "departments"),
    *("into", "other", "relates_to", "knowledge_id", "notice_id", "message_id", "appeal_ids", "appeals", "source_ref"),
    *("officer", "key", "version", "id", "duty", "policy", "period", "wechat"),
}
"""Fields that name something: what they hold is written in one way only."""


def text_places() -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    for service, route in ROUTES:
        for where, value in every_place(good_body(route)):
            if isinstance(value, str):
                yield service, route, where


def with_raw(route: Any, where: tuple[Any, ...], raw: str) -> bytes:
    """The good body with these characters, as they are, in place of a text."""
    return json_of(with_value(good_body(route), where, "@@")).replace(b'"@@"', f'"{raw}"'.encode())


@pytest.mark.parametrize("what", ["NUL", "no text"])
async def test_no_text_of_any_command_may_hold_what_is_no_character(still: City, what: str) -> None:
    forms = [one.replace("{}", CANARY) for one in NUL] if what == "NUL" else [CANARY + one for one in NO_TEXT]
    places = enumerate(text_places())
    bads = [
        Bad(service, route, f"{where} {forms[number % len(forms)]}", with_raw(route, where, forms[number % len(forms)]))
        for number, (service, route, where) in places
    ]
    assert len(bads) >= 150
    await bad.all_refused(still, bads, 422, "VALIDATION_FAILED")


async def test_a_code_has_one_spelling_and_what_looks_like_it_is_refused(still: City) -> None:
    bads = []
    for service, route, where in text_places():
        field = next(name for name in reversed(where) if isinstance(name, str))
        if field in CODES and where[0] != "document":
            good = good_body(route)
            value = next(value for place, value in every_place(good) if place == where)
            bads += [
                Bad(service, route, f"{where} {how}", json_of(with_value(good, where, text)))
                for how, text in lookalikes(value).items()
            ]
    assert len(bads) >= 300
    replies = await bad.all_refused(still, bads, 422, "VALIDATION_FAILED")
    assert all(reply.body["errors"] for reply in replies)


async def kept(city: City, texts: Mapping[str, str]) -> None:
    """Every text comes back to the byte from the places where residents write, two places each."""
    short = {name: text for name, text in texts.items() if len(text) <= 100}
    names = [*short, *reversed(short)]
    trios = [names[at : at + 3] for at in range(0, len(names), 3)]
    whole = [name for name in texts if name not in short]

    async def written(content: str, title: str | None = None, tag: str | None = None) -> list[tuple[str, str | None]]:
        said: dict[str, Any] = {"kind": "CONSULT", "content": texts[content], "tags": [texts[tag]] if tag else []}
        made = await city.register(**said, title=texts[title] if title else None)
        path, position = f"/intake/v1/appeals/{made['appeal_id']}", {"If-Position": made["position"]}
        reply = await in_time(city, partial(City.get, path=path, headers=position))
        case, came = reply.body, [(content, "content"), (title, "title"), (tag, "tags")]
        back = {"content": case["content"], "title": case["title"], "tags": (case["tags"] or [None])[0]}
        return [
            (f"{name} in {place}", None if back[place] == texts[name] else f"came back as {back[place]!a}")
            for name, place in came
            if name
        ]

    answers = await together(*(written(*trio) for trio in trios), *(written(name) for name in whole))
    none_wrong([one for answer in answers for one in answer])


@pytest.mark.parametrize("texts", [UNSEEN, RARE, INJECTIONS], ids=["unseen", "rare", "injections"])
async def test_what_a_resident_writes_is_kept_to_the_byte(city: City, texts: dict[str, str]) -> None:
    await kept(city, texts)
    await still_serving(city)


LENGTHS = {"title": 200, "content": 10_000}
LETTERS = {"ASCII": "a", "Chinese": "停", "Extension G": "\U00030000", "emoji": "😀", "a mark": "\u0301", "CRLF": "\n"}


@pytest.mark.parametrize("field", LENGTHS)
async def test_a_length_is_counted_in_characters_whatever_their_bytes(still: City, field: str) -> None:
    most = LENGTHS[field]
    send = {name: partial(_registered, **{field: "x" + letter * most}) for name, letter in LETTERS.items()}
    await all_refused(still, [Case(f"{name} in {field}", one) for name, one in send.items()])
    for name, letter in LETTERS.items():
        reply = await _registered(still, **{field: "x" + letter * (most - 1)})
        assert reply.status == 201, (name, reply.raw)


async def _registered(city: City, **changes: Any) -> Reply:
    return await city.post("/intake/v1/appeals", city.appeal(kind="CONSULT", **changes), "AGENT", headers=CLOSING)


PATHS = ["/intake/v1/appeals/{}", "/routing/v1/orders/{}", "/feedback/v1/cases/{}", "/intake/v1/track/{}"]
PATHS += ["/scoring/v1/policies/{}", "/routing/v1/catalogue/versions/{}", "/intake/v1/knowledge/{}"]


async def test_an_injected_path_leads_nowhere(still: City) -> None:
    cases = []
    for number, (name, text) in enumerate(INJECTIONS.items()):
        path = PATHS[number % len(PATHS)].format(quote(text + CANARY, safe=""))
        role = None if "/track/" in path else "AUDITOR"
        send = partial(City.get, path=path, role=role, headers=CLOSING)
        cases.append(Case(f"{path[:24]} {name}", send, 404, {"NOT_FOUND"}))
    await all_refused(still, cases)


async def test_an_injected_code_is_refused(still: City) -> None:
    path = f"/routing/v1/orders/{bad.NOBODY}/dispatch"
    cases = [
        Case(name, partial(City.post, path=path, json={"unit_id": text + CANARY}, headers=CLOSING))
        for name, text in INJECTIONS.items()
        if not (text + CANARY).replace("-", "").isalnum()
    ]
    await all_refused(still, cases)


HEADERS = {
    "If-Match": ("POST", f"/intake/v1/appeals/{bad.NOBODY}/withdraw", "PRECONDITION_INVALID"),
    "If-Position": ("GET", "/intake/v1/appeals", "POSITION_INVALID"),
}


async def test_an_injected_header_or_cursor_is_refused(still: City) -> None:
    cases = []
    for name, text in INJECTIONS.items():
        path = f"/intake/v1/appeals?cursor={quote(text + CANARY, safe='')}"
        cases.append(Case(f"cursor {name}", partial(City.get, path=path, headers=CLOSING), 400, "CURSOR_INVALID"))
        if not text.isprintable():
            continue  # no client can send it in a header; what comes on the wire is in test_bad_wire.py
        for header, (method, path, code) in HEADERS.items():
            headers = CLOSING | {header: text + CANARY}
            send = partial(City.send, method=method, path=path, role="HOTLINE_SUPERVISOR", headers=headers)
            cases.append(Case(f"{header} {name}", send, 400, code))
    await all_refused(still, cases)


FILTERS = ["/intake/v1/appeals?district={}", "/intake/v1/appeals?tag={}", "/intake/v1/appeals?category={}"]
FILTERS += ["/routing/v1/orders?unit_id={}", "/routing/v1/units?parent_id={}", "/feedback/v1/cases?unit_id={}"]
FILTERS += ["/feedback/v1/leads?unit_id={}", "/scoring/v1/exclusions?unit_id={}", "/intake/v1/knowledge?owner_unit={}"]


async def test_an_injected_filter_finds_nothing(city: City) -> None:
    await city.dispatched()  # so that there is something to be found

    async def found(number: int, text: str) -> str | None:
        path = FILTERS[number % len(FILTERS)].format(quote(text + CANARY, safe=""))
        reply = await city.get(path, headers=CLOSING)
        nothing = reply.body["items"] == [] if reply.status == 200 else reply.code == "VALIDATION_FAILED"  # too long
        return None if nothing else f"{path}: {reply.raw[:200]!r}"

    answers = await together(*(found(number, text) for number, text in enumerate(INJECTIONS.values())))
    none_wrong(list(zip(INJECTIONS, answers, strict=True)))
