"""Contact data: the same person is recognised without being stored, and no more of a number is shown than needed."""

from __future__ import annotations

import hmac
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake_service.contact import masked_name, masked_phone, pseudonym

KEY, OTHER_KEY = b"k" * 32, b"x" * 32
MOBILE = "13800138000"


@pytest.mark.parametrize(
    "spelling",
    [
        "138 0013 8000",
        "138-0013-8000",
        "+8613800138000",
        "+86 138 0013 8000",
        "86-13800138000",
        "008613800138000",
        "0086 138-0013-8000",
    ],
)
def test_one_mobile_number_in_any_spelling_is_one_person(spelling: str) -> None:
    assert pseudonym(KEY, spelling, None) == pseudonym(KEY, MOBILE, None)


def test_an_email_is_one_person_however_its_letters_are_written() -> None:
    assert pseudonym(KEY, None, " Li.Lei@Example.CN ") == pseudonym(KEY, None, "li.lei@example.cn")


@pytest.mark.parametrize("other", ["13800138001", "23800138000", "+8523800138000", "010-66555678", "8613"])
def test_different_numbers_are_different_people(other: str) -> None:
    assert pseudonym(KEY, other, None) != pseudonym(KEY, MOBILE, None)


def test_a_landline_that_begins_with_86_keeps_its_digits() -> None:
    assert pseudonym(KEY, "8612345678", None) != pseudonym(KEY, "12345678", None)


def test_the_phone_goes_before_the_email() -> None:
    assert pseudonym(KEY, MOBILE, "a@b.cn") == pseudonym(KEY, MOBILE, None)
    assert pseudonym(KEY, "", "a@b.cn") == pseudonym(KEY, "000", "a@b.cn") == pseudonym(KEY, None, "a@b.cn")


@pytest.mark.parametrize(
    ("phone", "email"), [(None, None), ("", ""), ("", None), ("000", None), ("00000000000", ""), ("+00 0-0", None)]
)
def test_without_contact_there_is_no_pseudonym(phone: str | None, email: str | None) -> None:
    assert pseudonym(KEY, phone, email) is None


def test_a_pseudonym_is_keyed_so_that_nobody_can_guess_back() -> None:
    assert pseudonym(KEY, MOBILE, None) != pseudonym(OTHER_KEY, MOBILE, None)
    keyed = hmac.new(KEY, f"phone:{MOBILE}".encode(), sha256).hexdigest()[:32]
    assert pseudonym(KEY, MOBILE, None) == f"p{keyed}"
    assert sha256(MOBILE.encode()).hexdigest()[:32] not in keyed


def test_a_phone_and_an_email_of_the_same_characters_are_different_people() -> None:
    assert pseudonym(KEY, MOBILE, None) != pseudonym(KEY, None, MOBILE)


def test_one_landline_with_or_without_country_code_is_one_person() -> None:
    assert pseudonym(KEY, "+86 10 6655 5678", None) == pseudonym(KEY, "010-66555678", None)


@settings(max_examples=50, deadline=None)
@given(st.integers(13_000_000_000, 19_999_999_999).map(str), st.data())
def test_spaces_and_hyphens_never_matter(number: str, data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.sampled_from(["", " ", "-"]), min_size=11, max_size=11))
    spelled = "".join(digit + gap for digit, gap in zip(number, gaps, strict=True))
    assert pseudonym(KEY, spelled, None) == pseudonym(KEY, f"+86{number}", None)


@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        (MOBILE, "138******00"),
        ("66555678", "665***78"),
        ("6655567", "*******"),
        ("12345", "*****"),
        ("", ""),
        (None, None),
    ],
)
def test_of_a_number_three_leading_and_two_last_digits_are_shown_and_of_a_short_one_none(
    phone: str | None, shown: str | None
) -> None:
    assert masked_phone(phone) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [("王", "王"), ("王芳", "王*"), ("欧阳娜娜", "欧***"), ("Alexander", "A***"), ("", ""), (None, None)],
)
def test_of_a_name_the_first_character_is_shown_and_not_how_long_it_is(name: str | None, shown: str | None) -> None:
    assert masked_name(name) == shown


@settings(max_examples=50, deadline=None)
@given(st.text("0123456789", min_size=3, max_size=20))
def test_a_mask_never_shows_more_than_five_characters(phone: str) -> None:
    masked = masked_phone(phone) or ""
    assert len(masked.replace("*", "")) <= 5
    assert masked.count("*") >= 3
