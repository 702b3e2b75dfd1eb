"""Signed notes: the published vector opens, what we sign opens, and a note or key that was touched does not."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator

import pytest

from shared.eventlog.notes import Signer
from shared.eventlog.verify import Bad
from tests.support.notes import opened

KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
LINE = f"— PeterNeumann {SIGNATURE}\n"
NOTE = f"{TEXT}\n{LINE}"
SIGNER = Signer("scores.example", bytes(range(32)))
OTHER = Signer("scores.example", bytes(32))


def refused(note: str, key: str = KEY) -> str:
    """What the refusal says."""
    with pytest.raises((Bad, ValueError)) as refusal:
        opened(note, key)
    return str(refusal.value)


def test_the_vector_of_the_specification_opens() -> None:
    assert opened(NOTE, KEY) == TEXT


def test_the_vector_of_rfc_8032_is_signed_as_published() -> None:
    """Its first key: the verifier key must carry it after the type of the algorithm."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    signer = Signer("rfc", seed)
    assert signer.verifier_key.endswith("+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea")
    assert opened(signer.sign("a\n"), signer.verifier_key) == "a\n"


def test_a_note_that_we_sign_has_the_text_an_empty_line_and_a_signature_line() -> None:
    note = SIGNER.sign("一\n二\n")
    assert note.startswith("一\n二\n\n— scores.example ")
    assert note.endswith("\n")
    assert note.count("\n") == 4
    assert opened(note, SIGNER.verifier_key) == "一\n二\n"


def test_the_key_is_published_in_one_line_with_its_name_and_id() -> None:
    name, key_id, _ = SIGNER.verifier_key.split("+", 2)
    assert (name, len(key_id)) == ("scores.example", 8)


def flipped(whole: bytes) -> Iterator[bytes]:
    """The same with one bit changed, for every bit."""
    for at in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[at // 8] ^= 1 << at % 8
        yield bytes(changed)


def test_a_flipped_bit_of_text_or_name_is_refused() -> None:
    for changed in flipped(NOTE.removesuffix(f"{SIGNATURE}\n").encode()):
        assert refused(f"{changed.decode('utf-8', 'surrogateescape')}{SIGNATURE}\n")


def test_a_flipped_bit_of_a_signature_or_its_key_id_is_refused() -> None:
    for changed in flipped(b64decode(SIGNATURE)):
        note = f"{TEXT}\n— PeterNeumann {b64encode(changed).decode()}\n"
        assert refused(note) in {"no signature by this key fits", "the signature by PeterNeumann does not fit"}


def test_a_flipped_bit_of_a_verifier_key_is_refused() -> None:
    for changed in flipped(KEY.encode()):
        assert refused(NOTE, changed.decode("latin-1"))


@pytest.mark.parametrize(
    ("note", "says"),
    [
        ("", "this is not a signed note"),
        (TEXT, "this is not a signed note"),
        (NOTE.removesuffix("\n"), "this is not a signed note"),
        (f"{TEXT}{LINE}", "this is not a signed note"),
        (f"{TEXT}\n", "this is not a signed note"),
        (f"{TEXT}\n\n{LINE}", "the signature by PeterNeumann does not fit"),
        (f"{TEXT}\n- PeterNeumann {SIGNATURE}\n", "this is not a signed note"),
        (f"{TEXT}\n— PeterNeumann \n", "this is not a signed note"),
        (f"{TEXT}\n— PeterNeumann {SIGNATURE[:-4]}\n", "the signature by PeterNeumann does not fit"),
        (f"{TEXT}\n— PeterNeumann {SIGNATURE[:-1]}\n", "this is not a signed note"),
        (f"{TEXT}\n— PeterNeumann {SIGNATURE}!\n", "this is not a signed note"),
    ],
)
def test_what_is_no_note_of_this_key_is_refused_in_words(note: str, says: str) -> None:
    assert refused(note) == says


@pytest.mark.parametrize("last", "NOP")
def test_a_signature_with_unused_bits_set_says_the_same_and_is_refused(last: str) -> None:
    """Its last sextet ends in two bits that stand for nothing: one signature has one spelling."""
    otherwise = f"{SIGNATURE[:-2]}{last}="
    assert b64decode(otherwise) == b64decode(SIGNATURE)
    assert refused(f"{TEXT}\n— PeterNeumann {otherwise}\n") == "this is not a signed note"


@pytest.mark.parametrize(
    "lines",
    [
        f"— PeterNeumann {SIGNATURE} 一\n",
        f"— PeterNeumann {SIGNATURE} \n",
        f"— PeterNeumann  {SIGNATURE}\n",
        f"{LINE}一\n",
        f"一\n{LINE}",
        f" {LINE}",
        f"{LINE}- other.example {SIGNATURE}\n",
        f"{LINE}— other.example\n",
        f"{LINE}— other+example {SIGNATURE}\n",
        f"{LINE}— other.example AA===\n",
        LINE.replace("\n", "\r\n"),
        LINE.replace("\n", "\r\n") + LINE,
        *(f"{LINE[:-1]}{mark}{LINE}" for mark in ("\r", "\v", "\f", "\x1c", "\x85", "\u2028")),
    ],
)
def test_a_signature_line_that_is_malformed_spoils_the_note_even_beside_a_good_one(lines: str) -> None:
    assert refused(f"{TEXT}\n{lines}") == "this is not a signed note"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        "PeterNeumann+c74f20a3+ARpc",
        f"{KEY}!",
        KEY.replace("c74f20a3", "c74f20a4"),
        KEY.replace("Peter", "Petra"),
        KEY.replace("+ARpc", "+Ahpc"),
    ],
)
def test_what_is_no_key_is_refused_in_words(key: str) -> None:
    assert refused(NOTE, key) == f"this is not a verifier key: {key}"


def test_a_note_of_another_key_with_the_same_name_is_refused() -> None:
    assert refused(OTHER.sign(TEXT), SIGNER.verifier_key) == "no signature by this key fits"
    assert refused(Signer("else.example", SIGNER.seed).sign(TEXT), SIGNER.verifier_key)


def test_a_note_may_carry_the_signatures_of_others_beside_ours() -> None:
    ours, theirs = (signer.sign(TEXT).rpartition("\n\n")[2] for signer in (SIGNER, OTHER))
    for lines in (ours + theirs, theirs + ours, LINE + ours):
        assert opened(f"{TEXT}\n{lines}", SIGNER.verifier_key) == TEXT


def test_a_text_may_have_empty_lines_and_words_that_look_like_a_signature() -> None:
    text = f"一\n\n{LINE}二\n"
    assert opened(SIGNER.sign(text), SIGNER.verifier_key) == text
