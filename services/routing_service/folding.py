"""How each event changes the row of its order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson

from shared.contracts.codes import CaseState
from shared.contracts.envelope import Envelope
from shared.engine.joined import joined, split

Fold = Callable[[dict[str, Any], Envelope], None]


def fold(row: dict[str, Any], event: Envelope) -> None:
    """Change the row of an order; events that change nothing in it are passed over."""
    name = event.type.split(".")[-2]
    if (change := _FOLDS.get(name)) is not None:
        change(row, event)
    row["state"] = _STATES.get(name, row["state"])
    if name in _MARKS:
        row[_MARKS[name]] = True


def _proposed(row: dict[str, Any], event: Envelope) -> None:
    data, first = event.data, next(iter(event.data["candidates"]), None)
    row.update({name: data.get(name) for name in ("ticket_no", "kind", "catalogue_version", "model_version")})
    row.update(
        state=CaseState.REGISTERED.value,
        round=0,
        registered_at=datetime.fromisoformat(data["registered_at"]),
        candidates=_json(data["candidates"]),
        confidence=Decimal(first["confidence"]) if first else None,
        proposed_unit=first["unit_id"] if first else None,
        proposed_rule=first.get("rule_id") if first else None,
        proposed_catalogue=data.get("catalogue_version"),
        automatic=data["automatic"],
        dispatch_due_at=datetime.fromisoformat(data["dispatch_due_at"]) if "dispatch_due_at" in data else None,
        open=True,
        objections=0,
        returns=0,
        urges=0,
    )


def _dispatched(row: dict[str, Any], event: Envelope) -> None:
    data = event.data
    plain = ("lead_unit", "cc_district", "tier", "round", "catalogue_version", "rule_id", "model_version", "by_hand")
    if row["lead_unit"] != data["lead_unit"]:
        row["officer"] = None
    row["first_unit"] = row["first_unit"] or data["lead_unit"]
    row.update({name: data.get(name) for name in plain})
    row.update(
        state=CaseState.DISPATCHED.value,
        dispatched_at=event.time,
        due_at=datetime.fromisoformat(data["due_at"]),
        due_derivation=_json(data["due_derivation"]),
        provisional=data["due_derivation"].get("provisional", False),
        sign_due_at=datetime.fromisoformat(data["sign_due_at"]),
        co_units=joined(data.get("co_units", ())),
        sign_overdue=False,
        signed_at=None,
        expired_at=None,
        open=True,
    )
    _call(row)


def _ended(row: dict[str, Any], event: Envelope) -> None:
    row.update(state=event.data["outcome"], provisional=False, open=False)


def _done(row: dict[str, Any], _: Envelope) -> None:
    row["provisional"] = False


def _expired(row: dict[str, Any], event: Envelope) -> None:
    row.update(expired_at=event.time, provisional=False)


def _time(column: str, name: str | None = None) -> Fold:
    """A column takes a time of the event: one that it names, or its own."""

    def change(row: dict[str, Any], event: Envelope) -> None:
        row[column] = datetime.fromisoformat(event.data[name]) if name else event.time

    return change


def _value(column: str, name: str) -> Fold:
    def change(row: dict[str, Any], event: Envelope) -> None:
        row[column] = event.data.get(name)

    return change


def _counted(column: str) -> Fold:
    def change(row: dict[str, Any], _: Envelope) -> None:
        row[column] = (row[column] or 0) + 1

    return change


def _corrected(row: dict[str, Any], event: Envelope) -> None:
    derivation = event.data["due_derivation"]
    row.update(due_at=datetime.fromisoformat(event.data["due_at"]), due_derivation=_json(derivation))
    row["provisional"] = derivation.get("provisional", False)


def _climbed(row: dict[str, Any], event: Envelope) -> None:
    row["supervised" if event.data["step"] == "SUPERVISION" else "escalated"] = True


def _whistled(row: dict[str, Any], event: Envelope) -> None:
    whistles = orjson.loads(row["whistles"] or "{}")
    row["whistles"] = _json({**whistles, str(event.data["number"]): event.data["departments"]})
    _call(row)


def _let_go(row: dict[str, Any], event: Envelope) -> None:
    whistles = orjson.loads(row["whistles"] or "{}")
    whistles.pop(str(event.data["number"]), None)
    row["whistles"] = _json(whistles)
    _call(row)


def _call(row: dict[str, Any]) -> None:
    """Who works on it beside the lead unit: co-units, and departments that were whistled for and not let go."""
    whistled = [unit for units in orjson.loads(row["whistles"] or "{}").values() for unit in units]
    called = dict.fromkeys([*split(row["co_units"]), *whistled])
    row.update(called=joined(called), units=joined(dict.fromkeys([row["lead_unit"], *called])))


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


_FOLDS: dict[str, Fold] = {
    "order-proposed": _proposed,
    "order-dispatched": _dispatched,
    "order-signed": _time("signed_at"),
    "order-ended": _ended,
    "handling-completed": _done,
    "order-objected": _counted("objections"),
    "order-reminded": _value("urges", "urges"),
    "order-handed-over": _value("officer", "officer"),
    "objection-rejected": _value("state", "returns_to"),
    "objection-upheld": _counted("returns"),
    "extension-granted": _time("due_at", "due_at"),
    "due-time-corrected": _corrected,
    "ledger-opened": _time("review_on", "review_on"),
    "ledger-reviewed": _time("review_on", "review_on"),
    "ledger-closed": _time("due_at", "due_at"),
    "handling-limit-expired": _expired,
    "ladder-step-taken": _climbed,
    "whistle-blown": _whistled,
    "whistle-closed": _let_go,
}
_STATES = {
    "order-signed": CaseState.SIGNED.value,
    "consultation-opened": CaseState.CONSULTING.value,
    "consultation-closed": CaseState.REGISTERED.value,
    "order-objected": CaseState.OBJECTED.value,
    "ledger-opened": CaseState.ON_LEDGER.value,
    "ledger-closed": CaseState.SIGNED.value,
    "handling-completed": CaseState.CALLBACK_DUE.value,
    "handling-limit-expired": CaseState.CALLBACK_DUE.value,
}
_MARKS = {
    "extension-granted": "extended",
    "order-escalated": "escalated",
    "supervision-opened": "supervised",
    "sign-overdue": "sign_overdue",
}
