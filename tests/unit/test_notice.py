"""What becomes of a notice: planned once, sent once, tried by a plan, and never a second time where nobody knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from services.feedback_service.notice import (
    NOTICES,
    Attempt,
    NoteFailed,
    NoteReceipt,
    NoteSent,
    Notice,
    Plan,
    Postpone,
    Standing,
    Suppress,
    notice_id,
)
from services.feedback_service.templates import notifications
from shared.contracts.codes import Audience, Language, NoticeChannel
from shared.contracts.envelope import BEIJING, Payload
from shared.contracts.notices import (
    NotificationAttempted,
    NotificationDelivered,
    NotificationFailed,
    NotificationPlanned,
    NotificationPostponed,
    NotificationSent,
    NotificationSuppressed,
)
from shared.engine.decider import Command, NotYours
from tests.support.spec import Spec, given
from tests.unit.pairs import NOT_YOURS, NOTHING, every_pair, outcome

AT = datetime(2026, 11, 24, 9, 0, tzinfo=BEIJING)
POLICY = notifications().policy
PLAN = list(POLICY.retry_after)
ID = notice_id("event-1", "result")
SMS, MAIL = NoticeChannel.SMS, NoticeChannel.EMAIL
PLANNED = NotificationPlanned(
    notice_id=ID,
    template="result",
    templates_version="notifications-2026-1",
    audience=Audience.APPELLANT,
    cause="event-1",
    not_before=AT,
)
SENT = NotificationSent(
    notice_id=ID,
    template="result",
    audience=Audience.APPELLANT,
    channel=SMS,
    language=Language.ZH,
    attempt=1,
    person="p1",
)
UNCERTAIN = NotificationSuppressed(notice_id=ID, reason="UNCERTAIN")
FAILED = NotificationFailed(notice_id=ID, channel=SMS, attempt=1, reason="HTTP_400")


def attempted(attempt: int = 1) -> NotificationAttempted:
    return NotificationAttempted(notice_id=ID, channel=SMS, attempt=attempt)


def failed(attempt: int) -> NotificationFailed:
    """The plan's answer to this failure, at AT."""
    retry_at = AT + PLAN[attempt - 1] if attempt <= len(PLAN) else None
    return NotificationFailed(notice_id=ID, channel=SMS, attempt=attempt, reason="HTTP_500", retry_at=retry_at)


def delivered(arrived: bool) -> NotificationDelivered:
    return NotificationDelivered(notice_id=ID, arrived=arrived)


def fails(final: bool = False, reason: str = "HTTP_500") -> NoteFailed:
    return NoteFailed(at=AT, notice_id=ID, channel=SMS, reason=reason, final=final, policy=POLICY)


def sends(channel: NoticeChannel = SMS) -> NoteSent:
    return NoteSent(at=AT, notice_id=ID, channel=channel, language=Language.ZH, person="p1")


def suppresses(reason: str) -> Suppress:
    return Suppress(at=AT, notice_id=ID, reason=reason)  # type: ignore[arg-type]


def only(spec: Spec) -> Notice:
    return spec.state_after().by_id[ID]


ATTEMPT = Attempt(at=AT, notice_id=ID, channel=SMS)
ARRIVED, LOST = (NoteReceipt(at=AT, notice_id=ID, arrived=arrived) for arrived in (True, False))


def test_the_id_of_a_notice_is_the_same_on_every_machine_and_at_any_time() -> None:
    assert notice_id("01890000-0000-7000-8000-000000000001", "survey") == "7a322699-133d-5065-8036-2b0f0fbd5602"
    assert UUID(ID).version == 5


def test_another_event_or_another_template_is_another_notice() -> None:
    assert len({notice_id(event, template) for event in ("e1", "e2") for template in ("t1", "t2")}) == 4


def test_a_notice_is_planned_once_for_an_event_and_template_whatever_has_become_of_it() -> None:
    plan = Plan(at=AT, facts=PLANNED)
    given(NOTICES).when(plan).then(PLANNED)
    for history in HISTORIES.values():
        given(NOTICES, PLANNED, *history[1:]).when(plan).then()


def test_notices_of_one_appeal_do_not_touch_each_other() -> None:
    other = PLANNED.model_copy(update={"notice_id": notice_id("event-1", "survey"), "template": "survey"})
    notices = NOTICES.fold([PLANNED, other, SENT])
    assert notices.by_id[ID].standing is Standing.SENT
    assert notices.by_id[other.notice_id] == Notice(other)


def test_what_is_put_off_waits_and_may_be_put_off_again() -> None:
    later = Postpone(at=AT, notice_id=ID, reason="BUDGET", until=AT + timedelta(hours=2))
    told = NotificationPostponed(notice_id=ID, reason="BUDGET", until=later.until)
    for history in ((), (told,), (failed(1),)):
        spec = given(NOTICES, PLANNED, *history).when(later)
        spec.then(told)
        assert only(spec).standing is Standing.WAITING


@pytest.mark.parametrize("on_record", [False, True], ids=["repeatable", "put on record before"])
def test_it_is_tried_again_by_the_plan_and_has_failed_when_the_plan_is_at_its_end(on_record: bool) -> None:
    history: list[Payload] = [PLANNED]
    for number in range(1, len(PLAN) + 2):
        if on_record:
            given(NOTICES, *history).when(ATTEMPT).then(attempted(number))
            history.append(attempted(number))
        spec = given(NOTICES, *history).when(fails())
        spec.then(failed(number))
        last = number == len(PLAN) + 1
        assert only(spec) == Notice(PLANNED, Standing.FAILED if last else Standing.WAITING, number)
        history.append(failed(number))
    given(NOTICES, *history).when(fails()).then()


