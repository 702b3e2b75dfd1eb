"""Whatever is wrong with a body, every command of every service refuses it alike: the right 4xx, a stable code, a whole
RFC 9457 problem that never repeats the refused value, and nothing on record. The table of commands is read from the
services themselves, so a new route is covered as soon as its model has a good body in GOOD. The city here runs without
jobs, so its logs stand still unless a bad request gets through.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.bad import (
    CANARY,
    LIMIT,
    NOON,
    POLICY,
    ROUTES,
    Bad,
    all_refused,
    each,
    every_place,
    good_body,
    json_of,
    path_of,
    role_for,
    texts,
    what_is_wrong,
    with_value,
)
from tests.support.city import WATER, City


def test_every_command_has_a_good_body_with_every_field() -> None:
    for _, route in ROUTES:
        good, fields = good_body(route), set(route.body.model_fields)
        route.body.model_validate_json(json_of(good), strict=True)
        missing = fields - set(good)
        assert not missing, f"tests/e2e/test_bad_input.py: add {missing} to GOOD[{route.body.__name__!r}]"


async def test_text_that_is_no_text_is_refused(still: City) -> None:
    raws = [*rb"\u0000 \ud800 \uDC00 \udc00\ud800 \ufffe \uFFFF".split(), "\ufffe".encode(), "\uffff".encode()]
    bads = texts([b'"%b%b"' % (CANARY.encode(), raw) for raw in raws])
    bads += each("NUL in a name", lambda body: json_of(body)[:-1] + (b"," if body else b"") + rb'"x\u0000": 1}')
    await all_refused(still, bads, 422, "VALIDATION_FAILED")


async def test_a_body_that_is_not_utf8_json_is_refused(still: City) -> None:
    raws = b'"\xff" "\xc0\x80" "\xed\xa0\x80" "\xf5\x80\x80\x80" "\xe4\xb8" \xef\xbb\xbf1 "\x00" "\x1f"'.split(b" ")
    raws += rb"""CANARY 'a' "a "\x" 01 +1 .5 0x1 "a""b" // /**/1""".split()
    bads = texts([*raws, b'"\n"', '"家里"'.encode("gbk")])
    whole = {"empty": b" ", "cut": b"{", "two": b"{}{}", "text": CANARY.encode(), "utf-16": "{}".encode("utf-16")}
    bads += [bad for label, raw in whole.items() for bad in each(label, lambda _, raw=raw: raw)]
    await all_refused(still, bads, 400, "MALFORMED_JSON")


async def test_utf16_without_a_mark_and_a_byte_order_mark_are_malformed(still: City) -> None:
    bads = each("utf-16-le", lambda body: json.dumps(body).encode("utf-16-le"))
    bads += each("BOM", lambda body: b"\xef\xbb\xbf" + json_of(body))
    await all_refused(still, bads, 400, "MALFORMED_JSON")


async def test_a_member_that_occurs_twice_is_refused(still: City) -> None:
    def twice(body: dict[str, Any]) -> bytes | None:
        name = next(iter(body), None)
        return name and b'{"%b": "%b", %b' % (name.encode(), CANARY.encode(), json_of(body)[1:])

    bads = each("twice", twice) + each("unknown twice", lambda _: b'{"x": {"y": 1, "\\u0079": 2}}')
    await all_refused(still, bads, 400, "MALFORMED_JSON")


async def test_numbers_that_json_cannot_carry_safely_are_refused(still: City) -> None:
    raws = b"NaN Infinity -Infinity 1e400 -1e400 9007199254740993 -9007199254740993".split()
    await all_refused(still, texts([*raws, b"9" * 5000]), 422, "VALIDATION_FAILED")


async def test_a_bad_number_is_pointed_at(still: City) -> None:
    replies = await all_refused(still, texts([b"NaN", b"1e400", b"9007199254740993"]), 422, "VALIDATION_FAILED")
    assert all(reply.body.get("errors") for reply in replies)


async def test_deep_nesting_is_refused(still: City) -> None:
    deep = {f"{kind} {depth}": (kind, depth) for kind in "[{" for depth in (33, 1_000, 20_000, 100_000)}
    bads = []
    for label, (kind, depth) in deep.items():
        nested = b"[" * depth + b"]" * depth if kind == "[" else b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)
        bads += [bad for bad in each(label, lambda _, nested=nested: nested) if len(bad.data) <= LIMIT]
    await all_refused(still, bads, 400, "MALFORMED_JSON")


async def test_unknown_and_read_only_fields_are_refused(still: City) -> None:
    names = ("status", "state", "unit_id", "score", "version", "appeal_id", "round", "actor", "__class__", "Kind")
    bads = []
    for service, route in ROUTES:
        good = good_body(route)
        for where, inside in [((), good), *((w, v) for w, v in every_place(good) if isinstance(v, dict))]:
            fresh = [name for name in names if name not in inside and name not in route.body.model_fields]
            bads += [Bad(service, route, f"{where} {n}", json_of(with_value(good, (*where, n), CANARY))) for n in fresh]
    replies = await all_refused(still, bads, 422, "VALIDATION_FAILED")
    assert all(reply.body["errors"] for reply in replies)


