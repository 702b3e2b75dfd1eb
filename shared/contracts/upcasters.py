"""Old payloads become current ones here, at the log's read edge and nowhere else.

An upcaster is a pure function dict -> dict for one (event name, version). When an event changes its shape, its class
gets VERSION + 1 and the step from the old shape is registered in STEPS; stored bytes are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from shared.contracts.catalogue import CATALOGUE
from shared.contracts.envelope import Payload

STEPS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Old type string -> step that gives the payload of the next version."""


class UnknownEvent(LookupError):
    """No event of this name is in the catalogue: written by a newer neighbour, safe to skip."""


class UnknownVersion(LookupError):
    """The event is known, this version of it is not: it must wait until we can read it."""


_VERSIONED = re.compile(r"^(?P<name>.+)\.v(?P<version>[1-9][0-9]*)$")
_KNOWN_NAMES = {type_.rpartition(".v")[0] for type_ in CATALOGUE}


def current(type_: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The newest type string and payload for a stored event."""
    while type_ not in CATALOGUE:
        if (step := STEPS.get(type_)) is None:
            raise _unreadable(type_)
        data, type_ = step(data), _next_version(type_)
    return type_, data


def payload_of(type_: str, data: dict[str, Any]) -> Payload:
    """The typed payload; raises UnknownEvent, UnknownVersion or pydantic's ValidationError."""
    newest, upcast = current(type_, data)
    return CATALOGUE[newest].payload.model_validate(upcast, extra="ignore")


def _next_version(type_: str) -> str:
    name, _, version = type_.rpartition(".v")
    return f"{name}.v{int(version) + 1}"


def _unreadable(type_: str) -> LookupError:
    match = _VERSIONED.match(type_)
    if match and match["name"] in _KNOWN_NAMES:
        return UnknownVersion(type_)
    return UnknownEvent(type_)
