"""An issuer that changes its keys, answers oddly or not at all: what is believed, and what is passed over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from joserfc.jwk import OctKey

from shared.engine.clock import ManualClock
from shared.engine.settings import Settings
from shared.web import oidc
from shared.web.problems import Problem
from tests.support.city import START
from tests.support.issuer import ALGORITHMS, DISCOVERY, JWKS, Issuer, an_issuer
from tests.support.waiting import until

GOOD, NOBODY, LATER = "GOOD", "UNAUTHENTICATED", "UNAVAILABLE"
AT_ONCE = 0.02
"""Instead of minutes between two looks at the issuer."""


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are looked up at once for a name that is not known."""
    monkeypatch.setattr(oidc, "SHORTEST_PAUSE_SECONDS", AT_ONCE)


@pytest.fixture
def often(at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """And at every moment for those that are."""
    monkeypatch.setattr(oidc, "FRESH_SECONDS", AT_ONCE)


def client(issuer: Issuer, **settings: Any) -> oidc.Issuer:
    """Our side."""
    return oidc.Issuer(issuer.url, Settings(oidc_issuer=issuer.url, **settings), ManualClock(START))


async def verdict(ours: oidc.Issuer, token: str) -> str:
    try:
        await ours.principal(token)
    except Problem as problem:
        return problem.code
    return GOOD


async def until_verdict(ours: oidc.Issuer, token: str, expected: str) -> None:
    await until(lambda: verdict(ours, token), lambda found: found == expected)


async def test_only_algorithms_that_were_listed_are_taken() -> None:
    async with an_issuer() as issuer:
        for listed in ("ES256", "ES256,PS256", ",".join(ALGORITHMS)):
            ours = client(issuer, oidc_algorithms=listed)
            found = {one: await verdict(ours, issuer.token(f"k-{one}")) for one in ALGORITHMS}
            assert found == {one: GOOD if one in listed.split(",") else NOBODY for one in ALGORITHMS}


async def test_where_the_keys_are_may_be_said_instead_of_discovered() -> None:
    async with an_issuer("ES256") as issuer:
        ours = client(issuer, oidc_jwks=issuer.url + JWKS)
        assert await verdict(ours, issuer.token("k-ES256")) == GOOD
        assert issuer.asked == [JWKS]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_new_key_is_found_and_the_old_one_goes_on(algorithm: str) -> None:
    async with an_issuer("ES256") as issuer:
        ours, old = client(issuer), issuer.token("k-ES256")
        assert await verdict(ours, old) == GOOD
        await until_verdict(ours, issuer.token(issuer.add(algorithm)), GOOD)
        assert await verdict(ours, old) == GOOD


@pytest.mark.usefixtures("often")
async def test_another_key_under_the_same_name_counts_and_the_first_one_no_more() -> None:
    async with an_issuer("ES256") as issuer:
        ours, old = client(issuer), issuer.token("k-ES256")
        assert await verdict(ours, old) == GOOD
        issuer.add("ES256", "k-ES256")
        await until_verdict(ours, old, NOBODY)
        assert await verdict(ours, issuer.token("k-ES256")) == GOOD


async def test_names_that_nobody_knows_do_not_make_us_ask_the_issuer_again_and_again() -> None:
    async with an_issuer("ES256") as issuer:
        ours = client(issuer)
        for number in range(50):
            assert await verdict(ours, issuer.token("k-ES256", {"kid": f"unknown-{number}"})) == NOBODY
        assert issuer.asked == [DISCOVERY, JWKS]


@pytest.mark.usefixtures("often")
async def test_an_issuer_that_publishes_no_key_at_all_vouches_for_nobody() -> None:
    async with an_issuer("ES256") as issuer:
        ours, known = client(issuer), issuer.token("k-ES256")
        assert await verdict(ours, known) == GOOD
        issuer.published.clear()
        await until(lambda: verdict(ours, known), lambda found: found != GOOD)


def _oct() -> dict[str, Any]:
    return OctKey.import_key(b"s" * 32, {"kid": "k-oct"}).as_dict(private=True)  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["https://issuer.example", "", None, 5, "{url}/", "{URL}"])
@pytest.mark.usefixtures("at_once")
async def test_a_discovery_that_names_another_issuer_is_not_followed(name: Any) -> None:
    async with an_issuer("ES256") as issuer:
        wrong = name.format(url=issuer.url, URL=issuer.url.upper()) if isinstance(name, str) else name
        issuer.documents[DISCOVERY] = lambda: {"issuer": wrong, "jwks_uri": issuer.url + JWKS}
        ours = client(issuer)
        assert await verdict(ours, issuer.token("k-ES256")) == LATER
        assert await verdict(ours, issuer.token("k-ES256", iss=wrong)) == LATER
        assert JWKS not in issuer.asked
        del issuer.documents[DISCOVERY]
        await until_verdict(ours, issuer.token("k-ES256"), GOOD)


