"""What it costs to know who asks, and to keep personal texts sealed: each once, without the request around it."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from services.city import SERVICES
from services.intake_service.appeal import APPEAL, Register
from services.intake_service.registration import AppealBody, facts_of
from services.serving import calm_collector
from shared.contracts.envelope import decode_envelope
from shared.contracts.intake import Place
from shared.engine.execute import Intention
from shared.engine.runtime import Role, Running, running_city
from shared.engine.settings import Settings
from shared.eventlog.kms import FileMasterKeys
from shared.eventlog.sealing import seal_data, unseal_data
from shared.web.api_keys import NewKey, new_key
from shared.web.doors import Doors
from shared.web.identity import Scope
from shared.web.rates import Buckets
from shared.web.tokens import Tokens
from tests.bench.serving import listening
from tests.support.city import SECRETS

WARM, COLD, ROUNDS, BATCH = 10_000, 300, 3, 500
ISSUER = "https://issuer.example"
ADD_KEY = """
    INSERT INTO vault.api_keys (key_id, digest, client, role, expires_at, issued_at)
    VALUES ($1, decode($2, 'hex'), $3, 'AGENT', now() + interval '1 day', now())"""
REGISTRATION: dict[str, Any] = {
    "kind": "COMPLAINT",
    "channel": "WEB",
    "title": "家里停水两天",
    "content": "小区停水两天了，自来水公司电话一直打不通，家里有老人和孩子，请尽快派人来处理。" * 3,
    "location": {"address": "朝外大街雅宝里社区三号楼二单元", "district": "110105", "township": "110105001"},
    "appellant": {"type": "PERSON", "name": "王芳", "phone": "13800000000"},
}
READ = "SELECT stream, type, body FROM events WHERE stream LIKE '%sealed-0' AND version = 1"
Costs = dict[str, "Cost"]


@dataclass(frozen=True)
class Cost:
    """Microseconds each, in the best and the worst of a few rounds, and of our own CPU in the best."""

    best: float
    worst: float
    cpu: float


async def admission_costs(url: str, settings: Settings) -> Costs:
    """Microseconds of what a request goes through before and beside its own work, by name."""
    calm_collector()
    async with running_city(SERVICES, url, settings, SECRETS, roles={Role.API}) as city:
        intake = city["intake"]
        costs = await _admitted(intake, settings, url)
        return costs | await _sealed(intake)


def asked(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw, "client": ("127.0.0.1", 1), "path": "/", "method": "POST"})


async def _rounds(count: int, do: Callable[[int], Awaitable[Any]]) -> Cost:
    """The same so many times, in a few rounds; the number goes on through all of them."""
    took, cpu = [], []
    for again in range(ROUNDS):
        started, used = time.perf_counter(), time.process_time()
        for number in range(again * count, (again + 1) * count):
            await do(number)
        took.append((time.perf_counter() - started) * 1e6 / count)
        cpu.append((time.process_time() - used) * 1e6 / count)
    return Cost(min(took), max(took), min(cpu))


def _awaited(do: Callable[[int], Any]) -> Callable[[int], Awaitable[Any]]:
    async def done(number: int) -> Any:
        return do(number)

    return done


async def _admitted(intake: Running, settings: Settings, url: str) -> Costs:
    rates = settings.model_copy(update={"rate_account": 1e6, "rate_address": 1e6})
    tokens = Tokens(SECRETS.token, intake.clock)
    doors = Doors(tokens, rates, intake.pool, intake.clock)
    many = [tokens.issue("AGENT", f"agent-{n}", 3600) for n in range(COLD * ROUNDS)]
    keys = await _keys(intake, url, COLD * ROUNDS)
    buckets = Buckets(1e6)
    costs = {
        "nothing: the loop around it": await _rounds(WARM, _awaited(lambda n: asked(authorization="Bearer x"))),
        "rate buckets alone": await _rounds(WARM, _awaited(lambda n: buckets.take(f"agent-{n % 1000}"))),
        "public: by address alone": await _rounds(WARM, _by(doors, lambda n: {}, Scope.PUBLIC)),
        "own token, warm": await _rounds(WARM, _by(doors, lambda n: {"authorization": f"Bearer {many[0]}"})),
        "own token, cold": await _rounds(COLD, _by(doors, lambda n: {"authorization": f"Bearer {many[n]}"})),
        "API key, cold (asks the vault)": await _rounds(COLD, _by(doors, lambda n: {"x_api_key": keys[n].text})),
        "API key, warm": await _rounds(COLD, _by(doors, lambda n: {"x_api_key": keys[-1].text})),
    }
    for key in (RSAKey.generate_key(2048, {"kid": "one"}), ECKey.generate_key("P-256", {"kid": "one"})):
        costs |= await _admitted_by_issuer(intake, rates, tokens, key)
    return costs


def _by(
    doors: Doors, headers: Callable[[int], dict[str, str]], scope: Scope = Scope.REGISTER
) -> Callable[[int], Awaitable[Any]]:
    return lambda number: doors.admit(asked(**headers(number)), scope)


async def _keys(intake: Running, url: str, count: int) -> Sequence[NewKey]:
    keys = [new_key(random.Random(n).randbytes) for n in range(count)]
    owner = await asyncpg.connect(url)
    rows = [(key.key_id, key.digest, f"client-{n}") for n, key in enumerate(keys)]
    await owner.executemany(ADD_KEY, rows)
    await owner.close()
    return keys


async def _admitted_by_issuer(intake: Running, settings: Settings, tokens: Tokens, key: RSAKey | ECKey) -> Costs:
    async def jwks(_: Request) -> JSONResponse:
        return JSONResponse({"keys": [key.as_dict(private=False)]})

    algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
    expires = int((intake.clock.now() + timedelta(hours=1)).timestamp())
    claims = {"iss": ISSUER, "aud": settings.oidc_audience, "exp": expires, "roles": ["AGENT"]}
    header = {"alg": algorithm, "kid": "one"}
    many = [jwt.encode(header, claims | {"sub": f"a-{n}"}, key, algorithms=[algorithm]) for n in range(COLD * ROUNDS)]
    async with listening(Starlette(routes=[Route("/jwks", jwks)]), settings) as address:
        issued = settings.model_copy(update={"oidc_issuer": ISSUER, "oidc_jwks": f"{address}/jwks"})
        doors = Doors(tokens, issued, intake.pool, intake.clock)
        await doors.admit(asked(authorization=f"Bearer {many[0]}"), Scope.REGISTER)
        return {
            f"OIDC token, {algorithm}, warm": await _rounds(
                WARM, _by(doors, lambda n: {"authorization": f"Bearer {many[0]}"})
            ),
            f"OIDC token, {algorithm}, cold": await _rounds(
                COLD, _by(doors, lambda n: {"authorization": f"Bearer {many[n]}"})
            ),
        }


async def _sealed(intake: Running) -> Costs:
    """The texts of one registration, as its event holds them; and the keys that they are sealed with."""
    body = AppealBody.model_validate({k: v for k, v in REGISTRATION.items() if k != "location"}, strict=False)
    ref, now = await intake.keyring.fresh(), intake.clock.now()
    facts = facts_of(
        body, Place(address=REGISTRATION["location"]["address"]), ticket_no="t", tracking_code="x", client="bench",
        now=now, index_key=SECRETS.index, subject_key=ref, ids=intake.ids,
    )  # fmt: skip
    intention = Intention(APPEAL, "sealed-0", Register(at=now, facts=facts), sealed_for=facts.appellant.key, fresh=True)
    await intake.executor.execute(intention)
    row = await intake.pool.fetchrow(READ)
    assert row is not None
    event = decode_envelope(row["body"])
    place = f"{event.stream}/{event.id}"
    clear, ring = unseal_data(_Anything(), event.type, event.data, place), intake.keyring
    copies = [copy.deepcopy(clear) for _ in range(1000 * ROUNDS)]
    sealed = copy.deepcopy(clear)
    seal_data(ring, ref, event.type, sealed, place)
    masters = FileMasterKeys(SECRETS.master)
    made = {f"k{n}": random.Random(n).randbytes(32) for n in range(BATCH)}
    wrapped = await masters.wrap(made)
    costs = {
        "a registration's texts sealed": await _rounds(
            1000, _awaited(lambda n: seal_data(ring, ref, event.type, copies[n], place))
        ),
        "and opened": await _rounds(1000, _awaited(lambda n: unseal_data(ring, event.type, sealed, place))),
        "a key wrapped": await _rounds(20, lambda _: masters.wrap(made)),
        "a key unwrapped": await _rounds(20, lambda _: masters.unwrap(wrapped)),
    }
    for name in ("a key wrapped", "a key unwrapped"):
        one = costs[name]
        costs[name] = Cost(one.best / BATCH, one.worst / BATCH, one.cpu / BATCH)
    costs["a key made, wrapped and stored"] = await _rounds(BATCH, lambda _: ring.fresh())
    return costs


class _Anything:
    """Stands in for a keyring: shows a text as long as the one that was sealed."""

    def open(self, sealed: Any, place: str) -> str:
        return "文" * max(1, (len(sealed["ct"]) * 3 // 4 - 28) // 3)
