"""What an appeal is about, learned from appeals that people have classified.

Character n-grams, hashed; each counts by how rare it is and how much it belongs to few categories; two linear models
over title, opening and whole text, one for the first place, one for the odds; a temperature that makes probabilities.
A model file is plain arrays and JSON, so reading one runs no code. Training is in training.py; here are numpy and scipy
alone.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import softmax

from shared.language.script import plain

FIELDS = (0.8, 0.6, 1.0)
"""How much the title, the opening and the whole of the text count."""
BITS, LONGEST, OPENING = 19, 2, 80
"""So many buckets (as a power of two), n-grams up to so many letters, the opening is so many letters."""
NAMES = ("used", "weights", "tables")
LARGEST = 1 << 30
UNREADABLE = (
    *(ValueError, KeyError, OSError, EOFError, TypeError, AttributeError, IndexError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, ArithmeticError),
)
"""What a file that is no model makes its readers raise."""
DECISIVE = 4
"""So many pairs of letters are named as reasons."""
TABLES = 2
"""One for the first place, one for the likelihood."""
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)
Floats = NDArray[Any]


class WrongModel(Exception):
    """The file is no model of ours."""


@dataclass(frozen=True)
class Classifier:
    """`used`, `weights` and `tables` have one array per field: the buckets that count, in ascending order, and of each
    its weight and its worth for each category, twice: for the first place, then for the likelihood.

    `about` is where it comes from: version, fingerprint of the data, measures.
    """

    categories: Sequence[str]
    used: Sequence[Floats]
    weights: Sequence[Floats]
    tables: Sequence[Floats]
    bias: Floats
    scale: float
    about: dict[str, Any]

    def probabilities(self, titles: Sequence[str], texts: Sequence[str]) -> Floats:
        """A row per message, a column per category."""
        return likely(self.scores(features(titles, texts)), self.scale)

    def scores(self, parts: Sequence[csr_array]) -> Floats:
        """What the linear models say, before the temperature: for the first place, then for the likelihood."""
        fields = zip(self._lines(parts), self.tables, strict=True)
        return np.asarray(sum((line @ table for line, table in fields), self.bias))

    def _lines(self, parts: Sequence[csr_array]) -> list[csr_array]:
        fields = zip(parts, self.used, self.weights, strict=True)
        return [weighed(among(part, used), weights) for part, used, weights in fields]

    def explained(self, title: str, text: str, most: int) -> tuple[Floats, dict[str, list[str]]]:
        """The probabilities of one message, and the pairs of letters that speak most for its likeliest categories."""
        parts = features([title], [text])
        (shares,) = likely(self.scores(parts), self.scale)
        said = plain(f"{title}\n{text}")
        pairs = {said[at : at + 2]: int(bucket) for at, bucket in enumerate(_buckets(_points(said))[1])}
        pairs = {pair: bucket for pair, bucket in pairs.items() if pair.isalnum()}
        return shares, {
            self.categories[one]: self._decisive(parts, pairs, one) for one in shares.argsort()[::-1][:most]
        }

    def _decisive(self, parts: Sequence[csr_array], pairs: dict[str, int], column: int) -> list[str]:
        """The strongest first."""
        worth: dict[int, float] = {}
        for line, used, table in zip(self._lines(parts), self.used, self.tables, strict=True):
            likelihood = table[line.indices, len(self.categories) :]
            values = line.data * (likelihood[:, column] - likelihood.mean(axis=1))
            for bucket, value in zip(used[line.indices].tolist(), values.tolist(), strict=True):
                worth[bucket] = worth.get(bucket, 0.0) + value
        found = {pair: worth.get(bucket, 0.0) for pair, bucket in pairs.items()}
        return sorted((pair for pair, value in found.items() if value > 0), key=lambda pair: -found[pair])[:DECISIVE]

    def save(self, file: Path) -> None:
        """As a file of that name."""
        with file.open("wb") as opened:
            self.write(opened)

    def write(self, file: IO[bytes]) -> None:
        """Plain arrays and JSON."""
        head = {"categories": list(self.categories), "scale": self.scale, "about": self.about}
        head |= {"tables": TABLES, "bits": BITS, "longest": LONGEST, "opening": OPENING, "fields": FIELDS}
        arrays: dict[str, Any] = {
            "head": np.frombuffer(json.dumps(head, ensure_ascii=False).encode(), dtype=np.uint8),
            "bias": self.bias,
        }
        for name in NAMES:
            arrays |= {f"{name}{number}": one for number, one in enumerate(getattr(self, name))}
        np.savez_compressed(file, **arrays)


def load(file: IO[bytes]) -> Classifier:
    """A model from its file. Raises WrongModel."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            head = json.loads(stored["head"].tobytes())
            if not isinstance(head, dict):
                raise WrongModel("this is no model; make one with `jiesu train`")
            made = [head.get(name) for name in ("tables", "bits", "longest", "opening", "fields")]
            if made != [TABLES, BITS, LONGEST, OPENING, [*FIELDS]]:
                raise WrongModel("the model was made by another version of the classifier; train it anew")
            if sum(one.file_size for one in stored.zip.infolist()) > LARGEST:
                raise WrongModel(f"the model is larger than {LARGEST >> 20} MiB")
            arrays = {name: [stored[f"{name}{number}"] for number in range(len(FIELDS))] for name in NAMES}
            model = Classifier(
                head["categories"], **arrays, bias=stored["bias"], scale=head["scale"], about=head["about"]
            )
        _try_out(model)
    except UNREADABLE as error:
        raise WrongModel(f"this is no model ({type(error).__name__}); make one with `jiesu train`") from None
    return model


