"""Forms that bring a file in some way that is not the usual one, and what each comes to."""

from __future__ import annotations

import base64
from typing import NamedTuple

from tests.support.bad import CANARY
from tests.support.files import BOUNDARY, FORM, PDF, form, part

TAKEN = ""
UNREADABLE, MISSING = "BAD_REQUEST", "VALIDATION_FAILED"
OF = {TAKEN: 201, UNREADABLE: 400, MISSING: 422, "FILE_TYPE_UNKNOWN": 422, "FILE_DAMAGED": 422}
END = f"--{BOUNDARY}--\r\n".encode()
FILE = part("file", "a.pdf", PDF)


class Odd(NamedTuple):
    """A body, the code that it is refused with (or none), and its media type."""

    data: bytes
    code: str = UNREADABLE
    media_type: str = FORM


def with_headers(headers: str, content: bytes = PDF) -> bytes:
    """One part with exactly these headers."""
    return f"--{BOUNDARY}\r\n{headers}\r\n\r\n".encode() + content + b"\r\n" + END


def named(disposition: str) -> bytes:
    return with_headers(f"Content-Disposition: {disposition}")


def bounded(boundary: str, as_said: str | None = None) -> tuple[bytes, str]:
    """A whole form with this boundary, and a media type that says so."""
    data = form(("file", "a.pdf", PDF)).replace(BOUNDARY.encode(), boundary.encode("latin-1"))
    return data, f"multipart/form-data; boundary={boundary if as_said is None else as_said}"


def _boundaries() -> dict[str, Odd]:
    odd: dict[str, tuple[str, str, str | None]] = {
        "one letter": ("x", TAKEN, None),
        "seventy letters": ("b" * 70, TAKEN, None),
        "quoted": ("b d", TAKEN, '"b d"'),
        "single quotes are letters": ("'b'", TAKEN, None),
        "empty": ("", TAKEN, ""),
        "four thousand letters": ("b" * 4000, UNREADABLE, None),
        "of another form": (BOUNDARY, UNREADABLE, "other"),
        "cut by a semicolon": ("b;c", UNREADABLE, None),
        "with its dashes": (BOUNDARY, UNREADABLE, f"--{BOUNDARY}"),
        "in capitals": ("abc", UNREADABLE, "ABC"),
        "said twice": (BOUNDARY, UNREADABLE, f"other; boundary={BOUNDARY}x"),
    }
    made = {}
    for name, (boundary, code, said) in odd.items():
        data, media_type = bounded(boundary, said)
        made[f"boundary {name}"] = Odd(data, code, media_type)
    return made


_ATTACHED = 'form-data; name="file"; filename="a.pdf"'
_DISPOSITIONS = {
    "no type": ('name="file"; filename="a.pdf"', UNREADABLE),
    "another name": (f'form-data; name="{CANARY}"; filename="a.pdf"', MISSING),
    "the name twice": (f'{_ATTACHED}; name="other"', MISSING),
    "no name": ('form-data; filename="a.pdf"', UNREADABLE),
    "an empty name": ('form-data; name=""; filename="a.pdf"', MISSING),
    "name in capitals": ('form-data; name="FILE"; filename="a.pdf"', MISSING),
    "a name with a blank": ('form-data; name="file "; filename="a.pdf"', MISSING),
    "a name with a bracket": ('form-data; name="file[]"; filename="a.pdf"', MISSING),
    "a name with a NUL": ('form-data; name="file\0"; filename="a.pdf"', MISSING),
    "a file name with CRLF": ('form-data; name="file"; filename="a\r\nX-Evil: 1"', TAKEN),
    "RFC 2231 file name": ("form-data; name=\"file\"; filename*=UTF-8''%e9%95%bf.pdf", MISSING),
    "RFC 2231 path": ("form-data; name=\"file\"; filename*=UTF-8''..%2F..%2Fevil.pdf", MISSING),
    "RFC 2231 of no charset": ("form-data; name=\"file\"; filename*=klingon''%ff.pdf", MISSING),
    "RFC 2231 in pieces": ('form-data; name="file"; filename*0="a"; filename*1=".pdf"', MISSING),
    "RFC 2231 of no number": ('form-data; name="file"; filename*999999999999="a.pdf"', MISSING),
    "both file names": ('form-data; name="file"; filename="a.pdf"; filename*=UTF-8\'\'evil.html', TAKEN),
    "a file name without quotes": ('form-data; name="file"; filename=a.pdf', TAKEN),
    "a file name that does not end": ('form-data; name="file"; filename="a.pdf', TAKEN),
    "sixty parameters": (_ATTACHED + "".join(f"; p{n}=1" for n in range(60)), TAKEN),
    "four thousand letters of name": (f'form-data; name="file"; filename="{"长" * 1300}.pdf"', TAKEN),
    "only semicolons": (";" * 3000, UNREADABLE),
    "another type": ('attachment; name="file"; filename="a.pdf"', TAKEN),
}


