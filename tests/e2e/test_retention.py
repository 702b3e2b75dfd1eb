"""Whose data is due: when all of a person's appeals are over and the longest term has run out, and not a day before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

from services.intake_service.retaining import terms
from tests.support.city import City
from tests.support.views import settled

OFFICERS = ("one@hotline", "two@hotline")
YEAR = timedelta(days=366)


async def refs_due(city: City, measure: str) -> list[str]:
    reply = await city.get(f"/intake/v1/appellants/due?measure={measure}", "HOTLINE_SUPERVISOR")
    assert reply.status == 200, reply.raw
    return [item["ref"] for item in reply.body["items"]]


async def ended(city: City, **changes: Any) -> str:
    """The person of an appeal that was answered at once."""
    appeal_id = (await city.register(**changes))["appeal_id"]
    assert (await city.post(f"/intake/v1/appeals/{appeal_id}/answer", {"text": "已答复"})).status == 200
    await city.until_state(appeal_id, "ANSWERED")
    query = "SELECT person FROM cases WHERE appeal_id = $1"
    return str(await city.running["intake"].pool.fetchval(query, appeal_id))


async def test_a_person_is_due_when_the_longest_term_of_their_appeals_has_run_out(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city() as city:
        short = await ended(city, kind="CONSULT")
        both = {"type": "PERSON", "phone": "13900000001"}
        long = await ended(city, kind="CONSULT", appellant=both)
        case = await city.dispatched(appellant=both)
        await city.handle(case)
        assert (await city.callback(case)).status == 200
        await city.until_state(case["appeal_id"], "CLOSED")
        open_ = (await city.register(kind="CONSULT"))["appeal_id"]
        assert await refs_due(city, "RESTRICT") == []
        city.clock.advance(YEAR)
        await city.until(lambda: refs_due(city, "RESTRICT"), lambda refs: refs == [short])
        assert await refs_due(city, "ERASE") == []
        city.clock.advance(2 * YEAR)
        assert (await refs_due(city, "RESTRICT"), await refs_due(city, "ERASE")) == ([short, long], [short])
        assert (await city.case(open_))["state"] != "ANSWERED"
        for officer in OFFICERS:
            path = f"/intake/v1/appellants/{short}/restrict"
            reply = await city.post(path, {"ground": "RETENTION_OVER"}, sub=officer)
            assert reply.status == 200, reply.raw
        await city.until(lambda: refs_due(city, "RESTRICT"), lambda refs: refs == [long])
        assert await refs_due(city, "ERASE") == [short]


async def test_who_comes_again_after_being_erased_is_due_again_and_tags_keep_nobody_longer(
    new_city: Callable[..., AbstractAsyncContextManager[City]],
) -> None:
    async with new_city() as city:
        who = {"type": "PERSON", "phone": "13900000002"}
        person = await ended(city, kind="CONSULT", appellant=who)
        for officer in OFFICERS:
            path = f"/intake/v1/appellants/{person}/erase"
            assert (await city.post(path, {"ground": "REQUEST_OF_PERSON"}, sub=officer)).status == 200
        city.clock.advance(YEAR)
        appeal_id = (await city.register(kind="CONSULT", appellant=who))["appeal_id"]
        assert (await city.post(f"/intake/v1/appeals/{appeal_id}/answer", {"text": "已答复"})).status == 200
        await city.until_state(appeal_id, "ANSWERED")
        city.clock.advance(YEAR)
        assert (await city.post(f"/intake/v1/appeals/{appeal_id}/tags", {"tags": ["供水"]})).status == 200
        await settled(city)
        assert await refs_due(city, "RESTRICT") == [person] and await refs_due(city, "ERASE") == []


async def test_only_officers_who_keep_persons_see_it(city: City) -> None:
    assert (await city.get("/intake/v1/appellants/due?measure=ERASE", "AGENT")).status == 403
    assert (await city.get("/intake/v1/appellants/due?measure=X", "HOTLINE_SUPERVISOR")).status == 422


def test_every_term_erases_later_than_it_restricts() -> None:
    version, known = terms()
    assert version and all(timedelta() < term.restrict < term.erase for term in known)
