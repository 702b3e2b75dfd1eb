"""An event as strangers meet it: CloudEvents 1.0, binary mode over Kafka (contract, section 7).

The value is exactly the bytes that were stored and hashed; headers repeat what a reader needs to route, order and
recognise an event without opening it. What does not look like ours is Foreign: never an event, and never taken for one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from shared.contracts.envelope import Envelope, rfc3339
from shared.contracts.outward import shown, shown_actor
from shared.eventlog.log import Recorded, partition_of

SPEC_VERSION = "1.0"
SEQUENCE_DIGITS = 20
"""Zero-padded, so that text order is number order."""


class Message(NamedTuple):
    """One Kafka record; the time is in milliseconds since the epoch."""

    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    timestamp_ms: int


class Foreign(Exception):
    """A record that our relay did not write; the message is a short reason, fit for a metric's label."""


def topic_of(service: str) -> str:
    """The one topic of a service."""
    return f"appeals.{service}.v1"


def source_of(service: str) -> str:
    """What `ce_source` says for a service."""
    return f"/services/{service}"


@cache
def schema_of(type_: str) -> str:
    """Where the JSON Schema of an event type is served."""
    service = type_.removeprefix("cn.gov.appeals.").partition(".")[0]
    return f"/{service}/schemas/{type_}.json"


_NAMES = ["specversion", "id", "source", "type", "subject", "time", "dataschema", "partitionkey", "sequence"]
_NAMES += ["streamversion", "correlationid", "causationid", "traceparent"]
_HEADER = {name: f"ce_{name}" for name in _NAMES} | {"datacontenttype": "content-type"}


def attributes(event: Recorded, envelope: Envelope) -> dict[str, str]:
    """The CloudEvents context attributes of a stored event and what it decodes to."""
    context = {
        "specversion": SPEC_VERSION,
        "id": envelope.id,
        "source": envelope.source,
        "type": envelope.type,
        "subject": envelope.subject,
        "time": rfc3339(envelope.time),
        "datacontenttype": "application/json",
        "dataschema": schema_of(envelope.type),
        "partitionkey": envelope.subject,
        "sequence": str(event.position).zfill(SEQUENCE_DIGITS),
        "streamversion": str(envelope.version),
        "correlationid": envelope.correlation,
    }
    optional = {"causationid": envelope.causation, "traceparent": envelope.traceparent}
    return context | {name: value for name, value in optional.items() if value is not None}


def structured(event: Recorded, whole: bool, hidden: bool = False) -> dict[str, Any]:
    """The event as one JSON object, CloudEvents JSON format, for HTTP. Not whole: without what only we need to know.

    `hidden`: and without what could tell who the appellant is.
    """
    envelope = event.envelope
    data = envelope.as_json()
    if not whole:
        data["actor"] = shown_actor(data["actor"])
        data["data"] = shown(data["data"], hidden)
    return attributes(event, envelope) | {"data": data}


def to_message(event: Recorded) -> Message:
    """How the relay publishes an event."""
    envelope = event.envelope
    context = attributes(event, envelope)
    headers = [(_HEADER[name], value.encode()) for name, value in context.items()]
    return Message(envelope.subject.encode(), event.body, headers, round(envelope.time.timestamp() * 1000))


def from_message(
    service: str, partition: int, partitions: int, key: bytes | None, value: bytes | None, headers: Mapping[str, bytes]
) -> Recorded:
    """The event in a record of a service's topic, its body not yet looked at. Raises Foreign."""
    try:
        context = {name: headers[f"ce_{name}"].decode() for name in ("source", "type", "sequence", "streamversion")}
        subject = (key or b"").decode()
    except (KeyError, UnicodeDecodeError):
        raise Foreign("not a CloudEvent of ours") from None
    if context["source"] != source_of(service):
        raise Foreign("forged source")
    if not subject or partition_of(subject, partitions) != partition or headers.get("ce_subject") != key:
        raise Foreign("wrong key")
    position, version = context["sequence"], context["streamversion"]
    if not (_number(position) and _number(version)):
        raise Foreign("no position")
    if not _says(value or b"", context["type"], int(version)):
        raise Foreign("headers and body disagree")
    return Recorded(partition, int(position), subject, int(version), context["type"], value or b"")


def _says(body: bytes, type_: str, version: int) -> bool:
    """Whether a body says of itself what its headers say: canonical JSON begins with `actor` and ends with these two.

    Looking no further keeps reading fast; an imitation that goes further is kept out by ACLs.
    """
    return body.startswith(b'{"actor":{') and body.endswith(f',"type":"{type_}","version":{version}}}'.encode())


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= SEQUENCE_DIGITS and int(text) > 0
