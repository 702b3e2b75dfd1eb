"""Chinese text as machines compare it: one script, one width, one case.

A message may come in traditional script (臺北), in full width (ＡＢＣ) or both. The text itself is kept as it was sent;
search, similarity, triage and dispatch work on the plain form. Conversion: OpenCC, t2s.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import opencc

_NEITHER_LETTER_NOR_DIGIT = re.compile(r"[\W_]+")


@cache
def _simplifier() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


def plain(text: str) -> str:
    """Simplified script, compatibility forms folded (UAX #15, NFKC), lower case."""
    return str(_simplifier().convert(unicodedata.normalize("NFKC", text).lower()))


def bigrams(text: str) -> set[str]:
    """Every two neighbouring letters or digits of a plain text, across what stands between them."""
    squeezed = _NEITHER_LETTER_NOR_DIGIT.sub("", text)
    return {squeezed[at : at + 2] for at in range(len(squeezed) - 1)}
