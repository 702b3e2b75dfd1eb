"""An assessment policy: every figure that makes a score, as versioned data, validated before it can be activated."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.contracts.codes import Satisfaction
from shared.contracts.envelope import Payload
from shared.contracts.scoring import PolicyActivated, PolicyDrafted
from shared.engine.decider import Command, Decider, NotYours, Refused

_FIGURE = re.compile(r"(?:0|1)(?:\.[0-9]{1,10})?")


def _decimal_text(value: Any) -> Decimal:
    if not isinstance(value, str) or not _FIGURE.fullmatch(value):
        raise ValueError('write figures from 0 to 1 as decimal strings, e.g. "0.40"')
    return Decimal(value)


Figure = Annotated[Decimal, BeforeValidator(_decimal_text), Field(ge=0, le=1, strict=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Weights(_Part):
    """What each rate counts in the composite. They sum to 1."""

    response: Figure
    resolution: Figure
    satisfaction: Figure

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        if self.response + self.resolution + self.satisfaction != 1:
            raise ValueError("the weights must sum to 1")
        return self


class Rounding(_Part):
    """How a composite is shown, and ranked."""

    places: Annotated[int, Field(ge=0, le=6)]
    mode: Literal["HALF_UP", "HALF_EVEN"]


class Policy(_Part):
    """One version. `levels`: how much each answer counts as satisfied."""

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    name: Annotated[str, Field(max_length=200)] = ""
    source: Annotated[str, Field(max_length=500)]
    weights: Weights
    levels: dict[Satisfaction, Figure]
    denominator: Literal["VALID_CALLBACKS"]
    period_start_day: Annotated[int, Field(ge=1, le=28)]
    report_day_start_hour: Annotated[int, Field(ge=0, le=23)]
    counted_round: Literal["FIRST", "LAST"]
    minimum_sample: Annotated[int, Field(ge=1, le=100_000)]
    rounding: Rounding
    tie_break: tuple[Literal["received_desc", "unit_id_asc"], ...]

    @model_validator(mode="after")
    def _every_level(self) -> Self:
        if missing := set(Satisfaction) - set(self.levels):
            raise ValueError(f"levels lacks {', '.join(sorted(missing))}")
        return self


def read_policy(document: dict[str, Any]) -> Policy:
    """The policy that a JSON document describes. Raises pydantic's ValidationError."""
    return Policy.model_validate_json(json.dumps(document))


@dataclass(frozen=True)
class PolicyLife:
    """Where a version stands."""

    state: str = "MISSING"


@dataclass(frozen=True, kw_only=True)
class DraftPolicy(Command):
    """Write a policy down. `document` is the policy as it was given, already validated."""

    version: str
    document: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ActivatePolicy(Command):
    """Let it come into force."""

    version: str
    effective_from: datetime


def decide(command: Command, policy: PolicyLife) -> Sequence[Payload]:
    match command:
        case DraftPolicy():
            if policy.state != "MISSING":
                raise Refused("POLICY_VERSION_EXISTS", "this version exists; draft the change under a new one")
            return [PolicyDrafted(policy_version=command.version, document=command.document)]
        case ActivatePolicy():
            if policy.state == "MISSING":
                raise NotYours
            if policy.state == "ACTIVE":
                raise Refused("POLICY_ACTIVE", "this version has already been activated")
            return [PolicyActivated(policy_version=command.version, effective_from=command.effective_from)]
    raise TypeError(command)


def evolve(policy: PolicyLife, event: Payload) -> PolicyLife:
    match event:
        case PolicyDrafted():
            return PolicyLife("DRAFTED")
        case PolicyActivated():
            return PolicyLife("ACTIVE")
    return policy


POLICY = Decider("policy", PolicyLife(), decide, evolve)
