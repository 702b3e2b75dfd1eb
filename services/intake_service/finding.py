"""Finding appeals: by what they say, by where they are, and by what they resemble.

The blind index answers with candidates; here they are opened and looked at, so what is found is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, RowMapping, Text, any_, bindparam, func, not_, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from services.intake_service.places import Point, TooWide, cells_around, distance
from services.intake_service.policy import likeness_policy
from services.intake_service.reading import dealt_with
from services.intake_service.search import REGISTERED, SEARCH, point_of
from services.intake_service.views import CASES, STORY
from shared.engine.runtime import Running
from shared.eventlog.sealing import sealed_refs, unseal_data
from shared.language.likeness import bands, likeness, token, tokens
from shared.language.script import bigrams, plain
from shared.web.identity import Principal
from shared.web.masking import hidden_from, known_names, masked
from shared.web.problems import Problem

ALIKE = text("""
    SELECT DISTINCT s.appeal_id, s.person FROM unnest(:buckets) AS bucket
    CROSS JOIN LATERAL (SELECT appeal_id, person FROM search WHERE buckets @> ARRAY[bucket] LIMIT :most) s
    LIMIT :most""").bindparams(bindparam("buckets", type_=SEARCH.c.buckets.type))
"""One bucket after the other: asked for all of them at once, a planner without statistics reads the whole table."""


@dataclass(frozen=True)
class Wanted:
    """What an opened appeal must say, and where it must be."""

    text: str | None = None
    near: tuple[Point, float] | None = None

    @property
    def nothing(self) -> bool:
        return self.text is None and self.near is None

    def conditions(self, key: bytes) -> list[Any]:
        """What the index can tell. Raises VALIDATION_FAILED for what it cannot be asked."""
        found = []
        if self.text is not None:
            if not (words := bigrams(self.text)):
                raise _invalid("q", "at least two letters or digits")
            found.append(SEARCH.c.words.contains([token(key, word) for word in words]))
        if self.near is not None:
            try:
                cells = cells_around(*self.near)
            except TooWide:
                raise _invalid("near", "the circle is too wide") from None
            found.append(SEARCH.c.words.overlap([token(key, cell) for cell in cells]))
        # An array, so that the index is asked first: a planner that sees a LIMIT would rather walk through all cases.
        ids = func.array(select(SEARCH.c.appeal_id).where(*found).scalar_subquery(), type_=ARRAY(Text))
        return [CASES.c.appeal_id == any_(ids), in_use()]

    def is_met(self, facts: Mapping[str, Any]) -> bool:
        """Whether these opened facts are what was wanted."""
        if self.text is not None:
            place = facts["place"]
            said = (facts.get("title"), facts["content"], place.get("address"), place.get("site"))
            if not any(self.text in plain(one) for one in said if one):
                return False
        if self.near is not None:
            at = point_of(facts["place"])
            return at is not None and distance(self.near[0], at) <= self.near[1]
        return True


def in_use() -> ColumnElement[bool]:
    """As SQL, of a row of CASES: that what it says of a person is not restricted."""
    return not_(dealt_with(CASES.c.person, CASES.c.registered_at, "RESTRICTED"))


def wanted(q: str | None, near: str | None) -> Wanted:
    """From query parameters. `near` is `longitude,latitude,metres`, WGS-84. Raises VALIDATION_FAILED."""
    if near is None:
        return Wanted(plain(q) if q is not None else None)
    try:
        longitude, latitude, metres = (float(part) for part in near.split(","))
    except ValueError:
        raise _invalid("near", "longitude,latitude,metres") from None
    if not (abs(longitude) <= 180 and abs(latitude) <= 90 and 0 < metres < float("inf")):
        raise _invalid("near", "longitude,latitude,metres")
    return Wanted(plain(q) if q is not None else None, (Point(longitude, latitude), metres))


async def those_that_are(
    running: Running, rows: Sequence[RowMapping], what: Wanted, principal: Principal
) -> list[RowMapping]:
    """The cases among these whose registration, as the caller may read it, is what was wanted.

    Or a unit could ask whether it was this person or that one who wrote.
    """
    if what.nothing:
        return list(rows)
    facts = await opened_facts(running, [row["appeal_id"] for row in rows])
    for row in rows:
        if row["appeal_id"] in facts and hidden_from(row["identity_hidden"], principal):
            one = facts[row["appeal_id"]]
            facts[row["appeal_id"]] = masked(one, known_names(one["appellant"]))
    return [row for row in rows if row["appeal_id"] in facts and what.is_met(facts[row["appeal_id"]])]


async def opened_facts(running: Running, appeal_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The registrations of these appeals, opened."""
    columns = (STORY.c.appeal_id, STORY.c.stream, STORY.c.event_id, STORY.c.data)
    query = select(*columns).where(STORY.c.appeal_id.in_(appeal_ids), STORY.c.type == REGISTERED)
    query = query.where(STORY.c.service == "intake", STORY.c.version == 1)
    async with running.reads.connect() as connection:
        rows = (await connection.execute(query)).mappings().all()
    sealed = {row["appeal_id"]: (f"{row['stream']}/{row['event_id']}", orjson.loads(row["data"])) for row in rows}
    await running.keyring.load({ref for _, data in sealed.values() for ref in sealed_refs(REGISTERED, data)})
    return {id_: unseal_data(running.keyring, REGISTERED, data, place) for id_, (place, data) in sealed.items()}


