"""`jiesu restore`: exports become the logs of an empty database, and the services go on from where these logs end.

Views, deadlines and effects follow from the logs when the services start. Two things do not, and are worked out here:
how far reactions had got, so that nobody is told or dispatched twice, and which ticket numbers were given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import asyncpg
import typer

from services.city import SERVICES, ports
from services.intake_service.registration import TICKET_BLOCK
from services.screen import bar, run, screen
from services.serving import CannotStart
from services.up import a_database
from shared.engine.notarising import signer_of
from shared.engine.runtime import REACT
from shared.engine.secrets import Secrets, read_secrets
from shared.engine.settings import Settings, read_settings
from shared.eventlog.restoring import NotEmpty, restore
from shared.eventlog.verify import Bad, Checkpoint, Policy, check_files, check_log

app = typer.Typer()
PARTITIONS = "partitions"
"""The file of an export that says how many partitions its log had."""
UNEXPORTED_BLOCKS = 100
"""Of ticket numbers, left out for registrations that came after the export."""
CAUSES = "SELECT DISTINCT (convert_from(body, 'UTF8')::json ->> 'causation')::uuid AS id FROM {0}.events"
GO_ON = f"""
    INSERT INTO {{0}}.cursors (consumer, source, partition, sequence)
    SELECT '{REACT}', '{{1}}', h.partition, coalesce(max(e.position), 0)
    FROM {{1}}.log_heads h
    LEFT JOIN ({{1}}.events e JOIN ({CAUSES}) c ON c.id = e.event_id) ON e.partition = h.partition
    GROUP BY h.partition
    ON CONFLICT (consumer, source, partition) DO UPDATE SET sequence = greatest(cursors.sequence, excluded.sequence)"""
"""An event that follows from a neighbour's names it. What comes after the last of these had no effect yet."""
UNHEARD_OF = f"SELECT count(*) FROM ({CAUSES}) c WHERE id IS NOT NULL"
TICKETS = f"""
    SELECT setval('intake.ticket_numbers', (last - 1) / {TICKET_BLOCK} * {TICKET_BLOCK} + 1 + $1::bigint) FROM (
        SELECT max(split_part(convert_from(body, 'UTF8')::json -> 'data' ->> 'ticket_no', '-', 2)::bigint) AS last
        FROM intake.events WHERE type LIKE 'cn.gov.appeals.intake.appeal-registered.%') AS given
    WHERE last IS NOT NULL"""
ANY_PERSON = "SELECT EXISTS (SELECT FROM vault.subject_keys WHERE wrapped IS NOT NULL AND ref NOT LIKE 'system:%')"


class Export(NamedTuple):
    """An export that is as it was signed, by us."""

    service: str
    folder: Path
    checkpoint: Checkpoint
    notes: list[str]


@app.command("restore")
def restore_command(
    folders: Annotated[
        list[Path], typer.Argument(exists=True, file_okay=False, help="made by `jiesu export`; all four at once")
    ],
    policy: Annotated[
        Path | None, typer.Option(exists=True, help="C2SP tlog-policy: whom to believe [default: our signing.key]")
    ] = None,
) -> None:
    """Exports become the logs of an empty database: same bytes, same places, so every old receipt still holds.

    Before the services start, with the keys in place. An export holds no idempotency keys (an old request that a client
    sends again registers again, unless its source_ref is on record), no keys of persons (their texts read as erased,
    unless the schema `vault` is restored first), no attachments, webhooks, parked events or times of recording.
    """
    settings = read_settings()
    secrets = read_secrets(settings.keys_dir, create=False)
    try:
        exports = [verified(folder, policy, settings, secrets) for folder in folders]
        if len({one.service for one in exports}) < len(exports):
            raise CannotStart("two of these are exports of the same log")
        run(_restore(exports, settings))
    except Bad as bad:
        screen.print(f"  [bold red]not as signed[/] {bad}", highlight=False)
        raise typer.Exit(1) from None


