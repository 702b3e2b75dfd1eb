"""Keep and prove, as an operator runs it: a stranger checks an export without us; what a superuser did is named."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest_asyncio

from shared.eventlog.notes import Signer
from shared.eventlog.tree import StoredTree
from tests.integration.test_process import START_SECONDS, free_port, home, jiesu, refusal, register, running
from tests.support.waiting import until

WIDE = {"COLUMNS": "300", "JIESU_PARTITIONS": "2"}
PATIENCE = START_SECONDS


@dataclass
class Up:
    """A city that is up, and what it acknowledged first and last."""

    folder: Path
    port: int
    event_ids: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/intake"

    @property
    def token(self) -> str:
        return (self.folder / "tokens" / "AUDITOR").read_text()

    async def run(self, *words: str, **environment: str) -> tuple[int | None, str]:
        """How a command ended, and all that it said."""
        process = await jiesu(*words, JIESU_HOME=str(self.folder), **WIDE, **environment)
        printed, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
        said = (printed + errors).decode()
        assert "Traceback" not in said, said
        return process.returncode, said

    async def exported(self, name: str) -> Path:
        out = self.folder / name
        code, said = await self.run("export", "intake", "--out", str(out))
        assert code == 0, said
        return out

    @asynccontextmanager
    async def superuser(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect((self.folder / "database-url").read_text())
        try:
            await connection.execute("SET search_path TO intake")
            yield connection
        finally:
            await connection.close()


@pytest_asyncio.fixture(scope="module")
async def up() -> AsyncIterator[Up]:
    with home() as folder:
        port = free_port()
        async with running(folder, port):
            answers = [await register(port, folder, f"key-{number}") for number in range(5)]
            made = Up(folder, port, [answer["receipt"]["event_id"] for answer in answers])  # type: ignore[index]
            await covered(made, made.event_ids[-1])
            yield made


async def covered(up: Up, event_id: str) -> None:
    """Until a published checkpoint covers an event."""
    async with aiohttp.ClientSession() as http:

        async def status() -> int:
            async with http.get(f"{up.url}/v1/log/proof?event_id={event_id}") as answer:
                return answer.status

        await until(status, lambda one: one == 200)


async def alone(*words: str | Path) -> tuple[int | None, str]:
    """A program that knows nothing of ours: isolated, in another folder."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", *map(str, words), cwd="/", stdout=pipe, stderr=pipe
    )
    printed, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode, (printed + errors).decode()


async def test_a_stranger_checks_an_export_with_what_lies_in_it_and_nothing_of_ours(up: Up) -> None:
    out = await up.exported("export")
    code, said = await alone(out / "verify.py", out / "policy", out)
    size = len((out / "entries.ndjson").read_bytes().splitlines())
    assert (code, said) == (0, f"ok: {size} entries of jiesu.example/log/intake are as they were signed\n")
    ids = [json.loads(line)["id"] for line in (out / "entries.ndjson").read_bytes().splitlines()]
    assert set(up.event_ids) <= set(ids), "what was acknowledged and covered is in the export"
    assert b"13800000000" not in (out / "entries.ndjson").read_bytes()
    code, said = await up.run("audit", "verify", str(out), "--policy", str(out / "policy"))
    assert code == 0 and f"ok {size} entries" in said and "believing" not in said, said
    code, said = await up.run("audit", "verify", str(out))
    assert code == 0 and "believing the key that came with it" in said, said


async def test_an_export_that_was_touched_is_named_by_both(up: Up) -> None:
    out = await up.exported("touched")
    lines = (out / "entries.ndjson").read_bytes().splitlines(keepends=True)
    lines[0] = lines[0].replace(b'"version":1', b'"version":7')
    (out / "entries.ndjson").write_bytes(b"".join(lines))
    code, said = await alone(out / "verify.py", out / "policy", out)
    assert code == 1 and "entries.ndjson is not the file that was exported" in said, said
    code, said = await up.run("audit", "verify", str(out))
    assert code == 1 and "not as signed entries.ndjson is not the file that was exported" in said, said


async def test_an_export_must_agree_with_a_checkpoint_that_was_kept_elsewhere(up: Up) -> None:
    earlier = await up.exported("earlier")
    await covered(up, (await register(up.port, up.folder, "later"))["receipt"]["event_id"])  # type: ignore[index]
    later = await up.exported("later")
    code, said = await up.run("audit", "verify", str(later), "--checkpoint", str(earlier / "checkpoint"))
    assert code == 0, said
    code, said = await up.run("audit", "verify", str(earlier), "--checkpoint", str(later / "checkpoint"))
    assert code == 1 and "cut off" in said, said


