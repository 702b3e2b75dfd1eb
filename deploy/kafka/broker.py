"""A real Apache Kafka (KRaft) as plain processes on loopback, for machines without a container engine.

    python -m deploy.kafka.broker [--brokers 3] [--port 9092] [--data DIR]

Maven resolves the jars once; each process is broker and controller at once. Not for production: operators use the
official image (deploy/compose.yml).
"""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
JARS = HERE / "target" / "lib"
START_SECONDS = 60
JVM = ("-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"


class CannotStart(Exception):
    """The message says what is missing and how to get it."""


def what_is_missing() -> str | None:
    """Why no broker can be started on this machine; None when one can."""
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    return f"{' and '.join(missing)} not installed (JDK 17 and Maven are needed)" if missing else None


def resolve_jars() -> None:
    """Fetch Kafka with Maven, once."""
    if JARS.is_dir() and any(JARS.glob("kafka-tools-4*.jar")):
        return
    if (missing := what_is_missing()) is not None:
        raise CannotStart(missing)
    unfinished = JARS.with_name(f"lib-{os.getpid()}")
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={unfinished}"]
    done = subprocess.run(["mvn", "-q", "-B", "-f", HERE / "pom.xml", *goal], capture_output=True, check=False)
    if done.returncode:
        raise CannotStart(f"Maven could not fetch Kafka: {done.stdout.decode()[-500:].strip()}")
    shutil.rmtree(JARS, ignore_errors=True)
    unfinished.rename(JARS)


def java(*words: str | Path, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    """Run one of Kafka's own tools to its end."""
    command = ["java", *JVM[1:], QUIET, "-cp", f"{JARS}/*", *words]
    return subprocess.run(command, capture_output=True, check=check)


class Broker:
    """One broker: start, kill, pause and start again on the same port and data."""

    def __init__(self, data: Path, properties: Mapping[str, str]) -> None:
        self._data, self.port = data, _port_of(properties["listeners"])
        self._file = data / "server.properties"
        self._log = data / "broker.log"
        data.mkdir(parents=True, exist_ok=True)
        lines = [f"{name}={value}\n" for name, value in properties.items()]
        self._file.write_text("".join(lines) + f"log.dirs={data / 'topics'}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def format(self, cluster_id: str, *more: str) -> None:
        """Prepare the data directory; done once in its life."""
        words = ["format", "--ignore-formatted", f"--cluster-id={cluster_id}", "--config", str(self._file), *more]
        done = java("kafka.tools.StorageTool", *words, check=False)
        if done.returncode:
            raise CannotStart(f"Kafka cannot format {self._data}: {done.stderr.decode()[-500:].strip()}")

    def start(self) -> None:
        command = ["java", *JVM, QUIET, "-cp", f"{JARS}/*", "kafka.Kafka", str(self._file)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        """Until it accepts connections."""
        give_up = time.monotonic() + START_SECONDS
        while not _answers(self.port):
            if self._process is None or self._process.poll() is not None or time.monotonic() > give_up:
                tail = self._log.read_text(errors="replace").splitlines()[-3:]
                raise CannotStart(f"Kafka did not start: {' / '.join(tail)} (see {self._log})")
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """As a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Cluster:
    """One or three brokers, formatted for each other."""

    def __init__(self, brokers: Sequence[Broker], bootstrap: str) -> None:
        self.brokers, self.bootstrap = brokers, bootstrap

    def stop(self) -> None:
        for broker in self.brokers:
            broker.stop()


@contextmanager
def cluster(data: Path, size: int = 1, ports: Sequence[int] = (), **more: str) -> Iterator[Cluster]:
    """A running cluster with its data in `data`. Raises CannotStart. `more` are broker properties, `_` for `.`."""
    resolve_jars()
    ports = [*ports, *free_ports(2 * size - len(ports))]
    plain, controllers = ports[:size], ports[size : 2 * size]
    extra = {name.replace("_", "."): value for name, value in more.items()}
    brokers = [Broker(data / f"broker-{n}", properties_of(n, size, plain[n], controllers) | extra) for n in range(size)]
    cluster_id = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
    made = Cluster(brokers, ",".join(f"127.0.0.1:{port}" for port in plain))
    try:
        for broker in brokers:
            broker.format(cluster_id)
            broker.start()
        for broker in brokers:
            broker.wait()
        yield made
    finally:
        made.stop()


def properties_of(node: int, size: int, port: int, controllers: Sequence[int]) -> dict[str, str]:
    voters = ",".join(f"{n}@127.0.0.1:{controller}" for n, controller in enumerate(controllers))
    replicas, in_sync = str(min(size, 3)), str(min(size, 2))
    return {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controllers[node]}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL",
        "auto.create.topics.enable": "false",
        "broker.heartbeat.interval.ms": "500",  # a killed broker may come back as soon as its session is over
        "broker.session.timeout.ms": "2000",
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "min.insync.replicas": in_sync,
        "default.replication.factor": replicas,
    }


def _port_of(listeners: str) -> int:
    return int(listeners.split(",", maxsplit=1)[0].rsplit(":", 1)[1])


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def main() -> None:
    """Run a cluster until SIGINT or SIGTERM; prints its bootstrap servers on standard output."""
    parser = argparse.ArgumentParser(description="a plain-process Apache Kafka on loopback")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--port", type=int, default=9092, help="of the first broker; the others follow")
    parser.add_argument("--data", type=Path, default=None, help="kept if given, otherwise temporary")
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="jiesu-kafka-") as temporary:
        ports = range(wanted.port, wanted.port + wanted.brokers)
        with cluster(wanted.data or Path(temporary), wanted.brokers, ports) as made:
            sys.stdout.write(f"{made.bootstrap}\n")
            sys.stdout.flush()
            kept = f"in {wanted.data}" if wanted.data else "until it ends (--data FOLDER keeps it)"
            sys.stderr.write(
                f"data is kept {kept}; next: export JIESU_KAFKA_BOOTSTRAP={made.bootstrap}; jiesu topics\n"
            )
            signal.pause()


if __name__ == "__main__":
    try:
        main()
    except CannotStart as error:
        sys.exit(f"kafka: {error}")
    except KeyboardInterrupt:
        pass
