"""Asking witnesses for their signatures (C2SP tlog-witness): a checkpoint is published when enough of them agree.

A witness keeps what it signed last and signs only what continues it, so a log that shows two histories, or loses
entries that it had shown, finds nobody to sign for it.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Sequence

import aiohttp
import structlog

from shared.engine.tasks import end_all
from shared.eventlog.notes import checkpoint_in
from shared.eventlog.tree import StoredTree
from shared.eventlog.verify import Bad, Policy, signers

ANSWER_SECONDS, GRACE_SECONDS = 5.0, 0.5
LONGEST_ANSWER = 64 * 1024
log = structlog.get_logger()


class Witnesses:
    """Those that a policy names with an address."""

    def __init__(self, policy: str, tree: StoredTree) -> None:
        self._policy, self._tree = Policy(policy), tree
        lines = [line.partition("#")[0].split() for line in policy.splitlines()]
        self._urls = {words[1]: words[3] for words in lines if words[:1] == ["witness"] and len(words) > 3}
        self._known: dict[str, int] = dict.fromkeys(self._urls, 0)

    async def cosigned(self, note: str) -> str | None:
        """The note with the signatures of a quorum, or None when too few have answered."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(ANSWER_SECONDS)) as http:
            asked = [asyncio.create_task(self._asked(http, name, note)) for name in self._urls]
            try:
                return await self._enough(note, asked)
            finally:
                await end_all(asked)

    async def _enough(self, note: str, asked: Sequence[asyncio.Task[str | None]]) -> str | None:
        """With those who answer soon; once there is a quorum one that is slow keeps nobody waiting."""
        waiting = set(asked)
        while waiting:
            grace = GRACE_SECONDS if self._met(note) else None
            done, waiting = await asyncio.wait(waiting, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            note += "".join(line for one in done if (line := one.result()))
        return note if self._met(note) else None

    def _met(self, note: str) -> bool:
        return self._policy.met(self._policy.quorum, signers(note, self._policy.witnesses.values())[1])

    async def _asked(self, http: aiohttp.ClientSession, name: str, note: str) -> str | None:
        """This witness's signature line; None when it gives none that is good."""
        try:
            status, answer = await self._post(http, name, note)
            if status == 409 and answer.strip().isdecimal():
                self._known[name] = int(answer)
                status, answer = await self._post(http, name, note)
            if status == 200 and (line := self._signature(name, note, answer)):
                self._known[name] = checkpoint_in(note).size
                return line
            log.error("a witness does not sign", witness=name, status=status)
        except (aiohttp.ClientError, TimeoutError, Bad, ValueError) as error:
            log.warning("a witness does not answer", witness=name, reason=type(error).__name__)
        return None

    def _signature(self, name: str, note: str, answer: str) -> str | None:
        """The line that is this witness's own; whatever else it has sent must not spoil the note."""
        for line in answer.split("\n"):
            try:
                if signers(f"{note}{line}\n", [self._policy.witnesses[name]])[1]:
                    return f"{line}\n"
            except Bad:
                continue
        return None

    async def _post(self, http: aiohttp.ClientSession, name: str, note: str) -> tuple[int, str]:
        size, old = checkpoint_in(note).size, self._known[name]
        proof = await self._tree.consistency(old, size) if 0 < old < size else []
        lines = "".join(f"{b64encode(one).decode()}\n" for one in proof)
        url, body = f"{self._urls[name].rstrip('/')}/add-checkpoint", f"old {old}\n{lines}\n{note}"
        async with http.post(url, data=body, allow_redirects=False) as got:
            answer = b""
            while len(answer) < LONGEST_ANSWER and (more := await got.content.read(LONGEST_ANSWER)):
                answer += more
            return got.status, answer.decode()
