"""Which classifier is in force: stored once, activated by version, rolled back to the one before, or to none."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from hashlib import sha256

import pytest

from services.routing_service.model import MODELS, Activate, Models, RollBack, Store, object_of, version_of
from shared.contracts.duties import ClassifierActivated, ClassifierRolledBack, ClassifierStored
from shared.contracts.envelope import BEIJING, Payload
from shared.engine.decider import Command, NotYours
from tests.support.spec import given
from tests.unit.pairs import NOT_YOURS, NOTHING, every_pair, outcome

AT = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)
BACK = RollBack(at=AT, reason="误派增多")


LEAST = Decimal("0.50")


def stored(file: str) -> ClassifierStored:
    digest = sha256(file.encode()).hexdigest()
    measures = {"accuracy": "0.8512", "macro_f1": "0.7900"}
    known = {"bytes": 10, "categories": ("供水", "供暖"), "data": "0" * 64, "rows": 900, "measures": measures}
    return ClassifierStored(model_version=version_of(digest), sha256=digest, **known)


FIRST, SECOND, THIRD = stored("first"), stored("second"), stored("third")
ALL = (FIRST, SECOND, THIRD)


def store(facts: ClassifierStored) -> Store:
    return Store(at=AT, facts=facts)


def activate(model: ClassifierStored) -> Activate:
    return Activate(at=AT, version=model.model_version, least_macro_f1=LEAST)


def active(model: ClassifierStored, previous: ClassifierStored | None = None) -> ClassifierActivated:
    return ClassifierActivated(model_version=model.model_version, previous=previous.model_version if previous else None)


def gone(model: ClassifierStored, to: ClassifierStored | None = None) -> ClassifierRolledBack:
    return ClassifierRolledBack(
        model_version=model.model_version, to=to.model_version if to else None, reason="误派增多"
    )


def test_a_model_is_called_by_its_content_and_kept_under_it() -> None:
    digest = sha256(b"first").hexdigest()
    assert version_of(digest) == f"clf-{digest[:12]}" == FIRST.model_version
    assert version_of(digest) != version_of(sha256(b"second").hexdigest())
    assert object_of(digest) == f"models/{digest}"


def test_at_first_the_rules_alone_serve() -> None:
    assert (MODELS.initial.state, MODELS.initial.stored, MODELS.initial.history) == ("NONE", {}, ())


def test_a_model_is_stored_once_and_is_not_in_force_by_that() -> None:
    spec = given(MODELS).when(store(FIRST))
    spec.then(FIRST)
    assert spec.state_after() == Models({FIRST.model_version: FIRST})
    assert spec.state_after().state == "NONE"
    given(MODELS, FIRST).when(store(FIRST)).then()
    given(MODELS, FIRST).when(store(FIRST.model_copy(update={"rows": 901}))).then()
    given(MODELS, FIRST).when(store(SECOND)).then(SECOND)


def test_storing_another_leaves_the_one_in_force() -> None:
    assert given(MODELS, FIRST, active(FIRST)).when(store(SECOND)).state_after().state == FIRST.model_version


def test_a_stored_model_is_activated_and_names_the_one_before() -> None:
    spec = given(MODELS, *ALL).when(activate(FIRST))
    spec.then(active(FIRST))
    assert spec.state_after().state == FIRST.model_version
    spec = given(MODELS, *ALL, active(FIRST)).when(activate(SECOND))
    spec.then(active(SECOND, FIRST))
    assert spec.state_after().state == SECOND.model_version


def test_the_model_in_force_is_not_activated_again_but_an_earlier_one_is() -> None:
    history = (*ALL, active(FIRST), active(SECOND, FIRST))
    given(MODELS, *history).when(activate(SECOND)).then()
    given(MODELS, *history).when(activate(FIRST)).then(active(FIRST, SECOND))


def test_a_model_that_was_never_stored_looks_like_one_that_is_not_there() -> None:
    with pytest.raises(NotYours):
        given(MODELS, FIRST).when(activate(SECOND)).decided()


def test_a_rollback_goes_to_the_one_before_and_at_last_to_none() -> None:
    history: tuple[Payload, ...] = (*ALL, active(FIRST), active(SECOND, FIRST), active(THIRD, SECOND))
    for one, before in ((THIRD, SECOND), (SECOND, FIRST), (FIRST, None)):
        spec = given(MODELS, *history).when(BACK)
        spec.then(gone(one, before))
        assert spec.state_after().state == (before.model_version if before else "NONE")
        history += (gone(one, before),)
    given(MODELS, *history).when(BACK).then_refused("NO_CLASSIFIER")


def test_without_a_model_in_force_there_is_nothing_to_roll_back() -> None:
    given(MODELS).when(BACK).then_refused("NO_CLASSIFIER")
    given(MODELS, FIRST).when(BACK).then_refused("NO_CLASSIFIER")


def test_a_rollback_never_goes_back_to_what_was_rolled_back() -> None:
    """First, second, back to first, third, back: to the first, for the second does not stand."""
    history = (*ALL, active(FIRST), active(SECOND, FIRST), gone(SECOND, FIRST), active(THIRD, FIRST))
    given(MODELS, *history).when(BACK).then(gone(THIRD, FIRST))


def test_what_was_rolled_back_is_still_there_and_may_be_activated_again() -> None:
    spec = given(MODELS, FIRST, active(FIRST), gone(FIRST)).when(activate(FIRST))
    spec.then(active(FIRST))
    assert spec.state_after().history == (FIRST.model_version,)


def test_a_model_that_was_in_force_twice_is_rolled_back_once_at_a_time() -> None:
    history = (*ALL, active(FIRST), active(SECOND, FIRST), active(FIRST, SECOND))
    given(MODELS, *history).when(BACK).then(gone(FIRST, SECOND))
    given(MODELS, *history, gone(FIRST, SECOND)).when(BACK).then(gone(SECOND, FIRST))


HISTORIES: dict[str, tuple[Payload, ...]] = {
    "nothing": (),
    "stored": (FIRST,),
    "in force": (FIRST, active(FIRST)),
    "rolled back": (FIRST, active(FIRST), gone(FIRST)),
    "second in force": (FIRST, SECOND, active(FIRST), active(SECOND, FIRST)),
}
COMMANDS: dict[str, Command] = {
    "store first": store(FIRST),
    "store second": store(SECOND),
    "activate first": activate(FIRST),
    "activate second": activate(SECOND),
    "roll back": BACK,
}
STORED = {
    "store first": NOTHING,
    "store second": "ClassifierStored",
    "activate first": "ClassifierActivated",
    "activate second": NOT_YOURS,
    "roll back": "NO_CLASSIFIER",
}
EXPECTED = {
    "nothing": STORED | {"store first": "ClassifierStored", "activate first": NOT_YOURS},
    "stored": STORED,
    "in force": STORED | {"activate first": NOTHING, "roll back": "ClassifierRolledBack"},
    "rolled back": STORED,
    "second in force": STORED
    | {"store second": NOTHING, "activate second": NOTHING, "roll back": "ClassifierRolledBack"},
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_command_in_every_state_of_the_models_is_settled(state: str, command: str, follows: str) -> None:
    assert outcome(MODELS, HISTORIES[state], COMMANDS[command]) == follows


def test_an_unknown_command_is_a_mistake_in_the_programme() -> None:
    with pytest.raises(TypeError):
        MODELS.decide(Command(at=AT), MODELS.initial)


def test_a_model_that_is_too_poor_is_kept_but_not_put_in_force() -> None:
    poor = stored("clf-poor").model_copy(update={"measures": {"macro_f1": "0.4999"}})
    given(MODELS, poor).when(activate(poor)).then_refused("CLASSIFIER_TOO_POOR")
