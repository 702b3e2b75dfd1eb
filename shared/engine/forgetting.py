"""Keys that were destroyed elsewhere leave the memory of this process too, within seconds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Never

import structlog

from shared.engine.consume import TRANSIENT
from shared.eventlog.sealing import Keyring
from shared.eventlog.vault import PostgresVault

LOOK_SECONDS = 5.0
LATE = timedelta(minutes=10)
"""How much earlier than others a destruction may be dated that is committed after them."""
log = structlog.get_logger()


async def forgetting(vault: PostgresVault, keyring: Keyring) -> Never:
    """Look for destroyed keys, for ever. The first look takes in all there ever were: we may have cached since."""
    latest = datetime.min.replace(tzinfo=UTC) + LATE
    while True:
        try:
            for ref, destroyed_at in await vault.destroyed_since(latest - LATE):
                keyring.forget(ref)
                latest = max(latest, destroyed_at)
        except TRANSIENT as error:
            log.debug("cannot look for destroyed keys", reason=type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)
