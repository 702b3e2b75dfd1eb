"""The one state of a case out of what three services say of their parts, whichever of them is heard first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake_service.case import Parts, whole
from services.intake_service.views import CASES, Cases
from shared.contracts.codes import ENDED, CaseState
from shared.contracts.envelope import BEIJING, SYSTEM, Envelope

S = CaseState
AT = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)
OPEN = S.REGISTERED
ROUTING_SAYS = (None, S.DISPATCHED, S.SIGNED, S.OBJECTED, S.ON_LEDGER)
FEEDBACK_SAYS = (*(None, S.DISPATCHED, S.SIGNED, S.HANDLING, S.FEEDBACK_DONE, S.CALLBACK_DUE, S.REWORK, S.CLOSED),)


@pytest.mark.parametrize("ended", sorted(ENDED))
@pytest.mark.parametrize("routing", ROUTING_SAYS)
@pytest.mark.parametrize("feedback", FEEDBACK_SAYS)
def test_when_intake_has_ended_an_appeal_nobody_else_is_asked(ended: S, routing: S | None, feedback: S | None) -> None:
    assert whole(Parts(ended, routing, 2, feedback, 3)) is ended


@pytest.mark.parametrize(
    ("routing", "routing_round", "feedback", "feedback_round", "state"),
    [
        (None, 0, None, 0, S.REGISTERED),
        (S.DISPATCHED, 1, None, 0, S.DISPATCHED),
        (None, 0, S.HANDLING, 1, S.REGISTERED),
        (S.SIGNED, 1, S.DISPATCHED, 1, S.SIGNED),
        (S.DISPATCHED, 1, S.SIGNED, 1, S.SIGNED),
        (S.SIGNED, 1, S.HANDLING, 1, S.HANDLING),
        (S.SIGNED, 1, S.FEEDBACK_DONE, 1, S.FEEDBACK_DONE),
        (S.SIGNED, 1, S.CALLBACK_DUE, 1, S.CALLBACK_DUE),
        (S.DISPATCHED, 1, S.CALLBACK_DUE, 1, S.CALLBACK_DUE),
        (S.SIGNED, 1, S.REWORK, 1, S.REWORK),
        (S.SIGNED, 1, S.CLOSED, 1, S.CLOSED),
        (S.DISPATCHED, 2, S.REWORK, 1, S.DISPATCHED),
        (S.SIGNED, 1, S.HANDLING, 2, S.HANDLING),
        (S.OBJECTED, 1, S.HANDLING, 1, S.OBJECTED),
        (S.ON_LEDGER, 1, S.HANDLING, 1, S.ON_LEDGER),
        (S.ON_LEDGER, 1, S.DISPATCHED, 2, S.DISPATCHED),
    ],
)
def test_the_later_round_counts_and_within_a_round_whoever_came_further(
    routing: S | None, routing_round: int, feedback: S | None, feedback_round: int, state: S
) -> None:
    assert whole(Parts(OPEN, routing, routing_round, feedback, feedback_round)) is state


def told(service: str, name: str, version: int, **data: Any) -> Envelope:
    """An event as the view gets it: only what the view reads of it is there."""
    return Envelope(
        id=f"{service}-{version}",
        source=f"urn:jiesu/{service}",
        type=f"cn.gov.appeals.{service}.{name}.v1",
        subject="42",
        stream=f"{service}-42",
        version=version,
        time=AT + timedelta(minutes=version),
        actor=SYSTEM,
        correlation="c",
        causation=None,
        data=data,
    )


def numbered(service: str, *events: tuple[str, dict[str, Any]]) -> list[Envelope]:
    return [told(service, name, version, **data) for version, (name, data) in enumerate(events, 1)]


def intake(*ends: tuple[str, dict[str, Any]], urgency: str | None = "GENERAL") -> list[Envelope]:
    appellant = {"ref": "p1", "type": "PERSON", "confidential": False, "anonymous": False}
    facts: dict[str, Any] = {"kind": "HELP", "raised_at": AT.isoformat(), "place": {}, "appellant": appellant}
    return numbered("intake", ("appeal-registered", facts | {"urgency": urgency}), *ends)


def a_dispatch(round_: int) -> tuple[str, dict[str, Any]]:
    due = (AT + timedelta(days=7)).isoformat()
    return "order-dispatched", {"lead_unit": "u", "tier": "GENERAL", "round": round_, "due_at": due}


def a_round(number: int, *names: str, **last: Any) -> list[tuple[str, dict[str, Any]]]:
    """Feedback events of one round; `last` is what the last one says besides the round."""
    events = [(name, {"round": number, "completes": True}) for name in names]
    return [*events[:-1], (names[-1], {"round": number} | last)] if last else events


THROUGH = ("case-opened", "case-signed", "appellant-contacted", "feedback-given", "callback-scheduled")
RECORDED = (*THROUGH, "callback-recorded")
FIRST, SECOND = (a_dispatch(1), ("order-signed", {"round": 1})), (a_dispatch(2), ("order-signed", {"round": 2}))
WITHDRAWN, CLOSED = ("appeal-withdrawn", {}), ("appeal-closed", {"round": 1})
REWORK = a_round(1, *RECORDED, next_state="REWORK")

LIVES: dict[str, tuple[S, list[list[Envelope]]]] = {
    "only registered": (S.REGISTERED, [intake()]),
    "dispatched": (S.DISPATCHED, [intake(), numbered("routing", a_dispatch(1))]),
    "signed": (
        S.SIGNED,
        [intake(), numbered("routing", *FIRST), numbered("feedback", *a_round(1, "case-opened"))],
    ),
    "handling": (
        S.HANDLING,
        [intake(), numbered("routing", *FIRST), numbered("feedback", *a_round(1, *THROUGH[:3]))],
    ),
    "half told": (
        S.HANDLING,
        [
            intake(),
            numbered("routing", *FIRST),
            numbered("feedback", *a_round(1, *THROUGH[:4], completes=False)),
        ],
    ),
    "feedback done": (
        S.FEEDBACK_DONE,
        [intake(), numbered("routing", *FIRST), numbered("feedback", *a_round(1, *THROUGH[:4]))],
    ),
    "never signed, limit expired": (
        S.CALLBACK_DUE,
        [
            intake(),
            numbered("routing", a_dispatch(1)),
            numbered("feedback", *a_round(1, "case-opened", "callback-scheduled")),
        ],
    ),
    "asked for rework": (S.REWORK, [intake(), numbered("routing", *FIRST), numbered("feedback", *REWORK)]),
    "second round": (
        S.HANDLING,
        [
            intake(),
            numbered("routing", *FIRST, *SECOND),
            numbered("feedback", *REWORK, *a_round(2, "case-opened", "case-signed", "appellant-contacted")),
        ],
    ),
    "closed": (
        S.CLOSED,
        [
            intake(CLOSED),
            numbered("routing", *FIRST),
            numbered("feedback", *a_round(1, *RECORDED, next_state="CLOSED")),
        ],
    ),
    "nobody reached": (
        S.CLOSED,
        [
            intake(),
            numbered("routing", *FIRST),
            numbered("feedback", *a_round(1, "case-opened", "callback-scheduled", "callback-invalidated")),
        ],
    ),
    "withdrawn while handled": (
        S.WITHDRAWN,
        [intake(WITHDRAWN), numbered("routing", *FIRST), numbered("feedback", *a_round(1, *THROUGH[:3]))],
    ),
}


def folded(events: Sequence[Envelope], singly: bool = True) -> dict[str, Any]:
    view = Cases()
    row: dict[str, Any] = {**dict.fromkeys(CASES.columns.keys()), "appeal_id": "42"}
    for event in events:
        if view.key(event) is not None:
            view.fold(row, event)
            if singly:
                view.finish(row)
    view.finish(row)
    return row


@st.composite
def interleaved(draw: st.DrawFn, streams: list[list[Envelope]]) -> list[Envelope]:
    """Any order that keeps each service's own."""
    left = [list(stream) for stream in streams]
    order: list[Envelope] = []
    while some := [stream for stream in left if stream]:
        order.append(draw(st.sampled_from(some)).pop(0))
    return order


