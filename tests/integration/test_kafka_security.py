"""Brokers that ask everybody who they are: TLS, passwords, certificates, and what the ACLs of deploy/kafka allow."""

from __future__ import annotations

import asyncio
import secrets
import shlex
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from deploy.kafka import broker as kafka
from deploy.kafka.broker import Broker, java
from services.topics import declared
from shared.contracts.catalogue import CATALOGUE
from shared.eventlog.log import partition_of
from shared.eventlog.postgres import PostgresLog
from shared.messaging.brokers import KafkaOptions, Topic
from shared.messaging.bus import Bell, BusUnavailable
from shared.messaging.cloudevents import topic_of
from shared.messaging.kafka import KafkaBus, create_topics, partition_counts, publishing
from tests.support.certificates import Authority, Identity
from tests.support.database import PARTITIONS, TestServer
from tests.support.events import append
from tests.support.kafka import jars, needs_java, relaying
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE_SECONDS, until

ACLS = Path(kafka.__file__).parent / "acls"
SERVICES = ("intake", "routing", "feedback", "scoring")
USERS = (*SERVICES, "operator")
ADMIN = "admin"
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"
REFUSED_SECONDS = 10

Right = tuple[str, str, str, str]
"""Who, may do what, to which kind of thing, of which name (with a * behind it when it is a prefix)."""


@dataclass(frozen=True)
class Guarded:
    """A broker of our own with no way in for strangers, and a city's users."""

    broker: Broker
    authority: Authority
    strangers: Authority
    by_password: str
    by_certificate: str
    passwords: Mapping[str, str] = field(repr=False)

    def password(self, user: str) -> KafkaOptions:
        """SASL_SSL with SCRAM."""
        trust = str(self.authority.ca_file)
        word = self.passwords[user]
        return KafkaOptions(self.by_password, "SASL_SSL", username=user, password=word, ca_file=trust)

    def certificate(self, user: str) -> KafkaOptions:
        """Mutual TLS."""
        return self.identified_by(self.authority.client(user))

    def identified_by(self, who: Identity) -> KafkaOptions:
        files = {"ca_file": str(self.authority.ca_file), "cert_file": str(who.certificate), "key_file": str(who.key)}
        return KafkaOptions(self.by_certificate, "SSL", **files)


Way = Callable[[Guarded, str], KafkaOptions]
both_ways = pytest.mark.parametrize("way", [Guarded.password, Guarded.certificate])


def guarded_properties(authority: Authority, ports: Sequence[int]) -> dict[str, str]:
    """The plain broker's, but everybody says who he is at every listener: nobody is ever User:ANONYMOUS."""
    password, certificate, controller = (f"127.0.0.1:{port}" for port in ports)
    clients = f"SASL_SSL://{password},SSL://{certificate}"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    asked = {
        "listeners": f"{clients},CONTROLLER://{controller}",
        "advertised.listeners": clients,
        "listener.security.protocol.map": "CONTROLLER:SSL,SASL_SSL:SASL_SSL,SSL:SSL",
        "inter.broker.listener.name": "SSL",
        "listener.name.ssl.ssl.client.auth": "required",
        "listener.name.controller.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": scram,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": f"User:broker;User:{ADMIN}",
    }
    plain = kafka.properties_of(0, 1, ports[0], [ports[2]])
    return plain | asked | pem_stores(authority, authority.server("broker"))


def pem_stores(authority: Authority, who: Identity) -> dict[str, str]:
    """How Kafka's own programs are told who they are and whom they trust."""
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(who.store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.ca_file),
    }


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    needs_java()
    jars()
    folder = Path(tempfile.mkdtemp(prefix="jiesu-kafka-", dir="/tmp"))
    authority = Authority(folder / "authority")
    ports = free_ports(3)
    broker = Broker(folder / "broker", guarded_properties(authority, ports))
    addresses = [f"127.0.0.1:{port}" for port in ports[:2]]
    passwords = {user: secrets.token_hex() for user in USERS}
    made = Guarded(broker, authority, Authority(folder / "strangers"), *addresses, passwords)
    try:
        scram = [f"SCRAM-SHA-512=[name={user},password={word}]" for user, word in passwords.items()]
        broker.format(CLUSTER, *(word for one in scram for word in ("--add-scram", one)))
        broker.start()
        broker.wait()
        apply_acls(made, folder / "admin.properties")
        yield made
    finally:
        broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


