"""A real PostgreSQL for the tests: started once, one migrated template, a fresh copy for whoever asks."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from services.up import EmbeddedPostgres, migrate
from shared.engine.settings import Settings

PARTITIONS = 4
"""Few, so that streams meet in one partition often."""


class TestServer:
    """The server, and databases copied from a migrated template."""

    __test__ = False

    def __init__(self, server: EmbeddedPostgres, home: Path) -> None:
        self.server, self.home = server, home
        self._numbers = itertools.count(1)

    def url(self, name: str) -> str:
        return self.server.url.replace("/jiesu?", f"/{name}?")

    def folder_of(self, url: str) -> Path:
        """Where what belongs to one database lies beside it."""
        return self.home / url.partition("?")[0].rpartition("/")[2]

    def settings(self, **overrides: object) -> Settings:
        free = dict.fromkeys(("rate_account", "rate_address", "rate_failed"), 1e6)
        given: dict[str, object] = {"home": self.home, "partitions": PARTITIONS, "log_level": "error"}
        return Settings(**{**given, **free, **overrides})  # type: ignore[arg-type]

    async def prepare(self) -> None:
        await self._execute("CREATE DATABASE template_city")
        await migrate(self.url("template_city"), self.settings())

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[str]:
        """The URL of a new, migrated, empty database; dropped afterwards."""
        name = f"city_{next(self._numbers)}"
        await self._execute(f"CREATE DATABASE {name} TEMPLATE template_city STRATEGY FILE_COPY")
        try:
            yield self.url(name)
        finally:
            await self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@asynccontextmanager
async def test_server() -> AsyncIterator[TestServer]:
    home = Path(tempfile.mkdtemp(prefix="jiesu-test-", dir="/tmp"))
    home.chmod(0o755)
    try:
        with EmbeddedPostgres(home) as server:
            made = TestServer(server, home)
            await made.prepare()
            yield made
    finally:
        shutil.rmtree(home, ignore_errors=True)


test_server.__test__ = False  # type: ignore[attr-defined]
