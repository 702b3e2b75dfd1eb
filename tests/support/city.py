"""A whole city for a test: real PostgreSQL, real HTTP on loopback, a clock that moves when told to."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import aiohttp

from services.city import APIS, SERVICES
from services.serving import Server, configuration, doors_of, faces
from shared.contracts.envelope import BEIJING
from shared.engine.clock import ManualClock
from shared.engine.ids import SystemIds
from shared.engine.runtime import EVERY_ROLE, Role, Running, Service, running_city
from shared.engine.secrets import Secrets
from shared.eventlog.log import partition_of
from shared.messaging.bus import Bus
from shared.web.app import create_city
from shared.web.tokens import Tokens
from shared.web.webhooks import delivering
from tests.support.database import TestServer
from tests.support.waiting import until

START = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)
SECRETS = Secrets(master=b"m" * 32, token=b"t" * 32, index=b"i" * 32, signing=b"s" * 32)
AFTER_HOLD = timedelta(seconds=4)
WATER = "bj-water"
JSON = ("application/json", "application/problem+json", "application/schema+json", "application/geo+json")


@dataclass
class Reply:
    """An answer, read."""

    status: int
    body: Any
    headers: Any
    raw: bytes

    @property
    def code(self) -> str:
        return str(self.body["code"])


class City:
    """Drives a running city over HTTP, as its users would."""

    def __init__(
        self, url: str, running: dict[str, Running], clock: ManualClock, http: aiohttp.ClientSession, database: str = ""
    ) -> None:
        self.url, self.running, self.clock, self.database = url, running, clock, database
        self._http = http
        self.tokens = Tokens(SECRETS.token, clock)
        self._phones = itertools.count(13_800_000_000)

    def token(self, role: str, unit: str | None = None, district: str | None = None, sub: str | None = None) -> str:
        return self.tokens.issue(role, sub or f"{role.lower()}@{unit or 'city'}", 10 * 365 * 86400, unit, district)

    async def send(
        self,
        method: str,
        path: str,
        role: str | None = "HOTLINE_SUPERVISOR",
        json: Any = None,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        redirects: bool = True,
        **who: Any,
    ) -> Reply:
        """One request as this role (None: without a token); `data` sends raw bytes as JSON unless headers differ."""
        sent = {"Authorization": f"Bearer {self.token(role, **who)}"} if role else {}
        if data is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers or {}
        how: dict[str, Any] = {"json": json, "data": data, "headers": sent, "allow_redirects": redirects}
        async with self._http.request(method, self.url + path, **how) as response:
            raw = await response.read()
            body = await response.json(content_type=None) if response.content_type in JSON else None
            return Reply(response.status, body, response.headers, raw)

    async def get(self, path: str, role: str | None = "AUDITOR", **more: Any) -> Reply:
        return await self.send("GET", path, role, **more)

    async def post(self, path: str, json: Any = None, role: str | None = "HOTLINE_SUPERVISOR", **more: Any) -> Reply:
        return await self.send("POST", path, role, json=json, **more)

    def appeal(self, **changes: Any) -> dict[str, Any]:
        """A good registration of a matter that the water company is responsible for."""
        phone = str(next(self._phones))
        body = {
            "kind": "COMPLAINT",
            "channel": "WEB",
            "title": "家里用水困难",
            "content": "小区用水困难两天了，自来水公司电话打不通，请尽快处理。",
            "appellant": {"type": "PERSON", "name": "王芳", "phone": phone},
        }
        return body | changes

    async def register(self, **changes: Any) -> dict[str, Any]:
        """Register an appeal; answers with the 201's body and `position`."""
        reply = await self.post("/intake/v1/appeals", self.appeal(**changes), "AGENT")
        assert reply.status == 201, reply.raw
        answer: dict[str, Any] = reply.body
        return answer | {"position": reply.headers["Appeal-Position"]}

    async def case(self, appeal_id: str, **more: Any) -> dict[str, Any]:
        reply = await self.get(f"/intake/v1/appeals/{appeal_id}", **more)
        return reply.body if reply.status == 200 else {"state": None, "status": reply.status}

    async def until(self, ask: Callable[[], Awaitable[Any]], met: Callable[[Any], bool]) -> Any:
        """Ask again until the condition holds; the answer that met it."""
        return await until(ask, met)

    async def until_state(self, appeal_id: str, *states: str) -> dict[str, Any]:
        """Wait until the case is in one of these states, and its story tells how it came there."""
        met: dict[str, Any] = await self.until(lambda: self.case(appeal_id), lambda case: case["state"] in states)
        intake = self.running["intake"]
        await intake.heard(partition_of(appeal_id, intake.log.partitions), {"cases", "story"})
        case = await self.case(appeal_id)
        return case if case["state"] in states else met

    async def until_event(self, appeal_id: str, name: str) -> dict[str, Any]:
        """Wait until the timeline has an event of this name; that event."""

        async def found() -> list[dict[str, Any]]:
            timeline = (await self.case(appeal_id)).get("timeline", [])
            return [one for one in timeline if one["type"].split(".")[-2] == name]

        last: dict[str, Any] = (await self.until(found, bool))[-1]
        return last

    async def dispatched(self, **changes: Any) -> dict[str, Any]:
        """Register an appeal and let the hold pass; answers with the case once it has been dispatched."""
        appeal_id = (await self.register(**changes))["appeal_id"]
        order = f"/routing/v1/orders/{appeal_id}"
        await self.until(lambda: self.get(order), lambda reply: reply.status == 200)
        self.clock.advance(AFTER_HOLD)
        return await self.until_state(appeal_id, "DISPATCHED")

    async def as_unit(self, case: dict[str, Any], path: str, json: Any = None) -> Reply:
        """A command by the lead unit."""
        return await self.post(path, json, "ENTERPRISE_HANDLER", unit=case["lead_unit"])

    async def sign(self, case: dict[str, Any]) -> Reply:
        return await self.as_unit(case, f"/routing/v1/orders/{case['appeal_id']}/sign")

    async def contact(self, case: dict[str, Any], outcome: str = "REACHED") -> Reply:
        body = {"channel": "PHONE", "outcome": outcome}
        return await self.as_unit(case, f"/feedback/v1/cases/{case['appeal_id']}/contact", body)

    async def feedback(self, case: dict[str, Any], kind: str, recipient: str, text: str = "已处理") -> Reply:
        body = {"kind": kind, "recipient": recipient, "text": text}
        return await self.as_unit(case, f"/feedback/v1/cases/{case['appeal_id']}/feedback", body)

    async def callback(self, case: dict[str, Any], **said: Any) -> Reply:
        body = {"valid": True, "contacted": True, "resolved": True, "satisfaction": "SATISFIED"} | said
        path = f"/feedback/v1/cases/{case['appeal_id']}/callback"
        return await self.post(path, body, "CALLBACK_OFFICER")

    async def handle(self, case: dict[str, Any]) -> None:
        """Everything a unit owes: sign, contact, both results."""
        replies = [await self.sign(case), await self.contact(case)]
        replies += [await self.feedback(case, "RESULT", recipient) for recipient in ("APPELLANT", "HOTLINE")]
        assert [reply.status for reply in replies] == [200] * 4, [reply.raw for reply in replies]

    async def handle_patiently(self, case: dict[str, Any]) -> None:
        """The same while the city's jobs run in another process, whose time stands still."""
        file = f"/feedback/v1/cases/{case['appeal_id']}"
        assert (await self.sign(case)).status == 200
        await self.until(lambda: self.get(file), lambda reply: reply.status == 200 and reply.body["state"] == "SIGNED")
        replies = [await self.contact(case)]
        replies += [await self.feedback(case, "RESULT", recipient) for recipient in ("APPELLANT", "HOTLINE")]
        assert [reply.status for reply in replies] == [200] * 3, [reply.raw for reply in replies]


