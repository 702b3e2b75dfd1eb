"""Signed notes (C2SP signed-note, Ed25519): a text that anybody can check with a public key of one line."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
ID_BYTES = 4
MARK = "— "
_LINE = re.compile(rf"{MARK}([^\s+]+) ([A-Za-z0-9+/]+={{0,2}})")


class NoteRefused(Exception):
    """The note is not signed by this key, or is no note; the message says which."""


def _key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + ED25519 + public).digest()[:ID_BYTES]


@dataclass(frozen=True)
class Signer:
    """A name without spaces or plus signs, and the seed of its Ed25519 key (32 bytes)."""

    name: str
    seed: bytes

    @property
    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def verifier_key(self) -> str:
        """What is published: name, key id and key in one line."""
        public = self._key.public_key().public_bytes_raw()
        return f"{self.name}+{_key_id(self.name, public).hex()}+{b64encode(ED25519 + public).decode()}"

    def sign(self, text: str) -> str:
        """The note. The text ends with a newline."""
        key = self._key
        signature = _key_id(self.name, key.public_key().public_bytes_raw()) + key.sign(text.encode())
        return f"{text}\n{MARK}{self.name} {b64encode(signature).decode()}\n"


def opened(note: str, verifier_key: str) -> str:
    """The text of a note, once its signature by this key has been checked. Raises NoteRefused."""
    text, parted, signatures = note.rpartition("\n\n")
    if not parted or not signatures.endswith("\n"):
        raise NoteRefused("this is not a signed note")
    try:
        name, key_id, encoded = verifier_key.split("+", 2)
        kind, public = b64decode(encoded, validate=True)[:1], b64decode(encoded, validate=True)[1:]
        key = Ed25519PublicKey.from_public_bytes(public)
    except ValueError:
        raise NoteRefused("this is not a verifier key") from None
    if kind != ED25519 or _key_id(name, public).hex() != key_id:
        raise NoteRefused("the verifier key does not fit its own id")
    lines = [_LINE.fullmatch(line) for line in signatures[:-1].split("\n")]
    if not all(lines):
        raise NoteRefused("this is not a signed note")
    for line in lines:
        if line and line[1] == name and _signed(key, _key_id(name, public), line[2], f"{text}\n"):
            return f"{text}\n"
    raise NoteRefused("no signature by this key fits")


def _signed(key: Ed25519PublicKey, key_id: bytes, encoded: str, text: str) -> bool:
    try:
        signature = b64decode(encoded, validate=True)
        if signature[:ID_BYTES] != key_id or b64encode(signature).decode() != encoded:
            return False
        key.verify(signature[ID_BYTES:], text.encode())
    except (ValueError, InvalidSignature):
        return False
    return True
