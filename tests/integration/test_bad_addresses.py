"""No webhook calls inwards: not by an address that is saved, not by a name that turns to one."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from shared.engine.outbound import ForbiddenAddress, Guard
from tests.support.bad_addresses import TURNED, URLS
from tests.support.bad_cases import CLOSING, Case, all_refused
from tests.support.city import City

WEBHOOKS = "/intake/v1/webhooks"


async def test_an_address_that_is_not_plainly_outside_is_refused_when_it_is_saved(still: City) -> None:
    cases = [
        Case(
            f"{number} {url[:60]!a}",
            partial(City.post, path=WEBHOOKS, json={"url": url}, role="AUDITOR", headers=CLOSING),
            unsaid=url if len(url) > 12 else "",
        )
        for number, url in enumerate(URLS)
    ]
    replies = await all_refused(still, cases)
    assert all({one["pointer"] for one in reply.body["errors"]} == {"/url"} for reply in replies)
    assert (await still.get(WEBHOOKS, "AUDITOR")).body["items"] == []


@pytest.mark.parametrize("address", TURNED)
async def test_a_name_is_looked_up_again_when_it_is_called_and_refused_if_it_has_turned(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    said = ["93.184.216.34"]

    def lookup(host: str, port: int | None, *args: Any, **kwargs: Any) -> list[Any]:
        family = socket.AF_INET6 if ":" in said[0] else socket.AF_INET
        place = (said[0], port or 0, 0, 0) if ":" in said[0] else (said[0], port or 0)
        return [(family, socket.SOCK_STREAM, 6, "", place)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    guard = Guard([])
    await guard.check("https://partner.example.com/hook")
    said[0] = address
    with pytest.raises(ForbiddenAddress):
        await guard.check("https://partner.example.com/hook")
    async with guard.session(2) as http:
        with pytest.raises(ForbiddenAddress):
            await http.post("https://partner.example.com/hook")


async def test_a_good_address_beside_a_bad_one_does_not_make_it_good(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(host: str, port: int | None, *args: Any, **kwargs: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 443)) for one in ("93.184.216.34", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(ForbiddenAddress):
        await Guard([]).check("https://partner.example.com/hook")


async def test_an_answer_that_never_ends_is_given_up() -> None:
    over = asyncio.Event()

    async def slowly(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await over.wait()
        return answer

    app = web.Application()
    app.router.add_post("/hook", slowly)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with asyncio.timeout(10), Guard(["127.0.0.0/8"]).session(0.3) as http:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
            with pytest.raises((TimeoutError, aiohttp.ClientError)):
                async with http.post(url) as answer:
                    await answer.read()
    finally:
        over.set()  # or the server would wait for its own answer
        await runner.cleanup()
