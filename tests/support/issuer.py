"""A small OpenID issuer of a test's own on loopback: discovery, keys that change, outages."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from tests.support.city import START, City, Reply

AUDIENCE = "jiesu"
NOW = int(START.timestamp())
DISCOVERY, JWKS = "/.well-known/openid-configuration", "/keys"
ALGORITHMS = ("RS256", "PS256", "ES256", "Ed25519")
LIST = "/intake/v1/appeals?limit=1"
Sign = Callable[[bytes], bytes]


def encoded(value: Any) -> str:
    """A part of a token: JSON, or bytes as they are."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).decode().rstrip("=")


def compact(header: Any, claims: Any, sign: Sign) -> str:
    """A token of any header and any claims."""
    begun = f"{encoded(header)}.{encoded(claims)}"
    return f"{begun}.{encoded(sign(begun.encode()))}"


def signing(algorithm: str, key: Any) -> Sign:
    return lambda message: JWSRegistry.algorithms[algorithm].sign(message, key)


def a_key(algorithm: str, kid: str) -> Key:
    """A new key for an algorithm, private."""
    parameters: Any = {"kid": kid, "use": "sig", "alg": algorithm}
    match algorithm[:2]:
        case "RS" | "PS":
            return RSAKey.generate_key(2048, parameters)
        case "ES":
            return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm], parameters)
    return OKPKey.generate_key("Ed25519", parameters)


class Issuer:
    """Signs with all keys it ever had; publishes those in `published`. `documents` are what it answers instead."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, Key]] = {}
        self.published: set[str] = set()
        self.documents: dict[str, Callable[[], Any]] = {}
        self.asked: list[str] = []
        self._port = 0
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def add(self, algorithm: str, kid: str | None = None) -> str:
        """A new key, published from now on; its name."""
        name = kid or f"{algorithm.lower()}-{len(self.keys)}"
        self.keys[name] = algorithm, a_key(algorithm, name)
        self.published.add(name)
        return name

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good ones; what is changed to None is left out."""
        good = {"iss": self.url, "aud": AUDIENCE, "sub": "hotline-li", "roles": ["HOTLINE_SUPERVISOR"], "iat": NOW}
        return {name: value for name, value in (good | {"exp": NOW + 3600} | changes).items() if value is not None}

    def token(self, kid: str, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that this key signed; good, unless the claims or the header say otherwise."""
        algorithm, key = self.keys[kid]
        start = {"alg": algorithm, "kid": kid, "typ": "JWT"} | (header or {})
        return compact(start, self.claims(**claims), signing(algorithm, key))

    def key_set(self) -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False) for kid, (_, key) in self.keys.items() if kid in self.published]}

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._answer))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Nobody listens any more; `start` is the same address again."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.path)
        usual = {DISCOVERY: {"issuer": self.url, "jwks_uri": self.url + JWKS}, JWKS: self.key_set()}
        said = self.documents[request.path]() if request.path in self.documents else usual.get(request.path)
        if isinstance(said, web.StreamResponse):
            return said
        if isinstance(said, list):
            return await _in_pieces(request, said)
        if said is None:
            return web.Response(status=404)
        return web.Response(body=said if isinstance(said, bytes) else json.dumps(said).encode())


async def _in_pieces(request: web.BaseRequest, pieces: list[bytes]) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response


@asynccontextmanager
async def an_issuer(*algorithms: str) -> AsyncIterator[Issuer]:
    """An issuer with a key of every algorithm, listening."""
    issuer = Issuer()
    for algorithm in algorithms or ALGORITHMS:
        issuer.add(algorithm, f"k-{algorithm}")
    await issuer.start()
    try:
        yield issuer
    finally:
        await issuer.stop()


async def shown(city: City, token: str, path: str = LIST, method: str = "GET", **more: Any) -> Reply:
    """What a request with this bearer token is answered."""
    headers = {"Authorization": f"Bearer {token}"} | more.pop("headers", {})
    return await city.send(method, path, None, headers=headers, **more)


async def until_shown(city: City, token: str, status: int, path: str = LIST) -> Reply:
    """Ask until the answer has this status."""
    reply: Reply = await city.until(lambda: shown(city, token, path), lambda reply: reply.status == status)
    return reply
