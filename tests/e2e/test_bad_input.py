"""Whatever is wrong with a body, every command of every service refuses it alike: the right 4xx, a stable code, a whole
RFC 9457 problem that never repeats the refused value, and nothing on record. The table of commands is read from the
services themselves, so a new route is covered as soon as its model has a good body in GOOD. The city here runs without
jobs, so its logs stand still unless a bad request gets through.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from services.city import APIS
from services.scoring_service.founding import SHIPPED
from shared.web.commands import CommandRoute
from shared.web.identity import PERMISSIONS, Scope
from tests.support.city import WATER, City, Reply

CANARY = "CANARY-7f3a-13800138000"
NOBODY = "01890000-0000-7000-8000-000000000000"
LIMIT = 256 * 1024
NOON = "2026-11-23T12:00:00+08:00"
_POLICY = json.loads(SHIPPED.read_text(encoding="utf-8")) | {"version": "bad-input"}
_GOOD = """
AppealBody {"kind": "HELP", "channel": "WEB", "content": "路灯不亮", "title": "路灯", "category_path": ["市政"],
  "raised_at": "2026-11-22T12:00:00+08:00", "tags": ["夜间"], "urgency": "GENERAL", "source_ref": "bad-input",
  "location": {"address": "某路1号", "longitude": 116.4, "latitude": 39.9, "datum": "WGS84", "site": "某小区",
    "district": "110105", "township": "110105001"}, "relates_to": "01890000-0000-7000-8000-000000000000",
  "appellant": {"type": "PERSON", "name": "王芳", "phone": "13800138001", "email": "w@example.cn",
    "confidential": false, "anonymous": false}}
AnswerBody {"text": "已答复", "knowledge_id": "01890000-0000-7000-8000-000000000000"}
RedirectBody {"route": "STATUTORY_CHANNEL", "reason": "诉讼", "target": "法院"}
MergeBody {"into": "01890000-0000-7000-8000-000000000000", "reason": "同一诉求"}
WithdrawBody {"reason": "已解决"}
DispatchBody {"unit_id": "bj-water", "reason": "职责", "tier": "GENERAL", "cc_district": "110105"}
NoBody {}
UnitBody {"unit_id": "u1", "name": "某单位", "name_en": "U", "unit_type": "MUNICIPAL_DEPT", "parent_id": "u0",
  "aliases": ["单位"]}
CatalogueBody {"version": "V1", "source": "测试", "rules": [{"id": "r1", "name": "路灯", "categories": ["市政"],
  "keywords": ["路灯"], "unless": ["已修"], "duty": "bj-water", "tier": "GENERAL", "basis": "Art 11"}]}
PublishBody {"effective_from": "2026-11-23T12:00:00+08:00"}
ActivateBody {"effective_from": "2026-11-23T12:00:00+08:00"}
ContactBody {"channel": "PHONE", "outcome": "REACHED", "note": "已联系", "at": "2026-11-23T12:00:00+08:00"}
FeedbackBody {"kind": "RESULT", "recipient": "APPELLANT", "text": "已处理", "outcome": "RESOLVED"}
AttemptBody {"outcome": "NO_ANSWER", "method": "PHONE"}
CallbackBody {"valid": true, "contacted": true, "resolved": true, "satisfaction": "SATISFIED", "reasons": ["快"],
  "method": "PHONE"}
"""
_PARTS = re.split(r"^(\w+) ", _GOOD, flags=re.MULTILINE)[1:]
GOOD = {name: json.loads(body) for name, body in zip(_PARTS[::2], _PARTS[1::2], strict=True)}
GOOD["PolicyBody"] = {"document": _POLICY}
"""A good body with every field, by the name of its model."""

ROUTES = [(service, command) for service, api in APIS.items() for command in api.commands]


class Bad(NamedTuple):
    """A request that must be refused."""

    service: str
    route: CommandRoute
    label: str = ""
    data: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed

    def __str__(self) -> str:
        return f"{self.route.method} {_path(self)} {self.label}"


def _path(bad: Bad, subject: str = NOBODY) -> str:
    return f"/{bad.service}{re.sub(r'{[^}]+}', subject, bad.route.path)}"


@pytest_asyncio.fixture(scope="module")
async def still(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    """A city in which nothing happens by itself."""
    async with new_city(jobs=False) as made:
        yield made


def _role(route: CommandRoute) -> str | None:
    return None if route.scope is Scope.PUBLIC else next(r for r, may in PERMISSIONS.items() if route.scope in may)


def _good(route: CommandRoute) -> dict[str, Any]:
    name = route.body.__name__
    assert name in GOOD, f"tests/e2e/test_bad_input.py: add a good {name} to GOOD, so that {route.path} is tested too"
    return copy.deepcopy(GOOD[name])


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _each(label: str, make: Callable[[dict[str, Any]], bytes | None], **headers: str) -> list[Bad]:
    """The same bad thing for every command that it can be done to."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    made = [(service, route, make(_good(route))) for service, route in ROUTES]
    return [Bad(service, route, label, data, named) for service, route, data in made if data is not None]


