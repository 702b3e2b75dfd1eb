"""An assessment policy: drafted once, activated once, and every figure of it checked before either."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from services.scoring_service.founding import shipped
from services.scoring_service.policy import POLICY, ActivatePolicy, DraftPolicy, Policy, read_policy
from shared.contracts.codes import Satisfaction
from shared.contracts.envelope import BEIJING, Payload
from shared.contracts.scoring import PolicyActivated, PolicyDrafted
from shared.engine.decider import Command
from tests.support.spec import given
from tests.unit.pairs import NOT_YOURS, every_pair, outcome

AT = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)


def document(**changes: Any) -> dict[str, Any]:
    return dict(shipped()["BJ-HR-2025"]) | changes


DRAFT = DraftPolicy(at=AT, version="BJ-HR-2025", document=document())
ACTIVATE = ActivatePolicy(at=AT, version="BJ-HR-2025", effective_from=AT)
DRAFTED = PolicyDrafted(policy_version="BJ-HR-2025", document=document())
ACTIVATED = PolicyActivated(policy_version="BJ-HR-2025", effective_from=AT)


def test_a_policy_is_written_down_as_it_was_given() -> None:
    given(POLICY).when(DRAFT).then(DRAFTED)


def test_a_drafted_policy_comes_into_force() -> None:
    given(POLICY, DRAFTED).when(ACTIVATE).then(ACTIVATED)


HISTORIES: dict[str, tuple[Payload, ...]] = {"missing": (), "drafted": (DRAFTED,), "active": (DRAFTED, ACTIVATED)}
EXPECTED = {
    "missing": {"draft": "PolicyDrafted", "activate": NOT_YOURS},
    "drafted": {"draft": "POLICY_VERSION_EXISTS", "activate": "PolicyActivated"},
    "active": {"draft": "POLICY_VERSION_EXISTS", "activate": "POLICY_ACTIVE"},
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_command_in_every_state_of_a_policy_is_settled(state: str, command: str, follows: str) -> None:
    commands: dict[str, Command] = {"draft": DRAFT, "activate": ACTIVATE}
    assert outcome(POLICY, HISTORIES[state], commands[command]) == follows


def test_an_unknown_command_is_a_mistake_in_the_programme() -> None:
    with pytest.raises(TypeError):
        POLICY.decide(Command(at=AT), POLICY.initial)


def test_the_shipped_policy_is_the_sourced_one() -> None:
    policy = read_policy(document())
    tenths = {"response": Decimal("0.10"), "resolution": Decimal("0.50"), "satisfaction": Decimal("0.40")}
    assert policy.weights == tenths
    assert policy.levels == {
        Satisfaction.SATISFIED: Decimal(1),
        Satisfaction.BASICALLY_SATISFIED: Decimal("0.9"),
        Satisfaction.DISSATISFIED: Decimal(0),
        Satisfaction.NOT_STATED: Decimal(0),
    }
    assert (policy.period_start_day, policy.report_day_start_hour, policy.counted_round) == (19, 12, "LAST")
    assert (policy.minimum_sample, policy.rounding.places, policy.rounding.mode) == (1, 1, "HALF_UP")


def weights(response: Any, resolution: Any = "0.50", satisfaction: Any = "0.40") -> dict[str, Any]:
    return {"response": response, "resolution": resolution, "satisfaction": satisfaction}


LEVELS: dict[str, Any] = document()["levels"]


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": weights("0.11")},
        {"weights": weights("0.09")},
        {"weights": weights(0.1)},
        {"weights": weights("-0.10", "0.70")},
        {"weights": weights("1e-1")},
        {"weights": weights("NaN")},
        {"weights": weights("")},
        {"weights": {"resolution": "0.50", "satisfaction": "0.50"}},
        {"weights": weights("0.10") | {"speed": "0"}},
        {"levels": LEVELS | {"SATISFIED": "1.1"}},
        *(
            {"levels": LEVELS | {"SATISFIED": bad}}
            for bad in ("01", ".5", "0.", "0.5 ", "+1", "1\n", "٠", "0." + "1" * 11)
        ),
        {"levels": {name: value for name, value in LEVELS.items() if name != "NOT_STATED"}},
        {"levels": LEVELS | {"DELIGHTED": "1"}},
        {"denominator": "ALL"},
        {"period_start_day": 0},
        {"period_start_day": 29},
        {"report_day_start_hour": 24},
        {"counted_round": "BEST"},
        {"minimum_sample": 0},
        {"rounding": {"places": 7, "mode": "HALF_UP"}},
        {"rounding": {"places": 1, "mode": "DOWN"}},
        {"tie_break": ["name_asc"]},
        {"version": "含空格 v1"},
        {"version": ""},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_policy_with_a_wrong_figure_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read_policy(document(**changes))


NEEDED = [name for name, field in Policy.model_fields.items() if field.is_required()]
"""What the first policies had; a document of then is still read as it was meant."""


@pytest.mark.parametrize("missing", NEEDED)
def test_a_policy_must_be_whole(missing: str) -> None:
    partial = document()
    del partial[missing]
    with pytest.raises(ValidationError):
        read_policy(partial)


def test_a_document_of_the_first_days_means_what_it_meant() -> None:
    old = read_policy({name: value for name, value in document().items() if name in NEEDED})
    assert (old.ranking.minimum, old.districts, old.incentives, old.exclusions.grounds) == (1, "OWN", (), {})
    assert (old.aggregation, old.response, old.labels) == ("MEAN_OF_UNITS", "CALLBACK", None)


def test_a_figure_in_superscript_is_refused_and_not_a_crash() -> None:
    with pytest.raises(ValidationError):
        read_policy(document(weights=weights("²")))


@pytest.mark.parametrize("changes", [{"minimum_sample": 30.0}, {"period_start_day": "19"}, {"period_start_day": True}])
def test_a_number_that_is_not_an_integer_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read_policy(document(**changes))


def test_a_figure_has_up_to_ten_places() -> None:
    levels = read_policy(document(levels=LEVELS | {"NOT_STATED": "0.1234567891"})).levels
    assert levels[Satisfaction.NOT_STATED] == Decimal("0.1234567891")


def test_who_is_more_satisfied_counts_at_least_as_much() -> None:
    with pytest.raises(ValidationError, match="satisfied counts"):
        read_policy(document(levels=LEVELS | {"SATISFIED": "0.5"}))


def test_weights_that_miss_one_by_very_little_are_refused() -> None:
    with pytest.raises(ValidationError):
        read_policy(document(weights=weights("0.10" + "0" * 30 + "1")))