@pytest.mark.usefixtures("at_once")
async def test_where_the_keys_are_is_asked_anew_after_a_mistake_of_the_issuer() -> None:
    async with an_issuer("ES256") as issuer:
        issuer.documents[DISCOVERY] = lambda: {"issuer": issuer.url, "jwks_uri": issuer.url + "/moved-away"}
        ours = client(issuer)
        assert await verdict(ours, issuer.token("k-ES256")) == LATER
        del issuer.documents[DISCOVERY]
        await until_verdict(ours, issuer.token("k-ES256"), GOOD)


def _redirect(issuer: Issuer) -> web.Response:
    return web.Response(status=302, headers={"Location": issuer.url + "/elsewhere"})


BROKEN: dict[str, Callable[[Issuer], Any]] = {
    "no JSON": lambda issuer: b"<html>",
    "empty": lambda issuer: b"",
    "null": lambda issuer: b"null",
    "a list": lambda issuer: b"[]",
    "no keys": lambda issuer: {},
    "keys that are a text": lambda issuer: {"keys": "k"},
    "keys that are a number": lambda issuer: {"keys": 1},
    "keys that are null": lambda issuer: {"keys": None},
    "deeply nested": lambda issuer: b"[" * 100_000,
    "1 MB": lambda issuer: {**issuer.key_set(), "more": "x" * 2**20},
    "1 MB of spaces first": lambda issuer: b" " * 2**20 + json.dumps(issuer.key_set()).encode(),
    "a redirect": _redirect,
    "an error with keys": lambda issuer: web.json_response(issuer.key_set(), status=500),
    "not found": lambda issuer: None,
    "no UTF-8": lambda issuer: b'{"keys": ["\xff"]}',
}


@pytest.mark.usefixtures("often")
async def test_a_key_set_that_cannot_be_read_changes_nothing() -> None:
    async with an_issuer("ES256", "RS256") as issuer:
        ours = client(issuer)
        known = issuer.token("k-ES256")
        assert await verdict(ours, known) == GOOD
        issuer.documents["/elsewhere"] = issuer.key_set
        new = issuer.token(issuer.add("ES256", "k-new"))
        for label, answer in BROKEN.items():
            issuer.documents[JWKS] = lambda answer=answer: answer(issuer)  # type: ignore[misc]
            before = issuer.asked.count(JWKS)
            again = await until(lambda: verdict(ours, new), lambda _: issuer.asked.count(JWKS) > before + 1)  # noqa: B023
            assert (again, await verdict(ours, known)) == (NOBODY, GOOD), label
        assert "/elsewhere" not in issuer.asked
        del issuer.documents[JWKS]
        await until_verdict(ours, new, GOOD)


def _private(issuer: Issuer, kid: str) -> Any:
    return issuer.keys[kid][1].as_dict(private=True)


STRANGE: dict[str, Callable[[Issuer], list[Any]]] = {
    "a private RSA key": lambda issuer: [_private(issuer, "k-RS256")],
    "a private EC key": lambda issuer: [_private(issuer, "k-PS256")],
    "a symmetric key": lambda issuer: [_oct()],
    "no objects": lambda issuer: [1, "k", None, [], True],
    "a key of no kind": lambda issuer: [{}, {"kid": "k-oct"}, {"kty": 5, "kid": "a"}, {"kty": [], "kid": "b"}],
    "a kind that nobody knows": lambda issuer: [{"kty": "AKP", "kid": "pq", "alg": "ML-DSA-65", "pub": "AAAA"}],
    "a curve that nobody knows": lambda issuer: [
        {"kty": "EC", "crv": "brainpoolP256r1", "kid": "bp", "x": "AA", "y": "AA"}
    ],
    "a point that is not on its curve": lambda issuer: [
        {"kty": "EC", "crv": "P-256", "kid": "off", "x": "AQ", "y": "AQ"}
    ],
    "numbers that are none": lambda issuer: [{"kty": "RSA", "kid": "n", "n": "*", "e": 5}],
    "a key without a name": lambda issuer: [
        {name: value for name, value in issuer.key_set()["keys"][0].items() if name != "kid"}
    ],
    "a key for encryption": lambda issuer: [issuer.keys["k-PS256"][1].as_dict(private=False) | {"use": "enc"}],
}


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("what", STRANGE)
async def test_what_is_no_public_key_for_signatures_is_passed_over_and_the_others_count(what: str) -> None:
    async with an_issuer("ES256", "RS256", "PS256") as issuer:
        good = [issuer.keys["k-ES256"][1].as_dict(private=False)]
        strange = STRANGE[what](issuer)
        issuer.documents[JWKS] = lambda: {"keys": [*strange, *good, *strange]}
        ours = client(issuer)
        assert await verdict(ours, issuer.token("k-ES256")) == GOOD
        for kid in ("k-RS256", "k-PS256"):
            assert await verdict(ours, issuer.token(kid)) == NOBODY


@pytest.mark.usefixtures("at_once")
async def test_a_key_set_that_comes_in_pieces_is_read_to_its_end() -> None:
    async with an_issuer("ES256") as issuer:
        whole = json.dumps(issuer.key_set() | {"more": "x" * 200_000}).encode()
        issuer.documents[JWKS] = lambda: [whole[start : start + 5000] for start in range(0, len(whole), 5000)]
        ours = client(issuer)
        assert await verdict(ours, issuer.token("k-ES256")) == GOOD
