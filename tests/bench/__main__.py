"""`make bench`: how fast it is, as ratios against baselines measured in the same run. Trust ratios, not absolutes."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from deploy.kafka.broker import what_is_missing
from services.addresses import gateway
from services.screen import bar, step
from services.simulation import invented, simulate
from services.up import database
from shared.engine.clock import SystemClock
from shared.engine.settings import Settings
from shared.engine.telemetry import configure_logging
from shared.web.tokens import Tokens
from tests.bench.admitting import admission_costs
from tests.bench.dispatching import dispatch_rates
from tests.bench.finding import APPEALS, finding_times
from tests.bench.importing import import_rates
from tests.bench.kafka import compare_over_kafka
from tests.bench.log import compare
from tests.bench.rebuild import EVENTS, rebuild_rates
from tests.bench.record import record_costs
from tests.bench.scoring import Times, scoring_rates
from tests.support.city import SECRETS

CLIENTS = (1, 16, 64)
REQUESTS = {1: 1000, 16: 5000, 64: 10000}
LIVES = 400
PATHS = {
    "validate only": "/intake/bench/validate",
    "one INSERT": "/intake/bench/insert",
    "intake": "/intake/v1/appeals",
}
TOKENS = Tokens(SECRETS.token, SystemClock())
screen = Console()


@contextmanager
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="jiesu-bench-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server(folder: Path, jobs: str) -> Iterator[tuple[int, int]]:
    """Port and pid of a city in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.server", str(folder), jobs]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdin
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.stdin.close()


def load(port: int, path: str, clients: int, run: str) -> dict[str, Any]:
    token = TOKENS.issue("AGENT", "bench", 86400)
    words = [str(port), path, token, str(clients), str(REQUESTS[clients]), run]
    done = subprocess.run([sys.executable, "-m", "tests.bench.load", *words], capture_output=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    assert set(result["statuses"]) == {"201"}, result["statuses"]
    return result


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def bench_intake() -> None:
    table = Table(
        "durable intake over HTTP, 1 worker", "clients", "req/s", "p50 ms", "p99 ms", "of INSERT", "of validate"
    )
    with home() as folder, server(folder, "no-jobs") as (port, pid):
        load(port, PATHS["intake"], 16, "warm")
        before = resident_mib(pid)
        for clients in CLIENTS:
            results = {name: load(port, path, clients, f"{name[:3]}{clients}") for name, path in PATHS.items()}
            for name, one in results.items():
                ratios = [f"{one['rate'] / results[base]['rate']:.0%}" for base in ("one INSERT", "validate only")]
                table.add_row(
                    name, str(clients), f"{one['rate']:,.0f}", f"{one['p50']:.1f}", f"{one['p99']:.1f}", *ratios
                )
        after = resident_mib(pid)
    screen.print(table)
    screen.print(
        f"memory of the server: {before:.0f} MiB warm, {after:.0f} MiB after {sum(REQUESTS.values()) * 3:,} requests\n"
    )


def bench_lives() -> None:
    def token_for(role: str, unit: str | None) -> str:
        return TOKENS.issue(role, f"{role}@{unit}", 86400, unit)

    with home() as folder, server(folder, "jobs") as (port, pid):
        before = resident_mib(pid)
        started = time.perf_counter()
        bodies = invented(LIVES, random.Random(1))
        tally = asyncio.run(simulate(gateway(f"http://127.0.0.1:{port}"), token_for, bodies, 1, lambda *_: None))
        took = time.perf_counter() - started
        after = resident_mib(pid)
    rate = tally.ended.total() / took
    screen.print(
        f"whole lives, four services and simulator on this machine: [bold]{rate:.1f}/s[/] ({dict(tally.ended)})"
    )
    screen.print(f"failures: {dict(tally.failures) or 'none'}; memory {before:.0f} → {after:.0f} MiB\n")


async def bench_log_and_rebuild() -> None:
    with home() as folder:
        settings = Settings(home=folder)
        async with database(settings) as url:
            speeds = await compare(url, settings.partitions)
            base = speeds["transaction and lock each"].rate
            table = Table("64 writers, one event each", "events/s", "p50 ms", "p99 ms", "of lock each")
            for name, speed in speeds.items():
                ratio = f"{speed.rate / base:.1f}×"
                table.add_row(name, f"{speed.rate:,.0f}", f"{speed.p50:.1f}", f"{speed.p99:.1f}", ratio)
            screen.print(table)
    with home() as folder:
        settings = Settings(home=folder)
        async with database(settings) as url:
            for view, rate in (await rebuild_rates(url, settings)).items():
                screen.print(f"rebuild of `{view}` from {EVENTS:,} events: [bold]{rate:,.0f} events/s[/]")


async def bench_finding() -> None:
    with home() as folder, bar() as progress:
        settings = Settings(home=folder)
        async with database(settings) as url:
            rate, times = await finding_times(url, settings, progress)
    base = times["one row by its key"]
    table = Table(f"among {APPEALS:,} appeals", "p50 ms", "p95 ms", "p95 of one row")
    for name, one in times.items():
        table.add_row(name, f"{one.p50:.1f}", f"{one.p95:.1f}", f"{one.p95 / base.p95:.1f}×")
    screen.print(table)
    screen.print(f"indexed for search: [bold]{rate:,.0f} appeals/s[/]\n")


async def bench_import() -> None:
    with home() as folder:
        settings = Settings(home=folder)
        async with database(settings) as url:
            rates = await import_rates(url, settings)
    table = Table("bulk files", "rows/s", "of one by one")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / rates['one by one']:.1f}×")
    screen.print(table)


