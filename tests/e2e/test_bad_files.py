"""Files and forms that are refused: nothing is recorded, nothing is kept, and no name of theirs becomes one of ours."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.city import APIS
from services.intake_service import attaching
from services.intake_service.policy import attachment_policy
from shared.web.identity import Scope
from shared.web.uploads import MOST_FIELDS, FileRoute
from tests.support.bad import raw
from tests.support.city import City, Reply
from tests.support.files import BOUNDARY, FORM, FTYP, PDF, attach, attached, download, form, kept, picture, post_form

PHOTO = picture()
FILES = {"PHOTO": PHOTO, "VOICE": b"#!AMR\n", "VIDEO": FTYP, "DOCUMENT": PDF}
ROUTES = [command for command in APIS["intake"].commands if isinstance(command, FileRoute) and not command.raw]
BROKEN = {
    "no boundary": ("multipart/form-data", form(("file", "a.jpg", PHOTO))),
    "another boundary": ("multipart/form-data; boundary=other", form(("file", "a.jpg", PHOTO))),
    "no form": (FORM, b"this is no form"),
    "part without a name": (
        FORM,
        f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\nx\r\n--{BOUNDARY}--".encode(),
    ),
    "part without a header": (FORM, f"--{BOUNDARY}\r\n\r\nx\r\n--{BOUNDARY}--".encode()),
    "two files": (FORM, form(("file", "a.jpg", PHOTO), ("file", "b.jpg", PHOTO))),
    "many fields": (FORM, form(*((f"f{n}", None, b"x") for n in range(MOST_FIELDS + 1)), ("file", "a.jpg", PHOTO))),
    "long field": (FORM, form(("note", None, b"x" * 3000), ("file", "a.jpg", PHOTO))),
    "strange charset": (f"{FORM}; charset=\xff".encode().decode("latin-1"), b"--x"),
}
WITHOUT_FILE = {
    "empty": (FORM, b""),
    "no parts": (FORM, form()),
    "a field only": (FORM, form(("note", None, b"x"))),
    "file without a name": (FORM, form(("file", None, b"x"))),
    "file under another name": (FORM, form(("photo", "a.jpg", PHOTO))),
}


async def refused(city: City, reply: Reply, appeal_id: str, status: int, code: str) -> None:
    """This refusal, nothing on record and nothing in the store."""
    assert (reply.status, reply.code) == (status, code), reply.raw
    stream = await city.running["intake"].log.read_stream(f"appeal-{appeal_id}")
    assert len(stream) == 1 and not kept(city, appeal_id)


def path_of(made: dict[str, Any]) -> str:
    return f"/intake/v1/appeals/{made['appeal_id']}/attachments"


@pytest.mark.parametrize("what", sorted(BROKEN))
async def test_a_form_that_cannot_be_read_is_refused(city: City, what: str) -> None:
    made, (media_type, data) = await city.register(), BROKEN[what]
    reply = await post_form(city, path_of(made), data, headers={"Content-Type": media_type})
    await refused(city, reply, made["appeal_id"], 400, "BAD_REQUEST")


@pytest.mark.parametrize("what", sorted(WITHOUT_FILE))
async def test_a_form_without_a_file_is_refused_and_says_what_is_missing(city: City, what: str) -> None:
    made, (media_type, data) = await city.register(), WITHOUT_FILE[what]
    reply = await post_form(city, path_of(made), data, headers={"Content-Type": media_type})
    await refused(city, reply, made["appeal_id"], 422, "VALIDATION_FAILED")
    assert [one["pointer"] for one in reply.body["errors"]] == ["/file"]


@pytest.mark.parametrize("media_type", ["application/json", "image/jpeg", "application/x-www-form-urlencoded", "x"])
async def test_a_file_that_does_not_come_in_a_form_is_refused(city: City, media_type: str) -> None:
    made = await city.register()
    reply = await post_form(city, path_of(made), PHOTO, headers={"Content-Type": media_type})
    await refused(city, reply, made["appeal_id"], 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "content", [b"", b"<svg><script>alert(1)</script></svg>", b"<html>", b"MZ" + bytes(99), picture("GIF")]
)
async def test_what_is_no_photo_voice_video_or_document_is_refused_whatever_its_name(
    city: City, content: bytes
) -> None:
    made = await city.register()
    await refused(
        city, await attach(city, made["appeal_id"], content, "a.jpg"), made["appeal_id"], 422, "FILE_TYPE_UNKNOWN"
    )


async def test_a_photo_that_cannot_be_read_is_refused(city: City) -> None:
    made = await city.register()
    await refused(city, await attach(city, made["appeal_id"], PHOTO[:-300]), made["appeal_id"], 422, "FILE_DAMAGED")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Other figures: a kilobyte for photos, and one more for each of the others."""
    most = {kind: 1024 * number for number, kind in enumerate(FILES, 1)}
    monkeypatch.setattr(attaching, "attachment_policy", lambda: replace(attachment_policy(), most_bytes=most))
    return most


