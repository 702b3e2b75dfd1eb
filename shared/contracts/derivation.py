"""How a due time came about, in parts that are enough to compute it again by hand. Regulation Art 13."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from shared.contracts.codes import Urgency
from shared.contracts.envelope import Instant


class Derivation(BaseModel):
    """How a due time came about: the parts are enough to compute it again by hand.

    `category`: where its own limit applies and not that of the tier. `provisional`: official working days of that time
    are not known yet; a correction follows when they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    tier: Urgency
    limit: str
    calendar: Literal["NATURAL", "WORKING"]
    clock_start: Literal["DISPATCH"]
    started_at: Instant
    policy: str
    source: str
    category: str | None = None
    calendar_version: str | None = None
    provisional: bool = False
