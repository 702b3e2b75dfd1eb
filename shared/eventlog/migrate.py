"""Brings one schema of one database to the newest version: schema, role, tables, grants. Safe to run at every start."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

_HISTORIES = Path(__file__).parent / "migrations"
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(4021200)")
_FOREIGN = text("""
    SELECT found.what || ' of ' || r.rolname
    FROM pg_namespace n
    JOIN (SELECT pronamespace, proowner, oid::regprocedure::text FROM pg_proc
          UNION ALL SELECT oprnamespace, oprowner, oid::regoperator::text FROM pg_operator)
         AS found (namespace, owner, what) ON found.namespace = n.oid
    JOIN pg_roles r ON r.oid = found.owner
    WHERE n.nspname = :schema AND found.owner <> n.nspowner AND NOT r.rolsuper
    ORDER BY 1""")


class PartitionsFixed(Exception):
    """The number of log partitions is fixed when a log is created; start with the number it has."""


class ForeignCode(Exception):
    """A service put functions or operators where its owner works; the owner would run them with rights of its own."""


def role_of(schema: str) -> str:
    """The role a service acts as: it may read its schema, append to its log and keep its views."""
    return f"jiesu_{schema}"


async def migrate_log(url: str, schema: str, partitions: int) -> None:
    """Create or upgrade the log of one service.

    Raises PartitionsFixed when `partitions` is not what it has, ForeignCode when somebody else's code waits there.
    """
    await _migrate(url, schema, "log", _log_grants(schema), partitions)


async def migrate_vault(url: str, roles: list[str], keepers: list[str]) -> None:
    """Create or upgrade the key store, let the roles of the services use it, and some of them keep it."""
    grants = [grant for role in roles for grant in _use(role)]
    await _migrate(url, "vault", "vault", [*grants, *(grant for role in keepers for grant in _keep(role))], None)


async def _migrate(
    url: str, schema: str, history: Literal["log", "vault"], grants: list[str], partitions: int | None
) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=partial(asyncpg.connect, url), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(_ONE_AT_A_TIME)
            await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
            await connection.run_sync(_refuse_foreign_code, schema)
            await connection.execute(text(f'SET LOCAL search_path TO "{schema}"'))
            await connection.run_sync(_upgrade, schema, history)
            if partitions is not None:
                await connection.run_sync(_number_partitions, schema, partitions)
            for statement in grants:
                await connection.execute(text(statement))
    finally:
        await engine.dispose()


def _refuse_foreign_code(connection: Connection, schema: str) -> None:
    """A service may create tables in its schema, and so operators that fit better than PostgreSQL's own."""
    connection.execute(text("SET LOCAL search_path TO pg_catalog"))
    if found := connection.execute(_FOREIGN, {"schema": schema}).scalars().all():
        raise ForeignCode(f"{schema}: only the owner may have functions and operators here, not {', '.join(found)}")


def _upgrade(connection: Connection, schema: str, history: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_HISTORIES))
    config.set_main_option("version_locations", str(_HISTORIES / history))
    config.set_main_option("path_separator", "os")
    config.attributes.update(connection=connection, schema=schema)
    command.upgrade(config, "head")


def _number_partitions(connection: Connection, schema: str, partitions: int) -> None:
    found = connection.execute(text("SELECT count(*) FROM log_heads")).scalar_one()
    if found == 0:
        fill = text("INSERT INTO log_heads (partition) SELECT generate_series(0, :last)")
        connection.execute(fill, {"last": partitions - 1})
    elif found != partitions:
        raise PartitionsFixed(f"{schema}: this log has {found} partitions, JIESU_PARTITIONS asks for {partitions}")


def _create_role(role: str) -> str:
    return f"""DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE "{role}" NOLOGIN; END IF;
        EXCEPTION WHEN duplicate_object THEN NULL; WHEN unique_violation THEN NULL;
    END $$"""


def _log_grants(schema: str) -> list[str]:
    role = role_of(schema)
    append = (
        "append_batch(integer[], text[], integer[], uuid[], integer[],"
        " integer[], integer[], uuid[], text[], bytea[], bytea[],"
        " integer[], text[], text[], bytea[], bytea[])"
    )
    return [
        _create_role(role),
        f'GRANT "{role}" TO CURRENT_USER',
        f'GRANT USAGE, CREATE ON SCHEMA "{schema}" TO "{role}"',
        f'GRANT SELECT ON events, log_heads, idempotency TO "{role}"',
        f'GRANT SELECT, INSERT, UPDATE, DELETE ON cursors, deadlines, parked, view_generations TO "{role}"',
        f'GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks TO "{role}"',
        f'GRANT SELECT, INSERT ON tree_ranges, tree_tiles, checkpoints TO "{role}"',
        f'GRANT USAGE ON SEQUENCE ticket_numbers TO "{role}"',
        f"REVOKE ALL ON FUNCTION {append} FROM PUBLIC",
        f'GRANT EXECUTE ON FUNCTION {append} TO "{role}"',
    ]


def _use(role: str) -> list[str]:
    return [
        f'GRANT USAGE ON SCHEMA vault TO "{role}"',
        f'REVOKE INSERT ON subject_keys FROM "{role}"',
        f'GRANT SELECT, INSERT (ref, wrapped) ON subject_keys TO "{role}"',
        f'GRANT SELECT, UPDATE (used_on) ON api_keys TO "{role}"',
    ]


def _keep(role: str) -> list[str]:
    """For the service whose events say what becomes of keys."""
    return [
        f'GRANT EXECUTE ON FUNCTION destroy_keys(text[]), rewrap_keys(text[], bytea[], bytea[]) TO "{role}"',
        f'GRANT INSERT, UPDATE (revoked_at) ON api_keys TO "{role}"',
    ]
