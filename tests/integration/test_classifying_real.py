"""The classifier on real appeals, each told by a model that has not seen its like."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from services.classifying import WrongExamples, classify, learn
from services.routing_service.classifier import load
from tests.support.realdata import FOLDER, real

SILENT = lambda *_: None  # noqa: E731


def test_real_appeals_are_told_apart_with_honest_confidence(tmp_path: Path) -> None:
    rows = real("appeals_labelled.csv")
    trained = learn(FOLDER / "appeals_labelled.csv", SILENT)
    model, measures = trained.model, trained.measures
    assert measures.messages == len(rows) and measures.macro_f1 >= 0.915
    assert measures.top3 >= 0.99 and measures.calibration_error <= 0.05
    model.save(tmp_path / "m.npz")
    assert (tmp_path / "m.npz").stat().st_size < 40_000_000
    out = io.StringIO()
    classify(load(io.BytesIO((tmp_path / "m.npz").read_bytes())), FOLDER / "appeals_labelled.csv", out, SILENT)
    told = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [int(one["row"]) for one in told] == list(range(1, len(rows) + 1))
    assert list(told[0]) == ["row", "category", "confidence", "second", "third"]
    assert all(len({one["category"], one["second"], one["third"]}) == 3 for one in told)


def test_a_file_without_what_is_needed_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("title,detail\nx,y\n")
    with pytest.raises(WrongExamples, match="no column category"):
        learn(tmp_path / "a.csv", SILENT)
    (tmp_path / "b.csv").write_bytes("title,detail,category\n停水两天了,没人管,x\n".encode("gb18030"))
    with pytest.raises(WrongExamples, match="not UTF-8"):
        learn(tmp_path / "b.csv", SILENT)
