"""Who comes in: every request passes here once, before anything is read for it.

A bearer token of the issuer (of our own in the embedded mode), or an API key; then the rate, then whether a role gives
the scope. What fails costs the address a place in a smaller bucket and is soon answered with 429; who proves themselves
is never kept out by what others fail at behind the same gateway.
"""

from __future__ import annotations

import asyncpg
from starlette.requests import Request

from shared.engine.clock import Clock
from shared.engine.settings import Settings
from shared.web.api_keys import ApiKeys
from shared.web.identity import ANYBODY, Principal, Scope
from shared.web.oidc import Issuer
from shared.web.problems import Problem
from shared.web.rates import Addresses, Buckets
from shared.web.tokens import Tokens

HEADERS = "jiesu.headers"
"""Where in a request's scope the headers wait that its answer is to carry."""


class Doors:
    """The same for every service of a process. Without an issuer, tokens of our own are taken."""

    def __init__(self, tokens: Tokens, settings: Settings, pool: asyncpg.Pool, clock: Clock) -> None:
        self._tokens, self._keys = tokens, ApiKeys(pool, clock)
        self._issuer = Issuer(settings.oidc_issuer, settings, clock) if settings.oidc_issuer else None
        self._addresses = Addresses(settings.trusted_proxies)
        self._accounts = Buckets(settings.rate_account)
        self._anybody = Buckets(settings.rate_address)
        self._failed = Buckets(settings.rate_failed)

    async def admit(self, request: Request, scope: Scope) -> Principal:
        """The caller, with a role that has this scope.

        Raises UNAUTHENTICATED, FORBIDDEN, TOO_MANY_REQUESTS; UNAVAILABLE when nobody can say who it is.
        """
        if scope is Scope.PUBLIC:
            self._take(request, self._anybody, self._addresses.of(request))
            return ANYBODY
        principal = await self._known(request, *_presented(request))
        self._take(request, self._accounts, principal.sub)
        principal.require(scope)
        return principal

    async def holder(self, request: Request, text: str) -> Principal:
        """Who holds an API key or a bearer token that came otherwise than in a header (Open311). Raises as `admit`."""
        return await self._known(request, text if text.startswith("jiesu_") else None, text)

    async def _known(self, request: Request, key: str | None, token: str) -> Principal:
        try:
            if key is not None:
                return await self._keys.principal(key)
            return await self._issuer.principal(token) if self._issuer else self._tokens.principal(token)
        except Problem as problem:
            if problem.code == "UNAUTHENTICATED":
                self._failed.take(self._addresses.of(request))
            raise

    def _take(self, request: Request, buckets: Buckets, name: str) -> None:
        left, full_in = 0, 1
        try:
            left, full_in = buckets.take(name)
        except Problem as problem:
            full_in = int(problem.headers["Retry-After"])
            raise
        finally:
            said = (("limit", buckets.limit), ("remaining", left), ("reset", full_in))
            headers = request.scope.setdefault(HEADERS, [])
            headers += [(f"ratelimit-{what}".encode(), str(number).encode()) for what, number in said]


def _presented(request: Request) -> tuple[str | None, str]:
    """An API key, or a bearer token; what proves two things, or nothing, is an empty token, which nobody holds."""
    tokens, keys = request.headers.getlist("authorization"), request.headers.getlist("x-api-key")
    if len(tokens) + len(keys) != 1:
        return None, ""
    if keys:
        return keys[0], ""
    kind, _, token = tokens[0].partition(" ")
    return None, token if kind.lower() == "bearer" else ""
