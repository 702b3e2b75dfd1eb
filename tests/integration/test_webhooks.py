"""Webhooks as their receivers meet them: signed, in order, again and again until taken, and never against ourselves."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from standardwebhooks import Webhook

from services.city import APIS
from shared.engine.outbound import ForbiddenAddress, Guard
from shared.engine.webhooks import Deliverer, delivery_plan
from shared.web.webhooks import _deliverer
from tests.support.city import City, Reply
from tests.support.events import append

NewCity = Callable[..., AbstractAsyncContextManager[City]]
REGISTERED = "cn.gov.appeals.intake.appeal-registered.v1"
OUTSIDE = [
    "http://example.com/hook",
    "https://127.0.0.1/hook",
    "https://localhost/hook",
    "https://[::1]/hook",
    "https://[::ffff:127.0.0.1]/hook",
    "https://0177.0.0.1/hook",
    "https://2130706433/hook",
    "https://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/hook",
    "https://192.168.1.1:22/hook",
    "https://user:secret@127.0.0.1/hook",
    "https://no-such-host.invalid/hook",
    "https://例子.测试/hook",
    "ftp://127.0.0.1/hook",
    "file:///etc/passwd",
    "https://127.0.0.1/hook#part",
    "https://" + "a" * 3000,
]


class Receiver:
    """A stranger's server; `answers` decides what it says."""

    def __init__(self) -> None:
        self.answer: Callable[[], int] = lambda: 204
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.tried = 0
        self.url = ""
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def take(self, request: web.Request) -> web.Response:
        self.tried += 1
        status = self.answer()
        body = await request.read()
        await self.may_answer.wait()
        if status < 300:
            self.taken.append(({name.lower(): value for name, value in request.headers.items()}, body))
        return web.Response(status=status, headers={"Location": self.url} if status // 100 == 3 else None)

    @property
    def subjects(self) -> list[str]:
        return [json.loads(body)["subject"] for _, body in self.taken]


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture
async def open_city(new_city: NewCity, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[City]:
    """A city whose operator lets webhooks call loopback."""
    monkeypatch.setattr("shared.engine.webhooks.LOOK_SECONDS", 0.02)
    async with new_city(webhook_networks="127.0.0.0/8") as made:
        yield made


async def subscribe(
    city: City, url: str, role: str = "AUDITOR", types: tuple[str, ...] = (REGISTERED,)
) -> dict[str, Any]:
    reply = await city.post("/intake/v1/webhooks", {"url": url, "types": list(types)}, role)
    assert reply.status == 201, reply.raw
    made: dict[str, Any] = reply.body
    return made


def by_library(secret: str, headers: dict[str, str], body: bytes) -> str:
    """The signature that the standard's own library comes to."""
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    return Webhook(secret).sign(headers["webhook-id"], at, body.decode())


async def took(city: City, receiver: Receiver, count: int) -> None:
    async def taken() -> int:
        return len(receiver.taken)

    await city.until(taken, lambda now: now >= count)


async def state(city: City, webhook_id: str, role: str = "AUDITOR") -> dict[str, Any]:
    listed = (await city.get("/intake/v1/webhooks", role)).body["items"]
    return next(one for one in listed if one["id"] == webhook_id)


async def test_a_delivery_is_signed_so_that_the_library_of_the_standard_verifies_it(
    open_city: City, receiver: Receiver
) -> None:
    made = await subscribe(open_city, receiver.url)
    appeal = await open_city.register()
    await took(open_city, receiver, 1)
    headers, body = receiver.taken[0]
    assert by_library(made["secret"], headers, body) in headers["webhook-signature"].split(" ")
    assert int(headers["webhook-timestamp"]) == int(open_city.clock.now().timestamp())
    event = json.loads(body)
    assert (event["id"], event["subject"]) == (headers["webhook-id"], appeal["appeal_id"])
    assert "王芳" not in body.decode()


async def test_what_fails_is_tried_again_by_the_plan_and_never_skipped(open_city: City, receiver: Receiver) -> None:
    made = await subscribe(open_city, receiver.url)
    receiver.answer = lambda: 500
    appeals = [(await open_city.register())["appeal_id"] for _ in range(3)]
    for number, wait in enumerate(delivery_plan().retry_after_seconds[:4], 1):
        await open_city.until(lambda: state(open_city, made["id"]), lambda s, n=number: s["attempts"] == n)
        open_city.clock.advance(timedelta(seconds=wait))
    receiver.answer = lambda: 204
    open_city.clock.advance(timedelta(hours=3))
    await took(open_city, receiver, 3)
    assert sorted(receiver.subjects) == sorted(appeals)
    assert (await state(open_city, made["id"]))["attempts"] == 0


async def test_when_every_attempt_has_failed_it_is_disabled_and_goes_on_there_when_enabled(
    open_city: City, receiver: Receiver
) -> None:
    made = await subscribe(open_city, receiver.url)
    receiver.answer = lambda: 500
    appeal = (await open_city.register())["appeal_id"]
    plan = delivery_plan().retry_after_seconds
    for number in range(1, len(plan) + 2):
        await open_city.until(
            lambda: state(open_city, made["id"]), lambda s, n=number: s["attempts"] == n or s["state"] == "DISABLED"
        )
        open_city.clock.advance(timedelta(seconds=plan[min(number, len(plan)) - 1]))
    stopped = await open_city.until(lambda: state(open_city, made["id"]), lambda s: s["state"] == "DISABLED")
    assert stopped["reason"] == "every attempt failed" and receiver.tried == len(plan) + 1
    receiver.answer = lambda: 200
    later = (await open_city.register())["appeal_id"]
    assert (await open_city.post(f"/intake/v1/webhooks/{made['id']}/enable", role="AUDITOR")).body["state"] == "ACTIVE"
    await took(open_city, receiver, 2)
    assert Counter(receiver.subjects) == Counter([appeal, later])


@pytest.mark.parametrize(
    ("status", "end"), [(410, "DISABLED"), *((one, "ACTIVE") for one in (301, 302, 303, 307, 308))]
)
async def test_gone_disables_and_a_redirect_is_a_failure(
    open_city: City, receiver: Receiver, status: int, end: str
) -> None:
    made = await subscribe(open_city, receiver.url)
    receiver.answer = lambda: status
    await open_city.register()
    after = await open_city.until(lambda: state(open_city, made["id"]), lambda s: s["attempts"] == 1)
    assert after["state"] == end and receiver.tried == 1


async def test_after_a_rotation_both_secrets_sign_for_a_day(open_city: City, receiver: Receiver) -> None:
    made = await subscribe(open_city, receiver.url)
    rotated = (await open_city.post(f"/intake/v1/webhooks/{made['id']}/rotate", role="AUDITOR")).body
    await open_city.register()
    await took(open_city, receiver, 1)
    open_city.clock.advance(timedelta(hours=25))
    await open_city.register()
    await took(open_city, receiver, 2)
    signed = []
    for headers, body in receiver.taken:
        sent = headers["webhook-signature"].split(" ")
        by = [by_library(one["secret"], headers, body) in sent for one in (made, rotated)]
        signed.append(by)
    assert signed == [[True, True], [False, True]]


async def test_an_integrator_is_told_of_its_own_appeals_only(open_city: City, receiver: Receiver) -> None:
    made = await subscribe(open_city, receiver.url, "INTEGRATOR")
    await open_city.register()
    mine = await open_city.post("/intake/v1/appeals", open_city.appeal(), "INTEGRATOR")
    await took(open_city, receiver, 1)
    await open_city.register()
    await open_city.post("/intake/v1/appeals", open_city.appeal(), "INTEGRATOR")
    await took(open_city, receiver, 2)
    assert receiver.subjects[0] == mine.body["appeal_id"] and len(receiver.taken) == 2
    assert made["secret"].startswith("whsec_")


async def test_webhooks_are_private_to_who_made_them_and_can_be_removed(open_city: City, receiver: Receiver) -> None:
    made = await subscribe(open_city, receiver.url)
    path = f"/intake/v1/webhooks/{made['id']}"
    assert (await open_city.get("/intake/v1/webhooks", "INTEGRATOR")).body["items"] == []
    for verb, what in (("POST", "/rotate"), ("POST", "/enable"), ("DELETE", "")):
        assert (await open_city.send(verb, path + what, "INTEGRATOR")).code == "NOT_FOUND"
    assert "secret" not in await state(open_city, made["id"])
    assert (await open_city.send("DELETE", path, "AUDITOR")).status == 204
    assert (await open_city.get("/intake/v1/webhooks", "AUDITOR")).body["items"] == []
    assert (await open_city.get("/intake/v1/webhooks", "AGENT")).code == "FORBIDDEN"


def refused(reply: Reply) -> bool:
    return (reply.status, reply.code) == (422, "VALIDATION_FAILED") and "errors" in reply.body


@pytest.mark.parametrize("url", OUTSIDE)
async def test_an_address_that_could_be_our_own_is_refused_when_it_is_saved(city: City, url: str) -> None:
    reply = await city.post("/intake/v1/webhooks", {"url": url}, "AUDITOR")
    assert refused(reply) and url.encode() not in reply.raw


async def test_an_unknown_type_and_an_unknown_field_are_refused(city: City) -> None:
    for body in ({"url": "https://example.com/", "types": ["x"]}, {"url": "https://example.com/", "secret": "x"}, {}):
        assert refused(await city.post("/intake/v1/webhooks", body, "AUDITOR"))


async def test_a_name_that_turns_to_an_inner_address_is_refused_when_it_is_called() -> None:
    guard = Guard([])
    with pytest.raises(ForbiddenAddress):
        guard.permits("127.0.0.1")
    assert guard.permits("93.184.216.34") is False
    async with guard.session(2) as http:
        with pytest.raises(ForbiddenAddress):
            await http.post("http://localhost:1/hook")


def test_a_network_that_the_operator_allows_may_be_called() -> None:
    assert Guard(["10.1.0.0/16"]).permits("10.1.2.3") is True
    with pytest.raises(ForbiddenAddress):
        Guard(["10.1.0.0/16"]).permits("10.2.0.1")


async def test_nothing_happens_twice_at_a_receiver_that_takes_everything(open_city: City, receiver: Receiver) -> None:
    await subscribe(open_city, receiver.url)
    appeals = await asyncio.gather(*(open_city.register() for _ in range(30)))
    await took(open_city, receiver, 30)
    assert Counter(receiver.subjects) == Counter(one["appeal_id"] for one in appeals)


@pytest.mark.parametrize(("role", "who"), [("INTEGRATOR", {}), ("DISTRICT_COORDINATOR", {"district": "110105"})])
async def test_a_webhook_of_who_does_not_see_the_whole_city_hears_of_no_account_and_no_pseudonym(
    open_city: City, receiver: Receiver, role: str, who: dict[str, str]
) -> None:
    body = {"url": receiver.url, "types": [REGISTERED]}
    assert (await open_city.post("/intake/v1/webhooks", body, role, **who)).status == 201
    await open_city.post("/intake/v1/appeals", open_city.appeal(location={"district": "110105"}), "INTEGRATOR")
    await took(open_city, receiver, 1)
    event = json.loads(receiver.taken[0][1])["data"]
    stored = await open_city.running["intake"].log.read_stream(event["stream"])
    whole, withheld = json.loads(stored[0].body), {"client", "tracking_hash", "appellant"}
    assert withheld < whole["data"].keys() and "sub" in whole["actor"]
    assert event["data"] == {name: value for name, value in whole["data"].items() if name not in withheld}
    assert event["actor"] == {name: value for name, value in whole["actor"].items() if name != "sub"}


async def test_an_administrator_lists_and_removes_what_others_have_subscribed_to(
    open_city: City, receiver: Receiver
) -> None:
    made = await subscribe(open_city, receiver.url)
    path = f"/intake/v1/webhooks/{made['id']}"
    assert (await state(open_city, made["id"], "MUNICIPAL_ADMIN"))["owner"] == "auditor@city"
    assert (await open_city.get("/intake/v1/webhooks", "INTEGRATOR")).body["items"] == []
    assert (await open_city.send("DELETE", path, "INTEGRATOR")).status == 404
    assert (await open_city.send("DELETE", path, "MUNICIPAL_ADMIN")).status == 204
    assert (await open_city.get("/intake/v1/webhooks", "AUDITOR")).body["items"] == []


async def test_a_webhook_with_which_something_unforeseen_goes_wrong_does_not_stop_the_others(
    open_city: City, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, wrong = Deliverer._attempt, [True]

    async def attempted(self: Deliverer, row: Any, *more: Any) -> int:
        if wrong[0] and row["url"].endswith("?wrong"):
            raise RuntimeError("unforeseen")
        return await attempt(self, row, *more)

    monkeypatch.setattr(Deliverer, "_attempt", attempted)
    for url in (f"{receiver.url}?wrong", receiver.url):
        await subscribe(open_city, url)
    appeals = [(await open_city.register())["appeal_id"] for _ in range(2)]
    await took(open_city, receiver, 2)
    assert sorted(receiver.subjects) == sorted(appeals) and open_city.running["intake"].stopped == {}
    wrong[0] = False
    await took(open_city, receiver, 4)
    assert Counter(receiver.subjects) == Counter(appeals * 2)


async def test_a_webhook_that_is_removed_halfway_through_a_batch_is_not_delivered_the_rest(
    new_city: NewCity, receiver: Receiver
) -> None:
    async with new_city(jobs=False, webhook_networks="127.0.0.0/8") as city:
        made = await subscribe(city, receiver.url, types=())
        running = city.running["intake"]
        await running.log.append(append("s-1", 0, 3))
        receiver.may_answer.clear()
        async with Guard(["127.0.0.0/8"]).session(20) as http:
            serving = _deliverer(running, APIS["intake"].owners)._serve_one(made["id"], http, running.bell)
            served = asyncio.create_task(serving)

            async def tried() -> int:
                return receiver.tried

            await city.until(tried, bool)
            assert (await city.send("DELETE", f"/intake/v1/webhooks/{made['id']}", "AUDITOR")).status == 204
            receiver.may_answer.set()
            await served
        assert receiver.tried == 1
