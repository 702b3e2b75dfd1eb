"""The row of a case: what is to be looked at again, who waits, whose it was, and until when it is due."""

from __future__ import annotations

from datetime import datetime
from itertools import permutations
from typing import Any

import pytest

from services.feedback_service.folding import fold
from services.feedback_service.views import CASES
from shared.contracts.codes import CaseState
from shared.contracts.envelope import SYSTEM, Envelope, Payload
from shared.contracts.feedback import CallbackRechecked, CallbackReviewed, CaseEnded
from shared.engine.joined import split
from tests.unit.cases import (
    AT,
    DAY,
    HOUR,
    MINUTE,
    OFFICER,
    SAID,
    SECOND,
    UNIT,
    awaited,
    contested,
    invalidated,
    opened,
    ordered,
    posted,
    recorded,
    reopened,
    scheduled,
    seen,
)

ANOTHER = "110101001"


def told(name: str, data: dict[str, Any], at: datetime = AT, service: str = "feedback", version: int = 1) -> Envelope:
    """An event as the view gets it."""
    stream = "case" if service == "feedback" else "order"
    return Envelope(
        id=f"{service}-{version}",
        source=f"/services/{service}",
        type=f"cn.gov.appeals.{service}.{name}.v1",
        subject="42",
        stream=f"{stream}-42",
        version=version,
        time=at,
        actor=SYSTEM,
        correlation="c",
        causation=None,
        data=data,
    )


def folded(*events: Payload | Envelope) -> dict[str, Any]:
    """The row after these; what is no envelope yet happens minute by minute."""
    row: dict[str, Any] = {**dict.fromkeys(CASES.columns.keys()), "appeal_id": "42"}
    for number, one in enumerate(events):
        fold(row, one if isinstance(one, Envelope) else _at(one, number))
    return row


def _at(event: Payload, number: int) -> Envelope:
    data = event.model_dump(mode="json", exclude_none=True)
    return told(event.event_type().split(".")[-2], data, AT + number * MINUTE, version=number + 1)


def drawn(round_: int, after: int, officer: Any = OFFICER) -> Payload:
    return ordered(officer).model_copy(update={"round": round_, "due_at": AT + after * DAY})


def asked_again(round_: int) -> Payload:
    return CallbackRechecked(round=round_, lead_unit=UNIT, agrees=True, officer=SECOND.sub or "", **SAID)


def disputed(round_: int, after: int) -> Payload:
    return contested().model_copy(update={"round": round_, "review_due_at": AT + after * DAY})


def reviewed(round_: int) -> Payload:
    return CallbackReviewed(round=round_, stands=True, reason="录音可证")


def recheck_in(*events: Payload) -> tuple[Any, Any]:
    row = folded(opened(), *events)
    return row["recheck_due_at"], row["recheck_officer"]


def review_in(*events: Payload) -> Any:
    row = folded(opened(), *events)
    assert row["review_officer"] is None
    return row["review_due_at"]


def test_a_recheck_waits_until_it_was_made_and_knows_who_may_not_make_it() -> None:
    assert recheck_in() == (None, None)
    assert recheck_in(drawn(1, 3)) == (AT + 3 * DAY, OFFICER.sub)
    assert recheck_in(drawn(1, 3), asked_again(1)) == (None, None)


@pytest.mark.parametrize("order", list(permutations([drawn(1, 3), drawn(2, 5, SECOND)])))
def test_of_two_rechecks_the_earliest_is_shown_and_one_ends_without_the_other(order: tuple[Payload, ...]) -> None:
    assert recheck_in(*order) == (AT + 3 * DAY, OFFICER.sub)
    assert recheck_in(*order, asked_again(1)) == (AT + 5 * DAY, SECOND.sub)
    assert recheck_in(*order, asked_again(2)) == (AT + 3 * DAY, OFFICER.sub)
    assert recheck_in(*order, asked_again(2), asked_again(1)) == (None, None)


@pytest.mark.parametrize("order", list(permutations([disputed(1, 5), disputed(2, 6), disputed(3, 6)])))
def test_so_it_is_with_reviews(order: tuple[Payload, ...]) -> None:
    assert review_in(*order) == AT + 5 * DAY
    assert review_in(*order, reviewed(1)) == review_in(*order, reviewed(1), reviewed(2)) == AT + 6 * DAY
    assert review_in(*order, reviewed(3)) == AT + 5 * DAY
    assert review_in(*order, *map(reviewed, (1, 2, 3))) is None


