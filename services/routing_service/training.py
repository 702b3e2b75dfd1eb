"""Trains the classifier, and measures it on messages that it has not seen: groups of alike ones stay together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array, hstack
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.svm import LinearSVC

from services.routing_service.classifier import (
    BITS,
    FIELDS,
    TABLES,
    Classifier,
    Floats,
    among,
    features,
    likely,
    weighed,
)

FOLDS = 5
FIRST, ORDER, LOGISTIC = 1.0, 0.3, 10.0
"""How closely the models follow the examples: the one for the first place, and the two whose mean is the likelihood."""
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


@dataclass(frozen=True)
class Trained:
    """`unseen`: what a model said of each example that had not seen it, a row an example, a column a category."""

    model: Classifier
    measures: Measures
    unseen: Floats


def train(examples: Sequence[Example], about: dict[str, Any], progress: Callable[[int, int], None]) -> Trained:
    """A classifier of all examples, and how good such a one is. Raises TooLittle."""
    names, known = np.unique([one.category for one in examples], return_inverse=True)
    groups = np.array([one.group for one in examples])
    if len(names) < 2 or min(np.bincount(known)) < FOLDS or len(set(groups)) < FOLDS:
        raise TooLittle(f"at least two categories with {FOLDS} messages each are needed, in {FOLDS} groups")
    parts = features([one.title for one in examples], [one.text for one in examples])
    left_out = np.full((len(known), TABLES * len(names)), -1.0)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=7).split(known, known, groups)
    for number, (seen, unseen) in enumerate(folds, 1):
        model = _fitted([part[seen] for part in parts], known[seen], names)
        left_out[unseen] = model.scores([part[unseen] for part in parts])
        progress(number, FOLDS + 1)
    scale = _temperature(np.split(left_out, TABLES, axis=1)[1], known)
    unseen = likely(left_out, scale)
    measures = measured(unseen, known)
    model = _fitted(parts, known, names)
    progress(FOLDS + 1, FOLDS + 1)
    about = about | {"measures": {name: f"{value:.4f}" for name, value in asdict(measures).items()}}
    model = replace(model, scale=scale, about=about)
    return Trained(model, measures, unseen)


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
    every = [_weights(part, known, len(names)) for part in parts]
    used = [np.flatnonzero(weights).astype(np.int32) for weights in every]
    weights = [one[buckets] for one, buckets in zip(every, used, strict=True)]
    fields = zip(parts, used, weights, FIELDS, strict=True)
    lines = [weighed(among(part, buckets), weight) * np.float32(by) for part, buckets, weight, by in fields]
    seen = csr_array(hstack(lines))
    seen.indices, seen.indptr = seen.indices.astype(np.int32), seen.indptr.astype(np.int32)
    order, logistic = _margins(seen, known, ORDER), _logistic(seen, known)
    likelihood = order + logistic * np.linalg.norm(order[:-1]) / np.linalg.norm(logistic[:-1])
    worth = np.zeros((seen.shape[1] + 1, TABLES, len(names)), np.float32)
    worth[-1] = -2.0  # a category that a fold lacks stays unlikely
    worth[:, :, np.unique(known)] = np.stack([_margins(seen, known, FIRST), likelihood], axis=1)
    ends = np.cumsum([len(buckets) for buckets in used])[:-1]
    parts_of = np.split(worth[:-1].reshape(seen.shape[1], -1), ends)
    tables = [part * np.float32(by) for part, by in zip(parts_of, FIELDS, strict=True)]
    return Classifier([str(name) for name in names], used, weights, tables, worth[-1].ravel(), 1.0, {})


def _margins(seen: csr_array, known: Known, closely: float) -> Floats:
    """A column per category that there is: the worth of each feature, at last the constant. Parts them widely."""
    linear = LinearSVC(C=closely, class_weight="balanced", random_state=0).fit(seen, known)
    rows = np.column_stack([linear.coef_, linear.intercept_])
    return np.asarray(rows if len(rows) > 1 else np.vstack([-rows, rows])).T


def _logistic(seen: csr_array, known: Known) -> Floats:
    """The same, each category against the rest: says better what comes second and third."""
    made = LogisticRegression(C=LOGISTIC, class_weight="balanced", solver="liblinear", tol=1e-3)
    fits = [made.fit(seen, known == one) and np.append(made.coef_[0], made.intercept_) for one in np.unique(known)]
    return np.array(fits).T


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
