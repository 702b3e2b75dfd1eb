"""Bulk files that are refused at once: said where they came from, nothing on record, nothing in the store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.intake_service import importing
from services.intake_service.policy import import_policy
from tests.support.bad import raw
from tests.support.city import City, Reply
from tests.support.files import FORM
from tests.support.imports import NDJSON, XLSX, counts, csv, imported, kept, upload
from tests.unit.test_rows import workbook

GOOD = csv("停水,1")
MOST = 1000
MAPS = ["{", "[]", "7", '"content"', "[[]]", '{"rows": {}}', '{"columns": []}', '{"columns": {"content": 1}}']
MAPS += ['{"columns": {}, "constants": []}', '{"columns": {"content": "content"}, "constants": null}', '{"a": NaN}']
SAID = {
    "empty": (b"", "text/csv", {}, "the file is empty"),
    "a byte order mark": (b"\xef\xbb\xbf", "text/csv", {}, "the file is empty"),
    "an empty sheet": (workbook(), XLSX, {}, "the file is empty"),
    "no workbook": (GOOD, XLSX, {}, "this is no XLSX workbook"),
    "no content": (csv("1", header="number"), "text/csv", {}, "no column gives `content`"),
    "not in the file": (GOOD, "text/csv", {"map": {"columns": {"content": "text"}}}, "no column text"),
    "half in the file": (GOOD, "text/csv", {"map": {"columns": {"content": "{content} {b}"}}}, "no column b"),
    "no such charset": (GOOD, "text/csv", {"charset": "klingon"}, "there is no such charset"),
}


async def left(city: City) -> tuple[int, int]:
    """How many events there are, and how many files."""
    return sum(await city.running["intake"].log.heads()), len(kept(city))


async def refused(still: City, reply: Reply, status: int, code: str, before: tuple[int, int]) -> None:
    """This refusal, no event and no file."""
    assert (reply.status, reply.code) == (status, code), reply.raw
    assert await left(still) == before


@pytest.mark.parametrize("what", SAID)
async def test_a_file_that_cannot_be_read_is_refused_and_says_why(still: City, what: str) -> None:
    data, media_type, more, message = SAID[what]
    before = await left(still)
    reply = await upload(still, data, "b", media_type, **more)
    await refused(still, reply, 422, "VALIDATION_FAILED", before)
    (error,) = reply.body["errors"]
    assert message in error["message"] and error["pointer"] == ""


@pytest.mark.parametrize("text", MAPS)
async def test_a_map_that_is_none_is_refused_with_an_example(still: City, text: str) -> None:
    before = await left(still)
    reply = await upload(still, GOOD, "b", map=text)
    await refused(still, reply, 422, "VALIDATION_FAILED", before)
    assert [one["pointer"] for one in reply.body["errors"]] == ["/map"]
    assert '{"columns": {"content": "detail"}' in reply.body["errors"][0]["message"]


@pytest.mark.parametrize("mode", ["x", "", "ALL", "good,all"])
async def test_a_mode_is_good_or_all(still: City, mode: str) -> None:
    before = await left(still)
    reply = await upload(still, GOOD, "b", mode=mode)
    await refused(still, reply, 422, "VALIDATION_FAILED", before)
    assert [one["pointer"] for one in reply.body["errors"]] == ["/mode"]


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "application/vnd.ms-excel", FORM, "x", ""])
async def test_a_file_of_another_media_type_is_refused_and_told_which_are_taken(still: City, media_type: str) -> None:
    before = await left(still)
    reply = await upload(still, GOOD, "b", media_type)
    await refused(still, reply, 415, "UNSUPPORTED_MEDIA_TYPE", before)
    assert all(one in reply.body["detail"] for one in ("text/csv", NDJSON, XLSX))


async def test_a_file_that_was_compressed_on_the_way_is_refused(still: City) -> None:
    before = await left(still)
    reply = await upload(still, GOOD, "b", headers={"Content-Encoding": "gzip"})
    await refused(still, reply, 415, "UNSUPPORTED_MEDIA_TYPE", before)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another figure: files of a thousand bytes."""
    monkeypatch.setattr(importing, "import_policy", lambda: replace(import_policy(), most_bytes=MOST))


@pytest.mark.usefixtures("small")
async def test_a_file_over_the_limit_is_refused_and_one_of_just_the_limit_is_taken(city: City, still: City) -> None:
    before, exactly = await left(still), csv("停水,1").ljust(MOST, b"\n")
    await refused(still, await upload(still, exactly + b"\n", "b"), 413, "BODY_TOO_LARGE", before)
    assert counts(await imported(city, exactly, "b-limit")) == (1, 0, 0, 0)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (f"Content-Length: {MOST + 1}\r\n", b""),
        ("Transfer-Encoding: chunked\r\n", b"%x\r\n%b\r\n" % (MOST + 1, b"x" * (MOST + 1))),
    ],
    ids=["announced", "chunked"],
)
async def test_a_file_over_the_limit_is_refused_before_all_has_come(still: City, headers: str, body: bytes) -> None:
    (route,) = importing.COMMANDS
    before = await left(still)
    status, problem = await raw(still, "intake", route, f"Content-Type: text/csv\r\n{headers}".encode(), body)
    assert b" 413 " in status and problem["code"] == "BODY_TOO_LARGE"
    assert await left(still) == before


async def test_what_is_refused_may_be_put_right_under_the_same_key(city: City) -> None:
    key: dict[str, Any] = {"headers": {"Idempotency-Key": "mend"}}
    assert (await upload(city, b"", "b-mend", **key)).status == 422
    assert counts(await imported(city, GOOD, "b-mend", **key)) == (1, 0, 0, 0)


async def test_a_file_that_turns_out_to_be_unreadable_ends_as_failed(city: City) -> None:
    data = csv("停水,1", "x" * (import_policy().longest_cell + 1) + ",2")
    over = await imported(city, data, "b-failed")
    assert over["state"] == "FAILED" and over["reason"].startswith("not CSV")
    assert counts(over) == (0, 0, 0, 0) and not kept(city, over["import_id"])
