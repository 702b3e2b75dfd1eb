"""Video and voice: boxes that tell of place and device are emptied where they stand, and nothing else moves."""

from __future__ import annotations

import io

import pytest

from services.intake_service.movies import strip_movie
from services.intake_service.places import Point
from shared.engine.decider import Refused
from tests.support.files import FTYP, box

PLACE = b"+39.9042+116.4074/"
XYZ = box(b"\xa9xyz", len(PLACE).to_bytes(2, "big") + b"\x15\xc7" + PLACE)
MAKE = box(b"\xa9mak", b"SECRETPHONE-9000")
MDAT = box(b"mdat", b"frames +39.9042+116.4074/ udta meta SECRETPHONE")
MVHD = box(b"mvhd", bytes(range(100)))


def long_box(kind: bytes, content: bytes) -> bytes:
    """A box with a length of 64 bits."""
    return (1).to_bytes(4, "big") + kind + (16 + len(content)).to_bytes(8, "big") + content


def told(movie: bytes) -> tuple[bytes, Point | None]:
    """The movie afterwards, and the position that it told."""
    file = io.BytesIO(movie)
    position = strip_movie(file)
    return file.getvalue(), position


def empty(kept: bytes) -> bytes:
    """A box of the same length with nothing in it."""
    return box(b"free", bytes(len(kept) - 8))


@pytest.mark.parametrize("kind", [b"udta", b"meta", b"uuid"])
def test_what_tells_of_place_and_device_becomes_free_space_of_the_same_length(kind: bytes) -> None:
    telling = box(kind, MAKE, XYZ)
    after, position = told(FTYP + box(b"moov", MVHD, telling) + MDAT)
    assert position == Point(116.4074, 39.9042)
    assert after == FTYP + box(b"moov", MVHD, empty(telling)) + MDAT


def test_such_boxes_are_found_at_every_level() -> None:
    telling = box(b"udta", XYZ)
    movie = FTYP + telling + box(b"moov", box(b"trak", telling, box(b"mdia", b"x")), MVHD, telling) + MDAT + telling
    after, position = told(movie)
    gone = empty(telling)
    assert position == Point(116.4074, 39.9042)
    assert after == FTYP + gone + box(b"moov", box(b"trak", gone, box(b"mdia", b"x")), MVHD, gone) + MDAT + gone


def test_the_first_position_counts() -> None:
    other = box(b"udta", XYZ.replace(b"39.9042", b"31.2304"))
    assert told(FTYP + box(b"udta", MAKE) + box(b"moov", box(b"udta", XYZ), other))[1] == Point(116.4074, 39.9042)


@pytest.mark.parametrize(
    ("text", "point"),
    [
        (b"-33.8688+151.2093+025.1/", Point(151.2093, -33.8688)),
        (b"+40.7128-074.0060/", Point(-74.006, 40.7128)),
        (b"+99.0000+116.4074/", None),
        (b"+39.9042+196.4074/", None),
        (b"nowhere", None),
        (b"", None),
    ],
)
def test_a_position_is_north_or_south_and_east_or_west_or_none_at_all(text: bytes, point: Point | None) -> None:
    assert told(FTYP + box(b"moov", box(b"udta", box(b"\xa9xyz", text))))[1] == point


def test_long_boxes_are_walked_through() -> None:
    telling = box(b"udta", XYZ)
    media = long_box(b"mdat", b"frames udta")
    after, position = told(FTYP + media + long_box(b"moov", MVHD + telling))
    assert position is not None
    assert after == FTYP + media + long_box(b"moov", MVHD + empty(telling))


def test_a_last_box_without_a_length_reaches_to_the_end() -> None:
    rest = bytes(4) + b"udta" + XYZ
    after, position = told(FTYP + MDAT + rest)
    assert position is not None and after == FTYP + MDAT + bytes(4) + b"free" + bytes(len(XYZ))
    media = bytes(4) + b"mdat" + b"frames"
    assert told(FTYP + media) == (FTYP + media, None)


def test_a_large_box_is_emptied_whole() -> None:
    telling = box(b"udta", XYZ, bytes([7]) * 200_000)
    assert told(FTYP + telling)[0] == FTYP + empty(telling)


def test_a_movie_that_tells_nothing_is_kept_as_it_came() -> None:
    movie = FTYP + box(b"moov", MVHD, box(b"trak", box(b"mdia", b"udta"))) + MDAT
    assert told(movie) == (movie, None) and told(b"") == (b"", None)


@pytest.mark.parametrize(
    "movie",
    [
        FTYP + (7).to_bytes(4, "big") + b"moov",
        FTYP + (1000).to_bytes(4, "big") + b"mdat",
        FTYP + (2**32 - 1).to_bytes(4, "big") + b"udta" + XYZ,
        FTYP + box(b"moov", (500).to_bytes(4, "big") + b"udta" + XYZ),
        FTYP + box(b"moov", box(b"trak", (2).to_bytes(4, "big") + b"tkhd")),
        FTYP + (1).to_bytes(4, "big") + b"mdat" + (2**63).to_bytes(8, "big"),
        FTYP + (1).to_bytes(4, "big") + b"mdat" + (15).to_bytes(8, "big"),
        FTYP + (1).to_bytes(4, "big") + b"mdat" + b"\0\0",
        (box(b"moov", box(b"udta", XYZ)) + MDAT)[:-1],
    ],
)
def test_lengths_that_do_not_fit_are_refused_and_nothing_is_changed(movie: bytes) -> None:
    file = io.BytesIO(movie)
    with pytest.raises(Refused) as error:
        strip_movie(file)
    assert error.value.code == "FILE_DAMAGED" and file.getvalue() == movie


@pytest.mark.parametrize("around", [b"mdia", b"minf", b"edts", b"moof", b"traf"])
def test_a_box_with_a_long_length_is_emptied_too_wherever_it_stands(around: bytes) -> None:
    telling = long_box(b"udta", MAKE + XYZ)
    after, position = told(FTYP + box(b"moov", box(around, telling)) + MDAT)
    assert position == Point(116.4074, 39.9042)
    assert b"SECRETPHONE" not in after.replace(MDAT, b"") and len(after) == len(
        FTYP + box(b"moov", box(around, telling)) + MDAT
    )


def test_boxes_nested_without_end_are_refused() -> None:
    movie = MVHD
    for _ in range(1200):
        movie = box(b"moov", movie)
    with pytest.raises(Refused) as refusal:
        told(FTYP + movie)
    assert refusal.value.code == "FILE_DAMAGED"
