"""What scoring can say has happened: a life was assessed, and by which rules lives are assessed."""

from __future__ import annotations

from typing import Any, ClassVar

from shared.contracts.codes import Satisfaction, UnitType
from shared.contracts.envelope import Instant, Payload, ServiceName


class _Scoring(Payload):
    OF: ClassVar[ServiceName] = "scoring"


class AssessmentRecorded(_Scoring):
    """One round of one appeal, as a callback left it. Which rounds count is for the policy to say."""

    ticket_no: str
    unit_id: str
    unit_type: UnitType
    cc_district: str | None = None
    registered_at: Instant
    round: int
    valid: bool
    contacted: bool | None = None
    resolved: bool | None = None
    satisfaction: Satisfaction
    final: bool


class PolicyDrafted(_Scoring):
    """An assessment policy was written down. `document` is the policy as data; figures are decimal strings."""

    policy_version: str
    document: dict[str, Any]


class PolicyActivated(_Scoring):
    """A drafted policy came into force."""

    policy_version: str
    effective_from: Instant
