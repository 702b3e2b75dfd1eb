"""Files are shown to a real scanner before anybody gets them; while it is away they wait, and appeals do not."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.engine.scanning import ClamAV, ScannerAway
from tests.support.city import City, Reply
from tests.support.clamd import EICAR, clamd, needs_clamd
from tests.support.files import PDF, attach, attached, download, kept
from tests.support.ports import free_port
from tests.support.views import settled

INFECTED = PDF + EICAR
NewCity = Callable[..., AbstractAsyncContextManager[City]]
pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture(scope="module")
def installed() -> None:
    needs_clamd()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clamd")


@pytest_asyncio.fixture(scope="module")
async def scanner(installed: None, folder: Path) -> AsyncIterator[str]:
    """The address of a scanner."""
    port = free_port()
    async with clamd(folder, port):
        yield f"127.0.0.1:{port}"


async def until_scanned(city: City, made: dict[str, Any], *numbers: int) -> list[str]:
    """What the case says of these files, once none of them waits."""
    case = await city.until(
        lambda: city.case(made["appeal_id"]),
        lambda case: "PENDING" not in [one["scan"] for one in case["attachments"]] and case["attachments"],
    )
    return [case["attachments"][number - 1]["scan"] for number in numbers]


async def test_the_scanner_tells_clean_from_harmful(scanner: str) -> None:
    looking = ClamAV(scanner)
    file = io.BytesIO(PDF)
    file.read()
    assert await looking.is_clean(file), "from its beginning"
    assert not await looking.is_clean(io.BytesIO(EICAR))
    assert not await looking.is_clean(io.BytesIO(PDF + bytes(1 << 20) + EICAR)), "in any piece of it"
    assert await looking.is_clean(io.BytesIO(b""))


async def test_a_scanner_that_is_not_there_or_hangs_up_is_away() -> None:
    with pytest.raises(ScannerAway):
        await ClamAV(f"127.0.0.1:{free_port()}").is_clean(io.BytesIO(PDF))


async def test_a_clean_file_is_kept_and_a_harmful_one_is_not(new_city: NewCity, scanner: str) -> None:
    async with new_city(clamav=scanner) as city:
        made = await city.register()
        assert (await attached(city, made["appeal_id"], PDF))["scan"] == "CLEAN"
        reply: Reply = await attach(city, made["appeal_id"], INFECTED)
        assert (reply.status, reply.code) == (422, "MALWARE_FOUND")
        await settled(city)
        case = await city.case(made["appeal_id"])
        assert [one["scan"] for one in case["attachments"]] == ["CLEAN"] and len(kept(city, made["appeal_id"])) == 1
        assert (await download(city, made["appeal_id"])).raw == PDF


async def test_files_that_came_while_the_scanner_was_away_wait_for_it_and_then_are_scanned(
    new_city: NewCity, folder: Path
) -> None:
    port = free_port()
    async with new_city(clamav=f"127.0.0.1:{port}") as city:
        made, other = await city.register(), await city.register()
        for content in (PDF, INFECTED):
            assert (await attached(city, made["appeal_id"], content))["scan"] == "PENDING"
        await city.until(lambda: city.case(made["appeal_id"]), lambda case: len(case["attachments"]) == 2)
        for number in (1, 2):
            waiting = await download(city, made["appeal_id"], number)
            assert (waiting.status, waiting.code) == (409, "ATTACHMENT_PENDING") and waiting.headers["Retry-After"]
        assert (await city.register())["appeal_id"] and (await attached(city, other["appeal_id"], PDF))["number"] == 1
        async with clamd(folder, port):
            assert await until_scanned(city, made, 1, 2) == ["CLEAN", "INFECTED"]
            assert await until_scanned(city, other, 1) == ["CLEAN"]
        assert (await download(city, made["appeal_id"], 1)).raw == PDF
        harmful = await download(city, made["appeal_id"], 2)
        assert (harmful.status, harmful.code) == (409, "ATTACHMENT_INFECTED") and EICAR not in harmful.raw
        stream = await city.running["intake"].log.read_stream(f"appeal-{made['appeal_id']}")
        verdicts = [event.envelope for event in stream if "scanned" in event.type]
        assert [(one.data["number"], one.actor.role) for one in verdicts] == [(1, "SCANNER"), (2, "SCANNER")]


async def test_without_a_scanner_files_are_kept_and_say_that_nobody_looked(city: City) -> None:
    made = await city.register()
    assert (await attached(city, made["appeal_id"], PDF))["scan"] == "UNSCANNED"
    await settled(city)
    assert (await download(city, made["appeal_id"])).raw == PDF
