"""What is made from the log may be changed too: rows that are read, scores, records in a topic. All of it is found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import asyncpg

from services.proving import unlike_the_log
from shared.messaging.bus import Bell
from shared.messaging.kafka import KafkaBus
from tests.contract.test_event_log import postgres_log
from tests.support.city import City
from tests.support.database import TestServer
from tests.support.events import append
from tests.support.kafka import fresh_topics, relaying
from tests.support.views import settled
from tests.support.waiting import until

TAMPERED = {
    "cases": ("intake", "UPDATE cases_v{v}_g{g} SET lead_unit = 'bj-gas' WHERE appeal_id = $1"),
    "story": ("intake", "DELETE FROM story_v{v}_g{g} WHERE appeal_id = $1 AND type LIKE '%registered%'"),
    "orders": ("routing", "UPDATE orders_v{v}_g{g} SET lead_unit = 'bj-gas' WHERE appeal_id = $1"),
    "lives": ("scoring", "UPDATE lives_v{v}_g{g} SET registered_on = registered_on - 31 WHERE appeal_id = $1"),
}


async def test_a_row_that_the_log_does_not_give_is_named_by_table_and_key(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city() as city:
        case = await city.dispatched()
        await settled(city)
        services = city.running.items()
        projections = {(name, one.view.name): one for name, running in services for one in running.projections}
        for projection in projections.values():
            assert await projection.differing() == [], projection.view.name
        for view, (service, statement) in TAMPERED.items():
            running, projection = city.running[service], projections[service, view]
            row = await running.pool.fetchrow("SELECT * FROM view_generations WHERE view = $1", view)
            await running.pool.execute(statement.format(v=row["version"], g=row["generation"]), case["appeal_id"])
            found = await projection.differing()
            assert any(one.startswith(f"{view}: ") and case["appeal_id"] in one for one in found), (view, found)
            await projection.rebuild()
            assert await projection.differing() == []


async def test_a_record_in_a_topic_that_is_not_the_event_of_the_log_is_found(server: TestServer, kafka: str) -> None:
    async with AsyncExitStack() as stack:
        options, bell = await fresh_topics(kafka), Bell()
        log = await postgres_log(stack, server)
        await stack.enter_async_context(relaying(options, "intake", log, log._pool, bell))
        bus = KafkaBus(options, "routing", lambda source, reason: None)
        stack.push_async_callback(bus.close)
        places = [await log.append(append(f"a-{number}", 0, 3)) for number in range(20)]
        bell.ring()
        heads = await log.heads()
        await until(lambda: bus.heads("intake"), lambda published: published == heads)
        assert await unlike_the_log(bus, log, "intake") == (60, None)
        superuser = await asyncpg.connect(server.url(await log._pool.fetchval("SELECT current_database()")))
        stack.push_async_callback(superuser.close)
        await superuser.execute("ALTER TABLE intake.events DISABLE TRIGGER ALL")
        change = "UPDATE intake.events SET body = body || ' ' WHERE partition = $1 AND position = $2"
        await superuser.execute(change, places[7].partition, places[7].position)
        found = (await unlike_the_log(bus, log, "intake"))[1]
        assert found == f"partition {places[7].partition}, position {places[7].position}"