@pytest.mark.parametrize("kind", ["VOICE", "VIDEO", "DOCUMENT", "PHOTO"])
async def test_each_kind_has_its_own_limit(city: City, small: dict[str, int], kind: str) -> None:
    made, start = await city.register(), FILES[kind]
    if kind == "VIDEO":
        start += (small[kind] - len(FTYP)).to_bytes(4, "big") + b"mdat"
    whole = start.ljust(small[kind], b"\0")
    await refused(
        city, await attach(city, made["appeal_id"], whole + b"\0", "a"), made["appeal_id"], 413, "FILE_TOO_LARGE"
    )
    assert (await attached(city, made["appeal_id"], whole, "a"))["kind"] == kind


TOO_MUCH = {
    False: {(b"413", "BODY_TOO_LARGE")},
    True: {(b"404", "NOT_FOUND"), (b"429", "TOO_MANY_ATTEMPTS")},
}
"""Whoever does not show the tracking code of an appeal sends us no files at all."""


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
async def test_a_body_beyond_every_limit_is_refused_before_it_is_read(city: City, route: FileRoute) -> None:
    announced = f"Content-Type: {FORM}\r\nContent-Length: {route.most_bytes() + 1}\r\n".encode()
    status, problem = await raw(city, "intake", route, announced, b"")
    assert (status.split()[1], problem["code"]) in TOO_MUCH[route.scope is Scope.PUBLIC]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
async def test_a_body_that_does_not_say_its_length_is_read_up_to_the_limit(
    city: City, small: dict[str, int], route: FileRoute
) -> None:
    piece = form(("file", "a.pdf", PDF + bytes(route.most_bytes())))
    body = f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    headers = f"Content-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n".encode()
    status, problem = await raw(city, "intake", route, headers, body)
    assert (status.split()[1], problem["code"]) in TOO_MUCH[route.scope is Scope.PUBLIC]


@pytest.mark.parametrize(
    "name",
    [
        "../../../../tmp/evil.jpg",
        "/etc/passwd",
        "C:\\\\evil\\\\x.jpg",
        "a%0D%0AX-Evil: 1.jpg",
        'a\\"; filename=\\"evil.html',
        "evil\0.jpg",
        "长" * 300,
        "",
        "a\r\nX-Evil: 1.jpg",
    ],
)
async def test_the_senders_name_for_a_file_goes_nowhere_but_on_the_list(city: City, name: str) -> None:
    made = await city.register()
    answer = await attached(city, made["appeal_id"], PHOTO, name)
    reply = await download(city, made["appeal_id"], headers={"If-Position": answer["position_header"]})
    disposition = reply.headers["Content-Disposition"]
    assert disposition.startswith(f'attachment; filename="{made["ticket_no"]}-1.') and "X-Evil" not in reply.headers
    assert disposition.endswith(('.jpg"', '.jfif"')) and "evil" not in str(reply.headers).lower()
    (path,) = kept(city, made["appeal_id"])
    assert "evil" not in str(path) and path.parent.name == made["appeal_id"]
    (listed,) = (await city.case(made["appeal_id"]))["attachments"]
    assert len(listed["name"] or "") <= attachment_policy().longest_name
