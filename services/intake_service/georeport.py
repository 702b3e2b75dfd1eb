"""Open311 GeoReport v2, as far as it is about form: what an answer is called and how it looks in XML and in JSON.

Specification: wiki.open311.org/GeoReport_v2. The extensions `page`, `page_size`, `updated_after` and `updated_before`
are those that other servers have in the wild.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import orjson
from starlette.responses import Response

_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ITEMS = {
    "discovery": "",
    "endpoints": "endpoint",
    "formats": "format",
    "services": "service",
    "attributes": "attribute",
    "values": "value",
    "service_requests": "request",
    "errors": "error",
}


class Refusal(Exception):
    """An error as GeoReport has it: a status, and a sentence for whoever wrote the client."""

    def __init__(self, status: int, description: str) -> None:
        super().__init__(description)
        self.status, self.description = status, description


@dataclass(frozen=True)
class Format:
    """One of the two, by the end of the path."""

    name: str
    media_type: str

    def answer(self, root: str, value: Any, status: int = 200) -> Response:
        """A list becomes <root><item>…, an object <root>…; JSON has no root."""
        if self.name == "json":
            return Response(orjson.dumps(value), status, media_type=self.media_type)
        body = ElementTree.tostring(_element(root, value), encoding="utf-8", xml_declaration=True)
        return Response(body, status, media_type=self.media_type)

    def refuse(self, refusal: Refusal) -> Response:
        """The `errors` document."""
        errors = [{"code": refusal.status, "description": refusal.description}]
        return self.answer("errors", errors, refusal.status)


FORMATS = {
    "xml": Format("xml", "text/xml; charset=utf-8"),
    "json": Format("json", "application/json; charset=utf-8"),
}


def _element(name: str, value: Any) -> ElementTree.Element:
    element = ElementTree.Element(name)
    if isinstance(value, Mapping):
        element.extend(_element(str(key), inner) for key, inner in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        element.extend(_element(_ITEMS[name], inner) for inner in value)
    elif value is not None:
        element.text = str(value).lower() if isinstance(value, bool) else _NO_XML.sub("", str(value))
    return element
