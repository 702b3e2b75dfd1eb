#!/usr/bin/env python3
"""Checks a record without trusting who kept it: one file, the standard library and `cryptography`, nothing of ours.

    python verify.py POLICY FOLDER [CHECKPOINT …]    an export: every entry as signed, and in its place?
    python verify.py POLICY RECEIPT LEAF-HASH        a receipt: does that entry stand in the log?

Exit code 0: as signed; 1: not as signed, with the first bad entry and what was done to it; 2: cannot be checked.
Formats: docs/record.md, RFC 6962, C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof and tlog-policy.
"""

import json
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from hashlib import file_digest, sha256
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519, COSIGNATURE, HASH = b"\x01", b"\x04", 32
KEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})")
SIGNATURE = re.compile("\u2014 ([^\\s+]+) ([A-Za-z0-9+/]+={0,2})")
CHECKPOINT = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n([^\n]+\n)*")
RECEIPT = re.compile(r"c2sp\.org/tlog-proof@v1\n(?:extra .*\n)?index (0|[1-9][0-9]*)\n((?:\S{44}\n){0,63})\n((?s:.*))")


class Bad(Exception):
    """What is wrong, and with which entry, counted from 0 (None: with the whole)."""

    def __init__(self, what: str, index: int | None = None) -> None:
        super().__init__(what if index is None else f"entry {index}: {what}")
        self.index = index


