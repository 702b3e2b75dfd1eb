"""The OpenAPI documents hold: schemathesis makes requests of them, good and bad, one by one and along the links, and
every answer is one that the document foresees.

SCHEMATHESIS_EXAMPLES: how many an operation (1000 for evidence). SCHEMATHESIS_REPORTS: where JUnit reports are kept.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.routing import APIRoute
from joserfc import jwt
from joserfc.jwk import OKPKey

from services.city import APIS
from shared.web.record import router as record_router
from shared.web.webhooks import webhook_router
from tests.support.city import SECRETS, WATER, City

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES")
pytestmark = pytest.mark.skipif(EXAMPLES is None, reason="takes minutes: `make openapi`, or SCHEMATHESIS_EXAMPLES=…")
PHASES = "examples,coverage,fuzzing,stateful"
HATS = ["HOTLINE_SUPERVISOR", "MUNICIPAL_ADMIN", "AUDITOR", "CALLBACK_OFFICER", "GATEWAY", "ENTERPRISE_HANDLER"]
HATS += ["COMMUNITY_ASSISTANT"]
"""Together they may do everything; what single roles may is for test_authorisation.py."""
HERE = Path(__file__).parent


Said = Mapping[str, "asyncio.Task[tuple[int, str]]"]


@pytest_asyncio.fixture(scope="module")
async def runs(
    new_city: Callable[..., AbstractAsyncContextManager[City]], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Said]:
    """Schemathesis at work on all four at once, in a city in which something has happened, so that links lead on."""
    reports = Path(os.environ.get("SCHEMATHESIS_REPORTS") or tmp_path_factory.mktemp("schemathesis")).resolve()
    async with new_city(read_wait_seconds=0.3) as city:
        dispatched = [await city.dispatched() for _ in range(2)]
        await city.handle(dispatched[0])
        await city.register(kind="CONSULT")
        tasks = {name: asyncio.create_task(_run(city, name, reports)) for name in APIS}
        yield tasks
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


def _token(city: City) -> str:
    now = int(city.clock.now().timestamp())
    claims = {"iss": "jiesu-embedded", "aud": "jiesu", "sub": "everybody", "roles": HATS, "unit_id": WATER}
    key = OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(SECRETS.token))
    return jwt.encode({"alg": "Ed25519"}, claims | {"iat": now, "exp": now + 10**8}, key, algorithms=["Ed25519"])


async def _run(city: City, service: str, reports: Path) -> tuple[int, str]:
    """What schemathesis says of a service: exit code and output. A process, because it would block the city's loop."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
        *("run", f"{city.url}/{service}/openapi.json", "--phases", PHASES, "--no-color"),
        *("--max-examples", EXAMPLES or "1"),
        *("--header", f"Authorization: Bearer {_token(city)}"),
        *("--report", "junit", "--report-junit-path", str(reports / f"{service}.xml")),
        cwd=reports,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, output.decode()


@pytest.mark.parametrize("service", APIS)
async def test_every_answer_is_one_that_the_document_foresees(runs: Said, service: str) -> None:
    code, said = await runs[service]
    assert code == 0, said[-20_000:]
    tested = re.search(r"Tested: (\d+)", said)
    assert tested and int(tested[1]) == len(APIS[service].commands) + _reads(service), said
    assert all(f"{phase.title()} (disabled)" not in said for phase in PHASES.split(","))


def _reads(service: str) -> int:
    """How many operations beside its commands a service has, and what all services have."""
    routers = (APIS[service].reads, webhook_router(), record_router)
    return sum(isinstance(route, APIRoute) for router in routers for route in router.routes)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/intake/v1/appeals/x/tags", "POST"),
        ("PATCH", "/intake/v1/appeals", "GET, POST"),
        ("DELETE", "/routing/v1/units", "GET, PUT"),
        ("POST", "/scoring/health/live", "GET, HEAD"),
    ],
)
async def test_a_path_that_takes_another_method_says_which(city: City, method: str, path: str, allowed: str) -> None:
    reply = await city.send(method, path)
    assert (reply.status, reply.code, reply.headers["Allow"]) == (405, "METHOD_NOT_ALLOWED", allowed)
    assert (await city.send(method, f"{path}/nowhere/at/all")).status == 404


async def test_operations_are_listed(city: City) -> None:
    """Found by schemathesis: as soon as there was one, the list was a 500."""
    body = {"kind": "REPLAY", "target": "intake", "ground": "SCHEMA_TEST"}
    asked = await city.post("/intake/v1/operations", body, "MUNICIPAL_ADMIN")
    assert asked.status == 201, asked.raw
    path = "/intake/v1/operations?state=REQUESTED"
    listed = await city.until(
        lambda: city.get(path, "MUNICIPAL_ADMIN"), lambda reply: reply.status != 200 or reply.body["items"]
    )
    assert listed.status == 200 and asked.body["operation"] in {one["operation"] for one in listed.body["items"]}
