"""Who signs the log, and trusts nobody: not the database, not the tree kept there, only its own file.

Before it signs it reads the stored bytes of every new event again, hashes them by a path of its own (verify.py, not
merkle.py), compares the root with the one that the tiles give, and refuses whatever contradicts what it signed before.
The file is on disk before anybody sees the signature; after a crash it holds the old checkpoint or the new one.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import IO, Any

from shared.eventlog.durable import write_durably
from shared.eventlog.notes import Signer
from shared.eventlog.tree import Inconsistent, StoredTree, all_entries
from shared.eventlog.verify import Bad, Checkpoint, Tree, checkpoint_of, key_of, leaf_of, signers

LOOK_AGAIN_SECONDS = 0.05


class Notary:
    """Signs the checkpoints of one log (C2SP tlog-checkpoint). `file` lies outside the database.

    Processes of one service may share the file: each takes up what another has signed before it signs itself.
    """

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

    async def take_up(self, published: str) -> None:
        """Without a file yet, go on from what is published, if we signed it and it is what is stored.

        Raises Inconsistent, and OSError when it cannot be kept.
        """
        async with self._alone():
            if self._note is None:
                checkpoint = _ours(published, self._signer, "what is published")
                grown = await self._grown(checkpoint.size)
                if grown.root() != checkpoint.root:
                    raise Inconsistent(f"{self._signer.name}: the first {checkpoint.size} entries are not as published")
                await self._keep(published, grown)

    async def sign(self, size: int) -> str:
        """The checkpoint over the first `size` entries, or over more where another process has signed more meanwhile.

        Raises Inconsistent, and OSError when it cannot be kept.
        """
        async with self._alone():
            if size < self._own.size:
                size = await self._stored.size()
            if size < self._own.size:
                raise Inconsistent(
                    f"the database holds {size} entries of {self._signer.name}, {self._own.size} were signed: an older"
                    f" backup, or another city; restore the newer one, or name another folder in JIESU_NOTARY"
                )
            grown = await self._grown(size)
            if size and grown.root() != await self._stored.root(size):
                raise Inconsistent(f"{self._signer.name}: entries from {self._own.size} on are not what was integrated")
            return await self._keep(
                self._signer.sign(text_of(Checkpoint(self._signer.name, size, grown.root()))), grown
            )

    async def _grown(self, size: int) -> Tree:
        """Our own tree with what has come since, from the stored bytes."""
        grown = Tree(self._own.size, self._own.edge)
        async for entries in all_entries(self._stored, grown.size, size):
            for entry in entries:
                if entry.place != grown.size:
                    break
                grown.add(leaf_of(entry.body))
        if grown.size != size:
            raise Inconsistent(f"entry {grown.size} of {self._signer.name} is not there any more")
        return grown

    async def _keep(self, note: str, grown: Tree) -> str:
        await asyncio.to_thread(_remember, self._file, note, grown)
        self._own, self._note = grown, note
        return note

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Nobody else signs from this file meanwhile; and what another process has signed from it is ours."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("a") as lock:
            await _locked(lock)
            own, note = _remembered(self._file, self._signer)
            if own.size < self._own.size or (note is None and self._note is not None):
                raise Inconsistent(f"{self._file} says less than was signed; restore it from your backup")
            self._own, self._note = own, note
            yield


async def _locked(file: IO[str]) -> None:
    while True:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        else:
            return


def text_of(checkpoint: Checkpoint) -> str:
    """What is signed."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{b64encode(checkpoint.root).decode()}\n"


def _remembered(file: Path, signer: Signer) -> tuple[Tree, str | None]:
    """What was signed last, from our own file; nothing where there is none yet. Raises Inconsistent."""
    try:
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        tree = Tree(0, [bytes.fromhex(one) for one in kept["edge"]])
        checkpoint = _ours(kept["note"], signer, file)
    except FileNotFoundError:
        return Tree(), None
    except (Bad, ValueError, KeyError, TypeError):
        raise Inconsistent(f"{file} is damaged; restore it from your backup") from None
    tree.size = checkpoint.size
    if tree.root() != checkpoint.root:
        raise Inconsistent(f"{file} is damaged; restore it from your backup")
    return tree, kept["note"]


def _ours(note: str, signer: Signer, what: object) -> Checkpoint:
    """Raises Inconsistent unless the checkpoint was signed by this key under this name; Bad when it is none."""
    text, good = signers(note, [key_of(signer.verifier_key)])
    checkpoint = checkpoint_of(text)
    if not good:
        raise Inconsistent(f"{what} was not signed by this signing.key under this JIESU_ORIGIN")
    return checkpoint


def _remember(file: Path, note: str, tree: Tree) -> None:
    write_durably(file, json.dumps({"note": note, "edge": [one.hex() for one in tree.edge]}))
