"""The verifier that is given to strangers: an export as written passes, and nothing that was done to it does."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from shared.eventlog import verify
from shared.eventlog.exporting import export
from shared.eventlog.notes import Cosigner, Signer
from shared.eventlog.verify import (
    Bad,
    Checkpoint,
    Policy,
    check_entries,
    check_files,
    check_leaves,
    check_log,
    check_receipt,
    signers,
)
from tests.support.records import SIGNER, MemoryTree, changed, entries

COUNT = 11
FILES = ["entries.ndjson", "leaves", "checkpoint", "checkpoints.json", "verify.py", "manifest"]
TREE = MemoryTree(entries(COUNT))
POLICY = Policy(f"log {SIGNER.verifier_key}\nquorum none\n")
LEAVES = b"".join(TREE.hashes)
WITNESSES = [Cosigner(f"w{n}.example", bytes([n]) * 32) for n in range(3)]
NAMED = "".join(f"witness w{n} {one.verifier_key}  # {n}\n" for n, one in enumerate(WITNESSES))


@pytest_asyncio.fixture
async def folder(tmp_path: Path) -> Path:
    (tmp_path / "export").mkdir()
    await export(TREE, SIGNER, TREE.note(COUNT), [TREE.note(3), TREE.note(8)], tmp_path / "export")  # type: ignore[arg-type]
    return tmp_path / "export"


def check_folder(folder: Path, policy: Policy, known: Sequence[str] = ()) -> Checkpoint:
    """As the command line does."""
    check_files(folder, policy)
    return check_log(folder, policy, known)


def said(lines: list[bytes]) -> tuple[str, int | None]:
    """What is found wrong with these entries, and where."""
    with pytest.raises(Bad) as bad:
        check_entries(lines, LEAVES)
    return str(bad.value).partition(": ")[2].partition(":")[0], bad.value.index


def test_the_file_stays_short_and_needs_nothing_of_ours() -> None:
    text = Path(verify.__file__).read_text()
    assert len(text.splitlines()) < 250
    assert "import shared" not in text and "from shared" not in text and "services" not in text


def test_an_export_as_written_is_as_signed(folder: Path) -> None:
    assert check_folder(folder, POLICY, [TREE.note(5)]).size == COUNT


def test_it_runs_by_itself(folder: Path) -> None:
    def run(*words: object) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-I", folder / "verify.py", *words], capture_output=True, text=True, check=False
        )
        return done.returncode, (done.stdout + done.stderr).strip()

    policy = folder / "policy"
    assert run(policy, folder) == (0, f"ok: {COUNT} entries of jiesu.example/log/intake are as they were signed")
    (folder / "receipt").write_text(receipt(4, COUNT))
    leaf = TREE.hashes[4].hex()
    assert run(policy, folder / "receipt", leaf) == (0, "ok: entry 4 stands in jiesu.example/log/intake")
    assert run(policy, folder / "receipt", TREE.hashes[5].hex())[0] == 1
    assert run(policy, folder / "nowhere")[0] == 2
    assert run()[0] == 2
    (folder / "entries.ndjson").write_bytes(b"".join(one + b"\n" for one in TREE.bodies[:-1]))
    assert run(policy, folder) == (1, "NOT AS SIGNED: entries.ndjson is not the file that was exported")


@pytest.mark.parametrize(
    "name", ["entries.ndjson", "leaves", "checkpoint", "checkpoints.json", "verify.py", "manifest"]
)
def test_no_file_of_an_export_may_change_by_a_byte(folder: Path, name: str) -> None:
    whole, chance = (folder / name).read_bytes(), random.Random(7)
    for _ in range(25):
        (folder / name).write_bytes(changed(whole, chance))
        with pytest.raises((Bad, ValueError)):
            check_folder(folder, POLICY)
    (folder / name).unlink()
    with pytest.raises(OSError):
        check_folder(folder, POLICY)


def test_another_note_that_the_log_has_signed_is_no_manifest(folder: Path) -> None:
    (folder / "manifest").write_bytes((folder / "checkpoint").read_bytes())
    (folder / "verify.py").write_text("print('ok')")
    with pytest.raises(Bad, match="the manifest does not list an export"):
        check_folder(folder, POLICY)


@pytest.mark.parametrize("line", ["AAA", "AAAAA", "A===", "====", "AAAA=", "AA=A"])
def test_a_signature_that_is_no_base64_is_no_signature(line: str) -> None:
    with pytest.raises(Bad, match="not a signed note"):
        signers(f"text\n\n\u2014 x {line}\n", [])


def test_a_size_that_cannot_be_is_seen_at_once() -> None:
    with pytest.raises(Bad, match="cut off"):
        check_leaves(bytes(32), [Checkpoint("x", 10**18, bytes(32))])


def test_entries_that_were_touched_are_named_with_what_was_done() -> None:
    good, forged = TREE.bodies, entries(1)[0]
    assert said([*good[:4], forged, *good[5:]]) == ("edited", 4)
    assert said([*good[:4], *good[5:]]) == ("deleted", 4)
    assert said([*good[:-2], good[-1]]) == ("deleted", COUNT - 2)
    assert said(good[:-1]) == ("cut off", COUNT - 1)
    assert said([]) == ("cut off", 0)
    assert said([*good[:4], forged, *good[4:]]) == ("inserted", 4)
    assert said([*good, forged]) == ("added", COUNT)
    assert said([*good[:4], good[5], good[4], *good[6:]]) == ("swapped with the next", 4)
    assert said([*good[:4], good[8], *good[5:8], good[4], *good[9:]]) == ("moved", 4)
    check_entries(good, LEAVES)


@pytest.mark.parametrize("damage", [{"version": 3}, {"version": 1}, {"time": "2020-01-01T00:00:00.000+08:00"}])
def test_what_was_signed_must_be_sound_as_well(damage: dict[str, object]) -> None:
    """A log that signs a fork of a stream, or a step back in time, has signed its own conviction."""
    bodies = entries(4, streams=1)
    bodies[1] = json.dumps(json.loads(bodies[1]) | damage).encode()
    with pytest.raises(Bad) as bad:
        check_entries(bodies, b"".join(MemoryTree(bodies).hashes))
    assert bad.value.index == 1 and "not the next version" in str(bad.value)


def test_leaf_hashes_that_were_rewritten_are_found_between_two_checkpoints() -> None:
    points = [POLICY.checkpoint(TREE.note(size)) for size in (3, 8, COUNT)]
    check_leaves(LEAVES, points)
    for place, begun in ((0, 0), (2, 0), (3, 3), (7, 3), (8, 8), (10, 8)):
        wrong = LEAVES[: 32 * place] + bytes(32) + LEAVES[32 * (place + 1) :]
        with pytest.raises(Bad, match="rewritten") as bad:
            check_leaves(wrong, points)
        assert bad.value.index == begun
    with pytest.raises(Bad, match="cut off") as bad:
        check_leaves(LEAVES[:-32], points)
    assert bad.value.index == COUNT - 1


def test_two_histories_of_one_log_do_not_go_together(folder: Path) -> None:
    """A checkpoint that somebody else holds shows what this export leaves out or has rewritten."""
    other = MemoryTree([*TREE.bodies[:9], *entries(2)])
    for size in (10, COUNT):
        with pytest.raises(Bad, match="rewritten"):
            check_folder(folder, POLICY, [other.note(size)])
    with pytest.raises(Bad, match="cut off"):
        check_folder(folder, POLICY, [MemoryTree([*TREE.bodies, *entries(1)]).note(COUNT + 1)])


@pytest.mark.parametrize(
    "signer", [Signer(SIGNER.name, bytes(32)), Signer("other.example/log/intake", SIGNER.seed)], ids=["key", "origin"]
)
def test_a_checkpoint_of_another_key_or_origin_is_refused(folder: Path, signer: Signer) -> None:
    (folder / "checkpoint").write_text(TREE.note(COUNT, signer))
    with pytest.raises(Bad):
        check_folder(folder, POLICY)
    with pytest.raises(Bad, match="signed by no log"):
        POLICY.checkpoint(TREE.note(COUNT, signer))


def receipt(index: int, size: int, note: str = "", extra: str = "") -> str:
    lines = "".join(f"{b64encode(one).decode()}\n" for one in TREE.proof(index, size))
    return f"c2sp.org/tlog-proof@v1\n{extra}index {index}\n{lines}\n{note or TREE.note(size)}"


def test_every_receipt_of_every_size_proves_its_entry_and_no_other() -> None:
    for size in range(1, COUNT + 1):
        for index in range(size):
            assert check_receipt(receipt(index, size), TREE.hashes[index], POLICY)[0] == index
            with pytest.raises(Bad, match="does not prove"):
                check_receipt(receipt(index, size), TREE.hashes[index - 1] if index else bytes(32), POLICY)
    assert check_receipt(receipt(2, 5, extra="extra YQ==\n"), TREE.hashes[2], POLICY)[0] == 2


def test_a_receipt_that_was_touched_proves_nothing() -> None:
    whole, chance = receipt(4, COUNT).encode(), random.Random(11)
    for _ in range(300):
        with pytest.raises((Bad, ValueError)):
            check_receipt(changed(whole, chance).decode("utf-8", "replace"), TREE.hashes[4], POLICY)


@pytest.mark.parametrize(
    ("quorum", "enough", "too_few"),
    [
        ("quorum none", [()], []),
        ("quorum w1", [(1,), (0, 1)], [(), (0, 2)]),
        ("group g any w0 w1 w2\nquorum g", [(2,)], [()]),
        ("group g all w0 w1\nquorum g", [(0, 1)], [(0,), (1, 2)]),
        ("group g 2 w0 w1 w2\nquorum g", [(0, 2), (0, 1, 2)], [(0,), (1,)]),
        ("group in any w1 w2\ngroup out all w0 in\nquorum out", [(0, 2)], [(0,), (1, 2)]),
    ],
)
def test_the_policy_says_which_witnesses_are_enough(
    quorum: str, enough: list[tuple[int, ...]], too_few: list[tuple[int, ...]]
) -> None:
    policy = Policy(f"# who\nlog {SIGNER.verifier_key}\n{NAMED}{quorum}\n")
    text = TREE.note(COUNT).rpartition("\n\n")[0] + "\n"

    def cosigned(numbers: tuple[int, ...]) -> str:
        return TREE.note(COUNT) + "".join(WITNESSES[n].cosign(text, 1_700_000_000 + n) for n in numbers)

    for numbers in enough:
        assert policy.checkpoint(cosigned(numbers)).size == COUNT
    for numbers in too_few:
        with pytest.raises(Bad, match="too few witnesses"):
            policy.checkpoint(cosigned(numbers))


@pytest.mark.parametrize(
    "text",
    [
        "log nonsense", "witness w0", "witness w nonsense", "quorum nobody", "group g any nobody", "group g many w0",
        "group none any w0", "group w0 any w0", "something else", "group g any none",
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Policy(NAMED + text)


def test_a_cosignature_of_another_time_or_text_does_not_count() -> None:
    policy = Policy(f"log {SIGNER.verifier_key}\n{NAMED}quorum w0\n")
    text = TREE.note(COUNT).rpartition("\n\n")[0] + "\n"
    for line in (WITNESSES[0].cosign(text.replace("11", "10"), 1), Signer("w0.example", bytes([0]) * 32).sign(text)):
        with pytest.raises(Bad):
            policy.checkpoint(TREE.note(COUNT) + line.rpartition("\n\n")[2])


def test_an_export_in_a_folder_with_foreign_files_names_only_its_own(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "mine.txt").write_text("mine")
    assert check_folder(tmp_path / "copy", POLICY).size == COUNT
