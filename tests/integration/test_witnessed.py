"""With witnesses only what enough of them have signed is published; a second history finds nobody to sign for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse

from shared.eventlog.inspection import findings
from shared.eventlog.notary import Notary, text_of
from shared.eventlog.notes import checkpoint_in
from shared.eventlog.tree import StoredTree
from shared.eventlog.verify import Bad, Checkpoint, Policy, Tree, check_receipt, signers
from tests.integration.test_process import START_SECONDS, free_port, jiesu, refusal
from tests.support.city import City
from tests.support.records import MemoryTree, entries
from tests.support.waiting import seen, until
from tests.support.witnesses import LOGS, Standing, log_signer, policy_of

NewCity = Callable[..., AbstractAsyncContextManager[City]]
RECEIPT = {"Accept": "text/plain"}
PATIENCE = 120
"""Four services, each asking two witnesses: on a machine that does much else a round takes a while."""


@asynccontextmanager
async def witnessed(new_city: NewCity, folder: Path, quorum: str, both: list[Standing]) -> AsyncIterator[City]:
    (folder / "policy").write_text(policy_of(quorum, both))
    async with new_city(witnesses=folder / "policy") as city:
        yield city


def two(folder: Path) -> list[Standing]:
    return [Standing(name, folder / name) for name in ("audit.example", "bureau.example")]


async def receipt(city: City, made: dict[str, Any], policy: Policy) -> Checkpoint:
    """The checkpoint that the receipt of a registration is under, as soon as there is one."""
    path = f"/intake/v1/log/proof?event_id={made['receipt']['event_id']}"
    got = await until(lambda: city.get(path, None, headers=RECEIPT), lambda reply: reply.status == 200, PATIENCE)
    return check_receipt(got.raw.decode(), bytes.fromhex(made["receipt"]["leaf_hash"]), policy)[1]


async def published(city: City) -> int:
    reply = await city.get("/intake/v1/log/checkpoint", None)
    return checkpoint_in(reply.raw.decode()).size if reply.status == 200 else 0


def signed(city: City) -> int:
    """How much our own notary has signed, published or not."""
    file = city.running["intake"].settings.notary_dir / "intake.json"
    return checkpoint_in(json.loads(file.read_text())["note"]).size if file.exists() else 0


async def held_back(city: City, witness: Standing, before: int) -> None:
    """Until a registration was signed, asked for, and signed too little for."""
    size = signed(city)
    await city.register()
    await until(seen(lambda: signed(city)), lambda now: now > size, PATIENCE)
    asked = len(witness.statuses)
    await until(seen(lambda: len(witness.statuses)), lambda now: now > asked + 3, PATIENCE)
    assert await published(city) == before


async def test_one_of_two_is_enough_and_the_log_goes_on_while_the_other_is_down(
    new_city: NewCity, tmp_path: Path
) -> None:
    audit, bureau = both = two(tmp_path)
    of_one, of_all = Policy(policy_of("any", both)), Policy(policy_of("all", both))
    async with audit.up(), witnessed(new_city, tmp_path, "1", both) as city:
        async with bureau.up():
            first = await receipt(city, await city.register(), of_all)
        second = await receipt(city, made := await city.register(), of_one)
        assert second.size > first.size
        with pytest.raises(Bad, match="too few witnesses"):
            await receipt(city, made, of_all)
        for service in ("routing", "feedback", "scoring"):
            path = f"/{service}/v1/log/checkpoint"
            got = await until(lambda path=path: city.get(path, None), lambda reply: reply.status == 200, PATIENCE)  # type: ignore[misc]
            assert of_one.checkpoint(got.raw.decode()).origin == f"jiesu.example/log/{service}"


async def test_where_all_must_sign_nothing_is_published_while_one_is_down_and_then_by_itself(
    new_city: NewCity, tmp_path: Path
) -> None:
    audit, bureau = both = two(tmp_path)
    policy = Policy(policy_of("all", both))
    async with audit.up(), witnessed(new_city, tmp_path, "all", both) as city:
        async with bureau.up():
            await receipt(city, await city.register(), policy)
            before = await city.until(lambda: published(city), lambda size: size == signed(city))
        made = await city.register()
        await held_back(city, audit, before)
        path = f"/intake/v1/log/proof?event_id={made['receipt']['event_id']}"
        early = await city.get(path, None, headers=RECEIPT)
        assert (early.status, early.code) == (425, "TOO_EARLY")
        assert (await city.get("/intake/health/ready", None)).status == 200, "registering goes on"
        async with bureau.up():
            assert (await receipt(city, made, policy)).size > before


async def test_a_witness_that_was_shown_another_history_signs_nothing_and_nothing_is_published(
    new_city: NewCity, tmp_path: Path
) -> None:
    """The same key, another log: it was stolen, or the log itself showed one history here and another there."""
    audit, bureau = both = two(tmp_path)
    forked = MemoryTree(entries(3))
    bureau.witness.cosigned(f"old 0\n\n{forked.note(3, log_signer())}")
    async with audit.up(), bureau.up(), witnessed(new_city, tmp_path, "all", both) as city:
        for _ in range(4):
            await city.register()
        await until(seen(lambda: bureau.statuses.count(422)), lambda times: times > 1, PATIENCE)
        assert await published(city) == 0 and signed(city) > 3
        last = bureau.witness.last("jiesu.example/log/intake")
        assert last is not None and last.root == forked.root_at(3), "it keeps what it was shown first"
        assert (await city.get("/intake/health/ready", None)).status == 200


async def test_an_evil_witness_spoils_nothing(new_city: NewCity, tmp_path: Path) -> None:
    """Its answer brings, after its own good signature, a false one in the other's name, and lines without end."""
    audit, bureau = both = two(tmp_path)

    async def evil(scope: Any, receive: Any, send: Any) -> None:
        asked = (await Request(scope, receive).body()).decode()
        note = asked.partition("\n\n")[2]
        mine = bureau.cosigner.cosign(note.rpartition("\n\n")[0] + "\n", 1)
        theirs = audit.cosigner.cosign("another text\n", 1)
        await PlainTextResponse(mine + theirs + mine * 100)(scope, receive, send)

    bureau.app = evil
    policy = Policy(policy_of("all", both))
    async with audit.up(), bureau.up(), witnessed(new_city, tmp_path, "all", both) as city:
        await receipt(city, await city.register(), policy)
        assert all("notary" not in running.stopped for running in city.running.values())
        note = (await city.get("/intake/v1/log/checkpoint", None)).raw.decode()
        assert note.count("\u2014 ") == 3, "the log's, and one of each witness"


