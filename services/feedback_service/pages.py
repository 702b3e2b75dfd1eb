"""The residents' pages: plain HTML that works without script, in Chinese or English, loading nothing else."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from services.feedback_service.policy import read_table
from shared.contracts.codes import Language

PAGES = Path(__file__).parent / "pages"
STYLE = (PAGES / "style.css").read_text(encoding="utf-8")
_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
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


def shown(name: str, request: Request, seen: Mapping[str, Any], status: int = 200) -> Response:
    """One page. `?said=` is how sending its form went."""
    language = language_of(request)
    said = request.query_params.get("said", "")
    html = (
        _environment()
        .get_template(f"{name}.html")
        .render(t=_words()[language], lang=str(language), style=STYLE, seen=seen, said=said)
    )
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store", "Vary": "Accept, Accept-Language"}
    return HTMLResponse(html, status, headers)


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)


@cache
def _words() -> Mapping[Language, Mapping[str, Any]]:
    table = read_table("pages.toml")
    return {language: table[language] for language in Language}
