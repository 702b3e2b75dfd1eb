"""Trains a classifier from a CSV of classified messages, and classifies the messages of another."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TextIO

from services.routing_service.classifier import Classifier
from services.routing_service.training import Example, Measures, Trained, train

TOGETHER = 500


class WrongExamples(Exception):
    """The file of messages cannot be used; the message says why."""


def learn(file: Path, progress: Callable[[int, int], None]) -> Trained:
    """From a CSV with the columns title, detail, category and, where alike messages are known, group_id.

    Raises WrongExamples, TooLittle.
    """
    rows = list(_rows(file, {"title", "detail", "category"}))
    examples = [
        Example(row["title"] or "", row["detail"] or "", row["category"], row.get("group_id") or f"row {number}")
        for number, row in enumerate(rows)
        if row["category"]
    ]
    about = {"data": sha256(file.read_bytes()).hexdigest(), "rows": len(examples)}
    return train(examples, about, progress)


def classify(model: Classifier, file: Path, out: TextIO, progress: Callable[[int, int], None]) -> None:
    """Writes `row,category,confidence,second,third` as CSV, a line per message; rows count from 1."""
    rows = list(_rows(file, {"title", "detail"}))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("row", "category", "confidence", "second", "third"))
    for start in range(0, len(rows), TOGETHER):
        part = rows[start : start + TOGETHER]
        found = model.probabilities([row["title"] or "" for row in part], [row["detail"] or "" for row in part])
        for number, probabilities in enumerate(found, start + 1):
            best = probabilities.argsort()[::-1][:3]
            names = [model.categories[one] for one in best] + ["", ""]
            writer.writerow((number, names[0], f"{probabilities[best[0]]:.4f}", names[1], names[2]))
        progress(start + len(part), len(rows))


def _rows(file: Path, needed: set[str]) -> Iterator[dict[str, str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            if missing := needed - set(reader.fieldnames or ()):
                raise WrongExamples(f"{file} has no column {', '.join(sorted(missing))}")
            yield from reader
    except UnicodeDecodeError:
        raise WrongExamples(f"{file} is not UTF-8; convert it first, e.g. iconv -f GB18030 -t UTF-8") from None


def shown(measures: Measures) -> Sequence[str]:
    """The measures, for people."""
    return (
        f"macro-F1 {measures.macro_f1:.3f}",
        f"top-3 {measures.top3:.3f}",
        f"calibration error {measures.calibration_error:.3f}",
        f"{measures.messages} messages, each classified by a model that had not seen its group",
    )
