"""Answering questions about cases: from the views, with personal texts opened only where that is still allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any

import orjson
from sqlalchemy import RowMapping, false, or_, select, true

from services.feedback_service.state import Case
from services.feedback_service.views import CASES, RECIPIENTS, REGISTERED, RESTRICTED
from shared.contracts.codes import Recipient
from shared.contracts.envelope import rfc3339
from shared.contracts.outward import shown
from shared.engine.decider import NotYours
from shared.engine.joined import has, split
from shared.engine.runtime import Running
from shared.eventlog.sealing import Closed, Opens, sealed_refs, unseal_data
from shared.language.likeness import likeness
from shared.language.script import bigrams, plain
from shared.web.asking import Asking
from shared.web.identity import Ownership, Principal, Reach, Scope
from shared.web.masking import known_names, masked

SENTENCE, MOST_SENTENCES = re.compile(r"[^。！？；，,;!?\n]*[。！？；，,;!?\n]|[^。！？；，,;!?\n]+"), 300
WRITTEN_BY = {"appellant-wrote": "APPELLANT", "appellant-replied": "APPELLANT", "message-posted": "UNIT"}
PARTS = {
    "contacts": ("appellant-contacted", "appellant-unreachable"),
    "feedback": ("feedback-given",),
    "callbacks": (
        *("callback-scheduled", "callback-attempted", "callback-recorded", "callback-invalidated"),
        *("callback-rechecked", "callback-contested", "callback-reviewed"),
    ),
    "evaluations": ("citizen-evaluated",),
    "rework": ("case-reopened", "rework-requested"),
}
_PLAIN = (
    *("appeal_id", "ticket_no", "state", "lead_unit", "cc_district", "round", "tier", "category"),
    *("response_seconds", "version"),
)
_FOR_OFFICERS = ("assigned_to", "assigned_until", "recheck_due_at")
"""Who is to ask whom and when is not for the unit that is asked about."""
_TIMES = (
    *("dispatched_at", "due_at", "callback_due_at", "call_not_before", "reply_due_at"),
    *("review_due_at", "closed_at", "updated_at"),
)


LISTED = [column for column in CASES.c if column is not CASES.c.entries]
"""A case without all that was said in it."""


def owned(row: RowMapping) -> Ownership:
    """Whose a case is."""
    return Ownership(frozenset([*split(row["co_units"]), *filter(None, [row["lead_unit"]])]), row["cc_district"])


def ownership(case: Case) -> Ownership:
    """Whose a case is that has been loaded; commands are for the lead unit."""
    if case.opened is None:
        return Ownership()
    return Ownership(frozenset({case.opened.lead_unit}), case.opened.cc_district)


async def owners(running: Running, subjects: Sequence[str]) -> dict[str, Ownership]:
    """Whose these appeals are."""
    async with running.reads.connect() as connection:
        rows = (await connection.execute(select(*LISTED).where(CASES.c.appeal_id.in_(subjects)))).mappings()
        return {row["appeal_id"]: owned(row) for row in rows}


def in_reach(principal: Principal, scope: Scope) -> Any:
    """The cases that a caller may list, as SQL."""
    unit = principal.unit_id
    match principal.reach(scope):
        case Reach.ALL:
            return true()
        case Reach.DISTRICT:
            mine = [name for name in (principal.district, unit) if name]
            return or_(CASES.c.cc_district.in_(mine), CASES.c.lead_unit.in_(mine))
        case Reach.UNIT if unit:
            return or_(CASES.c.lead_unit == unit, has(CASES.c.co_units, unit))
    return false()


async def case_row(running: Running, appeal_id: str) -> RowMapping:
    """The case's row. Raises NotYours when there is none."""
    async with running.reads.connect() as connection:
        row = (await connection.execute(select(CASES).where(CASES.c.appeal_id == appeal_id))).mappings().first()
    if row is None or row["state"] is None:
        raise NotYours
    return row


async def seen_case(asking: Asking, appeal_id: str) -> RowMapping:
    """The case's row, for whom it is due. Raises NotYours."""
    row = await case_row(asking.running, appeal_id)
    if not asking.principal.can_see(asking.scope, owned(row)):
        raise NotYours
    return row


def item(row: RowMapping, hide: bool) -> dict[str, Any]:
    """A case as lists show it."""
    seen = {name: row[name] for name in _PLAIN} | {name: row[name] and rfc3339(row[name]) for name in _TIMES}
    if not hide:
        seen |= {name: _written(row[name]) for name in _FOR_OFFICERS}
    return seen | {"co_units": split(row["co_units"]), "findings": split(row["findings"]), **thread_of(row)}


def _written(value: Any) -> Any:
    return rfc3339(value) if isinstance(value, datetime) else value


def thread_of(row: RowMapping) -> dict[str, Any]:
    """Who waits for whom, and what has not been read. `unread` counts the other side's messages."""
    written, posted = row["written"] or 0, row["posted"] or 0
    unread = {"unit": written - (row["read_by_unit"] or 0), "appellant": posted - (row["read_by_appellant"] or 0)}
    return {"awaiting_reply": bool(row["awaiting_reply"]), "unread": unread}


