"""Pages for people: plain HTML that works without script, in Chinese or English, loading nothing else."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from shared.contracts.codes import Language

_TAG = re.compile(r"\s*([A-Za-z]{2,3})[^,;]*(?:;\s*[qQ]=([01](?:\.\d{0,3})?))?\s*")


def wants_page(request: Request) -> bool:
    """Whether it is a browser that asks."""
    return "text/html" in request.headers.get("accept", "")


def language_of(request: Request) -> Language:
    """The better liked of the two languages we have; Chinese where neither is named (RFC 9110, 12.5.4)."""
    liked = {Language.ZH: 0.0, Language.EN: 0.0}
    for part in request.headers.get("accept-language", "")[:500].split(","):
        if (found := _TAG.fullmatch(part)) and found[1].lower() in liked:
            language = Language(found[1].lower())
            liked[language] = max(liked[language], min(float(found[2] or 1), 1))
    return Language.EN if liked[Language.EN] > liked[Language.ZH] else Language.ZH


@dataclass(frozen=True)
class Pages:
    """The templates of one folder, with its `style.css`, and `words`: what they say, by language."""

    folder: Path
    words: Callable[[], Mapping[str, Mapping[str, Any]]]

    @cached_property
    def style(self) -> str:
        return (self.folder / "style.css").read_text(encoding="utf-8")

    @cached_property
    def _policy(self) -> str:
        style = b64encode(sha256(self.style.encode()).digest()).decode()
        rules = ("default-src 'none'", f"style-src 'sha256-{style}'", "form-action 'self'", "base-uri 'none'")
        return "; ".join((*rules, "frame-ancestors 'none'"))

    @cached_property
    def _environment(self) -> Environment:
        loader = FileSystemLoader(self.folder)
        return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)

    def shown(self, name: str, request: Request, seen: Mapping[str, Any], status: int = 200) -> Response:
        """One page. `?said=` is how sending its form went."""
        language = language_of(request)
        said = request.query_params.get("said", "")
        template = self._environment.get_template(f"{name}.html")
        html = template.render(t=self.words()[language], lang=str(language), style=self.style, seen=seen, said=said)
        headers = {"Content-Security-Policy": self._policy, "Cache-Control": "no-store"}
        return HTMLResponse(html, status, headers | {"Vary": "Accept, Accept-Language"})
