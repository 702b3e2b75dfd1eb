"""The life of an appeal at intake: it is registered with time, matter and contact, and it ends exactly once.

Rows 1 to 4 and 26 of the state machine (domain specification, section 4; Regulation Art 10 and 11), then every pair of
state and command.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from services.intake_service.appeal import (
    APPEAL,
    Answer,
    Appeal,
    Close,
    Merge,
    Redirect,
    Register,
    Withdraw,
)
from shared.contracts.codes import CaseState, Channel, Kind, Route
from shared.contracts.envelope import BEIJING, Payload
from shared.contracts.intake import (
    AppealAnsweredDirectly,
    AppealClosed,
    AppealMerged,
    AppealRedirected,
    AppealRegistered,
    AppealWithdrawn,
    Appellant,
    Place,
)
from shared.engine.decider import Command, NotYours
from tests.support.spec import given
from tests.unit.pairs import ILLEGAL, NOT_YOURS, NOTHING, every_pair, outcome

AT = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)
OPEN = CaseState.REGISTERED
BEYOND_INTAKE = [state for state in CaseState if state is not OPEN]


def registered(kind: Kind = Kind.HELP, ref: str = "p1", ticket_no: str = "20261123-0000001") -> AppealRegistered:
    return AppealRegistered(
        ticket_no=ticket_no,
        kind=kind,
        channel=Channel.PHONE,
        content="路灯不亮",
        raised_at=AT,
        place=Place(),
        appellant=Appellant(ref=ref, key="k1"),
        tracking_hash="0" * 64,
        client="agent-1",
    )


def answer(seen: CaseState = OPEN) -> Answer:
    return Answer(at=AT, text="每周一办理", knowledge_id="kb-7", seen=seen)


def redirect(route: Route = Route.EMERGENCY, seen: CaseState = OPEN) -> Redirect:
    return Redirect(at=AT, route=route, reason="正在起火", target="119", seen=seen)


def earlier(*events: Payload) -> Appeal:
    return APPEAL.fold([registered(ticket_no="20261101-0000009"), *events])


def merge(target: Appeal | None = None, seen: CaseState = OPEN) -> Merge:
    return Merge(at=AT, into="earlier-id", reason="同一事项", target=target or earlier(), seen=seen)


WITHDRAW = Withdraw(at=AT, reason="已解决")
CLOSE = Close(at=AT, round=1, resolved=True)


def test_a_registration_puts_its_facts_on_record_as_they_are() -> None:
    given(APPEAL).when(Register(at=AT, facts=registered())).then(registered())


def test_an_appeal_remembers_whose_it_is_and_who_brought_it() -> None:
    state = given(APPEAL, registered(Kind.CONSULT)).state
    assert state == Appeal(OPEN, "20261123-0000001", Kind.CONSULT, "p1", "k1", "agent-1", "0" * 64)


def test_an_appeal_is_registered_only_once() -> None:
    given(APPEAL, registered()).when(Register(at=AT, facts=registered())).then_refused(ILLEGAL)


def test_a_consultation_can_be_answered_at_once() -> None:
    spec = given(APPEAL, registered(Kind.CONSULT)).when(answer())
    spec.then(AppealAnsweredDirectly(text="每周一办理", knowledge_id="kb-7"))
    assert spec.state_after().state is CaseState.ANSWERED


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.CONSULT])
def test_nothing_but_a_consultation_can_be_answered_at_once(kind: Kind) -> None:
    given(APPEAL, registered(kind)).when(answer()).then_refused("NOT_A_CONSULTATION")


@pytest.mark.parametrize("route", list(Route))
def test_each_special_route_is_recorded_with_its_reason(route: Route) -> None:
    spec = given(APPEAL, registered()).when(redirect(route))
    spec.then(AppealRedirected(route=route, reason="正在起火", target="119"))
    assert spec.state_after().state is CaseState.REDIRECTED


def test_an_appeal_of_the_same_person_can_be_merged_into_an_earlier_one() -> None:
    spec = given(APPEAL, registered()).when(merge())
    spec.then(AppealMerged(into="earlier-id", reason="同一事项"))
    assert spec.state_after().state is CaseState.MERGED


def test_an_appeal_can_be_merged_into_one_that_is_closed() -> None:
    closed = earlier(AppealClosed(round=1, resolved=True))
    given(APPEAL, registered()).when(merge(closed)).then(AppealMerged(into="earlier-id", reason="同一事项"))


def test_an_appeal_cannot_be_merged_into_itself() -> None:
    itself = APPEAL.fold([registered()])
    given(APPEAL, registered()).when(merge(itself)).then_refused("MERGE_INTO_ITSELF")


def test_an_appeal_cannot_be_merged_into_one_that_does_not_exist() -> None:
    given(APPEAL, registered()).when(merge(Appeal())).then_refused("MERGE_TARGET_MISSING")


def test_an_appeal_cannot_be_merged_into_one_that_was_merged_itself() -> None:
    merged = earlier(AppealMerged(into="still-earlier", reason="同一事项"))
    given(APPEAL, registered()).when(merge(merged)).then_refused("MERGE_TARGET_MERGED")


@pytest.mark.parametrize("end", [AppealWithdrawn(), AppealRedirected(route=Route.EMERGENCY, reason="起火")])
def test_an_appeal_cannot_be_merged_into_one_that_nobody_deals_with(end: Payload) -> None:
    given(APPEAL, registered()).when(merge(earlier(end))).then_refused("MERGE_TARGET_ENDED")


def test_two_appeals_cannot_be_merged_into_each_other() -> None:
    merged_into_us = earlier(AppealMerged(into="us", reason="同一事项"))
    given(APPEAL, registered()).when(merge(merged_into_us)).then_refused("MERGE_TARGET_MERGED")


def test_appeals_of_different_people_are_never_merged() -> None:
    given(APPEAL, registered(ref="p2")).when(merge()).then_refused("DIFFERENT_APPELLANT")


@pytest.mark.parametrize("seen", BEYOND_INTAKE)
@pytest.mark.parametrize("command", [answer, redirect, merge])
def test_once_others_work_on_it_an_appeal_is_no_longer_triaged(command: Any, seen: CaseState) -> None:
    given(APPEAL, registered(Kind.CONSULT)).when(command(seen=seen)).then_refused(ILLEGAL)


def test_the_appellant_can_take_an_open_appeal_back() -> None:
    spec = given(APPEAL, registered()).when(WITHDRAW)
    spec.then(AppealWithdrawn(reason="已解决"))
    assert spec.state_after().state is CaseState.WITHDRAWN


def test_taking_an_appeal_back_needs_no_reason() -> None:
    given(APPEAL, registered()).when(Withdraw(at=AT, reason=None)).then(AppealWithdrawn())


@pytest.mark.parametrize("resolved", [True, False, None])
def test_closing_keeps_round_and_verdict(resolved: bool | None) -> None:
    spec = given(APPEAL, registered()).when(Close(at=AT, round=3, resolved=resolved))
    spec.then(AppealClosed(round=3, resolved=resolved))
    assert spec.state_after().state is CaseState.CLOSED


def test_a_callback_that_crosses_a_withdrawal_changes_nothing() -> None:
    given(APPEAL, registered(), AppealWithdrawn()).when(CLOSE).then()


def test_ending_keeps_what_is_known_of_the_appeal() -> None:
    state = given(APPEAL, registered(), AppealWithdrawn()).state
    assert (state.ended, state.ticket_no, state.appellant_ref) == (True, "20261123-0000001", "p1")


HISTORIES: dict[str, tuple[Payload, ...]] = {
    "unknown": (),
    "REGISTERED": (registered(Kind.CONSULT),),
    "ANSWERED": (registered(Kind.CONSULT), AppealAnsweredDirectly(text="答复")),
    "REDIRECTED": (registered(Kind.CONSULT), AppealRedirected(route=Route.EMERGENCY, reason="起火")),
    "MERGED": (registered(Kind.CONSULT), AppealMerged(into="x", reason="重复")),
    "WITHDRAWN": (registered(Kind.CONSULT), AppealWithdrawn()),
    "CLOSED": (registered(Kind.CONSULT), AppealClosed(round=1)),
}
COMMANDS: dict[str, Command] = {
    "register": Register(at=AT, facts=registered()),
    "answer": answer(),
    "redirect": redirect(),
    "merge": merge(),
    "withdraw": WITHDRAW,
    "close": CLOSE,
}
ENDED_ROW = dict.fromkeys(COMMANDS, ILLEGAL) | {"close": NOTHING}
EXPECTED = {
    "unknown": dict.fromkeys(COMMANDS, NOT_YOURS) | {"register": "AppealRegistered"},
    "REGISTERED": {
        "register": ILLEGAL,
        "answer": "AppealAnsweredDirectly",
        "redirect": "AppealRedirected",
        "merge": "AppealMerged",
        "withdraw": "AppealWithdrawn",
        "close": "AppealClosed",
    },
    **dict.fromkeys(("ANSWERED", "REDIRECTED", "MERGED", "WITHDRAWN", "CLOSED"), ENDED_ROW),
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_command_in_every_state_of_an_appeal_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(APPEAL, HISTORIES[state], COMMANDS[command]) == follows


def test_the_histories_lead_to_the_states_they_are_named_after() -> None:
    assert EXPECTED.keys() == HISTORIES.keys()
    assert all(APPEAL.fold(history).state == name for name, history in HISTORIES.items() if name != "unknown")


def test_an_unknown_command_is_a_mistake_in_the_programme() -> None:
    with pytest.raises(TypeError):
        APPEAL.decide(Command(at=AT), APPEAL.fold([registered()]))


def test_an_appeal_that_does_not_exist_looks_like_somebody_elses() -> None:
    with pytest.raises(NotYours):
        APPEAL.decide(WITHDRAW, APPEAL.initial)
