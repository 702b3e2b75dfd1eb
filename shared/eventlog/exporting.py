"""A log as a folder that can be checked without us: entries, leaf hashes, checkpoints and a signed list of the files.

The format is described in docs/record.md; verify.py, a copy of which lies in every folder, checks it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from hashlib import file_digest
from pathlib import Path

from shared.eventlog import verify
from shared.eventlog.notes import Signer, checkpoint_in
from shared.eventlog.tree import StoredTree, all_entries

MARK = "jiesu-export/v1"
LEAVES_AT_ONCE = 100_000


async def export(
    tree: StoredTree,
    signer: Signer,
    checkpoint: str,
    earlier: Iterable[str],
    folder: Path,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Write what a checkpoint covers into a folder, as it is stored now, whether that is what was signed or not."""
    size = checkpoint_in(checkpoint).size
    with (folder / "entries.ndjson").open("wb") as file:
        async for entries in all_entries(tree, 0, size):
            file.writelines(one.body + b"\n" for one in entries)
            progress(len(entries))
    with (folder / "leaves").open("wb") as file:
        for first in range(0, size, LEAVES_AT_ONCE):
            file.writelines(await tree.leaves(first, min(size, first + LEAVES_AT_ONCE)))
    _finish(folder, signer, checkpoint, list(earlier))


def _finish(folder: Path, signer: Signer, checkpoint: str, earlier: list[str]) -> None:
    (folder / "checkpoint").write_text(checkpoint, encoding="utf-8")
    (folder / "checkpoints.json").write_text(json.dumps(earlier, ensure_ascii=False), encoding="utf-8")
    (folder / "policy").write_text(f"log {signer.verifier_key}\nquorum none\n", encoding="utf-8")
    (folder / "verify.py").write_bytes(Path(verify.__file__).read_bytes())
    manifest = signer.sign(f"{signer.name}\n{MARK}\n{_listed(folder)}")
    (folder / "manifest").write_text(manifest, encoding="utf-8")


def _listed(folder: Path) -> str:
    lines = []
    for path in sorted(folder.iterdir()):
        if path.name != "manifest":
            with path.open("rb") as file:
                lines.append(f"{file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return "".join(lines)
