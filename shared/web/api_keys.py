"""API keys of integrators: a prefix, an id, 32 random bytes and a checksum; only a hash is kept (vault.api_keys).

A key is good for one client in one role, perhaps for some scopes only, until it expires or is revoked. Two of a client
may be good at once, so that a new one can be brought into use before the old one is taken out of it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from typing import NamedTuple
from zlib import crc32

import asyncpg

from shared.engine.clock import Clock
from shared.eventlog.postgres import LOST
from shared.web.identity import Principal
from shared.web.problems import Problem

_FORM = re.compile(r"(jiesu_([0-9a-f]{16})_([0-9a-f]{64}))_([0-9a-f]{8})")
LOOK_AGAIN_SECONDS = 5.0
"""A key that is revoked or made takes effect in every process within this time."""
REMEMBERED = 10_000
READ = """
    SELECT digest, client, role, unit_id, district, scopes, expires_at FROM vault.api_keys
    WHERE key_id = $1 AND revoked_at IS NULL"""
USED = """
    UPDATE vault.api_keys SET used_on = $2::date WHERE key_id = $1 AND (used_on IS NULL OR used_on < $2::date)"""


class NewKey(NamedTuple):
    """What its holder is given once, and what is kept of it."""

    text: str
    key_id: str
    digest: str


class _Known(NamedTuple):
    digest: bytes
    principal: Principal
    looked_at: float


def new_key(random_bytes: Callable[[int], bytes]) -> NewKey:
    """A key that nobody has had."""
    key_id, secret = random_bytes(8).hex(), random_bytes(32).hex()
    begun = f"jiesu_{key_id}_{secret}"
    return NewKey(f"{begun}_{crc32(begun.encode()):08x}", key_id, sha256(secret.encode()).hexdigest())


def parsed(text: str) -> tuple[str, bytes] | None:
    """The id of a key and the hash of its secret; None for what cannot be a key (a typing error costs no lookup)."""
    found = _FORM.fullmatch(text)
    if not found or f"{crc32(found[1].encode()):08x}" != found[4]:
        return None
    return found[2], sha256(found[3].encode()).digest()


class ApiKeys:
    """Those in the vault, as one process knows them."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool, self._clock = pool, clock
        self._known: OrderedDict[str, _Known | float] = OrderedDict()

    async def principal(self, text: str) -> Principal:
        """The caller behind a key. Raises UNAUTHENTICATED; UNAVAILABLE when the vault cannot be read."""
        key = parsed(text)
        if key is None:
            raise Problem("UNAUTHENTICATED")
        now = self._clock.now().timestamp()
        known = await self._look_up(key[0], now)
        if known is None or not compare_digest(known.digest, key[1]) or known.principal.expires <= now:
            raise Problem("UNAUTHENTICATED")
        return known.principal

    async def _look_up(self, key_id: str, now: float) -> _Known | None:
        found = self._known.get(key_id)
        looked_at = found.looked_at if isinstance(found, _Known) else found
        if looked_at is None or not looked_at <= now < looked_at + LOOK_AGAIN_SECONDS:
            try:
                found = await self._read(key_id, now)
            except LOST as error:
                raise Problem("UNAVAILABLE") from error
            self._known[key_id] = found or now
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found if isinstance(found, _Known) else None

    async def _read(self, key_id: str, now: float) -> _Known | None:
        row = await self._pool.fetchrow(READ, key_id)
        if row is None:
            return None
        await self._pool.execute(USED, key_id, self._clock.now().date())
        scopes = frozenset(row["scopes"]) if row["scopes"] else None
        expires = row["expires_at"].timestamp()
        principal = Principal(f"key:{row['client']}", (row["role"],), row["unit_id"], row["district"], expires, scopes)
        return _Known(row["digest"], principal, now)
