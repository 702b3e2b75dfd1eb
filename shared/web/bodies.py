"""Reading a JSON body strictly, before anything else is done with it.

Refused here, each with a clear 4xx and no echo: a body over the limit (by its announced length, before it is read),
another media type or charset, invalid UTF-8, duplicate members, NaN and Infinity, numbers beyond 2^53, deep nesting,
NUL and lone surrogates and non-characters in text. Then pydantic validates in strict mode.
"""

from __future__ import annotations

import hmac
import json
import re
from hashlib import sha256
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from shared.web.problems import Problem, pointer, validation_problem

M = TypeVar("M", bound=BaseModel)
DEEPEST = 32
LARGEST_INTEGER = 2**53
_MEDIA_TYPE = re.compile(r"^application/json\s*(;\s*charset=\"?utf-8\"?\s*)?$", re.IGNORECASE)
NO_TEXT = re.compile("[\x00\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


async def read_body(request: Request, limit: int) -> bytes:
    """The raw body. Raises UNSUPPORTED_MEDIA_TYPE or BODY_TOO_LARGE."""
    if not _MEDIA_TYPE.match(request.headers.get("content-type", "")):
        raise Problem("UNSUPPORTED_MEDIA_TYPE")
    unencoded(request)
    announced = request.headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > limit:
        raise Problem("BODY_TOO_LARGE", f"at most {limit} bytes", headers={"Connection": "close"})
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Problem("BODY_TOO_LARGE", f"at most {limit} bytes", headers={"Connection": "close"})
    return bytes(body)


def unencoded(request: Request) -> None:
    """Raises UNSUPPORTED_MEDIA_TYPE for a body that was compressed on the way."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem("UNSUPPORTED_MEDIA_TYPE", "send the body without Content-Encoding")


def parse_body(raw: bytes, model: type[M]) -> M:
    """The validated body. Raises MALFORMED_JSON or VALIDATION_FAILED."""
    _police(raw)
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise validation_problem(error) from None


def fingerprint(key: bytes, method: str, path: str, raw: bytes) -> bytes:
    """What makes a request the same request: method, path and the JSON it carries, not how that was spaced.

    Keyed, because it is kept for ever: a plain hash of a body would confirm a guessed telephone number.
    """
    body = orjson.dumps(orjson.loads(raw), option=orjson.OPT_SORT_KEYS) if raw else b""
    return hmac.digest(key, f"{method} {path}\n".encode() + body, sha256)


def _police(raw: bytes) -> None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Problem("MALFORMED_JSON", "the body is not UTF-8") from None
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer
        )
    except RecursionError:
        raise Problem("MALFORMED_JSON", f"nested deeper than {DEEPEST}") from None
    except json.JSONDecodeError as error:
        raise Problem("MALFORMED_JSON", f"{error.msg} at character {error.pos}") from None
    if raw.count(b"{") + raw.count(b"[") > DEEPEST and _depth(value) > DEEPEST:
        raise Problem("MALFORMED_JSON", f"nested deeper than {DEEPEST}")
    _refuse_bad_values(value, ())


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Problem("MALFORMED_JSON", "a member occurs twice in one object")
    return members


class _BadNumber(str):
    """Stands where a number stood that JSON or we do not allow; the walk that follows says where."""


def _constant(_: str) -> _BadNumber:
    return _BadNumber("NaN and Infinity are not JSON")


def _float(text: str) -> float | _BadNumber:
    value = float(text)
    return _BadNumber("a number is too large") if value in (float("inf"), float("-inf")) else value


def _integer(text: str) -> int | _BadNumber:
    if len(text) > 17 or abs(int(text)) > LARGEST_INTEGER:
        return _BadNumber("a number is beyond 2^53")
    return int(text)


def _depth(value: Any) -> int:
    deepest, todo = 0, [(value, 1)]
    while todo:
        current, depth = todo.pop()
        if isinstance(current, dict | list):
            deepest = max(deepest, depth)
            todo.extend((inner, depth + 1) for inner in (current.values() if isinstance(current, dict) else current))
    return deepest


def _refuse_bad_values(value: Any, where: tuple[str | int, ...]) -> None:
    match value:
        case _BadNumber():
            raise _pointed_at(where, str(value))
        case str():
            if NO_TEXT.search(value):
                raise _pointed_at(where, "contains a character that is not text (NUL, surrogate or non-character)")
        case dict():
            for name, inner in value.items():
                _refuse_bad_values(name, where)
                _refuse_bad_values(inner, (*where, name))
        case list():
            for index, inner in enumerate(value):
                _refuse_bad_values(inner, (*where, index))


def _pointed_at(where: tuple[str | int, ...], message: str) -> Problem:
    return Problem("VALIDATION_FAILED", errors=[{"pointer": pointer(where), "message": message}])
