"""派单: what it says when an order goes to a unit, whoever sends it. Regulation Art 11-13."""

from __future__ import annotations

from datetime import datetime

from services.routing_service.jurisdiction import Unit
from services.routing_service.limits import Limits
from services.routing_service.proposal import copied_district
from services.routing_service.rulebook import GRASS_ROOTS
from shared.contracts.codes import UnitType, Urgency
from shared.contracts.duties import Candidate
from shared.contracts.routing import OrderDispatched, OrderProposed
from shared.engine.decider import Refused


def may_lead(unit: Unit, proposal: OrderProposed) -> None:
    """Raises Refused for a community, which assists (Art 17), and for the grass roots where the catalogue says that it
    is a department's matter (国办函〔2025〕66号).
    """
    if unit.unit_type is UnitType.COMMUNITY:
        raise Refused("COMMUNITY_NEVER_LEADS", "a community assists and is never the lead unit (Regulation Art 17)")
    first = next(iter(proposal.candidates), None)
    if unit.unit_type in GRASS_ROOTS and first is not None and first.department_only:
        raise Refused("NOT_FOR_THE_GRASS_ROOTS", "the catalogue says that a department does this itself")


def dispatched(
    proposal: OrderProposed,
    unit: Unit,
    tier: Urgency,
    round_: int,
    at: datetime,
    limits: Limits,
    candidate: Candidate | None = None,
) -> OrderDispatched:
    due = limits.due(tier, at, proposal.category)
    return OrderDispatched(
        ticket_no=proposal.ticket_no,
        subject_key=proposal.subject_key,
        identity_hidden=proposal.identity_hidden,
        category=proposal.category,
        reachable=proposal.reachable,
        registered_at=proposal.registered_at,
        lead_unit=unit.unit_id,
        lead_unit_name=unit.name,
        unit_type=unit.unit_type,
        cc_district=copied_district(unit),
        tier=tier,
        round=round_,
        due_at=due.handle,
        sign_due_at=due.sign,
        due_derivation=due.derivation,
        remind_at=due.remind,
        escalate_at=at + limits.ladder.escalate_open if round_ == 1 else None,
        by_hand=False,
        catalogue_version=proposal.catalogue_version if candidate else None,
        rule_id=candidate.rule_id if candidate else None,
        model_version=proposal.model_version,
    )
