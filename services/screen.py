"""How the commands talk to a person: one screen on standard error, progress bars, and one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

R = TypeVar("R")
screen = Console(stderr=True, highlight=False)


def bar() -> Progress:
    """For work that takes a while."""
    columns = (TextColumn("  {task.description:12}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=screen)


def run(work: Coroutine[Any, Any, R]) -> R:
    """To its end, on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def step(bar: Progress, tasks: dict[str, TaskID], what: str, done: int, total: int) -> None:
    """So much of one of several tasks is done."""
    if what not in tasks:
        tasks[what] = bar.add_task(what, total=total)
    bar.update(tasks[what], completed=done)
