"""The front door: the `jiesu` command."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import aiohttp
import typer
from rich.markup import escape
from rich.progress import TaskID
from rich.table import Table

from services.addresses import addresses, everywhere
from services.assessing import app as assessing
from services.charting import WrongFacts, chart, read_facts
from services.importing import Report, WrongMap, bodies_of, import_file, read_map
from services.laboratory import simulate_past
from services.learning import app as learning
from services.operations import app as operations
from services.proving import app as proving
from services.rekeying import app as rekeying
from services.restoring import app as restoring
from services.screen import bar, run, screen, step
from services.serving import CannotStart
from services.simulation import invented, simulate
from services.split import up_split
from services.up import up
from shared.engine.clock import SystemClock
from shared.engine.secrets import KeyFileMissing, read_secrets
from shared.engine.settings import Settings, WrongSetting, read_settings
from shared.engine.telemetry import configure_logging
from shared.eventlog.kms import WrongMasterKey
from shared.eventlog.migrate import ForeignCode, PartitionsFixed
from shared.web.identity import PERMISSIONS
from shared.web.tokens import Tokens

app = typer.Typer(
    help="Jiesu (接诉即办): the open record of a city's promises.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False,
)  # fmt: skip
app.add_typer(operations)
app.add_typer(proving)
app.add_typer(rekeying, name="keys")
app.add_typer(restoring)
app.add_typer(learning)
app.add_typer(assessing)
TOKEN_SECONDS = 24 * 3600
SHOWN_REFUSALS, SHOWN_OF_EACH = 10, 3
SAMPLE_UNITS = {
    "STREET_HANDLER": {"unit_id": "110105001"},
    "DEPARTMENT_HANDLER": {"unit_id": "bj-housing"},
    "ENTERPRISE_HANDLER": {"unit_id": "bj-water"},
    "DISTRICT_COORDINATOR": {"unit_id": "110105", "district": "110105"},
    "COMMUNITY_ASSISTANT": {"unit_id": "110105001"},
    "MASS_ORG_PARTICIPANT": {"unit_id": "110105001"},
}
"""For whom the sample tokens of unit roles act."""


@app.command("up")
def up_command(
    port: Annotated[
        int | None,
        typer.Option(
            help="where all paths are; with --split the services take the four after it [default: JIESU_PORT or 8000]"
        ),
    ] = None,
    time_scale: Annotated[float | None, typer.Option(help="run the clock so many times faster (demonstration)")] = None,
    split: Annotated[
        bool, typer.Option("--split", help="a process per service, on the four ports after --port (8001 to 8004)")
    ] = False,
) -> None:
    """Start the whole city on this machine: PostgreSQL, four services, one port."""
    settings = read_settings(port=port, time_scale=time_scale)
    configure_logging(settings.log_level)
    if split and settings.time_scale != 1.0:
        raise CannotStart("--split runs in real time; leave --time-scale out")
    start = up_split if split else up
    run(start(settings, partial(_first_screen, settings, split)))


@app.command()
def token(
    role: Annotated[str, typer.Option(help=f"one of {', '.join(PERMISSIONS)}")],
    unit: Annotated[str | None, typer.Option(help="unit that the holder acts for")] = None,
    district: Annotated[str | None, typer.Option(help="district code of the holder")] = None,
    sub: Annotated[str | None, typer.Option(help="account name")] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="how long it is valid")] = 1,
) -> None:
    """Print a bearer token of the embedded mode, and nothing else."""
    settings = read_settings()
    tokens = Tokens(read_secrets(settings.keys_dir, create=settings.embedded).token, SystemClock(settings.time_scale))
    try:
        print(tokens.issue(role, sub or f"{role.lower()}@example", days * TOKEN_SECONDS, unit, district))  # noqa: T201
    except ValueError as error:
        raise CannotStart(str(error)) from None


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help=".csv, .xlsx or .ndjson")],
    map_file: Annotated[Path | None, typer.Option("--map", help="TOML that says which column is what")] = None,
    all_or_none: Annotated[bool, typer.Option("--all-or-none", help="register nothing if any row is refused")] = False,
    url: Annotated[str | None, typer.Option(help="the city [default: the one running here]")] = None,
) -> None:
    """Register every row of a file as an appeal; run it again to go on, rows on record are recognised."""
    settings, seen = read_settings(), Report()

    def progress(report: Report) -> None:
        seen.import_id = report.import_id
        progress_bar.update(task, completed=report.row, total=report.total or None)

    with bar() as progress_bar:
        task = progress_bar.add_task("importing", total=None)
        work = import_file(
            addresses(settings, url), _token_for(settings)("AGENT", None), file, read_map(map_file), all_or_none,
            progress, SHOWN_OF_EACH,
        )  # fmt: skip
        try:
            report = run(work)
        except KeyboardInterrupt:
            raise CannotStart(f"no longer watching; the city goes on with import {seen.import_id}") from None
    for one in sorted(report.problems, key=lambda one: one["code"]):
        what = f"{one['code']} {one['message'] or ''}" + (" (registered all the same)" if one["warning"] else "")
        screen.print(f"  row {one['row']}: {escape(what)}")
    if report.codes:
        screen.print("  " + " · ".join(f"{code} {count}" for code, count in report.codes.most_common()))
    counts = ("registered", "already_there", "refused", "warned")
    told = [f"{name.replace('_', ' ')} {getattr(report, name)}" for name in counts if getattr(report, name)]
    screen.print(f"  import {report.import_id}: " + (" · ".join(told) or "no rows"))
    if report.state != "DONE":
        raise CannotStart(report.reason or "some rows were refused, so none was registered")
    raise typer.Exit(1 if report.refused else 0)


@app.command("places")
def places_command(
    divisions: Annotated[
        Path | None, typer.Option(exists=True, help="CSV: code,name,level,parent_code,other_name")
    ] = None,
    communities: Annotated[Path | None, typer.Option(exists=True, help="CSV: code,name,town_code")] = None,
    boundaries: Annotated[Path | None, typer.Option(exists=True, help="GeoJSON, features with a `code`")] = None,
    url: Annotated[str | None, typer.Option(help="the city [default: the one running here]")] = None,
) -> None:
    """Load districts, streets and towns, communities and boundaries into the organisation tree; safe to repeat."""
    settings = read_settings()
    facts = read_facts(divisions, communities, boundaries)
    with bar() as progress_bar:
        progress = partial(step, progress_bar, {}, "entering")
        counts = run(chart(addresses(settings, url), _token_for(settings)("MUNICIPAL_ADMIN", None), facts, progress))
    screen.print("  " + " · ".join(f"{name} {count}" for name, count in counts.items()))


@app.command("simulate")
def simulate_command(
    lives: Annotated[int, typer.Option(min=1, max=1_000_000, help="how many appeals to invent")] = 100,
    from_file: Annotated[Path | None, typer.Option("--from", exists=True, help="take the appeals from a CSV")] = None,
    open_cases: Annotated[bool, typer.Option("--open", help="no new appeals: live all open ones to their end")] = False,
    seed: Annotated[int, typer.Option(help="the same seed, the same city")] = 1,
    url: Annotated[str | None, typer.Option(help="the city [default: the one running here]")] = None,
    months: Annotated[
        int | None,
        typer.Option(min=2, max=60, help="a past of so many months instead, for scoring alone, and serve it"),
    ] = None,
    streets: Annotated[int, typer.Option(min=1, max=5000, help="of that past")] = 343,
) -> None:
    """Drive residents, units and callback officers through whole lives, over HTTP; or invent a past to score."""
    settings = read_settings()
    if months is not None:
        simulate_past(settings, months, lives, streets, seed)
        return
    bodies = invented(lives, random.Random(seed))
    if from_file is not None:
        bodies = list(islice(bodies_of(from_file), lives))
    with bar() as progress_bar:
        tasks: dict[str, TaskID] = {}
        progress = partial(step, progress_bar, tasks)
        work = simulate(addresses(settings, url), _token_for(settings), None if open_cases else bodies, seed, progress)
        tally = run(work)
    screen.print("  " + " · ".join(f"{state} {count}" for state, count in tally.ended.most_common()))
    for failure, count in tally.failures.most_common(SHOWN_REFUSALS):
        screen.print(f"  [red]{count} × {escape(failure)}[/]")
    raise typer.Exit(1 if tally.failures else 0)


def _token_for(settings: Settings) -> Callable[[str, str | None], str]:
    """Issues tokens of the embedded mode for whoever is to act."""
    tokens = Tokens(read_secrets(settings.keys_dir, create=False).token, SystemClock())
    return lambda role, unit: tokens.issue(role, f"{role.lower()}@{unit or 'city'}", TOKEN_SECONDS * 3650, unit)


def _first_screen(settings: Settings, split: bool, tokens: Tokens) -> None:
    """What to do next."""
    bases = everywhere(settings, split)
    folder = (settings.home / "tokens").resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    roles = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for role in PERMISSIONS:
        scope = SAMPLE_UNITS.get(role, {})
        file = folder / role
        file.write_text(tokens.issue(role, f"{role.lower()}@example", TOKEN_SECONDS * 30, **scope))
        file.chmod(0o600)
        roles.add_row(f"  {role}", scope.get("unit_id", ""), escape(_short(file)))
    screen.print("\n[bold green]接诉即办 — the city is up.[/] Ctrl-C stops it; nothing acknowledged is ever lost.\n")
    for name, what in (
        ("intake", "一号响应"),
        ("routing", "精准派单"),
        ("feedback", "两种反馈"),
        ("scoring", "三率考核"),
    ):
        screen.print(f"  {what}  {bases[name]}/{name}/docs")
    screen.print(
        "\n[bold]A token per role[/], valid 30 days, in these files (or: jiesu token --role ROLE --unit UNIT):"
    )
    screen.print(roles, soft_wrap=True)
    appeal = (
        '{"kind":"COMPLAINT","channel":"WEB","content":"小区停水两天了，朝外街道无人处理",'
        '"appellant":{"type":"PERSON","name":"王芳","phone":"13800000000"}}'
    )
    screen.print("\n[bold]Register an appeal[/] (paste as it is):\n")
    screen.out(
        f"curl -s {bases['intake']}/intake/v1/appeals -H 'Content-Type: application/json' \\\n"
        f"  -H \"Authorization: Bearer $(cat {_short(folder)}/AGENT)\" \\\n  -d '{appeal}'\n"
    )
    me = _short(Path(sys.argv[0]).resolve()) if Path(sys.argv[0]).name == "jiesu" else "jiesu"
    screen.print(f"[bold]Then[/]  {me} simulate --lives 100   ·   {me} import FILE.csv   ·   {me} --help\n")


def _short(file: Path) -> str:
    """Relative to where the user stands, when that is shorter."""
    here = Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)


PUT_RIGHT_BY_AN_OPERATOR = (
    *(CannotStart, WrongSetting, WrongFacts, WrongMap),
    *(ForeignCode, KeyFileMissing, PartitionsFixed, WrongMasterKey),
)


def main() -> None:
    """Run the command; what an operator can put right is one line, without a traceback."""
    try:
        app(standalone_mode=True)
    except aiohttp.ClientConnectionError:
        screen.print("[bold red]jiesu:[/] no city answers there; start one with `make run`, or name it with --url")
        sys.exit(1)
    except aiohttp.ClientResponseError as error:
        screen.print(f"[bold red]jiesu:[/] the city refused it: {error.status} {escape(error.message)}")
        sys.exit(1)
    except PUT_RIGHT_BY_AN_OPERATOR as error:
        screen.print(f"[bold red]jiesu:[/] {escape(str(error) or type(error).__doc__ or '')}", soft_wrap=True)
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        screen.print(f"[bold red]jiesu:[/] {escape(f'{error.strerror}: {error.filename}')}", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
