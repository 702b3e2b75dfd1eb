"""Fixtures that tests share: one PostgreSQL for all, one city for those that do not mind company."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.city import City, a_city
from tests.support.database import TestServer, test_server
from tests.support.kafka import any_kafka

TESTS = Path(__file__).parent
QUICK = ("contract", "e2e", "unit")
"""The folders whose files are done last: none of them takes long."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the files (`make test`), what takes long is not begun last."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: (item.path.relative_to(TESTS).parts[0] in QUICK, item.path.parent.name == "unit"))


@pytest_asyncio.fixture(scope="session")
async def server() -> AsyncIterator[TestServer]:
    async with test_server() as made:
        yield made


@pytest_asyncio.fixture(scope="session")
async def city(server: TestServer) -> AsyncIterator[City]:
    """A city that many tests share: each works with appeals of its own."""
    async with a_city(server) as made:
        yield made


@pytest_asyncio.fixture(scope="session")
async def new_city(server: TestServer) -> Callable[..., AbstractAsyncContextManager[City]]:
    """For tests that need a city to themselves: `async with new_city() as city`."""
    return partial(a_city, server)


@pytest_asyncio.fixture(scope="module")
async def still(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[City]:
    """A city in which nothing happens by itself."""
    async with new_city(jobs=False) as made:
        yield made


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The bootstrap servers of a real Kafka; skips by name where none can be had."""
    with any_kafka() as bootstrap:
        yield bootstrap