async def test_one_that_never_answers_and_one_that_sends_us_elsewhere_keep_nobody_waiting(
    new_city: NewCity, tmp_path: Path
) -> None:
    audit, bureau = both = two(tmp_path)
    over, elsewhere = asyncio.Event(), 0

    async def never(scope: Any, receive: Any, send: Any) -> None:
        nonlocal elsewhere
        if scope["path"] == "/elsewhere":
            elsewhere += 1
        await Request(scope, receive).body()
        if scope["path"] != "/elsewhere" and not over.is_set():
            await over.wait()
        await RedirectResponse(f"http://127.0.0.1:{bureau.port}/elsewhere", 307)(scope, receive, send)

    bureau.app = never
    async with audit.up(), bureau.up(), witnessed(new_city, tmp_path, "1", both) as city:
        policy = Policy(policy_of("any", both))
        first = await receipt(city, await city.register(), policy)
        over.set()
        second = await receipt(city, await city.register(), policy)
        assert second.size > first.size and elsewhere == 0


async def test_an_older_database_behind_a_newer_notary_is_not_signed_and_readiness_says_so(
    new_city: NewCity, tmp_path: Path
) -> None:
    """A backup was restored, and what had been shown since is missing."""
    tree = Tree()
    newer = MemoryTree(entries(500))
    for leaf in newer.hashes:
        tree.add(leaf)
    note = log_signer().sign(text_of(Checkpoint(log_signer().name, 500, tree.root())))
    kept = json.dumps({"note": note, "edge": [one.hex() for one in tree.edge]})
    (tmp_path / "intake.json").write_text(kept)
    async with new_city(notary=tmp_path) as city:
        ready = await city.until(
            lambda: city.get("/intake/health/ready", None), lambda reply: "notary" in reply.body.get("reasons", {})
        )
        assert ready.status == 503
        reason = ready.body["reasons"]["notary"]
        assert "Inconsistent" in reason and "500 were signed" in reason and "JIESU_NOTARY" in reason
        assert (await city.get("/routing/health/ready", None)).body["reasons"] == {}
        await city.register()
        assert await published(city) == 0 and (tmp_path / "intake.json").read_text() == kept


