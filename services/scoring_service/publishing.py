"""What is published: a league's counts at a moment, with a digest that is signed, and the table that follows from them.

A publication holds everything that its table needs but the policy, which is named; so anybody can work it out again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scoring_service.counting import MEASURES, counted, numbers_of
from services.scoring_service.formula import Score
from services.scoring_service.life import Share, life_of, shares
from services.scoring_service.period import bounds
from services.scoring_service.policy import Policy
from services.scoring_service.reading import Scope
from services.scoring_service.tables import LeagueTable, expected_at, made, read_table
from services.scoring_service.tallying import LIVES, facts_in, registered_within
from services.scoring_service.views import STANDINGS
from shared.contracts.codes import Basis, League
from shared.contracts.envelope import rfc3339
from shared.contracts.scoring import Cause, Figures, PeriodClosed, PeriodRestated
from shared.engine.runtime import Running
from shared.eventlog.canonical import canonical
from shared.eventlog.notes import Signer

MOST_CAUSES = 500
SIGNED_AS = "scores"


def signer_of(running: Running) -> Signer:
    """Whose signature stands under publications."""
    return Signer(f"{running.settings.origin}/{SIGNED_AS}", running.secrets.signing)


async def drawn_up(
    connection: AsyncConnection, policy: Policy, period: str, now: datetime, units_of: datetime | None = None
) -> list[dict[str, Any]]:
    """The facts of a publication for every league, as was known at a moment, in the organisation of then or another."""
    start, end = bounds(period, policy.period_start_day)
    scopes = [Scope(policy, period, basis, as_of=now, units_of=units_of) for basis in Basis]
    expected = [await expected_at(connection, scope) for scope in scopes]
    publications = []
    for league in League:
        tables = [
            await read_table(connection, scope, league, now, expected=beside)
            for scope, beside in zip(scopes, expected, strict=True)
        ]
        facts = {
            "period": period, "league": league, "policy_version": policy.version, "starts_at": start, "ends_at": end,
            "as_of": now, "columns": MEASURES, "figures": tuple(_figures(table) for table in tables),
            "governed": tuple(sorted(tables[0].governed)),
        }  # fmt: skip
        publications.append(facts)
    return publications


def _figures(table: LeagueTable) -> Figures:
    return Figures(
        basis=table.basis,
        units=tuple((one.counts.unit_id, one.counts.name, numbers_of(one.counts)) for one in _by_unit(table.scores)),
        before=tuple((unit, str(one.composite), one.rank) for unit, one in sorted(table.before.items())),
        expected={unit: str(figure) for unit, figure in sorted(table.expected.items()) if unit in _names(table)},
    )


def _by_unit(scores: Sequence[Score]) -> list[Score]:
    return sorted(scores, key=lambda one: one.counts.unit_id)


def _names(table: LeagueTable) -> frozenset[str]:
    return frozenset(one.counts.unit_id for one in table.scores)


P = TypeVar("P", PeriodClosed, PeriodRestated)


def signed(model: type[P], facts: Mapping[str, Any], sign: Signer) -> P:
    """The publication with its digest (SHA-256, in hex, of the canonical JSON of everything else) and that signed."""
    whole = model.model_validate({**facts, "digest": "", "note": ""})
    digest = digest_of(whole)
    head = f"jiesu scores v1\n{whole.period} {whole.league} {whole.policy_version}\n{rfc3339(whole.as_of)}\n{digest}\n"
    replaces = f"replaces {whole.replaces}\n" if isinstance(whole, PeriodRestated) else ""
    return whole.model_copy(update={"digest": digest, "note": sign.sign(head + replaces)})


def digest_of(publication: PeriodClosed | PeriodRestated) -> str:
    """Over the event's data (RFC 8785) without digest and note."""
    data = publication.model_dump(mode="json", exclude={"digest", "note"}, exclude_none=True)
    return sha256(canonical(data)).hexdigest()


def table_from(document: Mapping[str, Any], policy: Policy, basis: Basis) -> LeagueTable:
    """The table that a publication comes to. `document` is its event's data."""
    publication = PeriodClosed.model_validate(
        {name: value for name, value in document.items() if name in PeriodClosed.model_fields}
    )
    figures = next(one for one in publication.figures if one.basis == basis)
    counts = [counted(unit, name, numbers) for unit, name, numbers in figures.units]
    before = {
        unit: Score(counted(unit, "", ()), rated=True, composite=Decimal(composite), rank=rank)
        for unit, composite, rank in figures.before
    }
    expected = {unit: Decimal(figure) for unit, figure in figures.expected.items()}
    frame = LeagueTable(
        policy, publication.period, League(publication.league), basis, publication.as_of, (), before, expected,
        frozenset(publication.governed),
    )  # fmt: skip
    return made(frame, counts)


async def causes_since(
    connection: AsyncConnection, scope: Scope, as_of: datetime, units: frozenset[str]
) -> tuple[list[Cause], int]:
    """What counts otherwise for these units than it did at a moment, appeals and credits, and how many in all."""
    query = select(LIVES.c.appeal_id, LIVES.c.facts).where(registered_within(*scope.days), LIVES.c.changed_at > as_of)
    causes = await _credits_since(connection, scope.period, as_of, units)
    number = len(causes)
    async for appeal_id, events in _changed(
        await connection.stream(query.order_by(LIVES.c.appeal_id)), scope, as_of, units
    ):
        number += 1
        if number <= MOST_CAUSES:
            causes.append(Cause(appeal_id=appeal_id, events=tuple(events)))
    return causes, number


async def _credits_since(
    connection: AsyncConnection, period: str, as_of: datetime, units: frozenset[str]
) -> list[Cause]:
    query = select(STANDINGS).where(STANDINGS.c.period == period, STANDINGS.c.updated_at > as_of)
    rows = (await connection.execute(query.order_by(STANDINGS.c.entry))).mappings()
    return [Cause(unit_id=row["unit_id"], credit_id=row["entry"]) for row in rows if row["unit_id"] in units]


async def _changed(
    rows: Any, scope: Scope, as_of: datetime, units: frozenset[str]
) -> AsyncIterator[tuple[str, list[str]]]:
    async for appeal_id, facts in rows:
        heard = facts_in(facts)
        now, then = (_of(shares(life, scope.rule), units) for life in (life_of(heard), life_of(heard, as_of)))
        if now != then:
            yield appeal_id, [fact.event_id for fact in heard if datetime.fromisoformat(fact.at) > as_of]


def _of(found: Sequence[Share], units: frozenset[str]) -> list[Share]:
    return [share for share in found if share.unit_id in units]