async def test_a_running_city_is_verified_where_it_stands_and_from_outside(up: Up) -> None:
    code, said = await up.run("audit", "verify")
    assert code == 0 and said.count("entries of jiesu.example/log/") == 4, said
    code, said = await up.run("audit", "verify", up.url, "--token", up.token)
    assert code == 0 and "entries of jiesu.example/log/intake are as they were signed" in said, said


async def test_a_city_in_which_much_happens_is_verified_all_the_same(up: Up) -> None:
    """What is signed while it is read is no reason to raise an alarm."""

    async def busy() -> None:
        for number in range(10**6):
            await register(up.port, up.folder, f"busy-{number}")

    at_work = asyncio.create_task(busy())
    try:
        for words in (("verify",), ("verify", up.url)):
            code, said = await up.run("audit", *words, AUDIT_TOKEN=up.token)
            assert code == 0 and "not as signed" not in said, said
    finally:
        at_work.cancel()
        await asyncio.gather(at_work, return_exceptions=True)


async def test_what_a_superuser_edits_is_named_here_and_from_outside(up: Up) -> None:
    async with up.superuser() as superuser:
        event = up.event_ids[2]
        place, _ = await StoredTree(superuser).place_of(event) or (None, b"")
        body = await superuser.fetchval("SELECT body FROM events WHERE event_id = $1", event)
        forged = body.replace(b'"channel":"PHONE"', b'"channel":"WEB"')
        assert forged != body

        async def put(what: bytes) -> None:
            await superuser.execute("ALTER TABLE events DISABLE TRIGGER events_append_only")
            await superuser.execute("UPDATE events SET body = $2 WHERE event_id = $1", event, what)
            await superuser.execute("ALTER TABLE events ENABLE ALWAYS TRIGGER events_append_only")

        await put(forged)
        try:
            code, said = await up.run("audit", "verify")
            assert code == 1 and f"not as signed intake: entry {place}: " in said and "edited" in said, said
            assert said.count(" ok ") == 3, said
            code, said = await up.run("audit", "verify", up.url, "--token", up.token)
            assert code == 1 and f"not as signed entry {place}: edited" in said, said
            forged_export = await up.exported("forged")
            code, said = await alone(forged_export / "verify.py", forged_export / "policy", forged_export)
            assert code == 1 and f"NOT AS SIGNED: entry {place}: edited" in said, said
        finally:
            await put(body)
    assert (await up.run("audit", "verify"))[0] == 0


async def test_what_an_operator_can_put_right_is_one_line(up: Up) -> None:
    here = {"JIESU_HOME": str(up.folder), **WIDE}
    taken = up.folder / "taken"
    taken.mkdir()
    (taken / "notes").write_text("mine")
    assert "is not empty" in await refusal("export", "intake", "--out", str(taken), **here)
    assert [file.name for file in taken.iterdir()] == ["notes"]
    unknown = await refusal("export", "weather", "--out", str(up.folder / "weather"), **here)
    assert "no service weather" in unknown and "intake, routing, feedback, scoring" in unknown
    assert not (up.folder / "weather").exists(), "what is refused leaves nothing"
    assert "taken" in await refusal("audit", "verify", str(taken), code=2, **here)
    assert "nowhere" in await refusal("audit", "verify", str(up.folder / "nowhere"), code=2, **here)
    assert "401" in await refusal("audit", "verify", up.url, code=2, **here)
    nobody = f"http://127.0.0.1:{free_port()}/intake"
    assert "no city answers there" in await refusal("audit", "verify", nobody, code=2, **here)
    policy = up.folder / "policy-of-mine"
    policy.write_text("believe everybody\n")
    code, said = await up.run("audit", "verify", str(taken), "--policy", str(policy))
    assert code == 2 and "the policy cannot be read" in said, said


async def test_whom_an_auditor_believes_counts_where_the_city_stands_too(up: Up) -> None:
    foreign = up.folder / "foreign-policy"
    foreign.write_text(f"log {Signer('jiesu.example/log/intake', bytes(32)).verifier_key}\nquorum none\n")
    code, said = await up.run("audit", "verify", "--policy", str(foreign))
    assert code == 1 and said.count("signed by no log that the policy names") == 4, said
    strange = up.folder / "strange-checkpoint"
    strange.write_text("elsewhere.example/log\n1\n")
    code, said = await up.run("audit", "verify", "--checkpoint", str(strange))
    assert code == 2 and "no log of ours" in said, said


async def test_nothing_is_exported_before_something_was_signed() -> None:
    with home() as folder:
        keys = await jiesu("keys", JIESU_HOME=str(folder), **WIDE)
        await keys.communicate()
        out = str(folder / "early")
        for _ in range(2):
            refused = await refusal("export", "intake", "--out", out, JIESU_HOME=str(folder), **WIDE)
            assert "no checkpoint of intake has been published yet" in refused
