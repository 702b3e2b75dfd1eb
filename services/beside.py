"""Services without their jobs, beside the running city or on its own: what commands on the record work with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.city import SERVICES
from services.up import a_database
from shared.engine.runtime import Role, Running, Service, running_city
from shared.engine.secrets import read_secrets
from shared.engine.settings import Settings
from shared.engine.telemetry import configure_logging


@asynccontextmanager
async def all_beside(settings: Settings) -> AsyncIterator[dict[str, Running]]:
    """All services, until the block ends. Who runs a command wants its answer, and of the rest what is wrong."""
    configure_logging("warning")
    secrets = read_secrets(settings.keys_dir, create=False)
    async with (
        a_database(settings) as url,
        running_city(SERVICES, url, settings, secrets, roles={Role.API}) as city,
    ):
        yield city


@asynccontextmanager
async def beside(settings: Settings, service: Service) -> AsyncIterator[Running]:
    """One of them."""
    async with all_beside(settings) as city:
        yield city[service.name]
