"""A form of a plain page is the JSON of the same command: read as strictly, answered by going back to the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus, urlencode

import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response

from shared.contracts.envelope import BEIJING
from shared.engine.clock import ManualClock
from shared.engine.decider import IllegalTransition, NotYours, Refused
from shared.web.commands import Call, Plan
from shared.web.fields import Body, ShortText
from shared.web.forms import FORM, MOST_BYTES, MOST_FIELDS, FormRoute, as_json
from shared.web.identity import ANYBODY, Principal, Scope

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=BEIJING)
RUNNING: Any = SimpleNamespace(clock=ManualClock(NOON), settings=SimpleNamespace(max_body_bytes=MOST_BYTES))
HEARD: Any = Refused("HEARD", "it got as far as the command")


class OpenDoors:
    """Everybody comes in, as nobody."""

    async def admit(self, request: Request, scope: Scope) -> Principal:
        return ANYBODY


class Said(Body):
    """What the page may send."""

    resolved: bool | None = None
    level: str | None = None
    comment: ShortText | None = None


@dataclass
class Desk:
    """A command that notes what it is called with, and then answers with an error: its problem is what is said."""

    error: Exception = field(default_factory=lambda: HEARD)
    calls: list[Call[Said]] = field(default_factory=list)

    async def handle(self, call: Call[Said]) -> Plan:
        self.calls.append(call)
        raise self.error

    async def post(self, *chunks: bytes, **headers: str) -> Response:
        """Send this as the body, in these pieces."""
        route = FormRoute("/v1/said", Said, Scope.PUBLIC, self.handle, "Say it").route(
            RUNNING,
            OpenDoors(),  # type: ignore[arg-type]
        )
        given = {"content_type": FORM} | headers
        pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
        scope = {"type": "http", "method": "POST", "path": "/v1/said", "query_string": b"x=1", "headers": pairs}
        pieces = _pieces(chunks)
        answer: Response = await route.endpoint(Request(scope | {"server": ("city", 80)}, pieces.__anext__))
        return answer

    async def said(self, *chunks: bytes, **headers: str) -> str:
        """How the page is told that it went."""
        answer = await self.post(*chunks, **headers)
        assert answer.status_code == 303 and answer.headers["cache-control"] == "no-store"
        path, _, said = answer.headers["location"].partition("?said=")
        assert path == "/v1/said"
        return said


async def _pieces(chunks: tuple[bytes, ...]) -> AsyncIterator[dict[str, Any]]:
    for chunk in chunks:
        yield {"type": "http.request", "body": chunk, "more_body": True}
    yield {"type": "http.request", "body": b"", "more_body": False}


async def heard(raw: bytes) -> dict[str, Any]:
    """What the command was given."""
    desk = Desk()
    assert await desk.said(raw) == "HEARD"
    return desk.calls[0].body.model_dump(exclude_unset=True)


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"", {}),
        (b"resolved=true", {"resolved": True}),
        (b"resolved=false&level=SATISFIED", {"resolved": False, "level": "SATISFIED"}),
        (b"resolved=&level=&comment=", {}),
        (b"resolved=&level=A", {"level": "A"}),
        (b"comment=a+b%2Bc%26d%3De", {"comment": "a b+c&d=e"}),
        (b"comment=%0D%0Aa%0D%0A", {"comment": "\na\n"}),
        (b"comment=a%0Ab%0Dc", {"comment": "a\nb\rc"}),
        (b"comment=true&level=false", {"comment": "true", "level": "false"}),
        (b"comment=a=b", {"comment": "a=b"}),
        (b"comment=a;level=b", {"comment": "a;level=b"}),
        (b"comment=True", {"comment": "True"}),
        (b"comment=1", {"comment": "1"}),
        (b"comment=%22%5B%7B", {"comment": '"[{'}),
    ],
)
async def test_fields_are_what_they_say_and_empty_ones_are_left_out(raw: bytes, body: dict[str, Any]) -> None:
    assert await heard(raw) == body


@pytest.mark.parametrize("text", ["水管已经修好，谢谢！", "臺北 👍", "\u202eabc"])
async def test_a_text_arrives_as_it_was_written(text: str) -> None:
    assert await heard(f"comment={quote_plus(text)}".encode()) == {"comment": text}
    assert await heard(urlencode({"comment": text, "level": text}).encode()) == {"comment": text, "level": text}


@pytest.mark.parametrize("size", [1, 3, 7])
async def test_a_form_may_come_in_pieces(size: int) -> None:
    raw, desk = b"comment=%E6%B0%B4&resolved=true", Desk()
    assert await desk.said(*(raw[at : at + size] for at in range(0, len(raw), size))) == "HEARD"
    assert desk.calls[0].body == Said(comment="水", resolved=True)


@pytest.mark.parametrize(
    "raw",
    [
        b"comment=%FF",
        b"comment=%E6%B0",
        b"comment=%ED%A0%80",
        b"comment=\xff",
        "comment=水".encode(),
        b"comment",
        b"comment=a&",
        b"&comment=a",
        b"comment=a&&level=b",
        b"comment=a&level",
        b"%FF=a",
    ],
)
async def test_what_is_no_form_is_refused(raw: bytes) -> None:
    desk = Desk()
    assert await desk.said(raw) == "BAD_REQUEST"
    assert not desk.calls


@pytest.mark.parametrize(("fields", "said"), [(MOST_FIELDS, "HEARD"), (MOST_FIELDS + 1, "BAD_REQUEST")])
async def test_a_form_has_only_so_many_fields(fields: int, said: str) -> None:
    known = [b"comment=a", b"level=a", *(f"f{number}=".encode() for number in range(2, fields))]
    assert await Desk().said(b"&".join(known)) == said


@pytest.mark.parametrize("raw", [b"level=a&level=b", b"level=a&level=a", b"level=&level=a", b"resolved=&resolved=true"])
async def test_a_field_that_occurs_twice_is_refused(raw: bytes) -> None:
    desk = Desk()
    assert await desk.said(raw) == "BAD_REQUEST"
    assert not desk.calls


@pytest.mark.parametrize(("lines", "said"), [(250, "HEARD"), (251, "VALIDATION_FAILED")])
async def test_a_line_end_counts_as_one_sign_as_in_the_browser(lines: int, said: str) -> None:
    """A ShortText has 500 at most."""
    assert await Desk().said(b"comment=" + b"a%0D%0A" * lines) == said


class Strict(Body):
    """A truth value that must be given, and others that look like one."""

    sure: bool
    word: str
    either: bool | str = ""


@pytest.mark.parametrize(
    ("raw", "json"),
    [
        (b"sure=true&word=true", {"sure": True, "word": "true"}),
        (b"sure=false&word=false", {"sure": False, "word": "false"}),
        (b"sure=True", {"sure": "True"}),
        (b"either=true", {"either": True}),
        (b"other=true", {"other": "true"}),
        (b"", {}),
    ],
)
def test_truth_is_meant_only_where_the_command_has_a_truth_value(raw: bytes, json: dict[str, Any]) -> None:
    assert orjson.loads(as_json(raw, Strict)) == json


@pytest.mark.parametrize(("size", "said"), [(MOST_BYTES, "HEARD"), (MOST_BYTES + 1, "BODY_TOO_LARGE")])
async def test_a_form_has_only_so_many_bytes_in_however_many_pieces(size: int, said: str) -> None:
    raw = b"level=".ljust(size, b"a")
    assert await Desk().said(raw) == said
    assert await Desk().said(raw[:1000], raw[1000:-1], raw[-1:]) == said


async def test_the_longest_text_that_a_command_takes_fits_in_chinese_too() -> None:
    long = "水" * 10_000
    assert await heard(urlencode({"level": long, "comment": "漏" * 500}).encode()) == {
        "level": long,
        "comment": "漏" * 500,
    }


@pytest.mark.parametrize(
    "raw",
    [
        b"other=1",
        b"resolved=yes",
        b"resolved=1",
        b"comment=+",
        b"comment=%00",
        b"comment=%EF%BF%BF",
        b"comment=" + b"a" * 501,
    ],
)
async def test_what_the_command_would_not_take_as_json_it_does_not_take_as_a_form(raw: bytes) -> None:
    desk = Desk()
    assert await desk.said(raw) == "VALIDATION_FAILED"
    assert not desk.calls


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Refused("LINK_USED", "once"), "LINK_USED"),
        (IllegalTransition("Reply", "CLOSED"), "ILLEGAL_TRANSITION"),
        (NotYours(), "NOT_FOUND"),
    ],
)
async def test_the_page_is_told_why_the_command_was_refused(error: Exception, said: str) -> None:
    assert await Desk(error).said(b"resolved=true") == said


async def test_a_mistake_in_the_programme_is_not_made_into_an_answer() -> None:
    with pytest.raises(ZeroDivisionError):
        await Desk(ZeroDivisionError()).post(b"resolved=true")


async def test_the_command_is_called_as_anybody_at_this_moment() -> None:
    desk = Desk()
    await desk.said(b"resolved=true")
    (call,) = desk.calls
    assert (call.principal, call.now, call.scope) == (ANYBODY, NOON, Scope.PUBLIC)


@pytest.mark.parametrize("media_type", [f"{FORM}; charset=UTF-8", FORM.upper(), f" {FORM} ;x=y"])
async def test_a_form_is_known_by_its_media_type(media_type: str) -> None:
    assert await Desk().said(b"resolved=true", content_type=media_type) == "HEARD"


@pytest.mark.parametrize("media_type", ["multipart/form-data; boundary=x", "text/plain", ""])
async def test_what_is_neither_form_nor_json_is_refused_without_going_back(media_type: str) -> None:
    desk = Desk()
    answer = await desk.post(b"resolved=true", content_type=media_type, content_length="13")
    assert answer.status_code == 415 and not desk.calls


async def test_a_form_that_was_compressed_is_refused() -> None:
    assert await Desk().said(b"resolved=true", content_encoding="gzip") == "UNSUPPORTED_MEDIA_TYPE"
