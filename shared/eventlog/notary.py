"""Who signs the log, and trusts nobody: not the database, not the tree kept there, only its own file.

Before it signs it reads the stored bytes of every new event again, hashes them by a path of its own (verify.py, not
merkle.py), compares the root with the one that the tiles give, and refuses whatever contradicts what it signed before.
The file is on disk before anybody sees the signature; after a crash it holds the old checkpoint or the new one.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

from shared.eventlog.durable import write_durably
from shared.eventlog.notes import Signer
from shared.eventlog.tree import Inconsistent, StoredTree, all_entries
from shared.eventlog.verify import Bad, Checkpoint, Tree, checkpoint_of, key_of, leaf_of, signers


class Notary:
    """Signs the checkpoints of one log (C2SP tlog-checkpoint). `file` lies outside the database."""

    def __init__(self, tree: StoredTree, signer: Signer, file: Path) -> None:
        self._stored, self._signer, self._file = tree, signer, file
        self._own, self._note = _remembered(file, signer)

    @property
    def note(self) -> str | None:
        """The last checkpoint signed."""
        return self._note

    @property
    def size(self) -> int:
        """How many entries it is over."""
        return self._own.size

    async def sign(self, size: int) -> str:
        """The checkpoint over the first `size` entries. Raises Inconsistent, and OSError when it cannot be kept."""
        if size < self._own.size:
            raise Inconsistent(
                f"the database holds {size} entries of {self._signer.name}, {self._own.size} were signed: an older"
                f" backup, or another city; restore the newer one, or name another folder in JIESU_NOTARY"
            )
        grown = Tree(self._own.size, self._own.edge)
        async for entries in all_entries(self._stored, grown.size, size):
            for entry in entries:
                if entry.place != grown.size:
                    break
                grown.add(leaf_of(entry.body))
        if grown.size != size:
            raise Inconsistent(f"entry {grown.size} of {self._signer.name} is not there any more")
        if size and grown.root() != await self._stored.root(size):
            raise Inconsistent(f"{self._signer.name}: entries from {self._own.size} on are not what was integrated")
        checkpoint = Checkpoint(self._signer.name, size, grown.root())
        note = self._signer.sign(text_of(checkpoint))
        await asyncio.to_thread(_remember, self._file, note, grown)
        self._own, self._note = grown, note
        return note


def text_of(checkpoint: Checkpoint) -> str:
    """What is signed."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{b64encode(checkpoint.root).decode()}\n"


def _remembered(file: Path, signer: Signer) -> tuple[Tree, str | None]:
    """What was signed last, from our own file; nothing where there is none yet. Raises Inconsistent."""
    try:
        kept: dict[str, Any] = json.loads(file.read_text())
        text, good = signers(kept["note"], [key_of(signer.verifier_key)])
        checkpoint = checkpoint_of(text)
        tree = Tree(checkpoint.size, [bytes.fromhex(one) for one in kept["edge"]])
    except FileNotFoundError:
        return Tree(), None
    except (Bad, ValueError, KeyError, TypeError):
        raise Inconsistent(f"{file} is damaged; restore it from your backup") from None
    if not good or tree.root() != checkpoint.root:
        raise Inconsistent(f"{file} was not written under this signing.key and JIESU_ORIGIN")
    return tree, kept["note"]


def _remember(file: Path, note: str, tree: Tree) -> None:
    write_durably(file, json.dumps({"note": note, "edge": [one.hex() for one in tree.edge]}))
