"""Real questions with their real answers and delays, lived through contact, feedback, callback and rework.

Whoever reacts, projects and tells is another process, which is killed with SIGKILL at the end of every step of this
story, whatever it is doing, and started again with the clock of the next one. Nothing may be lost or told twice.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from services.feedback_service.links import Link, Purpose, written
from tests.support.city import SECRETS, START, City, Reply
from tests.support.jobs import jobs
from tests.support.realdata import real
from tests.support.telephones import Telephones, telephones
from tests.support.views import quiet
from tests.support.waiting import until

NewCity = Callable[..., AbstractAsyncContextManager[City]]
LIVES, TOGETHER, SEED = int(os.environ.get("LIVES", "60")), 32, 6
"""1,000 lives take two minutes; some hundreds show the same."""
UNITS = ("bj-water", "bj-gas", "bj-power", "bj-housing")
LIMIT_DAYS = 7
ANSWERED_BY_DAY = (0, 2, 4, 6)
"""Closer than the three days after which news is stale: what a kill interrupts is still told by the next process."""
MINUTES = timedelta(minutes=1)
LONG = 300.0
"""A thousand lives at once take a while to be followed."""
HAPPENED = {
    *("case-opened", "case-signed", "case-ended", "case-reopened", "rework-requested"),
    *("appellant-contacted", "appellant-unreachable", "message-posted", "feedback-given", "citizen-evaluated"),
    *("callback-scheduled", "callback-attempted", "callback-recorded", "callback-invalidated"),
}
"""What must have happened to somebody."""
OPEN_NOTICES = "SELECT count(*) FROM notices WHERE standing IN ('WAITING', 'ATTEMPTED') AND due_at <= $1"
STANDING = "SELECT state, count(*) FROM cases GROUP BY state"
TWICE = "SELECT count(*) FROM (SELECT 1 FROM notices GROUP BY cause, template HAVING count(*) > 1) AS twice"


@dataclass
class Life:
    """One appeal: what was really asked, what was really answered, and how many days later."""

    question: dict[str, str]
    number: int
    chance: random.Random
    appeal_id: str = ""
    unit: str = ""
    round: int = 1
    tried: bool = False

    @property
    def days(self) -> int:
        asked, answered = (datetime.fromisoformat(self.question[name]) for name in ("posted_at", "replied_at"))
        return max(1, (answered - asked).days + 1)


class Story:
    """The steps, each with the jobs of the city running beside it."""

    def __init__(self, city: City, lives: Sequence[Life]) -> None:
        self.city, self.lives, self.kills = city, lives, 0
        self._slots = asyncio.Semaphore(TOGETHER)

    @asynccontextmanager
    async def step(self, at: datetime) -> AsyncIterator[None]:
        """A moment in which things are done; then the process that follows is killed, wherever it is."""
        self.city.clock.set(at)
        async with jobs(self.city.database, at, self.city.running["feedback"].settings) as process:
            await self.settled()  # what the killed one before had left
            yield
            process.kill()
            self.kills += 1

    async def all_do(self, act: Callable[[Life], Awaitable[None]], lives: Iterable[Life]) -> None:
        """Some at a time."""

        async def one(life: Life) -> None:
            async with self._slots:
                await act(life)

        await asyncio.gather(*map(one, lives))

    async def settled(self) -> None:
        """Every consumer has taken everything, and no notice that is due waits."""
        pool, now = self.city.running["feedback"].pool, self.city.clock.now()

        async def nothing_waits() -> bool:
            return await quiet(self.city.running) and not await pool.fetchval(OPEN_NOTICES, now)

        await until(nothing_waits, patience_seconds=LONG)

    # What residents, units and officers do.

    async def register(self, life: Life) -> None:
        asked = life.question
        body = self.city.appeal(title=asked["title"][:100], content=(asked["detail"] or asked["title"])[:10_000])
        body["appellant"] = {"type": "PERSON", "phone": f"139{life.number:08d}"}
        life.appeal_id = (await self._done("/intake/v1/appeals", body, "AGENT", 201)).body["appeal_id"]

    async def dispatch(self, life: Life) -> None:
        life.unit = life.chance.choice(UNITS)
        order = {"unit_id": life.unit, "reason": "人工派单", "tier": "GENERAL"}
        await self._done(f"/routing/v1/orders/{life.appeal_id}/dispatch", order, "DISPATCHER")

    async def sign(self, life: Life) -> None:
        await self._done(f"/routing/v1/orders/{life.appeal_id}/sign", {}, "STREET_HANDLER", unit=life.unit)

    async def answer(self, life: Life) -> None:
        """The real answer, to the resident and in short to the hotline; some cannot be reached before."""
        if life.chance.random() < 0.1:
            for hours in (20, 17, 14):
                at = (self.city.clock.now() - timedelta(hours=hours)).isoformat()
                await self._unit(life, "contact", {"channel": "PHONE", "outcome": "NO_ANSWER", "at": at})
        else:
            await self._unit(life, "contact", {"channel": "PHONE", "outcome": "REACHED"})
        if life.chance.random() < 0.3:
            await self._unit(life, "messages", {"text": "已收到，正在核实。"})
            await self._unit(life, "feedback", {"kind": "PROGRESS", "recipient": "APPELLANT", "text": "正在核实。"})
        for to, text in (("APPELLANT", life.question["reply"]), ("HOTLINE", f"已答复：{life.question['reply'][:200]}")):
            await self._unit(life, "feedback", {"kind": "RESULT", "recipient": to, "text": text[:10_000]})

    async def withdraw(self, life: Life) -> None:
        await self._done(f"/intake/v1/appeals/{life.appeal_id}/withdraw", {"reason": "已自行解决"}, "AGENT")

    async def call_back(self, life: Life) -> None:
        """By an officer, by the link, or in vain; a unit that was silent, or said nothing, hears about it."""
        file = (await self.city.get(f"/feedback/v1/cases/{life.appeal_id}")).body
        life.round = file["round"]
        empty = {"TEMPLATE", "SHORT"} & set(file["findings"])
        solved = bool(file["feedback"]) and not (empty and life.round == 1)
        said: dict[str, Any] = {"contacted": solved, "resolved": solved}
        said |= {"satisfaction": "SATISFIED" if solved else "DISSATISFIED"}
        drawn = life.chance.random()
        if solved and (life.tried or drawn < 0.05):  # nobody answers today, nor tomorrow
            await self._officer(life, "/attempts", {"outcome": "NO_ANSWER"})
            if life.tried:
                await self._officer(life, "", {"valid": False})
            life.tried = not life.tried
        elif drawn < 0.4:
            link = written(SECRETS.token, Link(life.appeal_id, Purpose.SURVEY, life.round))
            await self._done(f"/feedback/v1/survey/{link}", said, None)
        else:
            await self._officer(life, "", said | {"valid": True})

    async def reopen(self, life: Life) -> None:
        await self._done(f"/feedback/v1/cases/{life.appeal_id}/reopen", {"reason": "问题又出现了"}, "AGENT")

    async def _unit(self, life: Life, what: str, body: Any) -> None:
        path = f"/feedback/v1/cases/{life.appeal_id}/{what}"
        await self._done(path, body, "STREET_HANDLER", unit=life.unit)

    async def _officer(self, life: Life, what: str, body: Any) -> None:
        await self._done(f"/feedback/v1/cases/{life.appeal_id}/callback{what}", body, "CALLBACK_OFFICER")

    async def _done(self, path: str, body: Any, role: str | None, status: int = 200, **who: Any) -> Reply:
        """A city that is busy catching up is asked again."""
        reply = await until(
            lambda: self.city.post(path, body, role, **who), lambda reply: reply.status not in {425, 503}, LONG
        )
        assert reply.status == status, (path, reply.status, reply.raw)
        return reply

    async def in_state(self, *states: str) -> list[Life]:
        """The lives whose case is there, as feedback sees it."""
        rows = await self.city.running["feedback"].pool.fetch("SELECT appeal_id, state FROM cases")
        now = {row["appeal_id"]: row["state"] for row in rows}
        return [life for life in self.lives if now.get(life.appeal_id) in states]


async def test_real_lives_under_kills(new_city: NewCity, tmp_path: Path) -> None:
    questions = [row for row in real("appeals_replied.csv") if len(row["reply"]) > 1][:LIVES]
    lives = [Life(row, n, random.Random(f"{SEED}:{n}")) for n, row in enumerate(questions)]
    async with telephones() as phones, new_city(jobs=False, **phones.settings(tmp_path)) as city:
        story = Story(city, lives)
        async with story.step(START):
            pass  # the city is founded: units, catalogue
        await first_round(story, lives)
        await later_rounds(story)
        await check(story, phones)


async def first_round(story: Story, lives: Sequence[Life]) -> None:
    """Asked on the first day, answered after as many days as it really took, or silent when the limit comes."""
    async with story.step(START):
        await story.all_do(story.register, lives)
        await story.all_do(story.dispatch, lives)
    async with story.step(START + MINUTES):
        await story.all_do(story.sign, lives)
    gone = [life for life in lives if life.number % 50 == 7]
    async with story.step(START + 2 * MINUTES):
        await story.all_do(story.withdraw, gone)
    for since, day in pairwise(ANSWERED_BY_DAY):
        answered = [life for life in lives if since < life.days <= day and life not in gone]
        async with story.step(START + timedelta(days=day)):
            await story.all_do(story.answer, answered)


async def later_rounds(story: Story) -> None:
    """Everybody is asked; what is not solved goes round again; some say afterwards that it was not."""
    at = START + timedelta(days=LIMIT_DAYS, hours=4)
    reopened = False
    while True:
        async with story.step(at):
            due = await story.in_state("CALLBACK_DUE", "FEEDBACK_DONE")
            again = await story.in_state("DISPATCHED", "SIGNED")
            await story.all_do(story.call_back, due)
            await story.all_do(story.sign, again)
            await story.all_do(story.answer, again)
            if not due and not again:
                if reopened:
                    return
                closed = [life for life in await story.in_state("CLOSED") if life.round == 1]
                await story.all_do(story.reopen, closed[:20])
                reopened = True
        at += timedelta(days=1)


async def check(story: Story, phones: Telephones) -> None:
    """Every life has ended, everything that can happen has happened, and every notice went out once."""
    city = story.city
    states = dict(await city.running["feedback"].pool.fetch(STANDING))
    assert set(states) <= {"CLOSED", "WITHDRAWN"} and sum(states.values()) == len(story.lives)
    log = city.running["feedback"].log
    names = Counter[str]()
    for life in story.lives:
        names.update(event.type.split(".")[-2] for event in await log.read_stream(f"case-{life.appeal_id}"))
    assert names.keys() >= HAPPENED
    pool = city.running["feedback"].pool
    assert await pool.fetchval(TWICE) == 0
    stood = dict(await pool.fetch("SELECT standing, count(*) FROM notices GROUP BY standing"))
    assert set(stood) == {"SENT"}, stood
    sent = {row["notice_id"] for row in await pool.fetch("SELECT notice_id FROM notices WHERE standing = 'SENT'")}
    assert sent == phones.taken.keys()
    again = phones.requests.total() - len(sent)
    told = f"{len(sent)} notices, {again} handed over again under their own id"
    print(f"\n{len(story.lives)} lives, {story.kills} kills: {states}; {names.total()} events; {told}")  # noqa: T201