def _parts() -> dict[str, Odd]:
    field, many = part("note", None, b"x"), "".join(f"X-{n}: a\r\n" for n in range(10_000))
    usual = f"Content-Disposition: {_ATTACHED}"
    return {
        "ten thousand parts": Odd(b"".join(part(f"f{n}", None, b"x") for n in range(10_000)) + FILE + END),
        "ten thousand files": Odd(FILE * 10_000 + END),
        "a thousand empty parts": Odd(f"--{BOUNDARY}\r\n\r\n\r\n".encode() * 1000 + FILE + END),
        "ten thousand headers": Odd(with_headers(many + usual)),
        "a header of a megabyte": Odd(with_headers(f"X: {'a' * (1 << 20)}\r\n{usual}")),
        "a header name of a megabyte": Odd(with_headers(f"{'a' * (1 << 20)}: x\r\n{usual}")),
        "a header without a colon": Odd(with_headers(f"evil\r\n{usual}")),
        "a header without a name": Odd(with_headers(f": evil\r\n{usual}")),
        "a folded header": Odd(with_headers("Content-Disposition: form-data;\r\n " + _ATTACHED[11:])),
        "two dispositions": Odd(with_headers(f'{usual}\r\nContent-Disposition: form-data; name="x"'), MISSING),
        "no disposition": Odd(with_headers("Content-Type: application/pdf")),
        "a negative length": Odd(with_headers(f"{usual}\r\nContent-Length: -1"), TAKEN),
        "a wrong length": Odd(with_headers(f"{usual}\r\nContent-Length: 999999999999"), TAKEN),
        "base64": Odd(
            with_headers(f"{usual}\r\nContent-Transfer-Encoding: base64", base64.b64encode(PDF)), "FILE_TYPE_UNKNOWN"
        ),
        "compressed": Odd(with_headers(f"{usual}\r\nContent-Encoding: gzip", b"\x1f\x8b" + PDF), "FILE_TYPE_UNKNOWN"),
        "a form in a form": Odd(
            with_headers(f"{usual}\r\nContent-Type: multipart/mixed; boundary=in", b"--in\r\n\r\n" + PDF + b"--in--"),
            "FILE_TYPE_UNKNOWN",
        ),
        "a type that is no type": Odd(with_headers(f"{usual}\r\nContent-Type: \xff/<script>"), TAKEN),
        "a field that is called file": Odd(part("file", None, PDF) + END, MISSING),
        "a file, then a field of its name": Odd(FILE + part("file", None, b"x") + END, MISSING),
        "_charset_": Odd(part("_charset_", None, b"utf-7") + FILE + END, TAKEN),
        "a field that is no text": Odd(part("note", None, b"\xff\xfe\0") + FILE + END, TAKEN),
        "ten fields": Odd(b"".join(part(f"f{n}", None, b"x") for n in range(10)) + FILE + END, TAKEN),
        "eleven fields": Odd(field * 11 + FILE + END),
        "a long field": Odd(part("note", None, CANARY.encode() * 100) + FILE + END),
    }


def _edges() -> dict[str, Odd]:
    whole = FILE + END
    return {
        "a preamble": Odd(b"to whom it may concern\r\n" + whole, UNREADABLE),
        "a preamble of a megabyte": Odd(b"x" * (1 << 20) + b"\r\n" + whole, UNREADABLE),
        "an epilogue": Odd(whole + b"that was all", TAKEN),
        "an epilogue of a megabyte": Odd(whole + b"x" * (1 << 20), TAKEN),
        "another form behind it": Odd(whole + part("file", "evil.html", b"<html>") + END, TAKEN),
        "line ends before it": Odd(b"\r\n" * 3 + whole, TAKEN),
        "LF only": Odd(whole.replace(b"\r\n", b"\n"), UNREADABLE),
        "CR only": Odd(whole.replace(b"\r\n", b"\r"), UNREADABLE),
        "no last boundary": Odd(FILE, MISSING),
        "half of the last boundary": Odd(FILE + END[:10], MISSING),
        "cut within the headers": Odd(FILE[:40], MISSING),
        "cut within the file": Odd(FILE[:-20], MISSING),
        "only the last boundary": Odd(END, MISSING),
        "no dashes": Odd(whole.replace(b"--" + BOUNDARY.encode(), BOUNDARY.encode()), UNREADABLE),
        "JSON": Odd(b'{"file": "x"}', UNREADABLE),
        "random": Odd(bytes(range(256)) * 40, UNREADABLE),
        "NULs": Odd(bytes(10_000), UNREADABLE),
    }


_CHARSETS = dict.fromkeys(
    ("hex", "zlib", "rot13", "idna", "unicode_escape", "utf-7", "klingon", ";;", "x" * 900), TAKEN
)
_CHARSETS |= {"utf-16": MISSING, "punycode": MISSING, "undefined": UNREADABLE}


def _charsets() -> dict[str, Odd]:
    data = part("file", "长.pdf", PDF) + END
    said = {name: f"{FORM}; charset={name}" for name in _CHARSETS}
    return {f"charset {name[:20]!a}": Odd(data, code, said[name]) for name, code in _CHARSETS.items()}


FORMS = {
    **_boundaries(),
    **{f"disposition: {name}": Odd(named(text), code) for name, (text, code) in _DISPOSITIONS.items()},
    **_parts(),
    **_edges(),
    **_charsets(),
}
