"""API keys of integrators: a prefix, an id, 32 random bytes and a checksum; only a hash is kept (vault.api_keys).

A key is good for one client in one role, perhaps for some scopes only, until it expires or is revoked. Two of a client
may be good at once, so that a new one can be brought into use before the old one is taken out of it.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256
from hmac import compare_digest
from typing import NamedTuple, TypeVar
from zlib import crc32

import asyncpg

from shared.engine.clock import Clock
from shared.eventlog.postgres import LOST
from shared.web.identity import Principal
from shared.web.problems import Problem

T = TypeVar("T")
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
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._strangers = asyncio.Semaphore(1)

    async def principal(self, text: str) -> Principal:
        """The caller behind a key. Raises UNAUTHENTICATED; UNAVAILABLE when the vault cannot be read."""
        key = parsed(text)
        if key is None:
            raise Problem("UNAUTHENTICATED")
        now = self._clock.now().timestamp()
        known = await self._look_up(key[0], now)
        if known is None or not compare_digest(known.digest, key[1]) or known.principal.expires <= now:
            raise Problem("UNAUTHENTICATED")
        if known.looked_at == now:
            await self._asked(self._pool.execute(USED, key[0], self._clock.now().date()))
        return known.principal

    async def _look_up(self, key_id: str, now: float) -> _Known | None:
        known = self._known.get(key_id)
        if known is not None and _fresh(known.looked_at, now):
            return known
        if known is not None:
            return self._note(key_id, await self._read(key_id, now), now)
        async with self._strangers:  # whoever makes up keys takes one connection at a time
            if _fresh(self._unknown.get(key_id, -math.inf), now):
                return self._known.get(key_id)
            return self._note(key_id, await self._read(key_id, now), now)

    def _note(self, key_id: str, found: _Known | None, now: float) -> _Known | None:
        self._known.pop(key_id, None)
        if found is None:
            _remember(self._unknown, key_id, now)
        else:
            _remember(self._known, key_id, found)
        return found

    async def _asked(self, question: Awaitable[T]) -> T:
        try:
            return await question
        except LOST as error:
            raise Problem("UNAVAILABLE") from error

    async def _read(self, key_id: str, now: float) -> _Known | None:
        row = await self._asked(self._pool.fetchrow(READ, key_id))
        if row is None:
            return None
        scopes = frozenset(row["scopes"]) if row["scopes"] else None
        expires = row["expires_at"].timestamp()
        principal = Principal(f"key:{row['client']}", (row["role"],), row["unit_id"], row["district"], expires, scopes)
        return _Known(row["digest"], principal, now)


def _fresh(looked_at: float, now: float) -> bool:
    return looked_at <= now < looked_at + LOOK_AGAIN_SECONDS


def _remember(among: OrderedDict[str, T], key_id: str, found: T) -> None:
    among[key_id] = found
    among.move_to_end(key_id)
    while len(among) > REMEMBERED:
        among.popitem(last=False)
