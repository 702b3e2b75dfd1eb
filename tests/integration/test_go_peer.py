"""Our proofs and notes, and those of Go's sumdb: each side accepts the other's, and both refuse what was touched."""

from __future__ import annotations

import random
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from shared.eventlog.merkle import consistent
from shared.eventlog.notes import Cosigner, Signer
from shared.eventlog.verify import included, key_of, signers
from tests.support.peer import Peer, go_peer
from tests.support.records import SIGNER, MemoryTree

PROOFS, MUTATIONS, SIZE = 1_000, 10_000, 700
TREE = MemoryTree([str(at).encode() for at in range(SIZE)])
WITNESS = Cosigner("witness.example", b"w" * 32)


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with go_peer() as made:
        yield made


def b64(raw: bytes) -> str:
    return b64encode(raw).decode()


def record(index: int, size: int) -> dict[str, Any]:
    """A proof of ours that a leaf stands in a tree, as a request to the peer."""
    proof = [b64(one) for one in TREE.proof(index, size)]
    return {
        "op": "record",
        "size": size,
        "root": b64(ROOTS[size]),
        "index": index,
        "leaf": b64(TREE.hashes[index]),
        "proof": proof,
    }


def tree(old: int, size: int) -> dict[str, Any]:
    proof = [b64(one) for one in TREE.continued(old, size)]
    return {
        "op": "tree",
        "size": size,
        "root": b64(ROOTS[size]),
        "old": old,
        "old_root": b64(ROOTS[old]),
        "proof": proof,
    }


def ours(asked: Mapping[str, Any]) -> bool:
    """What we say to the same request."""
    proof, root = [b64decode(one) for one in asked["proof"]], b64decode(asked["root"])
    if asked["op"] == "record":
        return included(b64decode(asked["leaf"]), asked["index"], asked["size"], proof, root)
    return consistent(asked["old"], asked["size"], proof, b64decode(asked["old_root"]), root)


ROOTS = [TREE.root_at(size) for size in range(SIZE + 1)]
CHANCE = random.Random(20_211_001)
SIZES = [CHANCE.randint(1, SIZE) for _ in range(PROOFS)]
ASKED = [record(CHANCE.randrange(size), size) for size in SIZES] + [
    tree(CHANCE.randint(1, size), size) for size in SIZES
]


def touched(asked: dict[str, Any]) -> dict[str, Any]:
    """The same request with one thing changed: a bit of a hash, a hash more or less, their order, a place.

    Not the size alone: a proof does not bind it (leaf 0 of 5 stands as well in trees of 6 to 8); the checkpoint does.
    """
    changed = {**asked, "proof": list(asked["proof"])}
    hashes = [name for name in ("root", "leaf", "old_root") if name in asked]
    kind = CHANCE.choice(["bit", "bit", "bit", "more", "less", "order", "number"])
    if kind == "less" and changed["proof"]:
        del changed["proof"][CHANCE.randrange(len(changed["proof"]))]
    elif kind == "more":
        changed["proof"].insert(CHANCE.randint(0, len(changed["proof"])), b64(CHANCE.randbytes(32)))
    elif kind == "order" and len(set(changed["proof"])) > 1:
        changed["proof"] = [*changed["proof"][1:], changed["proof"][0]]
    elif kind == "number":
        name = "index" if "index" in asked else "old"
        changed[name] += CHANCE.choice([-1, 1, SIZE])
    else:
        where: Any = changed["proof"] if changed["proof"] and CHANCE.random() < 0.5 else changed
        name = CHANCE.randrange(len(where)) if where is not changed else CHANCE.choice(hashes)
        raw = bytearray(b64decode(where[name]))
        raw[CHANCE.randrange(32)] ^= 1 << CHANCE.randrange(8)
        where[name] = b64(bytes(raw))
    return changed


def test_go_accepts_our_proofs_and_we_do(peer: Peer) -> None:
    assert all(answer["ok"] for answer in peer.ask(ASKED))
    assert all(map(ours, ASKED))


def test_we_accept_the_proofs_of_go(peer: Peer) -> None:
    leaves = [b64(one) for one in TREE.hashes]
    pairs = [(CHANCE.randrange(size), size) for size in SIZES[:300]]
    asked: list[dict[str, Any]] = [{"op": "prove_record", "leaves": leaves, "index": 0}]
    asked += [{"op": "prove_record", "index": index, "size": size} for index, size in pairs]
    asked += [{"op": "prove_tree", "old": index + 1, "size": size} for index, size in pairs]
    answers = peer.ask(asked)[1:]
    for (index, size), said in zip(pairs, answers[: len(pairs)], strict=True):
        assert b64decode(said["root"]) == ROOTS[size]
        assert included(TREE.hashes[index], index, size, [b64decode(one) for one in said["proof"]], ROOTS[size])
    for (index, size), said in zip(pairs, answers[len(pairs) :], strict=True):
        proof = [b64decode(one) for one in said["proof"]]
        assert consistent(index + 1, size, proof, ROOTS[index + 1], ROOTS[size])


def test_what_was_touched_is_refused_by_both_and_never_by_one(peer: Peer) -> None:
    asked = [touched(CHANCE.choice(ASKED)) for _ in range(MUTATIONS)]
    assert not any(answer["ok"] for answer in peer.ask(asked))
    assert not any(map(ours, asked))


def test_notes_are_read_alike(peer: Peer) -> None:
    note = TREE.note(SIZE)
    text = note.rpartition("\n\n")[0] + "\n"
    cosigned = note + WITNESS.cosign(text, 1_764_000_000)
    keys = [SIGNER.verifier_key, WITNESS.verifier_key]
    read = peer.ask([{"op": "note", "note": one, "keys": keys} for one in (note, cosigned)])
    assert [answer["text"] for answer in read] == [text] * 2
    asked = []
    for _ in range(2_000):
        raw = bytearray(cosigned.encode())
        raw[CHANCE.randrange(len(raw))] = CHANCE.randrange(1, 256)
        asked.append({"op": "note", "note_b64": b64(bytes(raw)), "keys": keys})
    for said, one in zip(peer.ask(asked), asked, strict=True):
        assert (said["ok"], said.get("text", "")) == _opened(b64decode(one["note_b64"]), keys), one


def _opened(raw: bytes, keys: list[str]) -> tuple[bool, str]:
    try:
        text, good = signers(raw.decode(), [key_of(key) for key in keys])
    except ValueError:
        return False, ""
    return bool(good), text if good else ""


def test_what_go_signs_we_open_and_it_is_what_we_sign(peer: Peer) -> None:
    seed, text = CHANCE.randbytes(32), "一\n二\n"
    said = peer.ask([{"op": "sign", "name": "go.example", "seed": b64(seed), "text": text}])[0]
    signer = Signer("go.example", seed)
    assert (said["note"], said["key"]) == (signer.sign(text), signer.verifier_key)
