"""What reads answer beside JSON, said where the route is: FastAPI writes it into the document."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from shared.web.problems import PROBLEM_TYPE
from shared.web.tables import XLSX

HTML = "text/html"


class Octets(Response):
    """The `response_class` of a read that answers bytes and nothing else."""

    media_type = "application/octet-stream"


class Workbook(Response):
    """The `response_class` of a read that answers a spreadsheet."""

    media_type = XLSX


class AnyFile(Response):
    """The `response_class` of a read that answers what somebody sent in."""

    media_type = "*/*"


def also(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a read that answers these as well, if `Accept` asks for it."""
    return {200: {"content": {media_type: {} for media_type in media_types}}}


def page_or_problem() -> dict[int | str, dict[str, Any]]:
    """The `responses` of a read that is a page for a browser, also where it leads nowhere."""
    nowhere: dict[str, Any] = {HTML: {}, PROBLEM_TYPE: {}}
    return also(HTML) | {404: {"description": "The link leads to nothing.", "content": nowhere}}
