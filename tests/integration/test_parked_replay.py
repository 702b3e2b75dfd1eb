"""One subject's parked events are replayed by an operator; all of a service's only when two officers agree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path

import asyncpg

from shared.contracts.access import OperationCarriedOut
from shared.contracts.upcasters import payload_of
from shared.engine.clock import SystemClock
from tests.integration.test_parking import WITHDRAWN_V2, parked, put
from tests.integration.test_process import START_SECONDS, jiesu
from tests.support.city import SECRETS, City
from tests.support.database import PARTITIONS
from tests.support.views import settled

NewCity = Callable[..., AbstractAsyncContextManager[City]]
PATIENCE = START_SECONDS
MEND = """
    UPDATE routing.parked SET body = convert_to(
        replace(convert_from(body, 'UTF8'), 'appeal-withdrawn.v2', 'appeal-withdrawn.v1'), 'UTF8')"""


class Operator:
    """Whoever has a shell beside the city."""

    def __init__(self, city: City, home: Path) -> None:
        self.city, keys = city, home / "keys"
        keys.mkdir()
        for name in ("master", "token", "index", "signing"):
            (keys / f"{name}.key").write_bytes(getattr(SECRETS, name))
        places = {"HOME": home, "KEYS": keys, "DATABASE_URL": city.database, "PARTITIONS": PARTITIONS}
        self._where = {f"JIESU_{name}": str(value) for name, value in places.items()}

    async def replay(self, *words: str) -> tuple[int | None, str]:
        process = await jiesu("parked", "replay", *words, COLUMNS="300", **self._where)
        printed, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
        said = (printed + errors).decode()
        assert "Traceback" not in said, said
        return process.returncode, said

    async def refused(self, *words: str) -> str:
        """The one line of a refusal, after which everything is parked as before."""
        routing = self.city.running["routing"]
        before = await parked(routing)
        code, said = await self.replay("routing", *words)
        assert code == 1 and len(said.strip().splitlines()) == 1, said
        assert await parked(routing) == before != []
        return said

    async def mend(self) -> None:
        """As if a version that reads these events had been deployed."""
        owner = await asyncpg.connect(self.city.database)
        await owner.execute(MEND)
        await owner.close()


async def agreed(city: City, kind: str, target: str, *officers: str) -> str:
    """An operation, asked for by the first officer and approved by the others."""
    first, *others = officers
    body = {"kind": kind, "target": target, "ground": "MENDED"}
    made = await city.post("/intake/v1/operations", body, "HOTLINE_SUPERVISOR", sub=first)
    assert made.status == 201, made.raw
    operation = str(made.body["operation"])
    for officer in others:
        path = f"/intake/v1/operations/{operation}/approve"
        assert (await city.post(path, {}, "HOTLINE_SUPERVISOR", sub=officer)).status == 200
    return operation


async def test_all_of_a_service_takes_two_officers_and_one_subject_takes_none(
    new_city: NewCity, tmp_path: Path
) -> None:
    async with new_city() as city:
        operator, routing = Operator(city, tmp_path), city.running["routing"]
        city.clock.advance(max(SystemClock().now() - city.clock.now(), timedelta()))  # the operator's clock is real
        appeals = [(await city.dispatched())["appeal_id"] for _ in range(2)]
        for appeal_id in appeals:
            await put(city.running["intake"], appeal_id, 2, WITHDRAWN_V2, {})
        await settled(city)
        assert {subject for subject, _ in await parked(routing)} == set(appeals)

        assert "takes two officers" in await operator.refused()
        assert "no operation" in await operator.refused("--operation", "of-nobody")
        for operation, reason in (
            (await agreed(city, "REPLAY", "routing", "li"), "SECOND_OFFICER_NEEDED"),
            (await agreed(city, "REPLAY", "feedback", "li", "wang"), "OPERATION_DIFFERS"),
            (await agreed(city, "KEY_ROTATION", "master", "li", "wang"), "OPERATION_DIFFERS"),
        ):
            assert reason in await operator.refused("--operation", operation)

        await operator.mend()
        code, said = await operator.replay("routing", appeals[0])
        assert code == 0 and f"{appeals[0]}: 1 from intake" in said, said
        assert [subject for subject, _ in await parked(routing)] == [appeals[1]]

        operation = await agreed(city, "REPLAY", "routing", "li", "wang")
        code, said = await operator.replay("routing", "--operation", operation)
        assert code == 0 and f"{appeals[1]}: 1 from intake" in said, said
        assert await parked(routing) == []
        code, said = await operator.replay("routing", "--operation", operation)
        assert code == 1 and "OPERATION_OVER" in said, said
        events = await city.running["intake"].log.read_stream(f"operation-{operation}")
        last = events[-1].envelope
        assert payload_of(last.type, last.data) == OperationCarriedOut(count=1)
        assert last.actor.role == "OPERATOR"
        await settled(city)
        for appeal_id in appeals:
            assert (await city.get(f"/routing/v1/orders/{appeal_id}")).body["state"] == "WITHDRAWN"
