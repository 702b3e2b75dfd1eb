"""Keep and prove: export a log, verify one (offline, online, or the database itself), and be a witness of one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
import uvicorn
from rich.markup import escape

from services.beside import all_beside
from services.city import ports
from services.screen import bar, run, screen
from services.serving import CannotStart
from shared.engine.clock import SystemClock
from shared.engine.runtime import Running
from shared.engine.secrets import one_key
from shared.engine.settings import read_settings
from shared.eventlog.exporting import export
from shared.eventlog.inspection import findings
from shared.eventlog.log import Log
from shared.eventlog.notary import Notary
from shared.eventlog.notes import Cosigner, checkpoint_in
from shared.eventlog.tree import Inconsistent, StoredTree
from shared.eventlog.verify import Bad, Policy, check_files, check_log
from shared.messaging.bus import Bus
from shared.web.witness import Witness

app = typer.Typer()
audit = typer.Typer(help="Verify the record: an export, a running service, or this installation.", no_args_is_help=True)
app.add_typer(audit, name="audit")
NOTES = """
    SELECT note FROM checkpoints
    WHERE number IN (SELECT max(number) FROM checkpoints GROUP BY date_trunc('hour', published_at)) ORDER BY number"""
"""The last of every hour: there is one a second, and each of these covers what those before it did."""
PAGE = 1_000
HINTS = {
    **dict.fromkeys((401, 403), "; --token must be an auditor's"),
    404: "; name one service, as in http://127.0.0.1:8000/intake",
}
PolicyOption = Annotated[Path | None, typer.Option(exists=True, help="C2SP tlog-policy: whom to believe")]
KnownOption = Annotated[list[Path] | None, typer.Option("--checkpoint", exists=True, help="one that you have kept")]


@app.command("export")
def export_command(
    service: Annotated[str, typer.Argument(help="intake, routing, feedback or scoring")],
    out: Annotated[Path | None, typer.Option(help="folder to write [default: export-SERVICE]")] = None,
) -> None:
    """Write a log as a signed folder that `verify.py` in it checks without us; personal texts stay sealed."""
    known = _known(service)
    folder = out or Path(f"export-{known}")
    if folder.exists() and any(folder.iterdir()):
        raise CannotStart(f"{folder} is not empty; name another folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    size = run(_export(known, folder))
    screen.print(f"  {size} entries in {folder}; check them: python {folder}/verify.py {folder}/policy {folder}")


async def _export(service: str, folder: Path) -> int:
    async with all_beside(read_settings()) as city:
        return await export_of(city[service], folder)


async def export_of(running: Running, folder: Path) -> int:
    """The log of a service, as far as its last published checkpoint covers it; answers with how many entries."""
    name = running.service.name
    notes, _ = _under(running.signer.name, [row["note"] for row in await running.pool.fetch(NOTES)])
    if not notes:
        raise CannotStart(f"no checkpoint of {name} has been published yet; let the city run for some seconds")
    size = checkpoint_in(notes[-1]).size
    (folder / "partitions").write_text(f"{running.settings.partitions}\n")
    with _bar(name, size) as progress:
        await export(StoredTree(running.pool), running.signer, notes[-1], notes[:-1], folder, progress)
    return size


@audit.command("verify")
def verify_command(
    what: Annotated[str | None, typer.Argument(help="folder of an export, or URL of a service [default: here]")] = None,
    policy: PolicyOption = None,
    checkpoint: KnownOption = None,
    token: Annotated[str, typer.Option(envvar="AUDIT_TOKEN", help="of an auditor, for a URL")] = "",
) -> None:
    """Is every entry what was signed, and in its place? Exit code 1: no, the first is named; 2: it cannot be told."""
    try:
        known = [path.read_text(encoding="utf-8") for path in checkpoint or ()]
        believed = Policy(policy.read_text(encoding="utf-8")) if policy else None
        wrong = _is_wrong(what, believed, known, token)
    except (CannotStart, OSError, ValueError, aiohttp.ClientError) as error:
        said = "no city answers there" if isinstance(error, aiohttp.ClientError) else str(error)
        screen.print(f"[bold red]jiesu:[/] it cannot be told: {escape(said)}", soft_wrap=True)
        raise typer.Exit(2) from None
    if wrong:
        raise typer.Exit(1)


def _is_wrong(what: str | None, policy: Policy | None, known: Sequence[str], token: str) -> bool:
    if what is None:
        return run(_verify_here(policy, known))
    if not what.startswith(("http://", "https://")):
        return _verified(Path(what), policy, known, files=True)
    with tempfile.TemporaryDirectory() as folder:
        run(_fetch(what.rstrip("/"), token, Path(folder)))
        return _verified(Path(folder), policy, known, files=False)


def _verified(folder: Path, policy: Policy | None, known: Sequence[str], files: bool) -> bool:
    """Whether something is wrong with an export; says so."""
    try:
        believed = policy or Policy((folder / "policy").read_text(encoding="utf-8"))
        if policy is None:
            screen.print("  [yellow]believing the key that came with it; name your own with --policy[/]")
        if files:
            check_files(folder, believed)
        last = check_log(folder, believed, known)
    except Bad as bad:
        screen.print(f"  [bold red]not as signed[/] {bad}", highlight=False)
        return True
    except (ValueError, KeyError) as error:
        raise CannotStart(f"{folder} cannot be read as an export: {error}") from None
    screen.print(f"  [green]ok[/] {last.size} entries of {last.origin} are as they were signed", highlight=False)
    return False


async def _verify_here(policy: Policy | None, known: Sequence[str]) -> bool:
    """Every log of this installation, against what its notary has signed outside the database."""
    wrong = False
    async with all_beside(read_settings()) as city:
        names = {running.signer.name for running in city.values()}
        if strange := [one for one in known if one.partition("\n")[0] not in names]:
            raise CannotStart(
                f"a --checkpoint is of {strange[0].partition(chr(10))[0][:80]!r}, which is no log of ours"
            )
        for running in city.values():
            findings = [one async for one in findings_of(running, policy, known)]
            for one in findings:
                screen.print(f"  [bold red]not as signed[/] {running.service.name}: {one}", highlight=False)
            wrong |= bool(findings)
    return wrong


async def findings_of(running: Running, policy: Policy | None = None, known: Sequence[str] = ()) -> AsyncIterator[str]:
    """What is wrong with the log of a service, each in a sentence; says on the screen when nothing is."""
    tree, name = StoredTree(running.pool), running.service.name
    published = [row["note"] for row in await running.pool.fetch(NOTES)]  # first: what comes later is not cut off
    signer = running.signer
    notes, others = _under(signer.name, published)
    try:
        note = Notary(tree, signer, running.settings.notary_dir / f"{name}.json").note
    except Inconsistent as error:
        yield str(error)
        return
    if note is None and notes:
        yield f"checkpoints are published, and nothing is signed in {running.settings.notary_dir}: its file is gone"
    note = note or (notes[-1] if notes else None)
    if note is None:
        screen.print(f"  [yellow]{name}: nothing was signed in {running.settings.notary_dir} yet[/]", highlight=False)
        return
    try:
        if policy is not None and notes:
            policy.checkpoint(notes[-1])
    except Bad as bad:
        yield f"what is published last: {bad}"
    if others:
        screen.print(f"  [yellow]{name}: {len(others)} checkpoints are under another name; that key checks them[/]")
    mine = [*_under(signer.name, known)[0], *notes]
    size, wrong = checkpoint_in(note).size, False
    with _bar(name, size) as progress:
        async for one in findings(tree, running.pool, signer, note, mine, progress):
            wrong = True
            yield one
    if not wrong:
        screen.print(f"  [green]ok[/] {size} entries of {signer.name} are as they were signed", highlight=False)


@audit.command("views")
def views_command(
    service: Annotated[str | None, typer.Argument(help="one service [default: all]")] = None,
) -> None:
    """Does every table that is read say what the log says? Folds them anew beside and names rows that differ."""
    if run(_verify_views([_known(service)] if service else list(ports()))):
        raise typer.Exit(1)


async def _verify_views(services: Sequence[str]) -> bool:
    wrong = False
    async with all_beside(read_settings()) as city:
        for name in services:
            for projection in city[name].projections:
                found = await projection.differing()
                wrong |= bool(found)
                for one in found:
                    screen.print(f"  [bold red]not as the log[/] {name}: {one}", highlight=False)
            screen.print(f"  {name}: {len(city[name].projections)} views compared")
    return wrong


@audit.command("topics")
def topics_command() -> None:
    """Is every record in the topics, byte for byte, the event of the log that it says it is?"""
    if run(_verify_topics()):
        raise typer.Exit(1)


async def _verify_topics() -> bool:
    settings, wrong = read_settings(), False
    if settings.kafka_bootstrap is None:
        raise CannotStart("JIESU_KAFKA_BOOTSTRAP is not set; without Kafka services read the logs themselves")
    async with all_beside(settings) as city:
        for running in city.values():
            count, found = await unlike_the_log(running.bus, running.log, running.service.name)
            wrong |= found is not None
            said = f"[bold red]not as the log[/] {found}" if found else f"[green]ok[/] {count} records"
            screen.print(f"  {running.service.name}: {said}", highlight=False)
    return wrong


async def unlike_the_log(bus: Bus, log: Log, name: str) -> tuple[int, str | None]:
    """How many records of a service's topic were compared, and the first that is not the event of the log."""
    heads, count = await bus.heads(name), 0
    reached = dict.fromkeys(range(len(heads)), 0)

    async def begun() -> dict[int, int]:
        return reached

    subscription = await bus.subscribe("audit", name, begun, alone=True)
    try:
        while any(reached[partition] < head for partition, head in enumerate(heads)):
            for batch in await subscription.next():
                first, last = batch.events[0].position, batch.events[-1].position
                stored = await log.read_partition(batch.partition, first - 1, last - first + 1)
                by_position = {event.position: event.body for event in stored}
                for event in batch.events:
                    if by_position.get(event.position) != event.body:
                        return count, f"partition {batch.partition}, position {event.position}"
                    count += 1
                reached[batch.partition] = last
    finally:
        await subscription.close()
    return count, None


