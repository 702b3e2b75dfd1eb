"""Which fields each role is told of a plain, a confidential and a report-type appeal is written down, and exact.

A field that appears or goes changes a file under golden/fields, which a reviewer sees; to write them anew:
`python -m tests.e2e.golden_fields`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest_asyncio

from tests.e2e.golden_fields import Fields, collected, golden
from tests.support.city import City

PERSONAL = ("name", "phone", "email", "wechat", "ref", "source_ref", "relates_to", "client", "sent_sha256", "sub")
OUTSIDE = ("unit", "co-unit", "community", "district")


@pytest_asyncio.fixture(scope="module")
async def fields(new_city: Callable[..., AbstractAsyncContextManager[City]]) -> AsyncIterator[dict[str, Fields]]:
    async with new_city() as city:
        yield await collected(city)


def test_every_role_is_told_exactly_what_is_written_down(fields: dict[str, Fields]) -> None:
    due_, wrong = golden(), []
    assert due_.keys() == fields.keys()
    for endpoint, kinds in fields.items():
        for kind, roles in kinds.items():
            for role, found in roles.items():
                due = due_[endpoint][kind][role]
                if isinstance(found, int) or isinstance(due, int):
                    wrong += [] if found == due else [f"{endpoint}, {kind}, {role}: {due} became {found}"]
                    continue
                more, less = sorted(set(found) - set(due)), sorted(set(due) - set(found))
                wrong += [f"{endpoint}, {kind}, {role}: more {more}, less {less}"] if more or less else []
    assert not wrong, "\n".join(wrong)


def test_what_is_written_down_names_nobody_to_whom_they_are_hidden() -> None:
    for endpoint, kinds in golden().items():
        for kind in ("confidential", "report"):
            for role in OUTSIDE:
                found = kinds[kind].get(role, [])
                last = [one.rpartition(".") for one in (found if isinstance(found, list) else [])]
                told = [f"{path}.{name}" for path, _, name in last if name in PERSONAL]
                people = [one for one in told if endpoint != "proposals" and not one.endswith("candidates[].name")]
                assert people == [], (endpoint, kind, role)
