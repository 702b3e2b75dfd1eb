"""Commands at the wrong time, by the wrong hands, against a state that has passed: all pairs of state and command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.web.commands import CommandRoute
from shared.web.identity import Scope
from tests.support.bad import ROUTES, good_body

ILLEGAL, NOTHING = "ILLEGAL_TRANSITION", "NOT_FOUND"
ENDED = ("ANSWERED", "REDIRECTED", "MERGED", "WITHDRAWN", "CLOSED")
POSSIBLE_AFTERWARDS = {
    *("/v1/appeals/{appeal_id}/tags", "/v1/appeals/{appeal_id}/risk-alert", "/v1/appeals/{appeal_id}/malicious-use"),
    *("/v1/appeals/{appeal_id}/link", "/v1/appeals/{appeal_id}/exclusions", "/v1/cases/{appeal_id}/reopen"),
    "/v1/cases/{appeal_id}/callback/contest",
}
"""What may still be said of an appeal that has ended."""
CODES = {
    "/v1/appeals/{appeal_id}/contributions": {NOTHING},
    "/v1/cases/{appeal_id}/callback/recheck": {"NOT_DRAWN", ILLEGAL, NOTHING},
    "/v1/cases/{appeal_id}/callback/review": {"OWN_CASE", "NOT_CONTESTED", "REVIEW_MISSING", ILLEGAL, NOTHING},
    "/v1/cases/{appeal_id}/messages/read": {"NO_SUCH_MESSAGE", NOTHING},
}
STATUS = {NOTHING: 404, "OWN_CASE": 403}
UNITS_OWN = {Scope.HANDLE, Scope.CLAIM, Scope.KEEP_LEDGER, Scope.SUPERVISE}


def about_an_appeal() -> Iterator[tuple[str, CommandRoute]]:
    """Every command that names an appeal in its path."""
    return ((service, route) for service, route in ROUTES if "{appeal_id}" in route.path)


def path_to(service: str, route: CommandRoute, appeal_id: str) -> str:
    return f"/{service}{route.path}".replace("{appeal_id}", appeal_id).replace("{number}", "1")


def plain_body(route: CommandRoute) -> dict[str, Any]:
    """A good body without files and entries that would have to be there first."""
    body = good_body(route)
    for name in ("attachments", "recording", "knowledge_id", "files"):
        if not (field := route.body.model_fields.get(name)) or not field.is_required():
            body.pop(name, None)
    return body


def codes_after_the_end(route: CommandRoute) -> Mapping[str, int]:
    """How a command on an appeal that has ended is refused: code and status."""
    return {code: STATUS.get(code, 409) for code in CODES.get(route.path, {ILLEGAL, NOTHING})}