async def similar(running: Running, content: str, person: str | None, but: str | None) -> list[dict[str, Any]]:
    """Appeals that resemble a text, the most alike first (contract, section 9). `person` is the appellant's pseudonym.

    An appeal of the same person counts from a lower likeness on than one of somebody else.
    """
    key, policy = running.secrets.index, likeness_policy()
    said = bigrams(plain(content))
    buckets = bands(tokens(key, [content]))
    rows = await _candidates(running, buckets, person, policy.most_candidates)
    persons = {row["appeal_id"]: row["person"] for row in rows if row["appeal_id"] != but}
    facts = await opened_facts(running, list(persons))
    cases = await _cases(running, list(facts))
    found = []
    for appeal_id, one in facts.items():
        score, same = (
            likeness(said, bigrams(plain(one["content"]))),
            person is not None and person == persons[appeal_id],
        )
        if appeal_id in cases and score >= (policy.same_person if same else policy.same_problem):
            found.append(_item(cases[appeal_id], score, same))
    return sorted(found, key=lambda item: (item["score"], item["appeal_id"]), reverse=True)[: policy.most_shown]


async def _candidates(running: Running, buckets: list[int], person: str | None, most: int) -> Sequence[RowMapping]:
    async with running.reads.connect() as connection:
        rows = list((await connection.execute(ALIKE, {"buckets": buckets, "most": most})).mappings())
        if person is not None:
            own = select(SEARCH.c.appeal_id, SEARCH.c.person).where(SEARCH.c.person == person)
            rows += (await connection.execute(own.order_by(SEARCH.c.appeal_id.desc()).limit(most))).mappings()
    return rows


async def _cases(running: Running, appeal_ids: Sequence[str]) -> dict[str, RowMapping]:
    query = select(CASES).where(CASES.c.appeal_id.in_(appeal_ids), in_use())
    async with running.reads.connect() as connection:
        rows = (await connection.execute(query)).mappings()
        return {row["appeal_id"]: row for row in rows if row["state"] is not None}


def _item(row: RowMapping, score: float, same: bool) -> dict[str, Any]:
    evidence = [f"content {score:.2f}"] + (["same contact"] if same else [])
    return {
        "appeal_id": row["appeal_id"],
        "ticket_no": row["ticket_no"],
        "score": f"{score:.4f}",
        "relation": "SAME_PERSON_REPEAT" if same else "SAME_PROBLEM",
        "state": row["state"],
        "district": row["district"],
        "lead_unit": row["lead_unit"],
        "evidence": evidence,
    }


def _invalid(parameter: str, message: str) -> Problem:
    return Problem("VALIDATION_FAILED", errors=[{"pointer": f"/{parameter}", "message": message}])
