"""A city's traffic over HTTP: residents appeal, dispatchers dispatch, units answer, officers call back, to the end.

Time is compressed by not waiting: units act as soon as they may. Against a city whose clock runs faster
(`jiesu up --time-scale`), some units stay silent, so that limits expire and the hotline calls back all the same.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from services.addresses import Addresses

CONCURRENCY = 48
LOOK_AGAIN_SECONDS = 0.25
PATIENCE_SECONDS = 60.0
RETRIED = frozenset({425, 429, 500, 502, 503, 504})
"""With the same Idempotency-Key nothing is done twice, whatever became of the first try."""
ENDED = frozenset({"ANSWERED", "REDIRECTED", "MERGED", "CLOSED", "WITHDRAWN"})
LAST_RESORT_UNIT = "bj-government-services"
ENOUGH_TO_SILENCE = 1000
"""The time scale from which on a limit of days passes while one waits."""

MATTERS = (
    ("家里停水两天", "小区停水两天了，水压一直很低，请尽快处理。", "COMPLAINT"),
    ("路灯不亮", "门口的路灯坏了一个多星期，晚上出行很不安全。", "HELP"),
    ("夜间施工噪音", "工地夜间施工到凌晨两点，噪音扰民。", "COMPLAINT"),
    ("暖气不热", "供暖以来家里暖气一直不热，室温只有十五度。", "COMPLAINT"),
    ("拖欠工资", "公司拖欠工资三个月，找了几次都没有结果。", "HELP"),
    ("垃圾清运不及时", "小区垃圾桶满了几天没人清运，味道很大。", "COMPLAINT"),
    ("电梯经常故障", "楼里电梯经常停运，物业不维修。", "COMPLAINT"),
    ("公交站牌建议", "建议在学校门口增加公交车站。", "SUGGESTION"),
    ("咨询公积金提取", "请问租房提取公积金需要什么材料？", "CONSULT"),
    ("路面坑洼", "主路上有很大的坑，电动车容易摔倒。", "HELP"),
)
STREETS = ("朝外街道", "劲松街道", "学院路街道", "月坛街道", "东华门街道", "天通苑北街道", "良乡镇", "双井街道")


@dataclass
class Tally:
    """How many lives ended how, and what went wrong."""

    ended: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    done: int = 0


class Refusal(Exception):
    """The city answered a command with something that this actor did not expect."""


class Actors:
    """Sends requests as whoever is to act."""

    def __init__(self, at: Addresses, token_for: Callable[[str, str | None], str], http: aiohttp.ClientSession) -> None:
        self._at, self._token_for, self._http = at, token_for, http
        self._tokens: dict[tuple[str, str | None], str] = {}
        self._positions: dict[str, str] = {}
        self.patience_seconds = 0.0

    async def ask(self, method: str, path: str, role: str, unit: str | None = None, json: Any = None) -> Any:
        """The answer's body. A busy or vanished city is asked again, under the same key. Raises Refusal."""
        token = self._tokens.setdefault((role, unit), self._tokens.get((role, unit)) or self._token_for(role, unit))
        headers = {"Authorization": f"Bearer {token}"} | self._after(path)
        if method == "POST":
            headers["Idempotency-Key"] = secrets.token_hex(16)
        give_up = asyncio.get_running_loop().time() + self.patience_seconds
        while True:
            try:
                async with self._http.request(method, self._at(path), json=json, headers=headers) as response:
                    body = await response.json(content_type=None)
                    if response.status < 300:
                        self._remember(path, body, response.headers.get("Appeal-Position"))
                        return body
                    if response.status not in RETRIED:
                        what = path.rsplit("/", 1)[-1] if method == "POST" else "read"
                        raise Refusal(f"{what}: {response.status} {body.get('code')}")
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError):
                if asyncio.get_running_loop().time() > give_up:
                    raise
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    def _after(self, path: str) -> dict[str, str]:
        """Whoever goes on with an appeal says what has been done to it last, so that no service answers from before."""
        position = self._positions.get(path.split("/")[4]) if path.count("/") >= 4 else None
        return {"If-Position": position} if position else {}

    def _remember(self, path: str, body: Any, position: str | None) -> None:
        if position is not None:
            self._positions[path.split("/")[4] if path.count("/") >= 4 else body["appeal_id"]] = position

    async def until(self, path: str, met: Callable[[Any], bool]) -> Any:
        """Look at something until a condition holds. Raises Refusal when it takes too long."""
        try:
            async with asyncio.timeout(self.patience_seconds):
                while True:
                    try:
                        if met(body := await self.ask("GET", path, "AUDITOR")):
                            return body
                    except Refusal as refusal:
                        if " 404 " not in f"{refusal} ":
                            raise
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)
        except TimeoutError:
            raise Refusal(f"{path.split('/')[1]}: what should have happened did not") from None

    async def open_cases(self) -> AsyncIterator[str]:
        """Every appeal that has not ended."""
        found: dict[str, None] = {}
        for state in ("REGISTERED", "DISPATCHED", "SIGNED", "HANDLING", "FEEDBACK_DONE", "CALLBACK_DUE", "REWORK"):
            cursor: str | None = ""
            while cursor is not None:
                page = await self.ask("GET", f"/intake/v1/appeals?limit=200&state={state}{cursor}", "AUDITOR")
                found |= dict.fromkeys(item["appeal_id"] for item in page["items"])
                cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
        for appeal_id in found:
            yield appeal_id


