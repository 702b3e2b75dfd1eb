"""The key store: in PostgreSQL, with group commit like the log, and in memory for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import asyncpg

from shared.eventlog.log import LogUnavailable
from shared.eventlog.postgres import LOST

READ_KEYS = "SELECT ref, wrapped FROM vault.subject_keys WHERE ref = ANY($1)"
ANY_KEY = "SELECT ref, wrapped FROM vault.subject_keys WHERE wrapped IS NOT NULL LIMIT 1"
ADD_KEYS = """
    WITH added AS (
        INSERT INTO vault.subject_keys (ref, wrapped)
        SELECT * FROM unnest($1::text[], $2::bytea[]) AS k (ref, wrapped) ORDER BY ref
        ON CONFLICT (ref) DO NOTHING RETURNING ref, wrapped
    )
    SELECT ref, wrapped FROM added
    UNION ALL
    SELECT k.ref, k.wrapped FROM vault.subject_keys k WHERE k.ref = ANY($1)"""


class PostgresVault:
    """Keys in the schema `vault`. Concurrent callers share one INSERT: while it runs, the next ones gather."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._waiting: dict[str, bytes] = {}
        self._flush: asyncio.Task[Mapping[str, bytes | None]] | None = None
        self._next: asyncio.Task[Mapping[str, bytes | None]] | None = None

    async def wrapped_keys(self, refs: Iterable[str]) -> Mapping[str, bytes | None]:
        try:
            return _by_ref(await self._pool.fetch(READ_KEYS, list(refs)))
        except LOST as error:
            raise LogUnavailable("vault") from error

    async def any_key(self) -> tuple[str, bytes] | None:
        """Some key that is there, to try the master key on."""
        row = await self._pool.fetchrow(ANY_KEY)
        return None if row is None else (row["ref"], row["wrapped"])

    async def add_keys(self, wrapped: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        for ref, key in wrapped.items():
            self._waiting.setdefault(ref, key)
        if self._next is None:
            self._next = asyncio.create_task(self._flush_after(self._flush))
        found = await asyncio.shield(self._next)
        return {ref: found[ref] for ref in wrapped}

    async def _flush_after(self, previous: asyncio.Task[Any] | None) -> Mapping[str, bytes | None]:
        if previous is not None:
            await asyncio.wait([previous])
        batch, self._waiting = self._waiting, {}
        self._flush, self._next = self._next, None
        try:
            found: dict[str, bytes | None] = {}
            while missing := batch.keys() - found.keys():  # a neighbour may add one between our two looks
                refs = sorted(missing)
                found |= _by_ref(await self._pool.fetch(ADD_KEYS, refs, [batch[ref] for ref in refs]))
            return found
        except LOST as error:
            raise LogUnavailable("vault") from error


def _by_ref(rows: Iterable[Any]) -> dict[str, bytes | None]:
    return {row["ref"]: row["wrapped"] for row in rows}


class MemoryVault:
    """Keys in a dictionary, for tests."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes | None] = {}

    async def wrapped_keys(self, refs: Iterable[str]) -> Mapping[str, bytes | None]:
        return {ref: self.keys[ref] for ref in refs if ref in self.keys}

    async def add_keys(self, wrapped: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        return {ref: self.keys.setdefault(ref, key) for ref, key in wrapped.items()}
