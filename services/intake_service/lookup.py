"""Finding what the hotline knows: by the words of a question, however it is put.

Entries and questions are bags of character bigrams in plain script, weighed by BM25 (Robertson and Zaragoza 2009); the
title counts more, words that every question has count nothing, and synonyms stand for one another.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.intake_service.policy import LookupPolicy
from shared.language.script import bigrams, plain


@dataclass(frozen=True)
class Found:
    """An entry, how well it fits (0 to 1, 1: everything asked for is there), and the words that fit."""

    key: str
    score: float
    words: tuple[str, ...]


class Index:
    """All entries that may be cited, ready to be asked."""

    def __init__(self, entries: Iterable[tuple[str, str, str]], policy: LookupPolicy) -> None:
        """`entries` are (key, title with keywords, text)."""
        self._policy = policy
        self._weights: dict[str, dict[str, float]] = defaultdict(dict)
        sizes: dict[str, float] = {}
        counts: dict[str, Counter[str]] = {}
        for key, title, text in entries:
            counts[key] = Counter(self._words(text))
            for word in self._words(title):
                counts[key][word] += policy.title_counts
            sizes[key] = counts[key].total()
        mean = sum(sizes.values()) / max(1, len(sizes)) or 1.0  # entries of signs alone have no words
        for key, words in counts.items():
            slack = policy.k1 * (1 - policy.b + policy.b * sizes[key] / mean)
            for word, count in words.items():
                self._weights[word][key] = count * (policy.k1 + 1) / (count + slack)
        self._size = len(sizes)

    def ask(self, question: str) -> Sequence[Found]:
        """The entries that answer best, the best first."""
        words = self._words(question)
        rarity = {word: self._rarity(word) for word in words}
        scores: dict[str, float] = defaultdict(float)
        fitting: dict[str, list[str]] = defaultdict(list)
        for word in sorted(words):
            for key, weight in self._weights.get(word, {}).items():
                scores[key] += rarity[word] * weight
                fitting[key].append(word)
        asked = sum(rarity.values())
        found = (
            Found(key, min(1.0, sum(rarity[word] for word in fitting[key]) / asked), tuple(fitting[key]))
            for key in sorted(scores, key=lambda key: (-scores[key], key))
        )
        return [one for one in found if one.score >= self._policy.least_score][: self._policy.most]

    def _rarity(self, word: str) -> float:
        having = len(self._weights.get(word, ()))
        return math.log(1 + (self._size - having + 0.5) / (having + 0.5))

    def _words(self, text: str) -> set[str]:
        return bigrams(_canonical(plain(text), self._policy.synonyms, self._policy.ignored))


def _canonical(text: str, synonyms: Mapping[str, str], ignored: Sequence[str]) -> str:
    """With synonyms put to one word, and cut where words stand that say nothing."""
    for word, stands_for in synonyms.items():
        text = text.replace(word, stands_for)
    for word in ignored:
        text = text.replace(word, "\n")
    return text
