"""How words leave: what a gateway is handed, and what each of its answers, and none, comes to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from shared.engine.clock import ManualClock, SystemClock
from shared.engine.gateways import (
    GatewayAway,
    GatewayRefused,
    GatewayUncertain,
    Message,
    SmtpGateway,
    WebhookGateway,
    gateways,
)
from shared.engine.settings import Settings
from tests.support.city import START

SECRET = b"s" * 32
PATIENT, IMPATIENT = 30.0, 0.2
TEXT = "【12345】市自来水集团已就诉求20261123-0000001答复。\n.第二行以点开头\n..\n谢谢"
SMS = Message("7a322699-133d-5065-8036-2b0f0fbd5602", "SMS", "13800000000", "20261123-0000001", TEXT, "zh")
MAIL = replace(SMS, channel="EMAIL", to="wang@example.cn")
KINDS = (GatewayAway, GatewayRefused, GatewayUncertain)


@asynccontextmanager
async def nobody_listens() -> AsyncIterator[int]:
    """A port that is taken and at which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@dataclass
class Receiver:
    """A web server that takes messages, and answers as told."""

    status: int = 200
    answers: bool = True
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        self.taken.append((dict(request.headers), await request.read()))
        if not self.answers:
            await self.let_go.wait()
        return web.Response(status=self.status, headers={"Location": "/elsewhere"})

    @asynccontextmanager
    async def listening(self, clock: Any = None, patience: float = PATIENT) -> AsyncIterator[WebhookGateway]:
        """The gateway that hands messages to this server."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self.take)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/messages"
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=patience)) as http:
                yield WebhookGateway(url, SECRET, http, clock or ManualClock(START))
        finally:
            self.let_go.set()
            await runner.cleanup()


async def test_a_message_is_handed_over_as_signed_json_under_its_id() -> None:
    receiver = Receiver()
    async with receiver.listening(SystemClock()) as gateway:
        assert gateway.repeatable
        await gateway.send(SMS)
    ((headers, body),) = receiver.taken
    assert headers["webhook-id"] == SMS.id
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert Webhook(SECRET).verify(body, headers) == {
        "id": SMS.id, "channel": "SMS", "to": SMS.to, "subject": SMS.subject, "text": TEXT, "language": "zh",
    }  # fmt: skip


async def test_a_signature_is_for_this_message_this_key_and_this_moment() -> None:
    receiver, clock = Receiver(), SystemClock()
    async with receiver.listening(clock) as gateway:
        await gateway.send(SMS)
    ((headers, body),) = receiver.taken
    later = str(int(headers["webhook-timestamp"]) + 1)
    for key, one, other in (
        (b"o" * 32, headers, body),
        (SECRET, headers, body.replace(b"13800000000", b"13800000001")),
        (SECRET, headers | {"webhook-id": "another"}, body),
        (SECRET, headers | {"webhook-timestamp": later}, body),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(other, one)


async def test_the_same_message_again_is_the_same_request() -> None:
    receiver = Receiver()
    async with receiver.listening() as gateway:
        await gateway.send(SMS)
        await gateway.send(SMS)
    first, again = receiver.taken
    assert first == again
    assert first[0]["webhook-timestamp"] == str(int(START.timestamp()))


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_two_hundred_and_something_means_taken(status: int) -> None:
    async with Receiver(status).listening() as gateway:
        await gateway.send(SMS)


@pytest.mark.parametrize("status", [400, 404, 410, 413, 422])
async def test_what_is_wrong_with_a_message_is_wrong_for_ever(status: int) -> None:
    async with Receiver(status).listening() as gateway:
        with pytest.raises(GatewayRefused, match=f"^HTTP_{status}$"):
            await gateway.send(SMS)


@pytest.mark.parametrize("status", [301, 302, 307, 408, 409, 425, 429, 500, 502, 503, 504])
async def test_what_may_be_otherwise_later_is_tried_again_and_nothing_is_followed(status: int) -> None:
    receiver = Receiver(status)
    async with receiver.listening() as gateway:
        with pytest.raises(GatewayAway, match=f"^HTTP_{status}$"):
            await gateway.send(SMS)
    assert len(receiver.taken) == 1


async def test_a_gateway_that_does_not_answer_is_away() -> None:
    receiver = Receiver(answers=False)
    async with receiver.listening(patience=IMPATIENT) as gateway:
        with pytest.raises(GatewayAway):
            await gateway.send(SMS)


async def test_a_gateway_that_is_not_there_is_away_and_nothing_of_the_message_is_told() -> None:
    async with nobody_listens() as port, aiohttp.ClientSession() as http:
        gateway = WebhookGateway(f"http://127.0.0.1:{port}/{SMS.to}", SECRET, http, ManualClock(START))
        with pytest.raises(GatewayAway) as away:
            await gateway.send(SMS)
    assert str(away.value) == "ClientConnectorError"


CLOSE, SILENT = "close", "silent"
OK = {
    "greeting": "220 ready",
    "EHLO": "250 mail",
    "MAIL": "250 ok",
    "RCPT": "250 ok",
    "DATA": "354 go on",
    "text": "250 ok",
}


@dataclass
class MailServer:
    """Speaks SMTP (RFC 5321); `says` is its answer at each step where that is not the usual one."""

    says: Mapping[str, str] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await self._answer("greeting", writer):
                while (line := await reader.readline()) and await self._step(line, reader, writer):
                    pass
        finally:
            writer.close()

    async def _step(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One command; False ends the conversation."""
        self.heard.append(line.decode().rstrip("\r\n"))
        verb = line[:4].decode().upper()
        if verb == "QUIT":
            writer.write(b"221 bye\r\n")
            return False
        if not await self._answer(verb, writer):
            return False
        if verb == "DATA" and self._said("DATA").startswith("354"):
            self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
            return await self._answer("text", writer)
        return True

    def _said(self, step: str) -> str:
        return self.says.get(step) or OK.get(step, "500 what?")

    async def _answer(self, step: str, writer: asyncio.StreamWriter) -> bool:
        said = self._said(step)
        if said == SILENT:
            await self.let_go.wait()
        if said in {CLOSE, SILENT}:
            return False
        writer.write(f"{said}\r\n".encode())
        await writer.drain()
        return not said.endswith("and closes")

    @asynccontextmanager
    async def listening(self, patience: float = PATIENT) -> AsyncIterator[SmtpGateway]:
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            try:
                yield SmtpGateway(f"smtp://127.0.0.1:{port}", "12345@beijing.example", None, None, patience)
            finally:
                self.let_go.set()

    def mail(self) -> EmailMessage:
        """The only mail, as its reader has it."""
        (raw,) = self.mails
        unstuffed = raw.removesuffix(b".\r\n").replace(b"\n..", b"\n.")
        return cast(EmailMessage, message_from_bytes(unstuffed, policy=policy.default))


