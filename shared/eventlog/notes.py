"""Signing notes (C2SP signed-note and tlog-cosignature, Ed25519): texts that anybody can check with a key of one line.

How they are read stands in verify.py, which is given to strangers and therefore stands alone.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.contracts.envelope import rfc3339
from shared.eventlog.verify import COSIGNATURE, ED25519, Checkpoint, checkpoint_of

MARK, PROMISE = "— ", "jiesu-promise/v1"


def checkpoint_in(note: str) -> Checkpoint:
    """What a signed checkpoint says, its signatures unread: for notes that we hold ourselves. Raises Bad."""
    return checkpoint_of(note.rpartition("\n\n")[0] + "\n")


@dataclass(frozen=True)
class Signer:
    """A name without spaces or plus signs, and the seed of its Ed25519 key (32 bytes)."""

    name: str
    seed: bytes
    kind = ED25519

    @cached_property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def _public(self) -> bytes:
        return self.kind + self._key.public_key().public_bytes_raw()

    @cached_property
    def _id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + self._public).digest()[:4]

    @property
    def verifier_key(self) -> str:
        """What is published: name, key id and key in one line."""
        return f"{self.name}+{self._id.hex()}+{b64encode(self._public).decode()}"

    def sign(self, text: str) -> str:
        """The note. The text ends with a newline."""
        return f"{text}\n{self._line(self._key.sign(text.encode()))}"

    def _line(self, signature: bytes) -> str:
        return f"{MARK}{self.name} {b64encode(self._id + signature).decode()}\n"


def promise(signer: Signer, event_id: str, leaf_hash: str, at: datetime) -> str:
    """That an event is on record, good until a checkpoint covers it: whoever holds it can show that it was given."""
    return signer.sign(f"{signer.name}\n{PROMISE}\n{event_id}\n{leaf_hash}\n{rfc3339(at)}\n")


class Cosigner(Signer):
    """A witness: its signature says that at this time it had seen no other history than this checkpoint's."""

    kind = COSIGNATURE

    def cosign(self, text: str, seconds: int) -> str:
        """The signature line for a checkpoint's text, at a time in seconds since the epoch."""
        signature = self._key.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
        return self._line(seconds.to_bytes(8, "big") + signature)
