"""A witness (C2SP tlog-witness): signs a checkpoint only when it continues what it signed last for the same log.

It keeps one file per log, on disk before any answer, and nothing else; it needs neither the database nor the city. Run
by somebody else than the log (a bureau of the city, the audit office), it makes a second history impossible to show.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from shared.eventlog.durable import write_durably
from shared.eventlog.merkle import consistent
from shared.eventlog.notes import Cosigner, checkpoint_in
from shared.eventlog.verify import Bad, Checkpoint, Policy, checkpoint_of, signers

LONGEST_REQUEST = 64 * 1024
REQUEST = re.compile(r"old (0|[1-9][0-9]{0,18})\n((?:[A-Za-z0-9+/]{43}=\n){0,63})\n(.*)", re.DOTALL)


class Refusal(Exception):
    """Status, what to say, and as which media type."""

    def __init__(self, status: int, text: str, media_type: str = "text/plain; charset=utf-8") -> None:
        super().__init__(text)
        self.response = Response(f"{text}\n", status, {"Content-Type": media_type})


class Witness:
    """`policy` names the logs that are witnessed; `seconds` is the time since the epoch."""

    def __init__(self, policy: Policy, cosigner: Cosigner, folder: Path, seconds: Callable[[], int]) -> None:
        self._policy, self._cosigner, self._folder, self._seconds = policy, cosigner, folder, seconds

    def app(self) -> Starlette:
        """POST /add-checkpoint; GET /checkpoint?origin= shows what was signed last, for whoever compares."""
        return Starlette(
            routes=[
                Route("/add-checkpoint", self._add, methods=["POST"]),
                Route("/checkpoint", self._last, methods=["GET"]),
            ]
        )

    async def _add(self, request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LONGEST_REQUEST:
                return PlainTextResponse("too long\n", 413)
        try:
            return PlainTextResponse(self.cosigned(body.decode()))
        except Refusal as refusal:
            return refusal.response
        except UnicodeDecodeError:
            return PlainTextResponse("this is not UTF-8\n", 400)

    def cosigned(self, asked: str) -> str:
        """The signature line for a request's checkpoint. Raises Refusal. No await inside: one request at a time."""
        old, proof, note = _parsed(asked)
        text, checkpoint = self._checked(note)
        if old > checkpoint.size:
            raise Refusal(400, "the old size is larger than the checkpoint's")
        last = self.last(checkpoint.origin)
        size = last.size if last else 0
        forked = last is not None and (last.size, last.root) != (checkpoint.size, checkpoint.root)
        if old != size or (old == checkpoint.size and forked):
            raise Refusal(409, str(size), "text/x.tlog.size")
        if last is None or last.size == 0:
            if proof:
                raise Refusal(400, "nothing is to be proven from size 0")
        elif not consistent(old, checkpoint.size, proof, last.root, checkpoint.root):
            raise Refusal(422, "this does not continue what was signed before")
        line = self._cosigner.cosign(text, self._seconds())
        write_durably(self._file(checkpoint.origin), note + line)
        return line

    def last(self, origin: str) -> Checkpoint | None:
        """What was signed last for a log."""
        note = self._note(origin)
        return checkpoint_in(note) if note is not None else None  # a file that was emptied is damaged, not new

    def _checked(self, note: str) -> tuple[str, Checkpoint]:
        log = self._policy.logs.get(note.partition("\n")[0])
        if log is None:
            raise Refusal(404, "this log is not witnessed here")
        try:
            text, _ = signers(note, [])
            checkpoint = checkpoint_of(text)
        except ValueError as error:
            raise Refusal(400, str(error)) from None
        try:
            signed = bool(signers(note, [log])[1])
        except Bad:
            signed = False
        if not signed:
            raise Refusal(403, "the log has not signed this")
        return text, checkpoint

    async def _last(self, request: Request) -> Response:
        note = self._note(request.query_params.get("origin", ""))
        return PlainTextResponse(note) if note else PlainTextResponse("nothing was signed\n", 404)

    def _note(self, origin: str) -> str | None:
        file = self._file(origin)
        return file.read_text() if file.exists() else None

    def _file(self, origin: str) -> Path:
        return self._folder / f"{sha256(origin.encode()).hexdigest()[:32]}.checkpoint"


def _parsed(asked: str) -> tuple[int, list[bytes], str]:
    found = REQUEST.fullmatch(asked)
    if not found or "\n\n" not in found[3]:
        raise Refusal(400, "this is not an add-checkpoint request")
    return int(found[1]), [b64decode(line) for line in found[2].split()], found[3]
