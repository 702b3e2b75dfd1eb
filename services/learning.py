"""The commands `train`, `classify` and `models`. What they need is heavy, so it is loaded only when one is called."""
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from services.addresses import addresses
from services.screen import bar, run, screen, step
from services.serving import CannotStart
from shared.engine.clock import SystemClock
from shared.engine.secrets import read_secrets
from shared.engine.settings import Settings, read_settings
from shared.web.tokens import Tokens

if TYPE_CHECKING:
    from services.routing_service.training import Trained

app = typer.Typer()
models = typer.Typer(help="Classifiers that help to dispatch: kept, put in force, taken back.", no_args_is_help=True)
app.add_typer(models, name="models")
Examples = Annotated[
    Path | None, typer.Option("--csv", exists=True, help="CSV: title,detail,category[,group_id] [default: the log]")
]
Messages = Annotated[Path, typer.Option("--csv", exists=True, help="CSV: title,detail")]
Model = Annotated[Path, typer.Option(exists=True, help="made by `jiesu train`")]
City = Annotated[str | None, typer.Option(help="the city [default: the one running here]")]
TOKEN_SECONDS = 3600


@app.command("train")
def train_command(out: Annotated[Path, typer.Option(help="where the model goes")], file: Examples = None) -> None:
    """Learn from classified messages, or from the log: who led each order in the end. Says how good the model is."""
    from services.classifying import shown
    from services.routing_service.limits import shipped_limits
    from services.routing_service.training import TooLittle

    try:
        trained = _from_csv(file) if file else run(_from_log(read_settings()))
        trained.model.save(out)
    except TooLittle as error:
        raise CannotStart(str(error)) from None
    screen.print("  " + " · ".join(shown(trained.measures)), soft_wrap=True)
    if trained.measures.macro_f1 < shipped_limits().least_macro_f1:
        screen.print("  [red]too poor to be put in force[/]; train it on more or better examples")
        return
    screen.print(f"  next: jiesu models add {escape(str(out))}", soft_wrap=True)


def _from_csv(file: Path) -> Trained:
    from services.classifying import WrongExamples, learn

    try:
        with bar() as progress:
            return learn(file, partial(step, progress, {}, "training"))
    except WrongExamples as error:
        raise CannotStart(str(error)) from None


async def _from_log(settings: Settings) -> Trained:
    from services.beside import beside
    from services.city import SERVICES
    from services.routing_service.directory import read_directory
    from services.routing_service.outcomes import learned_from, outcomes

    (routing,) = (service for service in SERVICES if service.name == "routing")
    async with beside(settings, routing) as running:
        with bar() as progress:
            found = await outcomes(running, partial(step, progress, {}, "reading"))
            async with running.pool.acquire() as connection:
                desk = await read_directory(connection, running.clock.now(), running.objects)
            return learned_from(found, desk, partial(step, progress, {}, "training"))


@app.command("classify")
def classify_command(model: Model, file: Messages) -> None:
    """Write row,category,confidence,second,third as CSV to standard output."""
    from services.classifying import WrongExamples, classify
    from services.routing_service.classifier import WrongModel, load

    try:
        with bar() as progress, model.open("rb") as opened:
            classify(load(opened), file, sys.stdout, partial(step, progress, {}, "classifying"))
    except (WrongExamples, WrongModel) as error:
        raise CannotStart(str(error)) from None


@models.command("list")
def list_command(url: City = None) -> None:
    """Every model that the city keeps, how good it is, and which one is in force."""
    answer = _ask("GET", "", url)
    for one in answer["items"]:
        mark = "in force" if one["active"] else "        "
        measures = " · ".join(f"{name} {value}" for name, value in one["measures"].items())
        typer.echo(f"{one['model_version']}  {mark}  {one['rows']} rows · {measures}")
    if not answer["items"]:
        screen.print("  none; the rules alone serve. Make one: jiesu train --out model.npz")


@models.command("add")
def add_command(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="made by `jiesu train`")], url: City = None
) -> None:
    """Hand a model file to the city. It is not in force yet."""
    answer = _ask("POST", "", url, data=file.read_bytes())
    screen.print(f"  kept as {answer['model_version']}; next: jiesu models activate {answer['model_version']}")


@models.command("activate")
def activate_command(version: str, url: City = None) -> None:
    """Let proposals be made with a model from now on."""
    screen.print(f"  in force: {_ask('POST', f'/{version}/activate', url)['state']}")


@models.command("rollback")
def rollback_command(reason: Annotated[str, typer.Option(help="why")], url: City = None) -> None:
    """Take the model in force back: the one before serves again, or the rules alone."""
    screen.print(f"  in force: {_ask('POST', '/rollback', url, json={'reason': reason})['state']}")


def _ask(method: str, path: str, url: str | None, **body: Any) -> Any:
    settings = read_settings()
    tokens = Tokens(read_secrets(settings.keys_dir, create=False).token, SystemClock())
    headers = {"Authorization": f"Bearer {tokens.issue('MUNICIPAL_ADMIN', 'models@city', TOKEN_SECONDS)}"}
    headers |= {"Content-Type": "application/octet-stream"} if "data" in body else {}
    return run(_send(method, addresses(settings, url)(f"/routing/v1/models{path}"), headers, body))


async def _send(method: str, url: str, headers: dict[str, str], body: dict[str, Any]) -> Any:
    import aiohttp

    async with aiohttp.ClientSession() as http, http.request(method, url, headers=headers, **body) as response:
        answer = await response.json(content_type=None)
        if response.status >= 400:
            raise CannotStart(f"the city refused it: {answer['detail']} {answer.get('errors', '')}".strip())
        return answer