async def test_a_mail_is_handed_over_to_its_address_and_from_ours() -> None:
    server = MailServer()
    async with server.listening() as gateway:
        assert not gateway.repeatable
        await gateway.send(MAIL)
    verbs = [line.partition(" ")[0].lower() for line in server.heard]
    assert verbs == ["ehlo", "mail", "rcpt", "data", "quit"]
    assert server.heard[1].lower().startswith("mail from:<12345@beijing.example>")
    assert server.heard[2].lower() == "rcpt to:<wang@example.cn>"


async def test_a_mail_says_what_it_is_and_that_no_machine_should_answer() -> None:
    server = MailServer()
    async with server.listening() as gateway:
        await gateway.send(MAIL)
    mail = server.mail()
    expected = {
        "From": "12345@beijing.example",
        "To": "wang@example.cn",
        "Subject": MAIL.subject,
        "Message-ID": f"<{MAIL.id}@beijing.example>",
        "Auto-Submitted": "auto-generated",
    }
    assert {name: mail[name] for name in expected} == expected
    assert mail.get_content_charset() == "utf-8" and mail.get_content_type() == "text/plain"


@pytest.mark.parametrize("text", [TEXT, ".", "臺北 👍", "a" * 2000, "水" * 800])
async def test_a_text_arrives_as_it_was_written(text: str) -> None:
    server = MailServer()
    async with server.listening() as gateway:
        await gateway.send(replace(MAIL, text=text))
    assert server.mail().get_content().rstrip().splitlines() == text.splitlines()