async def _fetch(url: str, token: str, folder: Path) -> None:
    """What a running service gives out, as the files of an export."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:

        async def get(path: str, accept: str = "*/*") -> bytes:
            async with http.get(f"{url}/v1/log/{path}", headers={"Accept": accept}) as answer:
                if answer.status != 200:
                    raise CannotStart(f"{url} answers {answer.status} to {path}{HINTS.get(answer.status, '')}")
                return await answer.read()

        published = await _every_checkpoint(get)  # first: what is published later is not cut off
        note = (await get("checkpoint")).decode()
        earlier, _ = _under(note.partition("\n")[0], published)
        size = checkpoint_in(note).size
        (folder / "checkpoint").write_text(note, encoding="utf-8")
        (folder / "policy").write_text(f"log {(await get('key')).decode()}quorum none\n", encoding="utf-8")
        (folder / "checkpoints.json").write_text(json.dumps(earlier), encoding="utf-8")
        with (folder / "entries.ndjson").open("wb") as file, _bar(url, size) as progress:
            for first in range(0, size, PAGE):
                limit = min(PAGE, size - first)
                file.write(await get(f"entries?after={first - 1}&limit={limit}", "application/x-ndjson"))
                progress(limit)
        with (folder / "leaves").open("wb") as file:
            while (at := file.tell() // 32) < size and (some := await get(f"leaves?after={at - 1}")):
                file.write(some)


async def _every_checkpoint(get: Callable[[str], Any]) -> list[str]:
    """The last of every hour."""
    notes: list[str] = []
    number = 0
    while items := json.loads(await get(f"checkpoints?after={number}&hourly=true"))["items"]:
        notes += [one["checkpoint"] for one in items]
        number = items[-1]["number"]
    return notes


@app.command("witness")
def witness_command(
    policy: Annotated[Path, typer.Option(exists=True, help="C2SP tlog-policy: the logs that are witnessed")],
    home: Annotated[Path, typer.Option(help="folder of its key and of what it signed last")] = Path("witness"),
    name: Annotated[str, typer.Option(help="of its key: whose witness it is")] = "witness.example",
    host: str = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8009,
) -> None:
    """Sign checkpoints that continue what was signed before (C2SP tlog-witness). Run it away from the log."""
    try:
        logs = Policy(policy.read_text())
    except ValueError as error:
        raise CannotStart(f"{policy}: {error}") from None
    cosigner = Cosigner(name, one_key(home / "witness.key", create=True))
    clock = SystemClock()
    witness = Witness(logs, cosigner, home, lambda: int(clock.now().timestamp()))
    screen.print("  for the policy of whoever is to believe it, and of the log (JIESU_WITNESSES):")
    screen.print(f"  witness {name} {cosigner.verifier_key} http://{host}:{port}", highlight=False, soft_wrap=True)
    uvicorn.run(witness.app(), host=host, port=port, log_config=None, access_log=False, server_header=False)


def _under(name: str, notes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those of a log's checkpoints, and the others: there are some after its key was replaced, under a new name."""
    mine = [one for one in notes if one.partition("\n")[0] == name]
    return mine, [one for one in notes if one not in mine]


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    with bar() as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def _known(service: str) -> str:
    if service not in ports():
        raise CannotStart(f"there is no service {service}; there are {', '.join(ports())}")
    return service