def apply_acls(guarded: Guarded, config: Path) -> None:
    """As deploy/kafka/acls/README.md says."""
    told = {"security.protocol": "SSL"} | pem_stores(guarded.authority, guarded.authority.client(ADMIN))
    config.write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    reach = ["--bootstrap-server", guarded.by_certificate, "--command-config", str(config)]

    def add(words: Sequence[str]) -> None:
        done = java("org.apache.kafka.tools.AclCommand", *reach, "--add", *words, check=False)
        assert done.returncode == 0, done.stderr.decode()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(add, acl_lines()))


def acl_lines() -> list[list[str]]:
    """The arguments of every call of kafka-acls."""
    texts = [file.read_text() for file in sorted(ACLS.glob("*.acl"))]
    return [words for text in texts for line in text.splitlines() if (words := shlex.split(line, comments=True))]


@dataclass(frozen=True)
class Intake:
    """The log that the tests publish."""

    log: PostgresLog
    pool: asyncpg.Pool
    bell: Bell


@pytest_asyncio.fixture(scope="module")
async def topics(guarded: Guarded) -> Guarded:
    """The same broker with the city's topics, made by the operator as soon as his rights have reached the broker."""
    wanted = [Topic(name, PARTITIONS, 1, settings) for name, settings in declared().items()]

    async def made() -> bool:
        try:
            await create_topics(guarded.password("operator"), wanted)
        except BusUnavailable as refused:
            assert "refuses" in str(refused)
            return False
        return True

    await until(made)
    return guarded


@pytest_asyncio.fixture(scope="module")
async def intake(server: TestServer) -> AsyncIterator[Intake]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(server.fresh())
        session = {"search_path": "intake"}
        pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, server_settings=session))
        bell = Bell()
        log = PostgresLog(pool, PARTITIONS, bell.ring)
        await stack.enter_async_context(log.running())
        yield Intake(log, pool, bell)


@asynccontextmanager
async def reading(options: KafkaOptions, service: str) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(options, service, lambda source, reason: pytest.fail(reason))
    try:
        yield bus
    finally:
        await bus.close()


async def from_the_start() -> dict[int, int]:
    return {}


async def read(bus: KafkaBus, source: str, stream: str, count: int) -> list[int]:
    """The versions of one stream, as a consumer in a group gets them."""
    subscription = await bus.subscribe("reader", source, from_the_start)
    versions: list[int] = []
    try:
        while len(versions) < count:
            events = [event for batch in await subscription.next() for event in batch.events]
            versions += [event.version for event in events if event.stream == stream]
    finally:
        await subscription.close()
    return versions


@both_ways
async def test_what_a_service_publishes_another_reads(topics: Guarded, intake: Intake, way: Way) -> None:
    stream = f"by-{way.__name__}"
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with relaying(way(topics, "intake"), "intake", intake.log, intake.pool, intake.bell):
            await intake.log.append(append(stream, 0, 3))
            async with reading(way(topics, "routing"), "routing") as bus:
                assert await read(bus, "intake", stream, 3) == [1, 2, 3]


BAD_PASSWORD, BAD_BROKER, HUNG_UP = "SaslAuthenticationFailed", "CERTIFICATE_VERIFY_FAILED", "closed"
"""What the client logs when it is refused, or refuses."""

STRANGERS: dict[str, tuple[str, Callable[[Guarded], KafkaOptions]]] = {
    "a wrong password": (
        BAD_PASSWORD,
        lambda here: replace(here.password("intake"), password=here.passwords["routing"]),
    ),
    "an unknown user": (BAD_PASSWORD, lambda here: replace(here.password("intake"), username="nobody")),
    "no password": (HUNG_UP, lambda here: replace(here.password("intake"), security="SSL")),
    "no encryption": (HUNG_UP, lambda here: KafkaOptions(here.by_password)),
    "a broker that we do not trust": (
        BAD_BROKER,
        lambda here: replace(here.password("intake"), ca_file=str(here.strangers.ca_file)),
    ),
    "a certificate that the broker does not trust": (
        HUNG_UP,
        lambda here: here.identified_by(here.strangers.client("intake")),
    ),
    "no certificate": (HUNG_UP, lambda here: replace(here.certificate("intake"), cert_file=None, key_file=None)),
}


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_strangers_are_refused_at_once(topics: Guarded, stranger: str, caplog: pytest.LogCaptureFixture) -> None:
    reason, who = STRANGERS[stranger]
    options = who(topics)
    async with asyncio.timeout(REFUSED_SECONDS):
        async with reading(options, "intake") as bus:
            with pytest.raises(BusUnavailable) as refused:
                await bus.heads("intake")
            with pytest.raises(BusUnavailable):
                await bus.subscribe("reader", "intake", from_the_start)
        with pytest.raises(BusUnavailable):
            async with publishing(options, "intake"):
                pass
    assert reason in caplog.text
    assert not any(word in str(refused.value) + caplog.text for word in topics.passwords.values())