async def test_erasing_a_person_leaves_the_record_as_it_was_signed(city: City) -> None:
    made = await city.register(appellant={"name": "上官无痕", "phone": "13866660000"})
    path = f"/intake/v1/appeals/{made['appeal_id']}/appellant?purpose=回访"
    shown = await city.until(lambda: city.get(path, "AGENT"), lambda reply: reply.status == 200)
    erase = f"/intake/v1/appellants/{shown.body['ref']}/erase"
    for officer in ("li", "wang"):
        done = await city.post(erase, {"ground": "REQUEST_OF_PERSON"}, "HOTLINE_SUPERVISOR", sub=officer)
        assert done.status == 200
    case = f"/intake/v1/appeals/{made['appeal_id']}"
    await city.until(lambda: city.get(case), lambda reply: reply.body["content"] == "[erased]")
    later = await city.register()
    await receipt(city, later, Policy(f"{LOGS}quorum none\n"))
    assert await found(city) == []
    assert (await receipt(city, made, Policy(f"{LOGS}quorum none\n"))).size > 0


async def found(city: City) -> list[str]:
    running = city.running["intake"]
    notes = [row["note"] for row in await running.pool.fetch("SELECT note FROM checkpoints ORDER BY number")]
    tree, signer = StoredTree(running.pool), log_signer()
    note = Notary(tree, signer, running.settings.notary_dir / "intake.json").note or ""
    folder = running.settings.notary_dir / "looked-at"
    folder.mkdir(exist_ok=True)
    return [one async for one in findings(tree, running.pool, signer, note, notes)]


@asynccontextmanager
async def witness_process(*words: str) -> AsyncIterator[str]:
    """`jiesu witness` until the block ends; gives the policy line that it printed."""
    process = await jiesu("witness", *words, COLUMNS="300")
    assert process.stderr is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            line = ""
            while not line.startswith("witness "):
                raw = await process.stderr.readline()
                assert raw, "it must print its line"
                line = raw.decode().strip()
        yield line
    finally:
        process.kill()
        await process.wait()


async def test_a_witness_as_a_process_prints_its_line_and_keeps_its_key_and_memory(tmp_path: Path) -> None:
    tree, port = MemoryTree(entries(9)), free_port()
    (tmp_path / "logs").write_text(f"{LOGS}quorum none\n")
    where = {"policy": tmp_path / "logs", "home": tmp_path / "w", "name": "w.example", "port": port}
    words = [word for name, value in where.items() for word in (f"--{name}", str(value))]
    note = tree.note(9, log_signer())

    async def ask(http: aiohttp.ClientSession, old: int) -> tuple[int, str]:
        async with http.post(f"http://127.0.0.1:{port}/add-checkpoint", data=f"old {old}\n\n{note}") as answer:
            return answer.status, await answer.text()

    async def answers(http: aiohttp.ClientSession) -> bool:
        try:
            return bool(await ask(http, 0))
        except aiohttp.ClientConnectionError:
            return False

    lines = []
    for _ in range(2):
        async with witness_process(*words) as line, aiohttp.ClientSession() as http:
            lines.append(line)
            policy = Policy(f"{LOGS}{line}\nquorum w.example\n")
            assert line.endswith(f" http://127.0.0.1:{port}")
            await until(lambda http=http: answers(http))
            assert await ask(http, 0) == (409, "9\n"), "what it was shown it remembers, after a kill as well"
            status, cosigned = await ask(http, 9)
            assert status == 200 and signers(note + cosigned, policy.witnesses.values())[1]
            assert policy.checkpoint(note + cosigned).size == 9
    assert lines[0] == lines[1]
    assert (tmp_path / "w" / "witness.key").stat().st_mode & 0o077 == 0
    (tmp_path / "wrong").write_text("believe everybody\n")
    assert "the policy cannot be read" in await refusal("witness", "--policy", str(tmp_path / "wrong"), COLUMNS="300")