OTHERS: dict[type, list[Any]] = {
    bool: [1, 0, "true", "false", [], {}],
    int: ["1", 1.5, True, [], {}, CANARY],
    float: ["116.4", True, [], {}, CANARY],
    str: [5, 0, 5.5, True, [], {}, ["x"]],
    list: [{}, CANARY, 5, True],
    dict: [[], CANARY, 5, True],
}


async def test_types_are_not_juggled(still: City) -> None:
    bads = []
    for service, route in ROUTES:
        good = good_body(route)
        places = [(where, value) for where, value in every_place(good) if where[0] != "document" or len(where) == 1]
        for where, value in places:
            if where == ("attachments", 0):
                continue  # a number alone is a file, too
            bads += [
                Bad(service, route, f"{where} {o!r}", json_of(with_value(good, where, o))) for o in OTHERS[type(value)]
            ]
        for name, said in route.body.model_json_schema()["properties"].items() if good else ():
            if {"type": "null"} not in said.get("anyOf", ()):
                bads.append(Bad(service, route, f"{name} null", json_of(good | {name: None})))
        bads += [Bad(service, route, f"body {other}", json_of(other)) for other in ([], CANARY, 5, True, None)]
    replies = await all_refused(still, bads, 422, "VALIDATION_FAILED")
    assert all(reply.body["errors"] for reply in replies)


async def test_codes_outside_their_lists_and_texts_out_of_bounds_are_refused(still: City) -> None:
    bads, free = [], {"channel", "version", "name_en"}
    for service, route in ROUTES:
        good = good_body(route)
        for where, value in every_place(good):
            if isinstance(value, str) and where[0] != "document":
                bad = [CANARY + "x" * 10_001, *([""] if where[-1] != "name_en" else [])]
                coded = value.isupper() and value[0].isalpha() and where[-1] not in free
                bad += [CANARY, value.lower()] if coded else []
                bads += [Bad(service, route, f"{where} {b[:9]}", json_of(with_value(good, where, b))) for b in bad]
        needed = [name for name, known in route.body.model_fields.items() if known.is_required()]
        bads += [Bad(service, route, f"no {n}", json_of({k: v for k, v in good.items() if k != n})) for n in needed]
    await all_refused(still, bads, 422, "VALIDATION_FAILED")


async def test_times_that_do_not_exist_or_lack_a_zone_are_refused(still: City) -> None:
    times = ["2026-11-23T12:00:00", "2026-11-23", "12:00:00+08:00", "2026-11-23 12:00:00+08:00", "1795399200", ""]
    times += [f"2026-11-23T{clock}+08:00" for clock in ["24:00:00", "23:59:60", "23:60:00", "12:00", "120000", "1:2:3"]]
    times += [f"2026-{day}T12:00:00+08:00" for day in ["02-30", "02-29", "13-01", "00-10", "11-31", "11-00"]]
    times += [f"{y}-11-23T12:00:00Z" for y in ("0000", "0001", "9999", "1899", "2201", "+2026", "２０２６", "26")]
    times += [NOON[:-6] + zone for zone in ["+24:00", "+08", "+0800", "CST", "+08:60", "Z+08:00", "[Asia/Shanghai]"]]
    times += [NOON + "\n", " " + NOON, NOON + CANARY]
    bads = []
    for service, route in ROUTES:
        good = good_body(route)
        moments = [where for where, value in every_place(good) if str(value).endswith("T12:00:00+08:00")]
        bads += [Bad(service, route, f"{w} {t!r}", json_of(with_value(good, w, t))) for w in moments for t in times]
    assert len({bad.route.path for bad in bads}) >= 4
    await all_refused(still, bads, 422, "VALIDATION_FAILED")


_JUGGLED = [{"minimum_sample": True}, {"period_start_day": "19"}, {"minimum_sample": 1.0}]
_FIGURES = [{"levels": POLICY["levels"] | {"SATISFIED": figure}} for figure in ("²", "１", "0.９", "1.")]


@pytest.mark.parametrize("bad", [*_JUGGLED, *_FIGURES])
async def test_a_policy_is_read_as_strictly_as_any_body(still: City, bad: dict[str, Any]) -> None:
    body, closing = {"document": POLICY | {"version": f"v{len(str(bad))}"} | bad}, {"Connection": "close"}
    reply = await still.post("/scoring/v1/policies", body, "MUNICIPAL_ADMIN", headers=closing)
    assert what_is_wrong(reply, 422, "VALIDATION_FAILED") is None


async def test_nul_in_a_path_is_no_server_error(still: City) -> None:
    closing = {"Connection": "close"}
    for service, route in ROUTES:
        path = path_of(Bad(service, route), "%00")
        if "%00" in path:
            reply = await still.send(route.method, path, role_for(route), good_body(route), headers=closing, unit=WATER)
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