def leaf_of(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_of(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """RFC 6962, 2.1, leaf by leaf: only the roots of the complete subtrees at the right edge are kept."""

    def __init__(self, size: int = 0, edge: Iterable[bytes] = ()) -> None:
        self.size, self.edge = size, list(edge)

    def add(self, leaf: bytes) -> None:
        size, self.size = self.size, self.size + 1
        while size & 1:
            leaf, size = node_of(self.edge.pop(), leaf), size >> 1
        self.edge.append(leaf)

    def root(self) -> bytes:
        root = self.edge[-1] if self.edge else sha256().digest()
        for left in reversed(self.edge[:-1]):
            root = node_of(left, root)
        return root


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """RFC 6962, 2.1.1; every hash must have its length."""
    sound = 0 <= index < size and all(len(one) == HASH for one in (leaf, root, *proof))
    return sound and _root_with(leaf, index, size, proof) == root


def _root_with(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    if size == 1 or not proof:
        return leaf if size == 1 and not proof else b""
    split = 1 << (size - 1).bit_length() - 1
    if index < split:
        return node_of(_root_with(leaf, index, split, proof[:-1]), proof[-1])
    return node_of(proof[-1], _root_with(leaf, index - split, size - split, proof[:-1]))


class Key(NamedTuple):  # NAME+ID+KEY (C2SP signed-note), where KEY begins with the kind of its signatures
    name: str
    id: bytes
    kind: bytes
    public: bytes

    def signed(self, text: str, encoded: str) -> bool:
        try:
            raw = b64decode(encoded, validate=True)
            message, signature = text.encode(), raw[4:]
            if self.kind == COSIGNATURE:
                time, signature = int.from_bytes(raw[4:12], "big"), raw[12:]
                message = f"cosignature/v1\ntime {time}\n".encode() + message
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return raw[:4] == self.id and self.kind in (ED25519, COSIGNATURE) and b64encode(raw).decode() == encoded


def key_of(text: str) -> Key:
    found = KEY.fullmatch(text)
    raw = b64decode(found[3]) if found else b""
    if not found or found[2] != sha256(f"{found[1]}\n".encode() + raw).hexdigest()[:8]:
        raise ValueError(f"this is not a verifier key: {text[:80]}")
    return Key(found[1], bytes.fromhex(found[2]), raw[:1], raw[1:])


def signers(note: str, keys: Iterable[Key]) -> tuple[str, set[Key]]:
    """The text of a signed note, and which of these keys have signed it."""
    text, gap, tail = note.rpartition("\n\n")
    lines = [SIGNATURE.fullmatch(line) for line in tail.split("\n")[:-1]]
    if not gap or not all(lines) or tail[-1:] != "\n" or any(one < " " and one != "\n" for one in text):
        raise Bad("this is not a signed note")
    text, pairs = f"{text}\n", [line.groups() for line in lines if line]
    return text, {key for key in keys for name, one in pairs if name == key.name and key.signed(text, one)}


class Checkpoint(NamedTuple):
    origin: str
    size: int
    root: bytes


def checkpoint_of(text: str) -> Checkpoint:
    if not (found := CHECKPOINT.fullmatch(text)):
        raise Bad("this is not a checkpoint")
    return Checkpoint(found[1], int(found[2]), b64decode(found[3]))


class Policy:
    """Whom to believe (C2SP tlog-policy): the keys of logs and witnesses, and which witnesses must have signed."""

    def __init__(self, text: str) -> None:
        self.logs: dict[str, Key] = {}
        self.witnesses: dict[str, Key] = {}
        self.groups: dict[str, tuple[int, list[str]]] = {"none": (0, [])}
        self.quorum = "none"
        for line in text.splitlines():
            match line.partition("#")[0].split():
                case ["log", key, *_]:
                    self.logs[key.partition("+")[0]] = key_of(key)
                case ["witness", name, key, *_] if name not in self.groups:
                    self.witnesses[name], self.groups[name] = key_of(key), (1, [])
                case ["group", name, n, *some] if name not in self.groups and {*some} <= {*self.groups} - {"none"}:
                    self.groups[name] = {"any": 1, "all": len(some)}.get(n) or int(n), some
                case ["quorum", name] if name in self.groups:
                    self.quorum = name
                case [_, *_]:
                    raise ValueError(f"the policy cannot be read: {line[:80]}")

    def met(self, name: str, signed: set[Key]) -> bool:
        enough, members = self.groups[name]
        return self.witnesses.get(name) in signed or sum(self.met(one, signed) for one in members) >= enough

    def opened(self, note: str) -> str:
        log = self.logs.get(note.partition("\n")[0])
        text, good = signers(note, [log] if log else [])
        if not good:
            raise Bad("this is signed by no log that the policy names")
        return text

    def checkpoint(self, note: str) -> Checkpoint:
        """A checkpoint of one of the logs, with the witnesses that are asked for."""
        if not self.met(self.quorum, signers(note, self.witnesses.values())[1]):
            raise Bad("too few witnesses have signed this checkpoint")
        return checkpoint_of(self.opened(note))


def check_receipt(receipt: str, leaf: bytes, policy: Policy) -> tuple[int, Checkpoint]:
    if not (found := RECEIPT.fullmatch(receipt)):
        raise Bad("this is not a receipt")
    index, proof, checkpoint = int(found[1]), [*map(b64decode, found[2].split())], policy.checkpoint(found[3])
    if not included(leaf, index, checkpoint.size, proof, checkpoint.root):
        raise Bad("the receipt does not prove this entry", index)
    return index, checkpoint


def check_leaves(leaves: bytes, checkpoints: Iterable[Checkpoint]) -> None:
    """Whether these are the leaf hashes that checkpoints were signed over."""
    tree = Tree()
    for checkpoint in sorted(set(checkpoints), key=lambda one: one.size):
        for at in range(begun := tree.size, checkpoint.size):
            tree.add(leaves[HASH * at : HASH * (at + 1)])
        if len(leaves) < HASH * checkpoint.size:
            raise Bad(f"cut off: {checkpoint.size} entries were signed", len(leaves) // HASH)
        if tree.root() != checkpoint.root:
            raise Bad(f"rewritten: up to {checkpoint.size} this is not what was signed", begun)


def check_entries(entries: Iterable[bytes], leaves: bytes) -> None:
    """Whether these are the entries of the leaf hashes, and sound."""
    expected = [leaves[at : at + HASH] for at in range(0, len(leaves), HASH)]
    streams: dict[str, tuple[int, str]] = {}
    lines, count = iter(entries), 0
    for at, line in enumerate(lines):
        if at >= len(expected):
            raise Bad("added: nothing was signed here", at)
        if leaf_of(line) != expected[at]:
            raise Bad(_done_to(at, leaf_of(line), leaf_of(next(lines, b"")), expected), at)
        event, count = json.loads(line), at + 1
        version, time = streams.get(event["stream"], (0, ""))
        streams[event["stream"]] = version + 1, event["time"]
        if event["version"] != version + 1 or event["time"] < time:
            raise Bad("signed, but not the next version of its stream, or earlier than the one before", at)
    if count < len(expected):
        raise Bad(f"cut off: {len(expected)} entries were signed, {count} are here", count)


def _done_to(at: int, here: bytes, following: bytes, expected: list[bytes]) -> str:
    after, later = [*expected[at + 1 : at + 3], b"", b""][:2]
    if following == expected[at]:
        return "swapped with the next" if here == after else "inserted"
    if here == after and following == (later or leaf_of(b"")):
        return "deleted: what stands here came after it"
    return "moved: another entry stands here" if here in expected else "edited"


def check_folder(folder: Path, policy: Policy, known: Sequence[str] = ()) -> Checkpoint:
    """An export. `known` are checkpoints from elsewhere that it must agree with. Raises Bad, OSError, ValueError."""
    manifest = policy.opened((folder / "manifest").read_text()).partition("\njiesu-export/v1\n")
    for digest, name in (line.split("  ") for line in manifest[2].splitlines()):
        with (folder / Path(name).name).open("rb") as file:
            if file_digest(file, "sha256").hexdigest() != digest:
                raise Bad(f"{name} is not the file that was exported")
    last = policy.checkpoint((folder / "checkpoint").read_text())
    earlier = json.loads((folder / "checkpoints.json").read_text())
    leaves = (folder / "leaves").read_bytes()[: HASH * last.size]
    check_leaves(leaves, [last, *(checkpoint_of(policy.opened(note)) for note in (*earlier, *known))])
    with (folder / "entries.ndjson").open("rb") as entries:
        check_entries((line.removesuffix(b"\n") for line in entries), leaves)
    return last


def main(policy_file: str, what: str, *more: str) -> str:
    policy = Policy(Path(policy_file).read_text())
    if Path(what).is_dir():
        last = check_folder(Path(what), policy, [Path(one).read_text() for one in more])
        return f"{last.size} entries of {last.origin} are as they were signed"
    index, last = check_receipt(Path(what).read_text(), bytes.fromhex(more[0]), policy)
    return f"entry {index} stands in {last.origin}"


if __name__ == "__main__":
    try:
        sys.stdout.write(f"ok: {main(*sys.argv[1:])}\n")
    except Bad as bad:
        sys.exit(f"NOT AS SIGNED: {bad}")
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        sys.stderr.write(f"cannot be checked: {error}\n")
        sys.exit(2)
