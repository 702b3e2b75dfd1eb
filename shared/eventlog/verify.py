#!/usr/bin/env python3
"""Checks a record without trusting who kept it: one file, the standard library and `cryptography`, nothing of ours.

    python verify.py POLICY FOLDER [CHECKPOINT …]    an export: every entry as signed, and in its place?
    python verify.py POLICY RECEIPT LEAF-HASH        a receipt: does that entry stand in the log?

Exit code 0: as signed; 1: not as signed, with the first bad entry and what was done to it; 2: cannot be checked.
Formats: docs/record.md, RFC 6962, C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof, tlog-policy."""

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
HASH64 = r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="
KEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})")
SIGNATURE = re.compile("\u2014 ([^\\s+]+) ((?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)")
CHECKPOINT = re.compile(rf"([^\n]+)\n(0|[1-9][0-9]{{0,18}})\n({HASH64})\n([^\n]+\n)*")
RECEIPT = re.compile(
    rf"c2sp\.org/tlog-proof@v1\n(?:extra [A-Za-z0-9+/]*=*\n)?index (0|[1-9][0-9]*)\n((?:{HASH64}\n)*)\n((?s:.*))"
)


class Bad(ValueError):  # what is wrong, and with which entry, counted from 0 (None: with the whole)
    def __init__(self, what: str, index: int | None = None) -> None:
        super().__init__(what if index is None else f"entry {index}: {what}")
        self.index = index


