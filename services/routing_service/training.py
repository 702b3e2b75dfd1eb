"""Trains the classifier, and measures it on messages that it has not seen: groups of alike ones stay together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array, hstack
from scipy.special import log_softmax, softmax
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.svm import LinearSVC

from services.routing_service.classifier import BITS, FIELDS, Classifier, Floats, features, weighed

FOLDS = 5
C = 0.3
FLOOR = 0.2
"""What an n-gram is still worth that every category has as often as any other."""
BINS = 15
Known = NDArray[np.intp]


class TooLittle(Exception):
    """Nothing can be learned from so few messages; the message says what is missing."""


@dataclass(frozen=True)
class Example:
    """One message that somebody has classified. Messages of one group are alike and stay together in evaluation."""

    title: str
    text: str
    category: str
    group: str


@dataclass(frozen=True)
class Measures:
    """On messages that were left out: the mean F1 of the categories, how often the right one is among the first three,
    and by how much confidence and truth differ (expected calibration error, 15 bins)."""

    macro_f1: float
    accuracy: float
    top3: float
    calibration_error: float
    messages: int


def train(
    examples: Sequence[Example], about: dict[str, Any], progress: Callable[[int, int], None]
) -> tuple[Classifier, Measures]:
    """A classifier of all examples, and how good such a one is. Raises TooLittle."""
    names, known = np.unique([one.category for one in examples], return_inverse=True)
    groups = np.array([one.group for one in examples])
    if len(names) < 2 or min(np.bincount(known)) < FOLDS or len(set(groups)) < FOLDS:
        raise TooLittle(f"at least two categories with {FOLDS} messages each are needed, in {FOLDS} groups")
    parts = features([one.title for one in examples], [one.text for one in examples])
    left_out = np.full((len(known), len(names)), -1.0)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=7).split(known, known, groups)
    for number, (seen, unseen) in enumerate(folds, 1):
        model = _fitted([part[seen] for part in parts], known[seen], names)
        left_out[unseen] = model.scores([part[unseen] for part in parts])
        progress(number, FOLDS + 1)
    scale = _temperature(left_out, known)
    measures = measured(softmax(left_out * scale, axis=1), known)
    model = _fitted(parts, known, names)
    progress(FOLDS + 1, FOLDS + 1)
    about = about | {"measures": {name: f"{value:.4f}" for name, value in asdict(measures).items()}}
    return Classifier(model.categories, model.weights, model.tables, model.bias, scale, about), measures


def measured(probabilities: Floats, known: Known) -> Measures:
    """How good these probabilities are, when `known` is the truth."""
    best = probabilities.argmax(axis=1)
    three = np.argsort(-probabilities, axis=1)[:, :3]
    return Measures(
        macro_f1=float(f1_score(known, best, average="macro")),
        accuracy=float((best == known).mean()),
        top3=float((three == known[:, None]).any(axis=1).mean()),
        calibration_error=_calibration_error(probabilities.max(axis=1), best == known),
        messages=len(known),
    )


def _calibration_error(confidence: Floats, right: NDArray[np.bool_]) -> float:
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(confidence[bins == one].mean() - right[bins == one].mean()) * (bins == one).mean() for one in set(bins)]
    return float(sum(gaps))


def _temperature(scores: Floats, known: Known) -> float:
    """The factor under which the scores say how often they are right."""
    right = np.arange(len(known)), known

    def loss(scale: float) -> float:
        return float(-log_softmax(scores * scale, axis=1)[right].mean())

    return float(minimize_scalar(loss, bounds=(0.1, 30), method="bounded").x)


def _fitted(parts: Sequence[csr_array], known: Known, names: NDArray[np.str_]) -> Classifier:
    weights = [_weights(part, known, len(names)) for part in parts]
    fields = zip(parts, weights, FIELDS, strict=True)
    seen = csr_array(hstack([weighed(part, weight) * np.float32(by) for part, weight, by in fields]))
    seen.indices, seen.indptr = seen.indices.astype(np.int32), seen.indptr.astype(np.int32)
    linear = LinearSVC(C=C, class_weight="balanced", random_state=0).fit(seen, known)
    rows = linear.coef_ if len(names) > 2 else np.vstack([-linear.coef_, linear.coef_])
    bias = linear.intercept_ if len(names) > 2 else np.concatenate([-linear.intercept_, linear.intercept_])
    table, offsets = np.zeros((seen.shape[1], len(names)), np.float32), np.full(len(names), -1.0)
    there = linear.classes_
    table[:, there], offsets[there] = rows.T, bias  # a category that a fold lacks stays unlikely
    tables = [part * np.float32(by) for part, by in zip(np.split(table, len(FIELDS)), FIELDS, strict=True)]
    return Classifier([str(name) for name in names], weights, tables, offsets, 1.0, {})


def _weights(part: csr_array, known: Known, categories: int) -> Floats:
    """How rare an n-gram is, times how much it belongs to few categories (1 - entropy); nothing if seen only once."""
    seen = csr_array((np.ones_like(part.data), part.indices, part.indptr), shape=(part.shape[0], 1 << BITS))
    sizes = np.maximum(np.bincount(known, minlength=categories), 1)
    member = (np.arange(categories) == known[:, None]) / sizes
    share = seen.T @ member + 0.5 * categories / len(known)
    share /= share.sum(axis=1, keepdims=True)
    entropy = -(share * np.log(share)).sum(axis=1) / np.log(categories)
    often = seen.sum(axis=0)
    rarity = np.log((1 + len(known)) / (1 + often)) + 1
    return np.where(often >= 2, rarity * (1 + FLOOR - entropy), 0.0).astype(np.float32)