@pytest.mark.parametrize("life", LIVES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_case_is_the_same_in_whatever_order_the_services_are_heard(life: str, data: st.DataObject) -> None:
    state, streams = LIVES[life]
    row, straight = folded(data.draw(interleaved(streams))), folded([event for stream in streams for event in stream])
    assert row["state"] == state
    assert row == straight


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(LIVES)), st.data())
def test_also_what_has_only_been_heard_in_part_does_not_depend_on_the_order(life: str, data: st.DataObject) -> None:
    streams = [stream[: data.draw(st.integers(0, len(stream)))] for stream in LIVES[life][1]]
    assert folded(data.draw(interleaved(streams))) == folded(data.draw(interleaved(streams)))


@pytest.mark.parametrize("life", LIVES)
def test_a_case_is_the_same_whether_its_events_come_singly_or_in_one_batch(life: str) -> None:
    events = [event for stream in LIVES[life][1] for event in stream]
    assert folded(events, singly=False) == folded(events)


def test_a_case_that_is_not_registered_yet_has_no_state() -> None:
    assert folded(numbered("routing", a_dispatch(1)))["state"] is None


def test_the_urgency_of_a_dispatched_case_is_its_orders_tier_whoever_was_heard_first() -> None:
    registration, dispatch = intake(urgency=None), numbered("routing", a_dispatch(1))
    assert folded([*registration, *dispatch])["urgency"] == "GENERAL"
    assert folded([*dispatch, *registration])["urgency"] == "GENERAL"
