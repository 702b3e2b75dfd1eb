"""How each event changes the row of its case: where it stands, what it waits for, and everything said in it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson

from services.feedback_service.policy import callback_policy
from shared.contracts.codes import CaseState, ContactOutcome
from shared.contracts.envelope import Envelope, rfc3339
from shared.engine.joined import joined, split

Row = dict[str, Any]
KEPT = frozenset(
    {
        *("appellant-contacted", "appellant-unreachable", "feedback-given", "rework-requested", "case-reopened"),
        *("callback-scheduled", "callback-attempted", "callback-recorded", "callback-invalidated"),
        *("callback-rechecked", "callback-contested", "callback-reviewed", "citizen-evaluated"),
        *("message-posted", "appellant-wrote", "appellant-replied"),
    }
)
"""Events whose content the file of a case shows; their texts stay sealed in it."""


def fold(row: Row, event: Envelope) -> None:
    """Everything that an event says about its case. The sources may come in any order."""
    name = event.type.split(".")[-2]
    row["updated_at"] = max(event.time, row["updated_at"] or event.time)
    if event.service == "feedback":
        row["version"] = event.version
    if name in KEPT:
        _keep(row, name, event)
    if name in _FOLDS:
        _FOLDS[name](row, event)


def _keep(row: Row, name: str, event: Envelope) -> None:
    entries = orjson.loads(row["entries"] or "[]")
    entry = {"name": name, "id": event.id, "type": event.type, "stream": event.stream, "data": event.data}
    entry |= {"time": rfc3339(event.time), "actor": event.actor.as_json()}
    # Words of two services meet here in any order; a rebuild must come to the same.
    entries = sorted([*entries, entry], key=lambda one: (one["time"], one["id"]))
    row["entries"] = orjson.dumps(entries).decode()


def _opened(row: Row, event: Envelope) -> None:
    data = event.data
    if row["lead_unit"] not in {None, data["lead_unit"]}:
        row["former_units"] = joined(dict.fromkeys([*split(row["former_units"]), row["lead_unit"]]))
    row.update({name: data.get(name) for name in ("ticket_no", "lead_unit", "lead_unit_name", "cc_district", "round")})
    row.update({name: data.get(name) for name in ("tier", "category", "identity_hidden")})
    row.update(
        state=CaseState.DISPATCHED.value,
        co_units=joined(data.get("co_units", ())),
        dispatched_at=datetime.fromisoformat(data["dispatched_at"]),
        callback_due_at=None,
        response_seconds=None,
        findings=None,
        **_NOBODY_ASKS,
    )
    _due(row, event)


_NOBODY_WAITS = {"awaiting_reply": None, "reply_due_at": None}
_NOBODY_ASKS = {"assigned_to": None, "assigned_until": None, "tries": 0, "call_not_before": None}


def _due(row: Row, event: Envelope) -> None:
    """Dispatch, extension and correction come from two services: the latest of them counts."""
    if row["due_set_at"] is None or event.time >= row["due_set_at"]:
        row.update(due_at=datetime.fromisoformat(event.data["due_at"]), due_set_at=event.time)


def _signed(row: Row, _: Envelope) -> None:
    row["state"] = CaseState.SIGNED.value


def _contacted(row: Row, event: Envelope) -> None:
    if row["state"] == CaseState.SIGNED:
        row["state"] = CaseState.HANDLING.value
    row["response_seconds"] = event.data.get("response_seconds", row["response_seconds"])


def _given(row: Row, event: Envelope) -> None:
    if event.data["completes"]:
        row["state"] = CaseState.FEEDBACK_DONE.value
    found = {*split(row["findings"]), *event.data.get("findings", ())}
    row["findings"] = joined(sorted(found))


def _scheduled(row: Row, event: Envelope) -> None:
    due = datetime.fromisoformat(event.data["due_at"])
    row.update(state=CaseState.CALLBACK_DUE.value, callback_due_at=due, **_NOBODY_ASKS)


def _assigned(row: Row, event: Envelope) -> None:
    row.update(assigned_to=event.data["officer"], assigned_until=datetime.fromisoformat(event.data["until"]))


def _attempted(row: Row, event: Envelope) -> None:
    """After a try that failed people are left in peace for a while; after some, for a day."""
    if event.data["outcome"] == ContactOutcome.REACHED:
        return
    policy, at = callback_policy(), datetime.fromisoformat(event.data.get("at") or rfc3339(event.time))
    tries = (row["tries"] or 0) + 1
    rest = timedelta(days=1) if tries % policy.most_attempts_a_day == 0 else policy.attempts_apart
    row.update(tries=tries, call_not_before=at + rest, assigned_to=None, assigned_until=None)


def _recorded(row: Row, event: Envelope) -> None:
    row.update(state=event.data["next_state"], **_NOBODY_ASKS)
    if event.data["next_state"] == CaseState.CLOSED:
        row.update(closed_at=event.time, **_NOBODY_WAITS)


def _invalid(row: Row, event: Envelope) -> None:
    row.update(state=CaseState.CLOSED.value, closed_at=event.time, **_NOBODY_ASKS, **_NOBODY_WAITS)


def _pending(kind: str, when: str | None) -> Callable[[Row, Envelope], None]:
    """What is to be looked at again, by round: it begins with an event that says until when, and ends with another."""

    def change(row: Row, event: Envelope) -> None:
        open_ = orjson.loads(row[f"{kind}s"] or "{}")
        open_.pop(str(event.data["round"]), None)
        if when is not None:
            open_[str(event.data["round"])] = [event.data[when], event.data.get("officer")]
        first = min(open_.values(), default=[None, None])
        row.update({f"{kind}s": orjson.dumps(open_).decode(), f"{kind}_officer": first[1]})
        row[f"{kind}_due_at"] = datetime.fromisoformat(first[0]) if first[0] else None

    return change


def _reopened(row: Row, _: Envelope) -> None:
    row.update(state=CaseState.REWORK.value, closed_at=None)


def _ended(row: Row, event: Envelope) -> None:
    row.update(state=event.data["outcome"], **_NOBODY_WAITS)


def _awaited(row: Row, event: Envelope) -> None:
    data = event.data
    row.update(written=data["written"], awaiting_reply=True)
    row["reply_due_at"] = datetime.fromisoformat(data["due_at"]) if data.get("due_at") else row["reply_due_at"]


def _posted(row: Row, event: Envelope) -> None:
    row.update(posted=event.data["number"], **_NOBODY_WAITS)


def _read(row: Row, event: Envelope) -> None:
    row[f"read_by_{event.data['reader'].lower()}"] = event.data["count"]


_FOLDS: dict[str, Callable[[Row, Envelope], None]] = {
    "case-opened": _opened,
    "case-signed": _signed,
    "case-ended": _ended,
    "case-reopened": _reopened,
    "appellant-contacted": _contacted,
    "feedback-given": _given,
    "reply-awaited": _awaited,
    "message-posted": _posted,
    "messages-read": _read,
    "callback-scheduled": _scheduled,
    "callback-assigned": _assigned,
    "callback-attempted": _attempted,
    "callback-recorded": _recorded,
    "callback-invalidated": _invalid,
    "recheck-ordered": _pending("recheck", "due_at"),
    "callback-rechecked": _pending("recheck", None),
    "callback-contested": _pending("review", "review_due_at"),
    "callback-reviewed": _pending("review", None),
    "extension-granted": _due,
    "due-time-corrected": _due,
    "ledger-closed": _due,
}
OF_NEIGHBOURS = frozenset(
    {
        "cn.gov.appeals.intake.appellant-wrote.v1",
        *(f"cn.gov.appeals.routing.{name}.v1" for name in ("extension-granted", "due-time-corrected", "ledger-closed")),
    }
)
"""What a case is told of by other services."""