def outside(principal: Principal) -> bool:
    """Whether names that are to be hidden are hidden from this caller."""
    return principal.reach(Scope.READ) in {Reach.UNIT, Reach.DISTRICT}


async def told_of(running: Running, row: RowMapping, hide: bool) -> list[tuple[str, dict[str, Any]]]:
    """Everything said in a case, oldest first: the name of each event, and its content opened where that is allowed.

    `hide`: for whoever may not know who the appellant is, where that is to be hidden.
    """
    known = await _known_names(running, row["appeal_id"]) if hide and row["identity_hidden"] else []
    entries = orjson.loads(row["entries"] or "[]")
    opener: Opens = Closed() if await _restricted(running, row["appeal_id"]) else running.keyring
    await running.keyring.load({ref for entry in entries for ref in sealed_refs(entry["type"], entry["data"])})
    return [(entry["name"], masked(_told(opener, entry), known)) for entry in entries]


async def _known_names(running: Running, appeal_id: str) -> list[str | None]:
    async with running.reads.connect() as connection:
        query = select(RECIPIENTS).where(RECIPIENTS.c.appeal_id == appeal_id)
        row = (await connection.execute(query)).mappings().first()
    who = (await opened_appellants(running, [row]))[appeal_id] if row else {}
    return known_names(who)


async def opened_appellants(running: Running, recipients: Sequence[RowMapping]) -> dict[str, dict[str, Any]]:
    """Who the appellants of these appeals are, by appeal; ERASED where the key is gone."""
    sealed = {row["appeal_id"]: (orjson.loads(row["appellant"]), row["event_id"]) for row in recipients}
    await running.keyring.load({ref for one, _ in sealed.values() for ref in sealed_refs(REGISTERED, one)})
    return {
        appeal_id: unseal_data(running.keyring, REGISTERED, one, f"appeal-{appeal_id}/{event_id}")["appellant"]
        for appeal_id, (one, event_id) in sealed.items()
    }


async def file_of(running: Running, row: RowMapping, hide: bool) -> dict[str, Any]:
    """The whole file of a case."""
    told = await told_of(running, row, hide)
    file = item(row, hide) | {part: [one for name, one in told if name in names] for part, names in PARTS.items()}
    rounds = sorted({entry["round"] for _, entry in told if "round" in entry} | ({row["round"]} - {None}))
    results = [side_by_side(number, file["feedback"]) for number in rounds]
    return file | {"messages": messages_of(told), "rounds": rounds, "results": [one for one in results if one]}


def messages_of(told: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The thread, oldest first."""
    return [_message(name, one) for name, one in told if name in WRITTEN_BY]


def _message(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    written = {"from": WRITTEN_BY[name], "time": entry["time"], "text": entry["text"]}
    return written | ({"attachments": entry["attachments"]} if entry.get("attachments") else {})


async def _restricted(running: Running, appeal_id: str) -> bool:
    query = select(RESTRICTED).where(RESTRICTED.c.appeal_id == appeal_id, RESTRICTED.c.measure == "RESTRICTED")
    async with running.reads.connect() as connection:
        return (await connection.execute(query)).first() is not None


def _told(opener: Opens, entry: Mapping[str, Any]) -> dict[str, Any]:
    opened = unseal_data(opener, entry["type"], entry["data"], f"{entry['stream']}/{entry['id']}")
    actor = {name: entry["actor"].get(name) for name in ("role", "unit_id")}
    return {"event": entry["name"], "time": entry["time"], "actor": actor, **shown(opened)}


def side_by_side(round_: int, given: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What a unit told the appellant and what it told the hotline in one round, and where the two differ.

    `parts` are the sentences of both texts in order: `both`, or only in one of them; None where there are very many.
    None before there is a result.
    """
    last = {one["recipient"]: one for one in given if one["round"] == round_ and one["kind"] == "RESULT"}
    if not last:
        return None
    texts = [str(last[who]["text"]) if who in last else "" for who in (Recipient.APPELLANT, Recipient.HOTLINE)]
    similarity = likeness(*(bigrams(plain(text)) for text in texts))
    answers = {f"to_{who.lower()}": last.get(who) for who in (Recipient.APPELLANT, Recipient.HOTLINE)}
    return {"round": round_, **answers, "similarity": f"{similarity:.2f}", "parts": _parts(*texts)}


def _parts(one: str, other: str) -> list[dict[str, str]] | None:
    mine, theirs = SENTENCE.findall(one), SENTENCE.findall(other)
    if max(len(mine), len(theirs)) > MOST_SENTENCES:
        return None
    pieces = []
    for tag, a, b, c, d in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        left, right = "".join(mine[a:b]), "".join(theirs[c:d])
        pieces.append({"both": left} if tag == "equal" else {"to_appellant": left, "to_hotline": right})
    return pieces
