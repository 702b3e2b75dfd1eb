"""The master key is changed while the city runs: two officers agree, nothing fails, and what is old opens nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from shared.engine.clock import SystemClock
from shared.engine.secrets import read_secrets
from shared.eventlog.kms import MASTER, OLD, FileMasterKeys, WrongMasterKey, key_id
from shared.web.tokens import Tokens
from tests.integration.test_process import START_SECONDS, free_port, home, jiesu, refusal, running
from tests.support.running import job
from tests.support.waiting import seen, until

TEXT = "鸢尾花园西门的路灯已经坏了半个月，晚上很黑。"
KEYS = "SELECT ref, wrapped FROM vault.subject_keys WHERE wrapped IS NOT NULL"
EVENTS = "SELECT partition, position, event_id, body, leaf_hash FROM intake.events ORDER BY partition, position"
AT_ONCE = 2
PATIENCE = START_SECONDS


@dataclass
class Office:
    """Whoever works with the city over HTTP."""

    folder: Path
    port: int
    http: aiohttp.ClientSession
    registered: list[str] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)

    @property
    def where(self) -> dict[str, str]:
        return {"JIESU_HOME": str(self.folder), "JIESU_PARTITIONS": "2", "COLUMNS": "300"}

    async def ask(self, method: str, path: str, role: str, sub: str, json: Any = None) -> tuple[int, Any]:
        token = Tokens(read_secrets(self.folder / "keys", create=False).token, SystemClock()).issue(role, sub, 3600)
        how = {"headers": {"Authorization": f"Bearer {token}"}, "json": json}
        async with self.http.request(method, f"http://127.0.0.1:{self.port}/intake/v1/{path}", **how) as answer:
            return answer.status, await answer.json(content_type=None)

    async def register(self) -> str:
        who = {"type": "PERSON", "phone": "13800000000"}
        body = {"kind": "COMPLAINT", "channel": "PHONE", "content": TEXT, "appellant": who}
        status, answer = await self.ask("POST", "appeals", "AGENT", "agent", body)
        if status != 201:
            self.failed.append((status, str(answer)))
        else:
            self.registered.append(answer["appeal_id"])
        return str(answer.get("appeal_id"))

    async def register_for_ever(self) -> None:
        async def one_after_another() -> None:
            while True:
                await self.register()

        await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))

    async def asked_for(self, kind: str, target: str) -> str:
        body = {"kind": kind, "target": target, "ground": "YEARLY_ROTATION"}
        status, answer = await self.ask("POST", "operations", "HOTLINE_SUPERVISOR", "li", body)
        assert status == 201, answer
        return str(answer["operation"])

    async def approve(self, operation: str, sub: str = "wang") -> tuple[int, Any]:
        return await self.ask("POST", f"operations/{operation}/approve", "HOTLINE_SUPERVISOR", sub, {})

    async def content(self, appeal_id: str) -> str:
        status, answer = await self.ask("GET", f"appeals/{appeal_id}", "AUDITOR", "auditor")
        return str(answer["content"]) if status == 200 else ""

    async def rows(self, query: str) -> list[Any]:
        connection = await asyncpg.connect((self.folder / "database-url").read_text())
        try:
            return await connection.fetch(query)
        finally:
            await connection.close()

    async def done(self, *words: str) -> str:
        process = await jiesu("keys", *words, **self.where)
        printed, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, errors.decode()
        return (printed + errors).decode()

    async def refused(self, *words: str, **more: str) -> str:
        return await refusal("keys", *words, **self.where | more)


@asynccontextmanager
async def office(folder: Path, port: int) -> AsyncIterator[Office]:
    async with running(folder, port, JIESU_LOG_LEVEL="error"), aiohttp.ClientSession() as http:
        yield Office(folder, port, http)


@contextmanager
def untouched(keys: Path) -> Iterator[None]:
    before = {file.name: file.read_bytes() for file in keys.iterdir()}
    yield
    assert {file.name: file.read_bytes() for file in keys.iterdir()} == before


async def test_the_master_key_is_changed_under_load_and_an_old_backup_opens_nothing() -> None:
    with home() as folder:
        port, keys = free_port(), folder / "keys"
        async with office(folder, port) as city:
            first = await city.register()
            old_master = (keys / MASTER).read_bytes()
            backup = {row["ref"]: row["wrapped"] for row in await city.rows(KEYS)}
            events = await city.rows(EVENTS)
            operation = await city.asked_for("KEY_ROTATION", "master")
            with untouched(keys):
                assert "SECOND_OFFICER_NEEDED" in await city.refused("rotate", "--operation", operation)
                status, answer = await city.approve(operation, "li")
                assert (status, answer["code"]) == (403, "SECOND_OFFICER_NEEDED")
                another = await city.asked_for("REPLAY", "intake")
                assert (await city.approve(another))[0] == 200
                assert "OPERATION_DIFFERS" in await city.refused("rotate", "--operation", another)
                assert "no operation" in await city.refused("rotate", "--operation", "of-nobody")
            assert (await city.approve(operation))[0] == 200
            with untouched(keys):
                miscounted = await city.refused("rotate", "--operation", operation, JIESU_PARTITIONS="16")
                assert "this log has 2 partitions, JIESU_PARTITIONS asks for 16" in miscounted

            async with job(city.register_for_ever()):
                said = await city.done("rotate", "--operation", operation)
                count = len(city.registered)
                await until(seen(lambda: len(city.registered)), lambda now: now > count + AT_ONCE)
            assert city.failed == [] and "keys are wrapped anew" in said
            new = (keys / MASTER).read_bytes()
            assert new != old_master and (keys / OLD).read_bytes() == old_master
            assert all(one.stat().st_mode & 0o077 == 0 for one in keys.iterdir())
            wrapped = {row["ref"]: row["wrapped"] for row in await city.rows(KEYS)}
            assert backup.keys() <= wrapped.keys()
            assert {one[:5] for one in wrapped.values()} == {b"\x01" + key_id(new)}
            assert await same_events(city, events)
            with untouched(keys):
                assert "retire" in await city.refused("rotate", "--operation", operation)

            assert "destroyed" in await city.done("retire")
            assert not (keys / OLD).exists()
            gone = await city.rows("SELECT body FROM intake.events WHERE type LIKE '%master-key-destroyed%'")
            assert [json.loads(row["body"])["data"] for row in gone] == [{"key_id": key_id(old_master).hex()}]
            for ref, one in backup.items():
                with pytest.raises(WrongMasterKey):
                    await FileMasterKeys(new, keys).unwrap({ref: one})
            opened = await FileMasterKeys(new, keys).unwrap(wrapped)
            assert (await FileMasterKeys(old_master).unwrap(backup)).items() <= opened.items()
            with untouched(keys):
                assert "OPERATION_OVER" in await city.refused("rotate", "--operation", operation)
                assert "nothing is being rotated" in await city.refused("retire")
            last = await city.register()
            assert city.failed == []
        async with office(folder, port) as city:
            for appeal_id in (first, last):
                assert await until(lambda one=appeal_id: city.content(one)) == TEXT  # type: ignore[misc]
            assert await same_events(city, events)


async def same_events(city: Office, before: list[Any]) -> bool:
    """Whether every old event stands where it stood, byte for byte."""
    now = {(row["partition"], row["position"]): row for row in await city.rows(EVENTS)}
    return all(now[row["partition"], row["position"]] == row for row in before)


async def test_keys_alone_creates_what_is_missing_and_changes_nothing_else(tmp_path: Path) -> None:
    async def keys() -> None:
        process = await jiesu("keys", JIESU_KEYS=str(tmp_path / "keys"), COLUMNS="300")
        _, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0 and "keys are in" in errors.decode(), errors.decode()

    await keys()
    made = {file.name: file.read_bytes() for file in (tmp_path / "keys").iterdir()}
    assert sorted(made) == ["index.key", "master.key", "signing.key", "token.key"]
    assert {len(key) for key in made.values()} == {32} and len(set(made.values())) == 4
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "keys").iterdir())
    (tmp_path / "keys" / "index.key").unlink()
    await keys()
    again = {file.name: file.read_bytes() for file in (tmp_path / "keys").iterdir()}
    assert again.keys() == made.keys() and again.pop("index.key") != made.pop("index.key") and again == made
