"""Callers whom an OpenID Connect issuer vouches for: its keys are fetched, kept, and followed when they are rotated."""

from __future__ import annotations

import asyncio
import re
from base64 import urlsafe_b64decode
from typing import Any

import aiohttp
import orjson
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

from shared.engine.clock import Clock
from shared.engine.settings import TRUSTED, Settings
from shared.web.identity import Principal
from shared.web.problems import Problem
from shared.web.tokens import LONGEST_TOKEN, Remembered, checked

FETCH_SECONDS, LARGEST_DOCUMENT = 5.0, 256 * 1024
FRESH_SECONDS, SHORTEST_PAUSE_SECONDS = 300.0, 10.0
"""Keys are looked up anew after the one, and for a key that we do not know not more often than the other."""
HEADER_MEMBERS = frozenset({"alg", "kid", "typ"})
"""Keys inside or beside a token (`jwk`, `jku`, `x5u`), and extensions that must be understood (`crit`), are refused."""
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
SHORTEST_RSA = 2048 // 6
"""Characters of a modulus: shorter keys are not believed (NIST SP 800-131A)."""
UNREADABLE = (JoseError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, OverflowError, AttributeError)
"""What the libraries raise for a key that is none."""
KINDS = frozenset({"RSA", "EC", "OKP"})
log = structlog.get_logger()


class Issuer:
    """One issuer, one audience, a list of algorithms (RFC 8725)."""

    def __init__(self, issuer: str, settings: Settings, clock: Clock) -> None:
        self._issuer, self._clock = issuer, clock
        self._audience, self._where = settings.oidc_audience, settings.oidc_jwks
        self._algorithms = settings.oidc_algorithms.split(",")
        self._keys = KeySet([])
        self._remembered = Remembered()
        self._fetched = -FRESH_SECONDS
        self._fetching = asyncio.Lock()

    async def principal(self, token: str) -> Principal:
        """The caller behind a token. Raises UNAUTHENTICATED, and UNAVAILABLE while the issuer has never answered."""
        kid = _kid(token)
        await self._freshen(kid)
        now = self._clock.now().timestamp()
        if known := self._remembered.known(token, now):
            return known
        if not self._keys.keys:
            raise Problem("UNAVAILABLE", "the issuer of tokens cannot be reached now")
        if not self._has(kid):
            raise Problem("UNAUTHENTICATED")
        found = checked(token, self._keys, self._algorithms, self._issuer, self._audience, now)
        return self._remembered.keep(token, found, now)

    def _has(self, kid: str) -> bool:
        return any(key.kid == kid for key in self._keys.keys)

    async def _freshen(self, kid: str) -> None:
        if not self._due(kid):
            return
        async with self._fetching:
            if not self._due(kid):
                return
            self._fetched = asyncio.get_running_loop().time()
            try:
                keys = await self._fetch()
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError, JoseError) as error:
                log.error("cannot fetch the issuer's keys", reason=type(error).__name__)
                return
            if keys.as_dict() != self._keys.as_dict():
                self._keys = keys
                self._remembered.forget()

    def _due(self, kid: str) -> bool:
        age = asyncio.get_running_loop().time() - self._fetched
        return age >= FRESH_SECONDS or (age >= SHORTEST_PAUSE_SECONDS and not self._has(kid))

    async def _fetch(self) -> KeySet:
        timeout = aiohttp.ClientTimeout(FETCH_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            where = self._where
            if where is None:
                found = await _document(http, f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
                if found["issuer"] != self._issuer:
                    raise ValueError("this is another issuer")
                where = str(found["jwks_uri"])
                if not re.match(TRUSTED, where):
                    raise ValueError("its keys come by a way that anybody may change")
            keys = (await _document(http, where))["keys"]
        if not isinstance(keys, list):
            raise ValueError("keys are a list")
        return KeySet([read for key in keys if (read := _read(key))])


def _read(key: Any) -> Key | None:
    """A key of the set; None for what is not for us, or not a key: the others count all the same (RFC 7517, 5)."""
    try:
        return JWKRegistry.import_key(key) if _usable(key) else None
    except UNREADABLE as error:
        log.warning("a key of the issuer cannot be used", reason=type(error).__name__)
        return None


def _usable(key: Any) -> bool:
    """A public key for signatures, with a name; anything else in the set is not for us."""
    if not isinstance(key, dict) or not isinstance(key.get("kid"), str):
        return False
    named = key.get("kty") in KINDS and bool(key.get("kid")) and key.get("use", "sig") == "sig" and "d" not in key
    return named and (key["kty"] != "RSA" or len(str(key.get("n", ""))) >= SHORTEST_RSA)


async def _document(http: aiohttp.ClientSession, url: str) -> Any:
    async with http.get(url, allow_redirects=False) as answer:
        if answer.status != 200:
            raise ValueError(f"it answers {answer.status}")
        read = bytearray()
        async for chunk in answer.content.iter_any():
            read += chunk
            if len(read) > LARGEST_DOCUMENT:
                raise ValueError("it answers too much")
        return orjson.loads(read)


def _kid(token: str) -> str:
    """The name of the key that a token says it was signed with. Raises UNAUTHENTICATED for any other header."""
    try:
        encoded = token.split(".", 1)[0] if len(token) <= LONGEST_TOKEN else ""
        header = orjson.loads(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
        known = header.keys() <= HEADER_MEMBERS and str(header.get("typ", "JWT")).lower() in TYPES
        kid = header["kid"]
    except (ValueError, KeyError, AttributeError, TypeError):
        raise Problem("UNAUTHENTICATED") from None
    if not known or not isinstance(kid, str):
        raise Problem("UNAUTHENTICATED")
    return kid
