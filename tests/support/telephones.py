"""What is on the other side of the gateways: a signed webhook that takes messages, and a mail server."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

SECRET = b"telephones-secret"
LINK = re.compile(r"https?://\S+?(/feedback/v1/\w+/[\w-]+)")


class Telephones:
    """Takes text messages and messages to offices; knows a repeat by its id, as the contract asks of a gateway."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.taken: dict[str, dict[str, Any]] = {}
        self.status = 204
        self.url = ""
        self.taken_one = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        message, sent = json.loads(body), datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
        expected = Webhook(base64.b64encode(SECRET).decode()).sign(message["id"], sent, body.decode())
        assert request.headers["webhook-signature"] == expected  # by the city's clock, whatever that says
        assert request.headers["webhook-id"] == message["id"]
        self.requests[message["id"]] += 1
        if self.status < 300:
            self.taken.setdefault(message["id"], message)
        self.taken_one.set()
        await self.may_answer.wait()
        return web.Response(status=self.status)

    def to(self, number: str, *words: str) -> list[dict[str, Any]]:
        """What was sent to a number, with all of these words in it."""
        return [
            one for one in self.taken.values() if one["to"] == number and all(word in one["text"] for word in words)
        ]

    def settings(self, folder: Path) -> dict[str, Any]:
        """How a city finds it."""
        key = folder / "gateway.key"
        key.write_bytes(SECRET)
        return {"notify_sms": self.url, "notify_work": self.url, "notify_key_file": key}


def link_in(message: dict[str, Any]) -> str:
    """The path that a message's link leads to."""
    found = LINK.search(message["text"])
    assert found, message
    return found[1]


@asynccontextmanager
async def telephones() -> AsyncIterator[Telephones]:
    """A gateway on loopback."""
    made, app = Telephones(), web.Application()
    app.router.add_post("/messages", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/messages"
    try:
        yield made
    finally:
        made.may_answer.set()
        await runner.cleanup()


class Mailbox:
    """A mail server that takes everything. While `may_answer` is not set it does not say so."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.taken_one = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())
            await writer.drain()

        try:
            await say("220 mailbox")
            while line := (await reader.readline()).decode().strip():
                match line.split()[0].upper():
                    case "DATA":
                        await say("354 go on")
                        raw = await reader.readuntil(b"\r\n.\r\n")
                        self.mails.append(email.message_from_bytes(raw[:-5], policy=email.policy.default))
                        self.taken_one.set()
                        await self.may_answer.wait()
                        await say("250 taken")
                    case "QUIT":
                        await say("221 bye")
                        return
                    case _:
                        await say("250 yes")
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    @property
    def ids(self) -> Counter[str]:
        """How often each message came."""
        return Counter(str(mail["Message-ID"]) for mail in self.mails)

    def settings(self) -> dict[str, Any]:
        """How a city finds it."""
        return {"smtp_url": f"smtp://127.0.0.1:{self.port}", "smtp_from": "12345@beijing.example"}


@asynccontextmanager
async def mailbox() -> AsyncIterator[Mailbox]:
    """A mail server on loopback."""
    made = Mailbox()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield made
        finally:
            made.may_answer.set()
