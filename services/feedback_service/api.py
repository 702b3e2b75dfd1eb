"""Feedback over HTTP: contact, the two answers, the callback, and what is said afterwards. Contract section 4."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from sqlalchemy import func, or_, select
from starlette.responses import JSONResponse, Response

from services.feedback_service import commands, feeding, residents, supervising
from services.feedback_service.policy import callback_policy, within_hours
from services.feedback_service.reading import (
    LISTED,
    file_of,
    in_reach,
    item,
    messages_of,
    outside,
    owners,
    seen_case,
    told_of,
)
from services.feedback_service.views import CASES
from shared.contracts.codes import CaseState, Finding
from shared.engine.joined import has
from shared.web.app import Api
from shared.web.asking import Asking, reads
from shared.web.fields import Moment
from shared.web.identity import Principal, Scope
from shared.web.paging import Window, between, page
from shared.web.preconditions import etag

router = APIRouter()
CanRead = Annotated[Asking, Depends(reads(Scope.READ))]
CanCallBack = Annotated[Asking, Depends(reads(Scope.CALL_BACK))]
CanReview = Annotated[Asking, Depends(reads(Scope.REVIEW))]
CanReadReference = Annotated[Asking, Depends(reads(Scope.READ_REFERENCE))]
NO_STORE = {"Cache-Control": "no-store"}


@router.get("/v1/cases", summary="Cases, most recently changed first")
async def list_cases(
    asking: CanRead,
    window: Annotated[Window, Depends()],
    unit_id: Annotated[str | None, Query(max_length=64)] = None,
    state: CaseState | None = None,
    awaiting_reply: Annotated[bool | None, Query(description="the appellant wrote last")] = None,
    finding: Annotated[Finding | None, Query(description="noticed about an answer of this round")] = None,
) -> Response:
    """Within the caller's reach."""
    conditions = [CASES.c.state.is_not(None), in_reach(asking.principal, Scope.READ)]
    conditions += [CASES.c.lead_unit == unit_id] if unit_id else []
    conditions += [CASES.c.state == str(state)] if state else []
    conditions += [has(CASES.c.findings, str(finding))] if finding else []
    if awaiting_reply is not None:
        conditions.append(func.coalesce(CASES.c.awaiting_reply, False).is_(awaiting_reply))
    query = select(*LISTED).where(*conditions, *window.changed(CASES.c.updated_at))
    what = f"cases:{asking.principal.sub}:{unit_id}:{state}:{awaiting_reply}:{finding}"
    keys = (CASES.c.updated_at, CASES.c.appeal_id)
    return await _listed(asking, query, keys, window, what, descending=True)


@router.get("/v1/cases/{appeal_id}", summary="The file of a case")
async def get_case(appeal_id: str, asking: CanRead) -> Response:
    """Contacts, feedback, messages, callbacks, round by round; the two results of a round side by side."""
    row = await seen_case(asking, appeal_id)
    return JSONResponse(
        await file_of(asking.running, row, outside(asking.principal)),
        headers={"ETag": etag(row["version"]), **NO_STORE},
    )


@router.get("/v1/cases/{appeal_id}/messages", summary="What appellant and unit wrote to each other")
async def get_messages(appeal_id: str, asking: CanRead) -> Response:
    """Oldest first. `from` is APPELLANT or UNIT."""
    told = await told_of(asking.running, await seen_case(asking, appeal_id), outside(asking.principal))
    return JSONResponse({"items": messages_of(told)}, headers=NO_STORE)


@dataclass(frozen=True)
class QueueFilters:
    """What the queue can be narrowed to."""

    due_before: Annotated[Moment | None, Query()] = None
    ready: Annotated[bool | None, Query(description="may be called now, and no other officer has it")] = None
    assigned: Annotated[bool | None, Query(description="taken by somebody; `true` with mine: by the caller")] = None
    mine: Annotated[bool | None, Query(description="taken by the caller")] = None

    def conditions(self, principal: Principal, now: datetime) -> list[Any]:
        held = (CASES.c.assigned_until > now) & CASES.c.assigned_to.is_not(None)
        found: list[Any] = [func.coalesce(CASES.c.lead_unit != principal.unit_id, True)]
        if self.mine:
            found += [held, CASES.c.assigned_to == principal.sub]
        if self.assigned is not None:
            found.append(func.coalesce(held, False).is_(self.assigned))
        if self.ready is not None:
            found.append(self._ready(principal, now).is_(self.ready))
        return found

    def _ready(self, principal: Principal, now: datetime) -> Any:
        policy = callback_policy()
        rested = func.coalesce(CASES.c.call_not_before <= now, True)
        free = or_(func.coalesce(CASES.c.assigned_until <= now, True), CASES.c.assigned_to == principal.sub)
        return func.coalesce(rested & free & within_hours(now, policy.calls_from, policy.calls_until), False)


@router.get("/v1/callbacks", summary="Callbacks to make, soonest due first")
async def list_callbacks(
    asking: CanCallBack, window: Annotated[Window, Depends()], filters: Annotated[QueueFilters, Depends()]
) -> Response:
    """The queue of the callback officers, without the cases of their own unit."""
    conditions = [CASES.c.state == CaseState.CALLBACK_DUE.value, *window.changed(CASES.c.updated_at)]
    conditions += filters.conditions(asking.principal, asking.running.clock.now())
    query = select(*LISTED).where(*conditions, *between(CASES.c.callback_due_at, None, filters.due_before))
    keys = (CASES.c.callback_due_at, CASES.c.appeal_id)
    return await _listed(asking, query, keys, window, f"callbacks:{asking.principal.sub}:{filters}")


@router.get("/v1/callbacks/reasons", summary="Why a question may have been answered so")
async def list_reasons(asking: CanReadReference) -> Response:
    """Codes by question, in Chinese and English; and what a digit in a text message means."""
    policy = callback_policy()
    return JSONResponse({"version": policy.version, "reasons": policy.reasons, "digits": policy.digits})


@router.get("/v1/rechecks", summary="Callbacks that a second officer checks, soonest due first")
async def list_rechecks(asking: CanCallBack, window: Annotated[Window, Depends()]) -> Response:
    """Without those that the caller recorded."""
    conditions = [
        CASES.c.recheck_due_at.is_not(None),
        func.coalesce(CASES.c.recheck_officer != asking.principal.sub, True),
    ]
    query = select(*LISTED).where(*conditions, *window.changed(CASES.c.updated_at))
    return await _listed(asking, query, (CASES.c.recheck_due_at, CASES.c.appeal_id), window, "rechecks")


@router.get("/v1/reviews", summary="Contested answers, soonest due first")
async def list_reviews(asking: CanReview, window: Annotated[Window, Depends()]) -> Response:
    """What the reviewer decides about."""
    query = select(*LISTED).where(CASES.c.review_due_at.is_not(None), *window.changed(CASES.c.updated_at))
    return await _listed(asking, query, (CASES.c.review_due_at, CASES.c.appeal_id), window, "reviews")


async def _listed(
    asking: Asking, query: Any, keys: Any, window: Window, what: str, descending: bool = False
) -> Response:
    rows, following = await page(asking.running, query, keys, window, what, descending=descending)
    hide = outside(asking.principal)
    return JSONResponse({"items": [item(row, hide) for row in rows], "next_cursor": following})


for part in (residents, supervising, feeding):
    router.routes.extend(part.router.routes)
COMMANDS = (*commands.COMMANDS, *residents.COMMANDS, *supervising.COMMANDS)
API = Api("Jiesu feedback 两种反馈", router, COMMANDS, owners)
