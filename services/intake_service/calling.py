"""From a call to one appeal: what state the case is in, whose it is, and whether the tracking code is right."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping

from services.intake_service.appeal import APPEAL
from services.intake_service.policy import follow_policy
from services.intake_service.reading import case_by_ticket, case_row
from services.intake_service.registration import hash_of
from services.intake_service.state import Appeal
from shared.contracts.codes import CaseState
from shared.contracts.envelope import Actor
from shared.engine.decider import Command, NotYours
from shared.engine.execute import Decision, Intention
from shared.engine.runtime import Running
from shared.web.commands import Call, Plan
from shared.web.identity import Ownership
from shared.web.problems import Problem

APPELLANT = Actor("APPELLANT")
TRACKING_CODE = "x-tracking-code"
MOST_COUNTED = 10_000


class WrongCodes:
    """Counts wrong tracking codes by ticket number, for as long as the policy says.

    The right code is let through at any time, or a stranger who counts up ticket numbers could shut residents out;
    160 random bits are not guessed, the count is there so that nobody tries for long.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[datetime, int]] = OrderedDict()

    def exceeded(self, ticket_no: str, most: int) -> bool:
        """Whether there were too many already; the time that makes up for them is looked at by `note`."""
        return self._counts.get(ticket_no, (None, 0))[1] > most

    def note(self, ticket_no: str, now: datetime, most: int, within: timedelta) -> None:
        """Raises TOO_MANY_ATTEMPTS."""
        since, count = self._counts.get(ticket_no, (now, 0))
        if now - since >= within:
            since, count = now, 0
        self._counts[ticket_no] = (since, count + 1)
        self._counts.move_to_end(ticket_no)
        if len(self._counts) > MOST_COUNTED:
            self._counts.popitem(last=False)
        if count >= most:
            wait = since + within - now
            raise Problem("TOO_MANY_ATTEMPTS", headers={"Retry-After": str(int(wait.total_seconds()) + 1)})


_wrong_codes = WrongCodes()


async def known_by_code(running: Running, ticket_no: str, headers: Mapping[str, str]) -> RowMapping:
    """The case, for whoever holds ticket number and tracking code. Raises NotYours, TOO_MANY_ATTEMPTS.

    A ticket that does not exist is answered like a wrong code.
    """
    code, policy = headers.get(TRACKING_CODE), follow_policy()
    try:
        row = await case_by_ticket(running, ticket_no, not _wrong_codes.exceeded(ticket_no, policy.wrong_codes))
        if code is not None and hmac.compare_digest(row["tracking_hash"], hash_of(code)):
            return row
        raise NotYours
    except NotYours:
        _wrong_codes.note(ticket_no, running.clock.now(), policy.wrong_codes, policy.wrong_codes_within)
        raise


async def case_seen(call: Call[Any]) -> CaseState:
    """The state of the whole case; a case that the view does not know yet has only been registered."""
    try:
        return CaseState((await case_row(call.running, call.subject))["state"])
    except NotYours:
        return CaseState.REGISTERED


def on_appeal(call: Call[Any], command: Command) -> Plan:
    """A command by an officer, on an appeal within the officer's reach."""
    guard = call.may_touch(lambda appeal: Ownership(appeal.participants, client=appeal.client))
    intention = Intention(APPEAL, call.subject, command, sealed_for=subject_key, guard=guard)
    return Plan(intention, _standing(command))


def by_appellant(appeal_id: str, command: Command) -> Plan:
    """A command by whoever has shown the tracking code."""
    return Plan(Intention(APPEAL, appeal_id, command, sealed_for=subject_key), _standing(command))


def _standing(command: Command) -> Callable[[Decision[Appeal]], dict[str, Any]]:
    """The state of the whole case: an appeal that intake has not ended is where its neighbours have brought it."""

    def answer(decision: Decision[Appeal]) -> dict[str, Any]:
        seen = getattr(command, "seen", decision.state.state)
        state = decision.state.state if decision.state.ended else seen
        return {"state": str(state), "version": decision.version}

    return answer


def subject_key(appeal: Appeal) -> str:
    """What seals everything that is said in an appeal."""
    return appeal.subject_key