def test_a_recheck_and_a_review_of_one_round_are_two_things() -> None:
    both = (drawn(1, 3), disputed(1, 5))
    assert (recheck_in(*both, reviewed(1))[0], review_in(*both, asked_again(1))) == (AT + 3 * DAY, AT + 5 * DAY)
    assert (recheck_in(*both, asked_again(1))[0], review_in(*both, reviewed(1))) == (None, None)


def test_they_outlast_the_next_round() -> None:
    next_round = (recorded("REWORK"), drawn(1, 3), disputed(1, 5), opened(2), scheduled(round_=2))
    assert (recheck_in(*next_round)[0], review_in(*next_round)) == (AT + 3 * DAY, AT + 5 * DAY)


WAITING = (opened(), posted(), awaited())


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (recorded(), CaseState.CLOSED),
        (invalidated(), CaseState.CLOSED),
        (CaseEnded(outcome=CaseState.WITHDRAWN), CaseState.WITHDRAWN),
    ],
)
def test_with_the_end_of_a_case_nobody_waits_for_an_answer(end: Payload, state: CaseState) -> None:
    before, after = folded(*WAITING), folded(*WAITING, end)
    assert (before["awaiting_reply"], before["reply_due_at"]) == (True, AT + DAY)
    assert (after["awaiting_reply"], after["reply_due_at"], after["state"]) == (None, None, state)
    assert folded(*WAITING, posted(2))["awaiting_reply"] is None


def test_what_goes_round_again_is_waited_for_as_before_and_was_never_closed() -> None:
    row = folded(*WAITING, recorded("REWORK"))
    assert (row["awaiting_reply"], row["reply_due_at"], row["closed_at"]) == (True, AT + DAY, None)


def test_a_case_is_closed_when_it_was_closed_also_if_it_was_withdrawn_at_the_same_time() -> None:
    closed = (opened(), scheduled(), recorded())
    assert folded(*closed)["closed_at"] == AT + 2 * MINUTE
    assert folded(*closed, CaseEnded(outcome=CaseState.WITHDRAWN))["closed_at"] == AT + 2 * MINUTE
    assert folded(*closed, *reopened())["closed_at"] is None


def test_whose_it_was_is_remembered_each_once() -> None:
    rounds = [opened(number, lead_unit=unit) for number, unit in enumerate((UNIT, UNIT, ANOTHER, UNIT, ANOTHER), 1)]
    former = [split(folded(*rounds[:number])["former_units"]) for number in range(1, 6)]
    assert former == [[], [], [UNIT], [UNIT, ANOTHER], [UNIT, ANOTHER]]


def test_who_has_read_how_much_is_kept_by_reader() -> None:
    row = folded(*WAITING, seen(1))
    assert (row["read_by_appellant"], row["read_by_unit"]) == (1, None)


def dispatch(after: int, due: int, round_: int = 1) -> Envelope:
    data = opened(round_, due_at=AT + due * DAY).model_dump(mode="json", exclude_none=True)
    return told("case-opened", data, AT + after * HOUR)


def extension(after: int, due: int, name: str = "extension-granted") -> Envelope:
    data = opened(due_at=AT + due * DAY).model_dump(mode="json", include={"due_at"})
    return told(name, data, AT + after * HOUR, "routing")


@pytest.mark.parametrize(
    ("events", "due"),
    [
        ([dispatch(0, 7), extension(1, 9)], 9),
        ([dispatch(0, 7), extension(1, 9), extension(2, 5, "due-time-corrected")], 5),
        ([dispatch(0, 7), extension(1, 9), dispatch(3, 12, 2)], 12),
        ([dispatch(0, 7), dispatch(2, 12, 2), extension(3, 15)], 15),
        ([dispatch(0, 7), extension(1, 9, "ledger-closed")], 9),
    ],
)
def test_the_latest_dispatch_or_extension_says_until_when_whichever_is_heard_first(
    events: list[Envelope], due: int
) -> None:
    assert {folded(*order)["due_at"] for order in permutations(events)} == {AT + due * DAY}
