"""Chinese text as machines compare it: one script, one width, one case.

A message may come in traditional script (臺北), in full width (ＡＢＣ) or both. The text itself is kept as it was sent;
search, similarity, triage and dispatch work on the plain form. Conversion: OpenCC, t2s.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import opencc

_ASPECT = re.compile(r"(?<![显原名论专编卓合土巨])著(?![名作称者述录书])")
"""In traditional script 著 also stands for 着 (著火, 看著), which the converter leaves as it is."""
_NEITHER_LETTER_NOR_DIGIT = re.compile(r"[\W_]+")


@cache
def _simplifier() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


def plain(text: str) -> str:
    """Simplified script, compatibility forms folded (UAX #15, NFKC), lower case."""
    simple = str(_simplifier().convert(unicodedata.normalize("NFKC", text).lower()))
    return _ASPECT.sub("着", simple) if "著" in simple else simple


def bigrams(text: str) -> set[str]:
    """Every two neighbouring letters or digits of a plain text, across what stands between them."""
    squeezed = _NEITHER_LETTER_NOR_DIGIT.sub("", text)
    return {squeezed[at : at + 2] for at in range(len(squeezed) - 1)}
