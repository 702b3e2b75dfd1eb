"""Files that are not what they seem: of other kinds, damaged, too large inside, or several things at once."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable

from tests.support.clamd import EICAR
from tests.support.files import FTYP, PDF, box, picture

JPEG, PNG, WEBP = picture("JPEG"), picture("PNG"), picture("WEBP")
HTML = b"<html><script>alert(1)</script></html>"
_MAGIC: dict[str, bytes] = {
    "nothing": b"",
    "a blank": b" ",
    "text": b"hello",
    "HTML": b"<!DOCTYPE html>" + HTML,
    "HTML with a mark": b"\xef\xbb\xbf" + HTML,
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "SVG with a prolog": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>',
    "SVGZ": zlib.compress(b"<svg/>", wbits=31),
    "XML that opens files": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><x>&y;</x>',
    "XSL": b'<?xml version="1.0"?><xsl:stylesheet version="1.0"/>',
    "MHTML": b"MIME-Version: 1.0\r\nContent-Type: multipart/related\r\n\r\n",
    "mail": b"From: a@b\r\nTo: c@d\r\nSubject: x\r\n\r\nx",
    "JavaScript": b"fetch('//x')",
    "PHP": b"<?php system($_GET[0]); ?>",
    "shell": b"#!/bin/sh\nid\n",
    "Python": b"#!/usr/bin/env python3\nimport os\n",
    "batch": b"@echo off\r\nformat c:\r\n",
    "PowerShell": b"Invoke-Expression x\r\n",
    "EXE": b"MZ\x90\0" + bytes(56) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0" + bytes(100),
    "ELF": b"\x7fELF\2\1\1" + bytes(60),
    "Mach-O": b"\xcf\xfa\xed\xfe" + bytes(60),
    "Java class": b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(60),
    "WebAssembly": b"\0asm\1\0\0\0",
    "Dalvik": b"dex\n035\0" + bytes(60),
    "shortcut": b"L\0\0\0\1\x14\2\0\0\0\0\0\xc0\0\0\0\0\0\0F" + bytes(60),
    "compiled help": b"ITSF\3\0\0\0" + bytes(60),
    "Flash": b"FWS\x09" + bytes(60),
    "GIF": picture("GIF"),
    "BMP": picture("BMP"),
    "TIFF": picture("TIFF"),
    "ICO": picture("ICO"),
    "PCX": picture("PCX"),
    "PPM": picture("PPM"),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
    "PSD": b"8BPS\0\1" + bytes(60),
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "PostScript": b"%!PS\n(x) run\n",
    "HEIC": box(b"ftyp", b"heic\0\0\0\0mif1heic"),
    "AVIF": box(b"ftyp", b"avif\0\0\0\0mif1avif"),
    "AVI": b"RIFF" + struct.pack("<I", 36) + b"AVI LIST" + bytes(30),
    "FLV": b"FLV\1\5\0\0\0\x09" + bytes(40),
    "WMV": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c" + bytes(40),
    "Matroska": b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska" + bytes(40),
    "FLAC": b"fLaC\0\0\0\x22" + bytes(40),
    "MIDI": b"MThd\0\0\0\6\0\1\0\1\0\x60",
    "AIFF": b"FORM\0\0\0\x20AIFFCOMM" + bytes(40),
    "old Word": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "RTF": rb"{\rtf1\ansi{\*\generator x;}\objupdate}",
    "ODT": b"",  # made below
    "DjVu": b"AT&TFORM\0\0\0\x20DJVU" + bytes(40),
    "7z": b"7z\xbc\xaf\x27\x1c\0\4" + bytes(40),
    "RAR": b"Rar!\x1a\x07\1\0" + bytes(40),
    "gzip": zlib.compress(bytes(1000), wbits=31),
    "bzip2": b"BZh91AY&SY" + bytes(40),
    "xz": b"\xfd7zXZ\0\0\4" + bytes(40),
    "zstd": b"\x28\xb5\x2f\xfd" + bytes(40),
    "tar": b"a".ljust(257, b"\0") + b"ustar\x0000" + bytes(248),
    "cab": b"MSCF\0\0\0\0" + bytes(60),
    "ISO image": bytes(32769) + b"CD001",
    "SQLite": b"SQLite format 3\0" + bytes(84),
    "pcap": b"\xd4\xc3\xb2\xa1\2\0\4\0" + bytes(16),
    "torrent": b"d8:announce3:x:ye",
    "font": b"\0\1\0\0\0\x0c\0\x80" + bytes(60),
    "certificate": b"-----BEGIN CERTIFICATE-----\nAAAA\n",
    "private key": b"-----BEGIN PRIVATE KEY-----\nAAAA\n",
    "virus signature": EICAR,
    "UTF-16 text": "甲".encode("utf-16"),
    "almost JPEG": b"\xff\xd8",
    "almost PDF": b"%PD",
    "PNG after a conversion": PNG.replace(b"\r\n", b"\n"),
}


def _zip(*names: str, flags: int = 0, link: bool = False, content: bytes = b"<x/>") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 << 16) if link else 0
            file.writestr(info, content)
    raw = bytearray(made.getvalue())
    if flags:
        raw[6] |= flags
    return bytes(raw)


_TYPES = "[Content_Types].xml"
ARCHIVES = {
    "ZIP": _zip("a.txt"),
    "empty ZIP": b"PK\5\6" + bytes(18),
    "ZIP in ZIP": _zip("a.zip", content=_zip("b.zip", content=_zip("c"))),
    "ZIP with paths upwards": _zip("../../etc/cron.d/x", "..\\x"),
    "ZIP with a link": _zip("link", link=True, content=b"/etc/passwd"),
    "ZIP with a password": _zip("a.txt", flags=1),
    "ZIP bomb": _zip(*(f"{n}" for n in range(40)), content=bytes(1 << 20)),
    "ZIP with ten thousand names": _zip(*(f"d/{n}" for n in range(10_000))),
    "ZIP without an end": _zip("a.txt")[:-30],
    "ZIP with a wrong directory": _zip("a.txt").replace(b"PK\1\2", b"PK\7\2"),
    "JAR": _zip("META-INF/MANIFEST.MF", "A.class"),
    "APK": _zip("AndroidManifest.xml", "classes.dex"),
    "ODT": _zip("mimetype", "content.xml", content=b"application/vnd.oasis.opendocument.text"),
    "EPUB": _zip("mimetype", "META-INF/container.xml"),
    "document without its types": _zip("word/document.xml"),
    "types without a document": _zip(_TYPES),
    "document in another folder": _zip(_TYPES, "evil/document.xml"),
    "document in capitals": _zip(_TYPES.upper(), "WORD/document.xml"),
}
UNKNOWN = {name: content for name, content in _MAGIC.items() if name != "ODT"} | ARCHIVES
"""Not of a kind that is kept, by its content, whatever it is called."""


def _png(width: int, height: int, data: bytes = b"") -> bytes:
    """A picture that says this of its size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", data or zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    made = b"\x89PNG\r\n\x1a\n"
    for kind, content in chunks:
        made += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return made


