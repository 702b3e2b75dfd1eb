"""What is written, evaluated, attached and contributed around an appeal: as long as it is open, and not without end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.intake_service.along_the_way import (
    EVALUATED_IN,
    Attach,
    Contribute,
    Evaluate,
    FlagMaliciousUse,
    Invite,
    NoteScan,
    Write,
)
from services.intake_service.appeal import APPEAL
from shared.contracts.codes import ENDED, CaseState, Satisfaction
from shared.contracts.envelope import Actor, Payload
from shared.contracts.intake import (
    AppealClosed,
    AppealEvaluated,
    AppealWithdrawn,
    AppellantWrote,
    AttachmentAdded,
    AttachmentScanned,
    MaliciousUseFlagged,
    ParticipantContributed,
    ParticipantInvited,
)
from shared.engine.decider import NotYours
from tests.support.spec import Spec, given
from tests.unit.test_appeal import AT, registered

LEAGUE = Actor("MASS_ORG_PARTICIPANT", "fl-chaoyang", "li")
INVITED = ParticipantInvited(unit_id="fl-chaoyang")
CLOSED = AppealClosed(round=1, resolved=True)
NOT_EVALUATED_IN = sorted(set(CaseState) - EVALUATED_IN)


def opened(*history: Payload) -> Spec:
    """Given an appeal to which this has happened."""
    return given(APPEAL, registered(), *history)


def write(seen: CaseState = CaseState.HANDLING, most: int = 2) -> Write:
    return Write(at=AT, text="何时上门", most=most, seen=seen)


def wrote(number: int) -> AppellantWrote:
    return AppellantWrote(text="何时上门", number=number)


def opinion(number: int) -> AppealEvaluated:
    return AppealEvaluated(number=number, resolved=True, satisfaction=Satisfaction.SATISFIED, comment="很快")


def evaluate(seen: CaseState = CaseState.FEEDBACK_DONE, until: datetime | None = None, at: datetime = AT) -> Evaluate:
    return Evaluate(at=at, facts=opinion(0), most=2, until=until, seen=seen)


def file(number: int, scan: Any = "CLEAN") -> AttachmentAdded:
    return AttachmentAdded(
        number=number,
        kind="PHOTO",
        media_type="image/jpeg",
        ending="jpg",
        bytes=9,
        object="attachments/a/1",
        sha256="0" * 64,
        scan=scan,
        sent_sha256="1" * 64,
        name="门口.jpg",
    )


def attach(seen: CaseState = CaseState.HANDLING) -> Attach:
    return Attach(at=AT, facts=file(0), most=2, seen=seen)


def scanned(verdict: Any = "CLEAN", number: int = 1) -> NoteScan:
    return NoteScan(at=AT, number=number, verdict=verdict)


def invite(seen: CaseState = CaseState.HANDLING) -> Invite:
    return Invite(at=AT, unit_id="fl-chaoyang", reason="独居", seen=seen)


def contribute(seen: CaseState = CaseState.HANDLING, actor: Actor = LEAGUE) -> Contribute:
    return Contribute(at=AT, actor=actor, text="已慰问", seen=seen)


def test_messages_are_counted_and_there_is_an_end_to_them() -> None:
    opened().when(write()).then(wrote(1))
    opened(wrote(1)).when(write()).then(wrote(2))
    opened(wrote(1), wrote(2)).when(write()).then_refused("WRITTEN_ENOUGH")


def test_files_are_numbered_and_there_is_an_end_to_them() -> None:
    opened().when(attach()).then(file(1))
    opened(file(1)).when(attach()).then(file(2))
    opened(file(1), file(2, "PENDING")).when(attach()).then_refused("ATTACHED_ENOUGH")


@pytest.mark.parametrize("command", [write, attach, invite])
@pytest.mark.parametrize("seen", sorted(ENDED))
def test_after_the_end_nothing_is_written_attached_or_asked_for(command: Any, seen: CaseState) -> None:
    opened().when(command(seen)).then_refused("ILLEGAL_TRANSITION")


@pytest.mark.parametrize("command", [write, attach, invite])
@pytest.mark.parametrize("end", [CLOSED, AppealWithdrawn()], ids=["closed", "withdrawn"])
def test_an_end_that_the_view_has_not_seen_yet_counts_as_well(command: Any, end: Payload) -> None:
    opened(end).when(command()).then_refused("ILLEGAL_TRANSITION")


@pytest.mark.parametrize("seen", sorted(EVALUATED_IN))
def test_a_result_can_be_evaluated(seen: CaseState) -> None:
    opened().when(evaluate(seen)).then(opinion(1))


@pytest.mark.parametrize("seen", NOT_EVALUATED_IN)
def test_where_there_is_no_result_there_is_nothing_to_evaluate(seen: CaseState) -> None:
    opened().when(evaluate(seen)).then_refused("ILLEGAL_TRANSITION")


def test_what_was_withdrawn_has_no_result_and_what_was_closed_has_one_before_the_view_sees_it() -> None:
    opened(AppealWithdrawn()).when(evaluate(CaseState.WITHDRAWN)).then_refused("ILLEGAL_TRANSITION")
    opened(CLOSED).when(evaluate(CaseState.HANDLING)).then(opinion(1))


def test_evaluations_are_numbered_and_there_is_an_end_to_them() -> None:
    opened(opinion(1)).when(evaluate()).then(opinion(2))
    opened(opinion(1), opinion(2)).when(evaluate()).then_refused("EVALUATED_ENOUGH")


def test_evaluations_are_taken_up_to_the_last_moment() -> None:
    late = AT + timedelta(microseconds=1)
    opened(CLOSED).when(evaluate(CaseState.CLOSED, until=AT)).then(opinion(1))
    opened(CLOSED).when(evaluate(CaseState.CLOSED, until=AT, at=late)).then_refused("EVALUATION_OVER")


@pytest.mark.parametrize("verdict", ["CLEAN", "INFECTED", "UNSCANNABLE"])
def test_a_verdict_is_noted_for_a_file_that_waits_for_it(verdict: Any) -> None:
    said = AttachmentScanned(number=1, verdict=verdict)
    opened(file(1, "PENDING")).when(scanned(verdict)).then(said)
    opened(file(1, "PENDING"), said).when(scanned()).then()
    opened(file(1, "PENDING"), said).when(scanned("INFECTED")).then()


@pytest.mark.parametrize("scan", ["CLEAN", "UNSCANNED"])
def test_a_file_that_does_not_wait_gets_no_verdict(scan: str) -> None:
    opened(file(1, scan)).when(scanned("INFECTED")).then()
    opened(file(1, "PENDING")).when(scanned(number=2)).then()


def test_a_file_that_came_before_the_end_is_scanned_after_it() -> None:
    said = AttachmentScanned(number=1, verdict="INFECTED")
    opened(file(1, "PENDING"), CLOSED).when(scanned("INFECTED")).then(said)


def test_who_helps_is_invited_once() -> None:
    opened().when(invite()).then(ParticipantInvited(unit_id="fl-chaoyang", reason="独居"))
    opened(INVITED).when(invite()).then()


def test_who_was_invited_contributes_as_long_as_the_appeal_is_open() -> None:
    first, second = (ParticipantContributed(unit_id="fl-chaoyang", text="已慰问", number=n) for n in (1, 2))
    opened(INVITED).when(contribute()).then(first)
    opened(INVITED, first).when(contribute()).then(second)
    opened(INVITED).when(contribute(CaseState.CLOSED)).then_refused("ILLEGAL_TRANSITION")
    opened(INVITED, CLOSED).when(contribute()).then_refused("ILLEGAL_TRANSITION")


@pytest.mark.parametrize("unit", ["fl-haidian", "", None])
@pytest.mark.parametrize("seen", [CaseState.HANDLING, CaseState.CLOSED])
def test_whoever_was_not_invited_finds_no_appeal(unit: str | None, seen: CaseState) -> None:
    with pytest.raises(NotYours):
        opened(INVITED).when(contribute(seen, Actor("MASS_ORG_PARTICIPANT", unit, "x"))).decided()


def test_malicious_use_is_noted_in_any_state_and_changes_nothing() -> None:
    flag, flagged = FlagMaliciousUse(at=AT, evidence="一日百余次"), MaliciousUseFlagged(evidence="一日百余次")
    opened().when(flag).then(flagged)
    opened(AppealWithdrawn()).when(flag).then(flagged)
    assert opened().when(flag).state_after() == APPEAL.fold([registered()])