@asynccontextmanager
async def a_city(
    server: TestServer,
    jobs: bool = True,
    through: Callable[[Bus], Bus] = lambda bus: bus,
    services: Sequence[Service] = SERVICES,
    **settings: Any,
) -> AsyncIterator[City]:
    """Four services (or some) over a fresh database, listening on a free port of loopback."""
    clock = ManualClock(START)
    roles = EVERY_ROLE if jobs else {Role.API}
    patience = {"read_wait_seconds": 10} if jobs else {}  # the machine may be busy with other tests
    async with (
        server.fresh() as database,
        running_city(
            services,
            database,
            server.settings(**{"notary": server.folder_of(database) / "notary"} | patience | settings),
            SECRETS,
            clock,
            roles=roles,
            through=through,
        ) as running,
    ):
        tokens, settled = Tokens(SECRETS.token, clock), next(iter(running.values())).settings
        apps = faces(running, doors_of(running, tokens))
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(512)
            serving = Server(configuration(create_city(apps, SystemIds(), settled), settled))
            task = asyncio.create_task(serving.serve(sockets=[listener]))
            connector = aiohttp.TCPConnector(limit=256)
            owners = {name: APIS[name].owners for name in running}
            try:
                async with (
                    delivering(running if jobs else {}, owners),
                    aiohttp.ClientSession(connector=connector) as http,
                ):
                    yield City(f"http://127.0.0.1:{listener.getsockname()[1]}", running, clock, http, database)
            finally:  # or the loop goes on watching a socket that is closed, and later tests fail for it
                serving.should_exit = True
                await task
