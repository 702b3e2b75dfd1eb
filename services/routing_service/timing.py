"""Limits tried over HTTP: the table in force, and when something would be due, with every step of the derivation."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import JSONResponse, Response

from services.routing_service.limits import Limits, shipped_limits
from shared.contracts.codes import Urgency
from shared.contracts.envelope import rfc3339
from shared.web.asking import Asking, reads
from shared.web.fields import Moment
from shared.web.identity import Scope

router = APIRouter()
CanReadReference = Annotated[Asking, Depends(reads(Scope.READ_REFERENCE))]


@router.get("/v1/limits", summary="The limits in force")
async def get_limits(asking: CanReadReference) -> Response:
    """Handling and signing limits by tier (ISO 8601), categories with a limit of their own, windows and the ladder."""
    limits, disputes = shipped_limits(), shipped_limits().disputes
    return JSONResponse(
        {
            "version": limits.version,
            "source": limits.source,
            "handle": limits.handle,
            "sign": limits.sign,
            "categories": {name: asdict(limit) for name, limit in limits.categories.items()},
            "objection": {"window": disputes.objection_window, "review": disputes.objection_review},
            "extension": {"longest": str(disputes.longest_extension), "answer": disputes.extension_answer},
            "report_within": disputes.report_within,
            "ladder": _ladder(limits),
        }
    )


@router.get("/v1/limits/explain", summary="When an order would be due, and why")
async def explain(
    asking: CanReadReference,
    tier: Urgency,
    dispatched_at: Annotated[Moment | None, Query(description="[default: now]")] = None,
    category: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Every clock that a dispatch at that moment would start."""
    limits, at = shipped_limits(), dispatched_at or asking.running.clock.now()
    due = limits.due(tier, at, category)
    clocks = {
        "sign": due.sign,
        "object": limits.objection_until(tier, at),
        "remind": due.remind,
        "handle": due.handle,
        "supervise_unsigned": due.sign + limits.ladder.supervise_unsigned[tier],
        "extend_to_at_most": limits.longest_until(due.handle - at, due.handle),
        "escalate": at + limits.ladder.escalate_open,
    }
    times = {name: rfc3339(moment) for name, moment in clocks.items()}
    derivation = due.derivation.model_dump(mode="json")
    return JSONResponse({"due_at": rfc3339(due.handle), "clocks": times, "due_derivation": derivation})


def _ladder(limits: Limits) -> dict[str, Any]:
    ladder = limits.ladder
    return {
        "remind_after": str(ladder.remind_after),
        "supervise_urges": ladder.supervise_urges,
        "supervise_unsigned_seconds": {t: int(d.total_seconds()) for t, d in ladder.supervise_unsigned.items()},
        "escalate_rounds": ladder.escalate_rounds,
        "escalate_open_days": ladder.escalate_open.days,
    }
