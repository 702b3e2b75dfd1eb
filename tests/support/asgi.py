"""One request to an ASGI application, without a socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp


@dataclass
class Got:
    """Its answer."""

    status: int
    headers: dict[str, str]
    text: str


async def ask(app: ASGIApp, method: str, path: str, body: bytes = b"", query: str = "") -> Got:
    """Send a request whole, and take the whole answer."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": []}
    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Got(sent[0]["status"], headers, b"".join(one.get("body", b"") for one in sent[1:]).decode())
