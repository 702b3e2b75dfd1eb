"""A witness signs what continues what it signed before, and answers everything else as C2SP tlog-witness says."""

from __future__ import annotations

from base64 import b64encode
from itertools import count
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from shared.eventlog.notes import Cosigner, Signer
from shared.eventlog.verify import Bad, Policy, signers
from shared.eventlog.verify import key_of as key
from shared.web.witness import LONGEST_REQUEST, Witness
from tests.support.asgi import ask
from tests.support.records import SIGNER, MemoryTree, entries

TREE, FORKED = MemoryTree(entries(20)), MemoryTree([*entries(9), *entries(11)])
COSIGNER = Cosigner("audit.example", b"a" * 32)
POLICY = Policy(f"log {SIGNER.verifier_key}\nquorum none\n")
NOW = 1_764_000_000


def witness(folder: Path) -> ASGIApp:
    return Witness(POLICY, COSIGNER, folder, lambda: NOW).app()


def asked(old: int, size: int, tree: MemoryTree = TREE, note: str = "", proof: list[bytes] | None = None) -> str:
    hashes = proof if proof is not None else tree.continued(old, size) if 0 < old <= size else []
    lines = "".join(f"{b64encode(one).decode()}\n" for one in hashes)
    return f"old {old}\n{lines}\n{note or tree.note(size)}"


async def answer(app: ASGIApp, body: str | bytes) -> tuple[int, str]:
    got = await ask(app, "POST", "/add-checkpoint", body if isinstance(body, bytes) else body.encode())
    return got.status, got.text


async def test_it_signs_a_history_as_it_grows_and_again_when_nothing_happened(tmp_path: Path) -> None:
    client, old = witness(tmp_path), 0
    for size in (0, 1, 7, 8, 8, 20):
        status, line = await answer(client, asked(old, size))
        assert status == 200
        _, good = signers(TREE.note(size) + line, [key(COSIGNER.verifier_key)])
        assert good, size
        old = size
    shown = (await ask(client, "GET", "/checkpoint", query=f"origin={SIGNER.name}")).text
    assert shown.startswith(f"{SIGNER.name}\n20\n") and "— audit.example " in shown
    assert (await ask(client, "GET", "/checkpoint", query="origin=x")).status == 404


async def test_it_remembers_over_a_restart(tmp_path: Path) -> None:
    await answer(witness(tmp_path), asked(0, 8))
    assert await answer(witness(tmp_path), asked(0, 9)) == (409, "8\n")
    assert (await answer(witness(tmp_path), asked(8, 9)))[0] == 200


async def test_a_second_history_finds_no_signature(tmp_path: Path) -> None:
    """Not even when the log's own key signs it: stolen, or the log itself."""
    client = witness(tmp_path)
    assert (await answer(client, asked(0, 12)))[0] == 200
    for size in (12, 20):
        refused = 409 if size == 12 else 422  # C2SP tlog-witness: another root at the same size is a conflict
        assert (await answer(client, asked(12, size, FORKED)))[0] == refused
        assert (await answer(client, asked(12, size, FORKED, proof=TREE.continued(12, size))))[0] == refused
    assert (await answer(client, asked(12, 20)))[0] == 200


async def test_a_log_that_goes_back_is_told_how_far_it_had_come(tmp_path: Path) -> None:
    client = witness(tmp_path)
    await answer(client, asked(0, 12))
    got = await ask(client, "POST", "/add-checkpoint", asked(7, 9).encode())
    assert (got.status, got.text) == (409, "12\n")
    assert got.headers["content-type"] == "text/x.tlog.size"
    assert (await answer(client, asked(12, 9, proof=[])))[0] == 400


async def test_a_file_that_was_emptied_is_damaged_and_not_the_beginning(tmp_path: Path) -> None:
    client = witness(tmp_path)
    assert (await answer(client, asked(0, 12)))[0] == 200
    (kept,) = tmp_path.glob("*.checkpoint")
    kept.write_text("")
    with pytest.raises(Bad):
        await answer(client, asked(0, 12, FORKED))


OTHER = Signer("other.example/log", SIGNER.seed)
STOLEN_NAME = Signer(SIGNER.name, bytes(32))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("old 0\n", 400),
        ("old 0\n\n", 400),
        (f"old -1\n\n{TREE.note(3)}", 400),
        (f"old 01\n\n{TREE.note(3)}", 400),
        (f"old x\n\n{TREE.note(3)}", 400),
        (f"size 0\n\n{TREE.note(3)}", 400),
        (f"old 0\nAAAA\n\n{TREE.note(3)}", 400),
        (asked(0, 3, proof=[bytes(32)]), 400),
        (f"old 0\n{'A' * 43}=\n" + "", 400),
        ("old 0\n" + f"{'A' * 43}=\n" * 64 + f"\n{TREE.note(3)}", 400),
        (asked(0, 3, note=OTHER.sign(f"{OTHER.name}\n3\n{'A' * 43}=\n")), 404),
        (asked(0, 3, note=TREE.note(3, STOLEN_NAME)), 403),
        (asked(0, 3, note=TREE.note(3).replace("\n3\n", "\n4\n")), 403),
        (asked(0, 3, note=TREE.note(3).rpartition("— ")[0] + "— x\n"), 400),
        (asked(0, 3, note=SIGNER.sign(f"{SIGNER.name}\nthree\n")), 400),
        (asked(5, 3, proof=[]), 400),
        (b"old 0\n\n\xff\xfe", 400),
        ("x" * (LONGEST_REQUEST + 1), 413),
    ],
    ids=count(),  # bodies are signed anew in every run; a case keeps its name
)
async def test_what_is_no_request_is_refused_and_leaves_nothing(tmp_path: Path, body: str | bytes, status: int) -> None:
    assert (await answer(witness(tmp_path), body))[0] == status
    assert not list(tmp_path.iterdir())


async def test_what_it_cannot_keep_it_does_not_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shared.web.witness.write_durably", full)
    with pytest.raises(OSError):
        await answer(witness(tmp_path), asked(0, 3))
