"""The exact bytes of an event: those of the RFC 8785 reference, and the RFC 6962 leaf over them."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.envelope import BEIJING, Actor, Envelope, decode_envelope
from shared.eventlog.canonical import canonical, leaf_hash

BRIEFLY = settings(max_examples=50, deadline=None)
LARGEST = 2**53 - 1
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
names = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-LARGEST, LARGEST) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)
events = st.fixed_dictionaries({"id": st.uuids().map(str), "version": st.integers(1, LARGEST), "data": values})


@BRIEFLY
@given(events)
def test_our_bytes_are_those_of_the_reference_implementation(event: dict[str, Any]) -> None:
    assert canonical(event) == rfc8785.dumps(event)


@BRIEFLY
@given(st.dictionaries(names, scalars, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_the_order_in_which_members_were_set_does_not_matter(event: dict[str, Any], chance: Any) -> None:
    members = list(event.items())
    chance.shuffle(members)
    assert canonical(dict(members)) == canonical(event)


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ({"b": 1, "a": [True, None]}, b'{"a":[true,null],"b":1}'),
        ({"a": "\u20ac$\x0f\nA'B\"\\/"}, '{"a":"€$\\u000f\\nA\'B\\"\\\\/"}'.encode()),
        ({"a": "\x7f\u2028𠮷😀"}, '{"a":"\x7f\u2028𠮷😀"}'.encode()),
        ({"B": 1, "a": 2, "A": 3, "": 4}, b'{"":4,"A":3,"B":1,"a":2}'),
        ([LARGEST, -LARGEST, 0], b"[9007199254740991,-9007199254740991,0]"),
    ],
)
def test_known_values_have_known_bytes(value: Any, body: bytes) -> None:
    assert canonical(value) == body == rfc8785.dumps(value)


NOT_JSON = (2**53, -(2**53), 2**64, "\ud800", {"\udfff": 1}, {1: 2}, {1, 2}, object())


@pytest.mark.parametrize("value", NOT_JSON, ids=lambda value: type(value).__name__)
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical({"a": value} if not isinstance(value, dict) else value)


def test_an_envelope_comes_back_from_its_bytes() -> None:
    envelope = Envelope(
        id="00000000-0000-7000-8000-000000000001",
        source="urn:jiesu/intake",
        type="cn.gov.appeals.intake.appeal-closed.v1",
        subject="42",
        stream="appeal-42",
        version=7,
        time=datetime(2026, 11, 23, 9, 0, 0, 123000, tzinfo=BEIJING),
        actor=Actor("AGENT", sub="agent-1"),
        correlation="c",
        causation="b",
        data={"round": 1, "note": "路灯😀"},
    )
    body = canonical(envelope.as_json())
    assert decode_envelope(body) == envelope
    assert canonical(decode_envelope(body).as_json()) == body
    assert b'"time":"2026-11-23T09:00:00.123+08:00"' in body


def test_the_leaf_of_nothing_is_the_one_that_everybody_knows() -> None:
    """RFC 6962, section 2.1, and the test vectors of certificate transparency logs."""
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


@BRIEFLY
@given(st.binary(max_size=64))
def test_a_leaf_is_hashed_apart_from_plain_bytes_and_inner_nodes(body: bytes) -> None:
    assert leaf_hash(body) == sha256(b"\x00" + body).digest()
    assert leaf_hash(body) not in {sha256(body).digest(), sha256(b"\x01" + body).digest()}
