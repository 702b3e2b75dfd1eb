"""How words leave: what a web gateway is handed, and what each of its answers, and none, comes to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from shared.engine.clock import ManualClock, SystemClock
from shared.engine.gateways import GatewayAway, GatewayRefused, WebhookGateway, gateways
from shared.engine.settings import Settings
from tests.support.city import START
from tests.unit.messages import IMPATIENT, PATIENT, SMS, TEXT, nobody_listens

SECRET = b"s" * 32


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


@pytest.mark.parametrize("status", [400, 410, 413, 422])
async def test_what_is_wrong_with_a_message_is_wrong_for_ever(status: int) -> None:
    async with Receiver(status).listening() as gateway:
        with pytest.raises(GatewayRefused, match=f"^HTTP_{status}$"):
            await gateway.send(SMS)


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 405, 408, 409, 425, 429, 500, 502, 503, 504])
async def test_what_may_be_otherwise_later_is_tried_again_and_nothing_is_followed(status: int) -> None:
    """A key that was not renewed, or an address that was not given, says nothing about the message."""
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


async def test_only_the_ways_that_an_operator_has_set_up_are_there(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(SECRET + b"\n")
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


@pytest.mark.parametrize(("scheme", "clear"), [("smtp", True), ("smtps", False), ("smtp+starttls", False)])
def test_a_password_does_not_go_in_clear(scheme: str, clear: bool) -> None:
    mail: dict[str, Any] = {"smtp_url": f"{scheme}://mail.example:25", "smtp_from": "12345@beijing.example"}
    assert Settings(**mail).smtp_username is None
    if clear:
        with pytest.raises(ValidationError, match="in clear"):
            Settings(**mail, smtp_username="hotline")
    else:
        assert Settings(**mail, smtp_username="hotline").smtp_username == "hotline"
