"""From a call to one appeal: what state the case is in, whose it is, and whether the tracking code is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import RowMapping

from services.intake_service.appeal import APPEAL
from services.intake_service.reading import case_by_ticket, case_row
from services.intake_service.state import Appeal
from shared.contracts.codes import CaseState
from shared.engine.decider import Command, NotYours
from shared.engine.each import Each
from shared.engine.execute import Decision, Intention
from shared.engine.runtime import Running
from shared.web.commands import Call, Plan
from shared.web.identity import Ownership
from shared.web.tracking import WrongCodes, shows_the_code

_wrong_codes = Each(WrongCodes)


async def known_by_code(running: Running, ticket_no: str, headers: Mapping[str, str]) -> RowMapping:
    """The case, for whoever holds ticket number and tracking code. Raises NotYours, TOO_MANY_ATTEMPTS.

    A ticket that does not exist is answered like a wrong code.
    """
    try:
        row = await case_by_ticket(running, ticket_no, not _wrong_codes.of(running).exceeded(ticket_no))
        if shows_the_code(headers, row["tracking_hash"]):
            return row
        raise NotYours
    except NotYours:
        _wrong_codes.of(running).note(ticket_no, running.clock.now())
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
