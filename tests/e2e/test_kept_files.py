"""What the store holds: sealed, gone with the person, shown to nobody when it is not what was put there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.support.city import City
from tests.support.database import TestServer
from tests.support.files import BEIJING_GPS, PDF, attach, attached, download, kept, picture, store
from tests.support.views import settled

CANARY = b"CANARY-in-the-file-4711"
NAME = "canary-name-4712.pdf"
DOCUMENT = PDF + CANARY
TABLES = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"""
HOLDS = "SELECT count(*) FROM {} AS r WHERE r::text LIKE ANY($1)"


async def ref_of(city: City, appeal_id: str) -> str:
    await settled(city)
    return str((await city.get(f"/intake/v1/appeals/{appeal_id}/appellant?purpose=回访", "AGENT")).body["ref"])


async def take(city: City, ref: str, measure: str) -> None:
    """A measure about a person, by two officers."""
    for officer in ("li", "wang"):
        path = f"/intake/v1/appellants/{ref}/{measure}"
        reply = await city.post(path, {"ground": "REQUEST_OF_PERSON"}, "HOTLINE_SUPERVISOR", sub=officer)
        assert reply.status == 200, reply.raw
    await settled(city)


async def test_files_of_an_erased_person_are_gone_for_everybody(city: City) -> None:
    made = await city.register(appellant={"name": "太史擦除", "phone": "13866660001"})
    other = await city.register()
    await attached(city, made["appeal_id"], DOCUMENT, NAME)
    await attached(city, other["appeal_id"], DOCUMENT, NAME)
    await take(city, await ref_of(city, made["appeal_id"]), "erase")

    async def left() -> Any:
        return kept(city, made["appeal_id"])

    await city.until(left, lambda files: not files)
    reply = await download(city, made["appeal_id"])
    assert (reply.status, reply.code) == (409, "SUBJECT_ERASED") and CANARY not in reply.raw
    again = await attach(city, made["appeal_id"], DOCUMENT)
    assert (again.status, again.code) == (409, "SUBJECT_ERASED") and not kept(city, made["appeal_id"])
    listed = await city.case(made["appeal_id"])
    assert [one["name"] for one in listed["attachments"]] == ["[erased]"]
    assert (await download(city, other["appeal_id"])).raw == DOCUMENT, "others keep theirs"


async def test_files_of_a_restricted_person_are_kept_and_not_handed_out(city: City) -> None:
    made = await city.register(appellant={"name": "太史限制", "phone": "13866660002"})
    await attached(city, made["appeal_id"], DOCUMENT, NAME)
    ref = await ref_of(city, made["appeal_id"])
    await take(city, ref, "restrict")
    reply = await download(city, made["appeal_id"])
    assert (reply.status, reply.code) == (409, "RESTRICTED")
    await take(city, ref, "restore")
    assert (await download(city, made["appeal_id"])).raw == DOCUMENT


def flipped(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("damage", [flipped, Path.unlink, lambda path: path.write_bytes(b"")])
async def test_a_file_that_is_not_what_was_stored_is_not_handed_out(city: City, damage: Callable[[Path], Any]) -> None:
    made = await city.register()
    await attached(city, made["appeal_id"], DOCUMENT, NAME)
    await settled(city)
    (path,) = kept(city, made["appeal_id"])
    damage(path)
    reply = await download(city, made["appeal_id"])
    assert (reply.status, reply.code) == (500, "ATTACHMENT_DAMAGED") and CANARY not in reply.raw


async def test_a_file_under_another_files_name_is_not_handed_out(city: City) -> None:
    made = await city.register()
    for content in (DOCUMENT, PDF):
        await attached(city, made["appeal_id"], content)
    await settled(city)
    one, other = kept(city, made["appeal_id"])
    other.write_bytes(one.read_bytes())
    replies = [(await download(city, made["appeal_id"], number)).status for number in (1, 2)]
    assert sorted(replies) == [200, 500]


async def test_nothing_of_a_file_or_its_name_stands_in_clear_anywhere(
    new_city: Callable[..., AbstractAsyncContextManager[City]], server: TestServer, tmp_path: Path
) -> None:
    async with new_city(objects=str(tmp_path / "files")) as city:
        case = await city.dispatched()
        await attached(city, case["appeal_id"], DOCUMENT, NAME, headers={"Idempotency-Key": "k"})
        await attached(city, case["appeal_id"], picture(gps=BEIJING_GPS), "canary-name-4713.jpg")
        await settled(city)
        assert (await download(city, case["appeal_id"])).raw == DOCUMENT
        files = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
        assert len(files) == 2 and not [
            path for path in files if CANARY in path.read_bytes() or b"PDF" in path.read_bytes()
        ]
        assert not (store(city) / "attachments" / case["appeal_id"]).exists()
        assert await tables_with(city, server, "canary-name", "CANARY-in", "116.4074", "39.9042") == []
        assert await tables_with(city, server, case["appeal_id"]), "the search itself finds what is there"


async def tables_with(city: City, server: TestServer, *words: str) -> list[str]:
    """The tables that hold one of these words, as text or as bytes."""
    like = [f"%{form}%" for word in words for form in (word, word.encode().hex())]
    connection = await asyncpg.connect(
        server.url(await city.running["intake"].pool.fetchval("SELECT current_database()"))
    )
    try:
        names = [row[0] for row in await connection.fetch(TABLES)]
        return [name for name in names if await connection.fetchval(HOLDS.format(name), like)]
    finally:
        await connection.close()