@both_ways
async def test_a_service_may_not_write_its_neighbours_topic(topics: Guarded, intake: Intake, way: Way) -> None:
    stream = f"forged-{way.__name__}"
    await intake.log.append(append(stream, 0))
    events = await intake.log.read_stream(stream)
    partition = partition_of(stream, PARTITIONS)
    async with asyncio.timeout(REFUSED_SECONDS):
        async with publishing(way(topics, "routing"), "intake") as publisher:
            before = await publisher.places()
            with pytest.raises(BusUnavailable, match="TopicAuthorizationFailed"):
                await publisher.publish(partition, events)
            assert await publisher.places() == before


@both_ways
async def test_a_service_may_not_read_a_topic_that_its_acl_does_not_name(topics: Guarded, way: Way) -> None:
    async with asyncio.timeout(REFUSED_SECONDS):
        async with reading(way(topics, "intake"), "intake") as allowed:
            assert await allowed.heads("scoring") == [0] * PARTITIONS
        async with reading(way(topics, "routing"), "routing") as bus:
            assert await bus.heads("routing") == [0] * PARTITIONS
            with pytest.raises(BusUnavailable):
                await bus.heads("scoring")
            with pytest.raises(BusUnavailable):
                await bus.subscribe("reader", "scoring", from_the_start)


@both_ways
async def test_a_service_may_not_take_part_in_its_neighbours_groups(topics: Guarded, way: Way) -> None:
    async with asyncio.timeout(REFUSED_SECONDS), reading(way(topics, "routing"), "feedback") as bus:
        with pytest.raises(BusUnavailable, match="GroupAuthorizationFailed"):
            await read(bus, "intake", "nothing", 1)


@pytest.mark.parametrize("user", ["routing", "operator"])
async def test_nobody_creates_a_topic_that_no_acl_names(topics: Guarded, user: str) -> None:
    name = f"appeals.{user}-wants-this.v1"
    async with asyncio.timeout(REFUSED_SECONDS):
        with pytest.raises(BusUnavailable, match="refuses"):
            await create_topics(topics.password(user), [Topic(name, 1, 1, {})])
        assert await partition_counts(topics.certificate(ADMIN), [name]) == {}


async def test_asking_for_a_topic_does_not_make_it_even_for_who_may_do_everything(topics: Guarded) -> None:
    everything = topics.certificate(ADMIN)
    async with asyncio.timeout(REFUSED_SECONDS), reading(everything, "intake") as bus:
        with pytest.raises(BusUnavailable, match="jiesu topics"):
            await bus.heads("nowhere")
        assert list(await partition_counts(everything, [topic_of("nowhere"), topic_of("intake")])) == [
            topic_of("intake")
        ]


def test_the_acls_give_a_service_what_the_catalogue_says_and_nothing_else() -> None:
    expected: set[Right] = {("operator", what, "topic", name) for what in ("Create", "Describe") for name in declared()}
    for service in SERVICES:
        sources = {event.owner for event in CATALOGUE.values() if service in event.readers}
        expected |= {(service, "Read", "topic", topic_of(source)) for source in sources | {service}}
        expected |= {(service, "Write", "topic", topic_of(service)), (service, "Read", "group", f"jiesu.{service}.*")}
    assert {right for words in acl_lines() for right in rights(words)} == expected


def rights(words: Sequence[str]) -> set[Right]:
    """What one line gives. An option that this does not know is an error, not a right overlooked."""
    pairs = list(zip(words[::2], words[1::2], strict=True))
    given: dict[str, list[str]] = {option: [] for option in ("allow-principal", "operation", "topic", "group")}
    behind = {"prefixed": "*"}[prefixed] if (prefixed := dict(pairs).get("--resource-pattern-type")) else ""
    for option, value in pairs:
        if option != "--resource-pattern-type":
            given[option.removeprefix("--")].append(value)
    things = [(kind, name + behind) for kind in ("topic", "group") for name in given[kind]]
    who = [principal.removeprefix("User:") for principal in given["allow-principal"]]
    return {(user, what, *thing) for user in who for what in given["operation"] for thing in things}


def test_options_do_not_show_their_password() -> None:
    options = KafkaOptions("here:1", "SASL_SSL", username="intake", password="open sesame")
    assert options.client()["sasl_plain_password"] == "open sesame"
    assert "sesame" not in repr(options) + str(options)
