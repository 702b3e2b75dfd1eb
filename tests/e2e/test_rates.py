"""How often anybody may ask, over HTTP: guesses by address, requests by account; and what answers say about it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from shared.web.api_keys import new_key
from tests.support.city import City, Reply

Cities = Callable[..., AbstractAsyncContextManager[City]]
LIST, GATEWAY = "/intake/v1/appeals?limit=1", "127.0.0.0/8"
SLOW = 0.01
"""So few a second that nothing comes back while a test looks."""


def said(reply: Reply) -> list[int]:
    return [int(reply.headers[f"RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset")]


def refused(reply: Reply) -> bool:
    kind = reply.headers["Content-Type"] == "application/problem+json"
    return kind and (reply.status, reply.code) == (429, "TOO_MANY_REQUESTS") and int(reply.headers["Retry-After"]) > 0


async def guess(city: City, address: str, key: str | None = None, bearer: str | None = None) -> Reply:
    """Somebody at this address tries to be somebody."""
    proof = {"Authorization": f"Bearer {bearer}"} if bearer else {"X-API-Key": key or new_key(os.urandom).text}
    return await city.get(LIST, None, headers={"X-Forwarded-For": address} | proof)


async def test_whoever_guesses_is_slowed_down_by_address_and_nobody_else_is(new_city: Cities) -> None:
    async with new_city(jobs=False, rate_failed=SLOW, trusted_proxies=GATEWAY) as city:
        first, second = [await guess(city, "198.51.100.1") for _ in range(2)]
        assert (first.status, refused(second)) == (401, True)
        assert 90 <= int(second.headers["Retry-After"]) <= 100
        for other in ("198.51.100.2", "2001:db8::1"):
            assert (await guess(city, other)).status == 401, other
            assert refused(await guess(city, other)), other
        assert refused(await guess(city, "2001:db8::ffff"))
        assert refused(await guess(city, "127.0.0.1, 198.51.100.1"))
        assert refused(await guess(city, "198.51.100.1", "no key at all"))
        assert refused(await guess(city, "198.51.100.1", bearer="x.y.z"))
        assert (await guess(city, "198.51.100.1", bearer=city.token("AUDITOR"))).status == 200


async def test_whoever_guesses_in_a_form_is_slowed_down_and_told_so(new_city: Cities) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with new_city(jobs=False, rate_failed=SLOW) as city:
        replies = [
            await city.post("/intake/open311/v2/requests.json", None, None, data=b"api_key=guessed", headers=form)
            for _ in range(2)
        ]
        assert replies[0].status == 403 and refused(replies[1])


async def test_an_account_that_is_noisy_is_limited_and_others_are_not(new_city: Cities) -> None:
    async with new_city(jobs=False, rate_account=SLOW) as city:
        first, second = [await city.get(LIST, sub="noisy") for _ in range(2)]
        assert (first.status, said(first)[:2]) == (200, [1, 0])
        assert refused(second) and said(second)[:2] == [1, 0]
        assert said(second)[2] >= int(second.headers["Retry-After"])
        posted = await city.post("/intake/v1/appeals", city.appeal(), "AGENT", sub="noisy")
        assert refused(posted)
        for number in range(20):
            assert (await city.get(LIST, sub=f"quiet-{number}")).status == 200
        assert (await city.get("/intake/health/live", None)).status == 200


async def test_who_has_no_account_is_limited_by_address(new_city: Cities) -> None:
    path = "/intake/v1/track/20261123-0000001"
    async with new_city(jobs=False, rate_address=SLOW, trusted_proxies=GATEWAY) as city:
        one, other = {"X-Forwarded-For": "198.51.100.1"}, {"X-Forwarded-For": "198.51.100.2"}
        assert [(await city.get(path, None, headers=one)).status for _ in range(2)] == [404, 429]
        assert (await city.get(path, None, headers=other)).status == 404
        assert (await city.get(LIST)).status == 200


async def test_it_goes_on_once_there_is_room_again(new_city: Cities) -> None:
    async with new_city(jobs=False, rate_account=2) as city:
        await city.until(lambda: city.get(LIST, sub="busy"), refused)
        back = await city.until(lambda: city.get(LIST, sub="busy"), lambda reply: not refused(reply))
        assert (back.status, said(back)[0]) == (200, 4)


ANSWERS: list[tuple[str, str, str | None, int]] = [
    ("GET", LIST, "AUDITOR", 200),
    ("GET", "/intake/v1/appeals/nobody", "AUDITOR", 404),
    ("GET", "/intake/v1/appeals?limit=x", "AUDITOR", 422),
    ("GET", LIST, "ANALYST", 403),
    ("POST", "/intake/v1/appeals", "AGENT", 422),
    ("GET", "/intake/v1/track/x", None, 404),
    ("GET", "/routing/v1/orders?limit=1", "AUDITOR", 200),
]


async def test_every_answer_says_how_much_is_left(new_city: Cities) -> None:
    async with new_city(jobs=False, rate_account=SLOW * 400, rate_address=SLOW * 400) as city:
        for number, (method, path, role, status) in enumerate(ANSWERS):
            data = b"{}" if method == "POST" else None
            reply = await city.send(method, path, role, data=data, sub=f"account-{number}")
            assert (reply.status, said(reply)) == (status, [8, 7, 1]), path