async def bench_scoring() -> None:
    with home() as folder, bar() as progress:
        settings = Settings(home=folder)
        async with database(settings) as url:
            found = await scoring_rates(url, settings, partial(step, progress, {}))
    base = found["one row by its key"]
    table = Table(f"scoring, {found['lives']:,} lives", "p50 ms", "p99 ms", "p50 of one row")
    for name, one in found.items():
        if isinstance(one, Times):
            table.add_row(name, f"{one.at(0.5):.1f}", f"{one.at(0.99):.1f}", f"{one.at(0.5) / base.at(0.5):.0f}×")
    screen.print(table)
    screen.print(f"counted anew on two cores: [bold]{found['counted anew, lives/s']:,.0f} lives/s[/], by both rules\n")


async def bench_dispatch() -> None:
    with home() as folder:
        settings = Settings(home=folder)
        async with database(settings) as url:
            rates = await dispatch_rates(url, settings)
    base = rates["proposals, rules alone"]
    table = Table("dispatch, one process", "a second", "of proposals by rules alone")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}", f"{rate / base:.2f}×")
    screen.print(table)


def cpu_seconds(pid: int) -> float:
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def a_registration() -> float:
    """Microseconds of CPU that the service spends on one registration over HTTP."""
    with home() as folder, server(folder, "no-jobs") as (port, pid):
        load(port, PATHS["intake"], 16, "warm")
        before = cpu_seconds(pid)
        load(port, PATHS["intake"], 64, "counted")
        return (cpu_seconds(pid) - before) * 1e6 / REQUESTS[64]


async def bench_record(registration: float) -> None:
    """`registration`: microseconds of CPU of one, which shares are of."""
    with home() as folder, bar() as progress:
        settings = Settings(home=folder, rate_address=1e6)
        async with database(settings) as url:
            found = await record_costs(url, settings, partial(step, progress, {}))
    table = Table(f"the record, {found.seconds['entries']:,.0f} events", "p50 ms", "p99 ms", "p50 of one row")
    base = found.times["a row by its key"]
    for name, one in found.times.items():
        figures = f"{one.at(0.5):.2f}", f"{one.at(0.99):.1f}", f"{one.at(0.5) / base.at(0.5):.1f}×"
        table.add_row(name, *figures)
    screen.print(table)
    for name, speed in found.speeds.items():
        screen.print(f"{name}: [bold]{speed.rate:,.0f} events/s[/], p99 {speed.p99:.1f} ms")
    for name, each in found.each.items():
        screen.print(f"{name}: [bold]{each:.1f} µs[/] an event, {each / registration:.1%} of a registration")
    for name, seconds in found.seconds.items():
        screen.print(f"{name}: [bold]{seconds:,.1f}[/]" + ("" if name == "entries" else " s"))


async def bench_admission(registration: float) -> None:
    with home() as folder:
        settings = Settings(home=folder)
        async with database(settings) as url:
            costs = await admission_costs(url, settings)
    heads = "best µs", "worst µs", "µs of CPU", "CPU of a registration"
    table = Table(f"beside a registration, {registration:,.0f} µs of CPU", *heads)
    for name, one in costs.items():
        figures = f"{one.best:,.1f}", f"{one.worst:,.1f}", f"{one.cpu:,.1f}", f"{one.cpu / registration:.1%}"
        table.add_row(name, *figures)
    screen.print(table)


async def bench_kafka() -> None:
    if (missing := what_is_missing()) is not None:
        screen.print(f"[dim]over Kafka: not measured, {missing}[/]\n")
        return
    with home() as folder:
        settings = Settings(home=folder)
        async with database(settings) as url:
            measured = await compare_over_kafka(url)
    table = Table("over a real Kafka", "events/s", "per CPU second", "of raw", "p50 ms", "p99 ms", "p99 of raw")
    raw = measured["aiokafka alone"]
    for name, one in measured.items():
        figures = [f"{one.rate:,.0f}", f"{one.per_cpu_second:,.0f}", f"{one.per_cpu_second / raw.per_cpu_second:.0%}"]
        figures += [f"{one.at(0.5):.1f}", f"{one.at(0.99):.1f}", f"{one.at(0.99) / raw.at(0.99):.1f}×"]
        table.add_row(name, *figures)
    screen.print(table)


configure_logging("warning")

if __name__ == "__main__":
    screen.print(f"[dim]jiesu bench · {time.strftime('%Y-%m-%d')} · ratios are against baselines of this run[/]\n")
    bench_intake()
    registration = a_registration()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bench_log_and_rebuild())
        runner.run(bench_import())
        runner.run(bench_dispatch())
        runner.run(bench_finding())
        runner.run(bench_scoring())
        runner.run(bench_record(registration))
        runner.run(bench_admission(registration))
        runner.run(bench_kafka())
    bench_lives()
