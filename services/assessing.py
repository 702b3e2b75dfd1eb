"""The command `score`."""
# ruff: noqa: PLC0415

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.serving import CannotStart
from shared.contracts.codes import League
from shared.engine.clock import SystemClock

app = typer.Typer()


@app.command("score")
def score_command(
    counts: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="CSV: unit,received,valid_callbacks,…")],
    policy: Annotated[str, typer.Option(help="a shipped version, or a JSON file")] = "BJ-HR-2025",
    league: Annotated[League | None, typer.Option(help="for weights and labels that depend on it")] = None,
    period: Annotated[str, typer.Option(help="YYYY-MM, for weights that depend on it")] = "",
) -> None:
    """Score a table of counts with the service's own formula; the league table goes to standard output as CSV."""
    from services.auditing import WrongCounts, policy_named, read_counts, write_table
    from services.scoring_service.policy_parts import PERIOD_PATTERN

    if period and not re.fullmatch(PERIOD_PATTERN, period):
        raise CannotStart("a period is written YYYY-MM")
    try:
        rules = policy_named(policy)
        with counts.open(encoding="utf-8-sig", newline="") as lines:
            units = read_counts(lines, rules, league, period or None)
    except WrongCounts as error:
        raise CannotStart(str(error)) from None
    except UnicodeDecodeError:
        raise CannotStart(f"{counts} is not UTF-8; convert it first, e.g. iconv -f GB18030 -t UTF-8") from None
    write_table(units, rules, league, period, SystemClock(), sys.stdout)