def _damaged(whole: bytes, name: str) -> dict[str, bytes]:
    ways: dict[str, Callable[[bytes], bytes]] = {
        "cut in half": lambda raw: raw[: len(raw) // 2],
        "cut to its head": lambda raw: raw[:32],
    }
    return {f"{name} {how}": change(whole) for how, change in ways.items()}


DAMAGED = {
    **_damaged(JPEG, "JPEG"),
    **_damaged(PNG, "PNG"),
    **_damaged(WEBP, "WEBP"),
    "JPEG with NULs inside": JPEG[:20] + bytes(len(JPEG) - 20),
    "JPEG with nothing but its mark": JPEG[:3] + b"\xe0" + bytes(50),
    "PNG with another checksum": PNG[:29] + b"\0\0\0\0" + PNG[33:],
    "PNG with less data than it says": _png(40, 4000),
    "PNG of no width": _png(0, 10),
    "PNG of no height": _png(10, 0),
    "PNG with rubbish for data": _png(40, 20, b"rubbish" * 9),
    "PNG with HTML for data": _png(40, 20, HTML),
    "WEBP of nothing": WEBP[:16] + bytes(30),
}
"""Of a kind that is kept, and cannot be read: FILE_DAMAGED, or not recognised any more."""

FLOODS = {
    f"{width} x {height}": _png(width, height)
    for width, height in [(7072, 7072), (50_000_001, 1), (1, 50_000_001), (65_535, 65_535), (2**31 - 1, 2**31 - 1)]
}
"""Pictures that would fill the memory, in some hundred bytes."""

POLYGLOTS = {
    "JPEG and HTML": (JPEG + HTML, HTML),
    "JPEG and ZIP": (JPEG + ARCHIVES["ZIP"], b"PK\3\4"),
    "JPEG and PHP": (JPEG + b"<?php evil(); ?>", b"<?php"),
    "PNG and HTML": (PNG + HTML, HTML),
    "PNG and EXE": (PNG + _MAGIC["EXE"], b"MZ\x90"),
    "PNG and JAR": (PNG + ARCHIVES["JAR"], b"META-INF"),
    "WEBP and shell": (WEBP + b"\n#!/bin/sh\nid\n", b"/bin/sh"),
    "WEBP and a second picture": (WEBP + JPEG, JPEG[:20]),
    "JPEG with a comment": (JPEG[:2] + b"\xff\xfe" + struct.pack(">H", len(HTML) + 2) + HTML + JPEG[2:], HTML),
    "JPEG and a signature": (JPEG + EICAR, EICAR),
}
"""A picture, and something that others would take it for: the picture alone is kept."""

NAMES = [
    "../../etc/passwd",
    "..\\..\\evil.exe",
    "/etc/evil",
    "C:\\evil.exe",
    "evil.jpg.exe",
    "evil.php\0.jpg",
    "evil%00.jpg",
]
NAMES += [
    "evil.jpg\u202egpj.exe",
    "evil\u200b.svg",
    "evil.html;.jpg",
    "evil.jpg/",
    "evil.jpg.",
    "evil.jpg::$DATA",
    "~evil",
]
NAMES += [
    "CON",
    "NUL.evil",
    "-rf evil",
    "$(evil).jpg",
    "`evil`.jpg",
    "|evil",
    "<script>evil</script>.jpg",
    "' OR evil --",
]
NAMES += [
    "=evil()",
    "evil" * 1024,
    "长evil" * 300,
    "%2e%2e%2fevil",
    ".htaccess.evil",
    "evil\t.jpg",
    " evil.jpg ",
    "evil.JPG",
]
NAMES += [
    "evil.jpg?x=1",
    "evil.jpg#x",
    "data:text/html,evil",
    "file:///evil",
    "evil\x1b[31m.jpg",
    "evil\ud7ff\ue000.jpg",
]
VIDEO_LIES = {
    "a box that is longer than the file": FTYP + (1 << 31).to_bytes(4, "big") + b"moov",
    "a box shorter than its head": FTYP + (3).to_bytes(4, "big") + b"moov",
    "a box of no length inside": FTYP + box(b"moov", (0).to_bytes(4, "big") + b"udta"),
    "a length of 64 bits that lies": FTYP + (1).to_bytes(4, "big") + b"moov" + b"\xff" * 8,
    "boxes in boxes": FTYP + box(b"moov", *[box(b"trak", box(b"mdia", box(b"udta", PDF)))] * 3) + b"\0\0",
}
