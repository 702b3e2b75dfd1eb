"""The work that makes a log provable: give new events their places in the tree, sign, have it witnessed, publish.

An event stands under a published checkpoint within seconds. Any number of processes may do this; each signs from a
file of its own. What contradicts an earlier signature ends the job, and the service is not ready until somebody looked.
"""

from __future__ import annotations

import asyncio
from typing import Never

import asyncpg
import structlog

from shared.engine.consume import RETRY_PAUSE_SECONDS, TRANSIENT, rest
from shared.engine.settings import Settings
from shared.engine.telemetry import UNSIGNED
from shared.engine.witnessing import Witnesses
from shared.eventlog.notary import Notary
from shared.eventlog.notes import Signer, checkpoint_in
from shared.eventlog.tree import ONE_AT_A_TIME, StoredTree
from shared.messaging.bus import Bell

EVERY_SECONDS = 1.0
COSIGN_SECONDS = 3600.0
"""Witnesses sign their time: so often at least, though nothing happens."""
PUBLISHED = "SELECT note FROM checkpoints ORDER BY number DESC LIMIT 1"
PUBLISHED_SIZE = "SELECT size FROM checkpoints ORDER BY number DESC LIMIT 1"
PUBLISH = f"INSERT INTO checkpoints (size, note) SELECT $1, $2 WHERE $1 >= coalesce(({PUBLISHED_SIZE}), 0)"
log = structlog.get_logger()


def signer_of(settings: Settings, service: str, seed: bytes) -> Signer:
    """Whose signature stands under a service's log."""
    return Signer(f"{settings.origin}/log/{service}", seed)


async def publish(pool: asyncpg.Pool, size: int, note: str) -> None:
    """Unless another process has published a larger one meanwhile: what is published never goes back."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(ONE_AT_A_TIME)
        await connection.execute(PUBLISH, size, note)


async def _take_up(notary: Notary, published: str, signer: Signer) -> None:
    """Unless it was published under another name: after a new JIESU_ORIGIN or signing.key a new history begins."""
    if published.partition("\n")[0] == signer.name:
        await notary.take_up(published)


async def notarise(service: str, pool: asyncpg.Pool, settings: Settings, signer: Signer, bell: Bell) -> Never:
    """For ever. Raises Inconsistent when the record contradicts what was signed."""
    tree = StoredTree(pool)
    notary = Notary(tree, signer, settings.notary_dir / f"{service}.json")
    witnesses = Witnesses(settings.witnesses.read_text(), tree) if settings.witnesses else None
    pause, cosigned_at = RETRY_PAUSE_SECONDS, 0.0
    while True:
        try:
            if notary.note is None and (newest := await pool.fetchval(PUBLISHED)):
                await _take_up(notary, newest, signer)
            rung = bell.next_ring()
            while await tree.integrate():
                pass
            published, now = await pool.fetchval(PUBLISHED_SIZE) or 0, asyncio.get_running_loop().time()
            stale = witnesses is not None and now - cosigned_at > COSIGN_SECONDS
            size = await tree.size()
            UNSIGNED.labels(service).set(max(0, size - published))
            if size > published or size != notary.size or (size and stale):
                note = await notary.sign(size)
                whole = await witnesses.cosigned(note) if witnesses else note
                if whole is not None:
                    await publish(pool, checkpoint_in(whole).size, whole)
                    UNSIGNED.labels(service).set(0)
                    cosigned_at = now
            pause = RETRY_PAUSE_SECONDS
            await asyncio.sleep(EVERY_SECONDS)
            await bell.wait(EVERY_SECONDS, rung)
        except (*TRANSIENT, OSError) as error:
            log.warning("cannot sign now", service=service, reason=type(error).__name__)
            pause = await rest(pause)
