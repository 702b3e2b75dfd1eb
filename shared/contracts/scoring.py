"""What scoring can say has happened: a life was assessed, and by which rules lives are assessed."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from shared.contracts.codes import Basis, League, Satisfaction, UnitType
from shared.contracts.envelope import Instant, Payload, Personal, ServiceName


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


class ExclusionClaimed(_Scoring):
    """剔除: the unit says on which ground an appeal should not be assessed, and shows why. TOLERANCE: 容错, Art 36.

    `by` is the account, never a name: whoever has had a hand in a claim does not decide about it. `scored`: every unit
    that the appeal counts for; none of them decides either.
    """

    exclusion_id: str
    unit_id: str
    district: str | None = None
    scored: tuple[str, ...] = ()
    ground: str
    kind: Literal["EXCLUSION", "TOLERANCE"]
    evidence: Personal
    files: tuple[int, ...] = ()
    decide_by: Instant
    period: str
    policy_version: str
    by: str


class ExclusionApproved(_Scoring):
    """Somebody of another organisation agrees. `instance`: 1, or 2 after an appeal (考核申诉)."""

    exclusion_id: str
    unit_id: str
    ground: str
    kind: Literal["EXCLUSION", "TOLERANCE"]
    instance: int
    reason: Personal | None = None
    by: str


class ExclusionRejected(_Scoring):
    """查否. The unit may appeal once, until `appeal_until`."""

    exclusion_id: str
    unit_id: str
    ground: str
    instance: int
    reason: Personal
    appeal_until: Instant | None = None
    by: str


class ExclusionAppealed(_Scoring):
    """考核申诉: the unit does not agree with the refusal; another person decides."""

    exclusion_id: str
    unit_id: str
    argument: Personal
    decide_by: Instant
    by: str


class ExclusionLapsed(_Scoring):
    """Nobody decided in time: the appeal stays assessed."""

    exclusion_id: str
    unit_id: str
    decide_by: Instant


class CreditGranted(_Scoring):
    """激励, Art 32: a unit is credited for proactive governance or a hard case. What it is worth is policy."""

    credit_id: str
    unit_id: str
    kind: Literal["PROACTIVE", "HARD_CASE"]
    period: str
    decision: str
    appeals: tuple[str, ...] = ()


class CreditWithdrawn(_Scoring):
    """It should not have been given."""

    credit_id: str
    unit_id: str
    decision: str


class GovernanceEntered(_Scoring):
    """治理类: the city watches over this unit's improvement. A managed list, not the end of a table."""

    unit_id: str
    decision: str


class GovernanceLeft(_Scoring):
    """The unit is off the list."""

    unit_id: str
    decision: str


class Figures(BaseModel):
    """The counts of one basis: unit, name and numbers, in the order of the event's `columns`.

    `before`: unit, composite and rank in the period before; `expected`: see the league table. Both are needed for what
    is shown beside the scores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    basis: Basis
    units: tuple[tuple[str, str, tuple[int, ...]], ...]
    before: tuple[tuple[str, str, int | None], ...] = ()
    expected: dict[str, str]


class _Published(_Scoring):
    """A league's counts as published. `digest`: SHA-256 of them; `note`: it, signed (C2SP signed note, Ed25519)."""

    period: str
    league: League
    policy_version: str
    starts_at: Instant
    ends_at: Instant
    as_of: Instant
    columns: tuple[str, ...]
    figures: tuple[Figures, ...]
    governed: tuple[str, ...] = ()
    digest: str
    note: str


class PeriodClosed(_Published):
    """关账: what the log said at `as_of` is published. Nothing changes it afterwards."""


class Cause(BaseModel):
    """An appeal that counts otherwise than it did, with the events since that made it so; or a unit's credit."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    appeal_id: str | None = None
    events: tuple[str, ...] = ()
    unit_id: str | None = None
    credit_id: str | None = None


class PeriodRestated(_Published):
    """Later facts gave other figures; they stand beside the ones before (`replaces`), with their causes."""

    number: int
    replaces: str
    causes: tuple[Cause, ...]
    causes_in_all: int