def _try_out(model: Classifier) -> None:
    """Whatever a wrong file would break later breaks here. Raises one of UNREADABLE."""
    k, fields = len(model.categories), zip(model.used, model.weights, model.tables, strict=True)
    shapes = [(one.shape, weights.shape, table.shape) for one, weights, table in fields]
    if any(shape != ((n,), (n,), (n, TABLES * k)) for shape in shapes for n in [shape[0][0]]):
        raise ValueError("shapes")
    if model.bias.shape != (TABLES * k,) or not all(isinstance(name, str) for name in model.categories):
        raise ValueError("shapes")
    if any((np.diff(one) <= 0).any() or one.min(initial=0) < 0 or one.max(initial=0) >> BITS for one in model.used):
        raise ValueError("buckets")
    shares, _ = model.explained("试一试", "小区停水两天", 1)
    pairs = [(float(said), float(true)) for said, true in model.about.get("calibration", ())]
    if not np.isfinite(shares).all() or not all(0 <= one <= 1 for pair in pairs for one in pair):
        raise ValueError("figures")


def likely(scores: Floats, scale: float) -> Floats:
    """Probabilities from the second half of the scores; the highest goes to whom the first half puts first."""
    first, rest = np.split(scores, TABLES, axis=1)
    shares = np.asarray(softmax(rest * scale, axis=1))
    rows, winner, highest = np.arange(len(shares)), first.argmax(axis=1), shares.argmax(axis=1)
    shares[rows, winner], shares[rows, highest] = shares[rows, highest], shares[rows, winner]
    return shares


def among(part: csr_array, used: Floats) -> csr_array:
    """The same with a column per bucket of `used` only."""
    place = np.searchsorted(used, part.indices)
    there = place < len(used)
    there[there] = used[place[there]] == part.indices[there]
    rows = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))[there]
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=part.shape[0]))]).astype(np.int32)
    return csr_array((part.data[there], place[there].astype(np.int32), starts), shape=(part.shape[0], len(used)))


def features(titles: Sequence[str], texts: Sequence[str]) -> list[csr_array]:
    """How often each n-gram stands in title, opening and text of each message, on a logarithmic scale."""
    title, text = [plain(one) for one in titles], [plain(one) for one in texts]
    parts = [_counts(field) for field in (title, [one[:OPENING] for one in text], text)]
    for part in parts:
        part.data = 1 + np.log(part.data)
    return parts


def _counts(texts: Sequence[str]) -> csr_array:
    """All texts are hashed in one pass; an n-gram never crosses two of them."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    row, keys = np.repeat(np.arange(len(texts)), lengths), []
    for n, bucket in enumerate(_buckets(_points("".join(texts)))):
        keys.append(((row[: len(bucket)] << BITS) | bucket)[row[: len(bucket)] == row[n:]])
    key, times = np.unique(np.concatenate(keys), return_counts=True)
    starts = np.searchsorted(key, np.arange(len(texts) + 1, dtype=np.int64) << BITS).astype(np.int32)
    columns = (key & ((1 << BITS) - 1)).astype(np.int32)
    return csr_array((times.astype(np.float32), columns, starts), shape=(len(texts), 1 << BITS))


def _points(text: str) -> Floats:
    return np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)


def _buckets(points: Floats) -> list[Floats]:
    """For every length of n-gram, the bucket of the one that begins at each letter."""
    found, value = [], np.zeros(len(points), dtype=np.uint64)
    for n in range(LONGEST):
        size = max(len(points) - n, 0)
        value = (value[:size] ^ (points[n:] + np.uint64(n + 1))) * _MIX[n]
        value ^= value >> np.uint64(29)
        found.append(((value * _MIX[0]) >> np.uint64(64 - BITS)).astype(np.int64))
    return found


def weighed(part: csr_array, weights: Floats) -> csr_array:
    """Every bucket by its weight, every message of length 1."""
    data = part.data * weights[part.indices]
    rows = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
    length = np.sqrt(np.bincount(rows, data * data, part.shape[0]))
    length[length == 0] = 1.0
    return csr_array(((data / length[rows]).astype(np.float32), part.indices, part.indptr), shape=part.shape)