def leaf_of(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_of(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Tree:  # RFC 6962, 2.1, leaf by leaf: only the roots of the complete subtrees at the right edge are kept
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


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:  # RFC 6962, 2.1.1
    sound = 0 <= index < size and all(len(one) == HASH for one in (leaf, root, *proof))
    return sound and _root_with(leaf, index, size, proof) == root


def _root_with(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    if size == 1 or not proof:
        return leaf if size == 1 and not proof else b""
    split = 1 << (size - 1).bit_length() - 1
    if index < split:
        return node_of(_root_with(leaf, index, split, proof[:-1]), proof[-1])
    return node_of(proof[-1], _root_with(leaf, index - split, size - split, proof[:-1]))


Key = NamedTuple("Key", [("name", str), ("id", bytes), ("kind", bytes), ("public", bytes)])  # noqa: UP014


def check_signature(key: Key, text: str, signature: bytes) -> None:
    message = text.encode()
    if key.kind == COSIGNATURE:
        message = f"cosignature/v1\ntime {int.from_bytes(signature[:8], 'big')}\n".encode() + message
        signature = signature[8:]
    Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)


def key_of(text: str, kinds: bytes = ED25519 + COSIGNATURE) -> Key:
    found = KEY.fullmatch(text)
    raw = b64decode(found[3]) if found else b""
    if not found or found[2] != sha256(f"{found[1]}\n".encode() + raw).hexdigest()[:8] or raw[0] not in kinds:
        raise ValueError(f"this is not a verifier key: {text[:80]}")
    return Key(found[1], bytes.fromhex(found[2]), raw[:1], raw[1:])


def signers(note: str, keys: Iterable[Key]) -> tuple[str, set[Key]]:
    """The text of a signed note, and which of these keys have signed it; one of them that does not fit spoils it."""
    text, gap, tail = note.rpartition("\n\n")
    lines = [SIGNATURE.fullmatch(line) for line in tail.split("\n")[:-1]]
    known, good = {(key.name, key.id): key for key in keys}, set[Key]()
    if not gap or not all(lines) or tail[-1:] != "\n" or min(note.replace("\n", " ")) < " " or len(lines) > 100:
        raise Bad("this is not a signed note")
    for name, encoded in (line.groups() for line in lines if line):
        raw = b64decode(encoded, validate=True)
        if len(raw) < 5 or b64encode(raw).decode() != encoded:
            raise Bad("this is not a signed note")
        if (key := known.get((name, raw[:4]))) and key not in good:
            try:
                check_signature(key, f"{text}\n", raw[4:])
            except InvalidSignature:
                raise Bad(f"the signature by {name} does not fit") from None
            good.add(key)
    return f"{text}\n", good


Checkpoint = NamedTuple("Checkpoint", [("origin", str), ("size", int), ("root", bytes)])  # noqa: UP014


def checkpoint_of(text: str) -> Checkpoint:
    if not (found := CHECKPOINT.fullmatch(text)):
        raise Bad("this is not a checkpoint")
    return Checkpoint(found[1], int(found[2]), b64decode(found[3]))


class Policy:  # whom to believe (C2SP tlog-policy): keys of logs and witnesses, and which witnesses must have signed
    def __init__(self, text: str) -> None:
        self.logs, self.witnesses, self.quorum = dict[str, Key](), dict[str, Key](), ""
        self.groups: dict[str, tuple[int, list[str]]] = {"none": (0, [])}
        for line in text.splitlines():
            match line.partition("#")[0].split():
                case ["log", key, *_]:
                    self.logs[key.partition("+")[0]] = key_of(key, ED25519)
                case ["witness", name, key, *_] if (
                    name not in self.groups and key_of(key) not in self.witnesses.values()
                ):
                    self.witnesses[name], self.groups[name] = key_of(key, COSIGNATURE), (1, [])
                case ["group", name, n, *some] if name not in self.groups and {*some} <= {*self.groups} - {"none"}:
                    self.groups[name] = {"any": 1, "all": len(some)}.get(n) or int(n), some
                    if not 0 < self.groups[name][0] <= len({*some}) == len(some):
                        raise ValueError(f"this group cannot be met: {line[:80]}")
                case ["quorum", name] if not self.quorum:
                    self.quorum = name
                case [_, *_]:
                    raise ValueError(f"the policy cannot be read: {line[:80]}")
        if self.quorum not in self.groups:
            raise ValueError("the policy names no quorum")

    def met(self, name: str, signed: set[Key]) -> bool:
        enough, members = self.groups[name]
        return self.witnesses.get(name) in signed or sum(self.met(one, signed) for one in members) >= enough

    def opened(self, note: str) -> str:
        text, good = signers(note, [self.logs[name]] if (name := note.partition("\n")[0]) in self.logs else [])
        if good:
            return text
        raise Bad("this is signed by no log that the policy names")

    def checkpoint(self, note: str) -> Checkpoint:
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
    tree = Tree()
    for checkpoint in sorted(set(checkpoints), key=lambda one: one.size):
        if len(leaves) < HASH * checkpoint.size:
            raise Bad(f"cut off: {checkpoint.size} entries were signed", len(leaves) // HASH)
        for at in range(begun := tree.size, checkpoint.size):
            tree.add(leaves[HASH * at : HASH * (at + 1)])
        if tree.root() != checkpoint.root:
            raise Bad(f"rewritten: up to {checkpoint.size} this is not what was signed", begun)


def check_entries(entries: Iterable[bytes], leaves: bytes) -> None:
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


def check_files(folder: Path, policy: Policy) -> None:
    _, mark, listed = policy.opened((folder / "manifest").read_bytes().decode()).split("\n", 2)
    files = dict(line.split("  ")[::-1] for line in listed.splitlines() if mark == "jiesu-export/v1")
    if not {"checkpoint", "checkpoints.json", "entries.ndjson", "leaves"} <= {*files}:
        raise Bad("the manifest does not list an export")
    for name, digest in files.items():
        with (folder / Path(name).name).open("rb") as file:
            if file_digest(file, "sha256").hexdigest() != digest:
                raise Bad(f"{name} is not the file that was exported")


def check_log(folder: Path, policy: Policy, known: Sequence[str] = ()) -> Checkpoint:
    """The log in a folder. `known` are checkpoints from elsewhere that it must agree with. Raises Bad, ValueError."""
    last = policy.checkpoint((folder / "checkpoint").read_bytes().decode())
    others = [*json.loads((folder / "checkpoints.json").read_bytes()), *known]
    leaves = (folder / "leaves").read_bytes()[: HASH * last.size]
    check_leaves(leaves, [last, *(checkpoint_of(policy.opened(note)) for note in others)])
    with (folder / "entries.ndjson").open("rb") as entries:
        check_entries((line.removesuffix(b"\n") for line in entries), leaves)
    return last


def main(policy_file: str, what: str, *more: str) -> str:
    policy = Policy(Path(policy_file).read_bytes().decode())
    if Path(what).is_dir():
        check_files(Path(what), policy)
        last = check_log(Path(what), policy, [Path(one).read_bytes().decode() for one in more])
        return f"{last.size} entries of {last.origin} are as they were signed"
    index, last = check_receipt(Path(what).read_bytes().decode(), bytes.fromhex(more[0]), policy)
    return f"entry {index} stands in {last.origin}"


if __name__ == "__main__":
    try:
        sys.stdout.write(f"ok: {main(*sys.argv[1:])}\n")
    except Bad as bad:
        sys.exit(f"NOT AS SIGNED: {bad}")
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        sys.exit(sys.stderr.write(f"cannot be checked: {error}\n") and 2)
