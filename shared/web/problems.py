"""Errors as RFC 9457 problem details, one catalogue for all services.

`code` is stable, `detail` never repeats what the caller sent: a refused value may be somebody's phone number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from shared.engine.decider import IllegalTransition, NotYours, Refused
from shared.eventlog.log import KeyTaken, LogUnavailable, WrongVersion
from shared.eventlog.postgres import LOST
from shared.eventlog.sealing import SubjectErased

PROBLEM_TYPE = "application/problem+json"

CATALOGUE: dict[str, tuple[int, str]] = {
    "BAD_REQUEST": (400, "The request cannot be read"),
    "MALFORMED_JSON": (400, "The body is not the JSON we accept"),
    "IDEMPOTENCY_KEY_INVALID": (400, "Idempotency-Key must be 1 to 200 visible ASCII characters"),
    "PRECONDITION_INVALID": (400, "If-Match must be one quoted version number"),
    "POSITION_INVALID": (400, "If-Position is service:partition:position, Last-Event-ID the id of an event"),
    "CURSOR_INVALID": (400, "The cursor is not one that we gave out for this list"),
    "UNAUTHENTICATED": (401, "A valid bearer token is needed"),
    "FORBIDDEN": (403, "Your role does not allow this"),
    "SECOND_OFFICER_NEEDED": (403, "Another officer must confirm"),
    "OWN_CASE": (403, "Whoever handled a case does not ask the resident about it"),
    "NOT_FOUND": (404, "There is no such thing, or it is not yours to see"),
    "METHOD_NOT_ALLOWED": (405, "This method is not possible here"),
    "ATTACHMENT_PENDING": (409, "The file waits for the scanner"),
    "ATTACHMENT_DAMAGED": (500, "The stored file is not what was put there"),
    "CONFLICT": (409, "The present state does not allow this"),
    "ILLEGAL_TRANSITION": (409, "The command does not fit the present state"),
    "SUBJECT_ERASED": (409, "The person's data was erased; nothing can be added or shown"),
    "REQUEST_IN_PROGRESS": (409, "A request with this Idempotency-Key is still being worked on"),
    "VERSION_CONFLICT": (412, "The resource has changed since you read it"),
    "BODY_TOO_LARGE": (413, "The body is larger than we accept"),
    "UNSUPPORTED_MEDIA_TYPE": (415, "Send application/json in UTF-8"),
    "VALIDATION_FAILED": (422, "Some fields are not acceptable"),
    "ATTEMPT_TIME_IMPOSSIBLE": (422, "The attempt cannot have been then"),
    "ANSWER_TOO_SHORT": (422, "The answer says nothing"),
    "EVIDENCE_NEEDED": (422, "A result about this category shows evidence"),
    "EVIDENCE_UNKNOWN": (422, "The appeal has no such file, or it shows nothing"),
    "REASON_UNKNOWN": (422, "This is not one of the reasons"),
    "CONTACT_TIME_IMPOSSIBLE": (422, "The contact cannot have been then"),
    "FILE_TYPE_UNKNOWN": (422, "The file is not of a kind that we keep"),
    "FILE_DAMAGED": (422, "The file cannot be read"),
    "FILE_TOO_LARGE": (413, "The file is larger than we keep of its kind"),
    "PICTURE_TOO_LARGE": (422, "The picture has too many pixels"),
    "MALWARE_FOUND": (422, "The file is harmful"),
    "CONTACT_MISSING": (422, "This channel needs a contact"),
    "PLACE_MISSING": (422, "This channel needs a place"),
    "RAISED_IN_FUTURE": (422, "The appeal cannot have been raised in the future"),
    "IDEMPOTENCY_KEY_REUSED": (422, "This Idempotency-Key was used for another request"),
    "MERGE_CROSSED": (409, "Another appeal of this person was merged at the same moment; look again"),
    "SOURCE_REF_TAKEN": (409, "This source_ref was used for another appeal"),
    "TOO_EARLY": (425, "The view has not reached that position yet"),
    "TOO_MANY_REQUESTS": (429, "You ask more often than is allowed"),
    "HEADER_TOO_LARGE": (431, "The header is larger than we read"),
    "URGED_RECENTLY": (429, "The unit was reminded a short while ago"),
    "TOO_MANY_ATTEMPTS": (429, "Too many attempts; wait before the next one"),
    "INTERNAL": (500, "Something went wrong on our side"),
    "UNAVAILABLE": (503, "The record cannot be reached now; nothing is lost, try again"),
}
"""Code -> status and title. Other codes that rules give (Refused) are 409."""

_BY_STATUS = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "BODY_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE"}
_RETRY_SECONDS = {
    "REQUEST_IN_PROGRESS": "1",
    "TOO_EARLY": "1",
    "UNAVAILABLE": "2",
    "ATTACHMENT_PENDING": "60",
    "TOO_MANY_ATTEMPTS": "60",
    "URGED_RECENTLY": "3600",
}


class Problem(Exception):
    """An answer other than success. `errors` are JSON pointers with a message each."""

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code, self.detail, self.errors = code, detail, errors
        self.status, self.title = CATALOGUE.get(code, (409, "The rules do not allow this"))
        self.headers = dict(headers or {})
        if code in _RETRY_SECONDS:
            self.headers.setdefault("Retry-After", _RETRY_SECONDS[code])
        if self.status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"


def problem_response(request: Request, problem: Problem) -> Response:
    """The problem as an HTTP answer."""
    body = problem_body(problem, request.scope.get("jiesu.request_id", ""))
    return Response(body, problem.status, problem.headers, PROBLEM_TYPE)


def problem_body(problem: Problem, request_id: str) -> bytes:
    """RFC 9457 section 3, with our `code` and `errors`."""
    body: dict[str, Any] = {
        "type": f"urn:jiesu:problem:{problem.code.lower().replace('_', '-')}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail or problem.title,
        "instance": f"urn:uuid:{request_id}",
        "code": problem.code,
    }
    if problem.errors:
        body["errors"] = list(problem.errors)
    return orjson.dumps(body)


def problem_of(error: Exception) -> Problem:
    """The problem that an error of the lower layers amounts to."""
    match error:
        case Problem():
            return error
        case IllegalTransition(detail=detail) | Refused(code="ILLEGAL_TRANSITION", detail=detail):
            return Problem("ILLEGAL_TRANSITION", detail)
        case Refused(code=code, detail=detail):
            return Problem(code, detail)
        case NotYours():
            return Problem("NOT_FOUND")
        case WrongVersion():
            return Problem("VERSION_CONFLICT")
        case SubjectErased():
            return Problem("SUBJECT_ERASED")
        case LogUnavailable() | KeyTaken() | DBAPIError(connection_invalidated=True) | PoolTimeout():
            return Problem("UNAVAILABLE")
        case ClientDisconnect():
            return Problem("BAD_REQUEST", "the request broke off")
        case HTTPException(status_code=status):
            return Problem(_BY_STATUS.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL"))
    return Problem("UNAVAILABLE" if isinstance(error, LOST) else "INTERNAL")


def validation_problem(error: ValidationError, code: str = "VALIDATION_FAILED") -> Problem:
    """Where a body is wrong, as JSON pointers (RFC 6901), without repeating any value."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return Problem(code, errors=[{"pointer": pointer(item["loc"]), "message": _message(item)} for item in found[:20]])


def pointer(location: Sequence[str | int]) -> str:
    """RFC 6901 pointer of a pydantic location."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1")[:60] for part in location)


def _message(item: Mapping[str, Any]) -> str:
    """pydantic's sentence, unless it may quote the input (custom validators of ours never do)."""
    return (
        "unknown field" if item["type"] == "extra_forbidden" else str(item["msg"]).removeprefix("Value error, ")[:200]
    )
