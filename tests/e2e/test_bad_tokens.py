"""Tokens that prove nothing (B27; RFC 8725): each is 401, nothing of it comes back, nothing happens for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from shared.web.api_keys import new_key
from tests.support.bad_tokens import BAD, EC
from tests.support.city import City
from tests.support.issuer import LIST, Issuer, an_issuer, shown

EVIL = "/evil"


class Guarded(NamedTuple):
    """A city that believes an issuer, and that issuer."""

    city: City
    issuer: Issuer


@pytest_asyncio.fixture(scope="module")
async def guarded(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[Guarded]:
    async with an_issuer() as issuer, new_city(jobs=False, oidc_issuer=issuer.url) as city:
        for kid in issuer.keys:
            assert (await shown(city, issuer.token(kid))).status == 200
        yield Guarded(city, issuer)


async def what_is_wrong(city: City, method: str, path: str, token: str) -> str:
    """Nothing, if the token is refused as it should be."""
    how: Any = {"headers": {"Authorization": f"Bearer {token}"}}
    if method == "POST":
        how["json"] = city.appeal()
    async with city._http.request(method, city.url + path, **how) as reply:
        if (reply.status, reply.content_type) != (401, "application/problem+json"):
            return f"{reply.status} {reply.content_type}"
        body = await reply.json(content_type=None)
        told = f"{body} {reply.headers}"
        pieces = [piece[:60] for piece in token.split(".") if len(piece) > 3]
        if (body["code"], reply.headers["WWW-Authenticate"]) != ("UNAUTHENTICATED", "Bearer"):
            return told
        return "it comes back" if any(piece in told for piece in pieces) else ""


def test_there_are_more_bad_tokens_than_the_forty_that_were_asked_for() -> None:
    assert len(BAD) > 150


async def heads(city: City) -> list[list[int]]:
    return [await running.log.heads() for running in city.running.values()]


WHERE = [("GET", LIST), ("POST", "/intake/v1/appeals"), ("GET", "/intake/v1/events"), ("GET", "/routing/v1/orders")]


@pytest.mark.parametrize(("method", "path"), WHERE)
async def test_every_bad_token_is_refused_alike_and_nothing_happens_for_it(
    guarded: Guarded, method: str, path: str
) -> None:
    city, issuer = guarded
    before = await heads(city)
    tokens = [make(issuer) for make in BAD.values()]
    found = await asyncio.gather(*(what_is_wrong(city, method, path, token) for token in tokens))
    assert {label: wrong for label, wrong in zip(BAD, found, strict=True) if wrong} == {}
    assert await heads(city) == before
    assert not [asked for asked in issuer.asked if asked.startswith(EVIL)]
    assert (await shown(city, issuer.token(EC))).status == 200


@pytest.mark.parametrize("roles", [[], ["GOD"], ["hotline_supervisor"], ["HOTLINE_SUPERVISOR "], ["ANALYST", "ROOT"]])
async def test_a_role_that_we_do_not_know_gives_nothing(guarded: Guarded, roles: list[str]) -> None:
    """The issuer vouches for the caller; what they may do is ours to say."""
    city, issuer = guarded
    reply = await shown(city, issuer.token(EC, roles=roles))
    assert (reply.status, reply.code) == (403, "FORBIDDEN")


async def test_whoever_proves_two_things_proves_nothing(guarded: Guarded) -> None:
    city, issuer = guarded
    good, bad = issuer.token(EC), "Bearer x.y.z"
    key = new_key(bytes).text
    for first, second in ((f"Bearer {good}", bad), (bad, f"Bearer {good}"), (f"Bearer {good}", f"Bearer {good}")):
        headers: Any = [("Authorization", first), ("Authorization", second)]
        async with city._http.get(city.url + LIST, headers=headers) as reply:
            assert reply.status == 401, (first[:12], second[:12])
    both: Any = [("Authorization", f"Bearer {good}"), ("X-API-Key", key)]
    twice: Any = [("X-API-Key", key), ("X-API-Key", key)]
    for headers in (both, both[::-1], twice, [("Authorization", f"Basic {good}")], [("Authorization", good)]):
        async with city._http.get(city.url + LIST, headers=headers) as reply:
            assert reply.status == 401


@pytest.mark.parametrize("where", ["?access_token={}", "?token={}", "?api_key={}"])
async def test_a_token_in_the_address_proves_nothing(guarded: Guarded, where: str) -> None:
    city, issuer = guarded
    reply = await city.get("/intake/v1/appeals" + where.format(issuer.token(EC)), None)
    assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")
