"""Field types that request models share: texts, times, codes, each with the limits that the contract gives."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

from shared.engine.clock import cut

_RFC3339 = re.compile(
    r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$"
)
EARLIEST_YEAR, LATEST_YEAR = 1900, 2200


class Body(BaseModel):
    """A request body: strict, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_strip_whitespace=False)


def _moment(value: Any) -> datetime:
    if not isinstance(value, str) or not _RFC3339.match(value):
        raise ValueError("must be an RFC 3339 time with an offset, e.g. 2026-11-23T08:00:00+08:00")
    with suppress(ValueError, OverflowError):  # no such day, or none that fits: told below like a year too far
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value.upper()))
        if EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
            return cut(moment)
    raise ValueError(f"must be a real date of the years {EARLIEST_YEAR} to {LATEST_YEAR}")


Moment = Annotated[datetime, BeforeValidator(_moment)]
"""A point in time; answered in +08:00, milliseconds."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=10_000, pattern=r"\S")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"\S")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"\S")]
Code = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+$")]
DivisionCode = Annotated[str, StringConstraints(pattern=r"^[0-9]{6,12}$")]
Uuid = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
]
