"""A JSON body is read strictly: what could be understood in two ways, or cannot be kept, is refused with a 4xx."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.web.bodies import DEEPEST, LARGEST_INTEGER, parse_body
from shared.web.fields import Body
from shared.web.problems import Problem

MALFORMED, INVALID = ("MALFORMED_JSON", 400), ("VALIDATION_FAILED", 422)


class Anything(Body):
    """A body with one member of any kind."""

    a: Any = None


class Text(Body):
    """A body with a text and a number."""

    text: str
    number: int = 0


def problem(raw: bytes | str, model: type[Body] = Anything) -> Problem:
    with pytest.raises(Problem) as refusal:
        parse_body(raw.encode() if isinstance(raw, str) else raw, model)
    return refusal.value


def kind(raw: bytes | str, model: type[Body] = Anything) -> tuple[str, int]:
    found = problem(raw, model)
    return found.code, found.status


def nested(depth: int) -> str:
    """A body of this depth, the outer object included."""
    return '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


@pytest.mark.parametrize(
    "raw",
    [
        '{"a":1,"a":2}',
        '{"a":1,"a":1}',
        '{"a":1,"\\u0061":2}',
        '{"a":{"b":1,"b":2}}',
        '{"a":[{"b":1,"c":3,"b":2}]}',
    ],
)
def test_a_member_that_occurs_twice_is_malformed_at_any_depth(raw: str) -> None:
    assert kind(raw) == MALFORMED


@pytest.mark.parametrize("raw", ["", " ", "{", '{"a":1}x', '{"a":1}{}', "{'a':1}", '{"a":01}', '{"a":1,}', "nul"])
def test_what_is_not_json_is_malformed(raw: str) -> None:
    assert kind(raw) == MALFORMED


@pytest.mark.parametrize(
    "raw", [b'{"a":"\xff"}', b'{"a":"\xc3"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\xc0\x80"}', b"\x80"]
)
def test_what_is_not_utf_8_is_malformed(raw: bytes) -> None:
    assert kind(raw) == MALFORMED


@pytest.mark.parametrize("figure", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1E+999"])
def test_nan_and_infinity_are_refused_in_every_disguise(figure: str) -> None:
    assert kind(f'{{"a":{figure}}}') == INVALID
    assert kind(f'{{"a":[{figure}]}}') == INVALID


@pytest.mark.parametrize("digits", [str(2**53 + 1), str(-(2**53) - 1), str(2**64), f"1{'0' * 5000}"], ids=len)
def test_a_number_beyond_2_53_is_refused(digits: str) -> None:
    assert kind(f'{{"a":{digits}}}') == INVALID


@pytest.mark.parametrize("number", [LARGEST_INTEGER, -LARGEST_INTEGER, 0, -1])
def test_a_number_within_2_53_arrives_as_it_is(number: int) -> None:
    assert parse_body(f'{{"a":{number}}}'.encode(), Anything).a == number


@pytest.mark.parametrize("depth", [DEEPEST + 1, 200, 20_000])
def test_a_body_nested_deeper_than_32_is_malformed(depth: int) -> None:
    assert kind(nested(depth)) == MALFORMED
    assert kind('{"a":' * depth + "1" + "}" * depth) == MALFORMED


def test_a_body_nested_32_deep_is_read() -> None:
    assert parse_body(nested(DEEPEST).encode(), Anything).a is not None


def test_many_brackets_side_by_side_or_in_a_text_are_not_depth() -> None:
    assert len(parse_body(f'{{"a":[{",".join(["[]"] * 100)}]}}'.encode(), Anything).a) == 100
    assert parse_body(json.dumps({"a": "[{" * 100}).encode(), Anything).a == "[{" * 100


BAD = ("\\u0000", "\\ud83d", "\\uDE00", "\\ude00\\ud83d", "\\ufffe", "\\uFFFF", "\ufffe", "\uffff", "\\ufdd0", "\ufdef")


@pytest.mark.parametrize("bad", BAD, ids=ascii)
def test_characters_that_are_no_text_are_refused_with_the_place_and_without_an_echo(bad: str) -> None:
    found = problem(f'{{"a":[{{"b":"secret{bad}"}}]}}')
    assert (found.code, found.status) == INVALID
    assert [error["pointer"] for error in found.errors] == ["/a/0/b"]
    assert "secret" not in repr(found.errors) + repr(found.detail)


@pytest.mark.parametrize("bad", BAD, ids=ascii)
def test_characters_that_are_no_text_are_refused_in_names_too(bad: str) -> None:
    assert kind(f'{{"a":{{"b{bad}":1}}}}') == INVALID


def test_a_raw_nul_or_control_character_is_malformed() -> None:
    assert kind(b'{"a":"x\x00y"}') == MALFORMED
    assert kind(b'{"a":"x\ny"}') == MALFORMED


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("😀👨‍👩‍👧", "😀👨‍👩‍👧"),
        ("\\ud83d\\ude00", "😀"),
        ("𠮷野家𪚥", "𠮷野家𪚥"),
        ("\\uD842\\uDFB7", "𠮷"),
        ("\\\\u0000 \\\\ud800", "\\u0000 \\ud800"),
        ("路灯不亮\\n第二行\\t", "路灯不亮\n第二行\t"),
        ("\ufffd\ufeff\u200b", "\ufffd\ufeff\u200b"),
        ("\ufdcf\ufdf0", "\ufdcf\ufdf0"),
    ],
)
def test_emoji_rare_characters_and_escaped_backslashes_arrive_as_they_were_meant(written: str, meant: str) -> None:
    assert parse_body(f'{{"a":"{written}"}}'.encode(), Anything).a == meant


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        ('{"text":1}', "/text"),
        ('{"text":"x","number":"1"}', "/number"),
        ('{"text":"x","number":1.5}', "/number"),
        ('{"text":"x","number":true}', "/number"),
        ('{"text":null}', "/text"),
        ("{}", "/text"),
        ('{"text":"x","surprise":1}', "/surprise"),
        ("[]", ""),
        ('"x"', ""),
        ("null", ""),
    ],
)
def test_what_does_not_fit_the_model_is_refused_with_its_place(raw: str, pointer: str) -> None:
    found = problem(raw, Text)
    assert (found.code, found.status) == INVALID
    assert [error["pointer"] for error in found.errors] == [pointer]


def test_a_refused_value_is_not_repeated() -> None:
    found = problem('{"text":"x","number":"13800138000"}', Text)
    assert "13800138000" not in repr((found.errors, found.detail, found.args))


def test_white_space_around_a_body_does_not_matter() -> None:
    assert parse_body(b' \r\n\t{"a" : 1}\n ', Anything).a == 1


@pytest.mark.parametrize("raw", [b'{\x00"\x00}', b"{\x00\x00\x00\xc2\x80\xc2\x80"], ids=ascii)
def test_a_body_that_looks_like_utf_16_is_malformed_and_not_a_crash(raw: bytes) -> None:
    assert kind(raw) == MALFORMED


def test_the_place_of_a_bad_text_is_a_pointer_of_rfc_6901() -> None:
    assert problem('{"a":{"b/c~d":"\\u0000"}}').errors[0]["pointer"] == "/a/b~1c~0d"


NO_TEXT = "\x00\ufffe\uffff" + "".join(map(chr, range(0xFDD0, 0xFDF0)))
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters=NO_TEXT), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=50, deadline=None)
@given(values, st.booleans())
def test_any_decent_json_arrives_as_it_was_sent_escaped_or_not(value: Any, escaped: bool) -> None:
    assert parse_body(json.dumps({"a": value}, ensure_ascii=escaped).encode(), Anything).a == value


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=40))
def test_rubbish_is_read_or_answered_with_a_problem_and_never_a_crash(raw: bytes) -> None:
    try:
        parse_body(raw, Anything)
    except Problem as refusal:
        assert (refusal.code, refusal.status) in {MALFORMED, INVALID}
