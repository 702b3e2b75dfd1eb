"""The envelope that every event travels in, and the few value types all payloads share.

An event is a JSON object with CloudEvents 1.0 attribute names. Its canonical bytes (RFC 8785) are what is stored,
hashed, proven and published; nothing outside these bytes is part of the record.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, PlainSerializer

BEIJING = timezone(timedelta(hours=8), "+08:00")
"""A fixed offset on purpose: the tz database gives Asia/Shanghai +09:00 in the summers of 1986-1991."""

ServiceName = Literal["intake", "routing", "feedback", "scoring"]


def rfc3339(moment: datetime) -> str:
    """The one way a time is written: RFC 3339, milliseconds, +08:00."""
    return moment.astimezone(BEIJING).isoformat(timespec="milliseconds")


Instant = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]


class Sealed(BaseModel):
    """A personal text as the log keeps it: AES-256-GCM under the subject's own key (see eventlog/sealing.py)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    key: str
    ct: str


class PersonalMark:
    """Annotation: this field says something about a person and never reaches the log, a topic or a line in clear."""


ERASED = "[erased]"
"""What a personal text reads as once its key has been destroyed."""

Personal = Annotated[str | Sealed, PersonalMark()]


class Payload(BaseModel):
    """What happened, in the past tense. Unknown fields are refused on write and ignored on read."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    VERSION: ClassVar[int] = 1
    OF: ClassVar[ServiceName]
    INTERNAL: ClassVar[bool] = False
    """Not for units and partners, also where it is about an appeal of theirs."""

    @classmethod
    def event_type(cls) -> str:
        """E.g. cn.gov.appeals.intake.appeal-registered.v1"""
        kebab = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        return f"cn.gov.appeals.{cls.OF}.{kebab}.v{cls.VERSION}"


class Actor(NamedTuple):
    """Who caused an event: a role, the unit that the person acted for, and the account (never a name)."""

    role: str
    unit_id: str | None = None
    sub: str | None = None

    def as_json(self) -> dict[str, str]:
        pairs = (("role", self.role), ("unit_id", self.unit_id), ("sub", self.sub))
        return {name: value for name, value in pairs if value is not None}


SYSTEM = Actor("SYSTEM")


class Envelope(NamedTuple):
    """One event, decoded. `data` is the payload as JSON, as it was written (a tuple: views make millions of these)."""

    id: str
    source: str
    type: str
    subject: str
    stream: str
    version: int
    time: datetime
    actor: Actor
    correlation: str
    causation: str | None
    data: dict[str, Any]
    traceparent: str | None = None

    @property
    def service(self) -> str:
        return self.source.rsplit("/", 1)[-1]

    def as_json(self) -> dict[str, Any]:
        body = {
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "stream": self.stream,
            "version": self.version,
            "time": rfc3339(self.time),
            "actor": self.actor.as_json(),
            "correlation": self.correlation,
            "data": self.data,
        }
        optional = {"causation": self.causation, "traceparent": self.traceparent}
        return body | {name: value for name, value in optional.items() if value is not None}


def decode_envelope(body: bytes) -> Envelope:
    """The inverse of the canonical bytes; raises ValueError or KeyError when they are not an event."""
    raw = orjson.loads(body)
    return Envelope(
        id=raw["id"],
        source=raw["source"],
        type=raw["type"],
        subject=raw["subject"],
        stream=raw["stream"],
        version=raw["version"],
        time=datetime.fromisoformat(raw["time"]),
        actor=Actor(**raw["actor"]),
        correlation=raw["correlation"],
        causation=raw.get("causation"),
        data=raw["data"],
        traceparent=raw.get("traceparent"),
    )
