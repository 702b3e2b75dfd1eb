"""Records in a topic that our relay did not write, and events in a log that cannot be what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from shared.eventlog.canonical import canonical
from shared.eventlog.log import Recorded, partition_of
from shared.messaging.cloudevents import to_message
from tests.support.events import envelope

PARTITIONS, SUBJECT = 4, "a-1"
PARTITION = partition_of(SUBJECT, PARTITIONS)
ELSEWHERE = next(f"b-{n}" for n in range(99) if partition_of(f"b-{n}", PARTITIONS) != PARTITION).encode()


class Record(NamedTuple):
    """What lies in the topic of intake, and where."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    partition: int = PARTITION
    service: str = "intake"


def good() -> Record:
    one = envelope("appeal-a-1", 1, SUBJECT)
    event = Recorded(PARTITION, 1, one.stream, 1, one.type, canonical(one.as_json()))
    message = to_message(event)
    return Record(message.key, message.value, dict(message.headers))


def _header(name: str, value: bytes | None) -> Callable[[Record], Record]:
    def changed(record: Record) -> Record:
        headers = {one: said for one, said in record.headers.items() if one != name}
        return record._replace(headers=headers if value is None else headers | {name: value})

    return changed


def _body(change: Callable[[bytes], bytes]) -> Callable[[Record], Record]:
    return lambda record: record._replace(value=change(record.value or b""))


NOT_OURS, SOURCE, KEY, POSITION = "not a CloudEvent of ours", "forged source", "wrong key", "no position"
DISAGREE = "headers and body disagree"
_NEEDED = ["ce_source", "ce_type", "ce_sequence", "ce_streamversion"]
_NUMBERS = [
    b"",
    b"0",
    b"-1",
    b"+1",
    b"1.0",
    b"1e3",
    b" 1",
    b"1 ",
    b"0x1",
    b"one",
    "１".encode(),
    "²".encode(),
    b"9" * 21,
]
_SOURCES = [
    b"",
    b"intake",
    b"/services/",
    b"/services/routing",
    b"/services/Intake",
    b"/services/intake/",
    b"//services/intake",
]
FORGED: dict[str, tuple[Callable[[Record], Record], str]] = {
    **{f"no {name}": (_header(name, None), NOT_OURS) for name in _NEEDED},
    **{f"{name} that is no text": (_header(name, b"\xff\xfe"), NOT_OURS) for name in _NEEDED},
    "no headers": (lambda record: record._replace(headers={}), NOT_OURS),
    "headers in capitals": (
        lambda record: record._replace(headers={name.upper(): said for name, said in record.headers.items()}),
        NOT_OURS,
    ),
    "headers of another binding": (
        lambda record: record._replace(headers={name[3:]: said for name, said in record.headers.items()}),
        NOT_OURS,
    ),
    "a key that is no text": (lambda record: record._replace(key=b"\xff"), NOT_OURS),
    **{f"source {one!r}": (_header("ce_source", one), SOURCE) for one in _SOURCES},
    "in the topic of another service": (lambda record: record._replace(service="routing"), SOURCE),
    "no key": (lambda record: record._replace(key=None), KEY),
    "an empty key": (lambda record: record._replace(key=b""), KEY),
    "the key of somebody else": (lambda record: record._replace(key=ELSEWHERE), KEY),
    "the key of somebody else, and its header": (
        lambda record: record._replace(key=ELSEWHERE, headers=record.headers | {"ce_subject": ELSEWHERE}),
        KEY,
    ),
    "another subject": (_header("ce_subject", b"a-2"), KEY),
    "no subject": (_header("ce_subject", None), KEY),
    "the subject in capitals": (_header("ce_subject", b"A-1"), KEY),
    "in another partition": (lambda record: record._replace(partition=(PARTITION + 1) % PARTITIONS), KEY),
    **{f"position {one[:9]!r}": (_header("ce_sequence", one), POSITION) for one in _NUMBERS},
    **{f"version {one[:9]!r}": (_header("ce_streamversion", one), POSITION) for one in _NUMBERS},
    "another type": (_header("ce_type", b"cn.gov.appeals.intake.appeal-withdrawn.v1"), DISAGREE),
    "a later version of its type": (_header("ce_type", b"cn.gov.appeals.intake.appeal-closed.v9"), DISAGREE),
    "no type": (_header("ce_type", b""), DISAGREE),
    "another version": (_header("ce_streamversion", b"2"), DISAGREE),
    "a version with zeros before": (_header("ce_streamversion", b"10"), DISAGREE),
    "no body": (lambda record: record._replace(value=None), DISAGREE),
    "an empty body": (_body(lambda body: b""), DISAGREE),
    "an empty object": (_body(lambda body: b"{}"), DISAGREE),
    "a body that is no JSON": (_body(lambda body: b"hello"), DISAGREE),
    "a megabyte of nothing": (_body(lambda body: bytes(1_153_434)), DISAGREE),
    "a body with blanks": (_body(lambda body: json.dumps(json.loads(body)).encode()), DISAGREE),
    "a body in another order": (
        _body(lambda body: json.dumps(dict(reversed(json.loads(body).items())), separators=(",", ":")).encode()),
        DISAGREE,
    ),
    "a body with a mark before it": (_body(lambda body: b"\xef\xbb\xbf" + body), DISAGREE),
    "a body that was cut": (_body(lambda body: body[:-1]), DISAGREE),
    "a body with more behind it": (_body(lambda body: body + b"\n"), DISAGREE),
    "a body in UTF-16": (_body(lambda body: body.decode().encode("utf-16")), DISAGREE),
    "a body with another version at its end": (
        _body(lambda body: body.replace(b'"version":1}', b'"version":2}')),
        DISAGREE,
    ),
    "a body without an actor": (_body(lambda body: body.replace(b'{"actor":', b'{"Actor":')), DISAGREE),
}
"""A record, changed, and the reason why it is skipped."""

WITHDRAWN = "cn.gov.appeals.intake.appeal-withdrawn"
UNREADABLE: dict[str, tuple[str, dict[str, Any]]] = {
    "a later version": (f"{WITHDRAWN}.v2", {"reason": None}),
    "a version far ahead": (f"{WITHDRAWN}.v999", {}),
    "a field of another type": (f"{WITHDRAWN}.v1", {"by_appellant": "perhaps", "reason": 5}),
    "a text for a sealed one": (f"{WITHDRAWN}.v1", {"reason": {"key": 1, "ct": []}}),
    "nothing of what it needs": ("cn.gov.appeals.intake.appeal-registered.v1", {}),
    "a kind that does not exist": ("cn.gov.appeals.intake.appeal-registered.v1", {"kind": "NOISE", "ticket_no": "x"}),
    "a list": ("cn.gov.appeals.intake.appeal-registered.v1", {"appellant": [], "place": []}),
    "a number for an id": ("cn.gov.appeals.intake.appeal-merged.v1", {"into": 5}),
    "NULL": ("cn.gov.appeals.intake.appeal-merged.v1", {"into": None}),
    "a place that is a text": ("cn.gov.appeals.intake.appeal-registered.v1", {"place": "朝阳区", "triage": 5}),
}
"""Types that we know with data that they cannot have: put aside by name, without effect."""
UNKNOWN = ["cn.gov.appeals.intake.appeal-sung.v1", "cn.gov.appeals.intake.x.v1", "org.example.evil.v1", "x", "v1"]
"""Types of a newer neighbour: skipped, without effect."""
