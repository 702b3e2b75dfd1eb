"""How mails leave: what a mail server is handed, and what each of its answers, and none, comes to (RFC 5321)."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast

import pytest

from shared.engine.clock import ManualClock
from shared.engine.gateways import GatewayAway, GatewayRefused, GatewayUncertain, SmtpGateway
from tests.support.city import START
from tests.unit.messages import IMPATIENT, MAIL, PATIENT, TEXT, nobody_listens

KINDS = (GatewayAway, GatewayRefused, GatewayUncertain)


def at(port: int) -> SmtpGateway:
    """The gateway to the server at this port."""
    return SmtpGateway(f"smtp://127.0.0.1:{port}", "12345@beijing.example", None, None, PATIENT, ManualClock(START))


CLOSE, SILENT, GARBLED = "close", "silent", "welcome"
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
    async def listening(
        self, patience: float = PATIENT, scheme: str = "smtp", user: str | None = None
    ) -> AsyncIterator[SmtpGateway]:
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            try:
                yield replace(at(port), url=f"{scheme}://127.0.0.1:{port}", timeout_seconds=patience, username=user)
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
        "Content-Language": "zh",
    }
    assert {name: mail[name] for name in expected} == expected
    assert mail["Date"].datetime == START
    assert mail.get_content_charset() == "utf-8" and mail.get_content_type() == "text/plain"


@pytest.mark.parametrize("text", [TEXT, ".", "臺北 👍", "a" * 2000, "水" * 800])
async def test_a_text_arrives_as_it_was_written(text: str) -> None:
    server = MailServer()
    async with server.listening() as gateway:
        await gateway.send(replace(MAIL, text=text))
    assert server.mail().get_content().rstrip().splitlines() == text.splitlines()
    (raw,) = server.mails
    assert not set(b"\r\n") & set(raw.replace(b"\r\n", b"")), "RFC 5321, 2.3.8: a line ends with CRLF"
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("to", ["wang@example.cn", "a@b", "o'neil+1!#$%&*/=?^_`{|}~.-@mail-1.example.cn", "1@2.cn"])
async def test_an_address_is_written_as_it_was_left(to: str) -> None:
    server = MailServer()
    async with server.listening() as gateway:
        await gateway.send(replace(MAIL, to=to))
    assert server.heard[2].partition(":")[2] == f"<{to}>"
    assert server.mail()["To"].addresses[0].addr_spec == to


NO_ADDRESSES = [
    *(
        "王@例子.cn",
        "wang@例子.cn",
        "a@[1",
        "a@",
        "a@b.cn\r\nBcc: c@d.cn",
        "a@b.cn\nX: y",
        "a@b.cn\n",
        "",
        "a",
        "@b.cn",
    ),
    *("a b@c.cn", '"a"@b.cn', "a@b@c.cn", "a<b@c.cn", "<a@b.cn>", "a@b.cn>", "a;b@c.cn", "a,b@c.cn", "a@b.cn,c@d.cn"),
    *("a:b@c.cn", "a(b)@c.cn", "a\\b@c.cn", "a\0b@c.cn", "a\x7f@b.cn", "a\u200b@b.cn", "ａ@b.cn", "١@b.cn"),
    *("a@-b.cn", "a@.cn", "a@b_c.cn", "a@[127.0.0.1]", f"{'a' * 65}@b.cn", f"a@{'b' * 252}"),
]


@pytest.mark.parametrize("to", NO_ADDRESSES)
async def test_an_address_that_cannot_be_written_is_refused_before_anybody_is_asked(to: str) -> None:
    async with nobody_listens() as port:
        with pytest.raises(GatewayRefused, match=r"^ADDRESS_INVALID$"):
            await at(port).send(replace(MAIL, to=to))


@pytest.mark.parametrize(
    ("step", "answer", "error", "code"),
    [
        ("greeting", "421 busy and closes", GatewayAway, "SMTPConnectError"),
        ("greeting", "554 no service", GatewayAway, "SMTPConnectError"),
        ("EHLO", "550 not you", GatewayAway, "SMTPHeloError"),
        ("MAIL", "451 later", GatewayAway, "SMTP_451"),
        ("MAIL", "530 log in first", GatewayAway, "SMTP_530"),
        ("MAIL", "550 not you", GatewayAway, "SMTP_550"),
        ("RCPT", "450 mailbox busy", GatewayAway, "SMTP_450"),
        ("RCPT", "451 greylisted", GatewayAway, "SMTP_451"),
        ("RCPT", "550 no such user", GatewayRefused, "SMTP_550"),
        ("RCPT", "553 no such name", GatewayRefused, "SMTP_553"),
        ("DATA", "451 later", GatewayAway, "SMTP_451"),
        ("DATA", "554 no", GatewayAway, "SMTP_554"),
        ("text", "451 disk full", GatewayAway, "SMTP_451"),
        ("text", "550 no such user", GatewayRefused, "SMTP_550"),
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
@pytest.mark.parametrize("how", [CLOSE, SILENT, GARBLED])
async def test_what_goes_wrong_before_the_text_is_tried_again(step: str, how: str) -> None:
    server = MailServer({step: how})
    async with server.listening(IMPATIENT if how == SILENT else PATIENT) as gateway:
        with pytest.raises(GatewayAway):
            await gateway.send(MAIL)
    assert not server.mails


@pytest.mark.parametrize("how", [CLOSE, SILENT, GARBLED, "354 go on", "999"])
async def test_without_an_answer_to_the_text_nobody_knows(how: str) -> None:
    server = MailServer({"text": how})
    async with server.listening(IMPATIENT if how == SILENT else PATIENT) as gateway:
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
        with pytest.raises(GatewayAway) as away:
            await at(port).send(MAIL)
    assert str(away.value) == "ConnectionRefusedError"


async def test_what_has_gone_through_in_the_end_has_gone_through_whatever_is_said_to_goodbye() -> None:
    server = MailServer({"text": "250 ok and closes"})
    async with server.listening() as gateway:
        await gateway.send(MAIL)
    assert len(server.mails) == 1


LOGIN = {"EHLO": "250-mail\r\n250 AUTH PLAIN", "AUTH": "235 come in"}


async def test_we_log_in_where_an_operator_says_so() -> None:
    server = MailServer(LOGIN)
    async with server.listening(user="hotline") as gateway:
        await replace(gateway, password="secret").send(MAIL)
    (said,) = [line.split(" ")[-1] for line in server.heard if line.startswith("AUTH")]
    assert b64decode(said) == b"\0hotline\0secret" and len(server.mails) == 1


REFUSED_AT_THE_DOOR = [
    (LOGIN | {"AUTH": "535 wrong"}, "smtp", "SMTPAuthenticationError"),
    (LOGIN | {"AUTH": "454 later"}, "smtp", "SMTPAuthenticationError"),
    ({}, "smtp", "SMTPNotSupportedError"),
    ({}, "smtp+starttls", "SMTPNotSupportedError"),
    ({"greeting": "554 no"}, "smtp", "SMTPConnectError"),
    ({}, "smtps", "SSLError"),
]


@pytest.mark.parametrize(("says", "scheme", "code"), REFUSED_AT_THE_DOOR)
async def test_whom_the_server_does_not_let_in_tries_again_says_no_address_and_leaves_nothing_open(
    says: dict[str, str], scheme: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[socket.socket] = []
    connect = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda *args: made.append(connect(*args)) or made[-1])
    server = MailServer(says)
    async with server.listening(scheme=scheme, user="hotline") as gateway:
        with pytest.raises(GatewayAway, match=f"^{code}$"):
            await gateway.send(MAIL)
    assert [one.fileno() for one in made] == [-1]
    assert not server.mails and not any("example" in line for line in server.heard)
