"""Who may do what in the database, asked of logins as deploy/roles.sql makes them, in the role of their service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import asyncpg
import pytest
import pytest_asyncio

from services.city import ports
from services.up import migrate
from shared.eventlog.migrate import ForeignCode
from shared.eventlog.postgres import append_within
from tests.architecture.test_deploy import roles_sql
from tests.support.database import PARTITIONS, TestServer
from tests.support.events import append, claim
from tests.support.forbidden import ALLOWED, ALONE, BESIDE, CODE, EVENT, EVENTS, POWERS, UNHEARD

SERVICES = tuple(ports())
REFUSED = asyncpg.InsufficientPrivilegeError.sqlstate


class Guarded(NamedTuple):
    """A database as operators set it up, with one event in every log, and a connection for everybody."""

    owner: asyncpg.Connection
    superuser: asyncpg.Connection
    services: Mapping[str, asyncpg.Connection]


@asynccontextmanager
async def undone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def refused(who: asyncpg.Connection, statement: str, match: str | None = None) -> None:
    """For want of privilege and for nothing else; were it done, it would be undone."""
    async with undone(who):
        with pytest.raises(asyncpg.PostgresError, match=match) as caught:
            await who.execute(statement)
        assert caught.value.sqlstate == REFUSED, caught.value


async def opened(stack: AsyncExitStack, url: str, service: str = "", role: str = "") -> asyncpg.Connection:
    """Closed at the end; in the schema and the role of a service, as its pools are."""
    settings = {"search_path": service, "role": role or f"jiesu_{service}"} if service else {}
    connection = await asyncpg.connect(url, server_settings=settings)
    stack.push_async_callback(connection.close)
    return connection


@pytest_asyncio.fixture(scope="module")
async def guarded(server: TestServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    folder = tmp_path_factory.mktemp("secrets")
    for who in ("owner", *SERVICES):
        (folder / f"{who}_password").write_text(f"{who}-with-a-long-password\n")
    async with AsyncExitStack() as stack:
        admin = await opened(stack, server.url("postgres"))
        await admin.execute("CREATE DATABASE guarded")
        stack.push_async_callback(admin.execute, "DROP DATABASE guarded WITH (FORCE)")
        done = roles_sql(server.url("guarded"), folder)
        assert done.returncode == 0, done.stderr
        urls = {who: server.url("guarded").replace("://jiesu@", f"://{who}_login@") for who in ("owner", *SERVICES)}
        await migrate(urls["owner"], server.settings())
        services = {name: await opened(stack, urls[name], name) for name in SERVICES}
        for connection in services.values():
            await append_within(connection, PARTITIONS, [append("a-1", 0, claims=(claim("k"),))])
        owner = await opened(stack, urls["owner"])
        yield Guarded(owner, await opened(stack, server.url("guarded")), services)


def for_each(statements: Mapping[str, str]) -> Any:
    """Every statement for every service, as a case with a name of its own."""
    neighbour = dict(zip(SERVICES, (*SERVICES[1:], SERVICES[0]), strict=True))
    cases = [
        pytest.param(me, text.replace("{me}", me).replace("{other}", neighbour[me]), id=f"{me}-{name}")
        for me in SERVICES
        for name, text in statements.items()
    ]
    return pytest.mark.parametrize(("me", "statement"), cases)


@for_each(EVENTS | BESIDE | CODE | POWERS)
async def test_a_service_is_refused_what_is_not_its_business(guarded: Guarded, me: str, statement: str) -> None:
    await refused(guarded.services[me], statement)


@for_each(ALONE)
async def test_a_service_is_refused_what_concerns_the_whole_server(guarded: Guarded, me: str, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await guarded.services[me].execute(statement)


@for_each(UNHEARD)
async def test_a_service_gives_nobody_a_right(guarded: Guarded, me: str, statement: str) -> None:
    rights = """SELECT oid::text, relacl::text FROM pg_class UNION ALL SELECT oid::text, proacl::text FROM pg_proc
        UNION ALL SELECT nspname, nspacl::text FROM pg_namespace ORDER BY 1"""
    service = guarded.services[me]
    async with undone(service):
        before = await service.fetch(rights)
        await service.execute(statement)
        assert await service.fetch(rights) == before


@for_each(ALLOWED)
async def test_a_service_can_do_its_work(guarded: Guarded, me: str, statement: str) -> None:
    async with undone(guarded.services[me]):
        await guarded.services[me].execute(statement)


@pytest.mark.parametrize("me", SERVICES)
async def test_an_event_is_recorded_now_by_the_clock_of_the_database(guarded: Guarded, me: str) -> None:
    service = guarded.services[me]
    async with undone(service):
        await append_within(service, PARTITIONS, [append("a-2", 0)])
        assert await service.fetchval(
            "SELECT recorded_at BETWEEN now() AND clock_timestamp() FROM events WHERE stream = 'a-2'"
        )


@pytest.mark.parametrize("me", SERVICES)
async def test_only_intake_destroys_keys_and_none_of_the_systems_own(guarded: Guarded, me: str) -> None:
    service, destroy = guarded.services[me], "SELECT vault.destroy_keys('{r,system:x}')"
    if me != "intake":
        await refused(service, destroy)
        return
    async with undone(service):
        await service.execute("INSERT INTO vault.subject_keys (ref, wrapped) VALUES ('r', 'w'), ('system:x', 'w')")
        await service.execute(destroy)
        kept = await service.fetch("SELECT ref FROM vault.subject_keys WHERE wrapped IS NOT NULL")
        assert [row["ref"] for row in kept] == ["system:x"]


CHANGES = {
    "update": "UPDATE events SET body = ''",
    "back-date": "UPDATE events SET recorded_at = '2001-01-01' WHERE false",
    "delete": "DELETE FROM events",
    "truncate": "TRUNCATE events CASCADE",
    "truncate-both": "TRUNCATE idempotency, events",
    "delete-within": "WITH gone AS (DELETE FROM events RETURNING 1) SELECT count(*) FROM gone",
    "merge-delete": "MERGE INTO events e USING (SELECT 1) x ON true WHEN MATCHED THEN DELETE",
    "merge-update": "MERGE INTO events e USING (SELECT 1) x ON true WHEN MATCHED THEN UPDATE SET body = ''",
    "upsert": f"INSERT INTO events VALUES ({EVENT}) ON CONFLICT (event_id) DO UPDATE SET body = ''",
    "key-update": "UPDATE idempotency SET answer = ''",
    "key-delete": "DELETE FROM idempotency",
    "key-truncate": "TRUNCATE idempotency",
}


@pytest.mark.parametrize("who", ["owner", "superuser", "superuser playing replica"])
@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("service", SERVICES)
async def test_not_even_the_owner_changes_the_log(guarded: Guarded, service: str, statement: str, who: str) -> None:
    connection = guarded.owner if who == "owner" else guarded.superuser
    async with undone(connection):
        await connection.execute(f"SET LOCAL search_path TO {service}")
        if who == "superuser playing replica":
            await connection.execute("SET LOCAL session_replication_role = replica")
        await refused(connection, statement, "append-only")


async def test_no_role_has_powers_of_its_own_or_by_another(guarded: Guarded) -> None:
    ours = "(rolname LIKE 'jiesu\\_%' OR rolname LIKE '%\\_login')"
    roles = await guarded.owner.fetch(f"SELECT * FROM pg_roles WHERE {ours}")
    assert {row["rolname"] for row in roles} == {
        "owner_login",
        *(n for s in SERVICES for n in (f"jiesu_{s}", f"{s}_login")),
    }
    for power in ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication"):
        assert [row["rolname"] for row in roles if row[power]] == []
    assert [row["rolname"] for row in roles if row["rolcanlogin"] != row["rolname"].endswith("_login")] == []
    member = await guarded.owner.fetch(
        f"SELECT rolname, roleid::regrole::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE {ours}"
    )
    own = {(f"{service}_login", f"jiesu_{service}") for service in SERVICES}
    assert {tuple(row) for row in member} == own | {("owner_login", f"jiesu_{service}") for service in SERVICES}


async def test_whoever_comes_by_has_no_right_to_anything(guarded: Guarded) -> None:
    found = await guarded.owner.fetch("""
        SELECT c.oid::regclass::text FROM pg_class c, aclexplode(c.relacl) a
        WHERE a.grantee = 0 AND c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
        UNION ALL SELECT nspname FROM pg_namespace, aclexplode(nspacl) a
        WHERE a.grantee = 0 AND nspname !~ '^(pg_catalog|information_schema|public)$'
        UNION ALL SELECT p.oid::regprocedure::text
        FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        WHERE a.grantee = 0 AND p.prosecdef""")
    assert found == []


async def test_what_runs_with_its_owners_rights_looks_nowhere_a_service_can_put_things(guarded: Guarded) -> None:
    paths = await guarded.owner.fetch("""
        SELECT p.oid::regprocedure::text, split_part(setting, '=', 2) FROM pg_proc p
        LEFT JOIN unnest(p.proconfig) AS setting ON setting LIKE 'search_path=%' WHERE p.prosecdef""")
    assert len(paths) == len(SERVICES) + 2
    for name, path in paths:
        *looked_in, last = [one.strip(' "') for one in path.split(",")]
        assert last == "pg_temp", name
        for schema in looked_in:
            for service in SERVICES:
                may = "SELECT has_schema_privilege($1, $2, 'CREATE')"
                assert not await guarded.owner.fetchval(may, f"jiesu_{service}", schema), name


TRAP = "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;"
TRAPS = {
    "aggregate": f"CREATE FUNCTION trap(text[], text) RETURNS text[] {TRAP}"
    "CREATE AGGREGATE array_agg(text) (SFUNC = trap, STYPE = text[])",
    "operator": f"CREATE FUNCTION trap(text, text) RETURNS boolean {TRAP}"
    "CREATE OPERATOR = (LEFTARG = text, RIGHTARG = text, FUNCTION = trap)",
    "operator of catalogues": f"CREATE FUNCTION trap(name, varchar) RETURNS boolean {TRAP}"
    "CREATE OPERATOR = (LEFTARG = name, RIGHTARG = varchar, FUNCTION = trap)",
    "function": f"CREATE FUNCTION unnest(text[]) RETURNS SETOF text {TRAP}",
}


@pytest.mark.parametrize("trap", TRAPS)
async def test_a_trap_is_not_stepped_into_by_append_and_stops_the_owner(server: TestServer, trap: str) -> None:
    """Without roles.sql a service may still have code of its own."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(server.fresh())
        service = await opened(stack, url, "intake")
        await service.execute(TRAPS[trap])
        for name in ("events", "log_heads", "idempotency"):
            await service.execute(f"CREATE TEMPORARY TABLE {name} (LIKE intake.{name} INCLUDING ALL)")
        await service.execute("SET search_path TO intake, pg_temp, pg_catalog")
        await append_within(service, PARTITIONS, [append("a-1", 0)])
        assert await service.fetchval("SELECT count(*) FROM intake.events") == 1
        with pytest.raises(ForeignCode, match="of jiesu_intake"):
            await migrate(url, server.settings())


async def test_after_all_of_that_the_logs_are_what_they_were(guarded: Guarded) -> None:
    for service in SERVICES:
        found = await guarded.superuser.fetch(f"SELECT stream, version FROM {service}.events")
        assert [tuple(row) for row in found] == [("a-1", 1)]
