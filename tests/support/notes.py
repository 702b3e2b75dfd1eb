"""Opening a note as somebody does who has one key."""

from __future__ import annotations

from shared.eventlog.verify import Bad, key_of, signers


def opened(note: str, verifier_key: str) -> str:
    """The text, once its signature by this key has been checked. Raises Bad, or ValueError for what is no key."""
    text, good = signers(note, [key_of(verifier_key)])
    if not good:
        raise Bad("no signature by this key fits")
    return text
