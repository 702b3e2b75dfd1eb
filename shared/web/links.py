"""OpenAPI links: what an answer names, other operations take.

They are derived, so that a new operation has its own: what a collection's POST answers or its list shows leads to the
operations below the collection, and a command leads to the reads of the thing that it was about; after a write with the
position from which the answer must be fresh.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared.web.preconditions import IF_POSITION, POSITION
from shared.web.tracking import TRACKING_CODE

_FRESH = {f"header.{IF_POSITION}": f"$response.header.{POSITION}"}
_STANDS = {
    ("post", "/v1/webhooks/{webhook_id}"): "$response.body#/id",
    ("get", "/v1/webhooks/{webhook_id}"): "$response.body#/items/0/id",
    ("post", "/v1/catalogue/versions/{version}"): "$request.body#/version",
    ("post", "/v1/policies/{version}"): "$request.body#/document/version",
    ("post", "/v1/models/{version}"): "$response.body#/model_version",
    ("post", "/v1/api-keys/{client}"): "$request.body#/client",
    ("get", "/v1/leads/{subject}"): "$response.body#/items/0/lead",
}
"""Where a thing stands that is not called what the parameter is called."""
_BESIDE = {"/v1/appeals": "/v1/track/{ticket_no}"}
_SHOWN_ONCE = {f"header.{TRACKING_CODE}": "$response.body#/tracking_code"}
"""Registering also leads to what the resident may do."""
Paths = Mapping[str, Mapping[str, Any]]


def link(paths: Paths) -> None:
    """Add the links to every operation."""
    for path, operations in paths.items():
        for method, operation in operations.items():
            done = next((body for status, body in operation["responses"].items() if status.startswith("2")), None)
            links = dict(_links(paths, path, method, operation))
            if done is not None and links:
                done["links"] = links


def _links(paths: Paths, path: str, method: str, operation: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for below, given in _found(path, method, paths):
        for target, operations in paths.items():
            if (target == below or target.startswith(f"{below}/")) and _takes_no_more(target, given):
                for how, one in operations.items():
                    if one is not operation and (how == "get" or "{" not in path):
                        yield one["operationId"], {"operationId": one["operationId"], "parameters": dict(given)}


def _found(path: str, method: str, paths: Paths) -> Iterator[tuple[str, Mapping[str, str]]]:
    """What it leads to, and where the parameters of that stand."""
    fresh = {} if method == "get" else _FRESH
    if method != "get" and (item := re.match(r"^(.*?/{(\w+)})", path)):
        yield item[1], {item[2]: f"$request.path.{item[2]}"} | fresh
    for below in {found[0] for other in paths if (found := re.match(rf"^{re.escape(path)}/{{\w+}}", other))}:
        name = below.rpartition("{")[2].rstrip("}")
        stands = f"$response.body#/{'items/0/' if method == 'get' else ''}{name}"
        yield below, {name: _STANDS.get((method, below), stands)} | fresh
    if method == "post" and path in _BESIDE:
        yield _BESIDE[path], {"ticket_no": "$response.body#/ticket_no"} | _SHOWN_ONCE | fresh


def _takes_no_more(path: str, given: Mapping[str, str]) -> bool:
    return set(re.findall(r"{(\w+)}", path)) <= given.keys()