async def _recorded(city: City) -> int:
    return sum([sum(await running.log.heads()) for running in city.running.values()])


async def _send(city: City, bad: Bad) -> Reply:
    headers = {"Connection": "close"} | bad.headers
    return await city.send(bad.route.method, _path(bad), _role(bad.route), data=bad.data, headers=headers, unit=WATER)


def _wrong(reply: Reply, status: int, code: str) -> str | None:
    """What is wrong with this refusal."""
    problem = reply.body if reply.headers["Content-Type"] == "application/problem+json" else {}
    if (reply.status, problem.get("status"), problem.get("code")) != (status, status, code):
        return f"{reply.status} {problem.get('code')} instead of {status} {code}"
    if not all(
        isinstance(problem.get(name), str) and problem[name] for name in ("type", "title", "detail", "instance")
    ):
        return f"lacks members: {problem}"
    if any(set(one) != {"pointer", "message"} for one in problem.get("errors", ())):
        return f"errors {problem['errors']}"
    echoed = CANARY.encode() in reply.raw or any(CANARY in value for value in reply.headers.values())
    return "repeats the refused value" if echoed else None


async def _all_refused(city: City, bads: list[Bad], status: int, code: str) -> list[Reply]:
    assert bads
    before = await _recorded(city)
    replies = await asyncio.gather(*(_send(city, bad) for bad in bads))
    said = [(bad, _wrong(reply, status, code)) for bad, reply in zip(bads, replies, strict=True)]
    wrong = [f"{bad}: {what}" for bad, what in said if what]
    assert not wrong, f"{len(wrong)} of {len(bads)}:\n" + "\n".join(wrong)
    assert await _recorded(city) == before
    return replies


