"""How words leave for people: one port, a signed webhook for whatever a city sends messages with, and SMTP for mail.

A gateway that recognises the id of a message is `repeatable`: handing it the same one twice is handing it over once.
SMTP is not, so whatever goes wrong after the text has been sent off is told apart from what goes wrong before.
"""

from __future__ import annotations

import asyncio
import re
import smtplib
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
import orjson

from shared.engine.clock import Clock
from shared.engine.settings import Settings
from shared.engine.webhooks import signatures

ONE_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,250}")
FINAL = frozenset({400, 410, 413, 422})
"""Answers that are about this message. All others may be about us or the gateway, and are worth another try."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be said. `to` is a number, an address, or the name of an office, as the gateway understands it."""

    id: str
    channel: str
    to: str
    subject: str
    text: str
    language: str


class GatewayRefused(Exception):
    """It will not be taken, however often it is tried; the message says why, in a word."""


class GatewayAway(Exception):
    """It was not taken this time."""


class GatewayUncertain(Exception):
    """Nobody knows whether it was taken."""


class Gateway(Protocol):
    """One way out."""

    @property
    def repeatable(self) -> bool:
        """Whether it recognises a message by its id."""
        ...

    async def send(self, message: Message) -> None:
        """Hand a message over. Raises GatewayRefused, GatewayAway, GatewayUncertain."""
        ...


class WebhookGateway:
    """POSTs each message as JSON, signed like Standard Webhooks 1.0; `webhook-id` is the idempotency key."""

    repeatable = True

    def __init__(self, url: str, secret: bytes, http: aiohttp.ClientSession, clock: Clock) -> None:
        self._url, self._secret, self._http, self._clock = url, secret, http, clock

    async def send(self, message: Message) -> None:
        keep = ("id", "channel", "to", "subject", "text", "language")
        body = orjson.dumps({name: getattr(message, name) for name in keep})
        timestamp = int(self._clock.now().timestamp())
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures([self._secret], message.id, timestamp, body),
        }
        try:
            async with self._http.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise GatewayAway(type(error).__name__) from error
        if status in FINAL:
            raise GatewayRefused(f"HTTP_{status}")
        if status // 100 != 2:
            raise GatewayAway(f"HTTP_{status}")


@dataclass(frozen=True)
class SmtpGateway:
    """RFC 5321, with STARTTLS where asked for (smtp+starttls) or TLS from the start (smtps)."""

    url: str
    sender: str
    username: str | None
    password: str | None
    timeout_seconds: float
    clock: Clock
    repeatable: bool = False

    async def send(self, message: Message) -> None:
        await asyncio.to_thread(self._send, message)

    def _send(self, message: Message) -> None:
        try:
            mail = self._mail(message).as_bytes()
        except (ValueError, AttributeError) as error:
            raise GatewayRefused("ADDRESS_INVALID") from error
        try:
            client = self._connected()
        except (smtplib.SMTPException, OSError) as error:
            raise GatewayAway(type(error).__name__) from error
        try:
            self._hand_over(client, message.to, mail)
        finally:
            with suppress(smtplib.SMTPException, OSError):
                client.quit()

    def _hand_over(self, client: smtplib.SMTP, to: str, mail: bytes) -> None:
        """Once the text has been sent off only the server's own words tell whether it was taken."""
        handed_over = False
        try:
            _accepted(client.mail(self.sender), GatewayAway)
            _accepted(client.rcpt(to), GatewayRefused)
            handed_over = True
            _accepted(client.data(mail), GatewayRefused)
        except smtplib.SMTPDataError as error:  # DATA itself was refused: no text has left
            raise GatewayAway(f"SMTP_{error.smtp_code}") from error
        except (smtplib.SMTPException, OSError) as error:
            raise (GatewayUncertain if handed_over else GatewayAway)(type(error).__name__) from error

    def _connected(self) -> smtplib.SMTP:
        parts = urlsplit(self.url)
        host, port = parts.hostname or "", parts.port or 0
        if parts.scheme == "smtps":
            context = ssl.create_default_context()
            client: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=self.timeout_seconds, context=context)
        else:
            client = smtplib.SMTP(host, port, timeout=self.timeout_seconds)
        try:
            if parts.scheme == "smtp+starttls":
                client.starttls(context=ssl.create_default_context())
            client.ehlo_or_helo_if_needed()
            if self.username:
                client.login(self.username, self.password or "")
        except BaseException:
            client.close()
            raise
        return client

    def _mail(self, message: Message) -> EmailMessage:
        if not ONE_ADDRESS.fullmatch(message.to):
            raise ValueError("not one address in ASCII")
        mail = EmailMessage(policy=SMTP)
        mail["From"], mail["To"], mail["Subject"] = self.sender, message.to, message.subject
        mail["Message-ID"] = f"<{message.id}@{self.sender.rpartition('@')[2]}>"
        mail["Date"] = format_datetime(self.clock.now())
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers it
        mail.set_content(message.text, cte="base64")
        mail["Content-Language"] = message.language  # set_content clears what begins with Content-
        return mail


def _accepted(answer: tuple[int, bytes], refusal: type[GatewayRefused | GatewayAway]) -> None:
    """Raises what a 5xx answer means at this point; anything that is no answer is for the caller to judge."""
    code = answer[0]
    if code // 100 == 5:
        raise refusal(f"SMTP_{code}")
    if code // 100 == 4:
        raise GatewayAway(f"SMTP_{code}")
    if code // 100 != 2:
        raise smtplib.SMTPServerDisconnected("no answer that can be read")


@asynccontextmanager
async def gateways(settings: Settings, clock: Clock, timeout_seconds: float) -> AsyncIterator[Mapping[str, Gateway]]:
    """The ways out that an operator has set up, by channel."""
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http:
        urls = {"SMS": settings.notify_sms, "WECHAT": settings.notify_wechat, "WORK": settings.notify_work}
        secret = settings.notify_key_file.read_bytes().strip() if settings.notify_key_file else b""
        found: dict[str, Gateway] = {
            channel: WebhookGateway(url, secret, http, clock) for channel, url in urls.items() if url
        }
        if settings.smtp_url and settings.smtp_from:
            password = settings.smtp_password_file.read_text("utf-8").strip() if settings.smtp_password_file else None
            found["EMAIL"] = SmtpGateway(
                settings.smtp_url, settings.smtp_from, settings.smtp_username, password, timeout_seconds, clock
            )
        yield found
