"""What comes over the wire otherwise than clients send it: refused or without effect, and never another's request."""

from __future__ import annotations

import asyncio
import gc
from functools import partial
from pathlib import Path

import pytest

from tests.support.bad import CANARY, recorded
from tests.support.bad_cases import CLOSING, Answer, none_wrong, still_serving, wire
from tests.support.bad_wire import FRAMING, HOSTS, IGNORED, RAW, TOO_LARGE, Frame
from tests.support.city import City

SMUGGLED = b"GET /intake/v1/channels HTTP/1.1\r\nHost: x\r\nX-Canary: " + CANARY.encode() + b"\r\n\r\n"
MEBIBYTE = 1 << 20


def memory() -> int:
    """What this process holds, in bytes: the city and the tests are one process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def parser_refused(answer: Answer) -> str | None:
    """One 400, and the connection is over: what followed was not taken for a request."""
    if (answer.statuses, answer.codes) != ([400], ["BAD_REQUEST"]) or not answer.closed:
        return f"{answer.statuses} {answer.codes}, closed: {answer.closed}"
    return "repeats what was sent" if CANARY.encode() in answer.raw else None


async def test_framing_that_can_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_read(still: City) -> None:
    before = await recorded(still)
    requests = {name: frame.bytes(still) + SMUGGLED for name, frame in FRAMING.items()}
    requests |= {name: raw + SMUGGLED for name, raw in RAW.items()}
    answers = await asyncio.gather(*(wire(still, request, 2) for request in requests.values()))
    none_wrong([(name, parser_refused(answer)) for name, answer in zip(requests, answers, strict=True)])
    assert await recorded(still) == before
    await still_serving(still)


async def test_a_header_that_is_too_large_is_refused_though_it_comes_at_once(still: City) -> None:
    lines = b"".join(b"X-More-%d: %b\r\n" % (number, b"x" * 7000) for number in range(10))
    answer = await wire(still, b"GET /intake/v1/channels HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n", 2)
    assert (answer.statuses, answer.codes, answer.closed) == ([431], ["HEADER_TOO_LARGE"], True)


async def test_a_request_that_breaks_off_is_nobodys_error(still: City, capsys: pytest.CaptureFixture[str]) -> None:
    before = await recorded(still)
    pieces = [frame.bytes(still)[:-1] for frame in (Frame(), Frame("Content-Length: 9\r\n"))]
    pieces += [Frame("Transfer-Encoding: chunked\r\n", body).bytes(still) for body in (b"", b"2\r\n{", b"2\r\n{}\r\n")]
    for request in pieces:
        _, writer = await asyncio.open_connection("127.0.0.1", int(still.url.rsplit(":", 1)[1]))
        writer.write(request)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    await still_serving(still)
    said = capsys.readouterr()
    assert "not foreseen" not in said.out + said.err and await recorded(still) == before


async def test_a_request_for_nothing_in_particular_is_no_server_error(still: City) -> None:
    answers = [await wire(still, b"%b * HTTP/1.1\r\nHost: x\r\n\r\n" % method) for method in (b"OPTIONS", b"GET")]
    assert all(answer.statuses and answer.statuses[0] < 500 for answer in answers), answers


ASKED = {
    "a list": (b"GET /intake/v1/appeals", b"", 401),
    "a form": (b"POST /feedback/v1/survey/abc", b"a=b", 303),
    "one slash too many": (b"GET /intake/v1/appeals/", b"", 404),
    "one slash too few": (b"GET /intake", b"", 404),
}


@pytest.mark.parametrize("what", ASKED)
async def test_a_host_decides_nothing_and_leads_nobody_away(still: City, what: str) -> None:
    line, body, status = ASKED[what]
    rest = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    requests = [line + b" HTTP/1.1\r\n" + (host.encode("latin-1") + b"\r\n" if host else b"") + rest for host in HOSTS]
    answers = await asyncio.gather(*(wire(still, request) for request in requests))

    def wrong(answer: Answer) -> str | None:
        away = [one for one in answer.header("location") if not one.startswith("/feedback/v1/survey/abc?said=")]
        if answer.statuses != [status] or away or b"evil" in answer.raw:
            return f"{answer.statuses} {away} {answer.raw[-200:]!r}"
        return None

    none_wrong([(host, wrong(answer)) for host, answer in zip(HOSTS, answers, strict=True)])


async def test_headers_of_proxies_traces_and_strangers_change_nothing(still: City) -> None:
    before = await recorded(still)
    refused = [Frame(f"{header}\r\nContent-Length: 2\r\n").bytes(still) for header in IGNORED]
    nobody = [
        b"GET /intake/v1/appeals HTTP/1.1\r\nHost: x\r\n" + header.encode("latin-1") + b"\r\n\r\n" for header in IGNORED
    ]
    answers = await asyncio.gather(*(wire(still, one) for one in [*refused, *nobody]))
    expected = [(422, "VALIDATION_FAILED")] * len(refused) + [(401, "UNAUTHENTICATED")] * len(nobody)
    said = [
        (f"{header[:60]} {status}", None if (answer.statuses[-1:], answer.codes) == ([status], [code]) else answer)
        for header, answer, (status, code) in zip(IGNORED * 2, answers, expected, strict=True)
    ]
    none_wrong(said)
    assert not any(b"evil" in answer.raw for answer in answers) and await recorded(still) == before
    await still_serving(still)


async def test_a_body_beyond_the_limit_is_refused_however_it_comes_and_is_not_kept(still: City) -> None:
    before, held = await recorded(still), memory()
    requests = {name: frame.bytes(still) for name, frame in TOO_LARGE.items()}
    for _ in range(2):
        answers = await asyncio.gather(*(wire(still, request) for request in requests.values()))
        said = zip(requests, answers, strict=True)
        none_wrong(
            [(name, None if (a.statuses[-1:], a.codes) == ([413], ["BODY_TOO_LARGE"]) else a) for name, a in said]
        )
    assert await recorded(still) == before
    assert memory() - held < 16 * MEBIBYTE, "the tests' own bytes included"
    await still_serving(still)


async def test_two_thousand_refused_requests_leave_no_memory_behind(still: City) -> None:
    bad = {"content": CANARY * 200, "kind": "NOISE", "unknown": [CANARY] * 100}
    send = partial(still.post, "/intake/v1/appeals", bad, "AGENT", headers=CLOSING)

    async def flood(count: int) -> None:
        for _ in range(count // 50):
            replies = await asyncio.gather(*(send() for _ in range(50)))
            assert {(reply.status, reply.code) for reply in replies} == {(422, "VALIDATION_FAILED")}

    await flood(500)  # what is made once is made
    before, held = await recorded(still), memory()
    await flood(2000)
    assert memory() <= held * 1.1 and await recorded(still) == before
    await still_serving(still)
