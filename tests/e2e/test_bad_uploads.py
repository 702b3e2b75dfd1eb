"""Every odd form and every false file from the tables: refused by name with nothing kept, or taken for what it is."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from PIL import Image

from tests.support.bad import CANARY
from tests.support.bad_cases import CLOSING, Case, all_refused, in_time, none_wrong, still_serving, together
from tests.support.bad_files import DAMAGED, FLOODS, NAMES, POLYGLOTS, UNKNOWN, VIDEO_LIES
from tests.support.bad_forms import FORMS, MISSING, OF, TAKEN, Odd
from tests.support.city import City, Reply
from tests.support.files import FORM, PDF, attach, attached, download, form, kept, picture
from tests.support.views import settled

CODE_OF = {"FILE_TYPE_UNKNOWN": 422, "FILE_DAMAGED": 422, "PICTURE_TOO_LARGE": 422}


def sending(path: str, odd: Odd) -> Callable[[City], Awaitable[Reply]]:
    async def send(city: City) -> Reply:
        headers = CLOSING | {"Content-Type": odd.media_type}
        return await city.send("POST", path, "AGENT", data=io.BytesIO(odd.data), headers=headers)  # type: ignore[arg-type]

    return send


async def an_appeal(city: City) -> str:
    """An appeal of which everybody has heard, so that nothing more happens to it."""
    made = await city.register(kind="CONSULT")
    await settled(city)
    return str(made["appeal_id"])


async def downloaded(city: City, appeal_id: str, position: dict[str, str]) -> Reply:
    return await in_time(city, lambda city: download(city, appeal_id, headers=position))


async def test_an_odd_form_is_refused_or_taken_as_it_says_and_nothing_of_a_refused_one_is_kept(city: City) -> None:
    appeal_id = await an_appeal(city)
    path = f"/intake/v1/appeals/{appeal_id}/attachments"
    cases = [Case(name, sending(path, odd), OF[odd.code], odd.code) for name, odd in FORMS.items() if odd.code != TAKEN]
    replies = await all_refused(city, cases, appeal_id)
    missing = [reply for case, reply in zip(cases, replies, strict=True) if case.code == MISSING]
    assert all([one["pointer"] for one in reply.body["errors"]] == ["/file"] for reply in missing)
    assert not kept(city, appeal_id)


async def test_an_odd_form_with_a_whole_file_in_it_brings_that_file_and_nothing_else(city: City) -> None:
    async def taken(odd: Odd) -> str | None:
        made = await city.register(kind="CONSULT")
        reply = await sending(f"/intake/v1/appeals/{made['appeal_id']}/attachments", odd)(city)
        if reply.status != 201 or "X-Evil" in reply.headers:
            return f"{reply.status} {reply.raw[:200]!r}"
        position = {"If-Position": reply.headers["Appeal-Position"]}
        file = await downloaded(city, made["appeal_id"], position)
        return None if file.raw == PDF and "evil" not in str(file.headers) else f"{file.status} {file.headers}"

    odd = {name: one for name, one in FORMS.items() if one.code == TAKEN}
    none_wrong(list(zip(odd, await together(*map(taken, odd.values())), strict=True)))
    await still_serving(city)


async def false_files(city: City, files: dict[str, bytes], codes: Sequence[str], names: Sequence[str]) -> None:
    appeal_id = await an_appeal(city)

    def send(content: bytes, name: str) -> Any:
        path = f"/intake/v1/appeals/{appeal_id}/attachments"
        return sending(path, Odd(form(("file", name, content)), media_type=FORM))

    cases = [
        Case(f"{what} as {name}", send(content, CANARY + name), CODE_OF[codes[0]], codes)
        for what, content in files.items()
        for name in names
    ]
    await all_refused(city, cases, appeal_id)
    assert not kept(city, appeal_id)


async def test_a_file_of_another_kind_is_refused_whatever_it_is_called(city: City) -> None:
    await false_files(city, UNKNOWN, ["FILE_TYPE_UNKNOWN"], [".jpg", ".docx"])


async def test_a_picture_that_cannot_be_read_is_refused_under_any_name(city: City) -> None:
    await false_files(city, DAMAGED, ["FILE_DAMAGED", "FILE_TYPE_UNKNOWN"], [".jpg", ".png", ".webp"])


async def test_a_flood_of_pixels_in_a_small_file_is_refused_before_it_is_unpacked(city: City) -> None:
    await false_files(city, FLOODS, ["PICTURE_TOO_LARGE", "FILE_DAMAGED"], [".png", ""])


async def test_of_a_file_that_is_two_things_the_picture_alone_is_kept(city: City) -> None:
    async def only_the_picture(content: bytes, other: bytes) -> str | None:
        made = await city.register(kind="CONSULT")
        answer = await attached(city, made["appeal_id"], content, "a.jpg")
        file = await downloaded(city, made["appeal_id"], {"If-Position": answer["position_header"]})
        shown = Image.open(io.BytesIO(file.raw))
        whole = (file.status, shown.size, shown.format) == (200, (40, 20), file.headers["Content-Type"][6:].upper())
        return None if whole and other not in file.raw else f"{file.status} {shown.size} {file.raw[-60:]!r}"

    answers = await together(*(only_the_picture(*one) for one in POLYGLOTS.values()))
    none_wrong(list(zip(POLYGLOTS, answers, strict=True)))


async def test_a_video_whose_boxes_lie_is_refused_or_kept_and_stops_nobody(city: City) -> None:
    made = await city.register(kind="CONSULT")
    for name, content in VIDEO_LIES.items():
        reply = await attach(city, made["appeal_id"], content, "a.mp4")
        assert reply.status == 201 or (reply.status, reply.code) == (422, "FILE_DAMAGED"), (name, reply.raw)
    await still_serving(city)


async def test_what_a_sender_calls_a_file_is_never_where_it_lies_or_what_it_is_saved_as(city: City) -> None:
    async def harmless(name: str) -> str | None:
        made, photo = await city.register(kind="CONSULT"), picture()
        quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        reply: Reply = await attach(city, made["appeal_id"], photo, quoted)
        if reply.status != 201:
            return f"{reply.status} {reply.raw[:200]!r}"
        file = await downloaded(city, made["appeal_id"], {"If-Position": reply.headers["Appeal-Position"]})
        (path,) = kept(city, made["appeal_id"])
        (listed,) = (await city.case(made["appeal_id"]))["attachments"]
        safe = file.headers["Content-Disposition"].startswith(f'attachment; filename="{made["ticket_no"]}-1.j')
        safe &= file.headers["Content-Type"] == "image/jpeg" and file.headers["X-Content-Type-Options"] == "nosniff"
        safe &= "evil" not in str(file.headers).lower() + str(path) and path.parent.name == made["appeal_id"]
        return None if safe and len(listed["name"] or "") <= 200 else f"{file.headers} {path} {listed}"

    none_wrong(list(zip(map(ascii, NAMES), await together(*map(harmless, NAMES)), strict=True)))
