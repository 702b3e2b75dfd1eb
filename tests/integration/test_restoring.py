"""A city's four logs, exported, become the logs of an empty database: no promise has to be taken back."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from services.city import ports
from services.proving import NOTES as OF_EVERY_HOUR
from services.proving import export_of
from services.restoring import verified
from services.serving import CannotStart
from shared.engine.notarising import signer_of
from shared.engine.settings import Settings
from shared.eventlog.inspection import findings
from shared.eventlog.notary import Notary
from shared.eventlog.notes import checkpoint_in
from shared.eventlog.restoring import restore
from shared.eventlog.tree import StoredTree
from shared.eventlog.verify import Bad, Checkpoint, check_receipt
from tests.integration.test_process import START_SECONDS, jiesu
from tests.integration.test_record import covered, policy_of
from tests.support.city import AFTER_HOLD, SECRETS, City, a_city
from tests.support.database import PARTITIONS, TestServer
from tests.support.views import published, settled

EVENTS = """
    SELECT partition, position, stream, version, event_id, type, body, leaf_hash FROM events
    ORDER BY partition, position"""
HEADS = "SELECT partition, position FROM log_heads ORDER BY partition"
NOTES = "SELECT size, note FROM checkpoints ORDER BY number"
KEYS = "SELECT ref, wrapped, created_at, destroyed_at FROM vault.subject_keys"


@asynccontextmanager
async def pool_of(url: str, service: str) -> AsyncIterator[asyncpg.Pool]:
    session = {"search_path": service, "role": f"jiesu_{service}"}
    async with asyncpg.create_pool(url, min_size=1, max_size=2, server_settings=session) as pool:
        yield pool


async def quiet(city: City) -> None:
    """Everybody has heard everything, and everything is signed."""
    await settled(city)
    await published(city)


@dataclass
class Kept:
    """A city of some lives, its exports, and what it had promised."""

    city: City
    environment: dict[str, str]
    folders: dict[str, Path]
    closed: str
    waiting: str
    promised: list[tuple[str, bytes]]

    async def run(self, *words: str | Path, **more: str) -> tuple[int | None, str]:
        process = await jiesu(*map(str, words), **(self.environment | more))
        printed, errors = await asyncio.wait_for(process.communicate(), START_SECONDS)
        return process.returncode, (printed + errors).decode()


async def lived(city: City) -> tuple[str, str, list[tuple[str, bytes]]]:
    """One whole life, one that waits for its unit, one that waits for the dispatcher, and receipts."""
    case = await city.dispatched()
    await city.handle(case)
    await city.until_event(case["appeal_id"], "callback-scheduled")
    await city.callback(case)
    await city.until_state(case["appeal_id"], "CLOSED")
    await city.dispatched()
    waiting = await city.register()
    receipt = await covered(city, waiting["receipt"]["event_id"])
    promised = [(receipt.raw.decode(), bytes.fromhex(waiting["receipt"]["leaf_hash"]))]
    await quiet(city)
    return case["appeal_id"], waiting["appeal_id"], promised


@pytest_asyncio.fixture(scope="module")
async def kept(
    new_city: Callable[..., AbstractAsyncContextManager[City]], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Kept]:
    home = tmp_path_factory.mktemp("restoring")
    (home / "keys").mkdir()
    for one in fields(SECRETS):
        if isinstance(key := getattr(SECRETS, one.name), bytes):
            (home / "keys" / f"{one.name}.key").write_bytes(key)
    environment = {"JIESU_HOME": str(home), "JIESU_PARTITIONS": str(PARTITIONS), "COLUMNS": "300"}
    async with new_city() as city:
        closed, waiting, promised = await lived(city)
        folders = {service: home / f"export-{service}" for service in ports()}
        made = Kept(city, environment | {"JIESU_DATABASE_URL": city.database}, folders, closed, waiting, promised)
        for service, folder in folders.items():
            folder.mkdir()
            await export_of(city.running[service], folder)
        yield made


@pytest_asyncio.fixture(scope="module")
async def restored(kept: Kept, server: TestServer) -> AsyncIterator[str]:
    """The URL of a database that `jiesu restore` has filled."""
    async with server.fresh() as url:
        code, said = await kept.run("restore", *kept.folders.values(), JIESU_DATABASE_URL=url)
        assert code == 0, said
        yield url


async def test_every_log_is_the_same_in_every_byte_and_place(kept: Kept, restored: str) -> None:
    for service, running in kept.city.running.items():
        async with pool_of(restored, service) as pool:
            for question in (EVENTS, HEADS):
                assert await pool.fetch(question) == await running.pool.fetch(question), (service, question)
            assert [row["note"] for row in await pool.fetch(NOTES)] == [
                row["note"] for row in await running.pool.fetch(OF_EVERY_HOUR)
            ]


async def test_every_old_checkpoint_and_receipt_still_verifies(kept: Kept, restored: str, tmp_path: Path) -> None:
    for service, running in kept.city.running.items():
        async with pool_of(restored, service) as pool:
            there, before = StoredTree(pool), StoredTree(running.pool)
            assert await there.integrate() == 0
            notes = [row["note"] for row in await pool.fetch(NOTES)]
            for one in map(checkpoint_in, notes):
                assert await there.root(one.size) == one.root
            size = await there.size()
            for index in range(size):
                assert await there.inclusion(index, size) == await before.inclusion(index, size)
            signer = signer_of(running.settings, service, SECRETS.signing)
            signed = await Notary(there, signer, tmp_path / f"{service}.json").sign(size)
            assert signed == notes[-1]
            assert [one async for one in findings(there, pool, signer, signed, notes)] == []
    for receipt, leaf in kept.promised:
        index, _ = check_receipt(receipt, leaf, await policy_of(kept.city))
        async with pool_of(restored, "intake") as pool:
            assert (await StoredTree(pool).leaves(index, index + 1)) == [leaf]


class Given:
    """A database that is there already, in the place of a server that makes one."""

    def __init__(self, server: TestServer, url: str) -> None:
        self.settings, self.folder_of, self._url = server.settings, server.folder_of, url

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[str]:
        yield self._url


async def copy_vault(source: str, target: str) -> None:
    reader, writer = await asyncpg.connect(source), await asyncpg.connect(target)
    rows = await reader.fetch(KEYS)
    await writer.copy_records_to_table("subject_keys", schema_name="vault", records=[tuple(row) for row in rows])
    await reader.close()
    await writer.close()


async def test_a_city_that_starts_on_it_goes_on_and_repeats_nothing(
    kept: Kept, server: TestServer, restored: str
) -> None:
    await copy_vault(kept.city.database, restored)
    before = {name: await running.log.heads() for name, running in kept.city.running.items()}
    async with a_city(Given(server, restored)) as city:  # type: ignore[arg-type]
        city.clock.advance(kept.city.clock.now() - city.clock.now())
        await quiet(city)
        assert {name: await running.log.heads() for name, running in city.running.items()} == before
        assert await city.case(kept.closed) == await kept.city.case(kept.closed)
        city.clock.advance(AFTER_HOLD)
        assert (await city.until_state(kept.waiting, "DISPATCHED"))["lead_unit"] == "bj-water"


async def test_no_ticket_number_is_given_twice(kept: Kept, restored: str) -> None:
    """Nor one that was given after the export."""
    given = int((await kept.city.case(kept.waiting))["ticket_no"].partition("-")[2])
    async with pool_of(restored, "intake") as pool:
        assert await pool.fetchval("SELECT nextval('ticket_numbers')") > given + 10_000


async def test_logs_that_are_not_empty_are_left_alone(kept: Kept) -> None:
    code, said = await kept.run("restore", *kept.folders.values())
    assert code == 1 and "is not empty" in said and "Traceback" not in said


async def test_an_altered_export_is_named_by_the_command(kept: Kept, tmp_path: Path) -> None:
    altered = tmp_path / "altered"
    shutil.copytree(kept.folders["intake"], altered)
    body = (altered / "entries.ndjson").read_bytes()
    (altered / "entries.ndjson").write_bytes(body.replace(b'"version":1', b'"version":2', 1))
    code, said = await kept.run("restore", altered)
    assert code == 1 and "not as signed" in said and "Traceback" not in said


def test_an_export_that_does_not_fit_this_installation_is_refused(kept: Kept, tmp_path: Path) -> None:
    folder, other = kept.folders["intake"], replace(SECRETS, signing=bytes(32))
    policies = {name: one / "policy" for name, one in kept.folders.items()}
    ours = {"partitions": PARTITIONS}
    for where, policy, secrets, settings, expected in (
        (folder, policies["routing"], SECRETS, ours, "signed by no log"),
        (folder, policies["intake"], other, ours, "another signing.key"),
        (folder, None, SECRETS, {"partitions": 8}, "has 4 partitions"),
        (folder, None, SECRETS, ours | {"origin": "elsewhere"}, "JIESU_ORIGIN is elsewhere"),
        (tmp_path, None, SECRETS, ours, "cannot be read as an export"),
    ):
        with pytest.raises((Bad, CannotStart), match=expected):
            verified(where, policy, Settings(**settings), secrets)  # type: ignore[arg-type]


def test_an_export_that_does_not_say_its_partitions_is_refused(kept: Kept, tmp_path: Path) -> None:
    """Nor one to which somebody has added it afterwards."""
    older = tmp_path / "older"
    shutil.copytree(kept.folders["intake"], older)
    signer = signer_of(kept.city.running["intake"].settings, "intake", SECRETS.signing)
    text = (older / "manifest").read_text().partition("\n\n")[0]
    kept_lines = [line for line in text.splitlines() if not line.endswith("  partitions")]
    (older / "manifest").write_text(signer.sign("\n".join(kept_lines) + "\n"))
    with pytest.raises(CannotStart, match="how many partitions"):
        verified(older, None, Settings(partitions=PARTITIONS), SECRETS)


async def test_what_changes_after_it_was_verified_leaves_nothing(
    kept: Kept, server: TestServer, tmp_path: Path
) -> None:
    settings = Settings(partitions=PARTITIONS, home=tmp_path)
    export = verified(kept.folders["intake"], None, settings, SECRETS)
    async with server.fresh() as url:
        owner = await asyncpg.connect(url, server_settings={"search_path": "intake"})
        other = Checkpoint(export.checkpoint.origin, export.checkpoint.size, bytes(32))
        with pytest.raises(Bad, match="changed since"):
            async with owner.transaction():
                await restore(owner, export.folder, other, export.notes)
        assert await owner.fetch(EVENTS) == [] and sum(row["position"] for row in await owner.fetch(HEADS)) == 0
        await owner.close()
