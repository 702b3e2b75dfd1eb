"""The master key, changed while the city runs: two officers agree, every wrapped key is wrapped anew, the log stays."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import asyncpg
import typer

from services.beside import all_beside
from services.intake_service.granting import carry_out
from services.intake_service.operation import OPERATION, NoteDestroyed
from services.screen import bar, run, screen
from services.serving import CannotStart
from shared.contracts.access import OperationKind
from shared.contracts.envelope import Actor
from shared.engine.decider import NotYours, Refused
from shared.engine.execute import Intention
from shared.engine.runtime import Running
from shared.engine.secrets import read_secrets
from shared.engine.settings import Settings, read_settings
from shared.eventlog.durable import create_durably, replace_durably
from shared.eventlog.kms import KEY_BYTES, MASTER, OLD, FileMasterKeys, key_id

AT_ONCE = 1_000
UNFINISHED = "{} is still there; finish the last rotation with `jiesu keys retire`"
OTHERS = """
    SELECT ref, wrapped FROM vault.subject_keys
    WHERE wrapped IS NOT NULL AND (octet_length(wrapped) = 60 OR substring(wrapped FOR 5) <> $1) AND ref > $2
    ORDER BY ref LIMIT $3"""
LAST_ROTATION = """
    SELECT operation FROM operations WHERE kind = 'KEY_ROTATION' AND state = 'CARRIED_OUT'
    ORDER BY updated_at DESC LIMIT 1"""
REWRAP = "SELECT vault.rewrap_keys($1, $2, $3)"
app = typer.Typer(help="The key files of an installation.", invoke_without_command=True)
OperationOption = Annotated[str, typer.Option(help="of kind KEY_ROTATION, asked for and approved by two officers")]


@app.callback()
def keys_command(context: typer.Context) -> None:
    """Create the key files of an installation where they are missing; back them up, they open every personal text."""
    if context.invoked_subcommand is None:
        settings = read_settings()
        read_secrets(settings.keys_dir, create=True)
        screen.print(f"  keys are in {settings.keys_dir}")


@app.command()
def rotate(operation: OperationOption) -> None:
    """Make a new master key and wrap every key anew, while the city runs; then `jiesu keys retire`."""
    settings = read_settings()
    count = run(_rotate(settings, operation))
    screen.print(f"  {count} keys are wrapped anew; back up {settings.keys_dir}, then `jiesu keys retire`")


@app.command()
def retire() -> None:
    """Destroy the old master key: what only it opens, in old backups too, is then gone for ever."""
    settings = read_settings()
    old = settings.keys_dir / OLD
    if not old.exists():
        raise CannotStart(f"{old} is not there; nothing is being rotated")
    if old.read_bytes() == (settings.keys_dir / MASTER).read_bytes():  # a rotation that ended before it began
        old.unlink()
        raise CannotStart("nothing was rotated; ask for `jiesu keys rotate` anew")
    count = run(_rewrap_rest(settings, key_id(old.read_bytes()).hex()))
    _destroy(old)
    screen.print(f"  {count} more were wrapped anew; the old master key is destroyed")


async def allowed(city: dict[str, Running], operation: str, kind: OperationKind, target: str, count: int = 0) -> None:
    """Note on the record that an approved operation is being done. Raises CannotStart with one line."""
    try:
        await carry_out(city["intake"], operation, _operator(), kind, target, count)
    except NotYours:
        raise CannotStart(f"there is no operation {operation}") from None
    except Refused as refusal:
        raise CannotStart(f"{refusal.code}: {refusal.detail}") from None


async def _rotate(settings: Settings, operation: str) -> int:
    folder = settings.keys_dir
    if (folder / OLD).exists():
        raise CannotStart(UNFINISHED.format(folder / OLD))
    async with all_beside(settings) as city:
        await allowed(city, operation, "KEY_ROTATION", "master")
        try:
            create_durably(folder / OLD, (folder / MASTER).read_bytes())
        except FileExistsError:  # somebody else rotates at the same moment
            raise CannotStart(UNFINISHED.format(folder / OLD)) from None
        replace_durably(folder / MASTER, os.urandom(KEY_BYTES))
        return await _wrapped_anew(city["intake"].pool, folder)


async def _rewrap_rest(settings: Settings, old: str) -> int:
    """And note on the record which key goes."""
    async with all_beside(settings) as city:
        intake = city["intake"]
        count = await _wrapped_anew(intake.pool, settings.keys_dir)
        rotation = await intake.pool.fetchval(LAST_ROTATION)
        if rotation is None:
            raise CannotStart("no rotation is on the record; was this database restored without it?")
        note = NoteDestroyed(at=intake.clock.now(), actor=_operator(), key_id=old)
        await intake.executor.execute(Intention(OPERATION, rotation, note))
        return count


def _operator() -> Actor:
    return Actor("OPERATOR", None, getpass.getuser())


async def _wrapped_anew(pool: asyncpg.Pool, folder: Path) -> int:
    """Until no key is left that another master key has wrapped; answers with how many there were."""
    master, done = FileMasterKeys((folder / MASTER).read_bytes(), folder), 0
    with bar() as progress:
        task = progress.add_task("wrapping keys", total=None)
        while round_ := await _one_round(pool, master, lambda count: progress.advance(task, count)):
            done += round_
    return done


async def _one_round(pool: asyncpg.Pool, master: FileMasterKeys, progress: Callable[[int], None]) -> int:
    after, done = "", 0
    while rows := await pool.fetch(OTHERS, master.current, after, AT_ONCE):
        old = {row["ref"]: row["wrapped"] for row in rows}
        new = await master.wrap(await master.unwrap(old))
        done += await pool.fetchval(REWRAP, list(old), list(old.values()), [new[ref] for ref in old])
        after = rows[-1]["ref"]
        progress(len(rows))
    return done


def _destroy(file: Path) -> None:
    """Overwritten before it is unlinked; where a disk copies on write that is not enough (SECURITY.md says so)."""
    with file.open("r+b") as handle:
        handle.write(os.urandom(KEY_BYTES))
        handle.flush()
        os.fsync(handle.fileno())
    file.unlink()