@dataclass
class Life:
    """One appeal, from wherever it stands to its end. What happens is drawn from `chance`, so a seed repeats it."""

    actors: Actors
    appeal_id: str
    chance: random.Random
    silence_possible: bool

    async def live(self) -> str:
        """The state it ended in."""
        for _ in range(10):
            case = await self.actors.until(f"/intake/v1/appeals/{self.appeal_id}", lambda _: True)
            if case["state"] in ENDED:
                return str(case["state"])
            await self._step(case)
        raise Refusal("the appeal does not end")

    async def _step(self, case: dict[str, Any]) -> None:
        if case["state"] == "REGISTERED":
            if case["kind"] == "CONSULT" and self.chance.random() < 0.8:
                answer = {"text": "您好，所需材料为身份证、租房合同，可在网上办理。"}
                await self._appeal("answer", "AGENT", answer)
                await self._until_state(lambda state: state == "ANSWERED")
                return
            case = await self._dispatched()
        unit = str(case["lead_unit"])
        if self.chance.random() < 0.02:
            await self._appeal("withdraw", "AGENT", {"reason": "问题已自行解决"})
        elif self.silence_possible and self.chance.random() < 0.05:
            await self._until_state(lambda state: state == "CALLBACK_DUE")
            await self._call_back(solved=False)
        else:
            await self._handle(case["state"], unit)
            await self._call_back(solved=True)
        round_ = case["round"]
        await self.actors.until(
            f"/intake/v1/appeals/{self.appeal_id}", lambda c: c["state"] in ENDED or c["round"] > round_
        )

    async def _dispatched(self) -> dict[str, Any]:
        order = await self.actors.until(f"/routing/v1/orders/{self.appeal_id}", lambda _: True)
        proposals = await self.actors.ask("GET", f"/routing/v1/orders/{self.appeal_id}/proposals", "DISPATCHER")
        if order["state"] == "REGISTERED" and not proposals["automatic"]:
            best = proposals["items"][0]["unit_id"] if proposals["items"] else LAST_RESORT_UNIT
            body = {"unit_id": best, "reason": "人工派单：目录未匹配"}
            await self._order("dispatch", "DISPATCHER", None, body)
        return await self._until_state(lambda state: state not in {"REGISTERED"})

    async def _handle(self, state: str, unit: str) -> None:
        if state in {"REGISTERED", "DISPATCHED", "REWORK"}:
            await self._order("sign", "STREET_HANDLER", unit, {})
        if state not in {"FEEDBACK_DONE", "CALLBACK_DUE"}:
            await self._case("contact", unit, {"channel": "PHONE", "outcome": "REACHED"})
            if self.chance.random() < 0.5:
                await self._feedback(unit, "PROGRESS", "APPELLANT", "工作人员已到现场查看，正在协调处理。")
            await self._feedback(unit, "RESULT", "APPELLANT", "您反映的问题已处理完毕，感谢您的监督。")
            await self._feedback(unit, "RESULT", "HOTLINE", "经现场核实并处理，已向诉求人反馈结果。")

    async def _call_back(self, solved: bool) -> None:
        if self.chance.random() < 0.04:
            await self._officer("callback/attempts", {"outcome": "NO_ANSWER"})
            if self.silence_possible:
                await self._an_hour_later()
                await self._officer("callback/attempts", {"outcome": "NO_ANSWER"})
                await self._officer("callback", {"valid": False})
                return
        said = self.chance.choices(
            ({"resolved": True, "satisfaction": "SATISFIED"},
             {"resolved": True, "satisfaction": "BASICALLY_SATISFIED"},
             {"resolved": False, "satisfaction": "DISSATISFIED"}), (80, 13, 7) if solved else (5, 10, 85),
        )[0]  # fmt: skip
        await self._officer("callback", {"valid": True, "contacted": solved, **said})

    async def _an_hour_later(self) -> None:
        """Somebody who was not reached is tried at another hour, when the city's clock says so."""
        path = f"/feedback/v1/cases/{self.appeal_id}"
        case = await self.actors.until(path, lambda c: c["call_not_before"] is not None)
        await self.actors.until("/feedback/health/ready", lambda c: c["time"] >= case["call_not_before"])

    async def _feedback(self, unit: str, kind: str, recipient: str, text: str) -> None:
        await self._case("feedback", unit, {"kind": kind, "recipient": recipient, "text": text})

    async def _appeal(self, command: str, role: str, body: Any) -> None:
        await self.actors.ask("POST", f"/intake/v1/appeals/{self.appeal_id}/{command}", role, json=body)

    async def _order(self, command: str, role: str, unit: str | None, body: Any) -> None:
        await self.actors.ask("POST", f"/routing/v1/orders/{self.appeal_id}/{command}", role, unit, body)

    async def _case(self, command: str, unit: str, body: Any) -> None:
        await self.actors.ask("POST", f"/feedback/v1/cases/{self.appeal_id}/{command}", "STREET_HANDLER", unit, body)

    async def _officer(self, command: str, body: Any) -> None:
        await self.actors.ask("POST", f"/feedback/v1/cases/{self.appeal_id}/{command}", "CALLBACK_OFFICER", None, body)

    async def _until_state(self, met: Callable[[str], bool]) -> dict[str, Any]:
        path = f"/intake/v1/appeals/{self.appeal_id}"
        case: dict[str, Any] = await self.actors.until(path, lambda c: met(c["state"]) or c["state"] in ENDED)
        return case