@pytest.mark.parametrize("history", [(), (attempted(),)])
def test_what_will_never_be_taken_has_failed_at_once(history: tuple[Payload, ...]) -> None:
    spec = given(NOTICES, PLANNED, *history).when(fails(final=True, reason="HTTP_400"))
    spec.then(FAILED)
    assert only(spec).standing is Standing.FAILED


@pytest.mark.parametrize(
    ("history", "attempt"),
    [((), 1), ((failed(1),), 1), ((failed(1), failed(2), attempted(3)), 3), ((attempted(),), 1)],
)
def test_what_was_sent_says_which_attempt_it_was(history: tuple[Payload, ...], attempt: int) -> None:
    given(NOTICES, PLANNED, *history).when(sends()).then(SENT.model_copy(update={"attempt": attempt}))


def test_only_what_was_begun_and_has_no_outcome_is_uncertain() -> None:
    given(NOTICES, PLANNED, attempted()).when(suppresses("UNCERTAIN")).then(UNCERTAIN)
    for history in ((SENT,), (FAILED,), (attempted(), failed(len(PLAN) + 1)), (attempted(), UNCERTAIN)):
        given(NOTICES, PLANNED, *history).when(suppresses("UNCERTAIN")).then()


def test_what_is_uncertain_is_never_tried_again() -> None:
    for command in (ATTEMPT, fails(), suppresses("STALE")):
        given(NOTICES, PLANNED, attempted(), UNCERTAIN).when(command).then()


@pytest.mark.parametrize("before", [(attempted(), UNCERTAIN), (attempted(), FAILED), (FAILED,)])
def test_that_it_was_sent_after_all_is_recorded_and_told_once(before: tuple[Payload, ...]) -> None:
    spec = given(NOTICES, PLANNED, *before).when(sends())
    spec.then(SENT)
    assert only(spec).standing is Standing.SENT
    given(NOTICES, PLANNED, *before, SENT).when(sends(MAIL)).then()


@pytest.mark.parametrize(("receipt", "standing"), [(ARRIVED, Standing.DELIVERED), (LOST, Standing.UNDELIVERED)])
def test_the_first_receipt_counts(receipt: NoteReceipt, standing: Standing) -> None:
    spec = given(NOTICES, PLANNED, SENT).when(receipt)
    spec.then(delivered(receipt.arrived))
    assert only(spec).standing is standing
    for again in (ARRIVED, LOST):
        given(NOTICES, PLANNED, SENT, delivered(receipt.arrived)).when(again).then()


def test_what_is_not_known_here_is_nobodys_and_changes_nothing() -> None:
    with pytest.raises(NotYours):
        given(NOTICES, PLANNED).when(NoteReceipt(at=AT, notice_id="other", arrived=True)).decided()
    assert NOTICES.fold([SENT]) == NOTICES.initial


def test_an_unknown_command_is_a_mistake_in_the_programme() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Shout(Command):
        notice_id: str

    with pytest.raises(TypeError):
        given(NOTICES, PLANNED).when(Shout(at=AT, notice_id=ID)).decided()


HISTORIES: dict[str, tuple[Payload, ...]] = {
    "unknown": (),
    "waiting": (PLANNED,),
    "put off": (PLANNED, NotificationPostponed(notice_id=ID, reason="QUIET_HOURS", until=AT)),
    "to be tried again": (PLANNED, failed(1)),
    "attempted": (PLANNED, attempted()),
    "sent": (PLANNED, SENT),
    "delivered": (PLANNED, SENT, delivered(True)),
    "undelivered": (PLANNED, SENT, delivered(False)),
    "failed": (PLANNED, FAILED),
    "suppressed": (PLANNED, NotificationSuppressed(notice_id=ID, reason="STALE")),
    "uncertain": (PLANNED, attempted(), UNCERTAIN),
}
COMMANDS: dict[str, Command] = {
    "plan": Plan(at=AT, facts=PLANNED),
    "postpone": Postpone(at=AT, notice_id=ID, reason="BUDGET", until=AT),
    "suppress": suppresses("STALE"),
    "suppress as uncertain": suppresses("UNCERTAIN"),
    "attempt": ATTEMPT,
    "sent": sends(),
    "failed": fails(),
    "arrived": ARRIVED,
    "lost": LOST,
}
OVER = dict.fromkeys(COMMANDS, NOTHING)
NOT_SENT = OVER | {"sent": "NotificationSent"}
BEFORE = NOT_SENT | {
    "postpone": "NotificationPostponed",
    "suppress": "NotificationSuppressed",
    "suppress as uncertain": "NotificationSuppressed",
    "attempt": "NotificationAttempted",
    "failed": "NotificationFailed",
}
RECEIVED = dict.fromkeys(("arrived", "lost"), "NotificationDelivered")
EXPECTED = {
    "unknown": dict.fromkeys(COMMANDS, NOT_YOURS) | {"plan": "NotificationPlanned"},
    "waiting": BEFORE,
    "put off": BEFORE,
    "to be tried again": BEFORE,
    "attempted": NOT_SENT | {"suppress as uncertain": "NotificationSuppressed", "failed": "NotificationFailed"},
    "sent": OVER | RECEIVED,
    "delivered": OVER,
    "undelivered": OVER,
    "failed": NOT_SENT,
    "suppressed": NOT_SENT,
    "uncertain": NOT_SENT,
}


def test_the_table_has_every_standing() -> None:
    standings = {NOTICES.fold(history).by_id[ID].standing for history in HISTORIES.values() if history}
    assert standings == set(Standing) and EXPECTED.keys() == HISTORIES.keys()


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_word_about_a_notice_in_every_standing_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(NOTICES, HISTORIES[state], COMMANDS[command]) == follows
