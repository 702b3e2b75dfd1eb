"""Nobody is told the same thing twice, and nothing is forgotten, however often the teller is killed.

The process that reacts and tells is killed with SIGKILL at the worst moments: when a gateway or a mail server has taken
a message and has not said so yet.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.support.city import City
from tests.support.jobs import jobs
from tests.support.telephones import Mailbox, Telephones, mailbox, telephones
from tests.support.waiting import PATIENCE_SECONDS, until

NewCity = Callable[..., AbstractAsyncContextManager[City]]
KILLS = 4
EXPECTED = Counter({"registered": 1, "unit-assigned": 1, "result": 1, "survey": 1})
OPEN = {"WAITING", "ATTEMPTED"}


async def notices(city: City) -> list[dict[str, Any]]:
    items, cursor = [], ""
    while cursor is not None:
        body = (await city.get(f"/feedback/v1/notifications?limit=200{cursor}")).body
        items += body["items"]
        cursor = f"&cursor={body['next_cursor']}" if body["next_cursor"] else None
    return items


class Teller:
    """The killed and started process."""

    def __init__(self, city: City, phones: Telephones, mails: Mailbox) -> None:
        self.city, self.outside = city, (phones, mails)

    def process(self) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
        self.city.clock.advance(timedelta(seconds=5))
        return jobs(self.city.database, self.city.clock.now(), self.city.running["feedback"].settings)

    async def killed_in_the_act(self) -> None:
        """Killed when something has been taken and its answer has not been given."""
        for one in self.outside:
            one.taken_one.clear()
            one.may_answer.clear()
        async with self.process() as process, asyncio.timeout(PATIENCE_SECONDS):
            waits = [asyncio.ensure_future(one.taken_one.wait()) for one in self.outside]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            process.kill()
            await process.wait()
            for wait in waits:
                wait.cancel()
        for one in self.outside:
            one.may_answer.set()


async def test_each_notice_goes_out_once_however_often_the_teller_is_killed(new_city: NewCity, tmp_path: Path) -> None:
    async with telephones() as phones, mailbox() as mails:
        settings = phones.settings(tmp_path) | mails.settings()
        async with new_city(jobs=False, **settings) as city:
            teller, made = Teller(city, phones, mails), list[str]()
            async with teller.process():
                pass  # the city is founded: units, catalogue
            for number in range(KILLS):
                made += [(await city.register(appellant=one))["appeal_id"] for one in two_people(number)]
                await teller.killed_in_the_act()
            async with teller.process():
                for one in made:
                    await city.handle_patiently(await city.until_state(one, "DISPATCHED"))
            await teller.killed_in_the_act()
            async with teller.process():
                all_ = await until(lambda: notices(city), lambda all_: told_of_all(all_, len(made)))
            check(all_, made, phones, mails)


def two_people(number: int) -> list[dict[str, str]]:
    """One who left a number, and one who left an address."""
    phone, email = f"1361234{number:04d}", f"resident{number}@example.cn"
    return [{"type": "PERSON", "phone": phone}, {"type": "PERSON", "email": email}]


def told_of_all(all_: list[dict[str, Any]], appeals: int) -> bool:
    return len(all_) == appeals * EXPECTED.total() and not [one for one in all_ if one["standing"] in OPEN]


def check(all_: list[dict[str, Any]], made: list[str], phones: Telephones, mails: Mailbox) -> None:
    by_appeal = {one: Counter(n["template"] for n in all_ if n["appeal_id"] == one) for one in made}
    assert all(told == EXPECTED for told in by_appeal.values()), by_appeal
    assert len({(one["cause"], one["template"]) for one in all_}) == len(all_)
    by_gateway = [one for one in all_ if one["channel"] != "EMAIL"]
    assert {one["standing"] for one in by_gateway} == {"SENT"}
    assert {one["notice_id"] for one in by_gateway} == phones.taken.keys()  # by its id a repeat is none
    by_mail = [one for one in all_ if one["channel"] == "EMAIL"]
    uncertain = [one for one in by_mail if one["standing"] != "SENT"]
    assert {one["reason"] for one in uncertain} <= {"UNCERTAIN"}
    came = Counter(name.strip("<>").partition("@")[0] for name in mails.ids.elements())
    assert set(came.values()) == {1}  # a mail server knows no repeat: nothing comes twice
    assert {one["notice_id"] for one in by_mail if one["standing"] == "SENT"} <= came.keys()
    assert len(by_mail) == KILLS * 3 and came.keys() <= {one["notice_id"] for one in by_mail}
