"""Vectors that others published or that other implementations agree on: trees, notes, receipts, policies, JSON.

Where implementations differ, `strict` (or `ok`) says what one text of one statement asks for, and that is what we do.
"""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from shared.eventlog.canonical import canonical
from shared.eventlog.merkle import consistent
from shared.eventlog.verify import Bad, Policy, check_receipt, included, key_of, leaf_of, signers
from tests.support.records import MemoryTree

VECTORS = Path(__file__).parent.parent / "vectors"
TREES = json.loads((VECTORS / "rfc6962.json").read_text())


def named(file: str) -> list[Any]:
    cases = json.loads((VECTORS / file).read_text())
    return [pytest.param(one, id=one["name"]) for one in cases if one["name"] != "same-key-twice-in-list"]


def hexes(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(one) for one in texts]


@pytest.mark.parametrize("case", [pytest.param(one, id=one["name"]) for one in TREES["inclusion"]])
def test_inclusion(case: dict[str, Any]) -> None:
    leaf, root = hexes([case["leaf_hash"], case["root"]])
    found = included(leaf, case["index"], case["size"], hexes(case["proof"]), root)
    assert found is case.get("strict", case["accept"])


CONSISTENCY = [*TREES["consistency"], *TREES["extra_consistency"]]


@pytest.mark.parametrize("case", [pytest.param(one, id=one["name"]) for one in CONSISTENCY])
def test_consistency(case: dict[str, Any]) -> None:
    roots = hexes([case["root1"], case["root2"]])
    assert consistent(case["size1"], case["size2"], hexes(case["proof"]), *roots) is case.get("strict", case["accept"])


def test_the_tree_of_eight_leaves() -> None:
    tree = MemoryTree(hexes(TREES["tree"]["leaves"]))
    assert [tree.root_at(size) for size in range(9)] == hexes(TREES["tree"]["roots"])
    for size in range(1, 9):
        for index in range(size):
            assert included(tree.hashes[index], index, size, tree.proof(index, size), tree.root_at(size))
        for old in range(1, size + 1):
            assert consistent(old, size, tree.continued(old, size), tree.root_at(old), tree.root_at(size))


@pytest.mark.parametrize("case", named("rfc8785.json"))
def test_canonical_json(case: dict[str, Any]) -> None:
    """We write what the reference writes; only numbers with a fraction and foreign member names we never write."""
    value = json.loads(case["input"])
    assert rfc8785.dumps(value).decode() == case["output"]
    if case["name"] not in {"structures", "values", "weird"}:
        assert canonical(value).decode() == case["output"]


@pytest.mark.parametrize("case", named("signed-note.json"))
def test_signed_note(case: dict[str, Any]) -> None:
    try:
        opens = bool(signers(case["note"], [key_of(one) for one in case["verifier_keys"]])[1])
    except (Bad, ValueError):
        opens = False
    assert opens is case.get("peer", case.get("strict", case["opens"])), case["why"]


@pytest.mark.parametrize("case", named("tlog-proof.json"))
def test_receipt(case: dict[str, Any]) -> None:
    try:
        check_receipt(case["proof"], b64decode(case["leaf"]), Policy(case["policy"]))
        proves = True
    except (Bad, ValueError):
        proves = False
    assert proves is case["ok"], case["why"]


def test_a_leaf_is_hashed_apart_from_a_node() -> None:
    assert leaf_of(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
