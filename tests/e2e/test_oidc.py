"""Callers whom an issuer vouches for: every algorithm, keys that change while we run, an issuer that is away or odd."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from shared.web import oidc
from tests.support.city import City
from tests.support.issuer import ALGORITHMS, DISCOVERY, JWKS, NOW, Issuer, an_issuer, encoded, shown, until_shown

Cities = Callable[..., AbstractAsyncContextManager[City]]
AT_ONCE = 0.02
"""Instead of minutes between two looks at the issuer."""


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are looked up at once for a new name, and anew at every request for known ones."""
    monkeypatch.setattr(oidc, "SHORTEST_PAUSE_SECONDS", AT_ONCE)
    monkeypatch.setattr(oidc, "FRESH_SECONDS", AT_ONCE)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are looked up at once for a new name."""
    monkeypatch.setattr(oidc, "SHORTEST_PAUSE_SECONDS", AT_ONCE)


@asynccontextmanager
async def guarded(new_city: Cities, *algorithms: str, **settings: Any) -> AsyncIterator[tuple[City, Issuer]]:
    async with (
        an_issuer(*algorithms) as issuer,
        new_city(jobs=False, oidc_issuer=issuer.url, **settings) as city,
    ):
        yield city, issuer


async def test_tokens_of_every_algorithm_are_good_and_their_claims_are_the_caller(new_city: Cities) -> None:
    async with guarded(new_city) as (city, issuer):
        for algorithm in ALGORITHMS:
            token = issuer.token(f"k-{algorithm}", sub=f"li-{algorithm}")
            made = await shown(city, token, "/intake/v1/appeals", "POST", json=city.appeal(), headers={})
            assert made.status == 201, (algorithm, made.raw)
            assert (await shown(city, issuer.token(f"k-{algorithm}", roles=["ANALYST"]))).status == 403
        assert issuer.asked == [DISCOVERY, JWKS]
        events = await city.running["intake"].pool.fetch("SELECT body FROM intake.events")
        accounts = {json.loads(bytes(row["body"]))["actor"].get("sub") for row in events}
        assert {f"li-{algorithm}" for algorithm in ALGORITHMS} <= accounts


GOOD: dict[str, dict[str, Any]] = {
    "one of several audiences": {"aud": ["other", "jiesu"]},
    "several roles": {"roles": ["ANALYST", "AUDITOR"]},
    "good from now on": {"nbf": NOW},
    "from a clock that is a minute ahead": {"nbf": NOW + 60, "iat": NOW + 60},
    "with a fraction of a second": {"exp": NOW + 3600.5},
    "with claims that mean nothing to us": {"email": "li@example.cn", "nested": {"a": [1]}, "scope": "openid"},
    "without the time of issue": {"iat": None},
}


async def test_whatever_a_good_token_says_besides_it_is_good(new_city: Cities) -> None:
    async with guarded(new_city, "ES256") as (city, issuer):
        for label, claims in GOOD.items():
            assert (await shown(city, issuer.token("k-ES256", **claims))).status == 200, label
        for header in ({"typ": "at+jwt"}, {"typ": "JWT"}):
            assert (await shown(city, issuer.token("k-ES256", header))).status == 200, header


async def test_a_token_ends_to_the_second_although_it_was_seen_before(new_city: Cities) -> None:
    async with guarded(new_city, "ES256") as (city, issuer):
        token = issuer.token("k-ES256", exp=NOW + 60)
        assert (await shown(city, token)).status == 200
        city.clock.advance(timedelta(seconds=59))
        assert (await shown(city, token)).status == 200
        city.clock.advance(timedelta(seconds=1))
        assert (await shown(city, token)).status == 401


async def test_our_own_tokens_are_refused_once_there_is_an_issuer(new_city: Cities) -> None:
    async with guarded(new_city, "Ed25519") as (city, issuer):
        assert (await city.get("/intake/v1/appeals")).status == 401
        assert (await city.post("/intake/v1/appeals", city.appeal())).status == 401
        head = {"alg": "Ed25519", "kid": "k-Ed25519", "typ": "JWT"}
        _, claims, signature = city.token("AUDITOR").split(".")
        assert (await shown(city, f"{encoded(head)}.{claims}.{signature}")).status == 401
        assert (await shown(city, issuer.token("k-Ed25519"))).status == 200


@pytest.mark.usefixtures("often")
async def test_a_key_that_is_withdrawn_takes_the_tokens_with_it_that_were_found_good(new_city: Cities) -> None:
    async with guarded(new_city, "ES256", "RS256") as (city, issuer):
        old, other = issuer.token("k-ES256"), issuer.token("k-RS256")
        assert [(await shown(city, token)).status for token in (old, other)] == [200, 200]
        issuer.published.remove("k-ES256")
        assert (await until_shown(city, old, 401)).code == "UNAUTHENTICATED"
        assert (await shown(city, other)).status == 200


@pytest.mark.usefixtures("at_once")
async def test_an_issuer_that_is_down_at_the_start_is_503_and_comes_back_by_itself(new_city: Cities) -> None:
    async with an_issuer() as issuer:
        await issuer.stop()
        async with new_city(jobs=False, oidc_issuer=issuer.url) as city:
            for token in (issuer.token("k-ES256"), issuer.token("k-RS256", roles=["AUDITOR"])):
                refused = await shown(city, token)
                assert (refused.status, refused.code) == (503, "UNAVAILABLE")
                assert int(refused.headers["Retry-After"]) > 0
            assert (await shown(city, "x.y.z")).status == 401
            assert (await city.get("/intake/health/live", None)).status == 200
            await issuer.start()
            await until_shown(city, issuer.token("k-ES256"), 200)


@pytest.mark.usefixtures("often")
async def test_an_issuer_that_goes_down_later_leaves_known_keys_good_and_new_ones_unknown(new_city: Cities) -> None:
    async with guarded(new_city) as (city, issuer):
        known = issuer.token("k-RS256")
        assert (await shown(city, known)).status == 200
        await issuer.stop()
        for number in range(20):
            assert (await shown(city, known)).status == 200
            assert (await shown(city, issuer.token("k-RS256", sub=f"wang-{number}"))).status == 200
        new = issuer.token(issuer.add("ES256"))
        assert (await shown(city, new)).status == 401
        await issuer.start()
        await until_shown(city, new, 200)
