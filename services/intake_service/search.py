"""The index in which appeals are found by what they say, where they are, and whom they resemble: blind.

It holds keyed tokens only, so neither the database nor its backups tell what was said. An index answers with
candidates; whoever asks opens these and looks. When a person is erased their rows go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from services.intake_service.places import Point, cells_of, to_wgs84
from shared.contracts.codes import Datum
from shared.contracts.envelope import ERASED, Envelope
from shared.engine.projections import View
from shared.eventlog.postgres import Connection
from shared.eventlog.sealing import Keyring, sealed_refs, unseal_data
from shared.language.likeness import bands, token, tokens

_PREFIX = "cn.gov.appeals.intake."
REGISTERED = f"{_PREFIX}appeal-registered.v1"
SEARCH = Table(
    "search",
    MetaData(),
    Column("appeal_id", Text, primary_key=True),
    Column("person", Text),
    Column("subject_key", Text),
    Column("words", ARRAY(BigInteger)),
    Column("buckets", ARRAY(BigInteger)),
)
INSERT = """
    INSERT INTO "{}" VALUES ($1, $2, $3, $4, $5) ON CONFLICT (appeal_id) DO NOTHING"""


class Search(View):
    """One row an appeal: the person's pseudonym, the tokens of its words and cells, the buckets of its content."""

    table = SEARCH
    sources = ("intake",)
    # Without a pending list, which every search would have to read through.
    indexes = ("person", *(f"USING gin ({column}) WITH (fastupdate = off)" for column in ("words", "buckets")))

    def __init__(self, keyring: Keyring | None = None, index_key: bytes = b"") -> None:
        self._keyring, self._key = keyring, index_key

    def prepared(self, keyring: Keyring, index_key: bytes) -> View:
        return Search(keyring, index_key)

    def wants(self, event: Envelope) -> bool:
        return event.type == REGISTERED

    async def apply(self, connection: Connection, physical: str, events: Sequence[Envelope]) -> None:
        wanted = [event for event in events if self.wants(event)]
        if not wanted or self._keyring is None:
            return
        await self._keyring.load({ref for event in wanted for ref in sealed_refs(event.type, event.data)})
        rows = [row for event in wanted if (row := self._row(event, self._keyring))]
        await connection.executemany(INSERT.format(physical), rows)

    def _row(self, event: Envelope, keyring: Keyring) -> tuple[Any, ...] | None:
        data = unseal_data(keyring, event.type, event.data, f"{event.stream}/{event.id}")
        if data["content"] == ERASED:
            return None
        place = data["place"]
        said = tokens(self._key, [data["content"]])
        words = said | tokens(self._key, [data.get("title"), place.get("address"), place.get("site")])
        cells = {token(self._key, cell) for cell in cells_of(at)} if (at := point_of(place)) else frozenset()
        who = data["appellant"]
        return event.subject, who["ref"], who["key"], sorted(words | cells), bands(said)


def point_of(place: dict[str, Any]) -> Point | None:
    """Where an opened place is, in WGS-84; None where nothing was said, or it was erased."""
    longitude, latitude = place.get("longitude"), place.get("latitude")
    if longitude is None or latitude is None or ERASED in (longitude, latitude):
        return None
    return to_wgs84(float(longitude), float(latitude), Datum(place.get("datum") or Datum.WGS84))
