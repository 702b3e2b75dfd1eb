"""A file is what its content says; a picture is kept without what the camera wrote into it."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from services.intake_service.media import Medium, recognised, stripped
from services.intake_service.places import Point
from services.intake_service.policy import attachment_policy
from shared.engine.decider import Refused
from tests.support.files import BEIJING_GPS, DEVICE, FTYP, PDF, box, picture

POLICY = attachment_policy()
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PICTURES = ["JPEG", "PNG", "WEBP"]
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">exif:GPSLatitude=39,54N SECRETPHONE-9000</x:xmpmeta>'


def office(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name in names:
            file.writestr(name, "<x/>")
    return made.getvalue()


KNOWN = [
    (picture("JPEG"), "a.jpg", "PHOTO", "image/jpeg"),
    (picture("PNG"), "a.png", "PHOTO", "image/png"),
    (picture("WEBP"), "a.webp", "PHOTO", "image/webp"),
    (FTYP, "a.mp4", "VIDEO", "video/mp4"),
    (box(b"ftyp", b"qt  \0\0\0\0qt  "), "a.mov", "VIDEO", "video/quicktime"),
    (box(b"ftyp", b"3gp4\0\0\0\0" + b"3gp4"), "a.3gp", "VIDEO", "video/3gpp"),
    (box(b"ftyp", b"M4A \0\0\0\0M4A mp42isom"), "a.m4a", "VOICE", "audio/mp4"),
    (b"#!AMR\n" + bytes(40), "a.amr", "VOICE", "audio/amr"),
    (b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + bytes(30), "a.wav", "VOICE", "audio/wav"),
    (b"OggS\0\2" + bytes(20) + b"\1vorbis", "a.ogg", "VOICE", "audio/ogg"),
    (b"ID3\3\0\0\0\0\0\n" + bytes(40), "a.mp3", "VOICE", "audio/mpeg"),
    (PDF, "a.pdf", "DOCUMENT", "application/pdf"),
    (office("[Content_Types].xml", "_rels/.rels", "word/document.xml"), "a.docx", "DOCUMENT", DOCX),
]
REFUSED = {
    "SVG with a script": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "HTML": b"<!DOCTYPE html><html><script>alert(1)</script></html>",
    "EXE": b"MZ\x90\0" + bytes(56) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0" + bytes(100),
    "ELF": b"\x7fELF\2\1\1" + bytes(60),
    "script": b"#!/bin/sh\nrm -rf /\n",
    "HEIC": box(b"ftyp", b"heic\0\0\0\0mif1heic"),
    "empty": b"",
    "text": "你好，路灯坏了".encode(),
    "a zip that is no document": office("META-INF/MANIFEST.MF", "classes.dex"),
    "AVI": b"RIFF" + struct.pack("<I", 36) + b"AVI LIST" + bytes(30),
    "Matroska": b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska" + bytes(40),
    "GIF": picture("GIF"),
    "BMP": picture("BMP"),
    "TIFF": picture("TIFF"),
    "RAR": b"Rar!\x1a\x07\0" + bytes(20),
    "empty ZIP": b"PK\5\6" + bytes(18),
}


def known(content: bytes, name: str | None = None) -> Medium:
    return recognised(io.BytesIO(content), name, POLICY)


def kept(content: bytes, **changes: Any) -> tuple[bytes, Point | None]:
    """What is kept of a file, and the position that it told."""
    medium = stripped(known(content), replace(POLICY, **changes))
    medium.file.seek(0)
    raw = medium.file.read()
    medium.file.close()
    return raw, medium.position


def refusal(content: bytes, **changes: Any) -> str:
    with pytest.raises(Refused) as error:
        kept(content, **changes)
    return error.value.code


@pytest.mark.parametrize(("content", "name", "kind", "media_type"), KNOWN, ids=[one[1] for one in KNOWN])
def test_what_we_keep_is_known_by_its_content(content: bytes, name: str, kind: str, media_type: str) -> None:
    medium = known(content, name)
    assert (medium.kind, medium.media_type, medium.ending) == (kind, media_type, name[2:])


@pytest.mark.parametrize("name", [None, "a", "a.png", "a.mp4", "a.html", "a.exe", "a.svg", "x.jpg.exe"])
def test_a_name_makes_nothing_else_of_a_picture(name: str | None) -> None:
    medium = known(picture("JPEG"), name)
    assert (medium.kind, medium.media_type) == ("PHOTO", "image/jpeg") and medium.ending in {"jpg", "jpeg", "jfif"}


@pytest.mark.parametrize("what", sorted(REFUSED))
def test_anything_else_is_refused_whatever_its_name(what: str) -> None:
    for name in (None, "a.jpg", "a.pdf", "a.docx", "a.mp4", "a.txt"):
        with pytest.raises(Refused) as error:
            known(REFUSED[what], name)
        assert error.value.code == "FILE_TYPE_UNKNOWN"


@pytest.mark.parametrize("form", PICTURES)
def test_a_picture_tells_where_it_was_taken_and_is_kept_without(form: str) -> None:
    sent = picture(form, gps=BEIJING_GPS)
    assert DEVICE.encode() in sent
    raw, position = kept(sent)
    assert position is not None
    assert (round(position.longitude, 4), round(position.latitude, 4)) == (116.4074, 39.9042)
    clean = Image.open(io.BytesIO(raw))
    assert (clean.format, clean.size, clean.getpixel((5, 5))[0] > 150) == (form, (40, 20), True)  # type: ignore[index]
    assert not clean.getexif() and b"Exif" not in raw and b"EXIF" not in raw and DEVICE.encode() not in raw


@pytest.mark.parametrize(
    ("north", "east", "signs"), [("N", "E", (1, 1)), ("S", "E", (1, -1)), ("N", "W", (-1, 1)), ("S", "W", (-1, -1))]
)
def test_a_position_is_east_or_west_and_north_or_south(north: str, east: str, signs: tuple[int, int]) -> None:
    _, position = kept(picture(gps=BEIJING_GPS | {1: north, 3: east}))
    assert position is not None
    assert (round(position.longitude, 4), round(position.latitude, 4)) == (signs[0] * 116.4074, signs[1] * 39.9042)


@pytest.mark.parametrize(
    "broken",
    [
        {2: (99.0, 0.0, 0.0)},
        {4: (181.0, 0.0, 0.0)},
        {2: (39.0, 54.0)},
        {2: 39.0},
    ],
    ids=str,
)
def test_a_position_that_cannot_be_is_none(broken: dict[int, Any]) -> None:
    assert kept(picture(gps=BEIJING_GPS | broken))[1] is None


def test_a_position_divided_by_zero_is_none() -> None:
    sent = picture(gps=BEIJING_GPS)
    broken = sent.replace(struct.pack("<LL", 116, 1), struct.pack("<LL", 116, 0))
    assert broken != sent and kept(broken)[1] is None


def test_half_a_position_or_none_is_none() -> None:
    assert kept(picture(gps={1: "N", 2: (39.0, 54.0, 0.0)}))[1] is None
    assert kept(picture(gps={}))[1] is kept(picture())[1] is None


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("form", PICTURES)
def test_nothing_that_was_written_beside_the_picture_is_kept(form: str) -> None:
    more: dict[str, Any] = {"icc_profile": profile()} | ({"xmp": XMP} if form != "PNG" else {})
    if form == "JPEG":
        more["comment"] = b"SECRETPHONE-9000"
    if form == "PNG":
        more["pnginfo"] = PngImagePlugin.PngInfo()
        more["pnginfo"].add_text("Comment", "SECRETPHONE-9000")
        more["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    sent = picture(form, gps=BEIJING_GPS, **more)
    raw, _ = kept(sent)
    beside = Image.open(io.BytesIO(raw)).info.keys() - {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert not beside - {"loop", "background", "timestamp", "duration"}
    for word in (b"SECRETPHONE", b"xmpmeta", b"ICC", b"acsp", b"Exif", b"http"):
        assert word not in raw
    assert b"SECRETPHONE" in sent and b"xmpmeta" in sent


def test_what_is_hidden_behind_the_picture_is_not_kept() -> None:
    raw, _ = kept(picture() + b"<script>behind</script>")
    assert b"behind" not in raw


def test_a_picture_is_kept_upright_though_nothing_says_so_any_more() -> None:
    image, made = Image.new("RGB", (40, 20), (0, 0, 255)), io.BytesIO()
    image.paste((255, 0, 0), (0, 0, 20, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # turn it a quarter clockwise
    image.save(made, "JPEG", exif=exif)
    clean = Image.open(io.BytesIO(kept(made.getvalue())[0]))
    top, bottom = clean.getpixel((10, 5)), clean.getpixel((10, 35))
    assert clean.size == (20, 40)
    assert top[0] > 200 and top[2] < 50 and bottom[2] > 200 and bottom[0] < 50  # type: ignore[index,operator]


def claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is this large."""
    raw = picture("PNG")
    head = b"IHDR" + struct.pack(">II", width, height) + raw[24:29]
    return raw[:12] + head + struct.pack(">I", zlib.crc32(head)) + raw[33:]


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_unpacked() -> None:
    assert refusal(claims(8000, 8000)) == "PICTURE_TOO_LARGE"
    assert refusal(picture(size=(11, 10)), most_pixels=109) == "PICTURE_TOO_LARGE"
    assert kept(picture(size=(11, 10)), most_pixels=110)[0]


def test_a_flood_of_pixels_is_refused() -> None:
    assert refusal(claims(60_000, 60_000)) in {"PICTURE_TOO_LARGE", "FILE_DAMAGED"}


@pytest.mark.parametrize("form", PICTURES)
@pytest.mark.parametrize("left", [0.3, 0.6, 0.9])
def test_a_picture_that_was_cut_off_is_refused(form: str, left: float) -> None:
    noise = Image.effect_noise((80, 80), 90)
    made = io.BytesIO()
    noise.convert("RGB").save(made, form)
    whole = made.getvalue()
    assert kept(whole)[0] and refusal(whole[: int(len(whole) * left)]) == "FILE_DAMAGED"


def test_voice_and_documents_are_kept_as_they_came() -> None:
    for content in (PDF, b"#!AMR\nwords"):
        assert kept(content) == (content, None)
