"""The key store: in PostgreSQL, and in memory for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import asyncpg

from shared.eventlog.log import LogUnavailable
from shared.eventlog.postgres import LOST

READ_KEYS = "SELECT ref, wrapped FROM vault.subject_keys WHERE ref = ANY($1)"
DESTROYED = "SELECT ref, destroyed_at FROM vault.subject_keys WHERE destroyed_at > $1 ORDER BY destroyed_at"
ANY_KEY = "SELECT ref, wrapped FROM vault.subject_keys WHERE wrapped IS NOT NULL LIMIT 1"
ADD_KEYS = """
    INSERT INTO vault.subject_keys (ref, wrapped)
    SELECT * FROM unnest($1::text[], $2::bytea[]) ON CONFLICT (ref) DO NOTHING"""


class PostgresVault:
    """Keys in the schema `vault`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def wrapped_keys(self, refs: Iterable[str]) -> Mapping[str, bytes | None]:
        try:
            return _by_ref(await self._pool.fetch(READ_KEYS, list(refs)))
        except LOST as error:
            raise LogUnavailable("vault") from error

    async def destroyed_since(self, moment: datetime) -> list[tuple[str, datetime]]:
        """The keys that were destroyed after a moment, and when."""
        rows = await self._pool.fetch(DESTROYED, moment)
        return [(row["ref"], row["destroyed_at"]) for row in rows]

    async def any_key(self) -> tuple[str, bytes] | None:
        """Some key that is there, to try the master key on."""
        row = await self._pool.fetchrow(ANY_KEY)
        return None if row is None else (row["ref"], row["wrapped"])

    async def add_keys(self, wrapped: Mapping[str, bytes]) -> Mapping[str, bytes | None]:
        refs = sorted(wrapped)
        try:
            await self._pool.execute(ADD_KEYS, refs, [wrapped[ref] for ref in refs])
        except LOST as error:
            raise LogUnavailable("vault") from error
        return await self.wrapped_keys(refs)


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
