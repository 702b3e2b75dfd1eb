"""Requests that no decent client sends, byte by byte: framing that two servers may read differently, hosts, headers."""

from __future__ import annotations

from typing import NamedTuple

from tests.support.bad import CANARY, LIMIT
from tests.support.city import City

CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"
GOOD = "Content-Length: 2\r\n"
TE = "Transfer-Encoding: chunked\r\n"


class Frame(NamedTuple):
    """What is odd about a request: its line, its headers, its body."""

    headers: str = GOOD
    body: bytes = b"{}"
    line: str = "POST /intake/v1/appeals HTTP/1.1"
    host: str = "Host: x\r\n"

    def bytes(self, city: City) -> bytes:
        """The request of an agent."""
        usual = f"{self.host}Authorization: Bearer {city.token('AGENT')}\r\nContent-Type: application/json\r\n"
        return f"{self.line}\r\n{usual}{self.headers}\r\n".encode("latin-1") + self.body


def _lengths() -> dict[str, Frame]:
    values = [
        "-2",
        "+2",
        "0x2",
        "",
        "2.0",
        "1 2",
        "2e0",
        "2;",
        "2, 2",
        "2, 3",
        '"2"',
        "two",
        "\u00b2",
        "9" * 23,
        "2\x00",
    ]
    return {f"length {value!a}": Frame(f"Content-Length: {value}\r\n") for value in values}


def _codings() -> dict[str, Frame]:
    odd = ["xchunked", "identity", "chunked, identity", "\x0bchunked", '"chunked"', "chunked;", "chunked chunked", ""]
    return {f"coding {value!a}": Frame(f"Transfer-Encoding: {value}\r\n", CHUNKS) for value in odd}


def _chunks() -> dict[str, Frame]:
    sizes = ["-2", "+2", "0x2", "", "g", "f" * 18, "2 ", " 2", "2,2", "2;\nx", "2\x00", "\u00b2", "2\n{}\r\n0\r\n\r\n#"]
    made = {f"chunk size {one!a}": Frame(TE, f"{one}\r\n{{}}\r\n0\r\n\r\n".encode("latin-1")) for one in sizes}
    bodies = {
        "ends with LF": b"2\n{}\n0\n\n",
        "ends with CR": b"2\r{}\r0\r\r",
        "longer than it says": b"1\r\n{}\r\n0\r\n\r\n",
        "a length in its trailer": b"2\r\n{}\r\n0\r\nContent-Length: 7\r\n\r\n",
    }
    return made | {f"chunk {name}": Frame(TE, body) for name, body in bodies.items()}


def _lines() -> dict[str, Frame]:
    odd = {
        "method with a sign": "P@ST /intake/v1/appeals HTTP/1.1",
        "method in small letters": "post /intake/v1/appeals HTTP/1.1",
        "version 9.9": "POST /intake/v1/appeals HTTP/9.9",
        "version of two words": "POST /intake/v1/appeals HTTP/1.1 x",
        "blank in the path": "POST /intake/v1/ap peals HTTP/1.1",
        "NUL in the path": "POST /intake/v1/ap\x00peals HTTP/1.1",
        "DEL in the path": "POST /intake/v1/ap\x7fpeals HTTP/1.1",
        "no slash": "POST intake/v1/appeals HTTP/1.1",
        "a query only": "POST ?x HTTP/1.1",
        "a host only": "POST http://evil.example HTTP/1.1",
        "CONNECT": "CONNECT evil.example:443 HTTP/1.1",
    }
    return {name: Frame(line=line) for name, line in odd.items()}


def _headers() -> dict[str, Frame]:
    odd = {
        "both framings": f"{GOOD}{TE}",
        "both framings, the other way round": f"{TE}{GOOD}",
        "two lengths alike": GOOD * 2,
        "two lengths": f"{GOOD}Content-Length: 3\r\n",
        "two codings": f"{TE}Transfer-Encoding: identity\r\n",
        "one coding twice": TE * 2,
        "blank before the colon": "Content-Length : 2\r\n",
        "blank before the colon of a coding": "Transfer-Encoding : chunked\r\n",
        "length on the next line": "Content-Length:\r\n 2\r\n",
        "folded": f"X: a\r\n b\r\n{GOOD}",
        "LF alone": f"X: a\n{GOOD}",
        "CR alone": f"X: a\rb\r\n{GOOD}",
        "NUL in a value": f"X: a\x00b\r\n{GOOD}",
        "NUL in a name": f"X\x00: a\r\n{GOOD}",
        "no colon": f"Xa\r\n{GOOD}",
        "no name": f": a\r\n{GOOD}",
        "blank before a name": f" X: a\r\n{GOOD}",
        "no ASCII in a name": f"\u00dc: a\r\n{GOOD}",
        "a bracket in a name": f"X[]: a\r\n{GOOD}",
    }
    return {name: Frame(headers, CHUNKS if TE in headers else b"{}") for name, headers in odd.items()}


FRAMING = _headers() | _lengths() | _codings() | _chunks() | _lines()
"""Refused by the parser with 400 and a closed connection: nothing that follows is read as another request."""

