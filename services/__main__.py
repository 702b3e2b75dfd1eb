"""The front door: the `jiesu` command."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.up import CannotStart, up
from shared.engine.clock import SystemClock
from shared.engine.secrets import KeyFileMissing, read_secrets
from shared.engine.settings import Settings, WrongSetting, read_settings
from shared.engine.telemetry import configure_logging
from shared.eventlog.migrate import PartitionsFixed
from shared.eventlog.sealing import WrongMasterKey
from shared.web.identity import PERMISSIONS, Tokens

app = typer.Typer(
    help="Jiesu (接诉即办): the open record of a city's promises.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False,
)  # fmt: skip
screen = Console(stderr=True, highlight=False)
TOKEN_SECONDS = 24 * 3600
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
    port: Annotated[int | None, typer.Option(help="port of the gateway [default: JIESU_PORT or 8000]")] = None,
    time_scale: Annotated[float | None, typer.Option(help="run the clock so many times faster (demonstration)")] = None,
) -> None:
    """Start the whole city on this machine: PostgreSQL, four services, one port."""
    settings = read_settings(port=port, time_scale=time_scale)
    configure_logging(settings.log_level)
    _run(up(settings, lambda tokens: _first_screen(settings, tokens)))


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


def _first_screen(settings: Settings, tokens: Tokens) -> None:
    """What to do next."""
    base = f"http://{settings.host}:{settings.port}"
    folder = (settings.home / "tokens").resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    roles = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for role in PERMISSIONS:
        scope = SAMPLE_UNITS.get(role, {})
        file = folder / role
        file.write_text(tokens.issue(role, f"{role.lower()}@example", TOKEN_SECONDS * 30, **scope))
        file.chmod(0o600)
        roles.add_row(f"  {role}", scope.get("unit_id", ""), f"$(cat {escape(str(file))})")
    screen.print("\n[bold green]接诉即办 — the city is up.[/] Ctrl-C stops it; nothing acknowledged is ever lost.\n")
    for name, what in (
        ("intake", "一号响应"),
        ("routing", "精准派单"),
        ("feedback", "两种反馈"),
        ("scoring", "三率考核"),
    ):
        screen.print(f"  {what}  {base}/{name}/docs")
    screen.print("\n[bold]A token per role[/] (valid 30 days):")
    screen.print(roles, soft_wrap=True)
    appeal = (
        '{"kind":"COMPLAINT","channel":"WEB","content":"小区停水两天了，朝外街道无人处理",'
        '"appellant":{"type":"PERSON","name":"王芳","phone":"13800000000"}}'
    )
    screen.print("\n[bold]Register an appeal[/] (paste as it is):\n")
    screen.out(
        f"curl -s {base}/intake/v1/appeals -H 'Content-Type: application/json' \\\n"
        f"  -H \"Authorization: Bearer $(cat {folder}/AGENT)\" \\\n  -d '{appeal}'\n"
    )
    screen.print("[bold]Then[/]  jiesu simulate --lives 100   ·   jiesu import FILE.csv   ·   jiesu --help\n")


def _run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def main() -> None:
    """Run the command; what an operator can put right is one line, without a traceback."""
    try:
        app(standalone_mode=True)
    except (CannotStart, WrongSetting, KeyFileMissing, PartitionsFixed, WrongMasterKey) as error:
        screen.print(f"[bold red]jiesu:[/] {escape(str(error) or type(error).__doc__ or '')}", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
