"""A city that has a past: months of lives that routing and feedback recorded, and scoring alone running on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.chronicle import CASE, CHRONICLER, KEY, Note, Past, write
from services.laboratory import SCORING, WRITTEN, caught_up
from shared.contracts.envelope import BEIJING, Payload
from shared.engine.execute import Intention
from shared.engine.runtime import Role, Running, running_city
from tests.support.city import SECRETS, START, City, Reply

NewCity = Callable[..., AbstractAsyncContextManager[City]]
BEGINS = datetime(2026, 8, 19, tzinfo=BEIJING)
CLOSED, RUNNING = "2026-11", "2026-12"
"""The last period that is over, and the one that START lies in."""
STREET = "lab-01-01"


@dataclass
class Scored:
    """Scoring over HTTP, and the logs that it reads."""

    city: City
    routing: Running
    feedback: Running

    @property
    def scoring(self) -> Running:
        return self.city.running["scoring"]

    async def counted(self) -> None:
        """Wait until scoring has taken all that the logs hold."""
        await caught_up(self.scoring, lambda done, goal: None)

    async def get(self, path: str, **more: Any) -> Reply:
        return await self.city.get(f"/scoring/v1/{path}", **more)

    async def post(self, path: str, body: Any, role: str = "MUNICIPAL_ADMIN", **more: Any) -> Reply:
        return await self.city.post(f"/scoring/v1/{path}", body, role, **more)

    async def table(self, period: str = CLOSED, **query: str) -> dict[str, Any]:
        """The league table of the streets."""
        asked = {"period": period, "league": "STREET_TOWN"} | query
        reply = await self.get("scores?" + "&".join(f"{name}={value}" for name, value in asked.items()))
        assert reply.status == 200, reply.raw
        body: dict[str, Any] = reply.body
        return body

    async def appeals(self, unit: str = STREET, period: str = CLOSED, **query: str) -> list[dict[str, Any]]:
        """Every appeal that a unit's figures are made of."""
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        more = "".join(f"&{name}={value}" for name, value in query.items())
        while cursor is not None:
            body = (await self.get(f"units/{unit}/appeals?limit=200&period={period}{more}{cursor}")).body
            found += body["items"]
            cursor = body["next_cursor"] and f"&cursor={body['next_cursor']}"
        return found

    async def feedback_says(self, appeal_id: str, payload: Payload, at: datetime) -> None:
        """One more event of a case."""
        intention = Intention(CASE, appeal_id, Note(at=at, actor=CHRONICLER, payload=payload), sealed_for=KEY)
        await self.feedback.executor.execute(intention)


def of(table: dict[str, Any], unit: str = STREET) -> dict[str, Any]:
    """A unit's line."""
    return next(item for item in table["items"] if item["unit_id"] == unit)


@asynccontextmanager
async def scored(new_city: NewCity, lives: int = 1500, streets: int = 6) -> AsyncIterator[Scored]:
    """Three months of lives and some days, counted. The clock stands at START."""
    async with new_city(services=(SCORING,)) as city:
        settings = city.running["scoring"].settings
        async with running_city(WRITTEN, city.database, settings, SECRETS, city.clock, roles={Role.API}) as logs:
            past = Past(BEGINS, START - timedelta(hours=1), lives, streets)
            await write(past, logs["routing"], logs["feedback"], lambda done, goal: None)
            made = Scored(city, logs["routing"], logs["feedback"])
            await made.counted()
            yield made
