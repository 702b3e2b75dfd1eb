"""What an answer is looked up against before it is decided: the files it points at, and earlier answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from services.feedback_service.policy import handling_policy
from services.feedback_service.views import EVIDENCE, WORDINGS
from services.feedback_service.wording import letters
from shared.contracts.codes import EvidenceRole
from shared.contracts.feedback import Evidence
from shared.engine.decider import Refused
from shared.engine.runtime import Running
from shared.language.likeness import bands, likeness, tokens

PICTURES = {"PHOTO", "VIDEO"}
MOST_COMPARED = 50


async def files_there(running: Running, appeal_id: str, evidence: Sequence[Evidence]) -> bool:
    """Whether one of these files belongs to another appeal as well. Raises EVIDENCE_UNKNOWN."""
    if not evidence:
        return False
    numbers = [one.number for one in evidence]
    query = select(EVIDENCE).where(EVIDENCE.c.appeal_id == appeal_id, EVIDENCE.c.number.in_(numbers))
    async with running.reads.connect() as connection:
        rows = {row.number: row for row in await connection.execute(query)}
        for one in evidence:
            if one.number not in rows or not _shows(one, rows[one.number]):
                raise Refused(
                    "EVIDENCE_UNKNOWN",
                    "a clean file of this appeal; BEFORE and AFTER are pictures, AFTER by an officer",
                )
        files = [row.file for row in rows.values() if row.file is not None]
        elsewhere = select(EVIDENCE.c.appeal_id).where(EVIDENCE.c.file.in_(files), EVIDENCE.c.appeal_id != appeal_id)
        return (await connection.execute(elsewhere.limit(1))).first() is not None


def _shows(evidence: Evidence, file: Any) -> bool:
    """Whether a file can show what it is said to show."""
    if file.scan in {"INFECTED", "UNSCANNABLE"}:
        return False
    by_the_appellant = evidence.role is EvidenceRole.AFTER and file.by == "APPELLANT"
    return evidence.role is EvidenceRole.DOCUMENT or (file.kind in PICTURES and not by_the_appellant)


async def recording_there(running: Running, appeal_id: str, number: int | None) -> None:
    """Raises EVIDENCE_UNKNOWN unless this is a sound recording of the appeal."""
    if number is None:
        return
    query = select(EVIDENCE.c.kind).where(EVIDENCE.c.appeal_id == appeal_id, EVIDENCE.c.number == number)
    async with running.reads.connect() as connection:
        if await connection.scalar(query) not in {"VOICE", "VIDEO"}:
            raise Refused("EVIDENCE_UNKNOWN", "a recording is a sound file of this appeal")


async def alike_before(running: Running, appeal_id: str, unit_id: str, text: str) -> int:
    """How many results of this unit, to other appeals and not long ago, read nearly the same."""
    policy = handling_policy().answers
    if len(letters(text)) < policy.alike_from:
        return 0
    words = tokens(running.secrets.index, [text])
    since = running.clock.now() - policy.alike_within
    query = select(WORDINGS.c.appeal_id, WORDINGS.c.words).where(
        WORDINGS.c.unit_id == unit_id,
        WORDINGS.c.appeal_id != appeal_id,
        WORDINGS.c.at > since,
        WORDINGS.c.buckets.overlap(bands(words)),
    )
    async with running.reads.connect() as connection:
        rows = await connection.execute(query.order_by(WORDINGS.c.at.desc()).limit(MOST_COMPARED))
        return len({row.appeal_id for row in rows if likeness(words, frozenset(row.words)) >= float(policy.alike)})