def _places(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value inside, with its path."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*where, key), inner
        if isinstance(inner, dict | list):
            yield from _places(inner, (*where, key))


def _with(body: Any, where: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(body)
    place = changed
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    return changed


def _texts(raws: list[bytes]) -> list[Bad]:
    """For every command its body with these JSON bytes in place of its first text."""

    def text(body: dict[str, Any], raw: bytes) -> bytes | None:
        where = next((where for where, value in _places(body) if isinstance(value, str)), None)
        return where and _json(_with(body, where, "@@")).replace(b'"@@"', raw)

    return [bad for raw in raws for bad in _each(repr(raw[:20]), lambda body, raw=raw: text(body, raw))]


def test_every_command_has_a_good_body_with_every_field() -> None:
    for _, route in ROUTES:
        good, fields = _good(route), set(route.body.model_fields)
        route.body.model_validate_json(_json(good), strict=True)
        missing = fields - set(good)
        assert not missing, f"tests/e2e/test_bad_input.py: add {missing} to GOOD[{route.body.__name__!r}]"


async def test_text_that_is_no_text_is_refused(still: City) -> None:
    raws = [*rb"\u0000 \ud800 \uDC00 \udc00\ud800 \ufffe \uFFFF".split(), "\ufffe".encode(), "\uffff".encode()]
    bads = _texts([b'"%b%b"' % (CANARY.encode(), raw) for raw in raws])
    bads += _each("NUL in a name", lambda body: _json(body)[:-1] + (b"," if body else b"") + rb'"x\u0000": 1}')
    await _all_refused(still, bads, 422, "VALIDATION_FAILED")


async def test_a_body_that_is_not_utf8_json_is_refused(still: City) -> None:
    raws = b'"\xff" "\xc0\x80" "\xed\xa0\x80" "\xf5\x80\x80\x80" "\xe4\xb8" \xef\xbb\xbf1 "\x00" "\x1f"'.split(b" ")
    raws += rb"""CANARY 'a' "a "\x" 01 +1 .5 0x1 "a""b" // /**/1""".split()
    bads = _texts([*raws, b'"\n"', '"家里"'.encode("gbk")])
    whole = {"empty": b" ", "cut": b"{", "two": b"{}{}", "text": CANARY.encode(), "utf-16": "{}".encode("utf-16")}
    bads += [bad for label, raw in whole.items() for bad in _each(label, lambda _, raw=raw: raw)]
    await _all_refused(still, bads, 400, "MALFORMED_JSON")


async def test_utf16_without_a_mark_and_a_byte_order_mark_are_malformed(still: City) -> None:
    bads = _each("utf-16-le", lambda body: json.dumps(body).encode("utf-16-le"))
    bads += _each("BOM", lambda body: b"\xef\xbb\xbf" + _json(body))
    await _all_refused(still, bads, 400, "MALFORMED_JSON")


async def test_a_member_that_occurs_twice_is_refused(still: City) -> None:
    def twice(body: dict[str, Any]) -> bytes | None:
        name = next(iter(body), None)
        return name and b'{"%b": "%b", %b' % (name.encode(), CANARY.encode(), _json(body)[1:])

    bads = _each("twice", twice) + _each("unknown twice", lambda _: b'{"x": {"y": 1, "\\u0079": 2}}')
    await _all_refused(still, bads, 400, "MALFORMED_JSON")


async def test_numbers_that_json_cannot_carry_safely_are_refused(still: City) -> None:
    raws = b"NaN Infinity -Infinity 1e400 -1e400 9007199254740993 -9007199254740993".split()
    await _all_refused(still, _texts([*raws, b"9" * 5000]), 422, "VALIDATION_FAILED")


async def test_a_bad_number_is_pointed_at(still: City) -> None:
    replies = await _all_refused(still, _texts([b"NaN", b"1e400", b"9007199254740993"]), 422, "VALIDATION_FAILED")
    assert all(reply.body.get("errors") for reply in replies)


async def test_deep_nesting_is_refused(still: City) -> None:
    deep = {f"{kind} {depth}": (kind, depth) for kind in "[{" for depth in (33, 1_000, 20_000, 100_000)}
    bads = []
    for label, (kind, depth) in deep.items():
        nested = b"[" * depth + b"]" * depth if kind == "[" else b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)
        bads += [bad for bad in _each(label, lambda _, nested=nested: nested) if len(bad.data) <= LIMIT]
    await _all_refused(still, bads, 400, "MALFORMED_JSON")


async def test_unknown_and_read_only_fields_are_refused(still: City) -> None:
    names = ("status", "state", "unit_id", "score", "version", "appeal_id", "round", "actor", "__class__", "Kind")
    bads = []
    for service, route in ROUTES:
        good = _good(route)
        for where, inside in [((), good), *((w, v) for w, v in _places(good) if isinstance(v, dict))]:
            fresh = [name for name in names if name not in inside and name not in route.body.model_fields]
            bads += [Bad(service, route, f"{where} {n}", _json(_with(good, (*where, n), CANARY))) for n in fresh]
    replies = await _all_refused(still, bads, 422, "VALIDATION_FAILED")
    assert all(reply.body["errors"] for reply in replies)


OTHERS: dict[type, list[Any]] = {
    bool: [1, 0, "true", "false", [], {}],
    float: ["116.4", True, [], {}, CANARY],
    str: [5, 0, 5.5, True, [], {}, ["x"]],
    list: [{}, CANARY, 5, True],
    dict: [[], CANARY, 5, True],
}


async def test_types_are_not_juggled(still: City) -> None:
    bads = []
    for service, route in ROUTES:
        good = _good(route)
        places = [(where, value) for where, value in _places(good) if where[0] != "document" or len(where) == 1]
        for where, value in places:
            bads += [Bad(service, route, f"{where} {o!r}", _json(_with(good, where, o))) for o in OTHERS[type(value)]]
        for name, said in route.body.model_json_schema()["properties"].items() if good else ():
            if {"type": "null"} not in said.get("anyOf", ()):
                bads.append(Bad(service, route, f"{name} null", _json(good | {name: None})))
        bads += [Bad(service, route, f"body {other}", _json(other)) for other in ([], CANARY, 5, True, None)]
    replies = await _all_refused(still, bads, 422, "VALIDATION_FAILED")
    assert all(reply.body["errors"] for reply in replies)


async def test_codes_outside_their_lists_and_texts_out_of_bounds_are_refused(still: City) -> None:
    bads, free = [], {"channel", "version", "name_en"}
    for service, route in ROUTES:
        good = _good(route)
        for where, value in _places(good):
            if isinstance(value, str) and where[0] != "document":
                bad = [CANARY + "x" * 10_001, *([""] if where[-1] != "name_en" else [])]
                coded = value.isupper() and value[0].isalpha() and where[-1] not in free
                bad += [CANARY, value.lower()] if coded else []
                bads += [Bad(service, route, f"{where} {b[:9]}", _json(_with(good, where, b))) for b in bad]
        needed = [name for name, known in route.body.model_fields.items() if known.is_required()]
        bads += [Bad(service, route, f"no {n}", _json({k: v for k, v in good.items() if k != n})) for n in needed]
    await _all_refused(still, bads, 422, "VALIDATION_FAILED")


async def test_times_that_do_not_exist_or_lack_a_zone_are_refused(still: City) -> None:
    times = ["2026-11-23T12:00:00", "2026-11-23", "12:00:00+08:00", "2026-11-23 12:00:00+08:00", "1795399200", ""]
    times += [f"2026-11-23T{clock}+08:00" for clock in ["24:00:00", "23:59:60", "23:60:00", "12:00", "120000", "1:2:3"]]
    times += [f"2026-{day}T12:00:00+08:00" for day in ["02-30", "02-29", "13-01", "00-10", "11-31", "11-00"]]
    times += [f"{y}-11-23T12:00:00Z" for y in ("0000", "0001", "9999", "1899", "2201", "+2026", "２０２６", "26")]
    times += [NOON[:-6] + zone for zone in ["+24:00", "+08", "+0800", "CST", "+08:60", "Z+08:00", "[Asia/Shanghai]"]]
    times += [NOON + "\n", " " + NOON, NOON + CANARY]
    bads = []
    for service, route in ROUTES:
        good = _good(route)
        moments = [where for where, value in _places(good) if str(value).endswith("T12:00:00+08:00")]
        bads += [Bad(service, route, f"{w} {t!r}", _json(_with(good, w, t))) for w in moments for t in times]
    assert len({bad.route.path for bad in bads}) >= 4
    await _all_refused(still, bads, 422, "VALIDATION_FAILED")


async def test_only_json_in_utf8_without_a_coding_is_read(still: City) -> None:
    types = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"]
    types += [f"application/json; charset={charset}" for charset in ("gbk", "gb18030", "utf-16", "utf-8; charset=gbk")]
    types += ["application/json, text/plain", "application/merge-patch+json", "application/octet-stream", "json", ""]
    bads = [bad for one in types for bad in _each(one, _json, Content_Type=one)]
    for coding in ("gzip", "br", "deflate", "gzip, identity", CANARY):
        bads += _each(coding, _json, Content_Encoding=coding)
    await _all_refused(still, [bad for bad in bads if bad.data], 415, "UNSUPPORTED_MEDIA_TYPE")
    for service, route in ROUTES:
        head, body = await _raw(still, service, route, b"Content-Length: 2\r\n", b"{}")
        assert b" 415 " in head and body["code"] == "UNSUPPORTED_MEDIA_TYPE", (route.path, head)


async def _raw(city: City, service: str, route: CommandRoute, headers: bytes, body: bytes) -> tuple[bytes, Any]:
    """The status line and the problem, after sending exactly this and leaving the connection open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(city.url.rsplit(":", 1)[1]))
    role, path = _role(route), _path(Bad(service, route))
    token = f"Authorization: Bearer {city.token(role, WATER)}\r\n" if role else ""
    writer.write(f"{route.method} {path} HTTP/1.1\r\nHost: x\r\n{token}".encode() + headers + b"\r\n" + body)
    try:
        async with asyncio.timeout(20):
            status, _, headers = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            length = int(headers.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            return status, json.loads(await reader.readexactly(length))
    finally:
        writer.close()


async def test_a_body_over_the_limit_is_refused_before_it_is_sent(still: City) -> None:
    before = await _recorded(still)
    for service, route in ROUTES:
        for length in (LIMIT + 1, 10**12):
            headers = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % length
            status, problem = await _raw(still, service, route, headers, b"")
            assert b" 413 " in status and problem["code"] == "BODY_TOO_LARGE", (route.path, status)
    bads = _each("one byte over", lambda body: _json(body).ljust(LIMIT + 1))
    await _all_refused(still, bads, 413, "BODY_TOO_LARGE")
    assert await _recorded(still) == before
    reply = await still.post("/intake/v1/appeals", None, "AGENT", data=_json(still.appeal()).ljust(LIMIT))
    assert reply.status == 201


CHUNKED = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
BIG_CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (LIMIT + 1, b" " * (LIMIT + 1))
BAD_CHUNK = b'7\r\n{"x":1}\r\n0\r\n\r\n'


async def _refuses_chunked(city: City, chunks: bytes, required: bool, status: int) -> None:
    before = await _recorded(city)
    for service, route in ROUTES:
        if any(known.is_required() for known in route.body.model_fields.values()) is required:
            line, problem = await _raw(city, service, route, CHUNKED, chunks)
            assert problem.get("status") == status, (route.path, line)
    assert await _recorded(city) == before


async def test_a_chunked_body_over_the_limit_is_refused(still: City) -> None:
    await _refuses_chunked(still, BIG_CHUNK, True, 413)


@pytest.mark.parametrize(("chunks", "status"), [(BIG_CHUNK, 413), (BAD_CHUNK, 422)], ids=["big", "bad"])
async def test_a_chunked_body_counts_where_none_is_needed(still: City, chunks: bytes, status: int) -> None:
    await _refuses_chunked(still, chunks, False, status)


_JUGGLED = [{"minimum_sample": True}, {"period_start_day": "19"}, {"minimum_sample": 1.0}]
_FIGURES = [{"levels": _POLICY["levels"] | {"SATISFIED": figure}} for figure in ("²", "１", "0.９", "1.")]


@pytest.mark.parametrize("bad", [*_JUGGLED, *_FIGURES])
async def test_a_policy_is_read_as_strictly_as_any_body(still: City, bad: dict[str, Any]) -> None:
    body, closing = {"document": _POLICY | {"version": f"v{len(str(bad))}"} | bad}, {"Connection": "close"}
    reply = await still.post("/scoring/v1/policies", body, "MUNICIPAL_ADMIN", headers=closing)
    assert _wrong(reply, 422, "VALIDATION_FAILED") is None


async def test_nul_in_a_path_is_no_server_error(still: City) -> None:
    closing = {"Connection": "close"}
    for service, route in ROUTES:
        path = _path(Bad(service, route), "%00")
        if "%00" in path:
            reply = await still.send(route.method, path, _role(route), _good(route), headers=closing, unit=WATER)
            assert 400 <= reply.status < 500, (path, reply.status)


async def test_the_pointer_of_a_bad_text_is_a_json_pointer(still: City) -> None:
    reply = await still.post("/intake/v1/appeals", None, "AGENT", data=rb'{"a/b~": "\u0000"}')
    assert reply.body["errors"][0]["pointer"] == "/a~1b~0"


async def test_rare_characters_come_back_byte_for_byte_and_count_as_one_each(city: City) -> None:
    rare = "\U00020000\U0002a6d6\U0002a700\U0002b740\U0002b820\U0002ceb0\U0002ebf0\U00030000\U00031350"
    rare += "👩\u200d👩\u200d👧🇨🇳\u202e右\u202c\u2066a\u2069 e\u0301 \u00e9 a\u0323\u0302"
    rare += "葛\U000e0100\u200b\ufeff\ue000\U0010fffd\ufffd"
    content = f"  {rare}\r\n\t{rare}\u2028\u0085 "
    for ascii_only in (True, False):
        body = city.appeal(content=content, title=rare, appellant={"name": rare, "phone": "13812345678"})
        raw = json.dumps(body, ensure_ascii=ascii_only).encode()
        reply = await city.post("/intake/v1/appeals", None, "AGENT", data=raw)
        assert reply.status == 201, reply.raw
        case = await city.until_state(reply.body["appeal_id"], "REGISTERED")
        assert (case["content"], case["title"]) == (content, rare)
    for length, status in ((10_000, 201), (10_001, 422)):
        body = city.appeal(content="\U00030000" * length, kind="CONSULT")
        assert (await city.post("/intake/v1/appeals", body, "AGENT")).status == status
