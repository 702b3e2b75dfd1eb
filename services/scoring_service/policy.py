"""An assessment policy: every figure that makes a score, as versioned data, validated before it can be activated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from services.scoring_service.policy_parts import (
    MOST,
    Band,
    Exclusions,
    Figure,
    Incentive,
    Interval,
    Labels,
    Part,
    Points,
    Publishing,
    Ranking,
    Rate,
    RateName,
    Rounding,
    WeightChange,
    Weights,
    no_overlap,
    whole,
)
from shared.contracts.codes import League, Satisfaction
from shared.contracts.envelope import Payload
from shared.contracts.scoring import PolicyActivated, PolicyDrafted
from shared.engine.decider import Command, Decider, NotYours, Refused

THREE = ("response", "resolution", "satisfaction")
"""三率; every policy has them, whether or not they weigh anything."""
TAKEN = ("expected_resolution",)
"""Also a column of every table."""
_STATED = {"response": "contact_stated", "resolution": "resolution_stated", "satisfaction": "satisfaction_stated"}
_LEVELS = {
    Satisfaction.SATISFIED: "satisfied",
    Satisfaction.BASICALLY_SATISFIED: "basically_satisfied",
    Satisfaction.DISSATISFIED: "dissatisfied",
    Satisfaction.NOT_STATED: "not_stated",
}


class Policy(Part):
    """One version. `levels`: how much each answer counts as satisfied. STATED divides by those who answered."""

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    name: Annotated[str, Field(max_length=200)] = ""
    source: Annotated[str, Field(max_length=500)]
    weights: Weights
    weight_changes: Annotated[tuple[WeightChange, ...], Field(max_length=MOST), AfterValidator(no_overlap)] = ()
    levels: dict[Satisfaction, Figure]
    denominator: Literal["VALID_CALLBACKS", "STATED"]
    response: Literal["CALLBACK", "FIRST_CONTACT"] = "CALLBACK"
    rates: Annotated[dict[RateName, Rate], Field(max_length=MOST)] = Field(default_factory=dict)
    period_start_day: Annotated[int, Field(ge=1, le=28)]
    report_day_start_hour: Literal[0, 12]
    counted_round: Literal["FIRST", "LAST"]
    minimum_sample: Annotated[int, Field(ge=1, le=100_000)]
    rounding: Rounding
    tie_break: tuple[Literal["received_desc", "unit_id_asc"], ...]
    ranking: Ranking = Ranking()
    aggregation: Literal["MEAN_OF_UNITS", "POOLED"] = "MEAN_OF_UNITS"
    districts: Literal["ROLL_UP", "OWN"] = "OWN"
    bands: Annotated[tuple[Band, ...], Field(max_length=MOST), AfterValidator(whole)] = ()
    labels: Labels | None = None
    exclusions: Exclusions = Exclusions()
    incentives: Annotated[tuple[Incentive, ...], Field(max_length=MOST)] = ()
    most_points: Points = Decimal(0)
    publishing: Publishing = Publishing()
    interval: Interval = Interval()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if missing := set(Satisfaction) - set(self.levels):
            raise ValueError(f"levels lacks {', '.join(sorted(missing))}")
        in_order = [self.levels[level] for level in _LEVELS if level is not Satisfaction.NOT_STATED]
        if in_order != sorted(in_order, reverse=True):
            raise ValueError(
                "levels: satisfied counts at least as much as basically satisfied, and that as dissatisfied"
            )
        if taken := set(self.rates) & {*THREE, *TAKEN}:
            raise ValueError(f"{', '.join(sorted(taken))} is a rate that every table has; give yours another name")
        every = [self.weights, *(change.weights for change in self.weight_changes)]
        if unknown := {name for weights in every for name in weights} - self.every_rate.keys():
            raise ValueError(f"weights names {', '.join(sorted(unknown))}, which is no rate here")
        if not self.rates and any(set(weights) != set(THREE) for weights in every):
            raise ValueError(f"weights names {', '.join(THREE)}, each of them")
        if self.ranking.mode == "BANDS" and not self.bands:
            raise ValueError("a policy that grades by bands needs bands")
        if len({one.id for one in self.incentives}) < len(self.incentives):
            raise ValueError("two incentives have the same id")
        return self

    @cached_property
    def every_rate(self) -> Mapping[str, Rate]:
        """The three and the policy's own, by name."""
        over = _STATED if self.denominator == "STATED" else dict.fromkeys(THREE, "valid_callbacks")
        content = {_LEVELS[level]: figure for level, figure in self.levels.items()}
        response = Rate(of={"contacted": Decimal(1)}, over=over["response"])
        if self.response == "FIRST_CONTACT":
            response = Rate(of={"contacted_in_time": Decimal(1)}, over="received")
        resolution = Rate(of={"resolved": Decimal(1)}, over=over["resolution"])
        satisfaction = Rate(of=content, over=over["satisfaction"])
        return dict(zip(THREE, (response, resolution, satisfaction), strict=True)) | self.rates

    def weights_for(self, league: League | None, period: str | None) -> Mapping[str, Decimal]:
        """What each rate weighs in a league and period."""
        if period is not None:
            for change in self.weight_changes:
                if change.covers(league, period):
                    return change.weights
        return self.weights


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
