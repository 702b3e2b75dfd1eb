"""Connections to PostgreSQL: as the service's own role, in its own schema, from one DSN that may ask for TLS."""

from __future__ import annotations

from functools import partial

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.eventlog.migrate import PartitionsFixed, role_of
from shared.eventlog.postgres import PostgresLog

COMMAND_SECONDS = 60


def writing_pool(database_url: str, schema: str, size: int) -> asyncpg.Pool:
    """For the log and everything that is committed with it."""
    return asyncpg.create_pool(
        database_url,
        min_size=1,
        max_size=size,
        command_timeout=COMMAND_SECONDS,
        reset=_nothing_to_reset,
        server_settings=_session(schema),
    )


def reading_engine(database_url: str, schema: str, size: int) -> AsyncEngine:
    """For the views' queries: every statement by itself, never part of a write."""
    connect = partial(asyncpg.connect, database_url, server_settings=_session(schema))
    return create_async_engine(
        "postgresql+asyncpg://", async_creator=connect, isolation_level="AUTOCOMMIT", pool_size=size
    )


def _session(schema: str) -> dict[str, str]:
    return {"search_path": f'"{schema}"', "role": role_of(schema), "application_name": f"jiesu-{schema}"}


async def _nothing_to_reset(_: object) -> None:
    """Our sessions never change their state, so giving a connection back costs no round trip."""


async def same_partitions(service: str, log: PostgresLog) -> None:
    """Counted otherwise, an event would go to another partition than its neighbours', or to one that is not there.

    Raises PartitionsFixed.
    """
    if (found := len(await log.heads())) != log.partitions:
        raise PartitionsFixed(f"{service}: this log has {found} partitions, JIESU_PARTITIONS asks for {log.partitions}")