RAW = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "LF only": b"POST /intake/v1/appeals HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}",
    "CR only": b"POST /intake/v1/appeals HTTP/1.1\rHost: x\r\r",
    "a greeting": b"EHLO evil.example\r\n",
    "nothing readable": bytes(range(128, 256)) + b"\r\n\r\n",
}

HOSTS = [
    "",
    "Host:",
    "Host: evil.example",
    "Host: evil.example:80:90",
    "Host: evil/path",
    "Host: evil?x",
    "Host: evil#x",
]
HOSTS += ["Host: a@evil.example", "Host: a b", "Host: x\r\nHost: evil.example", "Host: [::1", "Host: ]", "Host: a,evil"]
HOSTS += ["Host: \x80\xff", f"Host: {'evil' * 75}", "Host: ..", "Host: <script>", "Host: x\\evil", "Host: evil:99999"]
HOSTS += ["Host: %00evil", "Host: x%2fevil", "Host: evil.example/intake/v1/channels?", "Host: 127.0.0.1:0"]
HOSTS += ["Host: x\r\nX-Forwarded-Host: evil.example", "Host: x\r\nForwarded: host=evil.example;proto=https"]
HOSTS += ["Host: x\r\nX-Forwarded-Prefix: /evil", "Host: x\r\nX-Original-URL: /evil", "Host: x\r\nX-Rewrite-URL: /evil"]

_SPOOFS = ["X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1", "True-Client-IP: ::1"]
_SPOOFS += ["X-Forwarded-For: 10.0.0.1, evil", f"X-Forwarded-For: {'1.1.1.1, ' * 2000}", "X-Forwarded-Proto: https"]
_SPOOFS += ["X-HTTP-Method-Override: GET", "X-Method-Override: DELETE", "X-Role: MUNICIPAL_ADMIN", "X-User: admin"]
_SPOOFS += ["Cookie: role=admin", "X-Unit-Id: bj-water", "X-Request-Id: evil", "jiesu.request_id: evil"]
_TRACES = [
    "",
    "x",
    "00",
    "00-0-0-0",
    "ff-" + "1" * 32 + "-" + "1" * 16 + "-01",
    "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
]
_TRACES += [
    "00-" + "g" * 32 + "-" + "1" * 16 + "-01",
    "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
    "x" * 9000,
    "\x80\xff",
]
_ODD = [f"X: {'a' * 60_000}", f"{'a' * 60_000}: x", "\r\n".join(f"X-{n}: a" for n in range(1000)), "X:", "X: \t \t"]
_ODD += ["Expect: magic", "Range: bytes=0-,0-,0-", "Accept: " + "*/*," * 3000, "Accept-Encoding: " + "gzip," * 3000]
_ODD += [
    "TE: trailers, evil",
    "Connection: close, Authorization",
    "Max-Forwards: -1",
    "Upgrade: h2c\r\nConnection: Upgrade",
]
IGNORED = (
    _SPOOFS + [f"traceparent: {one}" for one in _TRACES] + [f"traceparent: {_TRACES[4]}\r\ntracestate: {'a=b,' * 900}"]
)
IGNORED += _ODD
"""Headers that change nothing: the same request is refused for the same reason with and without."""

OVER = LIMIT + 1
TOO_LARGE = {
    "announced": Frame(f"Content-Length: {OVER}\r\n", b""),
    "announced with zeros before": Frame(f"Content-Length: {OVER:012}\r\n", b""),
    "a terabyte": Frame("Content-Length: 1000000000000\r\n", b""),
    "the most that a length can say": Frame(f"Content-Length: {2**63 - 1}\r\n", b""),
    "announced, and promised": Frame(f"Content-Length: {OVER}\r\nExpect: 100-continue\r\n", b""),
    "announced in small letters": Frame(f"content-length: {OVER}\r\n", b""),
    "sent whole": Frame(f"Content-Length: {OVER}\r\n", b" " * OVER),
    "one chunk": Frame(TE, b"%x\r\n%b\r\n" % (OVER, b" " * OVER)),
    "many chunks": Frame(TE, (b"400\r\n" + b" " * 1024 + b"\r\n") * 257),
    "chunks of one byte": Frame(TE, b"1\r\n \r\n" * OVER),
    "chunks with extensions": Frame(TE, (b"400;" + b"x" * 50 + b"\r\n" + b" " * 1024 + b"\r\n") * 257),
    "chunks of text": Frame(TE, b"%x\r\n%b\r\n" % (OVER, CANARY.encode().ljust(OVER))),
    "an open text": Frame(TE, b"%x\r\n%b\r\n" % (OVER, b'{"content":"'.ljust(OVER, b"x"))),
    "brackets": Frame(TE, b"%x\r\n%b\r\n" % (OVER, b"[" * OVER)),
    "digits": Frame(TE, b"%x\r\n%b\r\n" % (OVER, b"9" * OVER)),
    "coding in capitals": Frame("TRANSFER-ENCODING: CHUNKED\r\n", b"%x\r\n%b\r\n" % (OVER, b" " * OVER)),
}
