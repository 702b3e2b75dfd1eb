"""`make chaos`: the long drill. Writes what it did and found to chaos-summary.json; ends with 1 when anything is wrong.

python -m tests.chaos [--lives 6700] [--seed 1] [--every 4]
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path

from rich.progress import Progress, TaskID

from services.screen import bar, screen
from tests.chaos.drill import drill

SUMMARY = Path("chaos-summary.json")


def main() -> int:
    parser = argparse.ArgumentParser(description="exactly once, shown")
    parser.add_argument("--lives", type=int, default=6700, help="about 15 events each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=4.0, help="seconds between faults, on average")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="jiesu-chaos-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        with bar() as progress:
            accounts = asyncio.run(
                drill(folder, asked.lives, asked.seed, asked.every, lambda *step: _show(progress, tasks, *step))
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    document = {"asked": vars(asked), **dataclasses.asdict(accounts)}
    SUMMARY.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    screen.print_json(data=document)
    return 1 if accounts.wrong else 0


tasks: dict[str, TaskID] = {}


def _show(progress: Progress, known: dict[str, TaskID], what: str, done: int, total: int) -> None:
    if what not in known:
        known[what] = progress.add_task(what, total=total)
    progress.update(known[what], completed=done)


if __name__ == "__main__":
    sys.exit(main())
