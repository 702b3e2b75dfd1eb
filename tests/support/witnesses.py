"""Witnesses for a test: real servers of ours on loopback, that may be down, have been told otherwise, or be evil."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.city import ports
from services.serving import Server
from shared.eventlog.notes import Cosigner, Signer
from shared.eventlog.verify import Policy
from shared.web.witness import Witness
from tests.integration.test_process import free_port
from tests.support.city import SECRETS
from tests.support.waiting import seen, until

NOW = 1_795_000_000


def log_signer(service: str = "intake") -> Signer:
    """Who signs a log of a city under test."""
    return Signer(f"jiesu.example/log/{service}", SECRETS.signing)


LOGS = "".join(f"log {log_signer(service).verifier_key}\n" for service in ports())


class Standing:
    """A witness with a folder and a port of its own, and the statuses of all that it answered."""

    def __init__(self, name: str, folder: Path) -> None:
        self.cosigner, self.port = Cosigner(name, name[0].encode() * 32), free_port()
        folder.mkdir(exist_ok=True)
        self.witness = Witness(Policy(f"{LOGS}quorum none\n"), self.cosigner, folder, lambda: NOW)
        self.statuses: list[int] = []
        self.app: ASGIApp = self.witness.app()

    @property
    def line(self) -> str:
        return f"witness {self.cosigner.name} {self.cosigner.verifier_key} http://127.0.0.1:{self.port}\n"

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        quiet = {"lifespan": "off", "interface": "asgi3", "log_config": None, "access_log": False}
        server = Server(uvicorn.Config(self._counted, host="127.0.0.1", port=self.port, **quiet))  # type: ignore[arg-type]
        task = asyncio.create_task(server.serve())
        try:
            await until(seen(lambda: server.started))
            yield
        finally:
            server.should_exit = True
            await task

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.statuses.append(message["status"])
            await send(message)

        await self.app(scope, receive, counting)


def policy_of(quorum: str, witnesses: Sequence[Standing]) -> str:
    """`quorum` of these: a number, any or all. Whom to believe, for the city and for everybody else."""
    names = " ".join(one.cosigner.name for one in witnesses)
    return f"{LOGS}{''.join(one.line for one in witnesses)}group enough {quorum} {names}\nquorum enough\n"
