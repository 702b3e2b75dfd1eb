"""The organisation tree and the catalogue of duties: a unit's entry is replaced as a whole, a version never changes."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from services.routing_service.unit import CATALOGUE, UNIT, CarryOutPlan, DraftCatalogue, KeepUnit, PublishCatalogue
from shared.contracts.codes import UnitType
from shared.contracts.duties import (
    CatalogueDrafted,
    CataloguePublished,
    Rule,
    UnitChanged,
    UnitChangeScheduled,
    UnitEntry,
    UnitRegistered,
)
from shared.contracts.envelope import BEIJING, Actor, Payload
from shared.engine.decider import Command
from tests.support.spec import given
from tests.unit.pairs import NOT_YOURS, every_pair, outcome

AT = datetime(2026, 11, 23, 9, 0, tzinfo=BEIJING)


def entry(name: str = "望京街道", aliases: tuple[str, ...] = ()) -> UnitRegistered:
    return UnitRegistered(
        unit_id="110105026",
        name=name,
        name_en="",
        unit_type=UnitType.STREET_TOWN,
        parent_id="110105",
        aliases=aliases,
    )


def changed(to: UnitRegistered) -> UnitChanged:
    return UnitChanged(**to.model_dump())


def keep(what: UnitRegistered) -> KeepUnit:
    return KeepUnit(at=AT, entry=what)


def test_a_new_unit_is_entered_in_the_tree() -> None:
    given(UNIT).when(keep(entry())).then(entry())


def test_keeping_the_same_entry_again_changes_nothing() -> None:
    given(UNIT, entry()).when(keep(entry())).then()


def test_a_different_entry_replaces_the_old_one_as_a_whole() -> None:
    new = entry("望京西街道", ("望京街道",))
    spec = given(UNIT, entry()).when(keep(new))
    events = spec.decided()
    assert [type(event) for event in events] == [UnitChanged]
    spec.then(changed(new))


def test_a_changed_entry_is_the_one_that_the_next_is_compared_with() -> None:
    new = entry(aliases=("望京",))
    given(UNIT, entry(), changed(new)).when(keep(new)).then()
    given(UNIT, entry(), changed(new)).when(keep(entry())).then(changed(entry()))


RULE = Rule(id="rubbish", name="垃圾", keywords=("垃圾",), duty="TOWNSHIP", basis="Reg. Art 11")
HOTLINE, DEPARTMENT = Actor("HOTLINE_SUPERVISOR", sub="hotline@x"), Actor("MUNICIPAL_ADMIN", sub="admin@x")
DRAFTED = CatalogueDrafted(
    catalogue_version="2026-2", source="会商纪要", rules=(RULE,), by="hotline@x", by_role="HOTLINE_SUPERVISOR"
)
PUBLISHED = CataloguePublished(catalogue_version="2026-2", effective_from=AT)
DRAFT = DraftCatalogue(at=AT, actor=HOTLINE, version="2026-2", source="会商纪要", rules=(RULE,))
PUBLISH = PublishCatalogue(at=AT, actor=DEPARTMENT, version="2026-2", effective_from=AT)


def test_a_version_of_the_catalogue_is_drafted_with_its_rules() -> None:
    given(CATALOGUE).when(DRAFT).then(DRAFTED)


def test_a_drafted_version_comes_into_force() -> None:
    given(CATALOGUE, DRAFTED).when(PUBLISH).then(PUBLISHED)


@pytest.mark.parametrize(
    "actor", [HOTLINE, Actor("MUNICIPAL_ADMIN", sub="hotline@x"), Actor("HOTLINE_SUPERVISOR", sub="other@x")]
)
def test_whoever_drafted_a_version_does_not_publish_it_and_neither_does_that_role(actor: Actor) -> None:
    publish = PublishCatalogue(at=AT, actor=actor, version="2026-2", effective_from=AT)
    given(CATALOGUE, DRAFTED).when(publish).then_refused("SECOND_OFFICER_NEEDED")


TOMORROW = AT + timedelta(days=1)
LATER = KeepUnit(at=AT, entry=entry("望京西街道"), effective_from=TOMORROW)
PLANNED = UnitChangeScheduled(effective_from=TOMORROW, entry=UnitEntry(**entry("望京西街道").model_dump()))


def test_an_entry_for_a_day_ahead_is_planned_and_takes_effect_on_that_day_once() -> None:
    given(UNIT, entry()).when(LATER).then(PLANNED)
    given(UNIT, entry(), PLANNED).when(LATER).then()
    planned = given(UNIT, entry(), PLANNED)
    planned.when(CarryOutPlan(at=AT)).then()
    planned.when(CarryOutPlan(at=TOMORROW)).then(changed(entry("望京西街道")))
    given(UNIT, entry(), PLANNED, changed(entry("望京西街道"))).when(CarryOutPlan(at=TOMORROW)).then()


def test_a_day_that_is_not_ahead_means_now_and_a_new_unit_can_be_planned() -> None:
    given(UNIT).when(KeepUnit(at=AT, entry=entry(), effective_from=AT)).then(entry())
    given(UNIT, PLANNED).when(CarryOutPlan(at=TOMORROW)).then(entry("望京西街道"))


HISTORIES: dict[str, tuple[Payload, ...]] = {
    "missing": (),
    "drafted": (DRAFTED,),
    "published": (DRAFTED, PUBLISHED),
}
EXPECTED = {
    "missing": {"draft": "CatalogueDrafted", "publish": NOT_YOURS},
    "drafted": {"draft": "CATALOGUE_VERSION_EXISTS", "publish": "CataloguePublished"},
    "published": {"draft": "CATALOGUE_VERSION_EXISTS", "publish": "CATALOGUE_PUBLISHED"},
}


@pytest.mark.parametrize(("state", "command", "follows"), every_pair(EXPECTED))
def test_every_command_in_every_state_of_a_catalogue_is_settled(state: str, command: str, follows: str) -> None:
    commands: dict[str, Command] = {"draft": DRAFT, "publish": PUBLISH}
    assert outcome(CATALOGUE, HISTORIES[state], commands[command]) == follows


@pytest.mark.parametrize("decider", [UNIT, CATALOGUE])
def test_an_unknown_command_is_a_mistake_in_the_programme(decider: object) -> None:
    with pytest.raises(TypeError):
        decider.decide(Command(at=AT), decider.initial)  # type: ignore[attr-defined]
