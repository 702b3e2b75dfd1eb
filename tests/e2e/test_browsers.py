"""What browsers are told: on every answer, about HTTPS where there is HTTPS, to listed origins, under our names."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.certificates import Authority
from tests.support.city import City, Reply

Cities = Callable[..., AbstractAsyncContextManager[City]]
LIST, OURS, STRANGE = "/intake/v1/appeals", "https://desk.example.cn", "https://evil.example"
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NOTHING = "default-src 'none'; frame-ancestors 'none'"


def guarded(headers: Any) -> bool:
    return all(headers.getall(name) == [value] for name, value in ALWAYS.items())


PLACES: list[tuple[str, str, str | None, int, str]] = [
    ("GET", LIST, "AUDITOR", 200, "application/json"),
    ("POST", LIST, "AGENT", 422, "application/problem+json"),
    ("GET", LIST, None, 401, "application/problem+json"),
    ("GET", LIST, "ANALYST", 403, "application/problem+json"),
    ("GET", f"{LIST}/nobody", "AUDITOR", 404, "application/problem+json"),
    ("DELETE", LIST, "AUDITOR", 405, "application/problem+json"),
    ("GET", f"{LIST}?q=%00", "AUDITOR", 400, "application/problem+json"),
    ("GET", "/", None, 200, "text/html"),
    ("GET", "/nothing/here", None, 404, "application/problem+json"),
    ("GET", "/intake/docs", None, 200, "text/html"),
    ("GET", "/intake/openapi.json", None, 200, "application/json"),
    ("GET", "/routing/asyncapi.json", None, 200, "application/json"),
    ("GET", "/scoring/health/ready", None, 200, "application/json"),
    ("GET", "/feedback/metrics", None, 200, "text/plain"),
    ("GET", "/intake/open311/v2/services.xml", None, 200, "text/xml"),
    ("OPTIONS", LIST, None, 405, "application/problem+json"),
    ("GET", "/intake/v1/events", "AUDITOR", 200, "text/event-stream"),
]


@pytest.mark.parametrize(("method", "path", "role", "status", "kind"), PLACES)
async def test_every_kind_of_answer_tells_a_browser_to_be_careful(
    city: City, method: str, path: str, role: str | None, status: int, kind: str
) -> None:
    sent = {"Authorization": f"Bearer {city.token(role)}"} if role else {}
    data = b"{}" if method == "POST" else None
    how: Any = {"headers": sent | {"Content-Type": "application/json"}, "data": data}
    async with city._http.request(method, city.url + path, **how) as reply:
        assert (reply.status, reply.content_type) == (status, kind)
        assert guarded(reply.headers)
        (policy,) = reply.headers.getall("Content-Security-Policy")
        assert "frame-ancestors 'none'" in policy and policy.startswith("default-src '")
        assert policy == NOTHING or kind == "text/html"
        assert "Strict-Transport-Security" not in reply.headers
        assert not {"Server", "X-Powered-By", "Access-Control-Allow-Origin"} & set(reply.headers)


async def asked_from(city: City, origin: str, path: str = LIST, **headers: str) -> Reply:
    return await city.get(path, headers={"Origin": origin} | headers)


async def preflight(city: City, origin: str, method: str = "POST", header: str = "Idempotency-Key") -> Reply:
    headers = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": header}
    return await city.send("OPTIONS", LIST, None, headers=headers)


@pytest.mark.parametrize("origin", [OURS, STRANGE, "null"])
async def test_no_page_of_another_origin_may_ask_unless_it_is_listed(city: City, origin: str) -> None:
    for reply in (await asked_from(city, origin), await preflight(city, origin)):
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]


async def test_only_listed_origins_may_ask_and_read(new_city: Cities) -> None:
    async with new_city(jobs=False, cors_origins=f" {OURS} ,https://map.example.cn") as city:
        for origin in (OURS, "https://map.example.cn"):
            reply = await asked_from(city, origin)
            assert (reply.status, reply.headers["Access-Control-Allow-Origin"]) == (200, origin)
            assert "Origin" in reply.headers["Vary"]
            assert {"ETag", "Retry-After"} <= set(reply.headers["Access-Control-Expose-Headers"].split(", "))
            assert "Access-Control-Allow-Credentials" not in reply.headers
            allowed = await preflight(city, origin)
            assert (allowed.status, allowed.headers["Access-Control-Allow-Origin"]) == (200, origin)
            assert guarded(allowed.headers)
        refused = await city.get(LIST, "ANALYST", headers={"Origin": OURS})
        assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (403, OURS)
        for origin in (STRANGE, "null", OURS + ".evil.example", OURS.replace("https", "http"), OURS + ":8443", "*", ""):
            for reply in (await asked_from(city, origin), await preflight(city, origin)):
                assert "Access-Control-Allow-Origin" not in reply.headers, origin


async def test_a_preflight_that_is_refused_is_a_problem_like_others(new_city: Cities) -> None:
    async with new_city(jobs=False, cors_origins=OURS) as city:
        for origin, method, header in ((STRANGE, "POST", "If-Match"), (OURS, "TRACE", "If-Match"), (OURS, "GET", "X")):
            reply = await preflight(city, origin, method, header)
            assert (reply.status, reply.headers["Content-Type"]) == (400, "application/problem+json"), origin
            assert reply.code == "BAD_REQUEST" and guarded(reply.headers)
            assert origin.encode() not in reply.raw


async def test_under_another_name_than_ours_nothing_is_answered_and_nothing_happens(new_city: Cities) -> None:
    async with new_city(jobs=False, hosts="127.0.0.1,*.example.cn") as city:
        before = [await running.log.heads() for running in city.running.values()]
        for host in ("evil.example", "example.cn.evil.example", "127.0.0.1.evil.example", "localhost", "[::1]", "a b"):
            for reply in (
                await city.get(LIST, headers={"Host": host}),
                await city.post(LIST, city.appeal(), "AGENT", headers={"Host": host}),
                await city.get("/", None, headers={"Host": host}),
            ):
                assert (reply.status, reply.headers["Content-Type"]) == (400, "application/problem+json"), host
                assert reply.code == "BAD_REQUEST" and guarded(reply.headers)
                assert host.encode() not in reply.raw
        assert [await running.log.heads() for running in city.running.values()] == before
        for host in ("desk.example.cn", "127.0.0.1", "127.0.0.1:8000", "DESK.example.cn:443"):
            assert (await city.get(LIST, headers={"Host": host})).status == 200, host


@asynccontextmanager
async def a_city_with_tls(new_city: Cities, folder: Path) -> AsyncIterator[tuple[str, ssl.SSLContext]]:
    authority = Authority(folder)
    identity = authority.server("city")
    async with new_city(jobs=False, tls_cert_file=identity.certificate, tls_key_file=identity.key) as city:
        yield city.url.replace("http://", "https://"), ssl.create_default_context(cafile=str(authority.ca_file))


async def test_with_a_certificate_the_city_answers_over_tls_alone_and_says_so(new_city: Cities, tmp_path: Path) -> None:
    async with a_city_with_tls(new_city, tmp_path) as (url, trusting), aiohttp.ClientSession() as http:
        for path, status in (("/intake/health/live", 200), (LIST, 401), ("/nothing", 404), ("/", 200)):
            async with http.get(url + path, ssl=trusting) as reply:
                assert reply.status == status
                assert "max-age=31536000" in reply.headers["Strict-Transport-Security"]
                assert guarded(reply.headers)
        with pytest.raises(aiohttp.ClientError):
            await http.get(url.replace("https://", "http://") + "/intake/health/live")
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await http.get(url + "/", ssl=ssl.create_default_context())


async def shaken(url: str, trusting: ssl.SSLContext) -> str:
    """The version that a handshake comes to."""
    host, _, port = url.removeprefix("https://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=trusting)
    version: str = writer.get_extra_info("ssl_object").version()
    writer.transport.abort()
    return version


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_tls_before_1_2_is_refused(new_city: Cities, tmp_path: Path) -> None:
    async with a_city_with_tls(new_city, tmp_path) as (url, trusting):
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            trusting.minimum_version, trusting.maximum_version = ssl.TLSVersion.TLSv1_2, version
            assert await shaken(url, trusting) == name
        trusting.set_ciphers("ALL:@SECLEVEL=0")
        for old in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1):
            trusting.minimum_version = trusting.maximum_version = old
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await shaken(url, trusting)