def verified(folder: Path, policy: Path | None, settings: Settings, secrets: Secrets) -> Export:
    """Raises Bad when it is not what was signed, CannotStart when it is not for this installation."""
    try:
        note = (folder / "checkpoint").read_text()
        notes: list[str] = [*json.loads((folder / "checkpoints.json").read_text()), note]
        service = note.partition("\n")[0].removeprefix(f"{settings.origin}/log/")
        if service not in ports():
            raise CannotStart(f"{folder} is a log of {note.partition(chr(10))[0]}; JIESU_ORIGIN is {settings.origin}")
        ours = Policy(f"log {signer_of(settings, service, secrets.signing).verifier_key}\nquorum none\n")
        believed = Policy(policy.read_text()) if policy else ours
        check_files(folder, believed)
        last = check_log(folder, believed)
        _ours(folder, ours, notes)
        _as_many_partitions(folder, believed, settings.partitions)
    except (ValueError, KeyError, OSError) as error:
        if isinstance(error, Bad):
            raise
        raise CannotStart(f"{folder} cannot be read as an export: {error}") from None
    screen.print(f"  [green]ok[/] {last.size} entries of {last.origin} are as they were signed", highlight=False)
    return Export(service, folder, last, notes)


def _ours(folder: Path, ours: Policy, notes: Sequence[str]) -> None:
    """What is restored is signed on by us: it must be our own."""
    try:
        for note in notes:
            ours.opened(note)
    except Bad:
        raise CannotStart(f"{folder} was signed with another signing.key; put back that backup of the keys") from None


def _as_many_partitions(folder: Path, believed: Policy, ours: int) -> None:
    listed = believed.opened((folder / "manifest").read_text())
    if f"  {PARTITIONS}\n" not in listed:
        raise CannotStart(f"{folder} does not say how many partitions its log had; export it again")
    theirs = int((folder / PARTITIONS).read_text())
    if theirs != ours:
        raise CannotStart(f"{folder} has {theirs} partitions, JIESU_PARTITIONS asks for {ours}")


async def _restore(exports: Sequence[Export], settings: Settings) -> None:
    """All or nothing: what is interrupted leaves the logs empty."""
    async with a_database(settings) as url:
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction():
                for one in exports:
                    await _fill(connection, one)
                await _go_on(connection)
            if not await connection.fetchval(ANY_PERSON):
                screen.print("  [yellow]the vault holds no keys of persons: what they said reads as erased[/]")
        finally:
            await connection.close()
    if absent := sorted(set(ports()) - {one.service for one in exports}):
        screen.print(f"  [yellow]not restored: {', '.join(absent)}; do so before the services start[/]")
    screen.print("  restored; views are built when the services start, then run: jiesu audit verify")


async def _fill(connection: asyncpg.Connection, export: Export) -> None:
    await connection.execute(f'SET LOCAL search_path TO "{export.service}"')
    try:
        with _bar(export.service, export.checkpoint.size) as progress:
            await restore(connection, export.folder, export.checkpoint, export.notes, progress)
    except NotEmpty:
        raise CannotStart(f"the log of {export.service} is not empty; restore into a new database") from None


async def _go_on(connection: asyncpg.Connection) -> None:
    """Where the services will go on."""
    for service in SERVICES:
        for source in service.reactions.sources:
            await connection.execute(GO_ON.format(service.name, source))
        everywhere = "".join(
            f" AND NOT EXISTS (SELECT FROM {source}.events WHERE event_id = c.id)" for source in ports()
        )
        if missing := await connection.fetchval(UNHEARD_OF.format(service.name) + everywhere):
            what = f"{missing} events that {service.name} answers to are in no log here: an older export than its own?"
            screen.print(f"  [yellow]{what}[/]")
    await connection.execute(TICKETS, UNEXPORTED_BLOCKS * TICKET_BLOCK)


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    with bar() as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)
