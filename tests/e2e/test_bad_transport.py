"""Bodies that are refused for how they come: media type, coding, length announced or chunked. Every command, alike."""

from __future__ import annotations

import pytest

from tests.support.bad import (
    CANARY,
    LIMIT,
    ROUTES,
    all_refused,
    each,
    json_of,
    raw,
    recorded,
)
from tests.support.city import City


async def test_only_json_in_utf8_without_a_coding_is_read(still: City) -> None:
    types = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"]
    types += [f"application/json; charset={charset}" for charset in ("gbk", "gb18030", "utf-16", "utf-8; charset=gbk")]
    types += ["application/json, text/plain", "application/merge-patch+json", "application/octet-stream", "json", ""]
    bads = [bad for one in types for bad in each(one, json_of, Content_Type=one) if one not in bad.route.media_types]
    for coding in ("gzip", "br", "deflate", "gzip, identity", CANARY):
        bads += each(coding, json_of, Content_Encoding=coding)
    await all_refused(still, [bad for bad in bads if bad.data], 415, "UNSUPPORTED_MEDIA_TYPE")
    for service, route in ROUTES:
        head, body = await raw(still, service, route, b"Content-Length: 2\r\n", b"{}")
        assert b" 415 " in head and body["code"] == "UNSUPPORTED_MEDIA_TYPE", (route.path, head)


async def test_a_body_over_the_limit_is_refused_before_it_is_sent(still: City) -> None:
    before = await recorded(still)
    for service, route in ROUTES:
        for length in (LIMIT + 1, 10**12):
            headers = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % length
            status, problem = await raw(still, service, route, headers, b"")
            assert b" 413 " in status and problem["code"] == "BODY_TOO_LARGE", (route.path, status)
    bads = each("one byte over", lambda body: json_of(body).ljust(LIMIT + 1))
    await all_refused(still, bads, 413, "BODY_TOO_LARGE")
    assert await recorded(still) == before
    reply = await still.post("/intake/v1/appeals", None, "AGENT", data=json_of(still.appeal()).ljust(LIMIT))
    assert reply.status == 201


CHUNKED = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
BIG_CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (LIMIT + 1, b" " * (LIMIT + 1))
BAD_CHUNK = b'7\r\n{"x":1}\r\n0\r\n\r\n'


async def _refuses_chunked(city: City, chunks: bytes, required: bool, status: int) -> None:
    before = await recorded(city)
    for service, route in ROUTES:
        if any(known.is_required() for known in route.body.model_fields.values()) is required:
            line, problem = await raw(city, service, route, CHUNKED, chunks)
            assert problem.get("status") == status, (route.path, line)
    assert await recorded(city) == before


async def test_a_chunked_body_over_the_limit_is_refused(still: City) -> None:
    await _refuses_chunked(still, BIG_CHUNK, True, 413)


@pytest.mark.parametrize(("chunks", "status"), [(BIG_CHUNK, 413), (BAD_CHUNK, 422)], ids=["big", "bad"])
async def test_a_chunked_body_counts_where_none_is_needed(still: City, chunks: bytes, status: int) -> None:
    await _refuses_chunked(still, chunks, False, status)