@pytest.mark.parametrize(
    ("step", "answer", "error", "code"),
    [
        ("greeting", "421 busy and closes", GatewayAway, "SMTP_421"),
        ("MAIL", "451 later", GatewayAway, "SMTP_451"),
        ("MAIL", "550 not you", GatewayRefused, "SMTP_550"),
        ("RCPT", "450 mailbox busy", GatewayAway, "SMTP_450"),
        ("RCPT", "451 greylisted", GatewayAway, "SMTP_451"),
        ("RCPT", "550 no such user", GatewayRefused, "SMTP_550"),
        ("RCPT", "553 no such name", GatewayRefused, "SMTP_553"),
        ("DATA", "451 later", GatewayAway, "SMTP_451"),
        ("DATA", "554 no", GatewayRefused, "SMTP_554"),
        ("text", "451 disk full", GatewayAway, "SMTP_451"),
        ("text", "554 spam", GatewayRefused, "SMTP_554"),
        ("text", "421 going down and closes", GatewayAway, "SMTP_421"),
    ],
)
async def test_an_answer_of_the_server_is_certain(step: str, answer: str, error: type[Exception], code: str) -> None:
    server = MailServer({step: answer})
    async with server.listening() as gateway:
        with pytest.raises(KINDS) as said:
            await gateway.send(MAIL)
    assert (said.type, str(said.value)) == (error, code)
    assert len(server.mails) == (step == "text")


@pytest.mark.parametrize("step", ["greeting", "MAIL", "RCPT"])
@pytest.mark.parametrize("how", [CLOSE, SILENT])
async def test_what_goes_wrong_before_the_text_is_tried_again(step: str, how: str) -> None:
    server = MailServer({step: how})
    async with server.listening(PATIENT if how == CLOSE else IMPATIENT) as gateway:
        with pytest.raises(GatewayAway):
            await gateway.send(MAIL)
    assert not server.mails


@pytest.mark.parametrize("how", [CLOSE, SILENT])
async def test_without_an_answer_to_the_text_nobody_knows(how: str) -> None:
    server = MailServer({"text": how})
    async with server.listening(PATIENT if how == CLOSE else IMPATIENT) as gateway:
        with pytest.raises(GatewayUncertain):
            await gateway.send(MAIL)
    assert len(server.mails) == 1


async def test_where_the_line_breaks_in_the_middle_of_the_text_nobody_knows() -> None:
    server = MailServer({"DATA": "354 go on and closes"})
    async with server.listening() as gateway:
        with pytest.raises(GatewayUncertain):
            await gateway.send(replace(MAIL, text=TEXT * 10_000))


async def test_a_server_that_is_not_there_is_away() -> None:
    async with nobody_listens() as port:
        gateway = SmtpGateway(f"smtp://127.0.0.1:{port}", "12345@beijing.example", None, None, PATIENT)
        with pytest.raises(GatewayAway) as away:
            await gateway.send(MAIL)
    assert str(away.value) == "ConnectionRefusedError"


async def test_what_has_gone_through_in_the_end_has_gone_through_whatever_is_said_to_goodbye() -> None:
    server = MailServer({"text": "250 ok and closes"})
    async with server.listening() as gateway:
        await gateway.send(MAIL)
    assert len(server.mails) == 1


async def test_only_the_ways_that_an_operator_has_set_up_are_there(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"secret\n")
    mail = {"smtp_url": "smtp://mail.example:25", "smtp_from": "12345@beijing.example"}
    web_ = {"notify_sms": "http://sms.example/", "notify_key_file": key}
    for given, expected in (({}, set()), (mail, {"EMAIL"}), (web_, {"SMS"}), (mail | web_, {"EMAIL", "SMS"})):
        async with gateways(Settings(home=tmp_path, **given), ManualClock(START), 1) as found:  # type: ignore[arg-type]
            assert set(found) == expected
            assert {way: one.repeatable for way, one in found.items()} == {way: way != "EMAIL" for way in expected}


@pytest.mark.parametrize(
    "given",
    [{"notify_sms": "http://sms.example/"}, {"notify_work": "http://x/"}, {"smtp_url": "smtp://mail.example:25"}],
)
def test_a_way_without_a_key_or_a_sender_is_refused_at_the_start(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**given)