def invented(count: int, chance: random.Random) -> list[dict[str, Any]]:
    """Registrations of our own making."""
    bodies = []
    for _ in range(count):
        title, content, kind = chance.choice(MATTERS)
        phone = f"13{chance.randrange(10**9):09d}"
        bodies.append(
            {
                "kind": kind,
                "channel": chance.choice(("PHONE", "WEB", "APP", "WECHAT")),
                "title": title,
                "content": content,
                "location": {"township": chance.choice(STREETS)},
                "appellant": {"type": "PERSON", "name": "居民", "phone": phone},
            }
        )
    return bodies


async def simulate(
    at: Addresses,
    token_for: Callable[[str, str | None], str],
    bodies: Sequence[dict[str, Any]] | None,
    seed: int,
    progress: Callable[[str, int, int], None],
    patience_seconds: float = PATIENCE_SECONDS,
) -> Tally:
    """Register these appeals (None: take all that are open) and live each to its end."""
    tally = Tally()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY)) as http:
        actors = Actors(at, token_for, http)
        ready = await actors.ask("GET", "/intake/health/ready", "AUDITOR")
        actors.patience_seconds = patience_seconds
        if bodies is None:
            appeals = [appeal_id async for appeal_id in actors.open_cases()]
        else:
            made = await _together([_registering(actors, body, tally) for body in bodies], "registering", progress)
            appeals = [appeal_id for appeal_id in made if appeal_id]
        silent = ready["time_scale"] >= ENOUGH_TO_SILENCE
        lives = [Life(actors, a, random.Random(f"{seed}:{n}"), silent) for n, a in enumerate(appeals)]
        await _together([_living(life, tally) for life in lives], "living", progress)
    return tally


async def _registering(actors: Actors, body: dict[str, Any], tally: Tally) -> str | None:
    try:
        return str((await actors.ask("POST", "/intake/v1/appeals", "AGENT", json=body))["appeal_id"])
    except Refusal as refusal:
        tally.failures[str(refusal)] += 1
        return None


async def _living(life: Life, tally: Tally) -> None:
    try:
        tally.ended[await life.live()] += 1
    except Refusal as refusal:
        tally.failures[str(refusal)] += 1


async def _together(work: list[Any], what: str, progress: Callable[[str, int, int], None]) -> list[Any]:
    """Run these, a limited number at a time, in order."""
    slots, done = asyncio.Semaphore(CONCURRENCY), 0

    async def one(job: Any) -> Any:
        nonlocal done
        async with slots:
            result = await job
        done += 1
        progress(what, done, len(work))
        return result

    return await asyncio.gather(*(one(job) for job in work))
