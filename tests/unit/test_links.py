"""The links that notices carry: what was written is read, and nothing else is."""

from __future__ import annotations

import re
import string
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest

from services.feedback_service.links import MAC_BYTES, Link, Purpose, read, written

KEY, OTHER = b"k" * 32, b"o" * 32
APPEAL, ANOTHER = "01a207f8-0000-7000-8000-000000000001", "01a207f8-0000-7000-8000-000000000002"
LINK = Link(APPEAL, Purpose.SURVEY, 1)
TOKEN = written(KEY, LINK)
ALPHABET = string.ascii_letters + string.digits + "-_"
LENGTH = 47


@pytest.mark.parametrize("appeal", [APPEAL, ANOTHER, "ffffffff-ffff-ffff-ffff-ffffffffffff"])
@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize("number", [0, 1, 255, 256, 65535])
def test_a_link_is_read_as_it_was_written(appeal: str, purpose: Purpose, number: int) -> None:
    link = Link(appeal, purpose, number)
    assert read(KEY, written(KEY, link)) == link


def test_a_link_is_the_same_whenever_it_is_written_and_needs_no_escaping_in_a_url() -> None:
    assert written(KEY, Link(APPEAL, Purpose.SURVEY, 1)) == TOKEN
    assert re.fullmatch(r"[A-Za-z0-9_-]{47}", TOKEN)


@pytest.mark.parametrize("position", range(LENGTH))
def test_a_link_with_any_other_character_is_none(position: int) -> None:
    for character in set(ALPHABET + "=+/. \n%é中") - {TOKEN[position]}:
        assert read(KEY, TOKEN[:position] + character + TOKEN[position + 1 :]) is None


@pytest.mark.parametrize("length", range(LENGTH))
def test_a_link_that_was_cut_is_none(length: int) -> None:
    assert read(KEY, TOKEN[:length]) is None
    assert read(KEY, TOKEN[length + 1 :]) is None


@pytest.mark.parametrize("more", ["A", "AA", "AAAA", "=", "==", "\n", " ", "!", "\x00", "?said=ok"])
def test_a_link_is_read_in_its_one_form_only(more: str) -> None:
    assert read(KEY, TOKEN + more) is None
    assert read(KEY, more + TOKEN) is None
    assert read(KEY, TOKEN[:20] + more + TOKEN[20:]) is None


@pytest.mark.parametrize(
    "junk", ["", "=", "====", "A", "A" * 47, "A" * 48, "-" * 47, "王芳" * 20, "\x00" * 47, "\ud800"]
)
def test_junk_is_no_link(junk: str) -> None:
    assert read(KEY, junk) is None


def test_a_link_of_another_key_is_none() -> None:
    assert read(OTHER, TOKEN) is None
    assert read(KEY, written(OTHER, LINK)) is None


@pytest.mark.parametrize(
    "other", [Link(ANOTHER, Purpose.SURVEY, 1), Link(APPEAL, Purpose.THREAD, 1), Link(APPEAL, Purpose.SURVEY, 2)]
)
def test_one_link_leads_to_no_other(other: Link) -> None:
    theirs, ours = (urlsafe_b64decode(f"{token}=") for token in (written(KEY, other), TOKEN))
    assert theirs[-MAC_BYTES:] != ours[-MAC_BYTES:]
    crossed = theirs[:-MAC_BYTES] + ours[-MAC_BYTES:]
    assert read(KEY, urlsafe_b64encode(crossed).decode().rstrip("=")) is None


def test_a_link_for_something_that_we_do_not_know_is_none() -> None:
    assert read(KEY, written(KEY, Link(APPEAL, 3, 1))) is None  # type: ignore[arg-type]
