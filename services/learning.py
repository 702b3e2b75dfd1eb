"""The commands `train` and `classify`. What they need is heavy, so it is loaded only when one of them is called."""
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from services.screen import bar, screen, step
from services.serving import CannotStart

app = typer.Typer()
Examples = Annotated[Path, typer.Option("--csv", exists=True, help="CSV: title,detail,category[,group_id]")]
Messages = Annotated[Path, typer.Option("--csv", exists=True, help="CSV: title,detail")]
Model = Annotated[Path, typer.Option(exists=True, help="made by `jiesu train`")]


@app.command("train")
def train_command(file: Examples, out: Annotated[Path, typer.Option(help="where the model goes")]) -> None:
    """Learn categories from classified messages; says how good the model is on messages that it has not seen."""
    from services.classifying import WrongExamples, learn, shown
    from services.routing_service.training import TooLittle

    try:
        with bar() as progress:
            model, measures = learn(file, partial(step, progress, {}, "training"))
        model.save(out)
    except (WrongExamples, TooLittle) as error:
        raise CannotStart(str(error)) from None
    screen.print("  " + " · ".join(shown(measures)), soft_wrap=True)


@app.command("classify")
def classify_command(model: Model, file: Messages) -> None:
    """Write row,category,confidence,second,third as CSV to standard output."""
    from services.classifying import WrongExamples, classify
    from services.routing_service.classifier import WrongModel, load

    try:
        with bar() as progress:
            with model.open("rb") as opened:
                loaded = load(opened)
            classify(loaded, file, sys.stdout, partial(step, progress, {}, "classifying"))
    except (WrongExamples, WrongModel) as error:
        raise CannotStart(str(error)) from None
