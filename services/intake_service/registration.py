"""From a request to the facts of a registration: ticket number, tracking code, pseudonym, what a channel must bring."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Self

import asyncpg
from pydantic import Field, StringConstraints, model_validator

from services.intake_service.contact import pseudonym
from services.intake_service.policy import channel_needs, triage_rules
from services.intake_service.triage import triage
from shared.contracts.codes import AppellantType, Channel, Datum, Kind, Urgency
from shared.contracts.intake import AppealRegistered, Appellant, Place
from shared.engine.decider import Refused
from shared.engine.ids import Ids
from shared.web.fields import Body, Label, Moment, ShortText, Text, Uuid
from shared.web.tracking import hash_of

TRACKING_BYTES = 20
CLOCK_SKEW = timedelta(minutes=5)
TICKET_BLOCK = 1000
"""As many numbers as the sequence gives at a time."""

Phone = Annotated[str, StringConstraints(pattern=r"^\+?[0-9][0-9 \-]{2,30}$")]
Email = Annotated[str, StringConstraints(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
SourceRef = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]


class LocationBody(Body):
    """Where it is. District and township: division code or name."""

    address: ShortText | None = None
    longitude: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)] | None = None
    latitude: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)] | None = None
    datum: Datum | None = None
    district: Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"\S")] | None = None
    township: Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"\S")] | None = None
    site: Label | None = None

    @model_validator(mode="after")
    def _both_coordinates(self) -> Self:
        if (self.longitude is None) != (self.latitude is None):
            raise ValueError("longitude and latitude belong together")
        return self


class AppellantBody(Body):
    """Who appeals. `wechat`: the openid under which a WeChat gateway knows them."""

    type: AppellantType = AppellantType.PERSON
    name: Label | None = None
    phone: Phone | None = None
    email: Email | None = None
    wechat: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{6,64}$")] | None = None
    confidential: bool = False
    anonymous: bool = False


class AppealBody(Body):
    """What `POST /intake/v1/appeals` takes."""

    kind: Kind
    channel: Channel
    content: Text
    title: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"\S")] | None = None
    raised_at: Moment | None = None
    category_path: Annotated[tuple[Label, ...], Field(max_length=5)] = ()
    tags: Annotated[tuple[Label, ...], Field(max_length=20)] = ()
    urgency: Urgency | None = None
    location: LocationBody | None = None
    appellant: AppellantBody
    source_ref: SourceRef | None = None
    relates_to: Uuid | None = None


class Tickets:
    """Ticket numbers of one city: blocks from its database's sequence, so that none is given twice and none costs."""

    def __init__(self) -> None:
        self._next, self._end = 0, 0
        self._fetching = asyncio.Lock()

    async def number(self, pool: asyncpg.Pool, now: datetime) -> str:
        while self._next == self._end:
            async with self._fetching:  # one block for all who wait, not one each
                if self._next == self._end:
                    start = await pool.fetchval("SELECT nextval('ticket_numbers')")
                    self._next, self._end = start, start + TICKET_BLOCK
        number, self._next = self._next, self._next + 1
        return f"{now:%Y%m%d}-{number:07d}"


def new_tracking_code(ids: Ids) -> str:
    """160 random bits, in five groups that can be read out over the phone."""
    return ids.random_bytes(TRACKING_BYTES).hex("-", 4).upper()


def check(body: AppealBody, now: datetime) -> None:
    """Raises Refused when the channel asks for more than was brought, or the time cannot be right."""
    for need in channel_needs()[body.channel]:
        if not any(_brought(body, field) for field in need.fields):
            raise Refused(need.code, f"channel {body.channel} needs one of {', '.join(need.fields)}")
    if body.raised_at is not None and body.raised_at > now + CLOCK_SKEW:
        raise Refused("RAISED_IN_FUTURE", "raised_at lies in the future")


def _brought(body: AppealBody, field: str) -> bool:
    """Whether a field, named as in `location.address`, says something."""
    part, _, name = field.partition(".")
    value = getattr(getattr(body, part), name, None)
    return value is not None and value is not False


def facts_of(
    body: AppealBody,
    place: Place,
    *,
    ticket_no: str,
    tracking_code: str,
    client: str,
    now: datetime,
    index_key: bytes,
    subject_key: str,
    ids: Ids,
) -> AppealRegistered:
    """The event that this request amounts to. Raises Refused when the channel asks for more than was brought."""
    check(body, now)
    who = body.appellant
    ref = None if who.anonymous else pseudonym(index_key, who.phone, who.email)
    return AppealRegistered(
        ticket_no=ticket_no,
        kind=body.kind,
        channel=body.channel,
        title=body.title,
        content=body.content,
        raised_at=body.raised_at or now,
        category_path=body.category_path,
        tags=body.tags,
        urgency=body.urgency,
        place=place,
        appellant=Appellant(
            ref=ref or "a" + ids.random_bytes(16).hex(),
            key=subject_key,
            type=who.type,
            confidential=who.confidential,
            anonymous=who.anonymous,
            name=who.name,
            phone=who.phone,
            email=who.email,
            wechat=who.wechat,
        ),
        tracking_hash=hash_of(tracking_code),
        client=client,
        source_ref=body.source_ref,
        relates_to=body.relates_to,
        triage=triage(body.title, body.content, triage_rules()),
    )
