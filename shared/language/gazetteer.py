"""Which places a text names, and which one it is about: districts, streets and towns, communities.

Names are ambiguous (two districts of Beijing have a 八里庄街道) and pieces of evidence differ in trust, so every place
that is named is tried, and the one wins whose chain of parents explains most of what was said, the most trusted first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from operator import add

from shared.language.script import plain

PREFIX = 2
"""Names are looked up by so many first letters."""
SHORTEST_WITHOUT_ENDING = 3
_ENDING = re.compile(r"(社区)?(居委会|居民委员会|村委会|村民委员会|社区)$")


class Level(IntEnum):
    """How fine a division is."""

    DISTRICT = 1
    TOWN = 2
    COMMUNITY = 3


@dataclass(frozen=True, slots=True)
class Division:
    """One district, street or town, or community."""

    code: str
    name: str
    level: Level
    parent: str | None = None
    aliases: tuple[str, ...] = ()

    def spoken(self) -> Iterator[str]:
        """The ways in which people name it. 雅宝里社区居委会 is 雅宝里社区 or just 雅宝里; 张营村委会 is 张营村."""
        yield from (self.name, *self.aliases)
        if self.level is Level.COMMUNITY and (core := _ENDING.sub("", self.name)) != self.name:
            yield from (core + "社区", core + "村")
            if len(core) >= SHORTEST_WITHOUT_ENDING:
                yield core


Mention = frozenset[str]
"""The codes that one name in a text can stand for."""
Evidence = Sequence[tuple[str, Sequence[Mention]]]
"""What each source names, the most trusted source first."""


@dataclass(frozen=True, slots=True)
class Found:
    """A place, as finely as it can be told, and the source that settled it."""

    chain: Mapping[Level, str]
    source: str = ""


NOWHERE = Found({})


class Gazetteer:
    """The divisions of a city, by code and by name."""

    def __init__(self, divisions: Iterable[Division]) -> None:
        self._divisions = {one.code: one for one in divisions}
        self._codes: dict[str, set[str]] = {}
        for one in self._divisions.values():
            for name in one.spoken():
                self._codes.setdefault(plain(name), set()).add(one.code)
        self._names = {level: self._down_to(level) for level in Level}

    def _down_to(self, finest: Level) -> dict[str, list[tuple[str, Mention]]]:
        """Names by their first letters, the longest first, with what they stand for down to a level."""
        names: dict[str, list[tuple[str, Mention]]] = {}
        for name in sorted(self._codes, key=len, reverse=True):
            if codes := frozenset(code for code in self._codes[name] if self._divisions[code].level <= finest):
                names.setdefault(name[:PREFIX], []).append((name, codes))
        return names

    def given(self, code_or_name: str | None) -> list[Mention]:
        """What a code or a whole name stands for."""
        if code_or_name is None or code_or_name in self._divisions:
            return [frozenset([code_or_name])] if code_or_name else []
        codes = self._codes.get(plain(code_or_name))
        return [frozenset(codes)] if codes else []

    def named(self, text: str | None, finest: Level = Level.COMMUNITY) -> list[Mention]:
        """The names in a plain text (script.py) from left to right, at each place the longest, down to a level."""
        if not text:
            return []
        found: list[Mention] = []
        names, end = self._names[finest], 0
        for at in [at for at, pair in enumerate(map(add, text, text[1:])) if pair in names]:
            here = next((one for one in names[text[at : at + PREFIX]] if text.startswith(one[0], at)), None)
            if here and at >= end:
                found.append(here[1])
                end = at + len(here[0])
        return found

    def place(self, evidence: Evidence) -> Found:
        """The place that all this is about. Each further source may make it finer, none may move it."""
        best = NOWHERE
        for upto in range(1, len(evidence) + 1):
            chain = self._agreed(evidence[:upto])
            if len(chain) > len(best.chain) and best.chain.items() <= chain.items():
                best = Found(chain, evidence[upto - 1][0])
        return best

    def _agreed(self, evidence: Evidence) -> dict[Level, str]:
        """The chain of the place that explains most; of several that explain as much, what they have in common."""
        named = {code for _, mentions in evidence for mention in mentions for code in mention}
        explains = {code: self._explained(code, evidence) for code in named}
        most = max(explains.values(), default=())
        chains = [set(self.chain(code).items()) for code in named if explains[code] == most]
        return dict(set.intersection(*chains)) if chains else {}

    def _explained(self, code: str, evidence: Evidence) -> tuple[int, ...]:
        chain = set(self.chain(code).values())
        return tuple(sum(not chain.isdisjoint(mention) for mention in mentions) for _, mentions in evidence)

    def chain(self, code: str) -> dict[Level, str]:
        """The place and what it lies in; a tree that bites its own tail ends where it does."""
        chain: dict[Level, str] = {}
        division = self._divisions.get(code)
        while division is not None and division.level not in chain:
            chain[division.level] = division.code
            division = self._divisions.get(division.parent or "")
        return chain
