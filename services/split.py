"""One machine, four processes: the same commands that containers run, started and kept running by one supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping

import aiohttp
import structlog

from services.addresses import write_addresses
from services.city import ports
from services.serving import CannotStart
from services.topics import make_topics
from services.up import alone, database, die_with_parent
from shared.engine.clock import SystemClock
from shared.engine.secrets import read_secrets
from shared.engine.settings import Settings
from shared.web.tokens import Tokens

READY_SECONDS, STOP_SECONDS = 60, 30
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
log = structlog.get_logger()


async def up_split(settings: Settings, started: Callable[[Tokens], None]) -> None:
    """Run four services as processes until SIGINT or SIGTERM. Raises CannotStart with one line when they cannot run."""
    with alone(settings.home):
        secrets = read_secrets(settings.keys_dir, create=settings.embedded)
        async with database(settings) as url:
            if settings.kafka_bootstrap is not None:
                await make_topics(settings)
            where = ports(settings.port)
            children = [Child(name, port, environment(settings, url, name)) for name, port in where.items()]
            write_addresses(settings, where)
            stopping = asyncio.Event()
            for name in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(name, stopping.set)
            async with asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(child.keep(stopping))
                await when_ready(settings, stopping, where)
                if not stopping.is_set():
                    started(Tokens(secrets.token, SystemClock()))


class Child:
    """One service as a process of its own, started again whenever it ends by itself."""

    def __init__(self, name: str, port: int, environment: Mapping[str, str]) -> None:
        self._name, self._environment = name, environment
        self._command = [sys.executable, "-m", "services", "serve", name, "--port", str(port)]
        self.process: asyncio.subprocess.Process | None = None

    async def keep(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; then the process is told to drain, and waited for."""
        loop, pause = asyncio.get_running_loop(), SHORTEST_PAUSE_SECONDS
        stop = asyncio.ensure_future(stopping.wait())
        while not stopping.is_set():
            started = loop.time()
            self.process = await asyncio.create_subprocess_exec(
                *self._command, env=self._environment, stdin=asyncio.subprocess.DEVNULL, preexec_fn=die_with_parent
            )
            ended = asyncio.ensure_future(self.process.wait())
            await asyncio.wait({ended, stop}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.is_set():
                await _end(self.process)
                return
            log.error("ended by itself; starting it again", service=self._name, status=self.process.returncode)
            await asyncio.wait({stop}, timeout=pause)
            lived = loop.time() - started > LONGEST_PAUSE_SECONDS
            pause = SHORTEST_PAUSE_SECONDS if lived else min(pause * 2, LONGEST_PAUSE_SECONDS)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


async def when_ready(settings: Settings, stopping: asyncio.Event, where: Mapping[str, int]) -> None:
    """Until every service says that it is ready. Raises CannotStart."""
    async with aiohttp.ClientSession() as http:
        for name, port in where.items():
            url = f"http://{settings.host}:{port}/{name}/health/ready"
            give_up = asyncio.get_running_loop().time() + READY_SECONDS
            while not stopping.is_set() and not await _is_ready(http, url):
                if asyncio.get_running_loop().time() > give_up:
                    raise CannotStart(f"{name} is not ready after {READY_SECONDS} s; ask {url} why")
                await asyncio.sleep(0.1)


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def environment(settings: Settings, url: str, service: str) -> dict[str, str]:
    """Our own, with what a service in a container would be told by its operator."""
    told = {"JIESU_DATABASE_URL": url, "JIESU_KEYS": str(settings.keys_dir.resolve()), "JIESU_HOST": settings.host}
    return {**os.environ, **told, "JIESU_INSTANCE": f"{settings.instance or 'split'}-{service}"}
